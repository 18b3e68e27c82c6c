/* handover_test.c - senders that vanish, fall silent and come back, one and two at a time. */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/store_internal.h"
#include "storage/writer_internal.h"
#include "tests/storage/fixture.h"

#define WINDOW_LONG 60000
#define WINDOW_SHORT 1

static int
setup_waiting(void **state)
{
	int rc = fixture_setup_closed(state);
	struct fixture *f = *state;

	if (rc != 0)
		return rc;
	f->config.resume_window_ms = WINDOW_LONG;
	f->config.writer_takeover_ms = WINDOW_LONG;
	fixture_open(f);
	return 0;
}

static int
setup_impatient(void **state)
{
	int rc = fixture_setup_closed(state);
	struct fixture *f = *state;

	if (rc != 0)
		return rc;
	f->config.resume_window_ms = WINDOW_SHORT;
	f->config.writer_takeover_ms = WINDOW_SHORT;
	fixture_open(f);
	return 0;
}

static int
load(struct fixture *f, const char *path, struct object **out)
{
	struct store_load request = {
		.store = f->store,
		.path = path,
		.to_extend = true,
		.mailbox = &f->mailbox,
		.letter.deliver = fixture_came,
	};

	store_load(&request);
	fixture_await(f, &request.letter);
	*out = request.result == 0 ? request.object : NULL;
	return request.result;
}

/* writer_open as a server does it: asks the disk when it must. *LENGTH is the present one on -ERANGE. */
static int
open_with(struct fixture *f, struct writer_config *config, struct writer **out)
{
	int err;

	config->content_type = "video/mp4";
	while ((err = writer_open(f->store, config, out)) == -EAGAIN) {
		struct object *object;
		int found = load(f, config->path, &object);

		config->absent = found == -ENOENT;
		err = writer_open(f->store, config, out);
		object_put(&object);
		if (err != -EAGAIN)
			break;
	}
	return err;
}

static int
go_on(struct fixture *f, const char *path, uint64_t offset, struct writer **out, uint64_t *length)
{
	struct writer_config config = {
		.path = path, .existing = EXISTING_CONTINUE, .offset = offset};
	int err = open_with(f, &config, out);

	*length = config.length;
	return err;
}

static struct object *
find(struct fixture *f, const char *path)
{
	struct object *object = NULL;

	assert_int_equal(fixture_find(f, path, &object), 0);
	return object;
}

static void
await_state(struct object *object, enum object_state state)
{
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;

	while (object_status(object).state != state) {
		if (clock_mono_ms() > end)
			fail_msg("the state was never reached");
		usleep(5000);
	}
}

static void
a_sender_goes_on_in_place_and_readers_notice_nothing(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct object *seen = find(f, "/a");
	uint64_t length;

	fixture_write(f, writer, 1, 0, 700000);
	writer_abort(&writer);
	assert_null(writer);
	for (unsigned i = 1; i <= 3; i++) {
		uint64_t at = 700000 * (uint64_t)i;

		assert_int_equal(object_status(seen).state, OBJECT_LIVE);
		assert_int_equal(go_on(f, "/a", at - 1, &writer, &length), -ERANGE);
		assert_int_equal(length, at);
		assert_int_equal(go_on(f, "/a", 0, &writer, &length), -ERANGE);
		assert_int_equal(go_on(f, "/a", at + 1, &writer, &length), -ERANGE);
		assert_int_equal(go_on(f, "/a", at, &writer, &length), 0);
		assert_ptr_equal(writer_object(writer), seen);
		assert_int_equal(go_on(f, "/a", at, &writer, &length), -EBUSY);
		fixture_write(f, writer, 1, at, 700000);
		if (i < 3)
			writer_abort(&writer);
	}
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	assert_int_equal(object_status(seen).state, OBJECT_COMPLETE);
	assert_true(fixture_holds(f, seen, 1, 2800000));
	object_put(&seen);
	assert_int_equal(fixture_put(f, "/same", PUBLISH_LIVE, 1, 2800000), 201);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 2800000);
}

static void
the_etag_of_a_resumed_object_is_that_of_its_bytes(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt resumed, plain;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	uint64_t length;

	fixture_write(f, writer, 1, 0, 1000);
	writer_abort(&writer);
	assert_int_equal(go_on(f, "/a", 1000, &writer, &length), 0);
	fixture_write(f, writer, 1, 1000, 500);
	fixture_finish(f, &writer, &resumed);
	assert_int_equal(fixture_answer(f, &resumed), 204);
	writer = fixture_begin(f, "/b", PUBLISH_LIVE);
	fixture_write(f, writer, 1, 0, 1500);
	fixture_finish(f, &writer, &plain);
	assert_int_equal(fixture_answer(f, &plain), 201);
	assert_memory_equal(resumed.etag, plain.etag, sizeof(plain.etag));
}

static void
an_append_goes_on_with_what_waits(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct object *seen = find(f, "/a");

	fixture_write(f, writer, 1, 0, 1000);
	writer_abort(&writer);
	assert_int_equal(fixture_try_begin(f, "/a", PUBLISH_LIVE, EXISTING_APPEND, &writer), 0);
	assert_ptr_equal(writer_object(writer), seen);
	fixture_write(f, writer, 1, 1000, 1000);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	assert_true(fixture_holds(f, seen, 1, 2000));
	object_put(&seen);
}

static void
the_window_ends_and_the_object_can_still_be_continued(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct object *seen = find(f, "/a");
	uint64_t length;
	int err;

	fixture_write(f, writer, 1, 0, 300000);
	writer_abort(&writer);
	await_state(seen, OBJECT_INCOMPLETE);
	fixture_expect(f, "/a", OBJECT_INCOMPLETE, 1, 300000);
	assert_int_equal(go_on(f, "/a", 5, &writer, &length), -ERANGE);
	assert_int_equal(length, 300000);
	while ((err = go_on(f, "/a", 300000, &writer, &length)) == -EBUSY)
		usleep(5000); /* its last bytes are on their way to disk */
	assert_int_equal(err, 0);
	assert_ptr_not_equal(writer_object(writer), seen);
	fixture_write(f, writer, 1, 300000, 300000);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	assert_int_equal(object_status(seen).state, OBJECT_INCOMPLETE);
	object_put(&seen);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 600000);
}

static void
what_broke_off_can_be_continued_after_a_restart(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	uint64_t length;

	fixture_write(f, writer, 1, 0, 300000);
	writer_abort(&writer);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_INCOMPLETE, 1, 300000);
	fixture_reopen(f);
	assert_int_equal(go_on(f, "/a", 0, &writer, &length), -ERANGE);
	assert_int_equal(length, 300000);
	assert_int_equal(go_on(f, "/a", 300000, &writer, &length), 0);
	fixture_write(f, writer, 1, 300000, 1000);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 301000);
}

static void
offsets_are_judged_against_what_is_there(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *writer;
	uint64_t length = 1;

	assert_int_equal(go_on(f, "/a", 10, &writer, &length), -ERANGE);
	assert_int_equal(length, 0);
	assert_int_equal(go_on(f, "/a", 0, &writer, &length), 0);
	fixture_write(f, writer, 1, 0, 100);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	assert_int_equal(go_on(f, "/a", 0, &writer, &length), -ERANGE);
	assert_int_equal(length, 100);
	fixture_reopen(f);
	assert_int_equal(go_on(f, "/a", 99, &writer, &length), -ERANGE);
	assert_int_equal(length, 100);
	assert_int_equal(go_on(f, "/a", 100, &writer, &length), 0);
	fixture_write(f, writer, 1, 100, 100);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 200);
	assert_int_equal(fixture_put(f, "/empty", PUBLISH_LIVE, 1, 0), 201);
	assert_int_equal(go_on(f, "/empty", 0, &writer, &length), 0);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
}

static void
what_is_complete_may_be_closed_for_continuation(void **state)
{
	struct fixture *f = *state;
	struct writer_config config = {
		.path = "/a", .existing = EXISTING_CONTINUE, .offset = 10, .refuse_complete = true};
	struct writer *writer;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 10), 201);
	assert_int_equal(open_with(f, &config, &writer), -EEXIST);
	writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	fixture_write(f, writer, 2, 0, 10);
	writer_abort(&writer);
	assert_int_equal(open_with(f, &config, &writer), 0);
	writer_abort(&writer);
}

static void
a_plain_upload_replaces_what_waits(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct object *seen = find(f, "/a");

	fixture_write(f, writer, 1, 0, 1000);
	writer_abort(&writer);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 2, 50), 204);
	assert_int_equal(object_status(seen).state, OBJECT_INCOMPLETE);
	assert_true(fixture_holds(f, seen, 1, 1000));
	object_put(&seen);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 50);
}

static void
who_was_refused_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);

	fixture_write(f, writer, 1, 0, 1000);
	writer_drop(&writer);
	fixture_expect(f, "/a", OBJECT_INCOMPLETE, 1, 1000);
	writer_drop(&writer); /* NULL by now */
}

static void
a_deletion_takes_what_waits_with_it(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct object *seen = find(f, "/a");
	uint64_t length;

	fixture_write(f, writer, 1, 0, 1000000);
	writer_abort(&writer);
	assert_int_equal(fixture_delete(f, "/a"), 0);
	assert_int_equal(object_status(seen).state, OBJECT_GONE);
	object_put(&seen);
	assert_int_equal(go_on(f, "/a", 1000000, &writer, &length), -ERANGE);
	assert_int_equal(length, 0);
	fixture_settle(f);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_GONE, 0, 0);
}

/* The first one vanishes: the second one's version is current and live at once, as far as it is. */
static void
vanish_under_a_rival(struct fixture *f)
{
	struct writer_receipt receipt;
	struct writer *first = fixture_begin(f, "/a", PUBLISH_LIVE), *second;
	struct object *seen = find(f, "/a"), *now;

	fixture_write(f, first, 1, 0, 600000);
	second = fixture_begin(f, "/a", PUBLISH_LIVE);
	fixture_write(f, second, 2, 0, 400000);
	now = find(f, "/a");
	assert_ptr_equal(now, seen);
	object_put(&now);
	writer_abort(&first);
	assert_int_equal(object_status(seen).state, OBJECT_INCOMPLETE);
	object_put(&seen);
	now = find(f, "/a");
	assert_ptr_equal(now, writer_object(second));
	assert_int_equal(object_status(now).length, 400000);
	fixture_write(f, second, 2, 400000, 400000);
	fixture_finish(f, &second, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	assert_true(fixture_holds(f, now, 2, 800000));
	object_put(&now);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 800000);
}

static void
a_second_writer_takes_over_when_the_first_vanishes(void **state)
{
	vanish_under_a_rival(*state);
}

static void
it_does_so_without_a_window_too(void **state)
{
	vanish_under_a_rival(*state);
}

static void
a_rival_that_vanished_takes_nothing_over(void **state)
{
	struct fixture *f = *state;
	struct writer *first = fixture_begin(f, "/a", PUBLISH_LIVE), *second;
	struct object *seen = find(f, "/a"), *now;

	fixture_write(f, first, 1, 0, 1000);
	second = fixture_begin(f, "/a", PUBLISH_LIVE);
	fixture_write(f, second, 2, 0, 1000);
	writer_abort(&second);
	writer_abort(&first);
	now = find(f, "/a");
	assert_ptr_equal(now, seen);
	assert_int_equal(object_status(seen).state, OBJECT_LIVE); /* waits */
	object_put(&now);
	object_put(&seen);
}

static void
of_several_rivals_the_first_takes_over_and_the_next_waits(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *writers[4];

	for (unsigned i = 0; i < 4; i++) {
		writers[i] = fixture_begin(f, "/a", PUBLISH_LIVE);
		fixture_write(f, writers[i], i, 0, 1000);
	}
	for (unsigned i = 0; i < 3; i++) {
		struct object *now = find(f, "/a");

		assert_ptr_equal(now, writer_object(writers[i]));
		object_put(&now);
		writer_abort(&writers[i]);
	}
	fixture_finish(f, &writers[3], &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 3, 1000);
}

static void
a_second_writer_takes_over_from_a_silent_one(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *first, *second;
	struct object *seen, *now;
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;

	first = fixture_begin(f, "/a", PUBLISH_LIVE);
	fixture_write(f, first, 1, 0, 300000);
	second = fixture_begin(f, "/a", PUBLISH_LIVE);
	seen = find(f, "/a");
	assert_ptr_equal(seen, writer_object(first));
	/* The first one has been silent for longer than anybody waits; the second one has not. */
	atomic_store(&first->active_ms, -10 * (int64_t)WINDOW_LONG);
	for (;;) {
		now = find(f, "/a");
		if (now == writer_object(second))
			break;
		object_put(&now);
		assert_true(clock_mono_ms() < end);
		usleep(5000);
	}
	object_put(&now);
	/* The first one was not dead: its readers get all of it, and it is answered. */
	fixture_write(f, first, 1, 300000, 1000);
	fixture_finish(f, &first, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	assert_int_equal(object_status(seen).state, OBJECT_COMPLETE);
	assert_true(fixture_holds(f, seen, 1, 301000));
	object_put(&seen);
	fixture_write(f, second, 2, 0, 500);
	fixture_finish(f, &second, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 500);
}

static void
a_newcomer_to_a_silent_writer_is_live_at_once(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *first = fixture_begin(f, "/a", PUBLISH_LIVE), *second;
	struct object *now;

	atomic_store(&first->active_ms, -10 * (int64_t)WINDOW_LONG);
	second = fixture_begin(f, "/a", PUBLISH_LIVE);
	now = find(f, "/a");
	assert_ptr_equal(now, writer_object(second));
	object_put(&now);
	writer_abort(&first);
	fixture_write(f, second, 2, 0, 500);
	fixture_finish(f, &second, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 500);
}

static void
a_second_writer_may_be_refused(void **state)
{
	struct fixture *f = *state;
	struct writer_config config = {.path = "/a", .refuse_second = true};
	struct writer *first, *second;

	assert_int_equal(open_with(f, &config, &first), 0);
	assert_int_equal(open_with(f, &config, &second), -EBUSY);
	config.publish = PUBLISH_WHOLE;
	assert_int_equal(open_with(f, &config, &second), -EBUSY);
	writer_abort(&first);
	assert_int_equal(open_with(f, &config, &second), 0);
	writer_abort(&second);
}

static void
a_whole_version_ends_the_wait_for_the_one_before(void **state)
{
	struct fixture *f = *state;
	struct writer_receipt receipt;
	struct writer *first = fixture_begin(f, "/a", PUBLISH_LIVE), *second;
	struct object *seen = find(f, "/a");

	fixture_write(f, first, 1, 0, 1000);
	writer_abort(&first);
	second = fixture_begin(f, "/a", PUBLISH_WHOLE);
	fixture_write(f, second, 2, 0, 1000);
	assert_int_equal(object_status(seen).state, OBJECT_LIVE);
	fixture_finish(f, &second, &receipt);
	assert_int_equal(object_status(seen).state, OBJECT_INCOMPLETE);
	object_put(&seen);
	assert_int_equal(fixture_answer(f, &receipt), 204);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 1000);
}

static void
await_stored(struct writer *writer, uint64_t length)
{
	struct object *object = writer_object(writer);
	uint64_t stored;

	do {
		usleep(5000);
		pthread_mutex_lock(&object->lock);
		stored = object->nextents == 0
				 ? 0
				 : object->extents[object->nextents - 1].at.offset +
					   object->extents[object->nextents - 1].at.length;
		pthread_mutex_unlock(&object->lock);
	} while (stored < length);
}

static void
a_take_over_survives_a_crash(void **state)
{
	struct fixture *f = *state;
	struct writer *first = fixture_begin(f, "/a", PUBLISH_LIVE), *second;

	fixture_write(f, first, 1, 0, 600000);
	second = fixture_begin(f, "/a", PUBLISH_LIVE);
	fixture_write(f, second, 2, 0, 600000);
	await_stored(second, 600000); /* opened while it was hidden */
	writer_abort(&first);
	fixture_write(f, second, 2, 600000, 600000);
	await_stored(second, 1200000);
	writer_abort(&second); /* parked: that is nothing the disk sees */
	fixture_crash_to(f, "crashed");
	fixture_open(f);
	fixture_expect(f, "/a", OBJECT_INCOMPLETE, 2, 1200000);
}

/* Its end came, and the disk got its bytes between the two steps of that. */
static void
a_whole_version_is_nothing_until_its_end_is_on_disk(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/p", PUBLISH_WHOLE);
	struct object *object = object_get(writer_object(writer));
	struct table_shard *shard;
	unsigned hash;

	fixture_write(f, writer, 1, 0, 100000);
	shard = table_lock(&f->store->table, "/p", &hash);
	object_set_state(object, OBJECT_COMPLETE);
	writer_make_current(writer);
	table_unlock(shard);
	await_stored(writer, 100000);
	writer_abort(&writer);
	fixture_crash_to(f, "crashed");
	fixture_open(f);
	fixture_expect(f, "/p", OBJECT_GONE, 0, 0);
	object_put(&object);
}

/* ---- preconditions ---- */

static void
a_condition_holds_for_one_version_only(void **state)
{
	struct fixture *f = *state;
	struct writer_config config = {.path = "/a", .conditional = true};
	struct writer *writer, *other;
	struct object *one;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 10), 201);
	assert_int_equal(open_with(f, &config, &writer), -ESTALE);
	one = config.expected = find(f, "/a");
	assert_int_equal(open_with(f, &config, &writer), 0);
	assert_int_equal(open_with(f, &config, &other), -ESTALE);
	writer_abort(&writer);
	object_put(&one);
	assert_int_equal(fixture_delete(f, "/a"), 0);
	config.expected = NULL;
	assert_int_equal(open_with(f, &config, &writer), 0);
	writer_abort(&writer);

	/* Only the catalog knows. */
	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 1, 10), 201);
	fixture_reopen(f);
	config.path = "/b";
	config.absent = false;
	assert_int_equal(open_with(f, &config, &writer), -ESTALE);
	config.path = "/c";
	config.absent = false;
	assert_int_equal(open_with(f, &config, &writer), 0);
	writer_abort(&writer);
}

static void
a_hidden_version_is_judged_again_at_its_end(void **state)
{
	struct fixture *f = *state;
	struct writer_config config = {.path = "/p", .publish = PUBLISH_WHOLE, .conditional = true};
	struct writer_receipt receipts[2];
	struct writer *writers[2];

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(open_with(f, &config, &writers[i]), 0);
		fixture_write(f, writers[i], i, 0, 100);
	}
	for (unsigned i = 0; i < 2; i++)
		fixture_finish(f, &writers[i], &receipts[i]);
	assert_int_equal(fixture_answer(f, &receipts[0]), 201);
	fixture_await(f, &receipts[1].letter);
	assert_true(receipts[1].stale);
	fixture_expect(f, "/p", OBJECT_COMPLETE, 0, 100);
}

/* ---- many at once ---- */

#define ACTORS 6
#define ROUNDS 60
#define ACTOR_BYTES 40000

struct actor {
	struct fixture *f;
	pthread_t thread;
	struct mailbox mailbox;
	unsigned number, seed;
	unsigned finished; /* uploads that were answered 201 or 204 */
};

static void
actor_await(struct actor *actor, struct letter *letter)
{
	struct pollfd pfd = {.fd = actor->mailbox.fd, .events = POLLIN};

	while (letter->deliver != NULL) {
		poll(&pfd, 1, 100);
		mailbox_deliver(&actor->mailbox);
	}
}

static unsigned
chance(struct actor *actor, unsigned of)
{
	actor->seed = actor->seed * 1103515245u + 12345u;
	return (actor->seed >> 16) % of;
}

/* All actors upload the same bytes, some of them only a part; who can, goes on with a part. */
static void
actor_upload(struct actor *actor, const char *path)
{
	struct writer_config config = {.path = path, .content_type = "video/mp4"};
	struct writer_receipt receipt = {.mailbox = &actor->mailbox,
					 .letter.deliver = fixture_came};
	bool dies = chance(actor, 3) == 0;
	uint64_t at = 0, end = dies ? chance(actor, ACTOR_BYTES) : ACTOR_BYTES;
	struct writer *writer;

	if (chance(actor, 4) == 0) {
		/* An offset that was right if somebody died there. */
		config.existing = EXISTING_CONTINUE;
		config.offset = UINT64_MAX;
		if (writer_open(actor->f->store, &config, &writer) != -ERANGE)
			return;
		config.offset = at = config.length;
		if (at >= ACTOR_BYTES)
			return;
		if (end < at)
			end = at;
	}
	if (writer_open(actor->f->store, &config, &writer) != 0) {
		CHECK(config.existing == EXISTING_CONTINUE); /* a plain upload is never stopped */
		return;
	}
	while (at < end) {
		void *space;
		size_t size = writer_reserve(writer, &space);

		if (size > end - at)
			size = (size_t)(end - at);
		if (size > 5000)
			size = 5000;
		if (size == 0) {
			usleep(100);
			continue;
		}
		fixture_bytes(7, at, space, size);
		writer_commit(writer, size);
		at += size;
		if (chance(actor, 4) == 0)
			usleep(100);
	}
	if (dies) {
		writer_abort(&writer);
		return;
	}
	writer_finish(&writer, &receipt);
	actor_await(actor, &receipt.letter);
	if (receipt.result == 0 && !receipt.cancelled)
		actor->finished++;
}

static void *
actor_main(void *arg)
{
	struct actor *actor = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/%u", i / 4);
		actor_upload(actor, path);
	}
	return NULL;
}

static void
many_encoders_on_one_path_end_with_one_whole_object(void **state)
{
	struct fixture *f = *state;
	struct actor actors[ACTORS];
	unsigned finished = 0;

	for (unsigned i = 0; i < ACTORS; i++) {
		actors[i] = (struct actor){.f = f, .number = i, .seed = i + 1};
		assert_int_equal(mailbox_init(&actors[i].mailbox), 0);
		assert_int_equal(pthread_create(&actors[i].thread, NULL, actor_main, &actors[i]),
				 0);
	}
	for (unsigned i = 0; i < ACTORS; i++) {
		pthread_join(actors[i].thread, NULL);
		mailbox_close(&actors[i].mailbox);
		finished += actors[i].finished;
	}
	assert_true(finished > ROUNDS);
	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/%u", i);
		assert_int_equal(fixture_put(f, path, PUBLISH_LIVE, 7, ACTOR_BYTES), 204);
		fixture_expect(f, path, OBJECT_COMPLETE, 7, ACTOR_BYTES);
	}
	fixture_reopen(f);
	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/%u", i);
		fixture_expect(f, path, OBJECT_COMPLETE, 7, ACTOR_BYTES);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define WAITING(test) cmocka_unit_test_setup_teardown(test, setup_waiting, fixture_teardown)
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
#define IMPATIENT(test) cmocka_unit_test_setup_teardown(test, setup_impatient, fixture_teardown)
		WAITING(a_sender_goes_on_in_place_and_readers_notice_nothing),
		WAITING(the_etag_of_a_resumed_object_is_that_of_its_bytes),
		WAITING(an_append_goes_on_with_what_waits),
		IMPATIENT(the_window_ends_and_the_object_can_still_be_continued),
		WAITING(what_broke_off_can_be_continued_after_a_restart),
		WAITING(offsets_are_judged_against_what_is_there),
		WAITING(what_is_complete_may_be_closed_for_continuation),
		WAITING(a_plain_upload_replaces_what_waits),
		WAITING(who_was_refused_is_not_waited_for),
		WAITING(a_deletion_takes_what_waits_with_it),
		WAITING(a_second_writer_takes_over_when_the_first_vanishes),
		PLAIN(it_does_so_without_a_window_too),
		WAITING(a_rival_that_vanished_takes_nothing_over),
		WAITING(of_several_rivals_the_first_takes_over_and_the_next_waits),
		WAITING(a_second_writer_takes_over_from_a_silent_one),
		WAITING(a_newcomer_to_a_silent_writer_is_live_at_once),
		WAITING(a_second_writer_may_be_refused),
		WAITING(a_whole_version_ends_the_wait_for_the_one_before),
		WAITING(a_take_over_survives_a_crash),
		WAITING(a_whole_version_is_nothing_until_its_end_is_on_disk),
		WAITING(a_condition_holds_for_one_version_only),
		WAITING(a_hidden_version_is_judged_again_at_its_end),
		IMPATIENT(many_encoders_on_one_path_end_with_one_whole_object),
		WAITING(many_encoders_on_one_path_end_with_one_whole_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
