/* etag_test.c - entity tags, and the order of preconditions. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "http/etag.h"

#define TAG "\"000102030405060708090a0b0c0d0e0f\""
#define NOW INT64_C(1767225600)
#define MTIME INT64_C(784111777)
#define THEN "Sun, 06 Nov 1994 08:49:37 GMT"
#define EARLIER "Sun, 06 Nov 1994 08:49:36 GMT"
#define LATER "Sun, 06 Nov 1994 08:49:38 GMT"

static void
a_tag_is_the_hash_in_quotes(void **state)
{
	uint8_t hash[16];
	char text[ETAG_SIZE];

	(void)state;
	for (uint8_t i = 0; i < 16; i++)
		hash[i] = i;
	etag_format(hash, text);
	assert_string_equal(text, TAG);
}

static void
lists_name_tags(void **state)
{
	static const struct {
		const char *list;
		bool weak, strong;
	} cases[] = {
		{TAG, true, true},
		{"W/" TAG, true, false},
		{"w/" TAG, false, false},
		{"*", true, true},
		{"\"a\", " TAG, true, true},
		{"\"a,b\",\"c\" ,W/" TAG, true, false},
		{"\"a\"", false, false},
		{"", false, false},
		{"000102030405060708090a0b0c0d0e0f", false, false},
		{"\"000102030405060708090A0B0C0D0E0F\"", false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(etag_listed(slice_of(cases[i].list), TAG, true), cases[i].weak);
		assert_int_equal(etag_listed(slice_of(cases[i].list), TAG, false), cases[i].strong);
	}
	assert_false(etag_listed(slice_of(TAG), NULL, true));
	assert_true(etag_listed(slice_of("*"), NULL, true));
}

static void
make_head(const char *fields, char *text, size_t size, struct head *head)
{
	snprintf(text, size, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);
	assert_int_equal(head_parse(text, strlen(text), head), HEAD_OK);
}

static void
preconditions_are_evaluated_in_order(void **state)
{
	static const struct {
		const char *fields;
		enum etag_outcome outcome;
	} cases[] = {
		{"", ETAG_PROCEED},
		{"If-None-Match: " TAG "\r\n", ETAG_NOT_MODIFIED},
		{"If-None-Match: W/" TAG "\r\n", ETAG_NOT_MODIFIED},
		{"If-None-Match: \"x\"\r\nIf-None-Match: " TAG "\r\n", ETAG_NOT_MODIFIED},
		{"If-None-Match: \"x\"\r\n", ETAG_PROCEED},
		{"If-None-Match: \"x\"\r\nIf-Modified-Since: " THEN "\r\n", ETAG_PROCEED},
		{"If-Modified-Since: " THEN "\r\n", ETAG_NOT_MODIFIED},
		{"If-Modified-Since: " LATER "\r\n", ETAG_NOT_MODIFIED},
		{"If-Modified-Since: " EARLIER "\r\n", ETAG_PROCEED},
		{"If-Modified-Since: nonsense\r\n", ETAG_PROCEED},
		{"If-Match: " TAG "\r\n", ETAG_PROCEED},
		{"If-Match: *\r\n", ETAG_PROCEED},
		{"If-Match: W/" TAG "\r\n", ETAG_FAILED},
		{"If-Match: \"x\"\r\n", ETAG_FAILED},
		{"If-Match: \"x\"\r\nIf-None-Match: " TAG "\r\n", ETAG_FAILED},
		{"If-Match: " TAG "\r\nIf-Unmodified-Since: " EARLIER "\r\n", ETAG_PROCEED},
		{"If-Unmodified-Since: " EARLIER "\r\n", ETAG_FAILED},
		{"If-Unmodified-Since: " THEN "\r\n", ETAG_PROCEED},
		{"If-Unmodified-Since: nonsense\r\n", ETAG_PROCEED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];
		struct head head;

		make_head(cases[i].fields, text, sizeof(text), &head);
		if (etag_evaluate(&head, TAG, MTIME, NOW) != cases[i].outcome)
			fail_msg("%s", cases[i].fields);
	}
}

static void
a_range_applies_only_to_what_if_range_names(void **state)
{
	static const struct {
		const char *fields;
		bool applies;
	} cases[] = {
		{"", true},
		{"If-Range: " TAG "\r\n", true},
		{"If-Range: W/" TAG "\r\n", false},
		{"If-Range: \"x\"\r\n", false},
		{"If-Range: " THEN "\r\n", true},
		{"If-Range: " EARLIER "\r\n", false},
		{"If-Range: " LATER "\r\n", false},
		{"If-Range: Wednesday, 01-Jan-20 00:00:00 GMT\r\n", false},
		{"If-Range: nonsense\r\n", false},
		{"If-Range:\r\n", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];
		struct head head;

		make_head(cases[i].fields, text, sizeof(text), &head);
		if (etag_range_applies(&head, TAG, MTIME, NOW) != cases[i].applies)
			fail_msg("%s", cases[i].fields);
	}
}

static void
writes_are_allowed_on_what_they_expect(void **state)
{
	static const struct {
		const char *fields;
		bool on_nothing, on_tagged, on_growing;
	} cases[] = {
		{"", true, true, true},
		{"If-None-Match: *\r\n", true, false, false},
		{"If-None-Match: " TAG "\r\n", true, false, true},
		{"If-None-Match: W/" TAG "\r\n", true, false, true},
		{"If-None-Match: \"x\"\r\n", true, true, true},
		{"If-Match: *\r\n", false, true, true},
		{"If-Match: " TAG "\r\n", false, true, false},
		{"If-Match: \"x\", " TAG "\r\n", false, true, false},
		{"If-Match: W/" TAG "\r\n", false, false, false},
		{"If-Match: \"x\"\r\n", false, false, false},
		{"If-Match: \"x\"\r\nIf-Match: " TAG "\r\n", false, true, false},
		{"If-Unmodified-Since: " EARLIER "\r\n", true, false, false},
		{"If-Unmodified-Since: " THEN "\r\n", true, true, true},
		{"If-Unmodified-Since: nonsense\r\n", true, true, true},
		{"If-Match: " TAG "\r\nIf-Unmodified-Since: " EARLIER "\r\n", false, true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];
		struct head head;

		make_head(cases[i].fields, text, sizeof(text), &head);
		assert_int_equal(etag_has_preconditions(&head), cases[i].fields[0] != '\0');
		if (etag_write_allowed(&head, false, NULL, -1, NOW) != cases[i].on_nothing ||
		    etag_write_allowed(&head, true, TAG, MTIME, NOW) != cases[i].on_tagged ||
		    etag_write_allowed(&head, true, NULL, MTIME, NOW) != cases[i].on_growing)
			fail_msg("%s", cases[i].fields);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tag_is_the_hash_in_quotes),
		cmocka_unit_test(lists_name_tags),
		cmocka_unit_test(preconditions_are_evaluated_in_order),
		cmocka_unit_test(a_range_applies_only_to_what_if_range_names),
		cmocka_unit_test(writes_are_allowed_on_what_they_expect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
