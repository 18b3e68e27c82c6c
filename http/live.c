#include "http/live.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "http/chunk.h"
#include "http/reply.h"
#include "http/transport.h"
#include "storage/object.h"
#include "storage/streams.h"

#define PART_MAX ((uint64_t)256 << 10) /* bytes of one chunk */
#define VIEWS_MAX 6                    /* a part in blocks of 64 KiB, with one at each end */
#define COUNT_EVERY ((uint64_t)128 << 10)
#define TURN_MAX ((uint64_t)1 << 20) /* bytes before the neighbours get their turn */

enum live_state {
	LIVE_SENDING, /* on the stack of step, never between calls */
	LIVE_WAITING,
	LIVE_BLOCKED,
	LIVE_WARMING,
	LIVE_ORPHAN, /* the connection is gone; waits for the letter of warm */
};

enum live_event { LIVE_CHANGED, LIVE_WRITABLE, LIVE_STUCK, LIVE_WARM, LIVE_GONE };

/* What each part needs of each reader comes first, close together: with thousands of them none of it is in a
 * cache when it is needed, and each line of it is waited for. */
struct live {
	struct object_watcher watcher;
	struct conn *conn; /* NULL when ORPHAN */
	struct object *object;
	enum live_state state;
	bool chunked;
	bool flushed; /* nothing is, or comes, into the output any more; see pump */
	int fd;       /* of transport_socket */
	struct object_cursor cursor;
	uint64_t end;         /* of what was asked for, or LIVE_OPEN */
	uint64_t offset;      /* where in the object the present chunk begins */
	uint64_t length;      /* of its data; 0 between chunks */
	uint64_t sent;        /* of its line, data and CRLF together */
	uint64_t line_length; /* 0 for HTTP/1.0 */
	uint64_t uncounted;   /* bytes sent that nobody was told of; see count */
	struct worker *worker;
	struct object_warm warm;
	struct event writable;
};

static void step(struct live *live, enum live_event event);

/* Tells who wants to know how much was sent. Not after each part: the stream's count is all its readers', and the
 * connection's is far away. */
static void
count(struct live *live)
{
	metric_add(METRIC_sent_bytes_total, (int64_t)live->uncounted);
	stream_add(object_stream(live->object), STREAM_SENT, (int64_t)live->uncounted);
	live->conn->access.sent += live->uncounted;
	live->uncounted = 0;
}

static void
release(struct live *live)
{
	count(live);
	stream_add(object_stream(live->object), STREAM_READERS, -1);
	object_cursor_reset(&live->cursor);
	object_unwatch(&live->watcher);
	event_del(&live->writable);
	if (live->state != LIVE_WARMING) {
		object_put(&live->object);
		free(live);
	} else {
		live->state = LIVE_ORPHAN; /* the warm letter needs it */
		live->conn = NULL;
	}
	metric_add(METRIC_live_readers, -1);
}

static void
cut(struct live *live)
{
	struct conn *conn = live->conn;

	release(live);
	conn_cut_reader(conn);
}

static void
finish(struct live *live)
{
	struct conn *conn = live->conn;

	release(live);
	reply_end(conn);
}

static void
block(struct live *live)
{
	struct timeval timeout = worker_timeval(live->worker->settings->send_timeout_ms);

	live->state = LIVE_BLOCKED;
	count(live); /* while the connection is at hand anyway */
	object_cursor_reset(&live->cursor);
	event_add(&live->writable, &timeout);
}

static void
warm(struct live *live, uint64_t offset)
{
	live->state = LIVE_WARMING;
	live->warm.offset = offset;
	live->worker->letters++;
	object_warm(&live->warm);
}

static void
begin_chunk(struct live *live, uint64_t available)
{
	char line[CHUNK_SIZE_LINE_MAX];

	live->length = available < PART_MAX ? available : PART_MAX;
	live->sent = 0;
	live->line_length = live->chunked ? chunk_size_line(line, live->length) : 0;
}

/* Where DONE stands within a piece of LENGTH bytes that begins at START. */
static uint64_t
within(uint64_t done, uint64_t start, uint64_t length)
{
	if (done <= start)
		return 0;
	return done - start < length ? done - start : length;
}

/* What is left of the chunk, as far as it can be viewed now; TEXT is where its size line may be made.
 * *VIEW_COUNT views are to be released; the result is what object_view said last, 0 when all of the chunk is
 * there. */
static int
gather(struct live *live, char text[CHUNK_SIZE_LINE_MAX], struct iovec *iov, int *iov_count,
       struct object_view *views, unsigned *view_count)
{
	uint64_t line = within(live->sent, 0, live->line_length);
	uint64_t data = within(live->sent, live->line_length, live->length);
	uint64_t end = within(live->sent, live->line_length + live->length, 2);
	int n = 0, rc = 0;

	if (line < live->line_length) {
		chunk_size_line(text, live->length);
		iov[n++] = (struct iovec){text + line, (size_t)(live->line_length - line)};
	}
	*view_count = 0;
	while (data < live->length && *view_count < VIEWS_MAX) {
		struct object_view *view = &views[*view_count];

		rc = object_view(live->object, &live->cursor, live->offset + data,
				 (size_t)(live->length - data), view);
		if (rc != 0)
			break;
		/* sending only reads; the cast drops a const that iovec can't carry */
		iov[n++] = (struct iovec){(void *)view->data, view->length};
		data += view->length;
		++*view_count;
	}
	if (data == live->length && live->chunked)
		iov[n++] = (struct iovec){(void *)&"\r\n"[end], (size_t)(2 - end)};
	*iov_count = n;
	return rc;
}

/* Sends some of the chunk. 0 when it went out as far as it could be viewed; -EAGAIN when the socket
 * is full; -EINPROGRESS after asking for the bytes; -EIO, -EPIPE. */
static int
send_some(struct live *live)
{
	char text[CHUNK_SIZE_LINE_MAX];
	struct iovec iov[VIEWS_MAX + 2];
	struct object_view views[VIEWS_MAX];
	unsigned view_count;
	int iov_count;
	size_t wanted = 0;
	ssize_t n;
	int rc = gather(live, text, iov, &iov_count, views, &view_count);

	if (rc != 0 && view_count == 0) {
		uint64_t data = within(live->sent, live->line_length, live->length);

		if (rc == -EINPROGRESS)
			warm(live, live->offset + data);
		return rc == -EINPROGRESS ? rc : -EIO;
	}
	for (int i = 0; i < iov_count; i++)
		wanted += iov[i].iov_len;
	n = live->fd >= 0 ? transport_send_plain(live->fd, iov, iov_count)
			  : transport_send(live->conn, iov, iov_count);
	for (unsigned i = 0; i < view_count; i++)
		object_view_release(&views[i]);
	if (n < 0)
		return (int)n;
	live->sent += (uint64_t)n;
	return (size_t)n < wanted ? -EAGAIN : 0;
}

static bool
chunk_is_out(const struct live *live)
{
	return live->sent == live->line_length + live->length + (live->chunked ? 2 : 0);
}

/* All there is was sent: what now depends on why there is no more. */
static void
at_the_end(struct live *live, enum object_state state)
{
	switch (state) {
	case OBJECT_LIVE:
		live->state = LIVE_WAITING;
		return;
	case OBJECT_COMPLETE:
		finish(live);
		return;
	case OBJECT_INCOMPLETE:
	case OBJECT_GONE:
		cut(live); /* invariant 2: no normal end */
		return;
	}
}

static void
pump(struct live *live)
{
	uint64_t budget = TURN_MAX;

	live->state = LIVE_SENDING;
	if (!live->flushed) {
		if (!transport_flush(live->conn)) {
			block(live);
			return;
		}
		/* That was the head, and whatever evhttp had. We queue nothing ourselves, but TLS may. */
		live->flushed = live->fd >= 0;
	}
	for (;;) {
		/* A status other than LIVE comes with the final length, so looking once suffices. */
		struct object_status status = object_status(live->object);
		int rc;

		if (status.state == OBJECT_GONE) {
			cut(live);
			return;
		}
		if (live->length == 0) {
			uint64_t available = status.length < live->end ? status.length : live->end;

			if (live->offset == live->end) {
				finish(live);
				return;
			}
			if (live->offset == available) {
				at_the_end(live, status.state);
				return;
			}
			if (budget == 0) {
				block(live);
				return;
			}
			begin_chunk(live, available - live->offset);
		}
		rc = send_some(live);
		if (rc == -EINPROGRESS)
			return;
		if (rc == -EIO || rc == -EPIPE) {
			cut(live);
			return;
		}
		if (chunk_is_out(live)) {
			live->uncounted += live->length;
			if (live->uncounted >= COUNT_EVERY)
				count(live);
			budget -= live->length < budget ? live->length : budget;
			live->offset += live->length;
			live->length = 0;
		} else if (rc == -EAGAIN) {
			block(live);
			return;
		}
	}
}

static void
step(struct live *live, enum live_event event)
{
	if (event == LIVE_GONE) {
		release(live);
		return;
	}
	switch (live->state) {
	case LIVE_WAITING:
		CHECK(event == LIVE_CHANGED);
		/* The word that it ended may come long after its last byte. */
		if (object_status(live->object).length > live->offset)
			metric_observe(HISTOGRAM_write_to_read,
				       clock_mono_us() - object_grown_us(live->object));
		pump(live);
		return;
	case LIVE_BLOCKED:
		if (event == LIVE_WRITABLE)
			pump(live);
		else if (event == LIVE_STUCK || object_status(live->object).state == OBJECT_GONE)
			cut(live);
		return;
	case LIVE_WARMING:
		if (event != LIVE_WARM)
			return; /* it looks again when the bytes are there */
		live->state = LIVE_SENDING;
		if (live->warm.result != 0)
			cut(live);
		else
			pump(live);
		return;
	case LIVE_ORPHAN:
		CHECK(event == LIVE_WARM);
		object_put(&live->object);
		free(live);
		return;
	case LIVE_SENDING:
		break;
	}
	CHECK(live->state != LIVE_SENDING);
}

static void
on_change(struct object_watcher *watcher)
{
	step((struct live *)((char *)watcher - offsetof(struct live, watcher)), LIVE_CHANGED);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	step(arg, (what & EV_WRITE) != 0 ? LIVE_WRITABLE : LIVE_STUCK);
}

static void
on_warm(struct letter *letter)
{
	struct live *live = (struct live *)((char *)letter - offsetof(struct live, warm.letter));

	live->worker->letters--;
	step(live, LIVE_WARM);
}

static void
on_gone(void *handler)
{
	step(handler, LIVE_GONE);
}

void
live_start(struct conn *conn, struct object *object, int code, uint64_t first, uint64_t end)
{
	struct live *live = calloc(1, sizeof(*live));

	if (live != NULL)
		live->watcher.wake = on_change;
	if (live == NULL || object_watch(object, conn->worker->index, &live->watcher) != 0) {
		free(live);
		object_put(&object);
		reply_text(conn, 503, "out of memory");
		return;
	}
	live->conn = conn;
	live->worker = conn->worker;
	live->fd = transport_socket(conn);
	live->object = object;
	live->offset = first;
	live->end = end;
	live->chunked = conn->head.minor > 0;
	live->warm.object = object;
	live->warm.mailbox = &conn->worker->mailbox;
	live->warm.letter.deliver = on_warm;
	event_assign(&live->writable, conn->worker->base, conn_fd(conn), EV_WRITE, on_writable,
		     live);
	metric_add(METRIC_live_readers, 1);
	stream_add(object_stream(object), STREAM_READERS, 1);
	conn_attach(conn, on_gone, live);
	reply_live_start(conn, code);
	conn_drop_head(conn);
	pump(live);
}
