/* upload_test.c - what the head of an upload is taken to ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/upload.h"

static struct upload upload;

/* The refusal's code for a PUT with FIELDS, each ended by CRLF; 0 when it is not refused. */
static int
read_with(const char *fields, uint64_t max)
{
	static char text[2048];
	struct policy policy = {0};
	struct upload_refusal refusal = {0};
	struct head head;
	int length =
		snprintf(text, sizeof(text), "PUT /a.mp4 HTTP/1.1\r\nHost: t\r\n%s\r\n", fields);

	assert_int_equal(head_parse(text, (size_t)length, &head), HEAD_OK);
	if (!upload_read(&head, "/a.mp4", &policy, max, &upload, &refusal))
		return 0;
	assert_non_null(refusal.reason);
	return refusal.code;
}

static void
a_plain_upload_asks_for_nothing(void **state)
{
	(void)state;
	assert_int_equal(read_with("Content-Length: 5\r\n", 0), 0);
	assert_false(upload.continues || upload.conditional || upload.exact);
	assert_true(upload.offset == 0 && upload.end == UPLOAD_OPEN);
	assert_string_equal(upload.type, "video/mp4");
	assert_int_equal(read_with("Content-Type: x/y\r\n", 0), 0);
	assert_string_equal(upload.type, "x/y");
}

static void
content_range_says_where_it_begins_and_ends(void **state)
{
	(void)state;
	assert_int_equal(read_with("Content-Length: 5\r\nContent-Range: bytes 10-14/*\r\n", 0), 0);
	assert_true(upload.continues && upload.exact);
	assert_true(upload.offset == 10 && upload.end == 15);
	assert_int_equal(read_with("Content-Length: 5\r\nContent-Range: bytes 10-14/99\r\n", 0), 0);
	assert_true(upload.exact && upload.end == 15);
	assert_int_equal(
		read_with("Transfer-Encoding: chunked\r\nContent-Range: bytes 7-*/*\r\n", 0), 0);
	assert_true(upload.continues && !upload.exact);
	assert_true(upload.offset == 7 && upload.end == UPLOAD_OPEN);
	assert_int_equal(
		read_with("Transfer-Encoding: chunked\r\nContent-Range: bytes 7-*/20\r\n", 0), 0);
	assert_true(!upload.exact && upload.end == 20);
}

static void
a_body_of_another_length_is_refused_early(void **state)
{
	static const struct {
		const char *fields;
		int code;
	} cases[] = {
		{"Content-Length: 4\r\nContent-Range: bytes 10-14/*\r\n", 400},
		{"Content-Length: 6\r\nContent-Range: bytes 10-14/*\r\n", 400},
		{"Content-Range: bytes 10-14/*\r\n", 400}, /* no body at all */
		{"Content-Length: 14\r\nContent-Range: bytes 7-*/20\r\n", 400},
		{"Content-Length: 13\r\nContent-Range: bytes 7-*/20\r\n", 0},
		{"Content-Length: 1\r\nContent-Range: bytes 7-*/20\r\n", 0},
		{"Transfer-Encoding: chunked\r\nContent-Range: bytes 10-14/*\r\n", 0},
		{"Content-Length: 4\r\nContent-Range: bytes 10\r\n", 400},
		{"Content-Length: 4\r\nContent-Range: rows 10-13/*\r\n", 400},
		{"Content-Length: 4\r\nContent-Range: bytes 10-13/13\r\n", 400},
		{"Content-Length: 4\r\nContent-Range: bytes 0-3/*\r\nContent-Range: bytes 4-7/*\r\n",
		 400},
		{"Content-Length: 4\r\nContent-Range: bytes 0-18446744073709551615/*\r\n", 400},
		{"Content-Length: 4\r\nContent-Encoding: gzip\r\n", 415},
		{"Content-Length: 4\r\nContent-Encoding: identity\r\n", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (read_with(cases[i].fields, 0) != cases[i].code)
			fail_msg("%s", cases[i].fields);
}

static void
the_largest_object_is_counted_from_its_start(void **state)
{
	(void)state;
	assert_int_equal(read_with("Content-Length: 100\r\n", 100), 0);
	assert_int_equal(read_with("Content-Length: 101\r\n", 100), 413);
	assert_int_equal(read_with("Content-Length: 1\r\nContent-Range: bytes 99-99/*\r\n", 100),
			 0);
	assert_int_equal(read_with("Content-Length: 1\r\nContent-Range: bytes 100-100/*\r\n", 100),
			 413);
	assert_int_equal(read_with("Transfer-Encoding: chunked\r\n"
				   "Content-Range: bytes 0-100/*\r\n",
				   100),
			 413);
	assert_int_equal(read_with("Transfer-Encoding: chunked\r\n"
				   "Content-Range: bytes 101-*/*\r\n",
				   100),
			 413);
	assert_int_equal(read_with("Transfer-Encoding: chunked\r\n", 100), 0);
}

static void
preconditions_are_noticed(void **state)
{
	(void)state;
	assert_int_equal(read_with("If-None-Match: *\r\n", 0), 0);
	assert_true(upload.conditional);
	assert_int_equal(read_with("If-Match: \"a\"\r\n", 0), 0);
	assert_true(upload.conditional);
	assert_int_equal(read_with("If-Unmodified-Since: x\r\n", 0), 0);
	assert_true(upload.conditional);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_upload_asks_for_nothing),
		cmocka_unit_test(content_range_says_where_it_begins_and_ends),
		cmocka_unit_test(a_body_of_another_length_is_refused_early),
		cmocka_unit_test(the_largest_object_is_counted_from_its_start),
		cmocka_unit_test(preconditions_are_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
