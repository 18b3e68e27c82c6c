#include "http/admin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/metrics.h"
#include "http/list.h"
#include "http/path.h"
#include "http/purge.h"
#include "http/reply.h"
#include "http/status.h"
#include "storage/store.h"

#define SCRIPTS "/status/"

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
	status_add_metrics(conn->worker->store, out);
	reply_header(conn, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
	reply_header(conn, "Cache-Control", "no-store");
	reply_buffer(conn, 200, out);
	evbuffer_free(out);
}

/* The prefix that QUERY names, or EVERYTHING if it names none. False when the answer was given. */
static bool
find_prefix(struct conn *conn, struct slice query, const char *everything,
	    char prefix[PATH_NAME_MAX + 1])
{
	int rc = path_query(query, "prefix", prefix, PATH_NAME_MAX + 1);

	if (rc == -ENOENT && everything != NULL) {
		snprintf(prefix, PATH_NAME_MAX + 1, "%s", everything);
		return true;
	}
	if (rc == 0 && prefix[0] == '/')
		return true;
	reply_text(conn, 400, "prefix is a path that begins with /");
	return false;
}

static void
list(struct conn *conn, struct slice query)
{
	char prefix[PATH_NAME_MAX + 1];

	if (find_prefix(conn, query, "/", prefix))
		list_start(conn, prefix, query);
}

/* Nobody deletes everything by leaving something out. */
static void
purge(struct conn *conn, struct slice query)
{
	char prefix[PATH_NAME_MAX + 1];

	if (find_prefix(conn, query, NULL, prefix))
		purge_start(conn, prefix);
}

static void
status(struct conn *conn, struct slice query)
{
	(void)query;
	status_page(conn);
}

static void
status_data(struct conn *conn, struct slice query)
{
	(void)query;
	status_json(conn);
}

static const struct {
	const char *path;
	void (*get)(struct conn *conn, struct slice query);
	void (*delete)(struct conn *conn, struct slice query); /* or NULL */
} pages[] = {
	{"/healthz", healthz, NULL},         {"/readyz", readyz, NULL},
	{"/metrics", metrics, NULL},         {"/status", status, NULL},
	{"/status.json", status_data, NULL}, {"/list", list, purge},
};

void
admin_request(struct conn *conn, const char *path, struct slice query)
{
	if (conn->head.method == METHOD_GET && strncmp(path, SCRIPTS, strlen(SCRIPTS)) == 0) {
		status_script(conn, path + strlen(SCRIPTS));
		return;
	}
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (strcmp(pages[i].path, path) != 0)
			continue;
		if (conn->head.method == METHOD_GET || conn->head.method == METHOD_HEAD) {
			pages[i].get(conn, query);
		} else if (conn->head.method == METHOD_DELETE && pages[i].delete != NULL) {
			pages[i].delete(conn, query);
		} else {
			reply_header(conn, "Allow",
				     pages[i].delete != NULL ? "GET, HEAD, DELETE" : "GET, HEAD");
			reply_text(conn, 405, "this method is not answered here");
		}
		return;
	}
	reply_text(conn, 404, "there is no such page");
}
