/* view_test.c - bytes come from memory while they are there, from verified disk otherwise. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/store_internal.h"
#include "tests/storage/fixture.h"

/* Waits until OBJECT's tail begins at OFFSET or later. */
static void
await_trim(struct object *object, uint64_t offset)
{
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;

	while (atomic_load(&object->tail.kept_from) < offset) {
		assert_true(clock_mono_ms() < end);
		usleep(1000);
	}
}

static void
nothing_past_the_length_is_lent(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct object *object = writer_object(writer);
	struct object_cursor cursor = {0};
	struct object_view view;
	void *space;

	assert_int_equal(object_view(object, &cursor, 0, 100, &view), -EAGAIN);
	assert_true(writer_reserve(writer, &space) >= 300);
	fixture_bytes(1, 0, space, 300); /* written, but not committed */
	assert_int_equal(object_view(object, &cursor, 0, 100, &view), -EAGAIN);
	writer_commit(writer, 200);
	assert_int_equal(object_view(object, &cursor, 0, 1000, &view), 0);
	assert_int_equal(view.length, 200);
	object_view_release(&view);
	assert_int_equal(object_view(object, &cursor, 150, 10, &view), 0);
	assert_int_equal(view.length, 10);
	assert_true(fixture_same(1, 150, view.data, 10));
	object_view_release(&view);
	assert_int_equal(object_view(object, &cursor, 200, 1000, &view), -EAGAIN);
	assert_int_equal(object_view(object, &cursor, UINT64_MAX, 1000, &view), -EAGAIN);
	object_cursor_reset(&cursor);
	object_cursor_reset(&cursor);
	writer_abort(&writer);
}

static void
a_slow_reader_reads_from_disk_what_left_memory(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct object *object = writer_object(writer);
	struct object_cursor slow = {0};
	struct object_view view;
	struct writer_receipt receipt;
	char bytes[1000];

	fixture_write(f, writer, 1, 0, 300000);
	assert_int_equal(fixture_read(f, object, &slow, 0, bytes, sizeof(bytes)), 1000);
	object_cursor_reset(&slow); /* it waits for its socket now */
	fixture_write(f, writer, 1, 300000, 3700000);
	await_trim(object, 3000000);
	assert_int_equal(fixture_read(f, object, &slow, 1000, bytes, sizeof(bytes)), 1000);
	assert_int_equal(object_view(object, &slow, 2000, 1000, &view), 0);
	assert_null(view.block);
	assert_true(fixture_same(1, 2000, view.data, view.length));
	object_view_release(&view);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 4000000);
	assert_int_equal(atomic_load(&f->store->blocks.taken), 0);
}

static void
lent_bytes_outlive_the_object(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct object *object = object_get(writer_object(writer));
	struct object_cursor cursor = {0};
	struct object_view view;

	fixture_write(f, writer, 1, 0, 150000);
	assert_int_equal(object_view(object, &cursor, 70000, 10000, &view), 0);
	object_cursor_reset(&cursor);
	writer_abort(&writer);
	assert_int_equal(fixture_delete(f, "/a"), 0);
	fixture_settle(f);
	object_put(&object);
	assert_null(object);
	assert_true(fixture_same(1, 70000, view.data, view.length));
	assert_int_equal(atomic_load(&f->store->blocks.taken), TAIL_BLOCK_TOTAL);
	object_view_release(&view);
	object_view_release(&view);
	assert_int_equal(atomic_load(&f->store->blocks.taken), 0);
}

static void
after_a_restart_bytes_are_verified_before_they_are_lent(void **state)
{
	struct fixture *f = *state;
	struct object_cursor cursor = {0};
	struct object *object = NULL;
	struct object_view view;
	char byte;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 5000), 201);
	fixture_reopen(f);
	assert_int_equal(fixture_find(f, "/a", &object), 0);
	assert_int_equal(object_view(object, &cursor, 10, 1, &view), -EINPROGRESS);
	assert_int_equal(fixture_read(f, object, &cursor, 10, &byte, 1), 1);
	assert_int_equal(object_view(object, &cursor, 4999, 1, &view), 0);
	object_view_release(&view);
	object_put(&object);
}

/* Turns one bit of byte OFFSET of upload SEED in volume NUMBER. */
static void
damage(struct fixture *f, unsigned number, unsigned seed, uint64_t offset)
{
	unsigned char wanted[64], *bytes = malloc(8 << 20), *at;
	char path[256];
	ssize_t n;
	int fd;

	fixture_bytes(seed, offset, wanted, sizeof(wanted));
	snprintf(path, sizeof(path), "%s/volumes/%010u.vol", f->data, number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	n = pread(fd, bytes, 8 << 20, 0);
	at = memmem(bytes, (size_t)n, wanted, sizeof(wanted));
	assert_non_null(at);
	*at ^= 4;
	assert_int_equal(pwrite(fd, at, 1, at - bytes), 1);
	close(fd);
	free(bytes);
}

static void
damaged_bytes_are_an_error_and_never_lent(void **state)
{
	struct fixture *f = *state;
	struct object_cursor cursor = {0};
	struct object *object = NULL;
	struct writer_receipt receipt;
	struct writer *writer;
	struct object_view view;
	char bytes[100];

	/* Three pieces, each a record of its own. */
	writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	for (unsigned i = 0; i < 3; i++) {
		fixture_write(f, writer, 1, i * 300000, 300000);
		await_trim(writer_object(writer), (i + 1) * 300000 - TAIL_BLOCK_SIZE);
	}
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	fixture_close(f);
	damage(f, 1, 1, 500000);
	fixture_open(f);
	assert_int_equal(fixture_find(f, "/a", &object), 0);
	assert_int_equal(fixture_read(f, object, &cursor, 0, bytes, 100), 100);
	assert_int_equal(fixture_read(f, object, &cursor, 500000, bytes, 100), -EIO);
	assert_int_equal(object_view(object, &cursor, 400000, 1, &view), -EIO);
	assert_int_equal(fixture_read(f, object, &cursor, 500000, bytes, 100), -EIO);
	assert_int_equal(fixture_read(f, object, &cursor, 899900, bytes, 100), 100);
	object_cursor_reset(&cursor);
	object_put(&object);
}

/* ---- readers that jump about while the tail is trimmed under them ------------------- */

struct jumper {
	pthread_t thread;
	struct object *object;
	unsigned seed, wrong, from_tail, from_disk;
	_Atomic bool *stop;
};

static void *
jumper_main(void *arg)
{
	struct jumper *jumper = arg;
	struct object_cursor cursor = {0};

	while (!atomic_load(jumper->stop)) {
		uint64_t length = object_status(jumper->object).length, offset;
		struct object_view view;
		int err;

		if (length == 0)
			continue;
		jumper->seed = jumper->seed * 1103515245 + 12345;
		offset = jumper->seed / 2 % length;
		if (jumper->seed >> 29 == 0 && length > 1000)
			offset = length - 1000; /* the live edge */
		err = object_view(jumper->object, &cursor, offset, 3000, &view);
		if (err == 0) {
			jumper->wrong += !fixture_same(1, offset, view.data, view.length);
			if (view.block != NULL)
				jumper->from_tail++;
			else
				jumper->from_disk++;
			object_view_release(&view);
		} else if (err != -EINPROGRESS) {
			jumper->wrong++;
		}
		if (jumper->seed >> 30 == 1)
			object_cursor_reset(&cursor);
	}
	object_cursor_reset(&cursor);
	return NULL;
}

static void
any_offset_can_be_read_while_the_object_moves_to_disk(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct object *object = object_get(writer_object(writer));
	struct writer_receipt receipt;
	struct jumper jumpers[3];
	_Atomic bool stop = false;

	for (unsigned i = 0; i < 3; i++) {
		jumpers[i] = (struct jumper){.object = object, .seed = i, .stop = &stop};
		assert_int_equal(pthread_create(&jumpers[i].thread, NULL, jumper_main, &jumpers[i]),
				 0);
	}
	for (uint64_t at = 0; at < 20000000; at += 50000) {
		fixture_write(f, writer, 1, at, 50000);
		sched_yield();
	}
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	fixture_settle(f);
	usleep(20000);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(jumpers[i].thread, NULL);
		assert_int_equal(jumpers[i].wrong, 0);
		assert_true(jumpers[i].from_tail > 0 && jumpers[i].from_disk > 0);
	}
	object_put(&object);
	assert_int_equal(atomic_load(&f->store->blocks.taken), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
		PLAIN(nothing_past_the_length_is_lent),
		PLAIN(a_slow_reader_reads_from_disk_what_left_memory),
		PLAIN(lent_bytes_outlive_the_object),
		PLAIN(after_a_restart_bytes_are_verified_before_they_are_lent),
		PLAIN(damaged_bytes_are_an_error_and_never_lent),
		PLAIN(any_offset_can_be_read_while_the_object_moves_to_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
