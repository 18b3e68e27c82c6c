/* brim_test.c - a disk that is as full as it may be, of which nothing may go by itself (evict = off): uploads are
 * refused until there is room again, and everything that can make room has it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/reclaim_internal.h"
#include "tests/storage/fixture.h"

#define MIB ((uint64_t)1 << 20)
#define LIMIT (128 * MIB)
#define VOLUME 16 /* MiB, and so many large objects */
#define STRIDE 14

static int
set_up(void **state)
{
	int rc = fixture_setup_closed(state);
	struct fixture *f = *state;

	f->config.volume_size = VOLUME * MIB;
	f->config.disk_max = LIMIT;
	f->config.evict = false;
	if (rc == 0)
		fixture_open(f);
	return rc;
}

/* Uploads of BYTES from *NEXT on until one is refused. */
static void
fill(struct fixture *f, unsigned *next, uint64_t bytes)
{
	int status;

	while ((status = fixture_put(f, fixture_numbered(*next), PUBLISH_LIVE, *next, bytes)) ==
	       201) {
		assert_true(fixture_disk_used(f) <= LIMIT);
		(*next)++;
	}
	assert_int_equal(status, -ENOSPC);
}

static void
put_when_there_is_room(struct fixture *f, unsigned number, uint64_t bytes)
{
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;
	int status;

	/* One that was refused may have left what fitted. */
	while (status = fixture_put(f, fixture_numbered(number), PUBLISH_LIVE, number, bytes),
	       status < 0) {
		assert_int_equal(status, -ENOSPC);
		assert_true(clock_mono_ms() < end);
		usleep(20000);
	}
	assert_true(fixture_disk_used(f) <= LIMIT);
}

/* Deletes objects one by one, but for every STRIDE-th: of each volume, which holds PER_VOLUME of all that are below
 * END, those from FIRST up to LAST. */
static void
delete_most(struct fixture *f, unsigned end, unsigned per_volume, unsigned first, unsigned last)
{
	for (; first < last; first++)
		for (unsigned i = first; i < end; i += per_volume)
			if (i % STRIDE != 0)
				assert_int_equal(fixture_delete(f, fixture_numbered(i)), 0);
}

static void
expect_rest(struct fixture *f, unsigned end, uint64_t bytes)
{
	for (unsigned i = 0; i < end; i++) {
		bool is_kept = i % STRIDE == 0;

		fixture_expect(f, fixture_numbered(i), is_kept ? OBJECT_COMPLETE : OBJECT_GONE, i,
			       is_kept ? bytes : 0);
	}
}

/* The oldest are deleted, then those that came last. */
static void
deletions_have_room_below_the_limit(void **state)
{
	struct fixture *f = *state;
	unsigned next = 0, count;

	fill(f, &next, MIB);
	count = next;
	assert_true(count > 5 * VOLUME);
	assert_int_equal(fixture_delete(f, fixture_numbered(0)), 0);
	assert_true(fixture_disk_used(f) <= LIMIT);
	/* That freed no volume, and what the deletion was written to is not for objects. */
	assert_int_equal(fixture_put(f, "/more", PUBLISH_LIVE, 1, MIB), -ENOSPC);
	for (unsigned i = 1; i < 2 * VOLUME; i++)
		assert_int_equal(fixture_delete(f, fixture_numbered(i)), 0);
	put_when_there_is_room(f, next++, MIB);
	fill(f, &next, MIB);
	assert_true(next >= count + VOLUME / 2);
	for (unsigned i = next - 2 * VOLUME; i < next; i++)
		assert_int_equal(fixture_delete(f, fixture_numbered(i)), 0);
	put_when_there_is_room(f, next, MIB);
	fixture_settle(f);
	fixture_reopen(f);
	for (unsigned i = 2 * VOLUME; i < next - 2 * VOLUME; i++)
		fixture_expect(f, fixture_numbered(i), OBJECT_COMPLETE, i, MIB);
	fixture_expect(f, fixture_numbered(next), OBJECT_COMPLETE, next, MIB);
}

/* A copy leaves a volume for the objects that come meanwhile. */
static void
what_is_copied_takes_no_room_that_objects_need(void **state)
{
	struct fixture *f = *state;
	bool may_copy = true;
	unsigned next = 0;

	while (may_copy) {
		assert_int_equal(fixture_put(f, fixture_numbered(next), PUBLISH_LIVE, next, MIB),
				 201);
		next++;
		may_copy = evict_may_copy(f->store);
	}
	/* From here to the end of the active volume. */
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(fixture_put(f, fixture_numbered(next + i), PUBLISH_LIVE, i, MIB),
				 201);
	assert_false(evict_may_copy(f->store));
	atomic_store(&f->store->limits.evict, true);
	assert_true(evict_may_copy(f->store));
}

/* Every volume has something alive, and no spare volume is there to copy it to. */
static void
what_is_mostly_dead_makes_room(void **state)
{
	struct fixture *f = *state;
	unsigned next = 0, count;

	fill(f, &next, MIB);
	count = next;
	delete_most(f, count, VOLUME, 0, VOLUME);
	assert_true(fixture_disk_used(f) <= LIMIT);
	/* Until all that was dead is used again. */
	for (unsigned end = 2 * count - count / STRIDE - 2 * VOLUME; next < end; next++)
		put_when_there_is_room(f, next, MIB);
	expect_rest(f, count, MIB);
	fixture_settle(f);
	fixture_close(f);
	fixture_remove(f, "catalog.mdb");
	fixture_open(f);
	expect_rest(f, count, MIB);
	for (unsigned i = count; i < next; i++)
		fixture_expect(f, fixture_numbered(i), OBJECT_COMPLETE, i, MIB);
}

/* A tombstone alone takes a page of what is held back: all of it together would leave no room for copies. */
static void
deletions_one_by_one_leave_room(void **state)
{
	enum { SMALL = 16 << 10, PER_VOLUME = VOLUME * MIB / SMALL, FEW = PER_VOLUME * 2 / 5 };
	struct fixture *f = *state;
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;
	unsigned next = 0, count;

	fill(f, &next, SMALL);
	count = next;
	/* Not yet so many that a copy is worth it. */
	delete_most(f, count, PER_VOLUME, 0, FEW);
	while (volumes_written_bytes(&f->store->volumes) > LIMIT - VOLUME * MIB * 5 / 8) {
		assert_true(clock_mono_ms() < end);
		usleep(1000);
	}
	delete_most(f, count, PER_VOLUME, FEW, PER_VOLUME);
	put_when_there_is_room(f, next++, SMALL);
	expect_rest(f, count, SMALL);
	fixture_settle(f);
	fixture_reopen(f);
	expect_rest(f, count, SMALL);
}

/* ---- what was allocated and not written ------------------------------------------ */

/* As a server does that is killed then. */
static void
allocate(struct fixture *f, uint32_t number)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%.127s/volumes/%010u.vol", f->data, (unsigned)number);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(posix_fallocate(fd, 0, VOLUME * MIB), 0);
	close(fd);
}

static void
what_was_not_written_is_given_back(void **state)
{
	enum { BYTES = 100000 };
	struct fixture *f = *state;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, BYTES), 201);
	fixture_reopen(f);
	assert_in_range(fixture_disk_used(f), BYTES, 2 * BYTES);
	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 2, BYTES), 201);
	fixture_crash_to(f, "crash");
	allocate(f, 2);
	fixture_open(f);
	assert_in_range(fixture_disk_used(f), 2 * BYTES, 4 * BYTES);
	fixture_reopen(f);
	assert_in_range(fixture_disk_used(f), 2 * BYTES, 4 * BYTES);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, BYTES);
	fixture_expect(f, "/b", OBJECT_COMPLETE, 2, BYTES);
}

int
main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_teardown)
	const struct CMUnitTest tests[] = {
		RULE(deletions_have_room_below_the_limit),
		RULE(what_is_copied_takes_no_room_that_objects_need),
		RULE(what_is_mostly_dead_makes_room),
		RULE(deletions_one_by_one_leave_room),
		RULE(what_was_not_written_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
