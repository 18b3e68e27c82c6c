/* figures.h - what the load tools measure, and how they give up.
 *
 * Threads  any. Errors: a load tool that can't work says why and exits with 2.
 */
#ifndef SPILLWAY_TESTS_BENCH_FIGURES_H
#define SPILLWAY_TESTS_BENCH_FIGURES_H

#include <stddef.h>
#include <stdint.h>

/* What a process has used. */
struct figures {
	double cpu_seconds; /* user and system, of all its threads */
	double rss_anon;    /* bytes of its own memory, without mapped files */
};

/* Reads them from proc(5); zeros when PID is 0. */
void figures_read(int pid, struct figures *figures);

/* Nanoseconds of a clock that never steps. */
uint64_t figures_now_ns(void);

/* Zeroed memory. */
void *figures_alloc(size_t size);

/* Allows COUNT descriptors, or exits. */
void figures_raise_nofile(unsigned count);

/* Says what failed, with errno, and exits. */
void figures_die(const char *what) __attribute__((noreturn));

#endif
