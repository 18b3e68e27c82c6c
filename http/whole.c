#include "http/whole.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/metrics.h"
#include "http/multipart.h"
#include "http/reply.h"
#include "storage/object.h"
#include "storage/streams.h"

#define QUEUE_MAX ((size_t)1 << 20) /* bytes lent to the output at a time */

enum whole_state {
	WHOLE_WARMING,
	WHOLE_SENDING,
	WHOLE_ORPHAN, /* the connection is gone; waits for the letter of warm */
};

enum whole_event { WHOLE_WARM, WHOLE_DRAINED, WHOLE_GONE };

struct whole {
	struct conn *conn; /* NULL when ORPHAN */
	struct worker *worker;
	struct object *object;
	enum whole_state state;
	bool attached; /* the connection knows of it */
	bool head_sent;
	int code;                /* 200 or 206 */
	uint64_t offset, end;    /* what is still to be queued, of this part */
	struct multipart *multi; /* several ranges; or NULL */
	size_t texts;            /* of multi, that were queued */
	struct object_cursor cursor;
	struct object_warm warm;
};

/* Bytes that the output holds. */
struct lent {
	struct object *object;
	struct object_view view;
};

static void step(struct whole *whole, enum whole_event event);

static void
release(struct whole *whole)
{
	object_cursor_reset(&whole->cursor);
	object_put(&whole->object);
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

/* The bytes can't be had, or may not be served any more. */
static void
give_up(struct whole *whole)
{
	struct conn *conn = whole->conn;

	if (!whole->head_sent) {
		answer_instead(whole, 500, "the stored bytes are damaged or unreadable");
		return;
	}
	release(whole);
	metric_add(METRIC_readers_cut_total, 1);
	conn_cut(conn); /* short of its Content-Length */
}

static void
give_back(const void *data, size_t length, void *arg)
{
	struct lent *lent = arg;

	(void)data;
	(void)length;
	object_view_release(&lent->view);
	object_put(&lent->object);
	free(lent);
}

static int
lend(struct whole *whole, struct evbuffer *buffer, size_t max)
{
	uint64_t left = whole->end - whole->offset;
	struct lent *lent = malloc(sizeof(*lent));
	int rc;

	if (lent == NULL)
		return -ENOMEM;
	rc = object_view(whole->object, &whole->cursor, whole->offset,
			 left < max ? (size_t)left : max, &lent->view);
	if (rc != 0) {
		free(lent);
		return rc;
	}
	lent->object = object_get(whole->object);
	if (evbuffer_add_reference(buffer, lent->view.data, lent->view.length, give_back, lent) !=
	    0) {
		give_back(NULL, 0, lent);
		return -ENOMEM;
	}
	whole->offset += lent->view.length;
	return 0;
}

/* Whether everything was queued. */
static bool
is_done(const struct whole *whole)
{
	return whole->offset == whole->end &&
	       (whole->multi == NULL || whole->texts > whole->multi->count);
}

/* Goes on to the next of several ranges, or to the text behind the last one. */
static int
next_part(struct whole *whole, struct evbuffer *buffer)
{
	const struct multipart *multi = whole->multi;
	char text[MULTIPART_TEXT_MAX];
	size_t length = multipart_text(multi, whole->texts, text);

	if (evbuffer_add(buffer, text, length) != 0)
		return -ENOMEM;
	if (whole->texts < multi->count) {
		whole->offset = multi->parts[whole->texts].first;
		whole->end = multi->parts[whole->texts].end;
	}
	whole->texts++;
	return 0;
}

/* Fills BUFFER up to QUEUE_MAX. 0, or why it is short of that: -EINPROGRESS, or an error. */
static int
fill(struct whole *whole, struct evbuffer *buffer)
{
	size_t length;

	while ((length = evbuffer_get_length(buffer)) < QUEUE_MAX && !is_done(whole)) {
		int rc = whole->offset == whole->end ? next_part(whole, buffer)
						     : lend(whole, buffer, QUEUE_MAX - length);

		if (rc != 0)
			return rc;
	}
	return 0;
}

static void
on_drained(void *handler)
{
	step(handler, WHOLE_DRAINED);
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

/* Hands BUFFER to the client; the end of the reply if that is all. */
static void
send_buffer(struct whole *whole, struct evbuffer *buffer)
{
	struct conn *conn = whole->conn;
	bool last = is_done(whole);
	int64_t bytes = (int64_t)evbuffer_get_length(buffer);

	metric_add(METRIC_sent_bytes_total, bytes);
	stream_add(object_stream(whole->object), STREAM_SENT, bytes);
	if (last && !whole->head_sent) {
		int code = whole->code;

		release(whole);
		reply_buffer(conn, code, buffer);
		return;
	}
	attach(whole);
	if (!whole->head_sent)
		reply_start(conn, whole->code);
	whole->head_sent = true;
	whole->state = WHOLE_SENDING;
	reply_chunk(conn, buffer, on_drained);
	if (last) {
		release(whole);
		reply_end(conn);
	}
}

static void
pump(struct whole *whole)
{
	struct evbuffer *buffer;
	int rc;

	if (object_status(whole->object).state == OBJECT_GONE) {
		if (whole->head_sent)
			give_up(whole);
		else
			answer_instead(whole, 404, "no object has this path");
		return;
	}
	buffer = evbuffer_new();
	rc = buffer != NULL ? fill(whole, buffer) : -ENOMEM;
	if (rc == 0 || (rc == -EINPROGRESS && evbuffer_get_length(buffer) > 0)) {
		send_buffer(whole, buffer);
	} else if (rc == -EINPROGRESS) {
		attach(whole);
		whole->state = WHOLE_WARMING;
		whole->warm.offset = whole->offset;
		whole->worker->letters++;
		object_warm(&whole->warm);
	} else {
		give_up(whole);
	}
	if (buffer != NULL)
		evbuffer_free(buffer);
}

static void
step(struct whole *whole, enum whole_event event)
{
	switch (whole->state) {
	case WHOLE_WARMING:
		CHECK(event != WHOLE_DRAINED);
		if (event == WHOLE_GONE) {
			whole->state = WHOLE_ORPHAN;
			whole->conn = NULL;
		} else if (whole->warm.result != 0) {
			give_up(whole);
		} else {
			pump(whole);
		}
		return;
	case WHOLE_SENDING:
		CHECK(event != WHOLE_WARM);
		if (event == WHOLE_GONE)
			release(whole);
		else
			pump(whole);
		return;
	case WHOLE_ORPHAN:
		CHECK(event == WHOLE_WARM);
		release(whole);
		return;
	}
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
	whole->state = WHOLE_SENDING;
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
