/* evict_test.c - a disk that is full, or as full as it may be: the volume that was idle for longest goes,
 * the newest stay, and when nothing may go only new objects are refused.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "storage/store_internal.h"
#include "tests/storage/fixture.h"

#define MIB ((uint64_t)1 << 20)

static bool
is_there(struct fixture *f, const char *path)
{
	struct object *object = NULL;
	int err = fixture_find(f, path, &object);

	assert_true(err == 0 || err == -ENOENT);
	object_put(&object);
	return err == 0;
}

static int
set_up(void **state)
{
	int rc = fixture_setup_closed(state);
	struct fixture *f = *state;

	f->config.volume_size = 16 * MIB;
	f->config.disk_max = 128 * MIB;
	if (rc == 0)
		fixture_open(f);
	return rc;
}

static void
the_oldest_go_and_the_newest_stay(void **state)
{
	enum { COUNT = 500, KEPT = 40 }; /* four volumes are full, and one after them */
	struct fixture *f = *state;
	unsigned first = 0;

	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(fixture_put(f, fixture_numbered(i), PUBLISH_LIVE, i, MIB), 201);
		assert_true(fixture_disk_used(f) <= 128 * MIB);
		fixture_expect(f, fixture_numbered(i), OBJECT_COMPLETE, i, MIB);
	}
	fixture_settle(f);
	fixture_reopen(f);
	/* A start may find that there is too much, and go on with the oldest while we look. */
	for (unsigned i = 0; i < COUNT; i++) {
		if (i < COUNT - KEPT && !is_there(f, fixture_numbered(i)))
			first = i + 1;
		else if (i >= COUNT - KEPT)
			fixture_expect(f, fixture_numbered(i), OBJECT_COMPLETE, i, MIB);
	}
	assert_in_range(first, 1, COUNT - KEPT);
	for (unsigned i = 0; i < first; i++)
		assert_false(is_there(f, fixture_numbered(i)));
	/* Nor do they come back. */
	fixture_close(f);
	assert_true(metric_value(METRIC_evicted_total) >= first);
	fixture_remove(f, "catalog.mdb");
	fixture_open(f);
	for (unsigned i = 0; i < first; i++)
		assert_false(is_there(f, fixture_numbered(i)));
	for (unsigned i = COUNT - KEPT; i < COUNT; i++)
		assert_true(is_there(f, fixture_numbered(i)));
}

static void
what_is_read_stays(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fixture_put(f, "/old", PUBLISH_LIVE, 9, MIB), 201);
	fixture_reopen(f); /* else it would be read from memory */
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(fixture_put(f, fixture_numbered(i), PUBLISH_LIVE, i, MIB), 201);
		fixture_expect(f, "/old", OBJECT_COMPLETE, 9, MIB);
		if (i % 60 == 59)
			usleep(1100000); /* the age of a volume is told in seconds */
	}
	assert_false(is_there(f, fixture_numbered(0)));
}

static void
a_reader_of_an_evicted_object_is_cut(void **state)
{
	struct fixture *f = *state;
	struct object *object;

	assert_int_equal(fixture_put(f, "/old", PUBLISH_LIVE, 9, MIB), 201);
	assert_int_equal(fixture_find(f, "/old", &object), 0);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(fixture_put(f, fixture_numbered(i), PUBLISH_LIVE, i, MIB), 201);
	assert_int_equal(object_status(object).state, OBJECT_GONE);
	object_put(&object);
}

static void
what_is_being_written_is_not_evicted(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/long", PUBLISH_LIVE);
	struct writer *hidden = fixture_begin(f, "/hidden", PUBLISH_WHOLE);
	struct writer_receipt receipt;

	fixture_write(f, writer, 7, 0, 2 * MIB);
	fixture_write(f, hidden, 8, 0, 2 * MIB);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(fixture_put(f, fixture_numbered(i), PUBLISH_LIVE, i, MIB), 201);
	assert_false(writer_cancelled(writer));
	fixture_write(f, writer, 7, 2 * MIB, MIB);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	fixture_finish(f, &hidden, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	fixture_settle(f);
	fixture_expect(f, "/long", OBJECT_COMPLETE, 7, 3 * MIB);
	fixture_expect(f, "/hidden", OBJECT_COMPLETE, 8, 2 * MIB);
}

static void
an_object_larger_than_the_disk_is_refused(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *writer;

	fixture_close(f);
	f->config.tail_max = 400 * MIB;
	fixture_open(f);
	writer = fixture_begin(f, "/huge", PUBLISH_LIVE);
	assert_int_equal(fixture_put(f, "/small", PUBLISH_LIVE, 1, MIB), 201);
	fixture_write(f, writer, 2, 0, 150 * MIB);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), -ENOSPC);
	assert_true(fixture_disk_used(f) <= 128 * MIB);
}

/* ---- the bound ------------------------------------------------------------------- */

struct watcher {
	struct fixture *f;
	pthread_t thread;
	atomic_bool ends;
	uint64_t most;
};

static void *
watch_disk(void *arg)
{
	struct watcher *watcher = arg;

	while (!atomic_load(&watcher->ends)) {
		uint64_t used = fixture_disk_used(watcher->f);

		if (used > watcher->most)
			watcher->most = used;
		sched_yield();
	}
	return NULL;
}

/* Uploads come faster than volumes go: they wait for the deletions of an eviction, which have room. */
static void
a_crowd_of_uploads_does_not_pass_the_limit(void **state)
{
	enum { ROUNDS = 12, CROWD = 48 };
	struct watcher watcher = {.f = *state};
	struct fixture *f = *state;
	struct writer_receipt receipts[CROWD];

	assert_int_equal(pthread_create(&watcher.thread, NULL, watch_disk, &watcher), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < CROWD; i++) {
			unsigned number = round * CROWD + i;
			struct writer *writer =
				fixture_begin(f, fixture_numbered(number), PUBLISH_LIVE);

			fixture_write(f, writer, number, 0, MIB);
			fixture_finish(f, &writer, &receipts[i]);
		}
		for (unsigned i = 0; i < CROWD; i++)
			assert_int_equal(fixture_answer(f, &receipts[i]), 201);
	}
	atomic_store(&watcher.ends, true);
	pthread_join(watcher.thread, NULL);
	assert_in_range(watcher.most, 64 * MIB, 128 * MIB);
	assert_false(is_there(f, fixture_numbered(0)));
}

/* COUNT uploads of a MiB at a time, to objects FIRST and so on: none is refused. */
static void
put_crowd(struct fixture *f, unsigned first, unsigned count)
{
	struct writer_receipt receipts[32];

	for (unsigned i = 0; i < count; i++) {
		struct writer *writer = fixture_begin(f, fixture_numbered(first + i), PUBLISH_LIVE);

		fixture_write(f, writer, first, 0, MIB);
		fixture_finish(f, &writer, &receipts[i]);
	}
	for (unsigned i = 0; i < count; i++)
		assert_in_range(fixture_answer(f, &receipts[i]), 201, 204);
}

/* The coldest volume is smaller than the one that its tombstones begin. */
static void
a_small_victim_is_a_beginning(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	f->config.disk_max = 160 * MIB;
	fixture_open(f);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(fixture_put(f, fixture_numbered(i), PUBLISH_LIVE, i, MIB), 201);
	fixture_reopen(f);
	for (unsigned i = 3; i < 98; i++)
		assert_int_equal(fixture_put(f, fixture_numbered(i), PUBLISH_LIVE, i, MIB), 201);
	/* So that one is emptied by copies at the same time. */
	for (unsigned i = 33; i < 48; i++)
		if (i % 5 > 1)
			assert_int_equal(fixture_delete(f, fixture_numbered(i)), 0);
	fixture_settle(f);
	for (unsigned round = 0; round < 10; round++)
		put_crowd(f, 100 + 6 * round, 6);
}

/* What was begun below the limit does not stay because the limit is lower now. */
static void
a_lower_limit_holds_at_once(void **state)
{
	struct fixture *f = *state;
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;

	for (unsigned i = 0; i < 80; i++)
		assert_int_equal(fixture_put(f, fixture_numbered(i), PUBLISH_LIVE, i, MIB), 201);
	atomic_store(&f->store->limits.disk_max, 64 * MIB);
	reclaim_wake(f->store->reclaim);
	while (atomic_load(&f->store->evict.limit) != 64 * MIB) {
		assert_true(clock_mono_ms() < end);
		usleep(1000);
	}
	assert_int_equal(fixture_put(f, fixture_numbered(80), PUBLISH_LIVE, 80, MIB), 201);
	assert_true(fixture_disk_used(f) <= 64 * MIB);
	fixture_expect(f, fixture_numbered(80), OBJECT_COMPLETE, 80, MIB);
}

/* ---- a file system that is really full ------------------------------------------- */

static int
set_up_disk(void **state, bool evict)
{
	int rc = fixture_setup_closed(state);
	struct fixture *f = *state;

	if (rc != 0)
		return rc;
	f->config.volume_size = 16 * MIB;
	f->config.disk_percent = 0;
	f->config.evict = evict;
	if (mkdir(f->data, 0750) != 0)
		return -1;
	if (mount("none", f->data, "tmpfs", 0, "size=160m") == 0)
		fixture_open(f);
	return 0;
}

static int
set_up_evicting(void **state)
{
	return set_up_disk(state, true);
}

static int
set_up_refusing(void **state)
{
	return set_up_disk(state, false);
}

static int
tear_down_disk(void **state)
{
	struct fixture *f = *state;

	if (f->store != NULL) {
		fixture_close(f);
		umount2(f->data, MNT_DETACH);
	}
	return fixture_teardown(state);
}

static void
a_full_disk_gives_up_what_is_oldest(void **state)
{
	struct fixture *f = *state;

	if (f->store == NULL)
		skip(); /* only root can mount a small disk */
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(fixture_put(f, fixture_numbered(i), PUBLISH_LIVE, i, MIB), 201);
	assert_false(is_there(f, fixture_numbered(0)));
	for (unsigned i = 350; i < 400; i++)
		fixture_expect(f, fixture_numbered(i), OBJECT_COMPLETE, i, MIB);
	fixture_settle(f);
	fixture_reopen(f);
	for (unsigned i = 350; i < 400; i++)
		fixture_expect(f, fixture_numbered(i), OBJECT_COMPLETE, i, MIB);
}

static void
a_full_disk_refuses_and_recovers(void **state)
{
	struct fixture *f = *state;
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;
	unsigned count = 0;
	int status;

	if (f->store == NULL)
		skip();
	while ((status = fixture_put(f, fixture_numbered(count), PUBLISH_LIVE, count, MIB)) == 201)
		count++;
	assert_int_equal(status, -ENOSPC);
	assert_true(count > 60);
	assert_int_equal(fixture_put(f, "/more", PUBLISH_LIVE, 1, MIB), -ENOSPC);
	for (unsigned i = 0; i < count; i++)
		fixture_expect(f, fixture_numbered(i), OBJECT_COMPLETE, i, MIB);
	/* Room for a deletion there is always. */
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(fixture_delete(f, fixture_numbered(i)), 0);
	while (fixture_put(f, "/more", PUBLISH_LIVE, 1, MIB) != 201) {
		assert_true(clock_mono_ms() < end);
		usleep(50000);
	}
	fixture_settle(f);
	fixture_reopen(f);
	fixture_expect(f, "/more", OBJECT_COMPLETE, 1, MIB);
	for (unsigned i = 0; i < count; i++) {
		if (i < 40)
			assert_false(is_there(f, fixture_numbered(i)));
		else
			fixture_expect(f, fixture_numbered(i), OBJECT_COMPLETE, i, MIB);
	}
}

int
main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_teardown)
	const struct CMUnitTest tests[] = {
		RULE(the_oldest_go_and_the_newest_stay),
		RULE(what_is_read_stays),
		RULE(a_reader_of_an_evicted_object_is_cut),
		RULE(what_is_being_written_is_not_evicted),
		RULE(an_object_larger_than_the_disk_is_refused),
		RULE(a_crowd_of_uploads_does_not_pass_the_limit),
		RULE(a_small_victim_is_a_beginning),
		RULE(a_lower_limit_holds_at_once),
		cmocka_unit_test_setup_teardown(a_full_disk_gives_up_what_is_oldest,
						set_up_evicting, tear_down_disk),
		cmocka_unit_test_setup_teardown(a_full_disk_refuses_and_recovers, set_up_refusing,
						tear_down_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
