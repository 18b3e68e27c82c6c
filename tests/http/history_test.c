/* history_test.c - the last minutes in numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "http/history.h"

static void
a_sample_has_what_happened_since_the_last_one(void **state)
{
	struct history *history = history_new();
	struct history_sample samples[HISTORY_SAMPLES];

	(void)state;
	metric_add(METRIC_sent_bytes_total, 5000000);
	metric_add(METRIC_live_readers, 3);
	for (unsigned i = 0; i < 99; i++)
		metric_observe(HISTOGRAM_write_to_read, 200); /* between 100 and 250 */
	metric_observe(HISTOGRAM_write_to_read, 700000);
	history_sample(history);
	history_sample(history);
	assert_int_equal(history_read(history, samples), 2);
	assert_true(samples[0].sent_rate > 0);
	assert_int_equal(samples[0].received_rate, 0);
	assert_int_equal(samples[0].readers, 3);
	assert_in_range(samples[0].p50_us, 100, 250);
	assert_in_range(samples[0].p99_us, 100, 250);
	assert_int_equal(samples[1].sent_rate, 0);
	assert_int_equal(samples[1].readers, 3);
	assert_int_equal(samples[1].p99_us, 0);
	metric_add(METRIC_live_readers, -3);
	history_free(&history);
	assert_null(history);
}

static void
the_oldest_samples_go(void **state)
{
	struct history *history = history_new();
	struct history_sample samples[HISTORY_SAMPLES];

	(void)state;
	assert_int_equal(history_read(history, samples), 0);
	for (int64_t i = 0; i < HISTORY_SAMPLES + 10; i++) {
		metric_add(METRIC_live_readers, 1);
		history_sample(history);
	}
	assert_int_equal(history_read(history, samples), HISTORY_SAMPLES);
	assert_int_equal(samples[0].readers, 11);
	assert_int_equal(samples[HISTORY_SAMPLES - 1].readers, HISTORY_SAMPLES + 10);
	history_free(&history);
}

static void
quantiles_lie_in_their_bucket(void **state)
{
	int64_t counts[METRIC_BUCKETS] = {0};

	(void)state;
	assert_int_equal(metric_quantile(counts, 0.5), 0);
	counts[0] = 50; /* up to 100 us */
	counts[1] = 50; /* up to 250 us */
	assert_int_equal(metric_quantile(counts, 0.25), 50);
	assert_int_equal(metric_quantile(counts, 0.5), 100);
	assert_int_equal(metric_quantile(counts, 1), 250);
	counts[METRIC_BUCKETS - 1] = 1000; /* nobody knows how much */
	assert_int_equal(metric_quantile(counts, 0.99), 10000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sample_has_what_happened_since_the_last_one),
		cmocka_unit_test(the_oldest_samples_go),
		cmocka_unit_test(quantiles_lie_in_their_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
