#include "http/whole.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/metrics.h"
#include "http/direct.h"
#include "http/multipart.h"
#include "http/reply.h"
#include "http/transport.h"
#include "storage/object.h"
#include "storage/streams.h"

#define VIEWS_MAX 12                 /* of one write */
#define VIEW_MAX ((size_t)1 << 19)   /* bytes; the client takes some while the next is queued */
#define TURN_MAX ((uint64_t)1 << 20) /* bytes before the neighbours get their turn */
#define FILE_MIN ((size_t)16384)     /* bytes; to copy fewer is less than a second system call */

enum whole_state {
	WHOLE_SENDING, /* on the stack, never between calls */
	WHOLE_BLOCKED,
	WHOLE_WARMING,
	WHOLE_ORPHAN, /* the connection is gone; waits for the letter of warm */
};

enum whole_event { WHOLE_WARM, WHOLE_WRITABLE, WHOLE_STUCK, WHOLE_GONE };

struct whole {
	struct conn *conn; /* NULL when ORPHAN */
	struct worker *worker;
	struct object *object;
	enum whole_state state;
	bool attached;           /* the connection knows of it */
	bool begun;              /* the head is made */
	int code;                /* 200 or 206 */
	uint64_t offset, end;    /* what is still to be sent, of this part */
	struct multipart *multi; /* several ranges; or NULL */
	size_t texts;            /* of multi, that were begun */
	struct evbuffer *lead;   /* goes before the bytes at offset; NULL: nothing does */
	uint64_t turn;           /* bytes sent since its turn began */
	struct object_cursor cursor;
	struct object_warm warm;
	struct event writable; /* while BLOCKED */
};

/* What one write sends. */
struct pieces {
	struct direct_head head; /* the first of them, if the reply begins with this write */
	struct iovec iov[DIRECT_HEAD_PIECES + 1 + VIEWS_MAX];
	int count;
	size_t before; /* bytes of the pieces in front of the views */
	size_t length; /* of the views */
	struct object_view views[VIEWS_MAX];
	unsigned view_count;
	int file; /* where the last view lies, too; or -1 */
	off_t file_offset;
};

static void step(struct whole *whole, enum whole_event event);

static void
release(struct whole *whole)
{
	object_cursor_reset(&whole->cursor);
	object_put(&whole->object);
	if (whole->state == WHOLE_BLOCKED)
		event_del(&whole->writable);
	if (whole->lead != NULL)
		evbuffer_free(whole->lead);
	free(whole->multi);
	free(whole);
}

/* Another answer than the one whose headers are set: its length would be taken for the text's. */
static void
answer_instead(struct whole *whole, int code, const char *reason)
{
	struct conn *conn = whole->conn;

	release(whole);
	reply_forget_headers(conn);
	reply_text(conn, code, reason);
}

/* The bytes can't be had, or may not be served any more, or the client does not take them. */
static void
give_up(struct whole *whole)
{
	struct conn *conn = whole->conn;

	if (!whole->begun) {
		answer_instead(whole, 500, "the stored bytes are damaged or unreadable");
		return;
	}
	release(whole);
	metric_add(METRIC_readers_cut_total, 1);
	conn_cut(conn); /* short of its Content-Length */
}

static void
on_gone(void *handler)
{
	step(handler, WHOLE_GONE);
}

/* It is going to wait. */
static void
attach(struct whole *whole)
{
	if (!whole->attached)
		conn_attach(whole->conn, on_gone, whole);
	whole->attached = true;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	step(arg, (what & EV_WRITE) != 0 ? WHOLE_WRITABLE : WHOLE_STUCK);
}

static void
block(struct whole *whole)
{
	struct timeval timeout = worker_timeval(whole->worker->settings->send_timeout_ms);

	attach(whole);
	object_cursor_reset(&whole->cursor);
	whole->state = WHOLE_BLOCKED;
	event_assign(&whole->writable, whole->worker->base, conn_fd(whole->conn), EV_WRITE,
		     on_writable, whole);
	event_add(&whole->writable, &timeout);
}

static void
warm(struct whole *whole)
{
	attach(whole);
	whole->state = WHOLE_WARMING;
	whole->warm.offset = whole->offset;
	whole->worker->letters++;
	object_warm(&whole->warm);
}

/* Whether everything was sent, but for what is in lead. */
static bool
is_done(const struct whole *whole)
{
	return whole->offset == whole->end &&
	       (whole->multi == NULL || whole->texts > whole->multi->count);
}

/* Puts TEXT in front of the bytes. 0 or -ENOMEM. */
static int
add_lead(struct whole *whole, const void *text, size_t length)
{
	if (whole->lead == NULL)
		whole->lead = evbuffer_new();
	return whole->lead != NULL && evbuffer_add(whole->lead, text, length) == 0 ? 0 : -ENOMEM;
}

/* N bytes of the body went out. */
static void
count(struct whole *whole, size_t n)
{
	whole->turn += n;
	whole->conn->access.sent += n;
	metric_add(METRIC_sent_bytes_total, (int64_t)n);
	stream_add(object_stream(whole->object), STREAM_SENT, (int64_t)n);
}

/* Goes on to the next of several ranges, or to the text behind the last one. */
static int
next_part(struct whole *whole)
{
	const struct multipart *multi = whole->multi;
	char text[MULTIPART_TEXT_MAX];
	size_t length = multipart_text(multi, whole->texts, text);

	if (whole->texts < multi->count) {
		whole->offset = multi->parts[whole->texts].first;
		whole->end = multi->parts[whole->texts].end;
	}
	whole->texts++;
	if (whole->begun) /* else it may never be sent */
		count(whole, length);
	return add_lead(whole, text, length);
}

static void
add_piece(struct pieces *pieces, struct iovec piece)
{
	if (piece.iov_len > 0)
		pieces->iov[pieces->count++] = piece;
}

/* Lends the bytes that come next, as many as one write takes; many from one file are the last of them. What object_view
 * said last. */
static int
view_some(struct whole *whole, struct pieces *pieces)
{
	uint64_t left = whole->end - whole->offset;
	int rc = 0;

	pieces->view_count = 0;
	pieces->length = 0;
	pieces->file = -1;
	while (pieces->length < left && pieces->view_count < VIEWS_MAX && pieces->file < 0) {
		struct object_view *view = &pieces->views[pieces->view_count];

		rc = object_view(whole->object, &whole->cursor, whole->offset + pieces->length,
				 (size_t)left - pieces->length, view);
		if (rc != 0)
			break;
		if (view->length > VIEW_MAX)
			view->length = VIEW_MAX;
		pieces->view_count++;
		pieces->length += view->length;
		if (view->length >= FILE_MIN)
			pieces->file = object_view_file(view, &pieces->file_offset);
	}
	return rc;
}

/* Puts together what one write sends, beginning the reply if that is due. 0 or -ENOMEM. */
static int
gather(struct whole *whole, struct pieces *pieces)
{
	struct iovec lead = {0};

	pieces->count = 0;
	if (!whole->begun) {
		reply_body_start(whole->conn, whole->code, &pieces->head);
		whole->begun = true;
		if (whole->lead != NULL)
			count(whole, evbuffer_get_length(whole->lead));
		for (unsigned i = 0; i < DIRECT_HEAD_PIECES; i++)
			add_piece(pieces, pieces->head.pieces[i]);
	}
	if (whole->lead != NULL) {
		lead.iov_len = evbuffer_get_length(whole->lead);
		lead.iov_base = evbuffer_pullup(whole->lead, -1);
		if (lead.iov_base == NULL && lead.iov_len > 0)
			return -ENOMEM;
	}
	add_piece(pieces, lead);
	pieces->before = 0;
	for (int i = 0; i < pieces->count; i++)
		pieces->before += pieces->iov[i].iov_len;
	for (unsigned i = 0; i < pieces->view_count; i++)
		/* sending only reads; the cast drops a const that iovec can't carry */
		add_piece(pieces,
			  (struct iovec){(void *)pieces->views[i].data, pieces->views[i].length});
	return 0;
}

/* N bytes of PIECES went out. 0 or -ENOMEM. */
static int
took(struct whole *whole, const struct pieces *pieces, size_t n)
{
	struct evbuffer *lead = whole->lead;
	int rc = 0;

	if (n >= pieces->before) {
		whole->offset += n - pieces->before;
		count(whole, n - pieces->before);
		if (lead != NULL)
			evbuffer_drain(lead, evbuffer_get_length(lead));
		return 0;
	}
	/* The head is in memory that others use next. */
	whole->lead = NULL;
	for (int i = 0; rc == 0 && i < pieces->count - (int)pieces->view_count; i++) {
		const struct iovec *piece = &pieces->iov[i];

		if (n < piece->iov_len)
			rc = add_lead(whole, (const char *)piece->iov_base + n, piece->iov_len - n);
		n -= n < piece->iov_len ? n : piece->iov_len;
	}
	if (lead != NULL)
		evbuffer_free(lead);
	return rc;
}

/* Sends some bytes. 0 when the socket took all that could be viewed; -EAGAIN when it is full; -EINPROGRESS when the bytes
 * are to be warmed; -EPIPE when the client is gone; or another error. */
static int
send_some(struct whole *whole)
{
	struct pieces pieces;
	ssize_t n = 0;
	int rc = view_some(whole, &pieces);

	if (pieces.view_count == 0 && rc != 0)
		return rc == -EAGAIN ? -EIO : rc; /* it is finished, but has no byte there */
	rc = gather(whole, &pieces);
	if (rc == 0)
		n = transport_flush(whole->conn)
			    ? transport_send_mapped(whole->conn, pieces.iov, pieces.count,
						    pieces.file, pieces.file_offset)
			    : -EAGAIN;
	for (unsigned i = 0; i < pieces.view_count; i++)
		object_view_release(&pieces.views[i]);
	if (rc == 0 && n < 0 && n != -EAGAIN)
		rc = (int)n;
	if (rc == 0)
		rc = took(whole, &pieces, n > 0 ? (size_t)n : 0);
	if (rc == 0 && (n < 0 || (size_t)n < pieces.before + pieces.length))
		rc = -EAGAIN;
	return rc;
}

static void
finish(struct whole *whole)
{
	struct conn *conn = whole->conn;

	release(whole);
	reply_end(conn);
}

/* The client left. */
static void
leave(struct whole *whole)
{
	struct conn *conn = whole->conn;

	release(whole);
	conn_cut(conn);
}

static void
pump(struct whole *whole)
{
	int rc = 0;

	whole->state = WHOLE_SENDING;
	whole->turn = 0;
	if (object_status(whole->object).state == OBJECT_GONE) {
		if (whole->begun)
			give_up(whole);
		else
			answer_instead(whole, 404, "no object has this path");
		return;
	}
	do {
		if (whole->offset == whole->end && !is_done(whole))
			rc = next_part(whole);
		if (rc == 0)
			rc = whole->turn < TURN_MAX ? send_some(whole) : -EAGAIN;
	} while (rc == 0 && !is_done(whole));
	if (rc == 0)
		finish(whole);
	else if (rc == -EAGAIN)
		block(whole);
	else if (rc == -EINPROGRESS)
		warm(whole);
	else if (rc == -EPIPE)
		leave(whole);
	else
		give_up(whole);
}

static void
step(struct whole *whole, enum whole_event event)
{
	if (event == WHOLE_GONE && whole->state != WHOLE_WARMING) {
		release(whole);
		return;
	}
	switch (whole->state) {
	case WHOLE_BLOCKED:
		if (event == WHOLE_WRITABLE)
			pump(whole);
		else
			give_up(whole);
		return;
	case WHOLE_WARMING:
		if (event == WHOLE_GONE) {
			whole->state = WHOLE_ORPHAN;
			whole->conn = NULL;
		} else if (whole->warm.result != 0) {
			give_up(whole);
		} else {
			pump(whole);
		}
		return;
	case WHOLE_ORPHAN:
		CHECK(event == WHOLE_WARM);
		release(whole);
		return;
	case WHOLE_SENDING:
		break;
	}
	CHECK(whole->state != WHOLE_SENDING);
}

static void
on_warm(struct letter *letter)
{
	struct whole *whole =
		(struct whole *)((char *)letter - offsetof(struct whole, warm.letter));

	whole->worker->letters--;
	step(whole, WHOLE_WARM);
}

void
whole_start(struct conn *conn, struct object *object, const struct whole_body *body)
{
	struct whole *whole = calloc(1, sizeof(*whole));

	if (whole == NULL) {
		object_put(&object);
		free(body->multi);
		reply_forget_headers(conn);
		reply_text(conn, 503, "out of memory");
		return;
	}
	whole->conn = conn;
	whole->worker = conn->worker;
	whole->object = object;
	whole->code = body->code;
	whole->multi = body->multi;
	if (whole->multi == NULL) {
		whole->offset = body->first;
		whole->end = body->end;
	}
	whole->warm.object = object;
	whole->warm.mailbox = &conn->worker->mailbox;
	whole->warm.letter.deliver = on_warm;
	pump(whole);
}
