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

/* One method's replies: a counter for each status that reply.c knows, ascending. */
#define METRICS_REPLY(X, method, code, help)                                                       \
	X(replies_##method##_##code, counter, "spillway_replies_total",                            \
	  "method=\"" #method "\",code=\"" #code "\"", help)
#define METRICS_REPLIES(X, method, help)                                                           \
	METRICS_REPLY(X, method, 200, help)                                                        \
	METRICS_REPLY(X, method, 201, "")                                                          \
	METRICS_REPLY(X, method, 204, "")                                                          \
	METRICS_REPLY(X, method, 206, "")                                                          \
	METRICS_REPLY(X, method, 304, "")                                                          \
	METRICS_REPLY(X, method, 400, "")                                                          \
	METRICS_REPLY(X, method, 401, "")                                                          \
	METRICS_REPLY(X, method, 403, "")                                                          \
	METRICS_REPLY(X, method, 404, "")                                                          \
	METRICS_REPLY(X, method, 405, "")                                                          \
	METRICS_REPLY(X, method, 408, "")                                                          \
	METRICS_REPLY(X, method, 409, "")                                                          \
	METRICS_REPLY(X, method, 410, "")                                                          \
	METRICS_REPLY(X, method, 412, "")                                                          \
	METRICS_REPLY(X, method, 413, "")                                                          \
	METRICS_REPLY(X, method, 414, "")                                                          \
	METRICS_REPLY(X, method, 415, "")                                                          \
	METRICS_REPLY(X, method, 416, "")                                                          \
	METRICS_REPLY(X, method, 417, "")                                                          \
	METRICS_REPLY(X, method, 431, "")                                                          \
	METRICS_REPLY(X, method, 500, "")                                                          \
	METRICS_REPLY(X, method, 501, "")                                                          \
	METRICS_REPLY(X, method, 503, "")                                                          \
	METRICS_REPLY(X, method, 505, "")                                                          \
	METRICS_REPLY(X, method, 507, "")

/* X(id, kind, family, labels, help). To count something new, add a line here and call
 * metric_add where it happens. */
#define METRICS(X)                                                                                 \
	X(connections_total, counter, "spillway_connections_total", "", "Connections accepted.")   \
	X(connections, gauge, "spillway_connections", "", "Connections open now.")                 \
	X(connections_refused_total, counter, "spillway_connections_refused_total", "",            \
	  "Connections refused because their address had too many.")                               \
	X(accept_pauses_total, counter, "spillway_accept_pauses_total", "",                        \
	  "Times that accepting paused for want of room or of descriptors.")                       \
	X(requests_get, counter, "spillway_requests_total", "method=\"GET\"",                      \
	  "Requests by method, malformed ones not included.")                                      \
	X(requests_head, counter, "spillway_requests_total", "method=\"HEAD\"", "")                \
	X(requests_put, counter, "spillway_requests_total", "method=\"PUT\"", "")                  \
	X(requests_delete, counter, "spillway_requests_total", "method=\"DELETE\"", "")            \
	X(requests_list, counter, "spillway_requests_total", "method=\"LIST\"", "")                \
	X(requests_other, counter, "spillway_requests_total", "method=\"other\"", "")              \
	METRICS_REPLIES(                                                                           \
		X, GET,                                                                            \
		"Replies begun, by method and status; pairs that never were are left out.")        \
	METRICS_REPLIES(X, HEAD, "")                                                               \
	METRICS_REPLIES(X, PUT, "")                                                                \
	METRICS_REPLIES(X, DELETE, "")                                                             \
	METRICS_REPLIES(X, LIST, "")                                                               \
	METRICS_REPLIES(X, other, "")                                                              \
	X(heads_refused_total, counter, "spillway_heads_refused_total", "",                        \
	  "Request heads that were malformed, too long or too slow.")                              \
	X(password_checks_total, counter, "spillway_password_checks_total", "",                    \
	  "Passwords whose hash was computed; others were known.")                                 \
	X(writers, gauge, "spillway_writers", "", "Uploads under way now.")                        \
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
	X(wakeups_total, counter, "spillway_wakeups_total", "",                                    \
	  "Wake-ups sent to workers with readers of an object that grew.")                         \
	X(tail_bytes, gauge, "spillway_tail_bytes", "",                                            \
	  "Memory of bytes that are received and not yet let go.")                                 \
	X(resident_bytes, gauge, "spillway_resident_bytes", "",                                    \
	  "Memory of what is known of idle objects.")                                              \
	X(spilled_total, counter, "spillway_spilled_total", "",                                    \
	  "Idle objects that left memory; the disk has them.")                                     \
	X(catalog_waiting, gauge, "spillway_catalog_waiting_records", "",                          \
	  "Records on disk that the catalog does not know yet.")                                   \
	X(errors_write, counter, "spillway_errors_total", "kind=\"write\"",                        \
	  "Failures of the disk, by kind.")                                                        \
	X(errors_read, counter, "spillway_errors_total", "kind=\"read\"", "")                      \
	X(errors_catalog, counter, "spillway_errors_total", "kind=\"catalog\"", "")                \
	X(volumes, gauge, "spillway_volumes", "", "Volume files.")                                 \
	X(disk_used_bytes, gauge, "spillway_disk_used_bytes", "",                                  \
	  "Bytes that volume files take on disk.")                                                 \
	X(disk_free_bytes, gauge, "spillway_disk_free_bytes", "",                                  \
	  "Bytes that the file system of the data directory has left.")                            \
	X(expired_total, counter, "spillway_expired_total", "",                                    \
	  "Objects that were removed because their time was over.")                                \
	X(evicted_total, counter, "spillway_evicted_total", "",                                    \
	  "Objects that were removed to make room on the disk.")                                   \
	X(access_log_dropped_total, counter, "spillway_access_log_dropped_total", "",              \
	  "Lines of the access log that could not be written.")                                    \
	X(copied_bytes_total, counter, "spillway_copied_bytes_total", "",                          \
	  "Bytes of objects that were copied out of volumes that were to go.")                     \
	X(readers_cut_total, counter, "spillway_readers_cut_total", "",                            \
	  "Replies ended before their end, by us.")                                                \
	X(handshakes_full, counter, "spillway_tls_handshakes_total", "result=\"full\"",            \
	  "Handshakes of TLS, by how they ended.")                                                 \
	X(handshakes_resumed, counter, "spillway_tls_handshakes_total", "result=\"resumed\"", "")  \
	X(handshakes_failed, counter, "spillway_tls_handshakes_total", "result=\"failed\"", "")    \
	X(handshakes_abandoned, counter, "spillway_tls_handshakes_total", "result=\"abandoned\"",  \
	  "")

enum metric {
#define METRICS_ENUM(id, kind, family, labels, help) METRIC_##id,
	METRICS(METRICS_ENUM)
#undef METRICS_ENUM
		METRIC_COUNT
};

/* X(id, family, help): times, in buckets from 0.1 ms to 10 s. */
#define HISTOGRAMS(X)                                                                              \
	X(first_byte, "spillway_first_byte_seconds", "From a request's head to its reply's head.") \
	X(write_to_read, "spillway_write_to_read_seconds",                                         \
	  "From a byte's arrival to its way out to a reader that waited for it.")                  \
	X(acknowledge, "spillway_acknowledge_seconds",                                             \
	  "From an upload's last byte to the word that it is on disk.")                            \
	X(sync, "spillway_sync_seconds", "One fdatasync of a volume.")

enum histogram {
#define HISTOGRAMS_ENUM(id, family, help) HISTOGRAM_##id,
	HISTOGRAMS(HISTOGRAMS_ENUM)
#undef HISTOGRAMS_ENUM
		HISTOGRAM_COUNT
};

/* Adds one observation. */
void metric_observe(enum histogram histogram, int64_t us);

/* How many there were. */
int64_t metric_observations(enum histogram histogram);

/* How many there were in each bucket; the last one has no upper end. */
#define METRIC_BUCKETS 17
void metric_buckets(enum histogram histogram, int64_t counts[METRIC_BUCKETS]);

/* The time that the part Q (0 to 1) of the observations in COUNTS stayed below, in microseconds, by straight lines
 * between the ends of the buckets; 0 if there are none. */
int64_t metric_quantile(const int64_t counts[METRIC_BUCKETS], double q);

/* What a counter grew by a second: it is VALUE now and was *BEFORE MS ago; *BEFORE becomes VALUE. */
int64_t metric_rate(int64_t value, int64_t *before, int64_t ms);

/* Adds N to METRIC. A gauge goes down by a negative N. */
void metric_add(enum metric metric, int64_t n);

/* Makes the sum of METRIC, a gauge that only one thread changes, VALUE. */
void metric_set(enum metric metric, int64_t value);

/* The sum over all threads. */
int64_t metric_value(enum metric metric);

/* Calls WRITE with pieces of Prometheus' text format (version 0.0.4), in order. */
void metrics_print(void (*write)(void *arg, const char *text, size_t length), void *arg);

#endif
