/* spool_test.c - lines get to their file, also across a rename, and nobody waits for the disk. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "base/spool.h"

#define LINES 20000

static char folder[] = "/tmp/spool_test.XXXXXX";
static char path[64], old_path[64];

static int
make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/log", folder);
	snprintf(old_path, sizeof(old_path), "%s/log.1", folder);
	return 0;
}

static int
remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static int
remove_files(void **state)
{
	(void)state;
	unlink(path);
	unlink(old_path);
	return 0;
}

/* Checks that each line of FILE is SLOT NUMBER, in order for each of two slots. NEXT goes on over
 * several files. */
static void
read_lines(const char *file, unsigned next[2])
{
	FILE *in = fopen(file, "r");
	unsigned slot, number;

	assert_non_null(in);
	while (fscanf(in, "%u %u\n", &slot, &number) == 2) {
		assert_in_range(slot, 0, 1);
		assert_int_equal(number, next[slot]);
		next[slot]++;
	}
	assert_true(feof(in));
	fclose(in);
}

static void
put(struct spool *spool, unsigned slot, unsigned number)
{
	char line[32];
	int length = snprintf(line, sizeof(line), "%u %u\n", slot, number);

	spool_put(spool, slot, line, (size_t)length);
}

struct putter {
	struct spool *spool;
	unsigned slot;
};

static void *
put_lines(void *arg)
{
	struct putter *putter = arg;

	/* Slow enough for a loaded disk: a drop is another test's. */
	for (unsigned i = 0; i < LINES; i++) {
		put(putter->spool, putter->slot, i);
		if (i % 1000 == 999)
			usleep(2000);
	}
	return NULL;
}

static void
every_line_is_written_once_and_in_order_while_the_file_is_renamed(void **state)
{
	struct spool *spool;
	struct putter putters[2];
	pthread_t threads[2];
	unsigned next[2] = {0, 0};

	(void)state;
	assert_int_equal(spool_open(path, 2, &spool), 0);
	for (unsigned i = 0; i < 2; i++) {
		putters[i] = (struct putter){spool, i};
		assert_int_equal(pthread_create(&threads[i], NULL, put_lines, &putters[i]), 0);
	}
	assert_int_equal(rename(path, old_path), 0);
	spool_reopen(spool);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	spool_close(&spool);
	assert_null(spool);
	read_lines(old_path, next);
	read_lines(path, next);
	assert_int_equal(next[0], LINES);
	assert_int_equal(next[1], LINES);
	assert_int_equal(metric_value(METRIC_access_log_dropped_total), 0);
}

static void
a_line_is_written_without_being_asked_for(void **state)
{
	struct spool *spool;
	struct stat st = {0};

	(void)state;
	assert_int_equal(spool_open(path, 1, &spool), 0);
	put(spool, 0, 7);
	for (int i = 0; i < 5000 && st.st_size == 0; i++) {
		usleep(1000);
		assert_int_equal(stat(path, &st), 0);
	}
	assert_int_equal(st.st_size, 4);
	spool_close(&spool);
}

static void
a_file_that_is_there_is_gone_on_with(void **state)
{
	struct spool *spool;
	unsigned next[2] = {0, 0};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(spool_open(path, 1, &spool), 0);
		put(spool, 0, i);
		spool_close(&spool);
	}
	read_lines(path, next);
	assert_int_equal(next[0], 3);
}

static void
a_file_that_cannot_be_opened_is_refused(void **state)
{
	struct spool *spool = NULL;

	(void)state;
	assert_int_equal(spool_open("/nowhere/at/all", 1, &spool), -ENOENT);
	assert_int_equal(spool_open(folder, 1, &spool), -EISDIR);
	assert_null(spool);
}

/* The disk that does not answer is a pipe that nobody reads. */
static void
lines_that_cannot_be_written_are_dropped_and_counted(void **state)
{
	struct spool *spool;
	int64_t before = metric_value(METRIC_access_log_dropped_total), dropped;
	char line[1024], buffer[65536];
	unsigned n = 4 * SPOOL_BYTES / sizeof(line);
	int64_t bytes = 0;
	ssize_t got;
	int fd, flags;

	(void)state;
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(spool_open(path, 1, &spool), 0);
	for (unsigned i = 0; i < n; i++)
		spool_put(spool, 0, line, sizeof(line)); /* which returns */
	dropped = metric_value(METRIC_access_log_dropped_total) - before;
	assert_in_range(dropped, 1, n - SPOOL_BYTES / sizeof(line));
	/* Its writer goes on as soon as somebody reads, and everything else is there. */
	flags = fcntl(fd, F_GETFL);
	assert_int_equal(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), 0);
	while (bytes < ((int64_t)n - dropped) * (int64_t)sizeof(line)) {
		got = read(fd, buffer, sizeof(buffer));
		assert_true(got > 0);
		bytes += got;
	}
	spool_close(&spool);
	assert_int_equal(read(fd, buffer, sizeof(buffer)), 0);
	assert_int_equal(metric_value(METRIC_access_log_dropped_total) - before, dropped);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			every_line_is_written_once_and_in_order_while_the_file_is_renamed,
			remove_files),
		cmocka_unit_test_teardown(a_line_is_written_without_being_asked_for, remove_files),
		cmocka_unit_test_teardown(a_file_that_is_there_is_gone_on_with, remove_files),
		cmocka_unit_test_teardown(a_file_that_cannot_be_opened_is_refused, remove_files),
		cmocka_unit_test_teardown(lines_that_cannot_be_written_are_dropped_and_counted,
					  remove_files),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
