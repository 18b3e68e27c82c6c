/* writer_test.c - what a PUT does to what was there, and what each writer is answered. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/store_internal.h"
#include "tests/storage/fixture.h"

static void
a_new_object_is_created_and_a_known_one_replaced(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 1000), 201);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 2, 500), 204);
	assert_int_equal(fixture_put(f, "/p", PUBLISH_WHOLE, 3, 0), 201);
	assert_int_equal(fixture_put(f, "/p", PUBLISH_WHOLE, 4, 700), 204);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 500);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 4, 700);

	/* Only the catalog knows now; nobody looked before the PUT. */
	fixture_reopen(f);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 5, 10), 204);
	assert_int_equal(fixture_put(f, "/p", PUBLISH_WHOLE, 6, 20), 204);
	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 7, 30), 201);
	assert_int_equal(fixture_put(f, "/q", PUBLISH_WHOLE, 8, 3000000), 201);
	fixture_reopen(f);
	assert_int_equal(fixture_put(f, "/q", PUBLISH_WHOLE, 9, 3000000), 204);
	assert_int_equal(fixture_delete(f, "/q"), 0);
	assert_int_equal(fixture_put(f, "/q", PUBLISH_WHOLE, 9, 3000000), 201);
	assert_int_equal(fixture_delete(f, "/b"), 0);
	fixture_reopen(f);
	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 7, 30), 201);
}

static void
a_hidden_version_that_took_long_knows_too_what_it_replaced(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *writer;

	assert_int_equal(fixture_put(f, "/p", PUBLISH_WHOLE, 1, 100), 201);
	fixture_reopen(f);
	/* Its first bytes are saved before its end is known. */
	writer = fixture_begin(f, "/p", PUBLISH_WHOLE);
	fixture_write(f, writer, 2, 0, 600000);
	usleep(300000);
	fixture_write(f, writer, 2, 600000, 600000);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	writer = fixture_begin(f, "/new", PUBLISH_WHOLE);
	fixture_write(f, writer, 2, 0, 600000);
	usleep(300000);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
}

static void
readers_that_began_on_a_version_finish_on_it(void **state)
{
	struct fixture *f = *state;
	struct object *old = NULL;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 2000000), 201);
	assert_int_equal(fixture_find(f, "/a", &old), 0);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 2, 900000), 204);
	fixture_settle(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 900000);
	assert_int_equal(object_status(old).state, OBJECT_COMPLETE);
	assert_true(fixture_holds(f, old, 1, 2000000));
	object_put(&old);
}

static void
a_live_version_is_current_at_once_and_a_whole_one_when_it_is_whole(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *writer;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 10), 201);
	writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	fixture_expect(f, "/a", OBJECT_LIVE, 2, 0);
	fixture_write(f, writer, 2, 0, 20);
	fixture_expect(f, "/a", OBJECT_LIVE, 2, 20);
	fixture_finish(f, &writer, &receipt);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 20);
	assert_int_equal(fixture_answer(f, &receipt), 204);

	assert_int_equal(fixture_put(f, "/p", PUBLISH_WHOLE, 1, 10), 201);
	writer = fixture_begin(f, "/p", PUBLISH_WHOLE);
	fixture_write(f, writer, 2, 0, 20);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 1, 10);
	fixture_finish(f, &writer, &receipt);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 2, 20);
	assert_int_equal(fixture_answer(f, &receipt), 204);

	writer = fixture_begin(f, "/new", PUBLISH_WHOLE);
	fixture_write(f, writer, 2, 0, 20);
	fixture_expect(f, "/new", OBJECT_GONE, 0, 0);
	fixture_finish(f, &writer, &receipt);
	fixture_expect(f, "/new", OBJECT_COMPLETE, 2, 20);
	assert_int_equal(fixture_answer(f, &receipt), 201);
}

static void
a_whole_version_that_breaks_off_leaves_the_old_one(void **state)
{
	struct fixture *f = *state;
	struct writer *writer;

	assert_int_equal(fixture_put(f, "/p", PUBLISH_WHOLE, 1, 10), 201);
	writer = fixture_begin(f, "/p", PUBLISH_WHOLE);
	fixture_write(f, writer, 2, 0, 3000000);
	usleep(200000); /* some of it gets to disk */
	writer_abort(&writer);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 1, 10);
	writer = fixture_begin(f, "/none", PUBLISH_WHOLE);
	fixture_write(f, writer, 2, 0, 3000000);
	writer_abort(&writer);
	fixture_expect(f, "/none", OBJECT_GONE, 0, 0);
	fixture_reopen(f);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 1, 10);
	fixture_expect(f, "/none", OBJECT_GONE, 0, 0);
}

static void
a_live_version_that_breaks_off_stays_as_incomplete(void **state)
{
	struct fixture *f = *state;
	struct writer *writer;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 10), 201);
	writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	fixture_write(f, writer, 2, 0, 700000);
	writer_abort(&writer);
	fixture_expect(f, "/a", OBJECT_INCOMPLETE, 2, 700000);
	writer = fixture_begin(f, "/b", PUBLISH_LIVE);
	writer_abort(&writer);
	fixture_expect(f, "/b", OBJECT_INCOMPLETE, 2, 0);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_INCOMPLETE, 2, 700000);
	fixture_expect(f, "/b", OBJECT_INCOMPLETE, 2, 0);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 3, 30), 204);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 3, 30);
	writer_abort(&writer); /* NULL by now */
}

/* Two encoders of one stream: neither stops the other. */
static void
a_second_writer_becomes_current_when_it_is_complete(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt first, second;
	struct writer *a = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct writer *b = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct object *old = NULL;

	fixture_write(f, a, 1, 0, 400000);
	fixture_write(f, b, 2, 0, 500000);
	fixture_expect(f, "/a", OBJECT_LIVE, 1, 400000);
	assert_int_equal(fixture_find(f, "/a", &old), 0);
	fixture_finish(f, &b, &second);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 500000);
	assert_int_equal(fixture_answer(f, &second), 204);

	/* The first one goes on for those who read it; it never comes back. */
	fixture_write(f, a, 1, 400000, 400000);
	fixture_finish(f, &a, &first);
	assert_int_equal(fixture_answer(f, &first), 204);
	assert_true(fixture_holds(f, old, 1, 800000));
	object_put(&old);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 500000);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 500000);
	fixture_close(f);
	fixture_remove(f, "catalog.mdb");
	fixture_open(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 500000);
}

static void
a_superseded_version_does_not_come_back_after_a_deletion(void **state)
{
	struct fixture *f = *state;

	/* A part of it got to disk first, or nothing; it ends before the tombstone is on disk, or
	 * after. */
	for (unsigned variant = 0; variant < 4; variant++) {
		char path[16] = {'/', (char)('a' + variant), '\0'};
		struct writer_receipt first, second;
		struct writer *a = fixture_begin(f, path, PUBLISH_LIVE), *b;
		struct store_delete del;
		uint64_t size = variant & 1 ? 300000 : 100;

		fixture_write(f, a, 1, 0, size);
		if (variant & 1)
			usleep(100000); /* its OPEN gets to disk */
		b = fixture_begin(f, path, PUBLISH_LIVE);
		fixture_write(f, b, 2, 0, 100);
		fixture_finish(f, &b, &second);
		assert_int_equal(fixture_answer(f, &second), 204);
		fixture_begin_delete(f, path, &del);
		if (variant & 2)
			fixture_await(f, &del.letter);
		fixture_write(f, a, 1, size, size);
		fixture_finish(f, &a, &first);
		fixture_answer(f, &first);
		fixture_await(f, &del.letter);
		assert_int_equal(del.result, 0);
		fixture_expect(f, path, OBJECT_GONE, 0, 0);
	}
	for (unsigned round = 0; round < 2; round++) {
		char *list;

		fixture_close(f);
		if (round == 1)
			fixture_remove(f, "catalog.mdb");
		fixture_open(f);
		list = fixture_list(f, "/");
		assert_string_equal(list, "");
		free(list);
		for (char path[] = "/a"; path[1] <= 'd'; path[1]++)
			fixture_expect(f, path, OBJECT_GONE, 0, 0);
	}
}

static void
refuse_keeps_what_is_there(void **state)
{
	struct fixture *f = *state;
	struct writer *writer, *other;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 10), 201);
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(fixture_try_begin(f, "/a", PUBLISH_LIVE, EXISTING_REFUSE, &writer),
				 -EEXIST);
		fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 10);
		fixture_reopen(f); /* then it must be looked up first */
	}
	assert_int_equal(fixture_try_begin(f, "/b", PUBLISH_LIVE, EXISTING_REFUSE, &writer), 0);
	assert_int_equal(fixture_try_begin(f, "/b", PUBLISH_LIVE, EXISTING_REFUSE, &other),
			 -EEXIST);
	writer_abort(&writer);
	/* What was left incomplete may be sent again. */
	assert_int_equal(fixture_try_begin(f, "/b", PUBLISH_LIVE, EXISTING_REFUSE, &writer), 0);
	writer_abort(&writer);
}

static void
refuse_and_append_do_not_guess(void **state)
{
	struct fixture *f = *state;
	struct writer_config config = {
		.path = "/a",
		.content_type = "text/plain",
		.existing = EXISTING_REFUSE,
	};
	struct writer *writer;
	unsigned resident;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 10), 201);
	fixture_reopen(f);
	resident = fixture_resident(f);
	assert_int_equal(writer_open(f->store, &config, &writer), -EAGAIN);
	config.existing = EXISTING_APPEND;
	assert_int_equal(writer_open(f->store, &config, &writer), -EAGAIN);
	assert_int_equal(fixture_resident(f), resident); /* a failed open leaves nothing */
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 10);
	assert_int_equal(writer_open(f->store, &config, &writer), -EAGAIN); /* its hash */
	config.existing = EXISTING_REPLACE;
	assert_int_equal(writer_open(f->store, &config, &writer), 0);
	writer_abort(&writer);
}

static void
appending_ends_in_the_same_object_as_one_upload(void **state)
{
	struct fixture *f = *state;
	uint8_t pieces[16], whole[16];
	struct object *object = NULL;
	uint64_t length = 0;

	/* Pieces of every size around a block and a record, across restarts and rebuilds. */
	const uint64_t sizes[] = {1, 65471, 1, 0, 300000, 65472, 1 << 20, 2500000, 7};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(fixture_append(f, "/a", 1, length, sizes[i]), i == 0 ? 201 : 204);
		length += sizes[i];
		fixture_expect(f, "/a", OBJECT_COMPLETE, 1, length);
		if (i % 3 == 1) {
			fixture_close(f);
			if (i % 2 == 0)
				fixture_remove(f, "catalog.mdb");
			fixture_open(f);
			fixture_expect(f, "/a", OBJECT_COMPLETE, 1, length);
		}
	}
	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 1, length), 201);
	assert_int_equal(fixture_find(f, "/a", &object), 0);
	assert_true(object_etag(object, pieces));
	object_put(&object);
	assert_int_equal(fixture_find(f, "/b", &object), 0);
	assert_true(object_etag(object, whole));
	object_put(&object);
	assert_memory_equal(pieces, whole, 16);
}

static void
an_upload_that_broke_off_may_be_continued(void **state)
{
	struct fixture *f = *state;
	struct writer *writer;

	assert_int_equal(fixture_try_begin(f, "/a", PUBLISH_LIVE, EXISTING_APPEND, &writer), 0);
	fixture_write(f, writer, 1, 0, 500000);
	assert_int_equal(fixture_append(f, "/a", 1, 500000, 1), -EBUSY);
	writer_abort(&writer);
	fixture_settle(f);
	assert_int_equal(fixture_append(f, "/a", 1, 500000, 100000), 204);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 600000);

	/* The same, with a restart in between, of an upload that did not mean to be continued. */
	writer = fixture_begin(f, "/b", PUBLISH_LIVE);
	fixture_write(f, writer, 1, 0, 500000);
	writer_abort(&writer);
	fixture_reopen(f);
	assert_int_equal(fixture_append(f, "/b", 1, 500000, 100000), 204);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 600000);
	fixture_expect(f, "/b", OBJECT_COMPLETE, 1, 600000);
}

static void
hidden_appends_do_not_mix(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *a, *b;

	assert_int_equal(fixture_put(f, "/p", PUBLISH_WHOLE, 1, 100000), 201);
	assert_int_equal(fixture_try_begin(f, "/p", PUBLISH_WHOLE, EXISTING_APPEND, &a), 0);
	fixture_write(f, a, 1, 100000, 600000);
	assert_int_equal(fixture_try_begin(f, "/p", PUBLISH_WHOLE, EXISTING_APPEND, &b), -EBUSY);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 1, 100000);
	usleep(100000);
	/* One gives up, another one begins at once. */
	writer_abort(&a);
	assert_int_equal(fixture_try_begin(f, "/p", PUBLISH_WHOLE, EXISTING_APPEND, &b), 0);
	fixture_write(f, b, 1, 100000, 400000);
	fixture_finish(f, &b, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 1, 500000);
	fixture_reopen(f);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 1, 500000);
	fixture_close(f);
	fixture_remove(f, "catalog.mdb");
	fixture_open(f);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 1, 500000);
}

static void
a_hidden_append_to_what_was_replaced_or_deleted_is_void(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *a;

	assert_int_equal(fixture_put(f, "/p", PUBLISH_WHOLE, 1, 1000), 201);
	assert_int_equal(fixture_put(f, "/q", PUBLISH_WHOLE, 1, 1000), 201);
	assert_int_equal(fixture_try_begin(f, "/p", PUBLISH_WHOLE, EXISTING_APPEND, &a), 0);
	fixture_write(f, a, 1, 1000, 1000);
	assert_int_equal(fixture_put(f, "/p", PUBLISH_WHOLE, 2, 300), 204);
	fixture_finish(f, &a, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 410);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 2, 300);

	assert_int_equal(fixture_try_begin(f, "/q", PUBLISH_WHOLE, EXISTING_APPEND, &a), 0);
	fixture_write(f, a, 1, 1000, 1000);
	assert_int_equal(fixture_delete(f, "/q"), 0);
	fixture_finish(f, &a, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 410);
	fixture_expect(f, "/q", OBJECT_GONE, 0, 0);
	fixture_reopen(f);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 2, 300);
	fixture_expect(f, "/q", OBJECT_GONE, 0, 0);
}

static void
deleting_cancels_the_writer(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);

	fixture_write(f, writer, 1, 0, 400000);
	assert_int_equal(fixture_delete(f, "/a"), 0);
	assert_true(writer_cancelled(writer));
	fixture_expect(f, "/a", OBJECT_GONE, 0, 0);
	fixture_write(f, writer, 1, 400000, 400000);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 410);
	fixture_expect(f, "/a", OBJECT_GONE, 0, 0);

	/* Its path is free at once, also for a version that is older than the deletion is long. */
	writer = fixture_begin(f, "/b", PUBLISH_LIVE);
	fixture_write(f, writer, 1, 0, 400000);
	assert_int_equal(fixture_delete(f, "/b"), 0);
	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 2, 50), 201);
	writer_abort(&writer);
	fixture_expect(f, "/b", OBJECT_COMPLETE, 2, 50);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_GONE, 0, 0);
	fixture_expect(f, "/b", OBJECT_COMPLETE, 2, 50);
}

static void
a_version_that_is_not_visible_yet_survives_a_deletion(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *writer;

	assert_int_equal(fixture_put(f, "/p", PUBLISH_WHOLE, 1, 10), 201);
	writer = fixture_begin(f, "/p", PUBLISH_WHOLE);
	fixture_write(f, writer, 2, 0, 700000);
	assert_int_equal(fixture_delete(f, "/p"), 0);
	assert_int_equal(fixture_delete(f, "/p"), -ENOENT);
	fixture_expect(f, "/p", OBJECT_GONE, 0, 0);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 2, 700000);
	fixture_reopen(f);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 2, 700000);
}

static void
a_deletion_is_of_one_version(void **state)
{
	struct fixture *f = *state;
	struct store_delete del = {.mailbox = &f->mailbox, .letter.deliver = fixture_came};
	struct object *old = NULL;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 10), 201);
	assert_int_equal(fixture_find(f, "/a", &old), 0);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 2, 20), 204);
	assert_int_equal(store_delete(f->store, old, &del), -ENOENT);
	object_put(&old);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 20);
}

static void
what_is_known_of_an_object_survives_a_restart(void **state)
{
	struct fixture *f = *state;
	struct writer_config config = {
		.path = "/a/\xc3\xa9 b",
		.content_type = "application/x-thing; v=1",
		.ttl_ms = 3600000,
	};
	struct writer_receipt receipt;
	struct object *object = NULL;
	struct writer *writer;
	uint8_t etag[16];
	int64_t mtime, expires;

	assert_int_equal(writer_open(f->store, &config, &writer), 0);
	fixture_write(f, writer, 1, 0, 5);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	assert_int_equal(fixture_find(f, config.path, &object), 0);
	mtime = object_mtime_ms(object);
	expires = object_expires_ms(object);
	/* Two clocks: expiry's does not step, and may be some milliseconds off. */
	assert_true(mtime > 0 && expires >= mtime + 3599000 && expires < mtime + 3700000);
	object_put(&object);
	fixture_reopen(f);
	assert_int_equal(fixture_find(f, config.path, &object), 0);
	assert_string_equal(object_path(object), config.path);
	assert_string_equal(object_type(object), config.content_type);
	assert_int_equal(object_mtime_ms(object), mtime);
	assert_int_equal(object_expires_ms(object), expires);
	assert_true(object_etag(object, etag));
	assert_memory_equal(etag, receipt.etag, 16);
	object_put(&object);
}

/* ---- the tail budget -------------------------------------------------------------- */

static int
setup_small_tail(void **state)
{
	struct fixture *f;
	int rc = fixture_setup_closed(state);

	f = *state;
	f->config.tail_max = 16 * TAIL_BLOCK_TOTAL;
	fixture_open(f);
	return rc;
}

static void
an_object_larger_than_the_tail_passes_through_it(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/big", PUBLISH_LIVE);
	struct writer_receipt receipt;

	for (uint64_t at = 0; at < 24 << 20; at += 1 << 20) {
		fixture_write(f, writer, 1, at, 1 << 20);
		assert_true(atomic_load(&f->store->blocks.taken) <=
			    f->config.tail_max / 4 + TAIL_BLOCK_TOTAL);
	}
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	fixture_expect(f, "/big", OBJECT_COMPLETE, 1, 24 << 20);
	fixture_settle(f);
	assert_int_equal(atomic_load(&f->store->blocks.taken), 0);
}

/* Views pin their blocks: the disk has the bytes, the budget is used up all the same. */
static void
a_writer_is_told_when_a_reader_gives_memory_back(void **state)
{
	struct fixture *f = *state;
	struct writer_room room = {.mailbox = &f->mailbox, .letter.deliver = fixture_came};
	struct object_view views[16];
	struct object_cursor cursor = {0};
	struct object *object;
	struct writer *writer;
	unsigned held = 0;
	void *space;

	/* Four objects, each within its share, every block held by a view. */
	for (unsigned i = 0; i < 4; i++) {
		char path[16] = {'/', (char)('a' + i), '\0'};
		struct writer_receipt receipt;

		writer = fixture_begin(f, path, PUBLISH_LIVE);
		fixture_write(f, writer, 1, 0, 4 * TAIL_BLOCK_SIZE);
		object = object_get(writer_object(writer));
		for (unsigned j = 0; j < 4; j++)
			assert_int_equal(object_view(object, &cursor, j * TAIL_BLOCK_SIZE, 1,
						     &views[held++]),
					 0);
		object_cursor_reset(&cursor);
		object_put(&object);
		fixture_finish(f, &writer, &receipt);
		assert_int_equal(fixture_answer(f, &receipt), 201);
	}
	fixture_settle(f);
	assert_int_equal(atomic_load(&f->store->blocks.taken), f->config.tail_max);

	writer = fixture_begin(f, "/z", PUBLISH_LIVE);
	assert_int_equal(writer_reserve(writer, &space), 0);
	writer_await_room(writer, &room);
	fixture_pump(f, 50);
	assert_non_null(room.letter.deliver);
	object_view_release(&views[--held]);
	fixture_await(f, &room.letter);
	assert_true(writer_reserve(writer, &space) > 0);
	writer_abort(&writer);
	while (held > 0)
		object_view_release(&views[--held]);
}

static void
a_wish_for_room_can_be_taken_back(void **state)
{
	struct fixture *f = *state;
	struct writer_room room = {.mailbox = &f->mailbox, .letter.deliver = fixture_came};
	struct tail_block *blocks[16];
	struct writer *writer;
	void *space;

	for (unsigned i = 0; i < 16; i++)
		assert_non_null(blocks[i] = blocks_take(&f->store->blocks));
	writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	assert_int_equal(writer_reserve(writer, &space), 0);
	writer_await_room(writer, &room);
	assert_true(writer_forget_room(writer, &room));
	assert_false(writer_forget_room(writer, &room));
	tail_block_put(blocks[0]);
	fixture_pump(f, 20);
	assert_non_null(room.letter.deliver);

	/* Room that came back between the two calls. */
	assert_non_null(blocks[0] = blocks_take(&f->store->blocks));
	assert_int_equal(writer_reserve(writer, &space), 0);
	tail_block_put(blocks[0]);
	writer_await_room(writer, &room);
	assert_false(writer_forget_room(writer, &room)); /* on its way */
	fixture_await(f, &room.letter);
	for (unsigned i = 1; i < 16; i++)
		tail_block_put(blocks[i]);
	writer_abort(&writer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
		PLAIN(a_new_object_is_created_and_a_known_one_replaced),
		PLAIN(a_hidden_version_that_took_long_knows_too_what_it_replaced),
		PLAIN(readers_that_began_on_a_version_finish_on_it),
		PLAIN(a_live_version_is_current_at_once_and_a_whole_one_when_it_is_whole),
		PLAIN(a_whole_version_that_breaks_off_leaves_the_old_one),
		PLAIN(a_live_version_that_breaks_off_stays_as_incomplete),
		PLAIN(a_second_writer_becomes_current_when_it_is_complete),
		PLAIN(a_superseded_version_does_not_come_back_after_a_deletion),
		PLAIN(refuse_keeps_what_is_there),
		PLAIN(refuse_and_append_do_not_guess),
		PLAIN(appending_ends_in_the_same_object_as_one_upload),
		PLAIN(an_upload_that_broke_off_may_be_continued),
		PLAIN(hidden_appends_do_not_mix),
		PLAIN(a_hidden_append_to_what_was_replaced_or_deleted_is_void),
		PLAIN(deleting_cancels_the_writer),
		PLAIN(a_version_that_is_not_visible_yet_survives_a_deletion),
		PLAIN(a_deletion_is_of_one_version),
		PLAIN(what_is_known_of_an_object_survives_a_restart),
#define SMALL(test) cmocka_unit_test_setup_teardown(test, setup_small_tail, fixture_teardown)
		SMALL(an_object_larger_than_the_tail_passes_through_it),
		SMALL(a_writer_is_told_when_a_reader_gives_memory_back),
		SMALL(a_wish_for_room_can_be_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
