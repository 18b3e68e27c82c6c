/* metrics_test.c - counts add up over threads and print as Prometheus reads them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"

#define THREADS 20 /* more than there are shards */
#define ROUNDS 10000

static void *
count(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < ROUNDS; i++) {
		metric_add(METRIC_sent_bytes_total, 3);
		metric_add(METRIC_live_readers, 1);
		metric_add(METRIC_live_readers, -1);
	}
	return NULL;
}

static void
no_count_is_lost_between_threads(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metric_value(METRIC_sent_bytes_total), 3 * THREADS * ROUNDS);
	assert_int_equal(metric_value(METRIC_live_readers), 0);
}

struct page {
	char text[65536];
	size_t length;
};

static void
collect(void *arg, const char *text, size_t length)
{
	struct page *page = arg;

	assert_true(page->length + length < sizeof(page->text));
	memcpy(page->text + page->length, text, length);
	page->length += length;
	page->text[page->length] = '\0';
}

static unsigned
occurrences(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

static void
text_format_names_every_family_once(void **state)
{
	static struct page page;
	static const char *const families[] = {
#define FAMILY(id, kind, family, labels, help) family,
		METRICS(FAMILY)
#undef FAMILY
	};
	char line[256];

	(void)state;
	metrics_print(collect, &page);
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		snprintf(line, sizeof(line), "# HELP %s ", families[i]);
		assert_int_equal(occurrences(page.text, line), 1);
		snprintf(line, sizeof(line), "# TYPE %s ", families[i]);
		assert_int_equal(occurrences(page.text, line), 1);
	}
	assert_int_equal(page.text[page.length - 1], '\n');
}

static void
values_stand_behind_names_and_labels(void **state)
{
	static struct page page;

	(void)state;
	metric_add(METRIC_requests_put, 41);
	metric_add(METRIC_requests_put, 1);
	metric_add(METRIC_connections, 5);
	metric_add(METRIC_connections, -2);
	page.length = 0;
	metrics_print(collect, &page);
	assert_non_null(strstr(page.text, "\nspillway_requests_total{method=\"PUT\"} 42\n"));
	assert_non_null(
		strstr(page.text, "# TYPE spillway_connections gauge\nspillway_connections 3\n"));
	assert_non_null(strstr(page.text, "# TYPE spillway_requests_total counter\n"));
}

static const char *
printed(void)
{
	static struct page page;

	page.length = 0;
	metrics_print(collect, &page);
	return page.text;
}

static void
observations_fall_into_their_buckets(void **state)
{
	const char *page;

	(void)state;
	metric_observe(HISTOGRAM_sync, 100);       /* the upper end of the first belongs to it */
	metric_observe(HISTOGRAM_sync, 101);       /* the second */
	metric_observe(HISTOGRAM_sync, 3000000);   /* 3 s */
	metric_observe(HISTOGRAM_sync, 600000000); /* beyond all */
	assert_int_equal(metric_observations(HISTOGRAM_sync), 4);
	page = printed();
	assert_non_null(strstr(page, "# TYPE spillway_sync_seconds histogram\n"));
	assert_non_null(strstr(page, "spillway_sync_seconds_bucket{le=\"0.0001\"} 1\n"));
	assert_non_null(strstr(page, "spillway_sync_seconds_bucket{le=\"0.00025\"} 2\n"));
	assert_non_null(strstr(page, "spillway_sync_seconds_bucket{le=\"2.5\"} 2\n"));
	assert_non_null(strstr(page, "spillway_sync_seconds_bucket{le=\"5\"} 3\n"));
	assert_non_null(strstr(page, "spillway_sync_seconds_bucket{le=\"10\"} 3\n"));
	assert_non_null(strstr(page, "spillway_sync_seconds_bucket{le=\"+Inf\"} 4\n"));
	assert_non_null(strstr(page, "spillway_sync_seconds_sum 603.000201\n"));
	assert_non_null(strstr(page, "spillway_sync_seconds_count 4\n"));
}

static void
a_reply_that_never_was_is_left_out(void **state)
{
	const char *page;

	(void)state;
	metric_add(METRIC_replies_PUT_507, 1);
	page = printed();
	assert_non_null(strstr(page, "spillway_replies_total{method=\"PUT\",code=\"507\"} 1\n"));
	assert_null(strstr(page, "method=\"PUT\",code=\"505\""));
}

static void
a_gauge_can_be_set(void **state)
{
	(void)state;
	metric_set(METRIC_volumes, 7);
	metric_set(METRIC_volumes, 3);
	assert_int_equal(metric_value(METRIC_volumes), 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(observations_fall_into_their_buckets),
		cmocka_unit_test(a_reply_that_never_was_is_left_out),
		cmocka_unit_test(a_gauge_can_be_set),
		cmocka_unit_test(no_count_is_lost_between_threads),
		cmocka_unit_test(text_format_names_every_family_once),
		cmocka_unit_test(values_stand_behind_names_and_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
