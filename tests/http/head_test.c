/* head_test.c - heads that are taken, and every reason to refuse one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/head.h"

static enum head_verdict
read_head(const char *text, struct head *head)
{
	size_t at = 0, end = 0;
	enum head_verdict verdict = head_scan(text, strlen(text), &at, &end);

	return verdict == HEAD_OK ? head_parse(text, end, head) : verdict;
}

static void
assert_slice(struct slice s, const char *text)
{
	assert_int_equal(s.length, strlen(text));
	assert_memory_equal(s.data, text, s.length);
}

static void
a_request_is_read(void **state)
{
	struct head head;

	(void)state;
	assert_int_equal(read_head("PUT /live/a.m4s?x HTTP/1.1\r\nHost: h\r\nContent-Length: 42\r\n"
				   "Expect: 100-Continue\r\n\r\n",
				   &head),
			 HEAD_OK);
	assert_int_equal(head.method, METHOD_PUT);
	assert_slice(head.target, "/live/a.m4s?x");
	assert_int_equal(head.minor, 1);
	assert_int_equal(head.body, HEAD_BODY_LENGTH);
	assert_int_equal(head.content_length, 42);
	assert_true(head.keep_alive);
	assert_true(head.expect_continue);
}

static void
every_method_is_known(void **state)
{
	static const struct {
		const char *text;
		enum method method;
	} cases[] = {
		{"GET / HTTP/1.0\r\n\r\n", METHOD_GET},
		{"HEAD / HTTP/1.0\r\n\r\n", METHOD_HEAD},
		{"PUT / HTTP/1.0\r\n\r\n", METHOD_PUT},
		{"POST / HTTP/1.0\r\n\r\n", METHOD_POST},
		{"DELETE / HTTP/1.0\r\n\r\n", METHOD_DELETE},
		{"LIST / HTTP/1.0\r\n\r\n", METHOD_LIST},
		{"OPTIONS * HTTP/1.0\r\n\r\n", METHOD_OPTIONS},
	};
	struct head head;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(read_head(cases[i].text, &head), HEAD_OK);
		assert_int_equal(head.method, cases[i].method);
		assert_int_equal(head.minor, 0);
		assert_false(head.keep_alive);
	}
}

static void
bodies_are_announced_by_length_or_by_chunks(void **state)
{
	struct head head;

	(void)state;
	assert_int_equal(read_head("GET / HTTP/1.1\r\nHost: h\r\n\r\n", &head), HEAD_OK);
	assert_int_equal(head.body, HEAD_BODY_NONE);
	assert_int_equal(
		read_head("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n", &head),
		HEAD_OK);
	assert_int_equal(head.body, HEAD_BODY_CHUNKED);
	assert_int_equal(
		read_head("PUT / HTTP/1.1\r\nHost:h\r\ncontent-length:\t 007 \r\n\r\n", &head),
		HEAD_OK);
	assert_int_equal(head.content_length, 7);
}

static void
the_connection_is_kept_as_the_client_asks(void **state)
{
	static const struct {
		const char *text;
		bool keep;
	} cases[] = {
		{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: TE, Close\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: TE\r\nConnection: close\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: closer\r\n\r\n", true},
		{"GET / HTTP/1.0\r\n\r\n", false},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
		{"GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", false},
		{"GET / HTTP/1.7\r\nHost: h\r\n\r\n", true},
	};
	struct head head;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(read_head(cases[i].text, &head), HEAD_OK);
		assert_int_equal(head.keep_alive, cases[i].keep);
	}
}

static void
fields_are_found_by_name_in_turn(void **state)
{
	struct head head;
	struct slice value;
	size_t at = 0;

	(void)state;
	assert_int_equal(
		read_head("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB:\r\na: \t2 \r\nAA: 3\r\n\r\n",
			  &head),
		HEAD_OK);
	assert_true(head_next(&head, "a", &at, &value));
	assert_slice(value, "1");
	assert_true(head_next(&head, "a", &at, &value));
	assert_slice(value, "2");
	assert_false(head_next(&head, "a", &at, &value));
	assert_true(head_find(&head, "b", &value));
	assert_slice(value, "");
	assert_false(head_find(&head, "c", &value));
}

static void
every_refusal_has_its_reason(void **state)
{
#define ONE "GET / HTTP/1.1\r\nHost: h\r\n"
	static const struct {
		const char *text;
		enum head_verdict verdict;
		int code;
	} cases[] = {
		{"GET / HTTP/1.1\n", HEAD_BARE_LF, 400},
		{"\nGET / HTTP/1.1\r\n", HEAD_BARE_LF, 400},
		{ONE "A: 1\n\r\n", HEAD_BARE_LF, 400},
		{ONE "A: 1\r2\r\n\r\n", HEAD_BARE_CR, 400},
		{ONE "A: 1\r\r\n\r\n", HEAD_BARE_CR, 400},
		{ONE "A: \001\r\n\r\n", HEAD_CONTROL_BYTE, 400},
		{ONE "A: \177\r\n\r\n", HEAD_CONTROL_BYTE, 400},
		{"GET / HTTP/1.1\001\r\n\r\n", HEAD_CONTROL_BYTE, 400},
		{"\r\n\r\n", HEAD_REQUEST_LINE, 400},
		{"GET\r\n\r\n", HEAD_REQUEST_LINE, 400},
		{"GET /\r\n\r\n", HEAD_REQUEST_LINE, 400},
		{" GET / HTTP/1.1\r\n\r\n", HEAD_REQUEST_LINE, 400},
		{"GET  / HTTP/1.1\r\n\r\n", HEAD_REQUEST_LINE, 400},
		{"GE(T / HTTP/1.1\r\n\r\n", HEAD_REQUEST_LINE, 400},
		{"GET /a\tb HTTP/1.1\r\n\r\n", HEAD_REQUEST_LINE, 400},
		{"GET / HTTP/1.1 \r\n\r\n", HEAD_VERSION_FORM, 400},
		{"GET / a HTTP/1.1\r\n\r\n", HEAD_VERSION_FORM, 400},
		{"GET / http/1.1\r\n\r\n", HEAD_VERSION_FORM, 400},
		{"GET / HTTP/1.10\r\n\r\n", HEAD_VERSION_FORM, 400},
		{"GET / HTTP/2.0\r\n\r\n", HEAD_VERSION, 505},
		{"GET / HTTP/0.9\r\n\r\n", HEAD_VERSION, 505},
		{"BREW / HTTP/1.1\r\n\r\n", HEAD_METHOD, 501},
		{"get / HTTP/1.1\r\n\r\n", HEAD_METHOD, 501},
		{ONE " A: 1\r\n\r\n", HEAD_FOLDED, 400},
		{ONE "A: 1\r\n\tmore\r\n\r\n", HEAD_FOLDED, 400},
		{ONE "A : 1\r\n\r\n", HEAD_FIELD_NAME, 400},
		{ONE "A\r\n\r\n", HEAD_FIELD_NAME, 400},
		{ONE ": 1\r\n\r\n", HEAD_FIELD_NAME, 400},
		{ONE "A\xc3\xa4: 1\r\n\r\n", HEAD_FIELD_NAME, 400},
		{"GET / HTTP/1.1\r\n\r\n", HEAD_NO_HOST, 400},
		{ONE "Host: h\r\n\r\n", HEAD_MANY_HOSTS, 400},
		{ONE "Content-Length:\r\n\r\n", HEAD_LENGTH_FORM, 400},
		{ONE "Content-Length: +4\r\n\r\n", HEAD_LENGTH_FORM, 400},
		{ONE "Content-Length: -4\r\n\r\n", HEAD_LENGTH_FORM, 400},
		{ONE "Content-Length: 0x4\r\n\r\n", HEAD_LENGTH_FORM, 400},
		{ONE "Content-Length: 4, 4\r\n\r\n", HEAD_LENGTH_FORM, 400},
		{ONE "Content-Length: 18446744073709551616\r\n\r\n", HEAD_LENGTH_FORM, 400},
		{ONE "Content-Length: 9223372036854775807\r\n\r\n", HEAD_LENGTH_FORM, 400},
		{ONE "Content-Length: 4\r\nContent-Length: 4\r\n\r\n", HEAD_MANY_LENGTHS, 400},
		{ONE "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
		 HEAD_LENGTH_AND_CHUNKED, 400},
		{ONE "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
		 HEAD_LENGTH_AND_CHUNKED, 400},
		{ONE "Transfer-Encoding: gzip, chunked\r\n\r\n", HEAD_CODING, 501},
		{ONE "Transfer-Encoding: xchunked\r\n\r\n", HEAD_CODING, 501},
		{ONE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		 HEAD_MANY_CODINGS, 400},
		{"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HEAD_CODING_IN_1_0, 400},
		{ONE "Expect: the unexpected\r\n\r\n", HEAD_EXPECTATION, 417},
	};
	struct head head;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum head_verdict verdict = read_head(cases[i].text, &head);

		if (verdict != cases[i].verdict)
			print_error("case %zu: %s\n", i, cases[i].text);
		assert_int_equal(verdict, cases[i].verdict);
		assert_int_equal(head_refusal(verdict).code, cases[i].code);
		assert_non_null(head_refusal(verdict).reason);
	}
}

static void
a_nul_byte_is_refused(void **state)
{
	static const char text[] = ONE "A: \0\r\n\r\n";
	struct head head;

	(void)state;
	assert_int_equal(head_parse(text, sizeof(text) - 1, &head), HEAD_CONTROL_BYTE);
}

static void
a_head_may_be_16_kib_long_and_no_longer(void **state)
{
	char text[HEAD_MAX + 16];
	size_t at = 0, end;
	struct head head;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, ONE "A: ", strlen(ONE "A: "));
	memcpy(text + HEAD_MAX - 4, "\r\n\r\n", 4);
	assert_int_equal(head_scan(text, HEAD_MAX, &at, &end), HEAD_OK);
	assert_int_equal(end, HEAD_MAX);
	assert_int_equal(head_parse(text, end, &head), HEAD_OK);

	memset(text + HEAD_MAX - 4, 'x', 4);
	memcpy(text + HEAD_MAX - 3, "\r\n\r\n", 4);
	at = 0;
	assert_int_equal(head_scan(text, HEAD_MAX - 1, &at, &end), HEAD_MORE);
	assert_int_equal(head_scan(text, HEAD_MAX + 1, &at, &end), HEAD_TOO_LONG);
	assert_int_equal(head_refusal(HEAD_TOO_LONG).code, 431);
}

static void
a_request_line_without_end_is_a_target_too_long(void **state)
{
	char text[HEAD_MAX];
	size_t at = 0, end;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "GET /", 5);
	assert_int_equal(head_scan(text, HEAD_MAX, &at, &end), HEAD_TARGET_TOO_LONG);
	assert_int_equal(head_refusal(HEAD_TARGET_TOO_LONG).code, 414);
}

static void
the_end_is_found_however_the_head_is_split(void **state)
{
	static const char text[] = ONE "A: 1\r\n\r\nbody\r\n\r\n";
	const size_t length = strlen(ONE "A: 1\r\n\r\n");

	(void)state;
	for (size_t cut = 0; cut < length; cut++) {
		size_t at = 0, end = 0;

		assert_int_equal(head_scan(text, cut, &at, &end), HEAD_MORE);
		assert_int_equal(head_scan(text, sizeof(text) - 1, &at, &end), HEAD_OK);
		assert_int_equal(end, length);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_read),
		cmocka_unit_test(every_method_is_known),
		cmocka_unit_test(bodies_are_announced_by_length_or_by_chunks),
		cmocka_unit_test(the_connection_is_kept_as_the_client_asks),
		cmocka_unit_test(fields_are_found_by_name_in_turn),
		cmocka_unit_test(every_refusal_has_its_reason),
		cmocka_unit_test(a_nul_byte_is_refused),
		cmocka_unit_test(a_head_may_be_16_kib_long_and_no_longer),
		cmocka_unit_test(a_request_line_without_end_is_a_target_too_long),
		cmocka_unit_test(the_end_is_found_however_the_head_is_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
