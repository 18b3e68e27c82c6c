/* persister_test.c - what is acknowledged is synced, and what happens when the disk fails. */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/store_internal.h"
#include "tests/storage/fixture.h"
#include "tests/storage/played_disk.h"

static unsigned
count_volumes(struct fixture *f)
{
	char path[256];
	struct dirent *entry;
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/volumes", f->data);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* ---- the healthy disk --------------------------------------------------------------- */

static void
nothing_is_acknowledged_or_dropped_before_the_sync(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct object *object = object_get(writer_object(writer));
	struct writer_receipt receipt;
	struct store_delete del;

	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 1, 10), 201);
	atomic_store(&disk.gate_closed, 1);
	fixture_write(f, writer, 1, 0, 1000000);
	fixture_finish(f, &writer, &receipt);
	disk_await_sync();
	fixture_pump(f, 50);
	assert_non_null(receipt.letter.deliver);
	assert_int_equal(atomic_load(&object->tail.kept_from), 0);
	assert_true(atomic_load(&f->store->blocks.taken) >= 1000000);
	/* A stalled disk delays neither reader nor writer. */
	assert_true(fixture_holds(f, object, 1, 1000000));
	fixture_begin_delete(f, "/b", &del);
	fixture_expect(f, "/b", OBJECT_GONE, 0, 0);
	writer = fixture_begin(f, "/c", PUBLISH_LIVE);
	fixture_write(f, writer, 2, 0, 1000000);
	fixture_expect(f, "/c", OBJECT_LIVE, 2, 1000000);
	fixture_pump(f, 50);
	assert_non_null(del.letter.deliver);
	atomic_store(&disk.gate_closed, 0);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	fixture_await(f, &del.letter);
	assert_int_equal(del.result, 0);
	writer_abort(&writer);
	fixture_settle(f);
	assert_int_equal(atomic_load(&f->store->blocks.taken), 0);
	assert_true(fixture_holds(f, object, 1, 1000000));
	object_put(&object);
}

static void
uploads_that_end_together_share_a_sync(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipts[200];
	struct writer *writer;
	int before;

	assert_int_equal(fixture_put(f, "/first", PUBLISH_LIVE, 1, 10), 201);
	atomic_store(&disk.gate_closed, 1);
	for (unsigned i = 0; i < 200; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/%u", i);
		writer = fixture_begin(f, path, PUBLISH_LIVE);
		fixture_write(f, writer, i, 0, 1000);
		fixture_finish(f, &writer, &receipts[i]);
		if (i == 0)
			disk_await_sync();
	}
	before = atomic_load(&disk.syncs);
	atomic_store(&disk.gate_closed, 0);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(fixture_answer(f, &receipts[i]), 201);
	assert_true(atomic_load(&disk.syncs) - before <= 2);
}

static void
a_byte_is_on_disk_after_a_second_though_its_object_grows(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	int64_t begun = clock_mono_ms();

	fixture_write(f, writer, 1, 0, 100);
	while (atomic_load(&disk.syncs) == 0) {
		assert_true(clock_mono_ms() < begun + 5000);
		usleep(5000);
	}
	fixture_write(f, writer, 1, 100, 100);
	begun = clock_mono_ms();
	while (atomic_load(&disk.syncs) < 2) {
		assert_true(clock_mono_ms() < begun + 5000);
		usleep(5000);
	}
	usleep(20000);
	writer_abort(&writer);
	fixture_crash_to(f, "crash");
	fixture_open(f);
	fixture_expect(f, "/a", OBJECT_INCOMPLETE, 1, 200);
}

static void
what_is_not_on_disk_yet_cannot_be_continued(void **state)
{
	struct fixture *f = *state;
	struct writer *writer;

	assert_int_equal(fixture_put(f, "/first", PUBLISH_LIVE, 1, 10), 201);
	assert_int_equal(fixture_try_begin(f, "/a", PUBLISH_LIVE, EXISTING_APPEND, &writer), 0);
	fixture_write(f, writer, 1, 0, 5000);
	atomic_store(&disk.gate_closed, 1);
	writer_abort(&writer);
	disk_await_sync();
	assert_int_equal(fixture_append(f, "/a", 1, 5000, 5000), -EBUSY);
	atomic_store(&disk.gate_closed, 0);
	fixture_settle(f);
	assert_int_equal(fixture_append(f, "/a", 1, 5000, 5000), 204);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 10000);
}

/* The end of one append and the beginning of another meet in one batch. */
static void
an_append_that_was_given_up_takes_nothing_from_the_next_one(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt, other;
	struct writer *a, *b, *c;
	struct object *object;

	assert_int_equal(fixture_put(f, "/p", PUBLISH_WHOLE, 1, 1000), 201);
	assert_int_equal(fixture_try_begin(f, "/p", PUBLISH_WHOLE, EXISTING_APPEND, &a), 0);
	object = object_get(writer_object(a));
	fixture_write(f, a, 1, 1000, 300000);
	while (atomic_load(&object->tail.kept_from) == 1000)
		usleep(1000); /* its OPEN is in the log then */
	object_put(&object);
	atomic_store(&disk.gate_closed, 1);
	c = fixture_begin(f, "/c", PUBLISH_LIVE);
	fixture_finish(f, &c, &other);
	disk_await_sync();
	writer_abort(&a);
	assert_int_equal(fixture_try_begin(f, "/p", PUBLISH_WHOLE, EXISTING_APPEND, &b), 0);
	fixture_write(f, b, 1, 1000, 300000);
	atomic_store(&disk.gate_closed, 0);
	assert_int_equal(fixture_answer(f, &other), 201);
	usleep(500000); /* the catalog gets that far too */
	fixture_write(f, b, 1, 301000, 1000);
	fixture_finish(f, &b, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 1, 302000);
	fixture_reopen(f);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 1, 302000);
}

/* What was queued while the disk stalled: others get their turn between thousands of deletions, and
 * between the pieces of a large upload. */
static void
nobody_has_to_wait_for_a_crowd(void **state)
{
	struct fixture *f = *state;
	const unsigned crowd = 3000;
	struct store_delete *dels = calloc(crowd, sizeof(*dels));
	struct writer_receipt small, large;
	struct writer *writer, *other;
	unsigned left = 0;
	char path[16];

	for (unsigned i = 0; i < crowd; i++) {
		snprintf(path, sizeof(path), "/%u", i);
		writer = fixture_begin(f, path, PUBLISH_LIVE);
		writer_abort(&writer);
	}
	fixture_settle(f);
	atomic_store(&disk.gate_closed, 1);
	other = fixture_begin(f, "/large", PUBLISH_LIVE);
	fixture_write(f, other, 1, 0, 24 << 20);
	disk_await_sync();
	fixture_finish(f, &other, &large);
	for (unsigned i = 0; i < crowd; i++) {
		snprintf(path, sizeof(path), "/%u", i);
		fixture_begin_delete(f, path, &dels[i]);
	}
	writer = fixture_begin(f, "/small", PUBLISH_LIVE);
	fixture_write(f, writer, 1, 0, 1000);
	fixture_finish(f, &writer, &small);
	atomic_store(&disk.gate_closed, 0);
	assert_int_equal(fixture_answer(f, &small), 201);
	for (unsigned i = 0; i < crowd; i++)
		left += dels[i].letter.deliver != NULL;
	assert_true(left > 0);
	assert_non_null(large.letter.deliver);
	for (unsigned i = 0; i < crowd; i++)
		fixture_await(f, &dels[i].letter);
	assert_int_equal(fixture_answer(f, &large), 201);
	free(dels);
}

/* ---- the failing disk --------------------------------------------------------------- */

static void
a_sync_that_fails_is_not_repeated_but_written_elsewhere(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 700000), 201);
	atomic_store(&disk.failing_syncs, 1);
	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 2, 700000), 201);
	assert_int_equal(fixture_put(f, "/c", PUBLISH_LIVE, 3, 700000), 201);
	assert_int_equal(atomic_load(&disk.syncs_of_failed), 0);
	assert_int_equal(count_volumes(f), 2);
	for (unsigned round = 0; round < 2; round++) {
		fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 700000);
		fixture_expect(f, "/b", OBJECT_COMPLETE, 2, 700000);
		fixture_expect(f, "/c", OBJECT_COMPLETE, 3, 700000);
		fixture_reopen(f);
	}
}

static int
ready(struct fixture *f)
{
	char why[256];

	return store_ready(f->store, why, sizeof(why));
}

/* Uses up the space that is allocated to a volume already. */
static void
fill(struct fixture *f)
{
	for (uint64_t size = 3 << 20; size > 1; size /= 8)
		for (unsigned i = 0; fixture_put(f, "/fill", PUBLISH_LIVE, 2, size) > 0; i++)
			assert_true(i < 100);
}

/* Every answer says so, nothing else breaks, and it works again when the disk does. */
static void
expect_errors_then_recovery(struct fixture *f, int error)
{
	struct writer *writer = fixture_begin(f, "/growing", PUBLISH_LIVE), *late;
	struct writer_receipt receipt;
	struct store_delete del;

	/* /kept is acknowledged, but not in the catalog yet. */
	assert_int_equal(fixture_put(f, "/gone", PUBLISH_LIVE, 7, 70), 201);
	assert_int_equal(fixture_put(f, "/kept", PUBLISH_LIVE, 1, 300000), 201);
	assert_int_equal(fixture_put(f, "/kept.m3u8", PUBLISH_WHOLE, 1, 100), 201);
	assert_int_equal(ready(f), 0);
	if (error == -EIO)
		atomic_store(&disk.failing_syncs, -1);
	else
		atomic_store(&disk.full, 1);
	fill(f);

	assert_int_equal(fixture_put(f, "/kept", PUBLISH_LIVE, 2, 3 << 20), error);
	assert_int_equal(fixture_put(f, "/kept.m3u8", PUBLISH_WHOLE, 2, 3 << 20), error);
	assert_int_equal(fixture_put(f, "/new", PUBLISH_LIVE, 3, 3 << 20), error);
	assert_int_equal(ready(f), error);
	fixture_expect(f, "/kept", OBJECT_COMPLETE, 1, 300000);
	fixture_expect(f, "/kept.m3u8", OBJECT_COMPLETE, 1, 100);
	fixture_expect(f, "/new", OBJECT_GONE, 0, 0);
	if (fixture_try_begin(f, "/broken", PUBLISH_LIVE, EXISTING_REPLACE, &late) == 0) {
		fixture_write(f, late, 4, 0, 3 << 20);
		writer_abort(&late);
	} else {
		assert_int_equal(error, -ENOSPC); /* which may be known beforehand */
	}
	fixture_begin_delete(f, "/gone", &del);
	fixture_await(f, &del.letter);
	/* A tombstone may find room where nothing else does. */
	assert_true(del.result == error || (del.result == 0 && error == -ENOSPC));
	fixture_write(f, writer, 5, 0, 3 << 20);
	usleep(1200000); /* it is tried again and again */
	fixture_expect(f, "/growing", OBJECT_LIVE, 5, 3 << 20);

	disk_heal_and_wait(f);
	assert_int_equal(fixture_put(f, "/new", PUBLISH_LIVE, 6, 3 << 20), 201);
	assert_int_equal(ready(f), 0);
	fixture_write(f, writer, 5, 3 << 20, 1000);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	fixture_settle(f);
	assert_int_equal(atomic_load(&f->store->blocks.taken), 0);
	for (unsigned round = 0; round < 3; round++) {
		fixture_expect(f, "/kept", OBJECT_COMPLETE, 1, 300000);
		fixture_expect(f, "/kept.m3u8", OBJECT_COMPLETE, 1, 100);
		fixture_expect(f, "/new", OBJECT_COMPLETE, 6, 3 << 20);
		fixture_expect(f, "/growing", OBJECT_COMPLETE, 5, (3 << 20) + 1000);
		fixture_close(f);
		if (round == 1)
			fixture_remove(f, "catalog.mdb");
		fixture_open(f);
	}
}

static void
a_disk_that_fails_is_answered_and_survived(void **state)
{
	expect_errors_then_recovery(*state, -EIO);
	assert_int_equal(atomic_load(&disk.syncs_of_failed), 0);
}

static void
a_full_disk_is_answered_and_survived(void **state)
{
	struct fixture *f = *state;

	expect_errors_then_recovery(f, -ENOSPC);
}

static void
a_full_disk_gets_no_new_volume_for_every_attempt(void **state)
{
	struct fixture *f = *state;
	unsigned before;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 10), 201);
	atomic_store(&disk.full, 1);
	fill(f);
	before = count_volumes(f);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 2, 3 << 20), -ENOSPC);
	assert_int_equal(count_volumes(f), before);
	disk_heal_and_wait(f);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 3, 3 << 20), 204);
	assert_int_equal(count_volumes(f), before);
}

/* It replaced the old version when it began, and a part of it was stored. */
static void
a_live_version_that_found_no_room_for_its_end_is_incomplete(void **state)
{
	struct fixture *f = *state;
	struct object *object;
	struct writer_receipt receipt;
	struct writer *writer;
	uint64_t stored;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 1000), 201);
	writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	object = object_get(writer_object(writer));
	fixture_write(f, writer, 2, 0, 300000);
	while ((stored = atomic_load(&object->tail.kept_from)) == 0)
		usleep(1000);
	atomic_store(&disk.full, 1);
	fill(f);
	fixture_write(f, writer, 2, 300000, 3 << 20);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), -ENOSPC);
	assert_int_equal(object_status(object).state, OBJECT_GONE); /* its readers saw more */
	object_put(&object);
	for (unsigned round = 0; round < 3; round++) {
		fixture_expect(f, "/a", OBJECT_INCOMPLETE, 2, 300000);
		if (round == 0)
			fixture_settle(f);
		fixture_close(f);
		if (round == 1)
			fixture_remove(f, "catalog.mdb");
		fixture_open(f);
	}
}

/* Not even for the moment until the catalog knows of the deletion. */
static void
a_lost_version_does_not_bring_back_what_was_deleted_before_it(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 1000), 201);
	fixture_settle(f);
	assert_int_equal(fixture_delete(f, "/a"), 0);
	atomic_store(&disk.failing_syncs, -1);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 2, 1000), -EIO);
	fixture_expect(f, "/a", OBJECT_GONE, 0, 0);
	disk_heal();
	fixture_settle(f);
	fixture_expect(f, "/a", OBJECT_GONE, 0, 0);
}

/* The one that overtook it was lost: the first version is current again and must be kept. */
static void
a_version_whose_successor_is_lost_is_kept(void **state)
{
	struct fixture *f = *state;
	struct writer *first = fixture_begin(f, "/a", PUBLISH_LIVE), *second;
	struct writer_receipt receipt;

	fixture_write(f, first, 1, 0, 300000);
	while (atomic_load(&disk.syncs) == 0)
		usleep(1000);
	second = fixture_begin(f, "/a", PUBLISH_LIVE);
	fixture_write(f, second, 2, 0, 1000);
	atomic_store(&disk.gate_closed, 1);
	fixture_finish(f, &second, &receipt);
	fixture_write(f, first, 1, 300000, 300000); /* perhaps in the same batch */
	disk_await_sync();
	atomic_store(&disk.failing_syncs, -1);
	atomic_store(&disk.gate_closed, 0);
	assert_int_equal(fixture_answer(f, &receipt), -EIO);
	fixture_expect(f, "/a", OBJECT_LIVE, 1, 600000);
	disk_heal();
	fixture_write(f, first, 1, 600000, 1000);
	fixture_finish(f, &first, &receipt);
	assert_true(fixture_answer(f, &receipt) > 0);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 601000);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 601000);
	fixture_close(f);
	fixture_remove(f, "catalog.mdb");
	fixture_open(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 601000);
}

/* Both end in the batch that fails: neither may be called stored. */
static void
a_version_that_is_lost_with_its_successor_is_not_acknowledged(void **state)
{
	struct fixture *f = *state;
	struct writer *first = fixture_begin(f, "/a", PUBLISH_LIVE), *second, *other;
	struct writer_receipt receipts[3];
	struct object *object = object_get(writer_object(first));

	fixture_write(f, first, 1, 0, 300000);
	while (atomic_load(&object->tail.kept_from) == 0)
		usleep(1000); /* all of it is in the log, but not its end */
	object_put(&object);
	second = fixture_begin(f, "/a", PUBLISH_LIVE);
	fixture_write(f, second, 2, 0, 1000);
	other = fixture_begin(f, "/other", PUBLISH_LIVE);
	atomic_store(&disk.gate_closed, 1);
	fixture_finish(f, &other, &receipts[2]);
	disk_await_sync();
	fixture_finish(f, &second, &receipts[1]);
	fixture_finish(f, &first, &receipts[0]);
	atomic_store(&disk.failing_syncs, -1);
	atomic_store(&disk.gate_closed, 0);
	assert_int_equal(fixture_answer(f, &receipts[2]), -EIO);
	assert_int_equal(fixture_answer(f, &receipts[1]), -EIO);
	assert_int_equal(fixture_answer(f, &receipts[0]), -EIO);
	disk_heal();
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_INCOMPLETE, 1, 300000);
}

/* A limit of the file size stops volumes, catalog and all. */
static void
a_limit_of_the_file_size_is_survived(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit, small;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 1000), 201);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;

	/* Volumes stop early, that is all. */
	small.rlim_cur = 20 << 20;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, i, 5 << 20),
				 i == 0 ? 201 : 204);
	fixture_expect(f, "/b", OBJECT_COMPLETE, 11, 5 << 20);

	small.rlim_cur = 8192;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(fixture_put(f, "/c", PUBLISH_LIVE, i, 5 << 20), -EFBIG);
	usleep(400000); /* the catalog tries too */
	fixture_expect(f, "/b", OBJECT_COMPLETE, 11, 5 << 20);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(fixture_put(f, "/c", PUBLISH_LIVE, 9, 5 << 20), 201);
	fixture_settle(f);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 1000);
	fixture_expect(f, "/b", OBJECT_COMPLETE, 11, 5 << 20);
	fixture_expect(f, "/c", OBJECT_COMPLETE, 9, 5 << 20);
}

static void
closing_on_a_failing_disk_answers_everyone(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipts[20];
	struct writer *writer;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 1000), 201);
	atomic_store(&disk.failing_syncs, -1);
	for (unsigned i = 0; i < 20; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/%u", i);
		writer = fixture_begin(f, path, PUBLISH_LIVE);
		fixture_write(f, writer, i, 0, 100000);
		fixture_finish(f, &writer, &receipts[i]);
	}
	fixture_close(f);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(fixture_answer(f, &receipts[i]), -EIO);
	disk_heal();
	fixture_open(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, disk_setup, disk_teardown)
		ON_DISK(nothing_is_acknowledged_or_dropped_before_the_sync),
		ON_DISK(uploads_that_end_together_share_a_sync),
		ON_DISK(a_byte_is_on_disk_after_a_second_though_its_object_grows),
		ON_DISK(what_is_not_on_disk_yet_cannot_be_continued),
		ON_DISK(an_append_that_was_given_up_takes_nothing_from_the_next_one),
		ON_DISK(nobody_has_to_wait_for_a_crowd),
		ON_DISK(a_sync_that_fails_is_not_repeated_but_written_elsewhere),
		ON_DISK(a_disk_that_fails_is_answered_and_survived),
		ON_DISK(a_full_disk_is_answered_and_survived),
		ON_DISK(a_full_disk_gets_no_new_volume_for_every_attempt),
		ON_DISK(a_live_version_that_found_no_room_for_its_end_is_incomplete),
		ON_DISK(a_lost_version_does_not_bring_back_what_was_deleted_before_it),
		ON_DISK(a_version_whose_successor_is_lost_is_kept),
		ON_DISK(a_version_that_is_lost_with_its_successor_is_not_acknowledged),
		ON_DISK(a_limit_of_the_file_size_is_survived),
		ON_DISK(closing_on_a_failing_disk_answers_everyone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
