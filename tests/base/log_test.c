/* log_test.c - what reaches standard error. */
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

#include "base/clock.h"
#include "base/log.h"

/* The clock of this program, instead of base/clock.c's. */
static int64_t now_ms;

int64_t
clock_mono_ms(void)
{
	return now_ms;
}

static char captured[4 * 1024 * 1024];
static int kept_stderr = -1;
static FILE *sink;

static void
capture_begin(void)
{
	sink = tmpfile();
	assert_non_null(sink);
	assert_int_equal(fcntl(fileno(sink), F_SETFL, O_APPEND), 0);
	kept_stderr = dup(STDERR_FILENO);
	assert_true(dup2(fileno(sink), STDERR_FILENO) >= 0);
}

static size_t
capture_end(void)
{
	ssize_t n;

	dup2(kept_stderr, STDERR_FILENO);
	close(kept_stderr);
	n = pread(fileno(sink), captured, sizeof(captured) - 1, 0);
	assert_true(n >= 0);
	captured[n] = '\0';
	fclose(sink);
	return (size_t)n;
}

static void
a_line_has_time_level_and_text(void **state)
{
	int year, month, day, hour, minute, second, ms, end = 0;

	(void)state;
	unsetenv("JOURNAL_STREAM");
	capture_begin();
	log_warning("disk full path=%s", "/a");
	capture_end();
	assert_int_equal(sscanf(captured, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day,
				&hour, &minute, &second, &ms, &end),
			 7);
	assert_int_equal(end, 24);
	assert_string_equal(captured + end, " warning disk full path=/a\n");
}

static void
lines_above_the_level_are_dropped(void **state)
{
	(void)state;
	capture_begin();
	log_debug("no");
	log_notice("first");
	log_set_level(LOG_LEVEL_ERROR);
	log_notice("no");
	log_warning("no");
	log_error("second");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("third");
	log_set_level(LOG_LEVEL_NOTICE);
	capture_end();
	assert_null(strstr(captured, " no\n"));
	assert_non_null(strstr(captured, " notice first\n"));
	assert_non_null(strstr(captured, " error second\n"));
	assert_non_null(strstr(captured, " debug third\n"));
}

static void
control_bytes_cannot_forge_a_line(void **state)
{
	(void)state;
	capture_begin();
	log_notice("path=%s", "/a\r\nfake\t\x1b[31m\x7f"
			      "\xc3\xa4");
	capture_end();
	assert_non_null(strstr(captured, " path=/a\\x0d\\x0afake\\x09\\x1b[31m\\x7f\xc3\xa4\n"));
}

static void
an_endless_line_is_cut_and_still_ends(void **state)
{
	static char text[100000];
	size_t length;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	capture_begin();
	log_notice("%s", text);
	memset(text, '\n', sizeof(text) - 1);
	log_notice("%s", text);
	length = capture_end();
	assert_true(length <= 2 * 2049);
	assert_int_equal(captured[length - 1], '\n');
	assert_ptr_equal(strchr(strchr(captured, '\n') + 1, '\n'), captured + length - 1);
}

static void
the_journal_gets_priorities_only_on_its_own_stream(void **state)
{
	char stream[64];
	struct stat st;

	(void)state;
	capture_begin();
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_error("broken");
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_error("inherited");
	unsetenv("JOURNAL_STREAM");
	capture_end();
	assert_memory_equal(captured, "<3>broken\n2", 11);
	assert_non_null(strstr(captured, "Z error inherited\n"));
}

static void
errno_survives(void **state)
{
	(void)state;
	capture_begin();
	errno = EXDEV;
	log_notice("x");
	assert_int_equal(errno, EXDEV);
	capture_end();
}

static unsigned
lines_captured(const char *text)
{
	unsigned lines = 0;

	for (const char *at = captured; (at = strstr(at, text)) != NULL; at++)
		lines++;
	return lines;
}

static void
say_often(unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		log_error("the same again number=%u", i);
}

static void
a_flood_of_one_kind_is_cut_and_counted(void **state)
{
	(void)state;
	capture_begin();
	now_ms += 60000;
	say_often(100);
	log_error("another");
	now_ms += 9999;
	say_often(1);
	now_ms += 1;
	say_often(1);
	say_often(1);
	capture_end();
	assert_int_equal(lines_captured("the same again"), 20 + 2);
	assert_int_equal(lines_captured("another\n"), 1);
	assert_int_equal(lines_captured("dropped_before"), 1);
	assert_non_null(strstr(captured, " the same again number=0 dropped_before=81\n"));
}

#define WRITERS 4
#define LINES 500

static void *
write_lines(void *arg)
{
	for (unsigned i = 0; i < LINES; i++)
		log_notice("writer %s says one whole line that nobody tears", (const char *)arg);
	return NULL;
}

static void
threads_do_not_tear_each_others_lines(void **state)
{
	static char name[] = "w";
	pthread_t threads[WRITERS];
	unsigned lines = 0;

	(void)state;
	capture_begin();
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, name), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	capture_end();
	for (char *line = captured, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		assert_string_equal(line + 24,
				    " notice writer w says one whole line that nobody tears");
		lines++;
	}
	assert_int_equal(lines, WRITERS * LINES);
}

static void
a_limited_line_comes_once(void **state)
{
	static _Atomic int64_t once_s;

	(void)state;
	capture_begin();
	for (int i = 0; i < 3; i++)
		log_limited(LOG_LEVEL_WARNING, "again");
	log_limited(LOG_LEVEL_WARNING, "another");
	capture_end();
	assert_non_null(strstr(captured, "again\n"));
	assert_null(strstr(strstr(captured, "again\n") + 1, "again"));
	assert_non_null(strstr(captured, "another\n"));
	/* A minute later it may come again. */
	assert_true(log_may_repeat(&once_s));
	assert_false(log_may_repeat(&once_s));
	atomic_fetch_sub(&once_s, 60);
	assert_true(log_may_repeat(&once_s));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_time_level_and_text),
		cmocka_unit_test(lines_above_the_level_are_dropped),
		cmocka_unit_test(control_bytes_cannot_forge_a_line),
		cmocka_unit_test(an_endless_line_is_cut_and_still_ends),
		cmocka_unit_test(the_journal_gets_priorities_only_on_its_own_stream),
		cmocka_unit_test(errno_survives),
		cmocka_unit_test(a_flood_of_one_kind_is_cut_and_counted),
		cmocka_unit_test(a_limited_line_comes_once),
		cmocka_unit_test(threads_do_not_tear_each_others_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
