#include "http/direct.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "http/date.h"
#include "http/framer.h"
#include "http/route.h"
#include "http/transport.h"

#define BODY_RUNS 14 /* pieces of a body that one sendmsg takes */

bool
direct_is_possible(const struct conn *conn)
{
	return conn->evcon != NULL && !conn->completing && conn->verdict == HEAD_OK &&
	       !conn->admin &&
	       (conn->head.method == METHOD_GET || conn->head.method == METHOD_HEAD) &&
	       conn->head.minor > 0 && body_done(&conn->body) &&
	       evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0;
}

void
direct_begin(struct conn *conn)
{
	conn->direct = true;
	conn->worker->fields_length = 0;
	conn_begin_reply(conn);
	route_request(conn);
}

bool
direct_field(struct conn *conn, const char *name, const char *value)
{
	struct worker *worker = conn->worker;
	size_t name_length = strlen(name), value_length = strlen(value);
	char *at = worker->fields + worker->fields_length;

	/* Two bytes stay free for the empty line that ends the head. */
	if (name_length + value_length + 6 > WORKER_FIELDS - worker->fields_length)
		return false;
	at = mempcpy(at, name, name_length);
	at = mempcpy(at, ": ", 2);
	at = mempcpy(at, value, value_length);
	at = mempcpy(at, "\r\n", 2);
	worker->fields_length = (size_t)(at - worker->fields);
	return true;
}

/* Takes the next field off *AT, which is the worker's buffer. False at its end. */
static bool
next_field(struct worker *worker, size_t *at, char **name, char **value)
{
	char *colon, *end;

	if (*at == worker->fields_length)
		return false;
	*name = worker->fields + *at;
	colon = memchr(*name, ':', worker->fields_length - *at);
	end = memchr(*name, '\r', worker->fields_length - *at);
	CHECK(colon != NULL && end > colon);
	*value = colon + 2;
	*colon = *end = '\0';
	*at = (size_t)(end - worker->fields) + 2;
	return true;
}

bool
direct_has_field(const struct conn *conn, const char *name)
{
	const char *at = conn->worker->fields, *end = at + conn->worker->fields_length;
	size_t length = strlen(name);

	for (; at < end; at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1)
		if (strncmp(at, name, length) == 0 && at[length] == ':')
			return true;
	return false;
}

void
direct_forget_fields(struct conn *conn)
{
	conn->worker->fields_length = 0;
}

void
direct_hand_over(struct conn *conn)
{
	struct worker *worker = conn->worker;
	struct evkeyvalq *headers;
	size_t at = 0;
	char *name, *value;

	CHECK(conn->direct && conn->evreq == NULL);
	framer_hand_over(conn);
	/* evhttp parses what the framer put into the input, and calls conn_begin. */
	bufferevent_trigger(conn->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
	CHECK(conn->evreq != NULL);
	conn->direct = false;
	headers = evhttp_request_get_output_headers(conn->evreq);
	while (next_field(worker, &at, &name, &value))
		evhttp_add_header(headers, name, value);
}

/* The status line and the date, which is formatted once a second. The length of what is in LINE. */
static size_t
format_line(struct worker *worker, int code, const char *phrase, char line[DIRECT_LINE_MAX])
{
	int64_t now = clock_wall_ms() / 1000;
	char *at;

	if (now != worker->date_s) {
		worker->date_s = now;
		date_format(now, worker->date);
	}
	at = stpcpy(line, "HTTP/1.1 ");
	*at++ = (char)('0' + code / 100);
	*at++ = (char)('0' + code / 10 % 10);
	*at++ = (char)('0' + code % 10);
	*at++ = ' ';
	at = stpcpy(stpcpy(at, phrase), "\r\nDate: ");
	at = stpcpy(stpcpy(at, worker->date), "\r\n");
	return (size_t)(at - line);
}

void
direct_start(struct conn *conn, int code, const char *phrase, struct direct_head *head)
{
	struct worker *worker = conn->worker;

	CHECK(conn->direct);
	conn->direct = false;
	memcpy(worker->fields + worker->fields_length, "\r\n", 2);
	head->pieces[0].iov_base = head->line;
	head->pieces[0].iov_len = format_line(worker, code, phrase, head->line);
	head->pieces[1].iov_base = worker->fields;
	head->pieces[1].iov_len = worker->fields_length + 2;
}

/* For what the framer gave to evhttp, if it did. */
static void
tell_evhttp(struct conn *conn)
{
	if (evbuffer_get_length(bufferevent_get_input(conn->bev)) > 0)
		bufferevent_trigger(conn->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	struct iovec scratch = {conn->worker->scratch, WORKER_SCRATCH};
	ssize_t n = (what & EV_READ) != 0 ? transport_read(conn, &scratch, 1) : -ETIMEDOUT;
	int rc;

	(void)fd;
	if (n == -EAGAIN)
		return;
	if (n < 0) {
		conn_cut(conn);
		return;
	}
	evbuffer_unfreeze(input, 0);
	rc = evbuffer_add(input, scratch.iov_base, (size_t)n); /* for the framer, which is called */
	evbuffer_freeze(input, 0);
	if (rc != 0)
		conn_cut(conn);
	else
		tell_evhttp(conn);
}

/* Heads are read here from now on, and no more by the bufferevent. */
static void
start_reading(struct conn *conn)
{
	struct timeval idle = worker_timeval(conn->worker->settings->ingest_idle_ms);

	if (conn->heads == NULL)
		conn->heads = event_new(conn->worker->base, conn_fd(conn), EV_READ | EV_PERSIST,
					on_readable, conn);
	/* In this order epoll need not be told. */
	if (conn->heads != NULL && event_add(conn->heads, &idle) == 0)
		bufferevent_disable(conn->bev, EV_READ);
	else
		bufferevent_enable(conn->bev, EV_READ);
}

void
direct_stop_reading(struct conn *conn)
{
	if (conn->heads == NULL)
		return;
	bufferevent_enable(conn->bev, EV_READ); /* first, as above */
	event_free(conn->heads);
	conn->heads = NULL;
}

void
direct_pause(struct conn *conn)
{
	bufferevent_event_cb eventcb;
	void *arg;

	CHECK(!conn->paused);
	conn->paused = true;
	bufferevent_getcb(conn->bev, &conn->paused_readcb, NULL, &eventcb, &arg);
	bufferevent_setcb(conn->bev, NULL, NULL, eventcb, arg);
	bufferevent_disable(conn->bev, EV_READ);
	if (conn->heads != NULL)
		event_del(conn->heads);
}

void
direct_end(struct conn *conn)
{
	bufferevent_event_cb eventcb;
	void *arg;

	if (!conn->paused) {
		if (conn->heads == NULL && conn->ssl == NULL)
			start_reading(conn);
		conn_next(conn);
		return;
	}
	conn->paused = false;
	bufferevent_getcb(conn->bev, NULL, NULL, &eventcb, &arg);
	bufferevent_setcb(conn->bev, conn->paused_readcb, NULL, eventcb, arg);
	if (conn->ssl == NULL)
		start_reading(conn);
	else
		bufferevent_enable(conn->bev, EV_READ);
	conn_next(conn);
	tell_evhttp(conn);
}

/* What a reply is short of, since the client's socket did not take it at once. */
struct rest {
	struct conn *conn;
	struct evbuffer *bytes;
	struct event *writable;
};

static void
free_rest(struct rest *rest)
{
	if (rest->writable != NULL)
		event_free(rest->writable);
	if (rest->bytes != NULL)
		evbuffer_free(rest->bytes);
	free(rest);
}

static void
on_gone(void *handler)
{
	free_rest(handler);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct rest *rest = arg;
	struct conn *conn = rest->conn;
	ssize_t n = -EPIPE;

	(void)fd;
	if ((what & EV_TIMEOUT) == 0)
		n = transport_send_buffer(conn, rest->bytes);
	if (n == -EPIPE) {
		free_rest(rest);
		conn_cut(conn);
		return;
	}
	if (evbuffer_get_length(rest->bytes) > 0) {
		struct timeval timeout = worker_timeval(conn->worker->settings->send_timeout_ms);

		event_add(rest->writable, &timeout);
		return;
	}
	free_rest(rest);
	conn_detach(conn);
	direct_end(conn);
}

/* Sends what is left of a reply, of whose head and body SENT bytes went out, when the socket can take it. */
static void
send_later(struct conn *conn, const struct direct_head *head, struct evbuffer *body, size_t sent)
{
	struct timeval timeout = worker_timeval(conn->worker->settings->send_timeout_ms);
	struct rest *rest = calloc(1, sizeof(*rest));
	bool ok = rest != NULL;

	if (ok) {
		rest->conn = conn;
		rest->bytes = evbuffer_new();
		rest->writable =
			event_new(conn->worker->base, conn_fd(conn), EV_WRITE, on_writable, rest);
		ok = rest->bytes != NULL && rest->writable != NULL;
	}
	for (unsigned i = 0; ok && i < DIRECT_HEAD_PIECES; i++)
		ok = evbuffer_add(rest->bytes, head->pieces[i].iov_base, head->pieces[i].iov_len) ==
		     0;
	ok = ok && (body == NULL || evbuffer_add_buffer(rest->bytes, body) == 0) &&
	     evbuffer_drain(rest->bytes, sent) == 0 && event_add(rest->writable, &timeout) == 0;
	if (!ok) {
		if (rest != NULL)
			free_rest(rest);
		conn_cut(conn);
		return;
	}
	conn_attach(conn, on_gone, rest);
}

/* The pieces of HEAD and of BODY, which may be NULL. The number of them. */
static int
gather(const struct direct_head *head, struct evbuffer *body,
       struct iovec iov[DIRECT_HEAD_PIECES + BODY_RUNS])
{
	int runs = body != NULL ? evbuffer_peek(body, -1, NULL, iov + DIRECT_HEAD_PIECES, BODY_RUNS)
				: 0;

	memcpy(iov, head->pieces, sizeof(head->pieces));
	return DIRECT_HEAD_PIECES + (runs < BODY_RUNS ? runs : BODY_RUNS);
}

void
direct_reply(struct conn *conn, int code, const char *phrase, struct evbuffer *body)
{
	struct iovec iov[DIRECT_HEAD_PIECES + BODY_RUNS];
	struct direct_head head;
	size_t all;
	ssize_t n;

	direct_start(conn, code, phrase, &head);
	all = head.pieces[0].iov_len + head.pieces[1].iov_len +
	      (body != NULL ? evbuffer_get_length(body) : 0);
	n = transport_send(conn, iov, gather(&head, body, iov));
	if (n == -EPIPE)
		conn_cut(conn);
	else if (n < 0 || (size_t)n < all)
		send_later(conn, &head, body, n < 0 ? 0 : (size_t)n);
	else
		direct_end(conn);
}
