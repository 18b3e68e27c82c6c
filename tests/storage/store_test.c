/* store_test.c - one directory, one process; what is idle leaves memory and comes back. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/store_internal.h"
#include "tests/storage/fixture.h"

static void
a_directory_serves_one_store_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct store *other = NULL;
	char why[512] = "";

	assert_int_equal(store_open(&f->config, why, sizeof(why), &other), -EBUSY);
	assert_null(other);
	assert_non_null(strstr(why, f->data));
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 10), 201);
	fixture_close(f);
	store_close(&other); /* NULL is fine */
	fixture_open(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 10);
}

static void
a_directory_that_cannot_be_used_is_named(void **state)
{
	struct fixture *f = *state;
	char path[256], why[512] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/file", f->dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	f->config.data_dir = path;
	f->config.mailboxes = f->boxes;
	assert_true(store_open(&f->config, why, sizeof(why), &f->store) < 0);
	assert_non_null(strstr(why, path));
	strcat(path, "/below");
	assert_true(store_open(&f->config, why, sizeof(why), &f->store) < 0);
	assert_non_null(strstr(why, path));
	assert_null(f->store);
}

static void
any_volume_size_will_do(void **state)
{
	struct fixture *f = *state;

	f->config.volume_size = (1 << 20) + 1;
	fixture_open(f);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 40 << 20), 201);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 40 << 20);
	f->config.volume_size = (uint64_t)33333333;
	fixture_reopen(f);
	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 1, 40 << 20), 201);
	fixture_expect(f, "/b", OBJECT_COMPLETE, 1, 40 << 20);
}

static void
a_lookup_never_guesses(void **state)
{
	struct fixture *f = *state;
	struct object *object = NULL, *again = NULL;

	assert_int_equal(store_find(f->store, "/a", &object), -EAGAIN);
	assert_int_equal(fixture_find(f, "/a", &object), -ENOENT);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 10), 201);
	assert_int_equal(store_find(f->store, "/a", &object), 0);
	object_put(&object);
	fixture_reopen(f);
	assert_int_equal(store_find(f->store, "/a", &object), -EAGAIN);
	assert_int_equal(fixture_find(f, "/a", &object), 0);
	assert_int_equal(store_find(f->store, "/a", &again), 0);
	assert_ptr_equal(object, again);
	object_put(&again);
	object_put(&object);
	assert_int_equal(fixture_delete(f, "/a"), 0);
	assert_int_equal(fixture_find(f, "/a", &object), -ENOENT);
	fixture_settle(f);
	assert_int_equal(fixture_find(f, "/a", &object), -ENOENT);
}

static void
every_receipt_comes_before_the_store_is_closed(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipts[50];
	struct store_delete del;
	struct store_load load = {
		.store = f->store,
		.path = "/load",
		.mailbox = &f->mailbox,
		.letter.deliver = fixture_came,
	};

	assert_int_equal(fixture_put(f, "/x", PUBLISH_LIVE, 1, 10), 201);
	for (unsigned i = 0; i < 50; i++) {
		struct writer *writer;
		char path[16];

		snprintf(path, sizeof(path), "/%u", i);
		writer = fixture_begin(f, path, PUBLISH_LIVE);
		fixture_write(f, writer, i, 0, 100000);
		fixture_finish(f, &writer, &receipts[i]);
	}
	fixture_begin_delete(f, "/x", &del);
	store_load(&load);
	store_close(&f->store);
	fixture_pump(f, 0);
	for (unsigned i = 0; i < 50; i++) {
		assert_null(receipts[i].letter.deliver);
		assert_int_equal(receipts[i].result, 0);
	}
	assert_null(del.letter.deliver);
	assert_null(load.letter.deliver);
	assert_int_equal(load.result, -ENOENT);
	fixture_open(f);
	for (unsigned i = 0; i < 50; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/%u", i);
		fixture_expect(f, path, OBJECT_COMPLETE, i, 100000);
	}
	fixture_expect(f, "/x", OBJECT_GONE, 0, 0);
}

/* ---- memory ------------------------------------------------------------------------- */

static int
setup_small_memory(void **state)
{
	struct fixture *f;
	int rc = fixture_setup_closed(state);

	f = *state;
	f->config.memory_max = 64 * 1024;
	fixture_open(f);
	return rc;
}

static void
put_many(struct fixture *f, unsigned count, unsigned base)
{
	struct writer_receipt *receipts = calloc(count, sizeof(*receipts));

	for (unsigned i = 0; i < count; i++) {
		struct writer *writer;
		char path[32];

		snprintf(path, sizeof(path), "/many/%u", i);
		writer = fixture_begin(f, path, i % 3 ? PUBLISH_LIVE : PUBLISH_WHOLE);
		fixture_write(f, writer, base + i, 0, i % 300);
		fixture_finish(f, &writer, &receipts[i]);
	}
	for (unsigned i = 0; i < count; i++)
		assert_true(fixture_answer(f, &receipts[i]) > 0);
	free(receipts);
}

static void
idle_objects_leave_memory_and_are_served_all_the_same(void **state)
{
	struct fixture *f = *state;
	const unsigned count = 4000;
	char path[32];

	put_many(f, count, 0);
	fixture_settle(f);
	assert_true(fixture_resident(f) < 400);
	for (unsigned i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/many/%u", i);
		fixture_expect(f, path, OBJECT_COMPLETE, i, i % 300);
	}
	assert_true(fixture_resident(f) < 400);
	put_many(f, count, 1);
	for (unsigned i = 0; i < count; i += 7) {
		snprintf(path, sizeof(path), "/many/%u", i);
		assert_int_equal(fixture_delete(f, path), 0);
	}
	for (unsigned i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/many/%u", i);
		fixture_expect(f, path, i % 7 ? OBJECT_COMPLETE : OBJECT_GONE, 1 + i, i % 300);
	}
	fixture_settle(f);
	assert_true(fixture_resident(f) < 400);
}

static void
what_is_being_read_stays(void **state)
{
	struct fixture *f = *state;
	struct object *held = NULL, *again = NULL;

	assert_int_equal(fixture_put(f, "/held", PUBLISH_LIVE, 9, 5000), 201);
	assert_int_equal(fixture_find(f, "/held", &held), 0);
	put_many(f, 3000, 0);
	fixture_settle(f);
	assert_int_equal(store_find(f->store, "/held", &again), 0);
	assert_ptr_equal(held, again);
	object_put(&again);
	assert_int_equal(fixture_delete(f, "/held"), 0);
	assert_int_equal(object_status(held).state, OBJECT_GONE);
	object_put(&held);
}

/* ---- many threads, few paths ---------------------------------------------------------- */

#define CLIENTS 4

struct client {
	pthread_t thread;
	struct fixture fixture; /* its own mailbox, the same store */
	unsigned seed, wrong;
};

static void
check_versions(struct client *client, const char *path)
{
	struct fixture *f = &client->fixture;
	struct object *object = NULL;
	struct object_status status;

	if (fixture_find(f, path, &object) != 0)
		return;
	status = object_status(object);
	if (status.state != OBJECT_GONE && status.length > 0) {
		struct object_cursor cursor = {0};
		unsigned char bytes[64];
		int64_t n = fixture_read(f, object, &cursor, status.length / 2, bytes, 64);

		/* All uploads have the same bytes. */
		if (n <= 0 || !fixture_same(1, status.length / 2, bytes, (size_t)n))
			client->wrong++;
		object_cursor_reset(&cursor);
	}
	object_put(&object);
}

static void *
client_main(void *arg)
{
	struct client *client = arg;
	struct fixture *f = &client->fixture;

	for (unsigned i = 0; i < 400; i++) {
		unsigned random = client->seed = client->seed * 1103515245 + 12345;
		unsigned dice = (random >> 16) % 16;
		struct writer *writer = NULL;
		struct writer_receipt receipt;
		char path[16];
		int err;

		snprintf(path, sizeof(path), "/%u", (random >> 24) % 6);
		if (dice < 6) {
			check_versions(client, path);
		} else if (dice < 8) {
			struct store_delete del = {
				.mailbox = &f->mailbox,
				.letter.deliver = fixture_came,
			};
			struct object *object = NULL;

			if (fixture_find(f, path, &object) == 0 &&
			    store_delete(f->store, object, &del) == 0) {
				fixture_await(f, &del.letter);
				client->wrong += del.result != 0;
			}
			object_put(&object);
		} else {
			err = fixture_try_begin(f, path, dice % 2 ? PUBLISH_LIVE : PUBLISH_WHOLE,
						dice == 8   ? EXISTING_APPEND
						: dice == 9 ? EXISTING_REFUSE
							    : EXISTING_REPLACE,
						&writer);
			if (err != 0) {
				client->wrong += err != -EBUSY && err != -EEXIST && err != -EAGAIN;
				continue;
			}
			fixture_write(f, writer, 1, object_status(writer_object(writer)).length,
				      dice == 10 ? 400000 : random % 2000);
			if (dice == 11) {
				writer_abort(&writer);
				continue;
			}
			fixture_finish(f, &writer, &receipt);
			client->wrong += fixture_answer(f, &receipt) < 0;
		}
	}
	return NULL;
}

static void
run_clients(struct fixture *f)
{
	struct client *clients = calloc(CLIENTS, sizeof(*clients));

	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i].fixture = *f;
		clients[i].seed = i;
		assert_int_equal(mailbox_init(&clients[i].fixture.mailbox), 0);
		assert_int_equal(pthread_create(&clients[i].thread, NULL, client_main, &clients[i]),
				 0);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		pthread_join(clients[i].thread, NULL);
		assert_int_equal(clients[i].wrong, 0);
		mailbox_close(&clients[i].fixture.mailbox);
	}
	free(clients);
}

static void
threads_may_do_everything_to_the_same_paths_at_once(void **state)
{
	struct fixture *f = *state;
	char *before, *after;

	run_clients(f);
	fixture_settle(f);
	before = fixture_list(f, "/");
	for (unsigned round = 0; round < 2; round++) {
		fixture_close(f);
		if (round == 1)
			fixture_remove(f, "catalog.mdb");
		fixture_open(f);
		after = fixture_list(f, "/");
		assert_string_equal(before, after);
		free(after);
	}
	free(before);
	assert_int_equal(atomic_load(&f->store->blocks.taken), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
#define CLOSED(test) cmocka_unit_test_setup_teardown(test, fixture_setup_closed, fixture_teardown)
#define SMALL(test) cmocka_unit_test_setup_teardown(test, setup_small_memory, fixture_teardown)
		PLAIN(a_directory_serves_one_store_at_a_time),
		CLOSED(a_directory_that_cannot_be_used_is_named),
		CLOSED(any_volume_size_will_do),
		PLAIN(a_lookup_never_guesses),
		PLAIN(every_receipt_comes_before_the_store_is_closed),
		SMALL(idle_objects_leave_memory_and_are_served_all_the_same),
		SMALL(what_is_being_read_stays),
		PLAIN(threads_may_do_everything_to_the_same_paths_at_once),
		SMALL(threads_may_do_everything_to_the_same_paths_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
