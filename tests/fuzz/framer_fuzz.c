/* framer_fuzz.c - the requests that a connection's bytes hold, and where they end, do not depend on how the bytes
 * arrive.
 *
 * The framer is the real one; the connection and evhttp behind it are the fakes below: uploads have their body read,
 * everything else is answered at once and leaves its body to be skipped.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/direct.h"
#include "http/framer.h"
#include "tests/fuzz/fuzz.h"

/* Of the one run: what was seen, in words. */
static FILE *story;
static struct bufferevent *bev;
static bool reading; /* the body of an upload */
static struct {
	const uint8_t *data;
	size_t length; /* bytes */
	size_t stride; /* bytes that come at a time */
	bool eager;    /* more come before the framer looks again, as of a record of TLS */
} source;

static void answer(struct conn *conn);

void
conn_set_state(struct conn *conn, enum conn_state state)
{
	conn->state = state;
}

void
conn_expect_head(struct conn *conn)
{
	conn->deadline_ms = 1;
}

int
conn_fd(struct conn *conn)
{
	(void)conn;
	return 3;
}

int
worker_set_conn(struct worker *worker, int fd, struct conn *conn)
{
	(void)worker;
	CHECK(fd == 3 && conn != NULL);
	return 0;
}

bool
direct_is_possible(const struct conn *conn)
{
	return conn->verdict == HEAD_OK && conn->head.method == METHOD_GET &&
	       conn->head.minor > 0 && body_done(&conn->body);
}

void
direct_begin(struct conn *conn)
{
	answer(conn);
}

void
direct_stop_reading(struct conn *conn)
{
	CHECK(conn->state == CONN_BUSY);
}

static void
feed(void)
{
	size_t n = source.length < source.stride ? source.length : source.stride;

	const uint8_t *data = source.data;

	/* First, for the framer is called and may want the next ones. */
	source.data += n;
	source.length -= n;
	CHECK(evbuffer_add(bufferevent_get_input(bev), data, n) == 0);
}

static void
next(struct conn *conn)
{
	free(conn->text);
	conn->text = NULL;
	conn->text_length = conn->scanned = 0;
	conn->deadline_ms = 0;
	conn->dropped = 0;
	if (source.eager && source.length > 0)
		feed();
	conn_set_state(conn, body_done(&conn->body) ? CONN_HEAD : CONN_SKIP);
	framer_run(conn);
}

/* After a refusal nobody reads any more. */
static void
hang_up(struct conn *conn, const char *why)
{
	fprintf(story, "closed: %s\n", why);
	conn_set_state(conn, CONN_LINGER);
}

/* Reads what there is of an upload's body. */
static void
read_body(struct conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(bev);

	while (!body_done(&conn->body) && evbuffer_get_length(input) > 0) {
		size_t length = evbuffer_get_length(input);
		const char *data = (const char *)evbuffer_pullup(input, (ev_ssize_t)length);
		uint64_t payload = body_payload(&conn->body);
		ssize_t n = payload < length ? (ssize_t)payload : (ssize_t)length;

		if (payload > 0) {
			fwrite(data, 1, (size_t)n, story);
			body_took(&conn->body, (uint64_t)n);
		} else {
			n = body_framing(&conn->body, data, length);
		}
		if (n < 0) {
			reading = false;
			hang_up(conn, "broken body");
			return;
		}
		evbuffer_drain(input, (size_t)n);
	}
	if (body_done(&conn->body)) {
		reading = false;
		fputs("stored\n", story);
		next(conn);
	}
}

static void
answer(struct conn *conn)
{
	const struct head *head = &conn->head;

	CHECK(conn->state == CONN_BUSY);
	if (conn->verdict != HEAD_OK) {
		hang_up(conn, head_refusal(conn->verdict).reason);
		return;
	}
	fprintf(story, "%d %.*s 1.%u %d %d\n", (int)head->method, (int)head->target.length,
		head->target.data, head->minor, head->keep_alive, head->expect_continue);
	reading = head->method == METHOD_PUT || head->method == METHOD_POST;
	if (!reading)
		next(conn);
}

/* Takes the stand-in off the input: evhttp never sees anything else. */
static void
take_stand_in(void)
{
	struct evbuffer *input = bufferevent_get_input(bev);
	struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
	char begin[16] = "";

	evbuffer_copyout(input, begin, sizeof(begin) - 1);
	CHECK(strncmp(begin, "GET / HTTP/1.", 13) == 0 ||
	      strncmp(begin, "HEAD / HTTP/1.", 14) == 0);
	CHECK(end.pos > 0 && end.pos < 60);
	evbuffer_drain(input, (size_t)end.pos + 4);
}

static void
be_evhttp(struct conn *conn)
{
	while (conn->state == CONN_BUSY) {
		if (!reading) {
			take_stand_in();
			answer(conn);
		}
		if (reading)
			read_body(conn);
		if (reading)
			break; /* for more bytes */
	}
	/* Else evhttp would see it. */
	CHECK(conn->state != CONN_HEAD || evbuffer_get_length(bufferevent_get_input(bev)) <= 1);
}

/* What becomes of DATA when it comes STRIDE bytes at a time, or faster if it is EAGER. */
static char *
tell(const uint8_t *data, size_t length, size_t stride, bool eager)
{
	struct conn conn = {.bev = bev, .state = CONN_HEAD};
	struct evbuffer *input = bufferevent_get_input(bev);
	struct evbuffer_cb_entry *entry = evbuffer_add_cb(input, framer_input, &conn);
	char *text = NULL;
	size_t size = 0;

	story = open_memstream(&text, &size);
	CHECK(story != NULL && entry != NULL);
	reading = false;
	source.data = data;
	source.length = length;
	source.stride = stride;
	source.eager = eager;
	while (source.length > 0 && conn.state != CONN_LINGER) {
		feed();
		be_evhttp(&conn);
	}
	if (conn.state == CONN_HEAD && conn.deadline_ms != 0) {
		framer_refuse(&conn, HEAD_SLOW);
		be_evhttp(&conn);
	}
	CHECK(evbuffer_remove_cb_entry(input, entry) == 0);
	evbuffer_drain(input, evbuffer_get_length(input));
	free(conn.text);
	CHECK(fclose(story) == 0);
	return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	static const size_t strides[] = {1, 2, 5, 100};
	static struct event_base *base;
	char *whole;

	if (base == NULL) {
		base = event_base_new();
		CHECK(base != NULL);
		bev = bufferevent_socket_new(base, -1, 0);
		CHECK(bev != NULL);
		/* A bufferevent lets nobody else add to its input. */
		CHECK(evbuffer_unfreeze(bufferevent_get_input(bev), 0) == 0);
	}
	whole = tell(data, length, length + 1, false);
	for (size_t i = 0; i < 2 * sizeof(strides) / sizeof(strides[0]); i++) {
		char *cut = tell(data, length, strides[i / 2], i % 2 != 0);

		CHECK(strcmp(whole, cut) == 0);
		free(cut);
	}
	free(whole);
	return 0;
}
