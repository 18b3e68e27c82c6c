/* row_test.c - one object of a list as a line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <event2/buffer.h>
#include <stdlib.h>

#include "http/row.h"
#include "storage/listing.h"

static void
assert_line(int (*format)(const struct listing_row *, struct evbuffer *),
	    const struct listing_row *row, const char *expected)
{
	struct evbuffer *out = evbuffer_new();

	assert_non_null(out);
	assert_int_equal(format(row, out), 0);
	evbuffer_add(out, "", 1);
	assert_string_equal((char *)evbuffer_pullup(out, -1), expected);
	evbuffer_free(out);
}

static const struct listing_row whole = {
	.path = "/a \"b\"\\c",
	.type = "video/mp4",
	.size = 9007199254740993,
	.mtime_ms = 784111777042,
	.expires_ms = 951827696000,
	.state = OBJECT_COMPLETE,
	.has_etag = true,
	.etag = {0xab, 0xcd},
};

static void
a_text_row_is_the_path(void **state)
{
	(void)state;
	assert_line(row_text, &whole, "/a \"b\"\\c\n");
}

static void
a_json_row_tells_everything(void **state)
{
	(void)state;
	assert_line(row_ndjson, &whole,
		    "{\"path\":\"/a \\\"b\\\"\\\\c\",\"size\":9007199254740993,"
		    "\"type\":\"video/mp4\",\"mtime\":\"1994-11-06T08:49:37.042Z\","
		    "\"etag\":\"\\\"abcd0000000000000000000000000000\\\"\",\"state\":\"complete\","
		    "\"expires\":\"2000-02-29T12:34:56.000Z\"}\n");
}

static void
what_there_is_not_is_null(void **state)
{
	const struct listing_row row = {.path = "/l", .type = "x/y", .state = OBJECT_LIVE};

	(void)state;
	assert_line(row_ndjson, &row,
		    "{\"path\":\"/l\",\"size\":0,\"type\":\"x/y\","
		    "\"mtime\":\"1970-01-01T00:00:00.000Z\",\"etag\":null,\"state\":\"live\","
		    "\"expires\":null}\n");
}

static void
bytes_that_are_no_utf_8_are_replaced(void **state)
{
	static const struct {
		const char *path, *json;
	} cases[] = {
		{"/\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xac", "/\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xac"},
		{"/\xff", "/\xef\xbf\xbd"},
		{"/\xc3", "/\xef\xbf\xbd"},
		{"/\xc0\xaf", "/\xef\xbf\xbd\xef\xbf\xbd"},
		{"/\xed\xa0\x80", "/\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"/\xf4\x90\x80\x80", "/\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"/\xe2\x82x", "/\xef\xbf\xbd\xef\xbf\xbdx"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct listing_row row = {.path = cases[i].path, .type = ""};
		struct evbuffer *out = evbuffer_new();
		size_t length = strlen(cases[i].json);

		assert_int_equal(row_ndjson(&row, out), 0);
		assert_memory_equal(evbuffer_pullup(out, -1), "{\"path\":\"", 9);
		assert_memory_equal(evbuffer_pullup(out, -1) + 9, cases[i].json, length);
		assert_memory_equal(evbuffer_pullup(out, -1) + 9 + length, "\",", 2);
		evbuffer_free(out);
	}
}

static void
a_path_of_1024_odd_bytes_fits(void **state)
{
	char path[1025];
	const struct listing_row row = {.path = path, .type = "x/y"};
	struct evbuffer *out = evbuffer_new();

	(void)state;
	memset(path, 0xff, 1024);
	path[1024] = '\0';
	assert_int_equal(row_ndjson(&row, out), 0);
	assert_true(evbuffer_get_length(out) > 3 * 1024);
	evbuffer_free(out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_row_is_the_path),
		cmocka_unit_test(a_json_row_tells_everything),
		cmocka_unit_test(what_there_is_not_is_null),
		cmocka_unit_test(bytes_that_are_no_utf_8_are_replaced),
		cmocka_unit_test(a_path_of_1024_odd_bytes_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
