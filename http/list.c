#include "http/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "http/paging.h"
#include "http/reply.h"
#include "http/row.h"
#include "storage/listing.h"
#include "storage/store.h"

enum list_state {
	LIST_PAGING,
	LIST_SENDING,
	LIST_ORPHAN, /* the connection is gone; waits for the page */
};

enum list_event { LIST_PAGE, LIST_DRAINED, LIST_GONE };

struct list {
	struct conn *conn; /* NULL when ORPHAN */
	struct worker *worker;
	enum list_state state;
	bool ndjson;
	bool head_sent;
	uint64_t left; /* rows that may still be sent */
	struct listing *listing;
	struct listing_page page;
};

static void step(struct list *list, enum list_event event);

static void
release(struct list *list)
{
	listing_close(&list->listing);
	free(list);
}

static void
next_page(struct list *list)
{
	list->state = LIST_PAGING;
	list->worker->letters++;
	listing_next(list->listing, &list->page);
}

static void
on_drained(void *handler)
{
	step(handler, LIST_DRAINED);
}

static void
add_headers(struct list *list)
{
	reply_header(list->conn, "Content-Type",
		     list->ndjson ? "application/x-ndjson" : "text/plain; charset=utf-8");
	reply_header(list->conn, "Cache-Control", "no-store");
}

static int
format_page(struct list *list, struct evbuffer *out)
{
	for (size_t i = 0; i < list->page.count && list->left > 0; i++, list->left--) {
		const struct listing_row *row = &list->page.rows[i];
		int rc = list->ndjson ? row_ndjson(row, out) : row_text(row, out);

		if (rc != 0)
			return rc;
	}
	return 0;
}

/* The list can't be had to its end: an error if nothing was sent, else a cut. */
static void
fail(struct list *list)
{
	struct conn *conn = list->conn;
	bool head_sent = list->head_sent;

	release(list);
	if (head_sent)
		conn_cut_reader(conn);
	else
		reply_text(conn, 503, "the catalog can't be read");
}

static void
send_page(struct list *list)
{
	struct conn *conn = list->conn;
	struct evbuffer *out = evbuffer_new();
	bool last;

	if (list->page.result != 0 || out == NULL || format_page(list, out) != 0) {
		if (out != NULL)
			evbuffer_free(out);
		fail(list);
		return;
	}
	last = list->page.last || list->page.count == 0 || list->left == 0;
	if (!list->head_sent) {
		add_headers(list);
		reply_start(conn, 200);
	}
	list->head_sent = true;
	list->state = LIST_SENDING;
	if (evbuffer_get_length(out) > 0)
		reply_chunk(conn, out, last ? NULL : on_drained);
	evbuffer_free(out);
	if (last) {
		release(list);
		reply_end(conn);
	}
}

static void
step(struct list *list, enum list_event event)
{
	switch (list->state) {
	case LIST_PAGING:
		CHECK(event != LIST_DRAINED);
		if (event == LIST_PAGE) {
			send_page(list);
		} else {
			list->state = LIST_ORPHAN;
			list->conn = NULL;
		}
		return;
	case LIST_SENDING:
		CHECK(event != LIST_PAGE);
		if (event == LIST_DRAINED)
			next_page(list);
		else
			release(list);
		return;
	case LIST_ORPHAN:
		CHECK(event == LIST_PAGE);
		release(list);
		return;
	}
}

static void
on_page(struct letter *letter)
{
	struct list *list = (struct list *)((char *)letter - offsetof(struct list, page.letter));

	list->worker->letters--;
	step(list, LIST_PAGE);
}

static void
on_gone(void *handler)
{
	step(handler, LIST_GONE);
}

void
list_start(struct conn *conn, const char *prefix, struct slice query)
{
	struct list *list;
	struct paging paging;
	const char *why = "out of memory";
	int rc = -ENOMEM;

	if (store_is_in_doubt(conn->worker->store)) {
		reply_text(conn, 503, "the catalog is damaged: paths may be missing");
		return;
	}
	list = calloc(1, sizeof(*list));
	if (list != NULL)
		rc = paging_read(&conn->head, query, &paging, &why);
	if (rc == 0)
		rc = listing_open(conn->worker->store, prefix,
				  paging.has_after ? paging.after : NULL, &list->listing);
	if (rc != 0) {
		free(list);
		reply_text(conn, rc == -EINVAL ? 400 : 503, why);
		return;
	}
	list->conn = conn;
	list->worker = conn->worker;
	list->ndjson = paging.ndjson;
	list->left = paging.limit;
	if (conn->head.method == METHOD_HEAD) {
		add_headers(list);
		release(list);
		reply_empty(conn, 200);
		return;
	}
	list->page.mailbox = &conn->worker->mailbox;
	list->page.letter.deliver = on_page;
	conn_attach(conn, on_gone, list);
	next_page(list);
}
