/* units_test.c - sizes and durations as people write them. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/units.h"

static void
sizes_are_parsed_in_both_families_of_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{"0", 0},
		{"1", 1},
		{"17B", 17},
		{"64KiB", 65536},
		{"3KB", 3000},
		{"5MiB", 5 * 1048576},
		{"5MB", 5000000},
		{"1GiB", 1073741824},
		{"2GB", 2000000000},
		{"1TiB", 1099511627776},
		{"2TB", 2000000000000},
		{"007KiB", 7168},
		{"18446744073709551615", UINT64_MAX},
		{"16777215TiB", UINT64_C(16777215) << 40},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bytes = 12345;

		assert_int_equal(units_parse_size(cases[i].text, &bytes), 0);
		assert_int_equal(bytes, cases[i].bytes);
	}
}

static void
bad_sizes_are_refused_and_write_nothing(void **state)
{
	static const struct {
		const char *text;
		int err;
	} cases[] = {
		{"", -EINVAL},
		{"KiB", -EINVAL},
		{"-1", -EINVAL},
		{"+1", -EINVAL},
		{" 1", -EINVAL},
		{"1 KiB", -EINVAL},
		{"1KiB ", -EINVAL},
		{"1.5GiB", -EINVAL},
		{"1kib", -EINVAL},
		{"1PiB", -EINVAL},
		{"90%", -EINVAL},
		{"0x10", -EINVAL},
		{"18446744073709551616", -ERANGE},
		{"99999999999999999999999999", -ERANGE},
		{"16777216TiB", -ERANGE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bytes = 12345;

		assert_int_equal(units_parse_size(cases[i].text, &bytes), cases[i].err);
		assert_int_equal(bytes, 12345);
	}
}

static void
durations_are_parsed(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{"0", 0},        {"500ms", 500},
		{"2s", 2000},    {"5m", 300000},
		{"1h", 3600000}, {"7d", 604800000},
		{"0s", 0},       {"9223372036854775807ms", INT64_MAX},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t ms = -7;

		assert_int_equal(units_parse_duration(cases[i].text, &ms), 0);
		assert_int_equal(ms, cases[i].ms);
	}
}

static void
bad_durations_are_refused_and_write_nothing(void **state)
{
	static const struct {
		const char *text;
		int err;
	} cases[] = {
		{"", -EINVAL},
		{"s", -EINVAL},
		{"10", -EINVAL},
		{"-1s", -EINVAL},
		{"1sec", -EINVAL},
		{"1.5s", -EINVAL},
		{"1S", -EINVAL},
		{"1h30m", -EINVAL},
		{"9223372036854775808ms", -ERANGE},
		{"106751991168d", -ERANGE},
		{"18446744073709551616s", -ERANGE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t ms = -7;

		assert_int_equal(units_parse_duration(cases[i].text, &ms), cases[i].err);
		assert_int_equal(ms, -7);
	}
}

static void
formatted_values_are_short_and_parse_back(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {
		{0, "0B"},
		{1, "1B"},
		{1023, "1023B"},
		{1024, "1KiB"},
		{262144, "256KiB"},
		{UINT64_C(3) << 30, "3GiB"},
		{UINT64_C(2) << 40, "2TiB"},
		{UINT64_MAX, "18446744073709551615B"},
	};
	static const struct {
		int64_t ms;
		const char *text;
	} durations[] = {
		{0, "0ms"},
		{1, "1ms"},
		{90000, "90s"},
		{60000, "1m"},
		{7200000, "2h"},
		{604800000, "7d"},
		{INT64_MAX, "9223372036854775807ms"},
	};
	char text[UNITS_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t back;

		units_format_size(sizes[i].bytes, text);
		assert_string_equal(text, sizes[i].text);
		assert_int_equal(units_parse_size(text, &back), 0);
		assert_int_equal(back, sizes[i].bytes);
	}
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		int64_t back;

		units_format_duration(durations[i].ms, text);
		assert_string_equal(text, durations[i].text);
		assert_int_equal(units_parse_duration(text, &back), 0);
		assert_int_equal(back, durations[i].ms);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_parsed_in_both_families_of_units),
		cmocka_unit_test(bad_sizes_are_refused_and_write_nothing),
		cmocka_unit_test(durations_are_parsed),
		cmocka_unit_test(bad_durations_are_refused_and_write_nothing),
		cmocka_unit_test(formatted_values_are_short_and_parse_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
