/* range_test.c - which bytes a client wants, and which it sends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/range.h"

static void
single_ranges_select_bytes(void **state)
{
	static const struct {
		const char *text;
		uint64_t length;
		int rc;
		uint64_t first, last;
	} cases[] = {
		{"bytes=0-0", 10, 0, 0, 0},
		{"bytes=0-", 10, 0, 0, 9},
		{"bytes=3-5", 10, 0, 3, 5},
		{"bytes=3-99", 10, 0, 3, 9},
		{"bytes=9-9", 10, 0, 9, 9},
		{"bytes=-1", 10, 0, 9, 9},
		{"bytes=-10", 10, 0, 0, 9},
		{"bytes=-99", 10, 0, 0, 9},
		{"Bytes= 2-3 ", 10, 0, 2, 3},
		{"bytes=,, 2-3,", 10, 0, 2, 3},
		{"bytes=0-99999999999999999999999", 10, 0, 0, 9},
		{"bytes=0-9007199254740991", 10, 0, 0, 9},
		{"bytes=10-", 10, -ERANGE, 0, 0},
		{"bytes=10-20", 10, -ERANGE, 0, 0},
		{"bytes=-0", 10, -ERANGE, 0, 0},
		{"bytes=0-", 0, -ERANGE, 0, 0},
		{"bytes=-5", 0, -ERANGE, 0, 0},
		{"bytes=99999999999999999999999-", 10, -ERANGE, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct range_spec spec;
		uint64_t first = 0, last = 0;
		size_t count = 0;

		assert_int_equal(range_parse(slice_of(cases[i].text), &spec, 1, &count), 0);
		assert_int_equal(count, 1);
		assert_int_equal(range_resolve(&spec, cases[i].length, &first, &last), cases[i].rc);
		assert_int_equal(first, cases[i].first);
		assert_int_equal(last, cases[i].last);
	}
}

static void
what_is_malformed_is_ignored(void **state)
{
	static const char *const cases[] = {
		"",
		"bytes",
		"bytes=",
		"bytes=-",
		"bytes=5",
		"bytes=5-3",
		"bytes 0-5",
		"rows=0-5",
		"bytes=a-b",
		"bytes=0-5x",
		"bytes=0x1-2",
		"bytes=--5",
		"bytes=0-1-2",
		"bytes=+1-2",
		"bytes=0-1,x",
		"bytes=,",
		"bytes=1 -2",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct range_spec specs[4];
		size_t count = 77;

		assert_int_equal(range_parse(slice_of(cases[i]), specs, 4, &count), -EINVAL);
		assert_int_equal(count, 77);
	}
}

static void
several_ranges_are_kept_in_order_and_bounded(void **state)
{
	struct range_spec specs[3];
	size_t count;

	(void)state;
	assert_int_equal(range_parse(slice_of("bytes=0-1, 5- ,-3"), specs, 3, &count), 0);
	assert_int_equal(count, 3);
	assert_int_equal(specs[0].last, 1);
	assert_int_equal(specs[1].first, 5);
	assert_int_equal(specs[1].last, RANGE_OPEN);
	assert_true(specs[2].suffix);
	assert_int_equal(range_parse(slice_of("bytes=0-1,5-6,-3,9-"), specs, 3, &count), -E2BIG);
}

static void
uploads_say_which_bytes_they_are(void **state)
{
	static const struct {
		const char *text;
		struct range_content content;
	} cases[] = {
		{"bytes 0-9/10", {0, 9, 10}},
		{"bytes 5-9/*", {5, 9, RANGE_OPEN}},
		{"bytes 5-*/*", {5, RANGE_OPEN, RANGE_OPEN}},
		{"bytes 5-*/10", {5, RANGE_OPEN, 10}},
		{"Bytes  7-7/*", {7, 7, RANGE_OPEN}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct range_content content;

		assert_int_equal(range_parse_content(slice_of(cases[i].text), &content), 0);
		assert_int_equal(content.first, cases[i].content.first);
		assert_int_equal(content.last, cases[i].content.last);
		assert_int_equal(content.total, cases[i].content.total);
	}
}

static void
a_malformed_content_range_is_no_content_range(void **state)
{
	static const char *const cases[] = {
		"",
		"bytes",
		"bytes 3-/*",
		"bytes x",
		"bytes 8-7/*",
		"bytes 0-7",
		"rows 0-7/*",
		"bytes=0-7/*",
		"bytes 0-7/",
		"bytes 0-7/7",
		"bytes -7/*",
		"bytes */10",
		"bytes 0-7/8x",
		"bytes 9-*/8",
		"bytes 0-7/*/9",
		"bytes 99999999999999999999999-*/*",
		"bytes+0-7/*",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct range_content content;

		if (range_parse_content(slice_of(cases[i]), &content) != -EINVAL)
			fail_msg("taken: %s", cases[i]);
	}
}

static void
a_range_of_what_grows_waits_for_its_bytes(void **state)
{
	static const struct {
		const char *value;
		int rc;
		uint64_t first, end;
		const char *positions;
	} cases[] = {
		{"bytes=0-", 0, 0, RANGE_OPEN, "bytes 0-9007199254740991/*"},
		{"bytes=100-", 0, 100, RANGE_OPEN, "bytes 100-9007199254740991/*"},
		{"bytes=101-", -ERANGE, 0, 0, ""},
		{"bytes=0-9", 0, 0, 10, "bytes 0-9/*"},
		{"bytes=50-500", 0, 50, 501, "bytes 50-500/*"},
		{"bytes=100-100", 0, 100, 101, "bytes 100-100/*"},
		{"bytes=101-200", -ERANGE, 0, 0, ""},
		{"bytes=7-9007199254740990", 0, 7, UINT64_C(9007199254740991),
		 "bytes 7-9007199254740990/*"},
		{"bytes=7-9007199254740991", 0, 7, RANGE_OPEN, "bytes 7-9007199254740991/*"},
		{"bytes=7-009007199254740999", 0, 7, RANGE_OPEN, "bytes 7-009007199254740999/*"},
		{"bytes=7-18446744073709551615", 0, 7, RANGE_OPEN,
		 "bytes 7-18446744073709551615/*"},
		{"bytes=7-99999999999999999999999", 0, 7, RANGE_OPEN,
		 "bytes 7-99999999999999999999999/*"},
		{"bytes=18446744073709551615-", -ERANGE, 0, 0, ""},
		{"bytes=99999999999999999999999-", -ERANGE, 0, 0, ""},
		{"bytes=-5", -EINVAL, 0, 0, ""},
		{"bytes=0-99999999999999999999999999999999999999999999999999999999999999999999999999"
		 "99999999999999999999999999999999999999999999999999999999999999999999999999999999",
		 -EINVAL, 0, 0, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char positions[RANGE_POSITIONS_SIZE] = "";
		uint64_t first = 0, end = 0;
		struct range_spec spec;
		size_t count;

		assert_int_equal(range_parse(slice_of(cases[i].value), &spec, 1, &count), 0);
		if (range_resolve_growing(&spec, 100, &first, &end, positions) != cases[i].rc ||
		    first != cases[i].first || end != cases[i].end ||
		    strcmp(positions, cases[i].positions) != 0)
			fail_msg("%s: %llu %llu %s", cases[i].value, (unsigned long long)first,
				 (unsigned long long)end, positions);
	}
}

static void
a_set_of_ranges_is_taken_as_asked_unless_it_overlaps(void **state)
{
	static const struct {
		const char *value;
		int rc;
		struct range_bytes bytes[3];
	} cases[] = {
		{"bytes=0-0", 1, {{0, 1}}},
		{"bytes=0-9,20-29", 2, {{0, 10}, {20, 30}}},
		{"bytes=20-29,0-9,-10", 3, {{20, 30}, {0, 10}, {90, 100}}},
		{"bytes=0-9,10-19", 2, {{0, 10}, {10, 20}}},
		{"bytes=0-9,200-300", 1, {{0, 10}}},
		{"bytes=200-300,5-5,-0", 1, {{5, 6}}},
		{"bytes=200-300,100-", -ERANGE, {{0, 0}}},
		{"bytes=0-9,9-19", -EINVAL, {{0, 0}}},
		{"bytes=0-,0-", -EINVAL, {{0, 0}}},
		{"bytes=50-60,0-99", -EINVAL, {{0, 0}}},
		{"bytes=0-9,20-29,-95", -EINVAL, {{0, 0}}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct range_spec specs[3];
		struct range_bytes bytes[3];
		size_t count;
		int rc;

		assert_int_equal(range_parse(slice_of(cases[i].value), specs, 3, &count), 0);
		rc = range_resolve_set(specs, count, 100, bytes);
		if (rc != cases[i].rc ||
		    (rc > 0 && memcmp(bytes, cases[i].bytes, (size_t)rc * sizeof(bytes[0])) != 0))
			fail_msg("%s", cases[i].value);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_ranges_select_bytes),
		cmocka_unit_test(what_is_malformed_is_ignored),
		cmocka_unit_test(several_ranges_are_kept_in_order_and_bounded),
		cmocka_unit_test(uploads_say_which_bytes_they_are),
		cmocka_unit_test(a_malformed_content_range_is_no_content_range),
		cmocka_unit_test(a_range_of_what_grows_waits_for_its_bytes),
		cmocka_unit_test(a_set_of_ranges_is_taken_as_asked_unless_it_overlaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
