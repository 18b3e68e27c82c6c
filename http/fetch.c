#include "http/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "http/date.h"
#include "http/etag.h"
#include "http/live.h"
#include "http/media.h"
#include "http/multipart.h"
#include "http/range.h"
#include "http/reply.h"
#include "storage/object.h"
#include "storage/store.h"

#define QUEUE_MAX ((size_t)1 << 20) /* bytes lent to the output at a time */

enum fetch_state {
	FETCH_LOOKUP,
	FETCH_WARMING,
	FETCH_SENDING,
	FETCH_ORPHAN, /* the connection is gone; waits for the letter of load or warm */
};

enum fetch_event { FETCH_FOUND, FETCH_WARM, FETCH_DRAINED, FETCH_GONE };

struct fetch {
	struct conn *conn; /* NULL when ORPHAN */
	struct worker *worker;
	struct object *object;
	enum fetch_state state;
	bool head_sent;
	int code;             /* 200 or 206 */
	uint64_t length;      /* of the whole object */
	uint64_t offset, end; /* what is still to be queued, of this part */
	struct multipart *multi; /* several ranges; or NULL */
	size_t texts;            /* of multi, that were queued */
	struct object_cursor cursor;
	struct store_load load;
	struct object_warm warm;
	char name[];
};

/* Bytes that the output holds. */
struct lent {
	struct object *object;
	struct object_view view;
};

static void step(struct fetch *fetch, enum fetch_event event);

static void
release(struct fetch *fetch)
{
	object_cursor_reset(&fetch->cursor);
	object_put(&fetch->object);
	free(fetch->multi);
	free(fetch);
}

static void
answer_text(struct fetch *fetch, int code, const char *reason)
{
	struct conn *conn = fetch->conn;

	release(fetch);
	reply_text(conn, code, reason);
}

/* The same when the headers of the object are set: its length would be taken for the text's. */
static void
answer_instead(struct fetch *fetch, int code, const char *reason)
{
	reply_forget_headers(fetch->conn);
	answer_text(fetch, code, reason);
}

/* The bytes can't be had, or may not be served any more. */
static void
give_up(struct fetch *fetch)
{
	struct conn *conn = fetch->conn;

	if (!fetch->head_sent) {
		answer_instead(fetch, 500, "the stored bytes are damaged or unreadable");
		return;
	}
	release(fetch);
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
lend(struct fetch *fetch, struct evbuffer *buffer, size_t max)
{
	uint64_t left = fetch->end - fetch->offset;
	struct lent *lent = malloc(sizeof(*lent));
	int rc;

	if (lent == NULL)
		return -ENOMEM;
	rc = object_view(fetch->object, &fetch->cursor, fetch->offset,
			 left < max ? (size_t)left : max, &lent->view);
	if (rc != 0) {
		free(lent);
		return rc;
	}
	lent->object = object_get(fetch->object);
	if (evbuffer_add_reference(buffer, lent->view.data, lent->view.length, give_back, lent) !=
	    0) {
		give_back(NULL, 0, lent);
		return -ENOMEM;
	}
	fetch->offset += lent->view.length;
	return 0;
}

/* Whether everything was queued. */
static bool
is_done(const struct fetch *fetch)
{
	return fetch->offset == fetch->end &&
	       (fetch->multi == NULL || fetch->texts > fetch->multi->count);
}

/* Goes on to the next of several ranges, or to the text behind the last one. */
static int
next_part(struct fetch *fetch, struct evbuffer *buffer)
{
	const struct multipart *multi = fetch->multi;
	char text[MULTIPART_TEXT_MAX];
	size_t length = multipart_text(multi, fetch->texts, text);

	if (evbuffer_add(buffer, text, length) != 0)
		return -ENOMEM;
	if (fetch->texts < multi->count) {
		fetch->offset = multi->parts[fetch->texts].first;
		fetch->end = multi->parts[fetch->texts].end;
	}
	fetch->texts++;
	return 0;
}

/* Fills BUFFER up to QUEUE_MAX. 0, or why it is short of that: -EINPROGRESS, or an error. */
static int
fill(struct fetch *fetch, struct evbuffer *buffer)
{
	size_t length;

	while ((length = evbuffer_get_length(buffer)) < QUEUE_MAX && !is_done(fetch)) {
		int rc = fetch->offset == fetch->end ? next_part(fetch, buffer)
						     : lend(fetch, buffer, QUEUE_MAX - length);

		if (rc != 0)
			return rc;
	}
	return 0;
}

static void
on_drained(void *handler)
{
	step(handler, FETCH_DRAINED);
}

/* Hands BUFFER to the client; the end of the reply if that is all. */
static void
send_buffer(struct fetch *fetch, struct evbuffer *buffer)
{
	struct conn *conn = fetch->conn;
	bool last = is_done(fetch);

	metric_add(METRIC_sent_bytes_total, (int64_t)evbuffer_get_length(buffer));
	if (last && !fetch->head_sent) {
		int code = fetch->code;

		release(fetch);
		reply_buffer(conn, code, buffer);
		return;
	}
	if (!fetch->head_sent)
		reply_start(conn, fetch->code);
	fetch->head_sent = true;
	fetch->state = FETCH_SENDING;
	reply_chunk(conn, buffer, on_drained);
	if (last) {
		release(fetch);
		reply_end(conn);
	}
}

static void
pump(struct fetch *fetch)
{
	struct evbuffer *buffer;
	int rc;

	if (object_status(fetch->object).state == OBJECT_GONE) {
		if (fetch->head_sent)
			give_up(fetch);
		else
			answer_instead(fetch, 404, "no object has this path");
		return;
	}
	buffer = evbuffer_new();
	rc = buffer != NULL ? fill(fetch, buffer) : -ENOMEM;
	if (rc == 0 || (rc == -EINPROGRESS && evbuffer_get_length(buffer) > 0)) {
		send_buffer(fetch, buffer);
	} else if (rc == -EINPROGRESS) {
		fetch->state = FETCH_WARMING;
		fetch->warm.object = fetch->object;
		fetch->warm.offset = fetch->offset;
		fetch->worker->letters++;
		object_warm(&fetch->warm);
	} else {
		give_up(fetch);
	}
	if (buffer != NULL)
		evbuffer_free(buffer);
}

/* Several ranges, in the order asked for. False without memory. */
static bool
choose_several(struct fetch *fetch, const struct range_bytes *bytes, size_t count)
{
	struct multipart *multi = calloc(1, sizeof(*multi));

	if (multi == NULL) {
		answer_text(fetch, 503, "out of memory");
		return false;
	}
	multi->count = count;
	memcpy(multi->parts, bytes, count * sizeof(*bytes));
	multi->length = fetch->length;
	multi->type = object_type(fetch->object);
	multipart_boundary(multi);
	fetch->multi = multi;
	fetch->offset = fetch->end = 0;
	reply_header_format(fetch->conn, "Content-Type", "multipart/byteranges; boundary=%s",
			    multi->boundary);
	reply_header_number(fetch->conn, "Content-Length", multipart_length(multi));
	return true;
}

/* Chooses the bytes, and adds the headers that depend on them. False when the answer was given. */
static bool
choose_range(struct fetch *fetch, const char *etag, int64_t mtime, int64_t now)
{
	struct conn *conn = fetch->conn;
	struct range_spec specs[MULTIPART_MAX];
	struct range_bytes bytes[MULTIPART_MAX];
	struct slice value;
	size_t count;
	int n = -EINVAL; /* all of it, which RFC 9110 14.2 leaves to us */

	if (conn->head.method == METHOD_GET && head_find(&conn->head, "range", &value) &&
	    etag_range_applies(&conn->head, etag, mtime, now) &&
	    range_parse(value, specs, MULTIPART_MAX, &count) == 0)
		n = range_resolve_set(specs, count, fetch->length, bytes);
	if (n == -ERANGE) {
		reply_header_format(conn, "Content-Range", "bytes */%llu",
				    (unsigned long long)fetch->length);
		answer_text(fetch, 416, "the object has no such bytes");
		return false;
	}
	if (n > 0)
		fetch->code = 206;
	if (n > 1)
		return choose_several(fetch, bytes, (size_t)n);
	if (n == 1) {
		fetch->offset = bytes[0].first;
		fetch->end = bytes[0].end;
		reply_header_format(conn, "Content-Range", "bytes %llu-%llu/%llu",
				    (unsigned long long)bytes[0].first,
				    (unsigned long long)bytes[0].end - 1,
				    (unsigned long long)fetch->length);
	}
	reply_header(conn, "Content-Type", object_type(fetch->object));
	reply_header_number(conn, "Content-Length", fetch->end - fetch->offset);
	return true;
}

static void
serve_complete(struct fetch *fetch, const struct policy *policy)
{
	struct conn *conn = fetch->conn;
	int64_t mtime = object_mtime_ms(fetch->object) / 1000, now = clock_wall_ms() / 1000;
	char date[DATE_SIZE], text[ETAG_SIZE];
	const char *etag = NULL, *cache = policy->cache_control;
	uint8_t hash[16];
	enum etag_outcome outcome;

	if (object_etag(fetch->object, hash)) {
		etag_format(hash, text);
		etag = text;
		reply_header(conn, "ETag", etag);
	}
	date_format(mtime, date);
	reply_header(conn, "Last-Modified", date);
	outcome = etag_evaluate(&conn->head, etag, mtime, now);
	if (outcome == ETAG_FAILED) {
		answer_text(fetch, 412, "a precondition of the request does not hold");
		return;
	}
	if (cache == NULL)
		cache = media_cache_whole(fetch->name);
	fetch->code = 200;
	fetch->end = fetch->length;
	if (outcome == ETAG_PROCEED) {
		reply_header(conn, "Accept-Ranges", "bytes");
		if (!choose_range(fetch, etag, mtime, now))
			return;
	}
	reply_header(conn, "Cache-Control", cache);
	if (outcome == ETAG_PROCEED && conn->head.method == METHOD_GET) {
		pump(fetch);
		return;
	}
	release(fetch);
	reply_empty(conn, outcome == ETAG_PROCEED ? 200 : 304);
}

/* Chooses the bytes of an object of LENGTH that grows (RFC 8673). False when the answer was given. */
static bool
choose_growing(struct fetch *fetch, uint64_t length)
{
	struct conn *conn = fetch->conn;
	struct range_spec specs[MULTIPART_MAX];
	char positions[RANGE_POSITIONS_SIZE];
	struct slice value;
	size_t count;

	/* It has no validator yet: an If-Range can't name it. */
	if (!head_find(&conn->head, "range", &value) ||
	    !etag_range_applies(&conn->head, NULL, -1, clock_wall_ms() / 1000) ||
	    range_parse(value, specs, MULTIPART_MAX, &count) != 0 || count > 1)
		return true;
	switch (-range_resolve_growing(&specs[0], length, &fetch->offset, &fetch->end, positions)) {
	case 0:
		fetch->code = 206;
		reply_header(conn, "Content-Range", positions);
		return true;
	case ERANGE:
		reply_header_format(conn, "Content-Range", "bytes */%llu",
				    (unsigned long long)length);
		answer_text(fetch, 416, "the object has no such bytes yet");
		return false;
	default:
		return true;
	}
}

/* An object whose end is not known, or never came. */
static void
serve_growing(struct fetch *fetch, struct object_status status, const struct policy *policy)
{
	struct conn *conn = fetch->conn;
	struct object *object = fetch->object;
	const char *cache = "no-store"; /* of what will be cut */
	uint64_t first, end;
	int code;

	fetch->code = 200;
	fetch->end = LIVE_OPEN;
	if (status.state == OBJECT_LIVE) {
		cache = policy->cache_control != NULL ? policy->cache_control
						      : media_cache_growing(fetch->name);
		if (conn->head.method == METHOD_GET && !choose_growing(fetch, status.length))
			return;
		reply_header(conn, "Accept-Ranges", "bytes");
	}
	reply_header(conn, "Content-Type", object_type(object));
	reply_header(conn, "Cache-Control", cache);
	if (conn->head.method == METHOD_HEAD) {
		release(fetch);
		reply_empty(conn, 200);
		return;
	}
	code = fetch->code;
	first = fetch->offset;
	end = fetch->end;
	fetch->object = NULL;
	release(fetch);
	conn_detach(conn);
	live_start(conn, object, code, first, end);
}

static void
serve(struct fetch *fetch)
{
	struct policy policy = rules_policy(fetch->worker->config->rules, fetch->name);
	struct object_status status = object_status(fetch->object);

	switch (status.state) {
	case OBJECT_LIVE:
	case OBJECT_INCOMPLETE:
		serve_growing(fetch, status, &policy);
		return;
	case OBJECT_COMPLETE:
		fetch->length = status.length;
		serve_complete(fetch, &policy);
		return;
	case OBJECT_GONE:
		answer_text(fetch, 404, "no object has this path");
		return;
	}
}

static void
found(struct fetch *fetch, int rc)
{
	if (rc == 0)
		serve(fetch);
	else if (rc == -ENOENT)
		answer_text(fetch, 404, "no object has this path");
	else
		answer_text(fetch, 503, "the catalog can't be read");
}

static void
step(struct fetch *fetch, enum fetch_event event)
{
	bool letter = event == FETCH_FOUND || event == FETCH_WARM;

	switch (fetch->state) {
	case FETCH_LOOKUP:
	case FETCH_WARMING:
		if (event == FETCH_GONE) {
			fetch->state = FETCH_ORPHAN;
			fetch->conn = NULL;
		} else if (event == FETCH_FOUND) {
			fetch->object = fetch->load.object;
			found(fetch, fetch->load.result);
		} else if (fetch->warm.result != 0) {
			give_up(fetch);
		} else {
			pump(fetch);
		}
		return;
	case FETCH_SENDING:
		CHECK(!letter);
		if (event == FETCH_GONE)
			release(fetch);
		else
			pump(fetch);
		return;
	case FETCH_ORPHAN:
		CHECK(letter);
		if (event == FETCH_FOUND)
			fetch->object = fetch->load.object;
		release(fetch);
		return;
	}
}

static void
on_loaded(struct letter *letter)
{
	struct fetch *fetch =
		(struct fetch *)((char *)letter - offsetof(struct fetch, load.letter));

	fetch->worker->letters--;
	if (fetch->load.result != 0)
		fetch->load.object = NULL;
	step(fetch, FETCH_FOUND);
}

static void
on_warm(struct letter *letter)
{
	struct fetch *fetch =
		(struct fetch *)((char *)letter - offsetof(struct fetch, warm.letter));

	fetch->worker->letters--;
	step(fetch, FETCH_WARM);
}

static void
on_gone(void *handler)
{
	step(handler, FETCH_GONE);
}

void
fetch_start(struct conn *conn, const char *name)
{
	size_t size = strlen(name) + 1;
	struct fetch *fetch = calloc(1, sizeof(*fetch) + size);
	int rc;

	if (fetch == NULL) {
		reply_text(conn, 503, "out of memory");
		return;
	}
	memcpy(fetch->name, name, size);
	fetch->conn = conn;
	fetch->worker = conn->worker;
	fetch->load.store = conn->worker->store;
	fetch->load.path = fetch->name;
	fetch->load.mailbox = fetch->warm.mailbox = &conn->worker->mailbox;
	fetch->load.letter.deliver = on_loaded;
	fetch->warm.letter.deliver = on_warm;
	fetch->state = FETCH_LOOKUP;
	conn_attach(conn, on_gone, fetch);
	rc = store_find(conn->worker->store, name, &fetch->object);
	if (rc == -EAGAIN) {
		fetch->worker->letters++;
		store_load(&fetch->load);
	} else {
		found(fetch, rc);
	}
}
