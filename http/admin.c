#include "http/admin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/metrics.h"
#include "http/list.h"
#include "http/path.h"
#include "http/reply.h"
#include "storage/store.h"

static void
healthz(struct conn *conn, struct slice query)
{
	(void)query;
	reply_text(conn, 200, "ok");
}

static void
readyz(struct conn *conn, struct slice query)
{
	char why[256];

	(void)query;
	if (conn->worker->draining)
		reply_text(conn, 503, "the server is stopping");
	else if (store_ready(conn->worker->store, why, sizeof(why)) != 0)
		reply_text(conn, 503, why);
	else
		reply_text(conn, 200, "ready");
}

static void
add_text(void *arg, const char *text, size_t length)
{
	evbuffer_add(arg, text, length);
}

static void
metrics(struct conn *conn, struct slice query)
{
	struct evbuffer *out = evbuffer_new();

	(void)query;
	if (out == NULL) {
		reply_text(conn, 503, "out of memory");
		return;
	}
	metrics_print(add_text, out);
	reply_header(conn, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
	reply_header(conn, "Cache-Control", "no-store");
	reply_buffer(conn, 200, out);
	evbuffer_free(out);
}

static void
list(struct conn *conn, struct slice query)
{
	char prefix[PATH_NAME_MAX + 1];
	int rc = path_query(query, "prefix", prefix, sizeof(prefix));

	if (rc == -ENOENT)
		snprintf(prefix, sizeof(prefix), "/");
	if ((rc != 0 && rc != -ENOENT) || prefix[0] != '/')
		reply_text(conn, 400, "prefix is a path that begins with /");
	else
		list_start(conn, prefix, query);
}

static const struct {
	const char *path;
	void (*answer)(struct conn *conn, struct slice query);
} pages[] = {
	{"/healthz", healthz},
	{"/readyz", readyz},
	{"/metrics", metrics},
	{"/list", list},
};

void
admin_request(struct conn *conn, const char *path, struct slice query)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (strcmp(pages[i].path, path) != 0)
			continue;
		if (conn->head.method == METHOD_GET || conn->head.method == METHOD_HEAD) {
			pages[i].answer(conn, query);
			return;
		}
		reply_header(conn, "Allow", "GET, HEAD");
		reply_text(conn, 405, "only GET and HEAD are answered here");
		return;
	}
	reply_text(conn, 404, "there is no such page");
}
