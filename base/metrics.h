/* metrics.h - what the process counts, as one table.
 *
 * Threads  any thread adds, without a lock and without sharing a cache line with most
 *          others; any thread prints. A sum may miss what is added meanwhile.
 * Order    entries of one family stand together; kind and help of its first entry hold.
 */
#ifndef SPILLWAY_BASE_METRICS_H
#define SPILLWAY_BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>

/* X(id, kind, family, labels, help). To count something new, add a line here and call
 * metric_add where it happens. */
#define METRICS(X)                                                                                 \
	X(connections_total, counter, "spillway_connections_total", "", "Connections accepted.")   \
	X(connections, gauge, "spillway_connections", "", "Connections open now.")                 \
	X(requests_get, counter, "spillway_requests_total", "method=\"GET\"",                      \
	  "Requests by method, malformed ones not included.")                                      \
	X(requests_head, counter, "spillway_requests_total", "method=\"HEAD\"", "")                \
	X(requests_put, counter, "spillway_requests_total", "method=\"PUT\"", "")                  \
	X(requests_delete, counter, "spillway_requests_total", "method=\"DELETE\"", "")            \
	X(requests_list, counter, "spillway_requests_total", "method=\"LIST\"", "")                \
	X(requests_other, counter, "spillway_requests_total", "method=\"other\"", "")              \
	X(replies_2xx, counter, "spillway_replies_total", "class=\"2xx\"",                         \
	  "Replies begun, by class of their status.")                                              \
	X(replies_3xx, counter, "spillway_replies_total", "class=\"3xx\"", "")                     \
	X(replies_4xx, counter, "spillway_replies_total", "class=\"4xx\"", "")                     \
	X(replies_5xx, counter, "spillway_replies_total", "class=\"5xx\"", "")                     \
	X(heads_refused_total, counter, "spillway_heads_refused_total", "",                        \
	  "Request heads that were malformed, too long or too slow.")                              \
	X(ingest_bytes_total, counter, "spillway_ingest_bytes_total", "",                          \
	  "Bytes of object bodies received.")                                                      \
	X(ingest_aborted_total, counter, "spillway_ingest_aborted_total", "",                      \
	  "Uploads whose sender vanished before the end.")                                         \
	X(ingest_failed_total, counter, "spillway_ingest_failed_total", "",                        \
	  "Uploads answered with 4xx or 5xx; encoders rarely say so.")                             \
	X(live_readers, gauge, "spillway_live_readers", "",                                        \
	  "Readers that follow a growing object now.")                                             \
	X(sent_bytes_total, counter, "spillway_sent_bytes_total", "",                              \
	  "Bytes of object bodies handed to the network.")                                         \
	X(volumes, gauge, "spillway_volumes", "", "Volume files.")                                 \
	X(disk_used_bytes, gauge, "spillway_disk_used_bytes", "",                                  \
	  "Bytes that volume files take on disk.")                                                 \
	X(expired_total, counter, "spillway_expired_total", "",                                    \
	  "Objects that were removed because their time was over.")                                \
	X(evicted_total, counter, "spillway_evicted_total", "",                                    \
	  "Objects that were removed to make room on the disk.")                                   \
	X(readers_cut_total, counter, "spillway_readers_cut_total", "",                            \
	  "Replies ended before their end, by us.")

enum metric {
#define METRICS_ENUM(id, kind, family, labels, help) METRIC_##id,
	METRICS(METRICS_ENUM)
#undef METRICS_ENUM
		METRIC_COUNT
};

/* Adds N to METRIC. A gauge goes down by a negative N. */
void metric_add(enum metric metric, int64_t n);

/* The sum over all threads. */
int64_t metric_value(enum metric metric);

/* Calls WRITE with pieces of Prometheus' text format (version 0.0.4), in order. */
void metrics_print(void (*write)(void *arg, const char *text, size_t length), void *arg);

#endif
