#include "storage/streams.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"

#define LOOKS_MAX 8 /* at busy streams before one of them loses its place: joining is never slow */

struct stream {
	UT_hash_handle hh;
	TAILQ_ENTRY(stream) link; /* while it is listed */
	struct streams *streams;
	bool listed;   /* in the table; else only its objects know of it */
	unsigned refs; /* of objects; the table's mutex guards this and what follows */
	int64_t used_ms;
	int64_t sampled_received, sampled_sent, received_rate, sent_rate;
	_Atomic int64_t counts[STREAM_COUNTS];
	_Atomic int64_t received_ms, aborted_ms, playlist_ms;
	char path[];
};

struct recent {
	char *path;
	uint64_t size;
	int64_t ended_ms, took_ms;
};

TAILQ_HEAD(stream_list, stream);

struct streams {
	pthread_mutex_t lock; /* guards everything below */
	struct stream *table;
	struct stream_list by_use; /* the same; where nothing has happened for longest is first */
	size_t joined;             /* references to streams, listed or not */
	bool closed;               /* goes with the last of them */
	int64_t sampled_ms;
	struct recent recent[STREAMS_RECENT]; /* a ring */
	unsigned newest;
};

struct streams *
streams_new(void)
{
	struct streams *streams = calloc(1, sizeof(*streams));

	if (streams == NULL)
		return NULL;
	pthread_mutex_init(&streams->lock, NULL);
	TAILQ_INIT(&streams->by_use);
	streams->sampled_ms = clock_mono_ms();
	return streams;
}

/* Takes STREAM out of the table; it goes with the last object that counts on it. Locked. */
static void
unlist(struct streams *streams, struct stream *stream)
{
	CHECK(streams->table != NULL);
	HASH_DEL(streams->table, stream);
	TAILQ_REMOVE(&streams->by_use, stream, link);
	stream->listed = false;
	if (stream->refs == 0)
		free(stream);
}

/* Frees all that is left, once nobody counts any more. Locked; the lock goes too. */
static void
destroy(struct streams *streams)
{
	for (unsigned i = 0; i < STREAMS_RECENT; i++)
		free(streams->recent[i].path);
	pthread_mutex_unlock(&streams->lock);
	pthread_mutex_destroy(&streams->lock);
	free(streams);
}

void
streams_free(struct streams **streamsp)
{
	struct streams *streams = *streamsp;
	struct stream *stream, *tmp;

	*streamsp = NULL;
	if (streams == NULL)
		return;
	pthread_mutex_lock(&streams->lock);
	HASH_ITER (hh, streams->table, stream, tmp)
		unlist(streams, stream);
	streams->closed = true;
	if (streams->joined == 0)
		destroy(streams);
	else
		pthread_mutex_unlock(&streams->lock);
}

static int64_t
count_of(const struct stream *stream, enum stream_count count)
{
	return atomic_load_explicit(&stream->counts[count], memory_order_relaxed);
}

static bool
is_busy(const struct stream *stream)
{
	return count_of(stream, STREAM_WRITERS) > 0 || count_of(stream, STREAM_READERS) > 0;
}

/* Something happens on STREAM, which is listed. Locked. */
static void
use(struct streams *streams, struct stream *stream, int64_t now)
{
	stream->used_ms = now;
	TAILQ_REMOVE(&streams->by_use, stream, link);
	TAILQ_INSERT_TAIL(&streams->by_use, stream, link);
}

/* Makes room in the table: where nothing has happened for longest, and nobody is at work. Locked. */
static void
unlist_one(struct streams *streams)
{
	struct stream *idle = TAILQ_FIRST(&streams->by_use);

	for (unsigned i = 0; i < LOOKS_MAX && is_busy(idle); i++) {
		use(streams, idle, clock_mono_ms());
		idle = TAILQ_FIRST(&streams->by_use);
	}
	unlist(streams, idle);
}

/* A new stream of LENGTH bytes of PATH. Locked. */
static struct stream *
add(struct streams *streams, const char *path, size_t length)
{
	struct stream *stream = calloc(1, sizeof(*stream) + length + 1);
	unsigned before = HASH_COUNT(streams->table);

	if (stream == NULL)
		return NULL;
	memcpy(stream->path, path, length);
	stream->streams = streams;
	stream->listed = true;
	HASH_ADD_KEYPTR(hh, streams->table, stream->path, length, stream);
	if (HASH_COUNT(streams->table) == before) {
		free(stream);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&streams->by_use, stream, link);
	if (before == STREAMS_MAX)
		unlist_one(streams);
	return stream;
}

struct stream *
streams_join(struct streams *streams, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash != NULL ? (size_t)(slash - path) + 1 : 0;
	struct stream *stream;

	if (streams == NULL)
		return NULL;
	pthread_mutex_lock(&streams->lock);
	HASH_FIND(hh, streams->table, path, length, stream);
	if (stream == NULL)
		stream = add(streams, path, length);
	if (stream != NULL) {
		stream->refs++;
		streams->joined++;
		use(streams, stream, clock_mono_ms());
	}
	pthread_mutex_unlock(&streams->lock);
	return stream;
}

void
stream_leave(struct stream **streamp)
{
	struct stream *stream = *streamp;
	struct streams *streams;

	*streamp = NULL;
	if (stream == NULL)
		return;
	streams = stream->streams;
	pthread_mutex_lock(&streams->lock);
	if (--stream->refs == 0 && !stream->listed)
		free(stream);
	if (--streams->joined == 0 && streams->closed)
		destroy(streams);
	else
		pthread_mutex_unlock(&streams->lock);
}

void
stream_add(struct stream *stream, enum stream_count count, int64_t n)
{
	if (stream != NULL)
		atomic_fetch_add_explicit(&stream->counts[count], n, memory_order_relaxed);
}

void
stream_received(struct stream *stream, int64_t n, int64_t now_ms)
{
	stream_add(stream, STREAM_RECEIVED, n);
	if (stream != NULL)
		atomic_store_explicit(&stream->received_ms, now_ms, memory_order_relaxed);
}

void
stream_aborted(struct stream *stream)
{
	stream_add(stream, STREAM_ABORTED, 1);
	if (stream != NULL)
		atomic_store_explicit(&stream->aborted_ms, clock_mono_ms(), memory_order_relaxed);
}

void
streams_finished(struct streams *streams, struct stream *stream, const char *path, uint64_t size,
		 int64_t took_ms, bool whole)
{
	int64_t now = clock_mono_ms();
	char *copy = strdup(path);
	struct recent *recent;

	stream_add(stream, STREAM_FINISHED, 1);
	if (stream != NULL && whole)
		atomic_store_explicit(&stream->playlist_ms, now, memory_order_relaxed);
	if (copy == NULL || streams == NULL) {
		free(copy);
		return;
	}
	pthread_mutex_lock(&streams->lock);
	streams->newest = (streams->newest + 1) % STREAMS_RECENT;
	recent = &streams->recent[streams->newest];
	free(recent->path);
	*recent = (struct recent){copy, size, now, took_ms};
	pthread_mutex_unlock(&streams->lock);
}

void
streams_sample(struct streams *streams)
{
	int64_t now = clock_mono_ms();
	struct stream *stream, *tmp;
	int64_t ms;

	pthread_mutex_lock(&streams->lock);
	ms = now > streams->sampled_ms ? now - streams->sampled_ms : 1;
	streams->sampled_ms = now;
	HASH_ITER (hh, streams->table, stream, tmp) {
		stream->received_rate = metric_rate(count_of(stream, STREAM_RECEIVED),
						    &stream->sampled_received, ms);
		stream->sent_rate =
			metric_rate(count_of(stream, STREAM_SENT), &stream->sampled_sent, ms);
		if (is_busy(stream) || stream->received_rate > 0 || stream->sent_rate > 0)
			use(streams, stream, now);
		else if (stream->refs == 0 && now - stream->used_ms > STREAMS_IDLE_MS)
			unlist(streams, stream);
	}
	pthread_mutex_unlock(&streams->lock);
}

static int
by_path(struct stream *a, struct stream *b)
{
	return strcmp(a->path, b->path);
}

void
streams_visit(struct streams *streams,
	      void (*visit)(void *arg, const struct stream_figures *figures), void *arg)
{
	struct stream *stream, *tmp;

	pthread_mutex_lock(&streams->lock);
	HASH_SORT(streams->table, by_path);
	HASH_ITER (hh, streams->table, stream, tmp) {
		struct stream_figures figures = {
			.path = stream->path,
			.received_rate = stream->received_rate,
			.sent_rate = stream->sent_rate,
			.received_ms = stream->received_ms,
			.aborted_ms = stream->aborted_ms,
			.playlist_ms = stream->playlist_ms,
		};

		for (unsigned i = 0; i < STREAM_COUNTS; i++)
			figures.counts[i] = count_of(stream, (enum stream_count)i);
		visit(arg, &figures);
	}
	pthread_mutex_unlock(&streams->lock);
}

void
streams_visit_recent(struct streams *streams,
		     void (*visit)(void *arg, const struct stream_recent *recent), void *arg)
{
	pthread_mutex_lock(&streams->lock);
	for (unsigned i = 0; i < STREAMS_RECENT; i++) {
		unsigned at = (streams->newest + STREAMS_RECENT - i) % STREAMS_RECENT;
		const struct recent *recent = &streams->recent[at];
		struct stream_recent seen = {recent->path, recent->size, recent->ended_ms,
					     recent->took_ms};

		if (recent->path != NULL)
			visit(arg, &seen);
	}
	pthread_mutex_unlock(&streams->lock);
}
