#include "http/purge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "http/reply.h"
#include "storage/listing.h"
#include "storage/store.h"

/* Someone may replace an object between lookup and deletion; this often in a row nobody does. */
#define TRIES_MAX 16

enum purge_event { PURGE_PAGE, PURGE_FOUND, PURGE_DELETED, PURGE_GONE };

/* One row on its way out. One letter is out while it is busy. */
struct purge_slot {
	struct purge *purge;
	const char *path; /* of the page */
	unsigned tries;
	struct store_load load;
	struct store_delete del;
};

struct purge {
	struct conn *conn; /* NULL once the connection is gone */
	struct worker *worker;
	struct listing *listing;
	uint64_t deleted; /* objects */
	int error;        /* 0, or why it ends early */
	size_t next;      /* row of the page */
	unsigned count;   /* of the slots that are busy */
	struct purge_slot slots[PURGE_SLOTS];
	struct listing_page page;
};

static void
finish(struct purge *purge)
{
	struct conn *conn = purge->conn;
	uint64_t deleted = purge->deleted;
	int error = purge->error;
	char text[80];

	listing_close(&purge->listing);
	free(purge);
	if (conn == NULL)
		return;
	snprintf(text, sizeof(text), error == 0 ? "%llu" : "gave up after %llu objects",
		 (unsigned long long)deleted);
	if (error == 0) {
		reply_header(conn, "Cache-Control", "no-store");
		reply_text(conn, 200, text);
	} else {
		reply_text(conn, error == -ENOSPC ? 507 : 503, text);
	}
}

static void
next_page(struct purge *purge)
{
	purge->next = 0;
	purge->worker->letters++;
	listing_next(purge->listing, &purge->page);
}

/* Takes away what is at SLOT's path; OBJECT, if RC is 0, was found there. True when a letter is out, false
 * when there is nothing (more) to do. */
static bool
advance(struct purge_slot *slot, int rc, struct object *object)
{
	struct purge *purge = slot->purge;
	struct store *store = purge->worker->store;

	while (rc == 0 && slot->tries++ < TRIES_MAX) {
		rc = store_delete(store, object, &slot->del);
		object_put(&object);
		if (rc == 0) {
			purge->worker->letters++;
			return true;
		}
		if (rc == -ENOENT)
			rc = store_find(store, slot->path, &object);
	}
	object_put(&object);
	if (rc == -EAGAIN) {
		purge->worker->letters++;
		store_load(&slot->load);
		return true;
	}
	if (rc != -ENOENT)
		purge->error = rc == 0 ? -EBUSY : rc;
	return false;
}

/* Gives SLOT rows until one keeps it busy. False when there are none left. */
static bool
take_row(struct purge *purge, struct purge_slot *slot)
{
	while (purge->error == 0 && purge->next < purge->page.count) {
		struct object *object = NULL;
		int rc;

		slot->path = slot->load.path = purge->page.rows[purge->next++].path;
		slot->tries = 0;
		rc = store_find(purge->worker->store, slot->path, &object);
		if (advance(slot, rc, object))
			return true;
	}
	return false;
}

/* After a slot fell idle: what comes when all are. */
static void
settle(struct purge *purge)
{
	if (purge->count > 0)
		return;
	if (purge->worker->draining && purge->error == 0)
		purge->error = -ECANCELED;
	if (purge->error != 0 || purge->page.last || purge->page.count == 0)
		finish(purge);
	else
		next_page(purge);
}

static void
take_page(struct purge *purge)
{
	if (purge->page.result != 0) {
		purge->error = purge->page.result;
		purge->page.count = 0;
	}
	for (unsigned i = 0; i < PURGE_SLOTS && take_row(purge, &purge->slots[i]); i++)
		purge->count++;
	settle(purge);
}

static void
step(struct purge *purge, struct purge_slot *slot, enum purge_event event)
{
	bool busy;

	switch (event) {
	case PURGE_PAGE:
		CHECK(purge->count == 0);
		take_page(purge);
		return;
	case PURGE_FOUND:
		busy = advance(slot, slot->load.result, slot->load.object);
		break;
	case PURGE_DELETED:
		if (slot->del.result == 0)
			purge->deleted++;
		else
			purge->error = slot->del.result;
		busy = false;
		break;
	case PURGE_GONE:
		purge->conn = NULL;
		return;
	}
	if (busy || take_row(purge, slot))
		return;
	purge->count--;
	settle(purge);
}

static void
on_page(struct letter *letter)
{
	struct purge *purge =
		(struct purge *)((char *)letter - offsetof(struct purge, page.letter));

	purge->worker->letters--;
	step(purge, NULL, PURGE_PAGE);
}

static void
on_loaded(struct letter *letter)
{
	struct purge_slot *slot =
		(struct purge_slot *)((char *)letter - offsetof(struct purge_slot, load.letter));

	slot->purge->worker->letters--;
	if (slot->load.result != 0)
		slot->load.object = NULL;
	step(slot->purge, slot, PURGE_FOUND);
}

static void
on_deleted(struct letter *letter)
{
	struct purge_slot *slot =
		(struct purge_slot *)((char *)letter - offsetof(struct purge_slot, del.letter));

	slot->purge->worker->letters--;
	step(slot->purge, slot, PURGE_DELETED);
}

static void
on_gone(void *handler)
{
	step(handler, NULL, PURGE_GONE);
}

void
purge_start(struct conn *conn, const char *prefix)
{
	struct purge *purge = calloc(1, sizeof(*purge));

	if (purge == NULL ||
	    listing_open(conn->worker->store, prefix, NULL, &purge->listing) != 0) {
		free(purge);
		reply_text(conn, 503, "out of memory");
		return;
	}
	purge->conn = conn;
	purge->worker = conn->worker;
	for (unsigned i = 0; i < PURGE_SLOTS; i++) {
		struct purge_slot *slot = &purge->slots[i];

		slot->purge = purge;
		slot->load.store = conn->worker->store;
		slot->load.mailbox = slot->del.mailbox = &conn->worker->mailbox;
		slot->load.letter.deliver = on_loaded;
		slot->del.letter.deliver = on_deleted;
	}
	purge->page.mailbox = &conn->worker->mailbox;
	purge->page.letter.deliver = on_page;
	conn_attach(conn, on_gone, purge);
	next_page(purge);
}
