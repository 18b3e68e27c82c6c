/* paging_test.c - what a LIST asks for. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/paging.h"

#define PLAIN "LIST / HTTP/1.1\r\nHost: h\r\n\r\n"
#define ACCEPTS "LIST / HTTP/1.1\r\nHost: h\r\nAccept: text/x, application/x-ndjson\r\n\r\n"

static int
read_query(const char *text, const char *query, struct paging *out, const char **why)
{
	struct head head;

	assert_int_equal(head_parse(text, strlen(text), &head), HEAD_OK);
	return paging_read(&head, slice_of(query), out, why);
}

static void
without_a_query_all_paths_as_text(void **state)
{
	struct paging paging;
	const char *why = NULL;

	(void)state;
	assert_int_equal(read_query(PLAIN, "", &paging, &why), 0);
	assert_false(paging.ndjson);
	assert_false(paging.has_after);
	assert_true(paging.limit == UINT64_MAX);
}

static void
the_query_wins_over_accept(void **state)
{
	struct paging paging;
	const char *why = NULL;

	(void)state;
	assert_int_equal(read_query(ACCEPTS, "x=1", &paging, &why), 0);
	assert_true(paging.ndjson);
	assert_int_equal(read_query(ACCEPTS, "format=text", &paging, &why), 0);
	assert_false(paging.ndjson);
	assert_int_equal(read_query(PLAIN, "format=ndjson", &paging, &why), 0);
	assert_true(paging.ndjson);
}

static void
limit_and_after_are_read(void **state)
{
	struct paging paging;
	const char *why = NULL;

	(void)state;
	assert_int_equal(read_query(PLAIN, "limit=0&after=%2Fa+b", &paging, &why), 0);
	assert_int_equal(paging.limit, 0);
	assert_true(paging.has_after);
	assert_string_equal(paging.after, "/a b");
}

static void
what_makes_no_sense_is_refused_with_a_reason(void **state)
{
	static const char *const queries[] = {
		"format=",  "format=xml", "limit=",   "limit=-1",
		"limit=1x", "after=%0a",  "after=%2", "limit=18446744073709551616"};

	(void)state;
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		struct paging paging;
		const char *why = NULL;

		if (read_query(PLAIN, queries[i], &paging, &why) != -EINVAL || why == NULL)
			fail_msg("%s was taken", queries[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_query_all_paths_as_text),
		cmocka_unit_test(the_query_wins_over_accept),
		cmocka_unit_test(limit_and_after_are_read),
		cmocka_unit_test(what_makes_no_sense_is_refused_with_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
