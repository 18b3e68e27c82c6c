/* streams.h - what happens on each stream: the objects whose paths are the same up to the last slash.
 *
 * For people and for graphs: the status page and /metrics. Nothing else depends on it.
 *
 * Threads  any. Joining takes one short mutex, once for each version that is made or loaded;
 *          counting is an atomic addition.
 * Owns     its streams, STREAMS_MAX at most: a further one takes the place of that where nothing has
 *          happened for longest. Objects keep what they count on alive.
 * Units    bytes; milliseconds by the monotonic clock.
 */
#ifndef SPILLWAY_STORAGE_STREAMS_H
#define SPILLWAY_STORAGE_STREAMS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAMS_MAX 256
#define STREAMS_RECENT 32 /* finished objects that are remembered, of all streams */

struct object;
struct stream;
struct streams;

enum stream_count {
	STREAM_WRITERS,  /* uploads under way */
	STREAM_READERS,  /* readers of what grows */
	STREAM_RECEIVED, /* bytes of uploads, ever */
	STREAM_SENT,     /* bytes of bodies, ever */
	STREAM_FINISHED, /* uploads that were complete, ever */
	STREAM_ABORTED,  /* uploads whose sender vanished or was refused in the middle, ever */
	STREAM_COUNTS,
};

/* One stream at one moment. */
struct stream_figures {
	const char *path; /* up to and with its last slash; valid during the visit */
	int64_t counts[STREAM_COUNTS];
	int64_t received_rate, sent_rate; /* bytes a second, between the last two streams_sample */
	int64_t received_ms;              /* when the last byte came; 0: none in this run */
	int64_t aborted_ms;               /* when an upload was last aborted; 0: never */
	int64_t playlist_ms; /* when an object was last replaced in one step (publish = whole); 0: never */
};

/* An upload that was complete. */
struct stream_recent {
	const char *path; /* valid during the visit */
	uint64_t size;
	int64_t ended_ms, took_ms;
};

/* NULL without memory. */
struct streams *streams_new(void);
void streams_free(struct streams **streams);

/* The stream of PATH, with a reference; NULL without memory or STREAMS. The functions that count take a
 * NULL for either. */
struct stream *streams_join(struct streams *streams, const char *path);

/* Gives the reference back; also after streams_free, which objects may outlive. */
void stream_leave(struct stream **stream);

/* Adds N to WRITERS, READERS (it may be negative) or SENT. */
void stream_add(struct stream *stream, enum stream_count count, int64_t n);

/* N bytes of an upload came at NOW_MS. */
void stream_received(struct stream *stream, int64_t n, int64_t now_ms);

/* An upload ended before its end. */
void stream_aborted(struct stream *stream);

/* An upload to PATH of STREAM was complete: SIZE bytes in TOOK_MS. WHOLE: it replaced what was there in
 * one step. */
void streams_finished(struct streams *streams, struct stream *stream, const char *path,
		      uint64_t size, int64_t took_ms, bool whole);

/* Computes the rates since it was called last, and forgets streams without objects in memory where nothing
 * has happened for STREAMS_IDLE_MS. One thread calls it, every second or two. */
#define STREAMS_IDLE_MS ((int64_t)600 * 1000)
void streams_sample(struct streams *streams);

/* Calls VISIT for each stream, in byte order. It must not call back. */
void streams_visit(struct streams *streams,
		   void (*visit)(void *arg, const struct stream_figures *figures), void *arg);

/* Calls VISIT for the uploads that were complete last, the newest first. */
void streams_visit_recent(struct streams *streams,
			  void (*visit)(void *arg, const struct stream_recent *recent), void *arg);

#endif
