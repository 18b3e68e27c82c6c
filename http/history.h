/* history.h - the last minutes in numbers, for the charts of the status page.
 *
 * Threads  history_sample on one thread; history_read on any.
 * Units    bytes a second; microseconds.
 */
#ifndef SPILLWAY_HTTP_HISTORY_H
#define SPILLWAY_HTTP_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#define HISTORY_EVERY_MS 2000
#define HISTORY_SAMPLES 300 /* ten minutes */

struct history;

/* What went on in the time before TIME_MS. */
struct history_sample {
	int64_t time_ms; /* since the epoch */
	int64_t received_rate, sent_rate;
	int64_t writers, readers;
	int64_t p50_us, p99_us; /* from a byte's arrival to its way out to a reader that waited */
	int64_t disk_used_bytes;
};

/* NULL without memory. */
struct history *history_new(void);
void history_free(struct history **history);

/* Adds a sample of all that happened since the last one. */
void history_sample(struct history *history);

/* Copies what is there, oldest first, and returns how many. */
size_t history_read(struct history *history, struct history_sample samples[HISTORY_SAMPLES]);

#endif
