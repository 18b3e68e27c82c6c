/* expiry_test.c - the clock of expiry, which no step of the wall clock moves (invariant 16). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "storage/expiry.h"

#define DAY_MS ((int64_t)86400000)

/* The time that the clock shows at boot time BOOT_MS. */
static int64_t
shown(const struct expiry *expiry, int64_t boot_ms)
{
	return boot_ms + atomic_load(&expiry->offset_ms);
}

static void
it_follows_the_clock_since_boot(void **state)
{
	struct expiry expiry;

	(void)state;
	expiry_init(&expiry, 0, 1000000, 5000);
	for (int64_t t = 1000; t <= 100000; t += 1000)
		expiry_look(&expiry, 1000000 + t, 5000 + t);
	assert_int_equal(shown(&expiry, 105000), 1100000);
	assert_false(atomic_load(&expiry.paused));
}

static void
a_small_difference_is_made_up_slowly(void **state)
{
	struct expiry expiry;
	int64_t before;

	(void)state;
	expiry_init(&expiry, 0, 1000000, 0);
	expiry_look(&expiry, 1001000 + 30000, 1000);
	before = shown(&expiry, 1000);
	assert_true(before > 1001000 && before <= 1001000 + 1000 / EXPIRY_SLEW);
	for (int64_t t = 2000; t <= 1000000; t += 1000)
		expiry_look(&expiry, 1000000 + 30000 + t, t);
	assert_int_equal(shown(&expiry, 1000000), 2030000);
	assert_false(atomic_load(&expiry.paused));
}

static void
frequent_looks_make_it_up_too(void **state)
{
	struct expiry expiry;

	(void)state;
	expiry_init(&expiry, 0, 1000000, 0);
	for (int64_t t = 7; t <= 700000; t += 7)
		expiry_look(&expiry, 1000000 + 20000 + t, t);
	assert_true(shown(&expiry, 700000) > 1719000);
}

static void
a_step_pauses_until_it_is_undone(void **state)
{
	static const int64_t steps[] = {400 * DAY_MS, -400 * DAY_MS, EXPIRY_STEP_MS + 2,
					-EXPIRY_STEP_MS - 2};

	(void)state;
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct expiry expiry;
		int64_t wall = 1000 * DAY_MS;

		expiry_init(&expiry, 0, wall, 0);
		expiry_look(&expiry, wall + 1000 + steps[i], 1000);
		assert_true(atomic_load(&expiry.paused));
		assert_int_equal(shown(&expiry, 1000), wall + 1000);
		assert_false(expiry_is_over(&expiry, 1));
		expiry_look(&expiry, wall + 9000000 + steps[i], 9000000);
		assert_true(atomic_load(&expiry.paused));
		expiry_look(&expiry, wall + 9001000, 9001000);
		assert_false(atomic_load(&expiry.paused));
		assert_int_equal(shown(&expiry, 9001000), wall + 9001000);
	}
}

static void
a_start_in_the_past_pauses_until_the_clock_is_set(void **state)
{
	struct expiry expiry;
	int64_t wall = 20000 * DAY_MS;

	(void)state;
	expiry_init(&expiry, wall, 10 * DAY_MS, 100);
	assert_true(atomic_load(&expiry.paused));
	expiry_look(&expiry, 10 * DAY_MS + 5000, 5100);
	assert_true(atomic_load(&expiry.paused));
	expiry_look(&expiry, wall + 7000, 6100);
	assert_false(atomic_load(&expiry.paused));
	assert_int_equal(shown(&expiry, 6100), wall + 7000);
	/* From then on a step is a step. */
	expiry_look(&expiry, wall + 8000 + DAY_MS, 7100);
	assert_true(atomic_load(&expiry.paused));
}

static void
zero_is_never(void **state)
{
	struct expiry expiry;

	(void)state;
	expiry_init(&expiry, 0, clock_wall_ms(), clock_boot_ms());
	assert_false(expiry_is_over(&expiry, 0));
	assert_true(expiry_is_over(&expiry, clock_wall_ms() - 1000));
	assert_false(expiry_is_over(&expiry, clock_wall_ms() + 10000));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_follows_the_clock_since_boot),
		cmocka_unit_test(a_small_difference_is_made_up_slowly),
		cmocka_unit_test(frequent_looks_make_it_up_too),
		cmocka_unit_test(a_step_pauses_until_it_is_undone),
		cmocka_unit_test(a_start_in_the_past_pauses_until_the_clock_is_set),
		cmocka_unit_test(zero_is_never),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
