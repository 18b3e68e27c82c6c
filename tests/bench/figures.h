/* figures.h - what the load tools measure, and how they give up.
 *
 * Threads  any. Errors: a load tool that can't work says why and exits with 2.
 */
#ifndef SPILLWAY_TESTS_BENCH_FIGURES_H
#define SPILLWAY_TESTS_BENCH_FIGURES_H

#include <stddef.h>
#include <stdint.h>

/* What a server has used. */
struct figures {
	double cpu_seconds; /* user and system, of all its threads */
	double rss_anon;    /* bytes of its own memory, without mapped files */
};

/* Reads them from proc(5), for PID and all its descendants; zeros when PID is 0. */
void figures_read(int pid, struct figures *figures);

#define FIGURES_TIMES_MAX_US 2000000u /* longer times count as this */

/* Many times, of which percentiles are asked for. */
struct figures_times {
	uint32_t *counts; /* by microsecond */
	uint64_t samples;
};

void figures_times_init(struct figures_times *times);
void figures_times_add(struct figures_times *times, uint64_t ns);

/* Microseconds that PART (0 to 1) of the times are not longer than. */
uint32_t figures_times_percentile(const struct figures_times *times, double part);

/* Nanoseconds of a clock that never steps. */
uint64_t figures_now_ns(void);

/* Zeroed memory. */
void *figures_alloc(size_t size);

/* Allows COUNT descriptors, or exits. */
void figures_raise_nofile(unsigned count);

/* Says what failed, with errno, and exits. */
void figures_die(const char *what) __attribute__((noreturn));

#endif
