#include "http/reload.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "http/fetch.h"
#include "http/path.h"
#include "http/playlist.h"
#include "http/reply.h"
#include "http/represent.h"
#include "storage/hold.h"
#include "storage/store.h"

#define PLAYLIST_MAX ((uint64_t)1 << 20) /* bytes; nobody waits for a longer one */
#define TARGETS 3                        /* durations that a request may wait */
#define WAIT_MAX_MS 60000

enum reload_state {
	RELOAD_LOOKUP,
	RELOAD_WARMING,
	RELOAD_HOLDING,
	RELOAD_ORPHAN, /* the connection is gone; waits for a letter */
};

enum reload_event { RELOAD_FOUND, RELOAD_WARM, RELOAD_CHANGED, RELOAD_LATE, RELOAD_GONE };

struct reload {
	struct conn *conn; /* NULL when ORPHAN */
	struct worker *worker;
	enum reload_state state;
	struct playlist_wish wish;
	struct object *object; /* the playlist as it was when last looked at */
	int64_t until_ms;      /* mono; 0: it did not wait yet */
	struct event late;     /* while HOLDING */
	struct store_load load;
	struct object_warm warm;
	struct hold hold;
	char name[];
};

static void step(struct reload *reload, enum reload_event event);

static void
release(struct reload *reload)
{
	event_del(&reload->late);
	object_put(&reload->object);
	free(reload);
}

static void
answer_text(struct reload *reload, int code, const char *reason)
{
	struct conn *conn = reload->conn;

	release(reload);
	reply_text(conn, code, reason);
}

static void
answer(struct reload *reload)
{
	struct conn *conn = reload->conn;
	struct object *object = reload->object;

	reload->object = NULL;
	release(reload);
	conn_detach(conn);
	represent(conn, object);
}

static void
look_up(struct reload *reload)
{
	reload->state = RELOAD_LOOKUP;
	object_put(&reload->object);
	reload->worker->letters++;
	store_load(&reload->load);
}

/* All bytes of the playlist into TEXT. 0, or as object_view. */
static int
read_bytes(struct reload *reload, char *text, uint64_t length)
{
	struct object_cursor cursor = {0};
	uint64_t offset = 0;
	int rc = 0;

	while (rc == 0 && offset < length) {
		struct object_view view;

		rc = object_view(reload->object, &cursor, offset, (size_t)(length - offset), &view);
		if (rc != 0)
			break;
		memcpy(text + offset, view.data, view.length);
		offset += view.length;
		object_view_release(&view);
	}
	object_cursor_reset(&cursor);
	if (rc == -EINPROGRESS)
		reload->warm.offset = offset;
	return rc;
}

/* Waits for the next version, the first time for how long PLAYLIST says. */
static void
wait(struct reload *reload, const struct playlist *playlist)
{
	int64_t now = clock_mono_ms(), most = TARGETS * playlist->target_ms;
	struct timeval timeout;
	int rc;

	if (reload->until_ms == 0)
		reload->until_ms = now + (most < WAIT_MAX_MS ? most : WAIT_MAX_MS);
	if (now >= reload->until_ms) {
		answer_text(reload, 503, "the playlist did not grow in time");
		return;
	}
	reload->hold.present = reload->object;
	rc = hold_begin(reload->worker->store, &reload->hold);
	if (rc == -EAGAIN) {
		look_up(reload);
	} else if (rc != 0) {
		answer_text(reload, 503, "too many wait");
	} else {
		reload->state = RELOAD_HOLDING;
		reload->worker->letters++;
		conn_watch(reload->conn);
		timeout = worker_timeval(reload->until_ms - now);
		event_add(&reload->late, &timeout);
	}
}

static void
judge(struct reload *reload, struct slice text)
{
	struct playlist playlist;

	playlist_read(text, &playlist);
	switch (playlist_judge(&playlist, &reload->wish)) {
	case PLAYLIST_SERVE:
		answer(reload);
		return;
	case PLAYLIST_WAIT:
		wait(reload, &playlist);
		return;
	case PLAYLIST_REFUSE:
		answer_text(reload, 400, "_HLS_msn or _HLS_part is too far ahead of the playlist");
		return;
	}
}

/* Looks at what is stored. */
static void
consider(struct reload *reload)
{
	struct object_status status = object_status(reload->object);
	char *text;
	int rc;

	if (status.state != OBJECT_COMPLETE || status.length > PLAYLIST_MAX) {
		answer(reload);
		return;
	}
	text = malloc((size_t)status.length + 1);
	rc = text != NULL ? read_bytes(reload, text, status.length) : -ENOMEM;
	if (rc == 0) {
		judge(reload, (struct slice){text, (size_t)status.length});
	} else if (rc == -EINPROGRESS) {
		reload->state = RELOAD_WARMING;
		reload->warm.object = reload->object;
		reload->worker->letters++;
		object_warm(&reload->warm);
	} else {
		answer(reload); /* which says what is wrong */
	}
	free(text);
}

static void
found(struct reload *reload)
{
	if (reload->load.result == 0) {
		reload->object = reload->load.object;
		consider(reload);
	} else if (reload->load.result == -ENOENT && reload->until_ms == 0) {
		struct conn *conn = reload->conn;

		/* A rule may say to wait for it. */
		conn_detach(conn);
		fetch_start(conn, reload->name);
		release(reload);
	} else if (reload->load.result == -ENOENT) {
		answer_text(reload, 404, "no object has this path any more");
	} else {
		answer_text(reload, 503, "the catalog can't be read");
	}
}

static bool
end_hold(struct reload *reload)
{
	if (!hold_end(reload->worker->store, &reload->hold))
		return false;
	reload->worker->letters--;
	return true;
}

static void
orphan(struct reload *reload)
{
	if (reload->state == RELOAD_HOLDING && end_hold(reload)) {
		release(reload);
		return;
	}
	event_del(&reload->late);
	reload->state = RELOAD_ORPHAN;
	reload->conn = NULL;
}

static void
step(struct reload *reload, enum reload_event event)
{
	if (reload->state == RELOAD_ORPHAN) {
		CHECK(event != RELOAD_LATE && event != RELOAD_GONE);
		if (event == RELOAD_FOUND && reload->load.result == 0)
			object_put(&reload->load.object);
		release(reload);
		return;
	}
	switch (event) {
	case RELOAD_FOUND:
		found(reload);
		return;
	case RELOAD_WARM:
		if (reload->warm.result == 0)
			consider(reload);
		else
			answer(reload); /* which says what is wrong */
		return;
	case RELOAD_CHANGED:
		event_del(&reload->late);
		look_up(reload);
		return;
	case RELOAD_LATE:
		/* Else it has just changed: the letter comes. */
		if (end_hold(reload))
			answer_text(reload, 503, "the playlist did not grow in time");
		return;
	case RELOAD_GONE:
		orphan(reload);
		return;
	}
}

static void
on_loaded(struct letter *letter)
{
	struct reload *reload =
		(struct reload *)((char *)letter - offsetof(struct reload, load.letter));

	reload->worker->letters--;
	step(reload, RELOAD_FOUND);
}

static void
on_warm(struct letter *letter)
{
	struct reload *reload =
		(struct reload *)((char *)letter - offsetof(struct reload, warm.letter));

	reload->worker->letters--;
	step(reload, RELOAD_WARM);
}

static void
on_changed(struct letter *letter)
{
	struct reload *reload =
		(struct reload *)((char *)letter - offsetof(struct reload, hold.letter));

	reload->worker->letters--;
	step(reload, RELOAD_CHANGED);
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	step(arg, RELOAD_LATE);
}

static void
on_gone(void *handler)
{
	step(handler, RELOAD_GONE);
}

/* A directive's number. 0, -ENOENT, or -EINVAL. */
static int
read_directive(struct slice query, const char *key, uint64_t *value)
{
	char text[32];
	int rc = path_query(query, key, text, sizeof(text));

	if (rc == -ENOENT)
		return rc;
	return rc == 0 && slice_decimal(slice_of(text), value) == 0 && *value < PLAYLIST_NO_PART / 2
		       ? 0
		       : -EINVAL;
}

bool
reload_is_asked(struct slice query)
{
	uint64_t value;

	return read_directive(query, "_HLS_msn", &value) != -ENOENT ||
	       read_directive(query, "_HLS_part", &value) != -ENOENT;
}

void
reload_start(struct conn *conn, const char *name, struct slice query)
{
	struct playlist_wish wish = {.part = PLAYLIST_NO_PART};
	int rc = read_directive(query, "_HLS_part", &wish.part);
	size_t size = strlen(name) + 1;
	struct reload *reload;

	if ((rc != 0 && rc != -ENOENT) || read_directive(query, "_HLS_msn", &wish.msn) != 0) {
		reply_text(conn, 400,
			   "_HLS_msn and _HLS_part are numbers, the second only with the first");
		return;
	}
	reload = calloc(1, sizeof(*reload) + size);
	if (reload == NULL) {
		reply_text(conn, 503, "out of memory");
		return;
	}
	memcpy(reload->name, name, size);
	reload->conn = conn;
	reload->worker = conn->worker;
	reload->wish = wish;
	reload->load.store = conn->worker->store;
	reload->load.path = reload->hold.path = reload->name;
	reload->load.mailbox = reload->warm.mailbox = reload->hold.mailbox = &conn->worker->mailbox;
	reload->load.letter.deliver = on_loaded;
	reload->warm.letter.deliver = on_warm;
	reload->hold.letter.deliver = on_changed;
	event_assign(&reload->late, conn->worker->base, -1, 0, on_late, reload);
	conn_attach(conn, on_gone, reload);
	look_up(reload);
}
