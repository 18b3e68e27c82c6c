/* slice_test.c - small readings of text that is not NUL-terminated. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/slice.h"

static void
lists_fall_into_elements(void **state)
{
	struct slice list = slice_of(" a ,,\tb\t,\"c,d\" , ,e"), element;
	static const char *const expected[] = {"a", "b", "\"c,d\"", "e"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_true(slice_element(&list, &element));
		assert_true(slice_is(element, expected[i]));
	}
	assert_false(slice_element(&list, &element));
}

static void
comparison_is_blind_to_case_and_exact_in_length(void **state)
{
	(void)state;
	assert_true(slice_is(slice_of("Close"), "cLOSE"));
	assert_false(slice_is(slice_of("close"), "closed"));
	assert_false(slice_is(slice_of("closed"), "close"));
	assert_true(slice_is(slice_of(""), ""));
}

static void
decimals_are_digits_only(void **state)
{
	uint64_t value = 7;

	(void)state;
	assert_int_equal(slice_decimal(slice_of("18446744073709551615"), &value), 0);
	assert_int_equal(value, UINT64_MAX);
	assert_int_equal(slice_decimal(slice_of("18446744073709551616"), &value), -ERANGE);
	assert_int_equal(slice_decimal(slice_of("99999999999999999999x"), &value), -EINVAL);
	assert_int_equal(slice_decimal(slice_of(""), &value), -EINVAL);
	assert_int_equal(slice_decimal(slice_of("-1"), &value), -EINVAL);
	assert_int_equal(slice_decimal(slice_of(" 1"), &value), -EINVAL);
	assert_int_equal(value, UINT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_fall_into_elements),
		cmocka_unit_test(comparison_is_blind_to_case_and_exact_in_length),
		cmocka_unit_test(decimals_are_digits_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
