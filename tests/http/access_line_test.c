/* access_line_test.c - lines of the access log, of good and of hostile requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "http/access_line.h"

static struct access_entry
a_read(void)
{
	return (struct access_entry){
		.time_ms = 1767225599042, /* 2025-12-31T23:59:59.042Z */
		.peer = "192.0.2.7",
		.user = slice_of("encoder1"),
		.method = "GET",
		.target = slice_of("/live/a.m4s?token=secret"),
		.minor = 1,
		.status = 200,
		.sent = 18446744073709551615u,
		.received = 5,
		.duration_us = 1500000,
		.first_us = 250,
		.object = "live",
		.whole = true,
		.referer = slice_of("http://player/?key=secret"),
		.agent = slice_of("Lavf/59.27.100"),
	};
}

static void
combined_lines(void **state)
{
	struct access_entry entry = a_read();
	char line[ACCESS_LINE_MAX];
	size_t length = access_line(ACCESS_COMBINED, &entry, line);

	(void)state;
	line[length] = '\0';
	assert_string_equal(
		line,
		"192.0.2.7 - encoder1 [31/Dec/2025:23:59:59 +0000] \"GET /live/a.m4s HTTP/1.1\" "
		"200 18446744073709551615 \"http://player/\" \"Lavf/59.27.100\" in=5 "
		"time=1.500000 first=0.000250 object=live end=whole\n");
}

static void
what_is_not_known_has_a_sign(void **state)
{
	struct access_entry entry = {.time_ms = 0, .peer = "-", .method = "-", .object = "-"};
	char line[ACCESS_LINE_MAX];
	size_t length = access_line(ACCESS_COMBINED, &entry, line);

	(void)state;
	line[length] = '\0';
	assert_string_equal(line, "- - - [01/Jan/1970:00:00:00 +0000] \"- - HTTP/1.0\" 499 0 \"-\" "
				  "\"-\" in=0 time=0.000000 first=0.000000 object=- end=cut\n");
}

static void
json_lines(void **state)
{
	struct access_entry entry = a_read();
	char line[ACCESS_LINE_MAX];
	size_t length = access_line(ACCESS_JSON, &entry, line);

	(void)state;
	line[length] = '\0';
	assert_string_equal(
		line,
		"{\"time\":\"2025-12-31T23:59:59.042Z\",\"peer\":\"192.0.2.7\",\"user\":\"encoder1\",\"method\":\"GET\","
		"\"path\":\"/live/a.m4s\",\"protocol\":\"HTTP/1.1\",\"status\":200,"
		"\"sent\":18446744073709551615,\"received\":5,\"seconds\":1.500000,"
		"\"first_byte\":0.000250,\"object\":\"live\",\"end\":\"whole\","
		"\"referer\":\"http://player/\",\"agent\":\"Lavf/59.27.100\"}\n");
}

/* Every byte in every place: the line stays one line, and JSON says the bytes again as ISO-8859-1. */
static void
no_byte_of_a_client_breaks_a_line(void **state)
{
	struct access_entry entry = a_read();
	char text[256], line[ACCESS_LINE_MAX], utf8[600], *at = utf8;
	json_t *object;
	size_t length;

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		text[i] = (char)i;
		if (i == 0)
			continue;
		if (i >= 0x80)
			*at++ = (char)(0xc0 | i >> 6);
		*at++ = (char)(i < 0x80 ? i : 0x80 | (i & 0x3f));
	}
	*at = '\0';
	entry.agent = entry.user = (struct slice){text, 256};
	for (int format = ACCESS_COMBINED; format <= ACCESS_JSON; format++) {
		length = access_line((enum access_format)format, &entry, line);
		assert_ptr_equal(memchr(line, '\n', length), line + length - 1);
		for (size_t i = 0; i + 1 < length; i++)
			assert_in_range(line[i], 0x20, 0x7e);
	}
	entry.agent = entry.user = (struct slice){text + 1, 255};
	entry.sent = 1; /* jansson reads signed numbers */
	length = access_line(ACCESS_JSON, &entry, line);
	object = json_loadb(line, length, 0, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "agent")), utf8);
	json_decref(object);
	access_line(ACCESS_COMBINED, &entry, line);
	assert_non_null(strstr(line, "\\x01\\x02"));
	assert_non_null(strstr(line, " !\\\"#"));
	assert_non_null(strstr(line, "[\\\\]"));
	assert_non_null(strstr(line, "\\x7f\\x80"));
	assert_non_null(strstr(line, "\\xfe\\xff\" in="));
}

static void
what_is_too_long_is_cut_between_two_bytes(void **state)
{
	struct access_entry entry = a_read();
	char line[ACCESS_LINE_MAX];
	char *long_text = malloc(20000);
	json_t *object;
	size_t length;

	(void)state;
	memset(long_text, 0xff, 20000);
	entry.sent = 1;
	entry.user = entry.target = entry.referer = entry.agent = (struct slice){long_text, 20000};
	for (size_t ascii = 0; ascii < 7; ascii++) {
		long_text[ascii] = 'a';
		assert_in_range(access_line(ACCESS_COMBINED, &entry, line), 4096,
				ACCESS_LINE_MAX - 1);
		length = access_line(ACCESS_JSON, &entry, line);
		assert_in_range(length, 4096, ACCESS_LINE_MAX - 1);
		object = json_loadb(line, length, 0, NULL);
		assert_non_null(object);
		json_decref(object);
	}
	free(long_text);
}

/* A certificate's name may have blanks and quotes; combined has nothing round it. */
static void
a_user_is_one_word(void **state)
{
	struct access_entry entry = a_read();
	char line[ACCESS_LINE_MAX];
	size_t length;

	(void)state;
	entry.user = slice_of("Camera 1\" [x] \\n\xc3\xa4");
	length = access_line(ACCESS_COMBINED, &entry, line);
	line[length] = '\0';
	assert_non_null(strstr(
		line, "192.0.2.7 - Camera\\x201\\\"\\x20[x]\\x20\\\\n\\xc3\\xa4 [31/Dec/2025"));
	length = access_line(ACCESS_JSON, &entry, line);
	line[length] = '\0';
	assert_non_null(strstr(line, "\"user\":\"Camera 1\\\" [x] \\\\n\\u00c3\\u00a4\","));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(combined_lines),
		cmocka_unit_test(what_is_not_known_has_a_sign),
		cmocka_unit_test(json_lines),
		cmocka_unit_test(no_byte_of_a_client_breaks_a_line),
		cmocka_unit_test(what_is_too_long_is_cut_between_two_bytes),
		cmocka_unit_test(a_user_is_one_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
