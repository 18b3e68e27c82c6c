/* turns_test.c - whose bytes are in the next batch, when more wait than it takes. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/store_internal.h"
#include "tests/storage/fixture.h"
#include "tests/storage/played_disk.h"

#define MIB ((uint64_t)1 << 20)
#define STREAMS 40
#define PIECE ((uint64_t)300 << 10) /* enough to be written while the object grows */

/* Closes the gate, with a sync that stands before it: what comes now is in the next batch. The writer whose bytes are
 * synced there, which has no others. */
static struct writer *
hold_a_batch(struct fixture *f)
{
	struct writer *first = fixture_begin(f, "/first", PUBLISH_LIVE);

	atomic_store(&disk.gate_closed, 1);
	fixture_write(f, first, 1, 0, PIECE);
	disk_await_sync();
	return first;
}

/* STREAMS objects that grow, with a piece each that waits for its turn: more than one batch has room for. */
static void
begin_streams(struct fixture *f, struct writer *streams[STREAMS])
{
	struct writer *first = hold_a_batch(f);

	writer_abort(&first);
	for (unsigned i = 0; i < STREAMS; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/%u", i);
		streams[i] = fixture_begin(f, path, PUBLISH_LIVE);
		fixture_write(f, streams[i], i, 0, PIECE);
	}
}

static void
end_streams(struct fixture *f, struct writer *streams[STREAMS])
{
	disk_heal();
	for (unsigned i = 0; i < STREAMS; i++) {
		struct writer_receipt receipt;
		char path[16];

		fixture_finish(f, &streams[i], &receipt);
		assert_int_equal(fixture_answer(f, &receipt), 201);
		snprintf(path, sizeof(path), "/%u", i);
		fixture_expect(f, path, OBJECT_COMPLETE, i, PIECE);
	}
}

/* Lets the sync that stands before the gate go, and the one of the next batch. */
static void
let_one_batch_pass(void)
{
	int before = atomic_load(&disk.syncs);
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;

	atomic_store(&disk.passes, 2);
	while (atomic_load(&disk.syncs) <
	       before + 2) { /* the batch after it is written: it was kept */
		assert_true(clock_mono_ms() < end);
		usleep(500);
	}
}

/* Bytes of OBJECT that are in a volume, and synced. */
static uint64_t
saved(const struct object *object)
{
	uint64_t sum = 0;

	for (unsigned n = 0; n < object->nextents; n++)
		sum += object->extents[n].at.length;
	return sum;
}

/* The same of all STREAMS. */
static uint64_t
bytes_saved(struct writer *const streams[STREAMS])
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STREAMS; i++)
		sum += saved(writer_object(streams[i]));
	return sum;
}

static void
who_waits_for_an_answer_is_not_behind_what_grows(void **state)
{
	struct fixture *f = *state;
	struct writer *streams[STREAMS], *writer;
	struct writer_receipt receipt;

	begin_streams(f, streams);
	writer = fixture_begin(f, "/playlist.m3u8", PUBLISH_WHOLE);
	fixture_write(f, writer, 99, 0, 2000);
	fixture_finish(f, &writer, &receipt);
	let_one_batch_pass();
	assert_int_equal(fixture_answer(f, &receipt), 201);      /* the gate is closed again */
	assert_in_range(bytes_saved(streams), PIECE, 6 * PIECE); /* its share, and not more */
	end_streams(f, streams);
}

static void
what_grows_has_its_turn_however_many_wait_for_answers(void **state)
{
	struct fixture *f = *state;
	static struct writer_receipt receipts[1100];
	const unsigned crowd = sizeof(receipts) / sizeof(receipts[0]);
	struct writer *streams[STREAMS], *writer;
	uint64_t before;

	begin_streams(f, streams);
	let_one_batch_pass(); /* the persister knows of all of them */
	before = bytes_saved(streams);
	usleep(700000);                        /* their time is over */
	for (unsigned i = 0; i < crowd; i++) { /* more than a batch has items for */
		char path[16];

		snprintf(path, sizeof(path), "/small%u", i);
		writer = fixture_begin(f, path, PUBLISH_WHOLE);
		fixture_write(f, writer, i, 0, 10);
		fixture_finish(f, &writer, &receipts[i]);
	}
	let_one_batch_pass();
	assert_in_range(bytes_saved(streams), before + 10 * PIECE, STREAMS * PIECE);
	disk_heal();
	for (unsigned i = 0; i < crowd; i++)
		assert_int_equal(fixture_answer(f, &receipts[i]), 201);
	end_streams(f, streams);
}

static void
what_grows_has_its_share_however_much_waits_for_answers(void **state)
{
	struct fixture *f = *state;
	struct writer *streams[STREAMS], *writer;
	struct writer_receipt receipts[3];

	begin_streams(f, streams);
	for (unsigned i = 0; i < 3; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/large%u", i);
		writer = fixture_begin(f, path, PUBLISH_LIVE);
		fixture_write(f, writer, i, 0, 8 << 20);
		fixture_finish(f, &writer, &receipts[i]);
	}
	let_one_batch_pass();
	assert_in_range(bytes_saved(streams), PIECE, 6 * PIECE);
	disk_heal();
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(fixture_answer(f, &receipts[i]), 201);
	end_streams(f, streams);
}

/* COUNT whole objects of 8 MiB wait, and one batch takes what it takes of them: the bytes of each in TAKEN. */
static void
take_of_large(struct fixture *f, unsigned count, uint64_t *taken)
{
	struct writer_receipt receipts[3];
	struct object *objects[3];
	struct writer *first = hold_a_batch(f);

	for (unsigned i = 0; i < count; i++) {
		char path[16];
		struct writer *writer;

		snprintf(path, sizeof(path), "/large%u", i);
		writer = fixture_begin(f, path, PUBLISH_WHOLE);
		objects[i] = object_get(writer_object(writer));
		fixture_write(f, writer, i, 0, 8 * MIB);
		fixture_finish(f, &writer, &receipts[i]);
	}
	let_one_batch_pass();
	for (unsigned i = 0; i < count; i++)
		taken[i] = saved(objects[i]);
	writer_abort(&first);
	disk_heal();
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(fixture_answer(f, &receipts[i]), 201);
		object_put(&objects[i]);
	}
}

static void
what_is_large_leaves_room_for_another(void **state)
{
	uint64_t taken[2];

	take_of_large(*state, 2, taken);
	assert_in_range(taken[0], MIB, 5 * MIB);
	assert_in_range(taken[1], MIB, 5 * MIB);
}

static void
what_is_large_and_alone_takes_most_of_a_batch(void **state)
{
	uint64_t taken;

	take_of_large(*state, 1, &taken);
	assert_in_range(taken, 6 * MIB, 8 * MIB);
}

static void
what_is_due_soon_comes_along_with_what_is_written_anyway(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/growing", PUBLISH_LIVE);
	struct writer_receipt receipt;

	fixture_write(f, writer, 1, 0, 100);
	usleep(400000); /* it is due after 750 ms */
	assert_int_equal(fixture_put(f, "/other", PUBLISH_LIVE, 2, 10), 201);
	assert_int_equal(writer_object(writer)->nextents, 1);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, disk_setup, disk_teardown)
		ON_DISK(who_waits_for_an_answer_is_not_behind_what_grows),
		ON_DISK(what_grows_has_its_turn_however_many_wait_for_answers),
		ON_DISK(what_grows_has_its_share_however_much_waits_for_answers),
		ON_DISK(what_is_large_leaves_room_for_another),
		ON_DISK(what_is_large_and_alone_takes_most_of_a_batch),
		ON_DISK(what_is_due_soon_comes_along_with_what_is_written_anyway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
