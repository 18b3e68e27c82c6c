#include "http/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "http/direct.h"
#include "http/tls.h"
#include "http/transport.h"

/* A body of a known length that is refused is read to its end up to this, so that the connection can
 * be kept; beyond it closing is cheaper. */
#define UNWANTED_BODY_MAX ((uint64_t)4 << 20)

static const struct {
	int code;
	const char *phrase;
} phrases[] = {
	{200, "OK"},
	{201, "Created"},
	{204, "No Content"},
	{206, "Partial Content"},
	{304, "Not Modified"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{410, "Gone"},
	{412, "Precondition Failed"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Range Not Satisfiable"},
	{417, "Expectation Failed"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{503, "Service Unavailable"},
	{505, "HTTP Version Not Supported"},
	{507, "Insufficient Storage"},
};

static const char *
phrase(int code)
{
	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
		if (phrases[i].code == code)
			return phrases[i].phrase;
	}
	CHECK(code == 0); /* a code without a phrase */
	return "";
}

static struct evkeyvalq *
output_headers(struct conn *conn)
{
	return evhttp_request_get_output_headers(conn->evreq);
}

void
reply_header(struct conn *conn, const char *name, const char *value)
{
	if (conn->direct && !direct_field(conn, name, value))
		direct_hand_over(conn);
	if (!conn->direct)
		evhttp_add_header(output_headers(conn), name, value);
}

static bool
has_header(struct conn *conn, const char *name)
{
	return conn->direct ? direct_has_field(conn, name)
			    : evhttp_find_header(output_headers(conn), name) != NULL;
}

void
reply_header_number(struct conn *conn, const char *name, uint64_t value)
{
	char text[24], *at = text + sizeof(text);

	/* Without printf: most replies have a length. */
	*--at = '\0';
	do
		*--at = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	reply_header(conn, name, at);
}

void
reply_header_format(struct conn *conn, const char *name, const char *format, ...)
{
	char value[256];
	va_list args;

	va_start(args, format);
	vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	reply_header(conn, name, value);
}

void
reply_forget_headers(struct conn *conn)
{
	if (conn->direct)
		direct_forget_fields(conn);
	else
		evhttp_clear_headers(output_headers(conn));
}

static bool
is_read(const struct conn *conn)
{
	if (conn->verdict != HEAD_OK)
		return false;
	switch (conn->head.method) {
	case METHOD_GET:
	case METHOD_HEAD:
	case METHOD_LIST:
	case METHOD_OPTIONS:
		return true;
	case METHOD_PUT:
	case METHOD_POST:
	case METHOD_DELETE:
		break;
	}
	return false;
}

static bool
is_head(const struct conn *conn)
{
	return conn->verdict == HEAD_OK && conn->head.method == METHOD_HEAD;
}

static bool
must_close(const struct conn *conn)
{
	if (conn->verdict != HEAD_OK || conn->body_broken || !conn->head.keep_alive ||
	    conn->worker->draining)
		return true;
	if (body_done(&conn->body))
		return false;
	/* Who waits for 100 and gets this instead may send the body or leave it. */
	return conn->continue_due || (!conn->body.chunked && conn->body.left > UNWANTED_BODY_MAX);
}

/* The counters of one method stand in the order of phrases. */
#define PER_METHOD (METRIC_replies_HEAD_200 - METRIC_replies_GET_200)
_Static_assert(PER_METHOD == sizeof(phrases) / sizeof(phrases[0]), "a counter for each status");

static void
count(struct conn *conn, int code)
{
	static const unsigned columns[] = {
		[METHOD_GET] = 0,    [METHOD_HEAD] = 1, [METHOD_PUT] = 2,     [METHOD_POST] = 2,
		[METHOD_DELETE] = 3, [METHOD_LIST] = 4, [METHOD_OPTIONS] = 5,
	};
	unsigned column = conn->verdict == HEAD_OK ? columns[conn->head.method] : 5, row = 0;

	while (phrases[row].code != code)
		row++;
	metric_add(METRIC_replies_GET_200 + column * PER_METHOD + row, 1);
	conn->access.status = code;
	conn->access.first_us = clock_mono_us();
	metric_observe(HISTOGRAM_first_byte, conn->access.first_us - conn->begun_us);
}

/* What every reply has, and whether it is the connection's last. */
static void
prepare(struct conn *conn, int code)
{
	count(conn, code);
	if (conn->ssl != NULL && !conn->has_ticket && body_done(&conn->body)) {
		tls_give_ticket(conn->ssl);
		conn->has_ticket = true;
	}
	if (is_read(conn) && !conn->admin) {
		reply_header(conn, "Access-Control-Allow-Origin", "*");
		reply_header(conn, "Access-Control-Expose-Headers",
			     "Date, ETag, Content-Range, Content-Length, Age, CMSD-Static, "
			     "CMSD-Dynamic");
	}
	conn->close_after = conn->close_after || must_close(conn);
	if (!conn->close_after)
		return;
	if (conn->direct)
		direct_hand_over(conn);
	/* Bytes that nobody reads would make the close a reset. */
	conn->lingering_close = conn->verdict != HEAD_OK || conn->body_broken ||
				!body_done(&conn->body) ||
				evbuffer_get_length(bufferevent_get_input(conn->bev)) > 0;
	/* evhttp would answer the keep-alive of an HTTP/1.0 client with one of its own. */
	evhttp_remove_header(evhttp_request_get_input_headers(conn->evreq), "Connection");
	reply_header(conn, "Connection", "close");
}

/* After evhttp queued something: it switched reading on. What a client sends during a reply stays in
 * its socket, and one that shut down its sending side still gets its reply. */
static void
queued(struct conn *conn)
{
	bufferevent_disable(conn->bev, EV_READ);
	transport_queued(conn);
}

static void
complete(struct conn *conn)
{
	conn_detach(conn);
	conn->replied = true;
}

void
reply_continue(struct conn *conn)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (!conn->continue_due)
		return;
	conn->continue_due = false;
	transport_say(conn, text, sizeof(text) - 1);
}

/* All of a reply at once; BODY may be NULL. */
static void
send_reply(struct conn *conn, int code, struct evbuffer *body)
{
	complete(conn);
	if (body != NULL)
		conn->access.sent += evbuffer_get_length(body);
	if (conn->direct) {
		direct_reply(conn, code, phrase(code), body);
		return;
	}
	evhttp_send_reply(conn->evreq, code, phrase(code), body);
	queued(conn);
}

void
reply_empty(struct conn *conn, int code)
{
	prepare(conn, code);
	send_reply(conn, code, NULL);
}

void
reply_buffer(struct conn *conn, int code, struct evbuffer *body)
{
	prepare(conn, code);
	if (!has_header(conn, "Content-Length"))
		reply_header_number(conn, "Content-Length", evbuffer_get_length(body));
	send_reply(conn, code, is_head(conn) ? NULL : body);
}

void
reply_text(struct conn *conn, int code, const char *reason)
{
	struct evbuffer *body = evbuffer_new();

	if (body == NULL || evbuffer_add_printf(body, "%s\n", reason) < 0) {
		if (body != NULL)
			evbuffer_free(body);
		reply_header(conn, "Content-Length", "0");
		reply_empty(conn, code);
		return;
	}
	reply_header(conn, "Content-Type", "text/plain; charset=utf-8");
	if (code >= 400)
		reply_header(conn, "Cache-Control", "no-store");
	reply_buffer(conn, code, body);
	evbuffer_free(body);
}

void
reply_start(struct conn *conn, int code)
{
	if (conn->head.minor == 0 && !has_header(conn, "Content-Length"))
		conn->close_after = true; /* the close is its only way to see the end */
	prepare(conn, code);
	evhttp_send_reply_start(conn->evreq, code, phrase(code));
	queued(conn);
}

/* evhttp's way of saying that the output is empty; ARG is the connection. */
static void
on_drained(struct evhttp_connection *evcon, void *arg)
{
	struct conn *conn = arg;
	void (*drained)(void *) = conn->drained;

	(void)evcon;
	conn->drained = NULL;
	if (drained != NULL)
		drained(conn->handler);
}

void
reply_chunk(struct conn *conn, struct evbuffer *part, void (*drained)(void *handler))
{
	conn->drained = drained;
	conn->access.sent += evbuffer_get_length(part);
	evhttp_send_reply_chunk_with_cb(conn->evreq, part, on_drained, conn);
	queued(conn);
}

void
reply_end(struct conn *conn)
{
	conn->drained = NULL;
	complete(conn);
	if (conn->evreq == NULL) {
		direct_end(conn);
		return;
	}
	/* This may end the connection: without chunks and with nothing queued. */
	evhttp_send_reply_end(conn->evreq);
	transport_queued(conn);
}

void
reply_body_start(struct conn *conn, int code, struct direct_head *head)
{
	prepare(conn, code);
	memset(head->pieces, 0, sizeof(head->pieces));
	if (conn->direct) {
		direct_start(conn, code, phrase(code), head);
		return;
	}
	evhttp_send_reply_start(conn->evreq, code, phrase(code));
	queued(conn);
}

void
reply_live_start(struct conn *conn, int code)
{
	if (conn->head.minor == 0)
		conn->close_after = true;
	prepare(conn, code);
	evhttp_send_reply_start(conn->evreq, code, phrase(code));
	transport_queued(conn);
	/* It waits in silence for as long as the writer does. */
	conn_watch(conn);
}
