#include "http/framer.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "http/direct.h"
#include "http/transport.h"

/* An unwanted body that is longer than this is not worth keeping a connection for. */
#define SKIP_MAX ((uint64_t)256 << 20)

/* What evhttp is shown. It knows from it whether a reply has a body, its version and, for
 * HTTP/1.0, whether to keep the connection; everything else is ours. */
static const char *
stand_in(const struct conn *conn)
{
	static const char *const heads[2][3] = {
		{
			"GET / HTTP/1.1\r\n\r\n",
			"GET / HTTP/1.0\r\n\r\n",
			"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		},
		{
			"HEAD / HTTP/1.1\r\n\r\n",
			"HEAD / HTTP/1.0\r\n\r\n",
			"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		},
	};
	bool is_head = conn->verdict == HEAD_OK && conn->head.method == METHOD_HEAD;

	if (conn->verdict != HEAD_OK || conn->head.minor > 0)
		return heads[is_head][0];
	return heads[is_head][conn->head.keep_alive ? 2 : 1];
}

void
framer_hand_over(struct conn *conn)
{
	const char *text = stand_in(conn);

	direct_stop_reading(conn);
	evbuffer_prepend(bufferevent_get_input(conn->bev), text, strlen(text));
}

/* The head is complete, or refused: route it, or let evhttp do that. */
static void
dispatch(struct conn *conn, enum head_verdict verdict)
{
	conn->verdict = verdict;
	conn->begun_us = clock_mono_us();
	if (verdict == HEAD_OK)
		body_init(&conn->body, &conn->head);
	else
		body_init_empty(&conn->body);
	if (worker_set_conn(conn->worker, conn_fd(conn), conn) != 0)
		return; /* no memory even for that: the connection times out */
	conn_set_state(conn, CONN_BUSY);
	if (direct_is_possible(conn))
		direct_begin(conn);
	else
		framer_hand_over(conn);
}

/* Moves at most MAX bytes of the input behind the head's text so far. */
static enum head_verdict
collect(struct conn *conn, struct evbuffer *input, size_t max, size_t *added)
{
	size_t n = evbuffer_get_length(input);
	char *text;

	if (n > max)
		n = max;
	text = realloc(conn->text, conn->text_length + n);
	if (text == NULL)
		return HEAD_NO_MEMORY;
	conn->text = text;
	evbuffer_copyout(input, text + conn->text_length, n);
	conn->text_length += n;
	*added = n;
	return HEAD_OK;
}

/* RFC 9112 2.2: empty lines before the request line are ignored; some clients send one after a body.
 * True if a head begins behind them. Half an empty line stays in the input, which evhttp takes for
 * the beginning of a line too. */
static bool
skip_empty_lines(struct evbuffer *input)
{
	char two[2] = "";
	ev_ssize_t n;

	while ((n = evbuffer_copyout(input, two, 2)) == 2 && memcmp(two, "\r\n", 2) == 0)
		evbuffer_drain(input, 2);
	return n == 2 || (n == 1 && two[0] != '\r');
}

/* False if it could do nothing, or wants more. */
static bool
read_head(struct conn *conn, struct evbuffer *input)
{
	size_t before, added = 0, end = 0;
	enum head_verdict verdict;

	if (conn->text_length == 0 && !skip_empty_lines(input))
		return false;
	if (evbuffer_get_length(input) == 0)
		return false;
	if (conn->deadline_ms == 0)
		conn_expect_head(conn);
	before = conn->text_length;
	verdict = collect(conn, input, HEAD_MAX - before, &added);
	if (verdict == HEAD_OK)
		verdict = head_scan(conn->text, conn->text_length, &conn->scanned, &end);
	if (verdict == HEAD_MORE) {
		evbuffer_drain(input, added);
		return false;
	}
	if (verdict == HEAD_OK) {
		evbuffer_drain(input, end - before);
		verdict = head_parse(conn->text, end, &conn->head);
	}
	dispatch(conn, verdict);
	return true;
}

static void
skip_body(struct conn *conn, struct evbuffer *input)
{
	struct evbuffer_iovec run;

	while (!body_done(&conn->body) && evbuffer_get_length(input) > 0 &&
	       evbuffer_peek(input, -1, NULL, &run, 1) > 0) {
		ssize_t n = body_skip(&conn->body, run.iov_base, run.iov_len);

		if (n < 0) {
			dispatch(conn, HEAD_BODY_FRAMING);
			return;
		}
		evbuffer_drain(input, (size_t)n);
		conn->dropped += (uint64_t)n;
		if (conn->dropped > SKIP_MAX) {
			dispatch(conn, HEAD_BODY_TOO_LONG);
			return;
		}
	}
	if (body_done(&conn->body))
		conn_set_state(conn, CONN_HEAD);
}

void
framer_run(struct conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);

	if (conn->framing)
		return; /* our own draining and prepending */
	conn->framing = true;
	if (conn->state == CONN_SKIP)
		skip_body(conn, input);
	/* After a direct reply the next head may be there, and conn_next may have added to the input. */
	while (conn->state == CONN_HEAD && read_head(conn, input))
		;
	conn->framing = false;
}

void
framer_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct conn *conn = arg;

	(void)input;
	if (info->n_added == 0)
		return;
	framer_run(conn);
	transport_bound_input(conn);
}

void
framer_refuse(struct conn *conn, enum head_verdict verdict)
{
	CHECK(conn->state == CONN_HEAD);
	conn->framing = true;
	dispatch(conn, verdict);
	conn->framing = false;
	bufferevent_trigger(conn->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
}
