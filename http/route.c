#include "http/route.h"

#include <errno.h>
#include <string.h>

#include "base/metrics.h"
#include "http/admin.h"
#include "http/conn.h"
#include "http/fetch.h"
#include "http/gate.h"
#include "http/ingest.h"
#include "http/list.h"
#include "http/path.h"
#include "http/remove.h"
#include "http/reload.h"
#include "http/reply.h"

#define MEDIA_METHODS "GET, HEAD, PUT, POST, DELETE, LIST, OPTIONS"

static void
count_request(enum method method)
{
	static const enum metric metrics[] = {
		[METHOD_GET] = METRIC_requests_get,       [METHOD_HEAD] = METRIC_requests_head,
		[METHOD_PUT] = METRIC_requests_put,       [METHOD_POST] = METRIC_requests_put,
		[METHOD_DELETE] = METRIC_requests_delete, [METHOD_LIST] = METRIC_requests_list,
		[METHOD_OPTIONS] = METRIC_requests_other,
	};

	metric_add(metrics[method], 1);
}

static void
refuse_head(struct conn *conn)
{
	struct head_refusal refusal = head_refusal(conn->verdict);

	metric_add(METRIC_heads_refused_total, 1);
	if (conn->verdict == HEAD_BODY_FRAMING || conn->verdict == HEAD_BODY_TOO_LONG) {
		/* The request that this body belonged to has its reply already. */
		conn->lingering_close = true;
		conn_cut(conn);
		return;
	}
	reply_text(conn, refusal.code, refusal.reason);
}

/* Also the answer to a CORS preflight (Fetch standard, section 3.2). */
static void
answer_options(struct conn *conn)
{
	reply_header(conn, "Allow", MEDIA_METHODS);
	reply_header(conn, "Access-Control-Allow-Methods", "GET, HEAD, OPTIONS");
	/* "*" does not stand for Authorization. */
	reply_header_format(conn, "Access-Control-Allow-Headers", "%s%s",
			    rules_limit_reads(conn->worker->settings->rules) ? "Authorization, "
									     : "",
			    "*, Range, If-None-Match, If-Modified-Since, "
			    "If-Range, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status");
	reply_header(conn, "Access-Control-Max-Age", "86400");
	reply_empty(conn, 204);
}

static void
read_media(struct conn *conn, const char *name, struct slice query)
{
	if (conn->head.method == METHOD_GET && reload_is_asked(query))
		reload_start(conn, name, query);
	else
		fetch_start(conn, name);
}

static void
write_media(struct conn *conn, const char *name, struct slice query)
{
	(void)query;
	ingest_start(conn, name);
}

static void
delete_media(struct conn *conn, const char *name, struct slice query)
{
	(void)query;
	remove_start(conn, name);
}

static void
dispatch_media(struct conn *conn, const char *name, struct slice query)
{
	bool is_root = strcmp(name, "/") == 0;

	switch (conn->head.method) {
	case METHOD_GET:
	case METHOD_HEAD:
		if (is_root)
			reply_text(conn, 404, "no object has the path /");
		else
			gate_pass(conn, GRANT_READ, name, query, read_media);
		return;
	case METHOD_PUT:
	case METHOD_POST:
		if (is_root)
			reply_text(conn, 400, "no object can have the path /");
		else
			gate_pass(conn, GRANT_WRITE, name, query, write_media);
		return;
	case METHOD_DELETE:
		if (is_root)
			reply_text(conn, 404, "no object has the path /");
		else
			gate_pass(conn, GRANT_DELETE, name, query, delete_media);
		return;
	case METHOD_LIST:
		gate_pass(conn, GRANT_LIST, name, query, list_start);
		return;
	case METHOD_OPTIONS:
		answer_options(conn);
		return;
	}
}

void
route_request(struct conn *conn)
{
	char name[PATH_NAME_MAX + 1];
	struct slice path, query;
	int rc;

	if (conn->verdict != HEAD_OK) {
		refuse_head(conn);
		return;
	}
	count_request(conn->head.method);
	if (conn->head.method == METHOD_OPTIONS && slice_is(conn->head.target, "*")) {
		answer_options(conn);
		return;
	}
	rc = path_split(conn->head.target, &path, &query);
	if (rc == 0)
		rc = path_decode(path, name);
	if (rc == -ENAMETOOLONG)
		reply_text(conn, 414, "the path is longer than 1024 bytes");
	else if (rc != 0)
		reply_text(conn, 400,
			   "malformed path: a bad escape, a control byte or a dot segment");
	else if (conn->admin)
		gate_pass(conn, GRANT_ADMIN, name, query, admin_request);
	else
		dispatch_media(conn, name, query);
}
