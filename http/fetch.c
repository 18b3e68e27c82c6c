#include "http/fetch.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "http/reply.h"
#include "http/represent.h"
#include "storage/hold.h"
#include "storage/store.h"

#define LOOKUPS_MAX 16 /* of a path that others create and delete all the time */

enum fetch_state {
	FETCH_LOOKUP,
	FETCH_HOLDING,
	FETCH_ORPHAN, /* the connection is gone; waits for the letter of load or hold */
};

enum fetch_event { FETCH_FOUND, FETCH_BEGUN, FETCH_LATE, FETCH_GONE };

struct fetch {
	struct conn *conn; /* NULL when ORPHAN */
	struct worker *worker;
	enum fetch_state state;
	unsigned lookups;
	int64_t hold_until_ms; /* mono; 0: it does not wait */
	struct event late;     /* while HOLDING */
	struct store_load load;
	struct hold hold;
	char name[];
};

static void step(struct fetch *fetch, enum fetch_event event);

static void
release(struct fetch *fetch)
{
	event_del(&fetch->late);
	free(fetch);
}

static void
answer_text(struct fetch *fetch, int code, const char *reason)
{
	struct conn *conn = fetch->conn;

	release(fetch);
	reply_text(conn, code, reason);
}

static void
answer(struct fetch *fetch, struct object *object)
{
	struct conn *conn = fetch->conn;

	release(fetch);
	conn_detach(conn);
	represent(conn, object);
}

static void
look_up(struct fetch *fetch)
{
	fetch->state = FETCH_LOOKUP;
	fetch->lookups++;
	fetch->worker->letters++;
	store_load(&fetch->load);
}

static void
answer_missing(struct fetch *fetch)
{
	if (store_is_in_doubt(fetch->worker->store))
		answer_text(fetch, 503, "the catalog is damaged: the object may be there");
	else
		answer_text(fetch, 404, "no object has this path");
}

/* There is nothing: 404, unless a rule says to wait for a writer to begin. */
static void
missing(struct fetch *fetch)
{
	int64_t left = fetch->hold_until_ms - clock_mono_ms();
	struct timeval timeout;
	int rc;

	if (left <= 0 || fetch->lookups > LOOKUPS_MAX) {
		answer_missing(fetch);
		return;
	}
	if (fetch->lookups == 0) {
		look_up(fetch); /* for its news */
		return;
	}
	fetch->hold.news = fetch->load.news;
	rc = hold_begin(fetch->worker->store, &fetch->hold);
	if (rc == -EAGAIN) {
		look_up(fetch);
	} else if (rc != 0) {
		answer_text(fetch, 404, "no object has this path, and too many wait for one");
	} else {
		fetch->state = FETCH_HOLDING;
		fetch->worker->letters++;
		conn_watch(fetch->conn);
		timeout = worker_timeval(left);
		event_add(&fetch->late, &timeout);
	}
}

static void
found(struct fetch *fetch, int rc, struct object *object)
{
	if (rc == 0)
		answer(fetch, object);
	else if (rc == -ENOENT)
		missing(fetch);
	else
		answer_text(fetch, 503, "the catalog can't be read");
}

/* Takes the hold back. False when its letter is on its way. */
static bool
end_hold(struct fetch *fetch)
{
	if (!hold_end(fetch->worker->store, &fetch->hold))
		return false;
	fetch->worker->letters--;
	return true;
}

static void
step(struct fetch *fetch, enum fetch_event event)
{
	switch (fetch->state) {
	case FETCH_LOOKUP:
		CHECK(event == FETCH_FOUND || event == FETCH_GONE);
		if (event == FETCH_FOUND) {
			found(fetch, fetch->load.result, fetch->load.object);
		} else {
			fetch->state = FETCH_ORPHAN;
			fetch->conn = NULL;
		}
		return;
	case FETCH_HOLDING:
		CHECK(event != FETCH_FOUND);
		event_del(&fetch->late);
		if (event == FETCH_BEGUN) {
			look_up(fetch);
		} else if (event == FETCH_GONE) {
			if (end_hold(fetch)) {
				release(fetch);
			} else {
				fetch->state = FETCH_ORPHAN;
				fetch->conn = NULL;
			}
		} else if (end_hold(fetch)) {
			answer_missing(fetch);
		} /* else it has just begun: the letter comes */
		return;
	case FETCH_ORPHAN:
		CHECK(event == FETCH_FOUND || event == FETCH_BEGUN);
		if (event == FETCH_FOUND && fetch->load.result == 0)
			object_put(&fetch->load.object);
		release(fetch);
		return;
	}
}

static void
on_loaded(struct letter *letter)
{
	struct fetch *fetch =
		(struct fetch *)((char *)letter - offsetof(struct fetch, load.letter));

	fetch->worker->letters--;
	step(fetch, FETCH_FOUND);
}

static void
on_begun(struct letter *letter)
{
	struct fetch *fetch =
		(struct fetch *)((char *)letter - offsetof(struct fetch, hold.letter));

	fetch->worker->letters--;
	step(fetch, FETCH_BEGUN);
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	step(arg, FETCH_LATE);
}

static void
on_gone(void *handler)
{
	step(handler, FETCH_GONE);
}

/* Until when CONN's request may wait for NAME; 0: not at all. HEAD never waits. */
static int64_t
hold_until(const struct conn *conn, const char *name)
{
	struct policy policy;

	if (conn->head.method != METHOD_GET)
		return 0;
	policy = rules_policy(conn->worker->settings->rules, name);
	return policy.hold_ms > 0 ? clock_mono_ms() + policy.hold_ms : 0;
}

void
fetch_start(struct conn *conn, const char *name)
{
	struct object *object = NULL;
	int rc = store_find(conn->worker->store, name, &object);
	size_t size = strlen(name) + 1;
	struct fetch *fetch;

	if (rc == 0) {
		represent(conn, object);
		return;
	}
	fetch = calloc(1, sizeof(*fetch) + size);
	if (fetch == NULL) {
		reply_text(conn, 503, "out of memory");
		return;
	}
	memcpy(fetch->name, name, size);
	fetch->conn = conn;
	fetch->worker = conn->worker;
	fetch->state = FETCH_LOOKUP;
	fetch->hold_until_ms = hold_until(conn, name);
	fetch->load.store = conn->worker->store;
	fetch->load.path = fetch->hold.path = fetch->name;
	fetch->load.mailbox = fetch->hold.mailbox = &conn->worker->mailbox;
	fetch->load.letter.deliver = on_loaded;
	fetch->hold.letter.deliver = on_begun;
	event_assign(&fetch->late, conn->worker->base, -1, 0, on_late, fetch);
	conn_attach(conn, on_gone, fetch);
	if (rc == -EAGAIN)
		look_up(fetch);
	else
		found(fetch, rc, NULL);
}
