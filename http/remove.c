#include "http/remove.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/etag.h"
#include "http/reply.h"
#include "storage/store.h"

/* Someone may replace the object between lookup and deletion; this often in a row nobody does. */
#define TRIES_MAX 16

enum removal_event { REMOVAL_FOUND, REMOVAL_DELETED, REMOVAL_GONE };

/* One letter is out between calls, always. */
struct removal {
	struct conn *conn; /* NULL once the connection is gone; the deletion goes on */
	struct worker *worker;
	unsigned tries;
	bool conditional; /* the request has preconditions */
	struct store_load load;
	struct store_delete del;
	char name[];
};

static void
answer(struct removal *removal, int code, const char *reason)
{
	struct conn *conn = removal->conn;

	free(removal);
	if (conn == NULL)
		return;
	if (reason != NULL)
		reply_text(conn, code, reason);
	else
		reply_empty(conn, code);
}

/* Whether the request's preconditions hold. Its head is there as long as its connection. */
static bool
is_allowed(const struct removal *removal, const struct object *object)
{
	char text[ETAG_SIZE];
	const char *etag = NULL;
	uint8_t hash[16];

	if (removal->conn == NULL)
		return !removal->conditional;
	if (object_etag(object, hash)) {
		etag_format(hash, text);
		etag = text;
	}
	return etag_write_allowed(&removal->conn->head, true, etag, object_mtime_ms(object) / 1000,
				  clock_wall_ms() / 1000);
}

/* Deletes what was found. */
static void
found(struct removal *removal, int rc, struct object *object)
{
	struct store *store = removal->worker->store;

	while (rc == 0 && removal->tries++ < TRIES_MAX) {
		if (!is_allowed(removal, object)) {
			object_put(&object);
			answer(removal, 412, "a precondition of the request does not hold");
			return;
		}
		rc = store_delete(store, object, &removal->del);
		object_put(&object);
		if (rc == 0) {
			removal->worker->letters++;
			return;
		}
		if (rc == -ENOENT)
			rc = store_find(store, removal->name, &object);
	}
	object_put(&object);
	if (rc == -EAGAIN) {
		removal->worker->letters++;
		store_load(&removal->load);
	} else if (rc == -ENOENT && store_is_in_doubt(store)) {
		answer(removal, 503, "the catalog is damaged: the object may be there");
	} else if (rc == -ENOENT) {
		answer(removal, 404, "no object has this path");
	} else {
		answer(removal, 503,
		       rc == 0 ? "the object keeps changing" : "the catalog can't be read");
	}
}

static void
deleted(struct removal *removal)
{
	if (removal->del.result == 0)
		answer(removal, 204, NULL);
	else if (removal->del.result == -ENOSPC)
		answer(removal, 507, "the disk is full");
	else
		answer(removal, 503, "the deletion can't be written to disk");
}

static void
step(struct removal *removal, enum removal_event event)
{
	switch (event) {
	case REMOVAL_FOUND:
		found(removal, removal->load.result,
		      removal->load.result == 0 ? removal->load.object : NULL);
		return;
	case REMOVAL_DELETED:
		deleted(removal);
		return;
	case REMOVAL_GONE:
		removal->conn = NULL;
		return;
	}
}

static void
on_loaded(struct letter *letter)
{
	struct removal *removal =
		(struct removal *)((char *)letter - offsetof(struct removal, load.letter));

	removal->worker->letters--;
	step(removal, REMOVAL_FOUND);
}

static void
on_deleted(struct letter *letter)
{
	struct removal *removal =
		(struct removal *)((char *)letter - offsetof(struct removal, del.letter));

	removal->worker->letters--;
	step(removal, REMOVAL_DELETED);
}

static void
on_gone(void *handler)
{
	step(handler, REMOVAL_GONE);
}

void
remove_start(struct conn *conn, const char *name)
{
	size_t size = strlen(name) + 1;
	struct removal *removal = calloc(1, sizeof(*removal) + size);
	struct object *object = NULL;
	int rc;

	if (removal == NULL) {
		reply_text(conn, 503, "out of memory");
		return;
	}
	memcpy(removal->name, name, size);
	removal->conn = conn;
	removal->worker = conn->worker;
	removal->conditional = etag_has_preconditions(&conn->head);
	removal->load.store = conn->worker->store;
	removal->load.path = removal->name;
	removal->load.mailbox = removal->del.mailbox = &conn->worker->mailbox;
	removal->load.letter.deliver = on_loaded;
	removal->del.letter.deliver = on_deleted;
	conn_attach(conn, on_gone, removal);
	rc = store_find(conn->worker->store, name, &object);
	found(removal, rc, object);
}
