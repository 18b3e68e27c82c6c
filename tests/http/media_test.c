/* media_test.c - types and defaults by extension. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/media.h"

static void
extensions_decide_the_type(void **state)
{
	static const struct {
		const char *path, *type;
	} cases[] = {
		{"/a.m3u8", "application/vnd.apple.mpegurl"},
		{"/a/b.MPD", "application/dash+xml"},
		{"/a.b/c.m4s", "video/iso.segment"},
		{"/a.ts", "video/mp2t"},
		{"/a.m4a", "audio/mp4"},
		{"/a.webm", "video/webm"},
		{"/a.html", "text/html; charset=utf-8"},
		{"/a", "application/octet-stream"},
		{"/a.", "application/octet-stream"},
		{"/a.ts/b", "application/octet-stream"},
		{"/a.unknown", "application/octet-stream"},
		{"/a.ts.tmp", "application/octet-stream"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(media_type(cases[i].path), cases[i].type);
}

static void
octet_stream_and_nothing_say_nothing(void **state)
{
	(void)state;
	assert_true(media_type_informs(slice_of("video/mp4")));
	assert_true(media_type_informs(slice_of(" text/html; charset=utf-8 ")));
	assert_false(media_type_informs(slice_of("Application/Octet-Stream")));
	assert_false(media_type_informs(slice_of("")));
	assert_false(media_type_informs(slice_of("  ")));
}

static void
playlists_are_fresh_and_segments_stay(void **state)
{
	(void)state;
	assert_string_equal(media_cache_whole("/a.mpd"), "max-age=1");
	assert_string_equal(media_cache_whole("/a.m4s"), "max-age=31536000, immutable");
	assert_string_equal(media_cache_whole("/init.mp4"), "max-age=60");
	assert_string_equal(media_cache_growing("/a.m4s"), "max-age=60");
	assert_string_equal(media_cache_growing("/a"), "max-age=1");
	assert_string_equal(media_cache_growing("/a.mpd"), "no-cache");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extensions_decide_the_type),
		cmocka_unit_test(octet_stream_and_nothing_say_nothing),
		cmocka_unit_test(playlists_are_fresh_and_segments_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
