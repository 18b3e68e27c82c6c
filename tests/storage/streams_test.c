/* streams_test.c - what is known of each stream, and that there are never too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "storage/streams.h"

/* What a visit saw. */
struct seen {
	unsigned count;
	char first[64], last[64];
	struct stream_figures figures; /* of the stream that was looked for */
	const char *wanted;
	bool found;
};

static void
see(void *arg, const struct stream_figures *figures)
{
	struct seen *seen = arg;

	if (seen->count++ == 0)
		snprintf(seen->first, sizeof(seen->first), "%s", figures->path);
	snprintf(seen->last, sizeof(seen->last), "%s", figures->path);
	if (seen->wanted != NULL && strcmp(seen->wanted, figures->path) == 0) {
		seen->figures = *figures;
		seen->found = true;
	}
}

static struct seen
look(struct streams *streams, const char *wanted)
{
	struct seen seen = {.wanted = wanted};

	streams_visit(streams, see, &seen);
	return seen;
}

static void
a_stream_is_what_comes_before_the_last_slash(void **state)
{
	struct streams *streams = streams_new();
	struct stream *a = streams_join(streams, "/live/a/1.m4s");
	struct stream *b = streams_join(streams, "/live/a/2.m4s");
	struct stream *c = streams_join(streams, "/live/b");
	struct seen seen;

	(void)state;
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	stream_received(a, 1000, 77);
	stream_add(a, STREAM_READERS, 2);
	stream_aborted(b);
	seen = look(streams, "/live/a/");
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.first, "/live/"); /* in byte order */
	assert_true(seen.found);
	assert_int_equal(seen.figures.counts[STREAM_RECEIVED], 1000);
	assert_int_equal(seen.figures.received_ms, 77);
	assert_int_equal(seen.figures.counts[STREAM_READERS], 2);
	assert_int_equal(seen.figures.counts[STREAM_ABORTED], 1);
	assert_true(seen.figures.aborted_ms > 0);
	stream_leave(&a);
	stream_leave(&b);
	stream_leave(&c);
	assert_null(c);
	streams_free(&streams);
}

static void
figures_stay_when_the_last_object_goes(void **state)
{
	struct streams *streams = streams_new();
	struct stream *stream = streams_join(streams, "/a/1");

	(void)state;
	stream_add(stream, STREAM_SENT, 5);
	stream_leave(&stream);
	streams_sample(streams); /* idle, but not for long */
	stream = streams_join(streams, "/a/2");
	assert_int_equal(look(streams, "/a/").figures.counts[STREAM_SENT], 5);
	stream_leave(&stream);
	streams_free(&streams);
}

static void
objects_may_outlive_the_store(void **state)
{
	struct streams *streams = streams_new();
	struct stream *a = streams_join(streams, "/a/1"), *b = streams_join(streams, "/b/1");

	(void)state;
	streams_free(&streams);
	stream_add(a, STREAM_SENT, 1);
	stream_leave(&a);
	stream_add(b, STREAM_SENT, 1);
	stream_leave(&b); /* the sanitizer sees what is left, and what is used too late */
}

static void
there_are_never_more_than_the_limit(void **state)
{
	struct streams *streams = streams_new();
	struct stream *busy, *held[2 * STREAMS_MAX];
	char path[32];

	(void)state;
	busy = streams_join(streams, "/busy/x");
	stream_add(busy, STREAM_WRITERS, 1);
	for (unsigned i = 0; i < 2 * STREAMS_MAX; i++) {
		snprintf(path, sizeof(path), "/%04u/x", i);
		held[i] = streams_join(streams, path);
		assert_non_null(held[i]);
		assert_true(look(streams, NULL).count <= STREAMS_MAX);
	}
	assert_true(look(streams, "/busy/").found); /* somebody is at work there */
	assert_true(look(streams, "/0511/").found); /* the newest one has its place */
	assert_false(look(streams, "/0000/").found);
	/* Objects of a stream that lost its place still count, on what nobody sees. */
	stream_add(held[0], STREAM_SENT, 1);
	for (unsigned i = 0; i < 2 * STREAMS_MAX; i++)
		stream_leave(&held[i]);
	stream_leave(&busy);
	streams_free(&streams);
}

static void
who_was_joined_lately_keeps_its_place(void **state)
{
	struct streams *streams = streams_new();
	struct stream *stream;
	char path[32];

	(void)state;
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		snprintf(path, sizeof(path), "/%04u/x", i);
		stream = streams_join(streams, path);
		stream_leave(&stream);
	}
	stream = streams_join(streams, "/0000/y");
	stream_leave(&stream);
	stream = streams_join(streams, "/new/x");
	stream_leave(&stream);
	assert_true(look(streams, "/new/").found);
	assert_true(look(streams, "/0000/").found);
	assert_false(look(streams, "/0001/").found);
	assert_int_equal(look(streams, NULL).count, STREAMS_MAX);
	streams_free(&streams);
}

static void
a_new_one_has_its_place_even_if_all_are_busy(void **state)
{
	struct streams *streams = streams_new();
	struct stream *held[STREAMS_MAX + 1];
	char path[32];

	(void)state;
	for (unsigned i = 0; i <= STREAMS_MAX; i++) {
		snprintf(path, sizeof(path), "/%04u/x", i);
		held[i] = streams_join(streams, path);
		stream_add(held[i], STREAM_WRITERS, 1);
	}
	assert_true(look(streams, NULL).count == STREAMS_MAX);
	assert_true(look(streams, "/0256/").found);
	for (unsigned i = 0; i <= STREAMS_MAX; i++)
		stream_leave(&held[i]);
	streams_free(&streams);
}

static void
without_memory_nothing_is_counted(void **state)
{
	struct streams *streams = streams_new();
	struct stream *none = streams_join(NULL, "/a/b");

	(void)state;
	assert_null(none);
	stream_add(none, STREAM_SENT, 1);
	stream_received(none, 1, 1);
	stream_aborted(none);
	streams_finished(NULL, none, "/a/b", 1, 1, false);
	stream_leave(&none);
	assert_int_equal(look(streams, NULL).count, 0);
	streams_free(&streams);
	streams_free(&streams);
}

struct recents {
	unsigned count;
	uint64_t sizes[2 * STREAMS_RECENT];
};

static void
see_recent(void *arg, const struct stream_recent *recent)
{
	struct recents *recents = arg;

	assert_string_equal(recent->path, "/a/b");
	recents->sizes[recents->count++] = recent->size;
}

static void
the_newest_uploads_are_remembered_newest_first(void **state)
{
	struct streams *streams = streams_new();
	struct stream *stream = streams_join(streams, "/a/b");
	struct recents recents = {0};

	(void)state;
	for (unsigned i = 1; i <= STREAMS_RECENT + 5; i++)
		streams_finished(streams, stream, "/a/b", i, 10, i == 3);
	streams_visit_recent(streams, see_recent, &recents);
	assert_int_equal(recents.count, STREAMS_RECENT);
	assert_int_equal(recents.sizes[0], STREAMS_RECENT + 5);
	assert_int_equal(recents.sizes[STREAMS_RECENT - 1], 6);
	assert_int_equal(look(streams, "/a/").figures.counts[STREAM_FINISHED], STREAMS_RECENT + 5);
	assert_true(look(streams, "/a/").figures.playlist_ms > 0);
	stream_leave(&stream);
	streams_free(&streams);
}

static void
rates_are_of_the_time_between_two_samples(void **state)
{
	struct streams *streams = streams_new();
	struct stream *stream = streams_join(streams, "/a/b");
	struct seen seen;

	(void)state;
	stream_received(stream, 1000000, 1);
	streams_sample(streams);
	seen = look(streams, "/a/");
	assert_true(seen.figures.received_rate > 0);
	assert_int_equal(seen.figures.sent_rate, 0);
	streams_sample(streams);
	assert_int_equal(look(streams, "/a/").figures.received_rate, 0);
	stream_leave(&stream);
	streams_free(&streams);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_is_what_comes_before_the_last_slash),
		cmocka_unit_test(figures_stay_when_the_last_object_goes),
		cmocka_unit_test(objects_may_outlive_the_store),
		cmocka_unit_test(there_are_never_more_than_the_limit),
		cmocka_unit_test(who_was_joined_lately_keeps_its_place),
		cmocka_unit_test(a_new_one_has_its_place_even_if_all_are_busy),
		cmocka_unit_test(without_memory_nothing_is_counted),
		cmocka_unit_test(the_newest_uploads_are_remembered_newest_first),
		cmocka_unit_test(rates_are_of_the_time_between_two_samples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
