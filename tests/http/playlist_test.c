/* playlist_test.c - what a media playlist has, and what it will have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/playlist.h"

/* Segments 10 and 11 with three parts each, and two parts of 12. */
static const char low_latency[] =
	"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PART-INF:PART-TARGET=0.33334\n"
	"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0\n"
	"#EXT-X-MEDIA-SEQUENCE:10\n"
	"#EXT-X-PART:DURATION=0.3,URI=\"a.1\"\n#EXT-X-PART:DURATION=0.3,URI=\"a.2\"\n"
	"#EXT-X-PART:DURATION=0.3,URI=\"a.3\"\n#EXTINF:1.0,\na\n"
	"#EXT-X-PART:DURATION=0.3,URI=\"b.1\"\n#EXT-X-PART:DURATION=0.3,URI=\"b.2\"\n"
	"#EXT-X-PART:DURATION=0.3,URI=\"b.3\"\n#EXTINF:1.0,\nb\n"
	"#EXT-X-PART:DURATION=0.3,URI=\"c.1\"\r\n#EXT-X-PART:DURATION=0.3,URI=\"c.2\"\r\n"
	"#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"c.3\"\n";

static void
a_playlist_is_read(void **state)
{
	struct playlist p;

	(void)state;
	playlist_read(slice_of(low_latency), &p);
	assert_true(p.is_media && !p.has_ended);
	assert_int_equal(p.next, 12);
	assert_int_equal(p.parts, 2);
	assert_int_equal(p.last_parts, 3);
	assert_int_equal(p.target_ms, 4000);
	assert_int_equal(p.part_target_ms, 333);
	playlist_read(slice_of("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\na\n#EXT-X-ENDLIST"),
		      &p);
	assert_true(p.is_media && p.has_ended);
	assert_int_equal(p.next, 1);
	playlist_read(slice_of("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n"), &p);
	assert_false(p.is_media);
	playlist_read(slice_of("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:5\n"
			       "#EXT-X-SKIP:RECENTLY-REMOVED-DATERANGES=\"a,SKIPPED-SEGMENTS=9\","
			       "SKIPPED-SEGMENTS=3\na\n"),
		      &p);
	assert_int_equal(p.next, 9);
	playlist_read(slice_of("#EXT-X-TARGETDURATION:99999999999999999999\n"
			       "#EXT-X-MEDIA-SEQUENCE:99999999999999999999\n"),
		      &p);
	assert_true(p.target_ms >= 0 && p.next < 10);
	playlist_read((struct slice){NULL, 0}, &p);
	assert_false(p.is_media);
}

static void
wishes_are_judged(void **state)
{
	static const struct {
		uint64_t msn, part;
		enum playlist_verdict verdict;
	} cases[] = {
		{0, PLAYLIST_NO_PART, PLAYLIST_SERVE}, /* long gone */
		{10, PLAYLIST_NO_PART, PLAYLIST_SERVE},
		{11, PLAYLIST_NO_PART, PLAYLIST_SERVE},
		{12, PLAYLIST_NO_PART, PLAYLIST_WAIT},
		{13, PLAYLIST_NO_PART, PLAYLIST_WAIT},
		{14, PLAYLIST_NO_PART, PLAYLIST_WAIT},
		{15, PLAYLIST_NO_PART, PLAYLIST_REFUSE},
		{UINT64_MAX / 2 - 1, PLAYLIST_NO_PART, PLAYLIST_REFUSE},
		{10, 9, PLAYLIST_SERVE},
		{11, 2, PLAYLIST_SERVE},
		{11, 3, PLAYLIST_SERVE}, /* the first one of 12 */
		{12, 0, PLAYLIST_SERVE},
		{12, 1, PLAYLIST_SERVE},
		{12, 2, PLAYLIST_WAIT},
		{12, 4, PLAYLIST_WAIT},
		{12, 5, PLAYLIST_REFUSE},
		{13, 0, PLAYLIST_WAIT},
	};
	struct playlist p;

	(void)state;
	playlist_read(slice_of(low_latency), &p);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct playlist_wish wish = {cases[i].msn, cases[i].part};

		if (playlist_judge(&p, &wish) != cases[i].verdict)
			fail_msg("%llu %llu", (unsigned long long)wish.msn,
				 (unsigned long long)wish.part);
	}
}

static void
the_first_part_of_the_next_segment_may_be_missing(void **state)
{
	struct playlist_wish next = {0, 3}, listed = {0, 2}, bare = {0, 0};
	struct playlist p;

	(void)state;
	playlist_read(
		slice_of("#EXT-X-TARGETDURATION:1\n#EXT-X-PART:\n#EXT-X-PART:\n#EXT-X-PART:\na\n"),
		&p);
	assert_int_equal(playlist_judge(&p, &listed), PLAYLIST_SERVE);
	assert_int_equal(playlist_judge(&p, &next), PLAYLIST_WAIT);
	/* The parts of an old segment are listed no more. */
	playlist_read(slice_of("#EXT-X-TARGETDURATION:1\na\n"), &p);
	assert_int_equal(playlist_judge(&p, &bare), PLAYLIST_SERVE);
}

static void
long_parts_allow_fewer_ahead(void **state)
{
	struct playlist p = {.is_media = true, .next = 5, .part_target_ms = 2000};
	struct playlist_wish wish = {5, 1};

	(void)state;
	assert_int_equal(playlist_judge(&p, &wish), PLAYLIST_WAIT);
	wish.part = 2;
	assert_int_equal(playlist_judge(&p, &wish), PLAYLIST_REFUSE);
}

static void
what_has_ended_never_waits(void **state)
{
	struct playlist p = {.is_media = true, .has_ended = true, .next = 5};
	struct playlist_wish wish = {99, PLAYLIST_NO_PART};

	(void)state;
	assert_int_equal(playlist_judge(&p, &wish), PLAYLIST_SERVE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_playlist_is_read),
		cmocka_unit_test(wishes_are_judged),
		cmocka_unit_test(the_first_part_of_the_next_segment_may_be_missing),
		cmocka_unit_test(long_parts_allow_fewer_ahead),
		cmocka_unit_test(what_has_ended_never_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
