/* body_test.c - bodies by length and by chunks through one door. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/body.h"

static void
a_body_by_length_is_payload_only(void **state)
{
	const struct head head = {.body = HEAD_BODY_LENGTH, .content_length = 5};
	struct body body;

	(void)state;
	body_init(&body, &head);
	assert_int_equal(body_payload(&body), 5);
	assert_int_equal(body_framing(&body, "hello", 5), 0);
	body_took(&body, 3);
	assert_false(body_done(&body));
	body_took(&body, 2);
	assert_true(body_done(&body));
}

static void
no_body_is_done_at_once(void **state)
{
	const struct head head = {.body = HEAD_BODY_NONE};
	struct body body;

	(void)state;
	body_init(&body, &head);
	assert_true(body_done(&body));
	assert_int_equal(body_skip(&body, "GET", 3), 0);
}

static void
skipping_stops_where_the_next_request_begins(void **state)
{
	static const char text[] = "3\r\nabc\r\n0\r\n\r\nGET";
	const struct head chunked = {.body = HEAD_BODY_CHUNKED};
	const struct head length = {.body = HEAD_BODY_LENGTH, .content_length = 13};
	struct body body;

	(void)state;
	for (size_t cut = 0; cut <= 13; cut++) {
		body_init(&body, &chunked);
		assert_int_equal(body_skip(&body, text, cut), cut);
		assert_int_equal(body_skip(&body, text + cut, sizeof(text) - 1 - cut), 13 - cut);
		assert_true(body_done(&body));
		body_init(&body, &length);
		assert_int_equal(body_skip(&body, text, cut), cut);
		assert_int_equal(body_skip(&body, text + cut, sizeof(text) - 1 - cut), 13 - cut);
		assert_true(body_done(&body));
	}
}

static void
skipping_malformed_chunks_fails(void **state)
{
	const struct head chunked = {.body = HEAD_BODY_CHUNKED};
	struct body body;

	(void)state;
	body_init(&body, &chunked);
	assert_int_equal(body_skip(&body, "3\r\nabcd", 7), -EPROTO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_by_length_is_payload_only),
		cmocka_unit_test(no_body_is_done_at_once),
		cmocka_unit_test(skipping_stops_where_the_next_request_begins),
		cmocka_unit_test(skipping_malformed_chunks_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
