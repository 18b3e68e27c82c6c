#include "http/access.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/spool.h"
#include "http/access_line.h"
#include "http/conn.h"

static const char *
method_name(const struct conn *conn)
{
	static const char *const names[] = {
		[METHOD_GET] = "GET",         [METHOD_HEAD] = "HEAD",     [METHOD_PUT] = "PUT",
		[METHOD_POST] = "POST",       [METHOD_DELETE] = "DELETE", [METHOD_LIST] = "LIST",
		[METHOD_OPTIONS] = "OPTIONS",
	};

	return conn->verdict == HEAD_OK ? names[conn->head.method] : "-";
}

void
access_begin(struct conn *conn)
{
	conn->access = (struct access){.open = true, .object = "-"};
}

void
access_user(struct conn *conn, const char *name)
{
	if (conn->worker->access_log == NULL || name == NULL || !conn->access.open)
		return;
	free(conn->access.user);
	conn->access.user = strdup(name); /* without memory the line has none */
}

/* What of the body is still queued when the connection ends did not get out. */
static uint64_t
sent(struct conn *conn, bool whole)
{
	uint64_t left = whole ? 0 : evbuffer_get_length(bufferevent_get_output(conn->bev));

	return conn->access.sent > left ? conn->access.sent - left : 0;
}

static void
write_line(struct conn *conn, bool whole)
{
	const struct worker *worker = conn->worker;
	const struct access *access = &conn->access;
	int64_t now_us;
	struct access_entry entry;
	char line[ACCESS_LINE_MAX], *peer = NULL;
	const char *user = access->user != NULL ? access->user : conn_client_certificate(conn);
	ev_uint16_t port;

	now_us = clock_mono_us();
	if (conn->evcon != NULL)
		evhttp_connection_get_peer(conn->evcon, &peer, &port);
	entry = (struct access_entry){
		.time_ms = clock_wall_ms() - (now_us - conn->begun_us) / 1000,
		.peer = peer != NULL ? peer : "-",
		.user = slice_of(user != NULL ? user : ""),
		.method = method_name(conn),
		.minor = 1,
		.status = access->status,
		.sent = sent(conn, whole),
		.received = access->received,
		.duration_us = now_us - conn->begun_us,
		.first_us = (access->first_us != 0 ? access->first_us : now_us) - conn->begun_us,
		.object = access->object,
		.whole = whole,
	};
	if (conn->verdict == HEAD_OK) {
		entry.target = conn->head.target;
		entry.minor = conn->head.minor;
		head_find(&conn->head, "referer", &entry.referer);
		head_find(&conn->head, "user-agent", &entry.agent);
	}
	spool_put(worker->access_log, worker->index, line,
		  access_line(worker->access_format, &entry, line));
}

void
access_end(struct conn *conn, bool whole)
{
	if (!conn->access.open)
		return;
	conn->access.open = false;
	if (conn->worker->access_log != NULL)
		write_line(conn, whole);
	free(conn->access.user);
	conn->access.user = NULL;
}
