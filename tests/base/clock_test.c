/* clock_test.c - the clocks of base/clock.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

static void
wall_clock_is_milliseconds_since_the_epoch(void **state)
{
	int64_t before = (int64_t)time(NULL) * 1000, now = clock_wall_ms();

	(void)state;
	/* time(2) reads a coarser clock, which may be a tick behind. */
	assert_true(now >= before - 1000);
	assert_true(now <= before + 60000);
}

static void
monotonic_clock_advances_by_what_was_slept(void **state)
{
	const struct timespec nap = {.tv_nsec = 20 * 1000 * 1000};
	int64_t before = clock_mono_ms(), passed;

	(void)state;
	nanosleep(&nap, NULL);
	passed = clock_mono_ms() - before;
	assert_true(passed >= 19);
	assert_true(passed < 60000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wall_clock_is_milliseconds_since_the_epoch),
		cmocka_unit_test(monotonic_clock_advances_by_what_was_slept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
