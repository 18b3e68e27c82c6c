/* compact_test.c - what still lives in a volume that is mostly dead is copied, and the volume goes: with the
 * same bytes, times and tags at every moment, also after a crash and after a rebuild of the catalog.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "storage/reclaim_internal.h"
#include "tests/storage/fixture.h"

#define MIB ((uint64_t)1 << 20)

static size_t
volume_count(struct fixture *f)
{
	size_t count;

	volumes_bytes(&f->store->volumes, &count);
	return count;
}

static bool
has_volume(struct fixture *f, uint32_t number)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/volumes/%010u.vol", f->data, (unsigned)number);
	return access(path, F_OK) == 0;
}

/* A store that does not wait until a volume is quiet. */
static void
open_eager(struct fixture *f)
{
	fixture_open(f);
	atomic_store(&f->store->reclaim->compact.quiet_ms, 0);
}

static void
reopen(struct fixture *f)
{
	fixture_close(f);
	open_eager(f);
}

static void
rebuild(struct fixture *f)
{
	fixture_close(f);
	fixture_remove(f, "catalog.mdb");
	open_eager(f);
}

static int
set_up(void **state)
{
	int rc = fixture_setup_closed(state);
	struct fixture *f = *state;

	/* What a test writes fits in one. */
	f->config.volume_size = 256 * MIB;
	if (rc == 0)
		open_eager(f);
	return rc;
}

/* So much that nothing else in the volume matters. */
static void
put_dead(struct fixture *f)
{
	assert_int_equal(fixture_put(f, "/dead", PUBLISH_LIVE, 9, 8 * MIB), 201);
	assert_int_equal(fixture_delete(f, "/dead"), 0);
}

/* Lets the reclaimer run until volume NUMBER is gone. */
static void
await_burial(struct fixture *f, uint32_t number)
{
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;

	while (has_volume(f, number)) {
		assert_true(clock_mono_ms() < end);
		reclaim_wake(f->store->reclaim);
		fixture_pump(f, 20);
	}
}

static int64_t
mtime_of(struct fixture *f, const char *path)
{
	struct object *object;
	int64_t mtime_ms;

	assert_int_equal(fixture_find(f, path, &object), 0);
	mtime_ms = object_mtime_ms(object);
	object_put(&object);
	return mtime_ms;
}

/* ---- what is copied -------------------------------------------------------------- */

static void
expect_survivors(struct fixture *f)
{
	fixture_expect(f, "/small", OBJECT_COMPLETE, 1, 5000);
	fixture_expect(f, "/empty", OBJECT_COMPLETE, 2, 0);
	fixture_expect(f, "/large", OBJECT_COMPLETE, 3, 3 * MIB + 17);
	fixture_expect(f, "/cut", OBJECT_INCOMPLETE, 4, 300000);
	fixture_expect(f, "/log", OBJECT_COMPLETE, 6, 200000);
	fixture_expect(f, "/gone", OBJECT_GONE, 0, 0);
}

static void
put_survivors(struct fixture *f)
{
	struct writer *writer;

	assert_int_equal(fixture_put(f, "/small", PUBLISH_LIVE, 1, 5000), 201);
	assert_int_equal(fixture_put(f, "/empty", PUBLISH_LIVE, 2, 0), 201);
	assert_int_equal(fixture_put(f, "/large", PUBLISH_LIVE, 3, 3 * MIB + 17), 201);
	assert_int_equal(fixture_put(f, "/gone", PUBLISH_LIVE, 5, 16 * MIB), 201);
	assert_int_equal(fixture_put(f, "/log", PUBLISH_LIVE, 6, 100000), 201);
	assert_int_equal(fixture_append(f, "/log", 6, 100000, 100000), 204);
	writer = fixture_begin(f, "/cut", PUBLISH_LIVE);
	fixture_write(f, writer, 4, 0, 300000);
	writer_abort(&writer);
	assert_int_equal(fixture_delete(f, "/gone"), 0);
	fixture_settle(f);
}

static void
whatever_lives_moves_and_its_volume_goes(void **state)
{
	struct fixture *f = *state;
	struct object *reading;
	int64_t mtime_ms;
	char *before, *after;

	put_survivors(f);
	mtime_ms = mtime_of(f, "/small");
	before = fixture_list(f, "/");
	reopen(f);
	assert_int_equal(fixture_find(f, "/large", &reading), 0);
	await_burial(f, 1);
	expect_survivors(f);
	assert_true(fixture_holds(f, reading, 3, 3 * MIB + 17));
	object_put(&reading);
	assert_true(mtime_of(f, "/small") == mtime_ms);
	after = fixture_list(f, "/");
	assert_string_equal(after, before);
	free(after);
	rebuild(f);
	expect_survivors(f);
	assert_true(mtime_of(f, "/small") == mtime_ms);
	after = fixture_list(f, "/");
	assert_string_equal(after, before);
	free(after);
	free(before);
}

static void
what_was_copied_can_be_appended_to_replaced_and_deleted(void **state)
{
	struct fixture *f = *state;

	put_survivors(f);
	reopen(f);
	await_burial(f, 1);
	assert_int_equal(fixture_append(f, "/log", 6, 200000, 50000), 204);
	assert_int_equal(fixture_append(f, "/cut", 4, 300000, 1000), 204);
	assert_int_equal(fixture_put(f, "/small", PUBLISH_LIVE, 9, 77), 204);
	assert_int_equal(fixture_delete(f, "/large"), 0);
	for (unsigned i = 0; i < 2; i++) {
		fixture_expect(f, "/log", OBJECT_COMPLETE, 6, 250000);
		fixture_expect(f, "/cut", OBJECT_COMPLETE, 4, 301000);
		fixture_expect(f, "/small", OBJECT_COMPLETE, 9, 77);
		fixture_expect(f, "/large", OBJECT_GONE, 0, 0);
		fixture_settle(f);
		rebuild(f);
	}
}

static void
a_deletion_hides_the_copy_too(void **state)
{
	struct fixture *f = *state;

	/* The copy is in a volume that stays, the original and the tombstone are in others that go. */
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, MIB), 201);
	put_dead(f);
	reopen(f);
	await_burial(f, 1);
	assert_int_equal(fixture_put(f, "/keep", PUBLISH_LIVE, 2, 12 * MIB), 201);
	fixture_settle(f);
	reopen(f);
	assert_int_equal(fixture_delete(f, "/a"), 0);
	fixture_settle(f);
	reopen(f);
	await_burial(f, 3);
	fixture_settle(f);
	rebuild(f);
	fixture_expect(f, "/a", OBJECT_GONE, 0, 0);
	fixture_expect(f, "/keep", OBJECT_COMPLETE, 2, 12 * MIB);
}

/* Overwrites one byte of the only copy of BYTES in volume NUMBER. */
static void
damage(struct fixture *f, uint32_t number, const void *bytes, size_t length)
{
	static unsigned char all[16 << 20];
	char path[256];
	unsigned char *found;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/volumes/%010u.vol", f->data, (unsigned)number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	n = pread(fd, all, sizeof(all), 0);
	assert_true(n > 0);
	found = memmem(all, (size_t)n, bytes, length);
	assert_non_null(found);
	found[length / 2] ^= 1;
	assert_int_equal(pwrite(fd, found, length, found - all), length);
	close(fd);
}

static void
what_is_damaged_is_not_copied_as_good(void **state)
{
	struct fixture *f = *state;
	unsigned char bytes[5000], buffer[5000];
	struct object_cursor cursor = {0};
	struct object *object;

	assert_int_equal(fixture_put(f, "/bad", PUBLISH_LIVE, 1, sizeof(bytes)), 201);
	assert_int_equal(fixture_put(f, "/good", PUBLISH_LIVE, 2, 100), 201);
	put_dead(f);
	fixture_settle(f);
	fixture_close(f);
	fixture_bytes(1, 0, bytes, sizeof(bytes));
	damage(f, 1, bytes, sizeof(bytes));
	open_eager(f);
	for (unsigned i = 0; i < 30; i++) {
		reclaim_wake(f->store->reclaim);
		fixture_pump(f, 10);
	}
	assert_true(has_volume(f, 1));
	assert_int_equal(fixture_find(f, "/bad", &object), 0);
	assert_int_equal(fixture_read(f, object, &cursor, 0, buffer, sizeof(buffer)), -EIO);
	object_cursor_reset(&cursor);
	object_put(&object);
	fixture_expect(f, "/good", OBJECT_COMPLETE, 2, 100);
}

static void
what_expires_soon_is_left_to_do_so(void **state)
{
	struct fixture *f = *state;
	struct writer_config config = {
		.path = "/short", .content_type = "", .publish = PUBLISH_LIVE, .ttl_ms = 60000};
	struct writer_receipt receipt;
	struct writer *writer;

	put_dead(f);
	assert_int_equal(writer_open(f->store, &config, &writer), 0);
	fixture_write(f, writer, 1, 0, 5000);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	fixture_settle(f);
	reopen(f);
	for (unsigned i = 0; i < 30; i++) {
		reclaim_wake(f->store->reclaim);
		fixture_pump(f, 10);
	}
	assert_true(has_volume(f, 1));
}

/* ---- a day of a playlist --------------------------------------------------------- */

static void
a_playlist_and_what_lies_between_do_not_grow_the_disk(void **state)
{
	struct fixture *f = *state;
	uint64_t most = 0;
	size_t count;

	fixture_close(f);
	f->config.volume_size = 16 * MIB;
	open_eager(f);
	for (unsigned i = 0; i < 20000; i++) {
		assert_true(fixture_put(f, "/live/index.m3u8", PUBLISH_WHOLE, i, 4000) > 0);
		/* One that stays in every volume. */
		if (i % 4000 == 2000) {
			char path[32];

			snprintf(path, sizeof(path), "/vod/%u", i);
			assert_int_equal(fixture_put(f, path, PUBLISH_LIVE, i, 100000), 201);
		}
		if (volumes_bytes(&f->store->volumes, &count) > most)
			most = volumes_bytes(&f->store->volumes, &count);
		if (i % 100 == 0)
			usleep(15000); /* a day in some seconds, not in one */
	}
	assert_true(most <= 6 * 16 * MIB);
	fixture_settle(f);
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned at = 2000; at < 20000; at += 4000) {
			char path[32];

			snprintf(path, sizeof(path), "/vod/%u", at);
			fixture_expect(f, path, OBJECT_COMPLETE, at, 100000);
		}
		fixture_expect(f, "/live/index.m3u8", OBJECT_COMPLETE, 19999, 4000);
		rebuild(f);
	}
}

/* ---- crashes and company --------------------------------------------------------- */

static void
a_crash_at_any_moment_of_a_copy_changes_nothing(void **state)
{
	struct fixture *f = *state;
	char whole[sizeof(f->data)];

	put_survivors(f);
	fixture_close(f);
	memcpy(whole, f->data, sizeof(whole));
	for (unsigned moment = 0; moment < 24; moment++) {
		char name[16];

		memcpy(f->data, whole, sizeof(whole));
		snprintf(name, sizeof(name), "copy%u", moment);
		fixture_crash_to(f, name); /* a copy to work on: the store is closed */
		open_eager(f);
		usleep(moment * 1500);
		snprintf(name, sizeof(name), "crash%u", moment);
		fixture_crash_to(f, name);
		if (moment % 2 == 0)
			fixture_remove(f, "catalog.mdb");
		fixture_open(f);
		expect_survivors(f);
		fixture_close(f);
	}
	memcpy(f->data, whole, sizeof(whole));
	fixture_open(f);
}

static void
who_appends_while_it_is_copied_loses_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t length = 10000;

	assert_int_equal(fixture_put(f, "/log", PUBLISH_LIVE, 1, length), 201);
	for (unsigned round = 0; round < 12; round++) {
		fixture_settle(f);
		reopen(f);
		for (unsigned i = 0; i < 8; i++) {
			struct writer_receipt receipt;
			struct writer *writer;
			int err;

			reclaim_wake(f->store->reclaim);
			usleep(round * 400);
			/* As ingest does: again, as long as it is told to. */
			do
				err = fixture_try_begin(f, "/log",
							i % 2 == 0 ? PUBLISH_LIVE : PUBLISH_WHOLE,
							EXISTING_APPEND, &writer);
			while (err == -EAGAIN || err == -EBUSY);
			assert_int_equal(err, 0);
			fixture_write(f, writer, 1, length, 3000);
			fixture_finish(f, &writer, &receipt);
			assert_int_equal(fixture_answer(f, &receipt), 204);
			length += 3000;
			if (i % 4 == 3)
				fixture_settle(f);
		}
		fixture_expect(f, "/log", OBJECT_COMPLETE, 1, length);
		fixture_settle(f);
		rebuild(f);
		fixture_expect(f, "/log", OBJECT_COMPLETE, 1, length);
	}
	assert_true(metric_value(METRIC_copied_bytes_total) > 0);
	assert_true(volume_count(f) < 12);
}

int
main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_teardown)
	const struct CMUnitTest tests[] = {
		RULE(whatever_lives_moves_and_its_volume_goes),
		RULE(what_was_copied_can_be_appended_to_replaced_and_deleted),
		RULE(a_deletion_hides_the_copy_too),
		RULE(what_is_damaged_is_not_copied_as_good),
		RULE(what_expires_soon_is_left_to_do_so),
		RULE(a_playlist_and_what_lies_between_do_not_grow_the_disk),
		RULE(a_crash_at_any_moment_of_a_copy_changes_nothing),
		RULE(who_appends_while_it_is_copied_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
