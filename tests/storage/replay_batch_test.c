/* Which batches are taken for synced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "storage/replay_batch.h"

#define START 8192
#define BODY 1000

/* The Nth of three records of one batch at START; its place goes to *POSITION. */
static struct record
record_of(unsigned n, uint64_t *position)
{
	uint64_t span = record_span(0, BODY);

	*position = START + n * span;
	return (struct record){
		.kind = RECORD_DATA,
		.id = n + 1,
		.body_length = BODY,
		.batch = START,
		.batch_length = (uint32_t)(3 * span),
	};
}

static void
add(struct replay_batch *batch, unsigned n, bool intact)
{
	uint64_t position;
	struct record record = record_of(n, &position);

	assert_int_equal(replay_batch_add(batch, 7, &record, position,
					  position + RECORD_HEADER_SIZE, intact),
			 0);
}

static void
a_batch_with_all_its_records_is_whole(void **state)
{
	struct replay_batch batch = {0};

	(void)state;
	for (unsigned n = 0; n < 3; n++) {
		assert_false(n > 0 && replay_batch_is_whole(&batch));
		add(&batch, n, true);
	}
	assert_true(replay_batch_is_whole(&batch));
	assert_int_equal(batch.start, START);
	replay_batch_free(&batch);
}

static void
one_that_lacks_a_record_is_not(void **state)
{
	(void)state;
	for (unsigned lost = 0; lost < 3; lost++) {
		struct replay_batch batch = {0};

		for (unsigned n = 0; n < 3; n++) {
			if (n != lost)
				add(&batch, n, true);
		}
		assert_false(replay_batch_is_whole(&batch));
		replay_batch_keep_sound(&batch);
		assert_int_equal(batch.count, lost);
		replay_batch_free(&batch);
	}
}

static void
one_with_a_wrong_body_is_not(void **state)
{
	(void)state;
	for (unsigned bad = 0; bad < 3; bad++) {
		struct replay_batch batch = {0};

		for (unsigned n = 0; n < 3; n++)
			add(&batch, n, n != bad);
		assert_false(replay_batch_is_whole(&batch));
		replay_batch_keep_sound(&batch);
		assert_int_equal(batch.count, bad);
		replay_batch_free(&batch);
	}
}

static void
a_record_of_another_batch_or_volume_does_not_belong(void **state)
{
	struct replay_batch batch = {0};
	uint64_t position;
	struct record record = record_of(1, &position);

	(void)state;
	assert_false(replay_batch_holds(&batch, 7, &record));
	add(&batch, 0, true);
	assert_true(replay_batch_holds(&batch, 7, &record));
	assert_false(replay_batch_holds(&batch, 8, &record));
	record.batch = 2 * START;
	assert_false(replay_batch_holds(&batch, 7, &record));
	replay_batch_free(&batch);
}

static void
an_emptied_batch_is_as_new(void **state)
{
	struct replay_batch batch = {0};

	(void)state;
	add(&batch, 1, true);
	replay_batch_clear(&batch);
	for (unsigned n = 0; n < 3; n++)
		add(&batch, n, true);
	assert_true(replay_batch_is_whole(&batch));
	replay_batch_free(&batch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_with_all_its_records_is_whole),
		cmocka_unit_test(one_that_lacks_a_record_is_not),
		cmocka_unit_test(one_with_a_wrong_body_is_not),
		cmocka_unit_test(a_record_of_another_batch_or_volume_does_not_belong),
		cmocka_unit_test(an_emptied_batch_is_as_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
