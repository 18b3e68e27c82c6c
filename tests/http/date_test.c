/* date_test.c - HTTP dates, written in one form and read in three. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/date.h"

#define NOW INT64_C(1767225600) /* 2026-01-01 */

static void
dates_are_written_as_imf_fixdate(void **state)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} cases[] = {
		{784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
		{0, "Thu, 01 Jan 1970 00:00:00 GMT"},
		{951827696, "Tue, 29 Feb 2000 12:34:56 GMT"},
		{NOW, "Thu, 01 Jan 2026 00:00:00 GMT"},
		{INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
		{INT64_MIN, "Sat, 01 Jan 0000 00:00:00 GMT"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[DATE_SIZE];

		date_format(cases[i].seconds, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void
all_three_forms_are_read(void **state)
{
	static const char *const cases[] = {
		"Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
		"  Sun, 06 Nov 1994 08:49:37 GMT ",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t seconds = 0;

		assert_int_equal(date_parse(slice_of(cases[i]), NOW, &seconds), 0);
		assert_int_equal(seconds, 784111777);
	}
}

static void
what_was_written_is_read_back(void **state)
{
	(void)state;
	for (int64_t t = 0; t < INT64_C(4102444800); t += 86400 * 13 + 3601) {
		char text[DATE_SIZE];
		int64_t back = -1;

		date_format(t, text);
		assert_int_equal(date_parse(slice_of(text), NOW, &back), 0);
		assert_int_equal(back, t);
	}
}

static void
years_of_two_digits_lie_at_most_50_years_ahead(void **state)
{
	int64_t seconds;
	char text[DATE_SIZE];

	(void)state;
	assert_int_equal(date_parse(slice_of("Friday, 01-Jan-76 00:00:00 GMT"), NOW, &seconds), 0);
	date_format(seconds, text);
	assert_string_equal(text + 12, "2076 00:00:00 GMT");
	assert_int_equal(date_parse(slice_of("Friday, 01-Jan-77 00:00:00 GMT"), NOW, &seconds), 0);
	date_format(seconds, text);
	assert_string_equal(text + 12, "1977 00:00:00 GMT");
}

static void
what_is_no_date_is_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"nonsense",
		"0",
		"Sun, 06 Nov 1994 08:49:37",
		"Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37 GMT x",
		"Sun, 06 nov 1994 08:49:37 GMT",
		"Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 94 08:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 32 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:49:37 GMT",
		"Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 06 Nov 1994 08:49:61 GMT",
		"Sun, 06 Nov -994 08:49:37 GMT",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t seconds;

		if (date_parse(slice_of(cases[i]), NOW, &seconds) != -EINVAL)
			fail_msg("taken: %s", cases[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates_are_written_as_imf_fixdate),
		cmocka_unit_test(all_three_forms_are_read),
		cmocka_unit_test(what_was_written_is_read_back),
		cmocka_unit_test(years_of_two_digits_lie_at_most_50_years_ahead),
		cmocka_unit_test(what_is_no_date_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
