/* hold_test.c - waiting for an object to begin. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "storage/hold.h"
#include "storage/store_internal.h"
#include "tests/storage/fixture.h"

/* What store_load says of PATH, with its news in *HOLD, which is prepared. */
static int
look(struct fixture *f, const char *path, struct hold *hold)
{
	struct store_load request = {
		.store = f->store,
		.path = path,
		.mailbox = &f->mailbox,
		.letter.deliver = fixture_came,
	};

	store_load(&request);
	fixture_await(f, &request.letter);
	if (request.result == 0)
		object_put(&request.object);
	*hold = (struct hold){.path = path,
			      .news = request.news,
			      .mailbox = &f->mailbox,
			      .letter.deliver = fixture_came};
	return request.result;
}

/* Waits for PATH, at which there is nothing. */
static void
begin(struct fixture *f, const char *path, struct hold *hold)
{
	int err;

	do {
		assert_int_equal(look(f, path, hold), -ENOENT);
		err = hold_begin(f->store, hold);
	} while (err == -EAGAIN);
	assert_int_equal(err, 0);
}

static void
who_waits_is_told_when_the_upload_begins(void **state)
{
	struct fixture *f = *state;
	struct hold holds[3], other;
	struct object *object;
	struct writer *writer;

	for (unsigned i = 0; i < 3; i++)
		begin(f, "/a", &holds[i]);
	begin(f, "/b", &other);
	fixture_pump(f, 20);
	assert_non_null(holds[0].letter.deliver);
	writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	for (unsigned i = 0; i < 3; i++)
		fixture_await(f, &holds[i].letter);
	assert_int_equal(fixture_find(f, "/a", &object), 0);
	object_put(&object);
	assert_non_null(other.letter.deliver);
	assert_true(hold_end(f->store, &other));
	assert_false(hold_end(f->store, &holds[0]));
	writer_abort(&writer);
}

static void
a_whole_version_begins_when_it_is_complete(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *writer;
	struct hold hold;

	begin(f, "/p", &hold);
	writer = fixture_begin(f, "/p", PUBLISH_WHOLE);
	fixture_write(f, writer, 1, 0, 100);
	fixture_pump(f, 20);
	assert_non_null(hold.letter.deliver);
	fixture_finish(f, &writer, &receipt);
	fixture_await(f, &hold.letter);
	assert_int_equal(fixture_answer(f, &receipt), 201);
}

static void
what_came_between_the_look_and_the_wait_is_not_missed(void **state)
{
	struct fixture *f = *state;
	struct hold hold;
	struct writer *writer;

	assert_int_equal(look(f, "/a", &hold), -ENOENT);
	writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	assert_int_equal(hold_begin(f->store, &hold), -EAGAIN);
	assert_int_equal(look(f, "/a", &hold), 0);
	writer_abort(&writer);

	/* It came, was finished, and only the catalog has it. */
	f->store->table.shard_max = 0;
	assert_int_equal(look(f, "/b", &hold), -ENOENT);
	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 1, 10), 201);
	fixture_settle(f);
	assert_int_equal(hold_begin(f->store, &hold), -EAGAIN);
	assert_int_equal(look(f, "/b", &hold), 0);
}

static void
after_a_deletion_one_waits_for_the_next(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *writer;
	struct hold hold;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 10), 201);
	assert_int_equal(fixture_delete(f, "/a"), 0);
	begin(f, "/a", &hold);
	writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	fixture_await(f, &hold.letter);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
}

static void
the_next_version_of_what_is_there_can_be_waited_for(void **state)
{
	struct fixture *f = *state;
	struct hold hold;
	struct object *object;

	assert_int_equal(fixture_put(f, "/p", PUBLISH_WHOLE, 1, 10), 201);
	assert_int_equal(look(f, "/p", &hold), 0);
	assert_int_equal(hold_begin(f->store, &hold), -EAGAIN); /* something is there */
	assert_int_equal(fixture_find(f, "/p", &object), 0);
	hold.present = object;
	assert_int_equal(hold_begin(f->store, &hold), 0);
	fixture_pump(f, 20);
	assert_non_null(hold.letter.deliver);
	assert_int_equal(fixture_put(f, "/p", PUBLISH_WHOLE, 2, 10), 204);
	fixture_await(f, &hold.letter);
	hold.letter.deliver = fixture_came;
	assert_int_equal(hold_begin(f->store, &hold), -EAGAIN); /* that is not there any more */
	object_put(&object);
	assert_int_equal(fixture_find(f, "/p", &object), 0);
	hold.present = object;
	assert_int_equal(hold_begin(f->store, &hold), 0);
	assert_int_equal(fixture_delete(f, "/p"), 0);
	fixture_await(f, &hold.letter);
	object_put(&object);
}

static void
the_number_that_wait_is_bounded(void **state)
{
	static struct hold holds[HOLD_SHARD_MAX + 1];
	struct fixture *f = *state;

	for (unsigned i = 0; i < HOLD_SHARD_MAX; i++)
		begin(f, "/a", &holds[i]);
	assert_int_equal(look(f, "/a", &holds[HOLD_SHARD_MAX]), -ENOENT);
	assert_int_equal(hold_begin(f->store, &holds[HOLD_SHARD_MAX]), -ENOBUFS);
	assert_true(hold_end(f->store, &holds[5]));
	assert_int_equal(hold_begin(f->store, &holds[HOLD_SHARD_MAX]), 0);
	for (unsigned i = 0; i <= HOLD_SHARD_MAX; i++)
		assert_int_equal(hold_end(f->store, &holds[i]), i != 5);
}

/* ---- uploads begin on another thread ---- */

#define PATHS 300

static char paths[PATHS][16];
static _Atomic unsigned asked;

static void *
upload_all(void *arg)
{
	struct fixture *f = arg;

	for (unsigned i = 0; i < PATHS; i++) {
		struct writer_config config = {.path = paths[i], .content_type = "x/y"};
		struct writer *writer;

		while (atomic_load(&asked) < i)
			usleep(10);
		if (writer_open(f->store, &config, &writer) == 0)
			writer_abort(&writer);
	}
	return NULL;
}

static void
no_beginning_is_missed(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	atomic_store(&asked, 0);
	for (unsigned i = 0; i < PATHS; i++)
		snprintf(paths[i], sizeof(paths[i]), "/%u", i);
	assert_int_equal(pthread_create(&thread, NULL, upload_all, f), 0);
	for (unsigned i = 0; i < PATHS; i++) {
		struct hold hold;
		int err = -EAGAIN;

		atomic_store(&asked, i);
		while (err == -EAGAIN && look(f, paths[i], &hold) == -ENOENT)
			err = hold_begin(f->store, &hold);
		if (err == 0)
			fixture_await(f, &hold.letter);
	}
	atomic_store(&asked, PATHS);
	pthread_join(thread, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
		PLAIN(who_waits_is_told_when_the_upload_begins),
		PLAIN(a_whole_version_begins_when_it_is_complete),
		PLAIN(what_came_between_the_look_and_the_wait_is_not_missed),
		PLAIN(after_a_deletion_one_waits_for_the_next),
		PLAIN(the_next_version_of_what_is_there_can_be_waited_for),
		PLAIN(the_number_that_wait_is_bounded),
		PLAIN(no_beginning_is_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
