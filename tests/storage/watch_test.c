/* watch_test.c - readers on several workers follow a growing object and miss nothing. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/storage/fixture.h"

#if defined(__SANITIZE_THREAD__)
#define SLOW 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLOW 1
#endif
#endif
#ifndef SLOW
#define SLOW 0
#endif

#define WORKERS 4
#define READERS 16 /* of a worker */
#define SEED 3

/* ---- workers: each pumps a mailbox of its own, as the HTTP side does ---------------- */

struct worker;

struct reader {
	struct object_watcher watcher; /* first */
	struct worker *worker;
	struct object_cursor cursor;
	struct object_warm warm;
	bool warming;
	uint64_t offset;
	enum object_state end;
	bool ended;
};

struct worker {
	pthread_t thread;
	unsigned number;
	struct mailbox *mailbox; /* the store's slot NUMBER */
	struct object *object;
	_Atomic bool *may_end; /* set before the writer ends */
	_Atomic uint64_t seen; /* bytes, by the first reader */
	unsigned readers, ended;
	unsigned wrong; /* assertions are for the main thread only */
	unsigned waits; /* polls that timed out: nothing came for very long */
	struct reader reader[READERS];
};

static void reader_step(struct reader *reader);

static void
warm_came(struct letter *letter)
{
	struct reader *reader = (struct reader *)((char *)letter - offsetof(struct reader, warm) -
						  offsetof(struct object_warm, letter));

	reader->warming = false;
	if (reader->warm.result != 0)
		reader->worker->wrong++;
	reader_step(reader);
}

static void
reader_end(struct reader *reader, enum object_state state)
{
	struct worker *worker = reader->worker;

	if (!atomic_load(worker->may_end))
		worker->wrong++;
	reader->end = state;
	reader->ended = true;
	worker->ended++;
	object_unwatch(&reader->watcher);
	object_cursor_reset(&reader->cursor);
}

static void
reader_step(struct reader *reader)
{
	struct worker *worker = reader->worker;

	while (!reader->warming && !reader->ended) {
		struct object_status status = object_status(worker->object);
		struct object_view view;
		int err =
			object_view(worker->object, &reader->cursor, reader->offset, 50000, &view);

		if (status.state == OBJECT_GONE) {
			if (err == 0)
				object_view_release(&view);
			reader_end(reader, status.state);
		} else if (err == 0) {
			if (!fixture_same(SEED, reader->offset, view.data, view.length))
				worker->wrong++;
			reader->offset += view.length;
			object_view_release(&view);
		} else if (err == -EINPROGRESS) {
			reader->warming = true;
			reader->warm = (struct object_warm){
				.object = worker->object,
				.offset = reader->offset,
				.mailbox = worker->mailbox,
				.letter.deliver = warm_came,
			};
			object_warm(&reader->warm);
		} else if (err != -EAGAIN) {
			worker->wrong++;
			reader_end(reader, OBJECT_GONE);
		} else if (status.state == OBJECT_LIVE || reader->offset < status.length) {
			break;
		} else {
			reader_end(reader, status.state);
		}
	}
	if (reader == worker->reader)
		atomic_store(&worker->seen, reader->offset);
}

static void
wake_reader(struct object_watcher *watcher)
{
	reader_step((struct reader *)watcher);
}

static void *
worker_main(void *arg)
{
	struct worker *worker = arg;
	unsigned begun = 0;

	while (worker->ended < worker->readers && worker->waits < 20) {
		struct pollfd pfd = {.fd = worker->mailbox->fd, .events = POLLIN};

		/* They come one after the other, some when the object has grown long. */
		if (begun < worker->readers) {
			struct reader *reader = &worker->reader[begun++];

			reader->worker = worker;
			reader->watcher.wake = wake_reader;
			if (object_watch(worker->object, worker->number, &reader->watcher) != 0)
				worker->wrong++;
			reader_step(reader);
		}
		if (poll(&pfd, 1, begun < worker->readers ? 1 : 1000) > 0)
			mailbox_deliver(worker->mailbox);
		else if (begun == worker->readers)
			worker->waits++;
	}
	object_put(&worker->object);
	return NULL;
}

struct crowd {
	struct worker workers[WORKERS];
	unsigned count;
	_Atomic bool may_end;
};

static int
setup_workers(void **state)
{
	int rc = fixture_setup_closed(state);
	struct fixture *f = *state;

	for (unsigned i = 0; i < WORKERS; i++) {
		static struct mailbox boxes[WORKERS];

		if (mailbox_init(&boxes[i]) != 0)
			return -1;
		f->boxes[1 + i] = &boxes[i];
	}
	f->config.workers = 1 + WORKERS;
	fixture_open(f);
	return rc;
}

static int
teardown_workers(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	for (unsigned i = 0; i < WORKERS; i++)
		mailbox_close(f->boxes[1 + i]);
	return fixture_teardown(state);
}

static struct crowd *
crowd_start(struct fixture *f, struct object *object, unsigned workers, unsigned readers)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));

	assert_non_null(crowd);
	crowd->count = workers;
	for (unsigned i = 0; i < workers; i++) {
		struct worker *worker = &crowd->workers[i];

		worker->number = 1 + i;
		worker->mailbox = f->boxes[1 + i];
		worker->object = object_get(object);
		worker->may_end = &crowd->may_end;
		worker->readers = readers;
		assert_int_equal(pthread_create(&worker->thread, NULL, worker_main, worker), 0);
	}
	return crowd;
}

/* Waits for all; each reader must have met END after LENGTH bytes (or less, if it is GONE). */
static void
crowd_join(struct crowd *crowd, enum object_state end, uint64_t length)
{
	for (unsigned i = 0; i < crowd->count; i++) {
		struct worker *worker = &crowd->workers[i];

		pthread_join(worker->thread, NULL);
		assert_int_equal(worker->wrong, 0);
		assert_int_equal(worker->ended, worker->readers);
		for (unsigned j = 0; j < worker->readers; j++) {
			assert_int_equal(worker->reader[j].end, end);
			if (end != OBJECT_GONE)
				assert_int_equal(worker->reader[j].offset, length);
		}
	}
	free(crowd);
}

/* Pieces of random size, as they come from a network. */
static void
write_pieces(struct fixture *f, struct writer *writer, uint64_t from, uint64_t length,
	     unsigned largest)
{
	unsigned random = 12345;

	while (length > 0) {
		uint64_t size = 1 + (random = random * 1103515245 + 12345) / 4 % largest;

		if (size > length)
			size = length;
		fixture_write(f, writer, SEED, from, size);
		from += size;
		length -= size;
		if (random % 64 == 0)
			sched_yield();
	}
}

static void
every_reader_on_every_worker_gets_every_byte_and_then_the_end(void **state)
{
	struct fixture *f = *state;
	const uint64_t length = (SLOW ? 12 : 48) << 20;
	struct writer *writer = fixture_begin(f, "/live.m4s", PUBLISH_LIVE);
	struct crowd *crowd = crowd_start(f, writer_object(writer), WORKERS, READERS);
	struct writer_receipt receipt;

	write_pieces(f, writer, 0, length, 70000);
	atomic_store(&crowd->may_end, true);
	fixture_finish(f, &writer, &receipt);
	crowd_join(crowd, OBJECT_COMPLETE, length);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	fixture_expect(f, "/live.m4s", OBJECT_COMPLETE, SEED, length);
}

static void
readers_of_an_upload_that_breaks_off_learn_it(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/live.m4s", PUBLISH_LIVE);
	struct crowd *crowd = crowd_start(f, writer_object(writer), WORKERS, READERS);

	write_pieces(f, writer, 0, 3000000, 40000);
	atomic_store(&crowd->may_end, true);
	writer_abort(&writer);
	crowd_join(crowd, OBJECT_INCOMPLETE, 3000000);
}

static void
readers_of_what_is_deleted_meanwhile_are_cut(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/live.m4s", PUBLISH_LIVE);
	struct crowd *crowd = crowd_start(f, writer_object(writer), WORKERS, READERS);
	struct writer_receipt receipt;

	write_pieces(f, writer, 0, 2000000, 40000);
	assert_false(writer_cancelled(writer));
	atomic_store(&crowd->may_end, true);
	assert_int_equal(fixture_delete(f, "/live.m4s"), 0);
	assert_true(writer_cancelled(writer));
	write_pieces(f, writer, 2000000, 100000, 40000);
	crowd_join(crowd, OBJECT_GONE, 0);
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 410);
}

/* Waits, without giving up the processor for long, until WORKER saw LENGTH bytes. */
static void
await_seen(struct worker *worker, uint64_t length)
{
	int64_t patience = clock_mono_ms() + 10000;

	for (unsigned spins = 1; atomic_load(&worker->seen) < length; spins++) {
		if (spins % 4096 != 0)
			continue;
		sched_yield();
		assert_true(clock_mono_ms() < patience);
	}
}

/* Two bytes, then nothing until the reader saw both: a wake-up that is lost is lost for good. The second
 * one comes some time after the first, again and again just while the reader goes to sleep. */
static void
a_wake_up_is_never_lost(void **state)
{
	struct fixture *f = *state;
	const uint64_t length = SLOW ? 40000 : 600000;
	unsigned random = 1;
	struct writer *writer = fixture_begin(f, "/live.m4s", PUBLISH_LIVE);
	struct crowd *crowd = crowd_start(f, writer_object(writer), 1, 1);
	struct writer_receipt receipt;

	for (uint64_t i = 0; i < length; i++) {
		void *space;

		while (writer_reserve(writer, &space) == 0)
			usleep(1000);
		fixture_bytes(SEED, i, space, 1);
		random = random * 1103515245 + 12345;
		if (i % 2 == 0)
			await_seen(&crowd->workers[0], i);
		else
			for (volatile unsigned delay = 0; delay < random >> 19; delay++)
				;
		writer_commit(writer, 1);
	}
	await_seen(&crowd->workers[0], length);
	atomic_store(&crowd->may_end, true);
	fixture_finish(f, &writer, &receipt);
	crowd_join(crowd, OBJECT_COMPLETE, length);
	fixture_answer(f, &receipt);
}

static void
a_million_tiny_pieces_arrive(void **state)
{
	struct fixture *f = *state;
	const uint64_t length = SLOW ? 200000 : 1000000;
	struct writer *writer = fixture_begin(f, "/live.m4s", PUBLISH_LIVE);
	struct crowd *crowd = crowd_start(f, writer_object(writer), 3, 2);
	struct writer_receipt receipt;

	for (uint64_t i = 0; i < length; i++)
		fixture_write(f, writer, SEED, i, 1);
	atomic_store(&crowd->may_end, true);
	fixture_finish(f, &writer, &receipt);
	crowd_join(crowd, OBJECT_COMPLETE, length);
	fixture_answer(f, &receipt);
}

/* ---- one worker, step by step -------------------------------------------------------- */

struct sitter {
	struct object_watcher watcher; /* first */
	unsigned woken;
	struct sitter *unwatch[2]; /* when it is woken */
	struct sitter *watch;
	struct writer *write;
	struct fixture *fixture;
};

static void
wake_sitter(struct object_watcher *watcher)
{
	struct sitter *sitter = (struct sitter *)watcher;
	struct object *object = watcher->object;

	sitter->woken++;
	if (sitter->write != NULL)
		fixture_write(sitter->fixture, sitter->write, SEED, object_status(object).length,
			      1);
	sitter->write = NULL;
	if (sitter->watch != NULL)
		assert_int_equal(object_watch(object, 0, &sitter->watch->watcher), 0);
	sitter->watch = NULL;
	for (unsigned i = 0; i < 2; i++)
		if (sitter->unwatch[i] != NULL)
			object_unwatch(&sitter->unwatch[i]->watcher);
}

static void
sit(struct sitter *sitter, struct object *object)
{
	sitter->watcher.wake = wake_sitter;
	assert_int_equal(object_watch(object, 0, &sitter->watcher), 0);
}

static void
many_pieces_before_the_worker_looks_wake_it_once(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct sitter a = {.woken = 0};

	sit(&a, writer_object(writer));
	for (unsigned i = 0; i < 100; i++)
		fixture_write(f, writer, SEED, i, 1);
	fixture_pump(f, 0);
	assert_int_equal(a.woken, 1);
	fixture_pump(f, 0);
	assert_int_equal(a.woken, 1);
	fixture_write(f, writer, SEED, 100, 1);
	fixture_pump(f, 0);
	assert_int_equal(a.woken, 2);
	object_unwatch(&a.watcher);
	fixture_write(f, writer, SEED, 101, 1);
	fixture_pump(f, 0);
	assert_int_equal(a.woken, 2);
	writer_abort(&writer);
}

static void
who_is_woken_may_unwatch_itself_and_others(void **state)
{
	struct fixture *f = *state;

	/* Whoever is woken first lets go of itself and of one of the others. */
	for (unsigned victim = 0; victim < 3; victim++) {
		struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
		struct sitter s[3];
		unsigned woken = 0;

		memset(s, 0, sizeof(s));
		for (unsigned i = 0; i < 3; i++) {
			s[i].unwatch[0] = &s[i];
			s[i].unwatch[1] = &s[(i + victim) % 3];
			sit(&s[i], writer_object(writer));
		}
		fixture_write(f, writer, SEED, 0, 1);
		fixture_pump(f, 0);
		for (unsigned i = 0; i < 3; i++) {
			assert_null(s[i].watcher.object);
			woken += s[i].woken;
		}
		assert_int_equal(woken, victim == 0 ? 3 : 2);
		fixture_write(f, writer, SEED, 1, 1);
		fixture_pump(f, 0);
		writer_abort(&writer);
	}
}

static void
who_watches_while_a_wake_up_is_on_its_way_gets_the_next_one(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct sitter a = {.woken = 0}, b = {.woken = 0}, c = {.woken = 0};
	unsigned before;

	sit(&a, writer_object(writer));
	fixture_write(f, writer, SEED, 0, 1);
	sit(&b, writer_object(writer)); /* the letter is posted, and not delivered yet */
	a.watch = &c;
	c.watcher.wake = wake_sitter;
	fixture_pump(f, 0);
	assert_int_equal(a.woken, 1);
	before = c.woken;
	fixture_write(f, writer, SEED, 1, 1);
	fixture_pump(f, 0);
	assert_int_equal(a.woken, 2);
	assert_true(b.woken >= 1);
	assert_int_equal(c.woken, before + 1);

	/* All leave while a letter is on its way; one comes back before it is delivered. */
	fixture_write(f, writer, SEED, 2, 1);
	object_unwatch(&a.watcher);
	object_unwatch(&b.watcher);
	object_unwatch(&c.watcher);
	sit(&c, writer_object(writer));
	fixture_pump(f, 0);
	before = c.woken;
	fixture_write(f, writer, SEED, 3, 1);
	fixture_pump(f, 0);
	assert_int_equal(c.woken, before + 1);
	object_unwatch(&c.watcher);
	writer_abort(&writer);
}

static void
what_changes_during_a_wake_up_is_announced_after_it(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_LIVE);
	struct sitter a = {.fixture = f, .write = writer}, b = {.fixture = f, .write = writer};

	sit(&a, writer_object(writer));
	sit(&b, writer_object(writer));
	fixture_write(f, writer, SEED, 0, 1);
	fixture_pump(f, 0);
	fixture_pump(f, 0);
	/* One of the two was woken before the other one wrote. */
	assert_int_equal(a.woken, 2);
	assert_int_equal(b.woken, 2);
	object_unwatch(&a.watcher);
	object_unwatch(&b.watcher);
	writer_abort(&writer);
}

static void
a_reader_of_a_complete_object_is_told_of_its_deletion(void **state)
{
	struct fixture *f = *state;
	struct object *object = NULL;
	struct sitter a = {.woken = 0};

	assert_int_equal(fixture_put(f, "/a", PUBLISH_WHOLE, SEED, 1000), 201);
	assert_int_equal(fixture_find(f, "/a", &object), 0);
	sit(&a, object);
	assert_int_equal(fixture_delete(f, "/a"), 0);
	assert_int_equal(a.woken, 1);
	assert_int_equal(object_status(object).state, OBJECT_GONE);
	object_unwatch(&a.watcher);
	object_unwatch(&a.watcher); /* harmless */
	object_put(&object);
}

/* The letter holds the object; nobody else does any more. */
static void
a_letter_may_come_when_all_else_let_go(void **state)
{
	struct fixture *f = *state;
	struct writer *writer = fixture_begin(f, "/a", PUBLISH_WHOLE);
	struct sitter a = {.woken = 0};

	sit(&a, writer_object(writer));
	fixture_write(f, writer, SEED, 0, 100);
	object_unwatch(&a.watcher);
	writer_abort(&writer);
	fixture_settle(f);
	fixture_pump(f, 0);
	assert_int_equal(a.woken, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define THREADED(test) cmocka_unit_test_setup_teardown(test, setup_workers, teardown_workers)
		THREADED(every_reader_on_every_worker_gets_every_byte_and_then_the_end),
		THREADED(readers_of_an_upload_that_breaks_off_learn_it),
		THREADED(readers_of_what_is_deleted_meanwhile_are_cut),
		THREADED(a_wake_up_is_never_lost),
		THREADED(a_million_tiny_pieces_arrive),
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
		PLAIN(many_pieces_before_the_worker_looks_wake_it_once),
		PLAIN(who_is_woken_may_unwatch_itself_and_others),
		PLAIN(who_watches_while_a_wake_up_is_on_its_way_gets_the_next_one),
		PLAIN(what_changes_during_a_wake_up_is_announced_after_it),
		PLAIN(a_reader_of_a_complete_object_is_told_of_its_deletion),
		PLAIN(a_letter_may_come_when_all_else_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
