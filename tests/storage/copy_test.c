/* copy_test.c - when a copy may take its version's place, and who waits for it. */
#include "base/clock.h"
#include "storage/copy.h"
#include "storage/store_internal.h"
#include "tests/storage/fixture.h"

static struct copy *
open_copy(struct fixture *f, const char *path)
{
	struct object *object;
	struct copy *copy;
	uint64_t id;

	fixture_settle(f);
	assert_int_equal(fixture_find(f, path, &object), 0);
	id = object->id;
	object_put(&object);
	assert_int_equal(copy_open(f->store, path, id, &copy), 0);
	return copy;
}

static void
a_copy_knows_all_of_its_version(void **state)
{
	struct fixture *f = *state;
	struct copy *copy;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 3000000), 201);
	copy = open_copy(f, "/a");
	assert_true(copy->id > copy->object->id);
	assert_true(copy->seq == copy->object->seq);
	assert_false(copy->open);
	assert_int_equal(copy->name.size, 3000000);
	assert_int_equal(copy->from[copy->nfrom - 1].offset + copy->from[copy->nfrom - 1].length,
			 3000000);
	copy_close(&copy, false);
}

static void
only_what_is_settled_and_current_is_copied(void **state)
{
	struct fixture *f = *state;
	struct object *object;
	struct writer *writer;
	struct copy *copy;

	assert_int_equal(copy_open(f->store, "/none", 1, &copy), -ENOENT);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 1000), 201);
	fixture_settle(f);
	assert_int_equal(fixture_find(f, "/a", &object), 0);
	assert_int_equal(copy_open(f->store, "/a", object->id + 1, &copy), -ENOENT);
	writer = fixture_begin(f, "/a", PUBLISH_WHOLE);
	assert_int_equal(copy_open(f->store, "/a", object->id, &copy), -EBUSY);
	writer_abort(&writer);
	fixture_settle(f);
	assert_int_equal(copy_open(f->store, "/a", object->id, &copy), 0);
	copy_close(&copy, false);
	object_put(&object);
}

/* Or its record, with the old number, would follow a newer one's; or what goes on with the bytes under the
 * old id would lose them. */
static void
it_may_not_end_while_something_newer_is_on_its_way(void **state)
{
	struct fixture *f = *state;
	struct writer *writer;
	struct copy *copy;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 1000), 201);
	copy = open_copy(f, "/a");
	assert_int_equal(fixture_try_begin(f, "/a", PUBLISH_WHOLE, EXISTING_APPEND, &writer), 0);
	assert_false(copy_may_end(copy));
	writer_abort(&writer);
	copy_close(&copy, false);

	copy = open_copy(f, "/a");
	assert_true(copy_may_end(copy));
	copy_roll_back(copy);
	assert_int_equal(fixture_delete(f, "/a"), 0);
	assert_false(copy_may_end(copy));
	copy_close(&copy, false);
	fixture_settle(f);
}

static void
who_would_append_waits_until_it_is_written(void **state)
{
	struct fixture *f = *state;
	struct writer_config config = {
		.path = "/a", .content_type = "", .existing = EXISTING_APPEND};
	struct store_load load = {
		.store = f->store,
		.path = "/a",
		.to_extend = true,
		.mailbox = &f->mailbox,
		.letter.deliver = fixture_came,
	};
	struct writer *writer;
	struct copy *copy;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 1000), 201);
	copy = open_copy(f, "/a");
	store_load(&load);
	fixture_await(f, &load.letter);
	object_put(&load.object);
	/* It has its hash, and would begin. */
	assert_true(copy_may_end(copy));
	assert_int_equal(writer_open(f->store, &config, &writer), -EAGAIN);
	load.letter.deliver = fixture_came;
	store_load(&load);
	fixture_pump(f, 50);
	assert_non_null(load.letter.deliver);
	copy_roll_back(copy);
	fixture_await(f, &load.letter);
	assert_int_equal(load.result, 0);
	assert_int_equal(writer_open(f->store, &config, &writer), 0);
	writer_abort(&writer);
	object_put(&load.object);
	copy_close(&copy, false);
	fixture_settle(f);
}

int
main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		RULE(a_copy_knows_all_of_its_version),
		RULE(only_what_is_settled_and_current_is_copied),
		RULE(it_may_not_end_while_something_newer_is_on_its_way),
		RULE(who_would_append_waits_until_it_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
