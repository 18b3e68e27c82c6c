/* verdicts_test.c - what is remembered of passwords, and for how long. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/verdicts.h"

#define NOW 1000000

static struct verdicts *verdicts;

static int
set_up(void **state)
{
	(void)state;
	verdicts = verdicts_new();
	return verdicts == NULL;
}

static int
tear_down(void **state)
{
	(void)state;
	verdicts_free(&verdicts);
	return 0;
}

static enum verdict
find(const char *name, const char *password, int64_t now_ms)
{
	uint8_t key[VERDICTS_KEY_SIZE];

	assert_true(verdicts_key(verdicts, name, password, key));
	return verdicts_find(verdicts, key, now_ms);
}

static void
keep(const char *name, const char *password, bool good, int64_t now_ms)
{
	uint8_t key[VERDICTS_KEY_SIZE];

	assert_true(verdicts_key(verdicts, name, password, key));
	verdicts_keep(verdicts, key, good, now_ms);
}

static void
a_verdict_is_of_one_name_and_password(void **state)
{
	(void)state;
	assert_int_equal(find("ann", "x", NOW), VERDICT_UNKNOWN);
	keep("ann", "x", true, NOW);
	keep("ann", "y", false, NOW);
	assert_int_equal(find("ann", "x", NOW), VERDICT_GOOD);
	assert_int_equal(find("ann", "y", NOW), VERDICT_BAD);
	assert_int_equal(find("ann", "z", NOW), VERDICT_UNKNOWN);
	assert_int_equal(find("bob", "x", NOW), VERDICT_UNKNOWN);
	assert_int_equal(find("an", "nx", NOW), VERDICT_UNKNOWN);
	assert_int_equal(find("annx", "", NOW), VERDICT_UNKNOWN);
}

static void
verdicts_expire(void **state)
{
	(void)state;
	keep("ann", "x", true, NOW);
	keep("ann", "y", false, NOW);
	assert_int_equal(find("ann", "x", NOW + VERDICTS_GOOD_MS - 1), VERDICT_GOOD);
	assert_int_equal(find("ann", "x", NOW + VERDICTS_GOOD_MS), VERDICT_UNKNOWN);
	assert_int_equal(find("ann", "y", NOW + VERDICTS_BAD_MS - 1), VERDICT_BAD);
	assert_int_equal(find("ann", "y", NOW + VERDICTS_BAD_MS), VERDICT_UNKNOWN);
}

static void
guesses_push_nothing_out_that_was_right(void **state)
{
	char guess[16];

	(void)state;
	keep("ann", "right", true, NOW);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(guess, sizeof(guess), "%u", i);
		keep("ann", guess, false, NOW + i);
	}
	assert_int_equal(find("ann", "right", NOW + 20000), VERDICT_GOOD);
	assert_int_equal(find("ann", "19999", NOW + 20000), VERDICT_BAD); /* the newest stay */
	assert_int_equal(find("ann", "0", NOW + 20000), VERDICT_UNKNOWN); /* it is bounded */
}

static void
nobody_else_can_make_the_key(void **state)
{
	struct verdicts *other = verdicts_new();
	uint8_t a[VERDICTS_KEY_SIZE], b[VERDICTS_KEY_SIZE];

	(void)state;
	assert_non_null(other);
	assert_true(verdicts_key(verdicts, "ann", "x", a));
	assert_true(verdicts_key(other, "ann", "x", b));
	assert_memory_not_equal(a, b, sizeof(a));
	verdicts_free(&other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_verdict_is_of_one_name_and_password, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(verdicts_expire, set_up, tear_down),
		cmocka_unit_test_setup_teardown(guesses_push_nothing_out_that_was_right, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(nobody_else_can_make_the_key, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
