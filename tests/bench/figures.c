#include "tests/bench/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

void
figures_die(const char *what)
{
	perror(what);
	exit(2);
}

void *
figures_alloc(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		figures_die("calloc");
	return memory;
}

uint64_t
figures_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Opens /proc/PID/NAME. */
static FILE *
open_proc(int pid, const char *name)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	file = fopen(path, "r");
	if (file == NULL)
		figures_die(path);
	return file;
}

/* Adds what PID itself has used. */
static void
add_process(int pid, struct figures *figures)
{
	char line[1024];
	unsigned long user = 0, system = 0;
	const char *fields;
	FILE *file = open_proc(pid, "stat");

	/* The name in parentheses may hold anything: fields are counted from its end. */
	if (fgets(line, sizeof(line), file) != NULL && (fields = strrchr(line, ')')) != NULL &&
	    sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
		   &system) == 2)
		figures->cpu_seconds += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
	fclose(file);
	file = open_proc(pid, "status");
	while (fgets(line, sizeof(line), file) != NULL) {
		unsigned long kib;

		if (sscanf(line, "RssAnon: %lu", &kib) == 1)
			figures->rss_anon += (double)kib * 1024;
	}
	fclose(file);
}

/* Adds PID and what it forked: a server's master and its workers. */
static void
add_tree(int pid, struct figures *figures)
{
	char name[64];
	FILE *file;
	int child;

	add_process(pid, figures);
	snprintf(name, sizeof(name), "task/%d/children", pid);
	file = open_proc(pid, name);
	while (fscanf(file, "%d", &child) == 1)
		add_tree(child, figures);
	fclose(file);
}

void
figures_read(int pid, struct figures *figures)
{
	*figures = (struct figures){0};
	if (pid != 0)
		add_tree(pid, figures);
}

void
figures_times_init(struct figures_times *times)
{
	times->counts = figures_alloc((FIGURES_TIMES_MAX_US + 1) * sizeof(*times->counts));
	times->samples = 0;
}

void
figures_times_add(struct figures_times *times, uint64_t ns)
{
	uint64_t us = ns / 1000;

	times->counts[us < FIGURES_TIMES_MAX_US ? us : FIGURES_TIMES_MAX_US]++;
	times->samples++;
}

uint32_t
figures_times_percentile(const struct figures_times *times, double part)
{
	uint64_t wanted = (uint64_t)((double)times->samples * part), seen = 0;
	uint32_t us;

	for (us = 0; us < FIGURES_TIMES_MAX_US; us++) {
		seen += times->counts[us];
		if (seen > wanted || seen == times->samples)
			break;
	}
	return us;
}

void
figures_raise_nofile(unsigned count)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		figures_die("getrlimit");
	if (limit.rlim_cur >= count)
		return;
	limit.rlim_cur = count;
	if (limit.rlim_max < count)
		limit.rlim_max = count; /* root may */
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		figures_die("more open files are needed: setrlimit");
}
