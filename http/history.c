#include "http/history.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/metrics.h"

struct history {
	/* The sampler's own: what the counters were last time. */
	int64_t sampled_ms;
	int64_t received, sent;
	int64_t buckets[METRIC_BUCKETS];

	pthread_mutex_t lock;                           /* guards the rest */
	struct history_sample samples[HISTORY_SAMPLES]; /* a ring */
	size_t next, count;
};

struct history *
history_new(void)
{
	struct history *history = calloc(1, sizeof(*history));

	if (history == NULL)
		return NULL;
	pthread_mutex_init(&history->lock, NULL);
	history->sampled_ms = clock_mono_ms();
	return history;
}

void
history_free(struct history **historyp)
{
	struct history *history = *historyp;

	*historyp = NULL;
	if (history == NULL)
		return;
	pthread_mutex_destroy(&history->lock);
	free(history);
}

static void
measure_latency(struct history *history, struct history_sample *sample)
{
	int64_t now[METRIC_BUCKETS], fresh[METRIC_BUCKETS];

	metric_buckets(HISTOGRAM_write_to_read, now);
	for (size_t i = 0; i < METRIC_BUCKETS; i++) {
		fresh[i] = now[i] - history->buckets[i];
		history->buckets[i] = now[i];
	}
	sample->p50_us = metric_quantile(fresh, 0.5);
	sample->p99_us = metric_quantile(fresh, 0.99);
}

void
history_sample(struct history *history)
{
	int64_t now = clock_mono_ms();
	int64_t ms = now > history->sampled_ms ? now - history->sampled_ms : 1;
	struct history_sample sample = {
		.time_ms = clock_wall_ms(),
		.received_rate = metric_rate(metric_value(METRIC_ingest_bytes_total),
					     &history->received, ms),
		.sent_rate = metric_rate(metric_value(METRIC_sent_bytes_total), &history->sent, ms),
		.writers = metric_value(METRIC_writers),
		.readers = metric_value(METRIC_live_readers),
		.disk_used_bytes = metric_value(METRIC_disk_used_bytes),
	};

	history->sampled_ms = now;
	measure_latency(history, &sample);
	pthread_mutex_lock(&history->lock);
	history->samples[history->next] = sample;
	history->next = (history->next + 1) % HISTORY_SAMPLES;
	if (history->count < HISTORY_SAMPLES)
		history->count++;
	pthread_mutex_unlock(&history->lock);
}

size_t
history_read(struct history *history, struct history_sample samples[HISTORY_SAMPLES])
{
	size_t count;

	pthread_mutex_lock(&history->lock);
	count = history->count;
	for (size_t i = 0; i < count; i++)
		samples[i] = history->samples[(history->next + HISTORY_SAMPLES - count + i) %
					      HISTORY_SAMPLES];
	pthread_mutex_unlock(&history->lock);
	return count;
}
