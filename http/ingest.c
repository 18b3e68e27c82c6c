#include "http/ingest.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "http/etag.h"
#include "http/intake.h"
#include "http/reply.h"
#include "http/transport.h"
#include "http/upload.h"
#include "storage/store.h"

#define PATIENCE_MS 60000
#define LOOKUPS_MAX 8 /* of an object that others replace between lookup and open */

enum ingest_state {
	INGEST_LOOKUP,
	INGEST_BODY,
	INGEST_STALLED,
	INGEST_SEALING,
	INGEST_ORPHAN, /* the request is over; waits for a letter */
};

enum ingest_event {
	INGEST_FOUND,
	INGEST_READABLE,
	INGEST_ROOM,
	INGEST_SEALED,
	INGEST_LATE,
	INGEST_GONE
};

struct ingest {
	struct conn *conn; /* NULL when ORPHAN */
	struct worker *worker;
	struct settings *settings; /* as they were when it began */
	enum ingest_state state;
	struct writer *writer;
	struct intake intake;
	struct event readable;
	struct event late; /* the deadline of states other than BODY */
	struct store_load load;
	struct writer_room room;
	struct writer_receipt receipt;
	uint64_t stalled_at; /* bytes received at the last stall, and one; 0: none */
	unsigned lookups;
	bool counted;      /* among the writers */
	int64_t sealed_us; /* mono; when the last byte was there */
	struct upload upload;
	char name[];
};

static void step(struct ingest *in, enum ingest_event event);

static bool
letter_is_out(const struct ingest *in)
{
	return in->state == INGEST_LOOKUP || in->state == INGEST_STALLED ||
	       in->state == INGEST_SEALING;
}

static void
free_all(struct ingest *in)
{
	settings_put(&in->settings);
	free(in);
}

/* The request is over: frees all, now or when the letter came. REFUSED: its sender is told so, and
 * nobody is to go on. */
static void
release(struct ingest *in, bool refused)
{
	event_del(&in->readable);
	event_del(&in->late);
	if (in->counted)
		metric_add(METRIC_writers, -1);
	if (in->state == INGEST_STALLED && writer_forget_room(in->writer, &in->room)) {
		in->worker->letters--;
		in->state = INGEST_BODY;
	}
	if (refused)
		writer_drop(&in->writer);
	else
		writer_abort(&in->writer);
	in->conn = NULL;
	if (letter_is_out(in))
		in->state = INGEST_ORPHAN;
	else
		free_all(in);
}

static void
refuse(struct ingest *in, int code, const char *reason)
{
	struct conn *conn = in->conn;

	metric_add(METRIC_ingest_failed_total, 1);
	release(in, true);
	reply_text(conn, code, reason);
}

/* The sender is gone, or might as well be: no reply. */
static void
vanish(struct ingest *in)
{
	struct conn *conn = in->conn;

	metric_add(METRIC_ingest_aborted_total, 1);
	release(in, false);
	conn_cut(conn);
}

/* Sets the deadline of a state that waits for a letter, which is counted. */
static void
wait_for_letter(struct ingest *in, enum ingest_state state)
{
	struct timeval patience = worker_timeval(PATIENCE_MS);

	in->state = state;
	in->worker->letters++;
	event_add(&in->late, &patience);
}

static void
seal(struct ingest *in)
{
	if (in->upload.exact && in->intake.length != in->upload.end) {
		refuse(in, 400, "the body is shorter than Content-Range says");
		return;
	}
	event_del(&in->readable);
	in->sealed_us = clock_mono_us();
	wait_for_letter(in, INGEST_SEALING);
	in->conn->access.object = "complete";
	writer_finish(&in->writer, &in->receipt);
}

static void
stall(struct ingest *in)
{
	char why[256];
	bool tried = in->stalled_at == in->intake.length + 1;

	event_del(&in->readable);
	/* The store has tried to make room since: it can't, and the sender should not wait for it. */
	if (tried && store_ready(in->worker->store, why, sizeof(why)) == -ENOSPC) {
		refuse(in, 507, "the disk is full");
		return;
	}
	in->stalled_at = in->intake.length + 1;
	wait_for_letter(in, INGEST_STALLED);
	writer_await_room(in->writer, &in->room);
}

static void
pump(struct ingest *in)
{
	struct timeval idle = worker_timeval(in->settings->ingest_idle_ms);
	uint64_t before = in->intake.length;
	int one = 1, rc;

	in->state = INGEST_BODY;
	if (writer_cancelled(in->writer)) {
		refuse(in, 410, "the object was deleted");
		return;
	}
	rc = intake_read(&in->intake, in->conn, in->writer);
	metric_add(METRIC_ingest_bytes_total, (int64_t)(in->intake.length - before));
	in->conn->access.received += in->intake.length - before;
	switch (-rc) {
	case 0:
		if (body_done(&in->conn->body)) {
			seal(in);
			return;
		}
		/* Senders with Nagle's algorithm wait for this ACK before they send the rest. */
		setsockopt(conn_fd(in->conn), IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
		transport_await(in->conn, &in->readable, &idle);
		return;
	case ENOBUFS:
		stall(in);
		return;
	case EFBIG:
		refuse(in, 413, "the object is larger than object_max");
		return;
	case ERANGE:
		refuse(in, 400, "the body is longer than Content-Range says");
		return;
	case EPROTO:
		in->conn->body_broken = true;
		refuse(in, 400, "malformed chunk in the request body");
		return;
	default:
		vanish(in);
	}
}

/* Whether the request's preconditions hold for OBJECT, or for nothing (NULL). One that was never completed
 * does not keep its name from who wants to create it. */
static bool
preconditions_hold(const struct ingest *in, const struct object *object)
{
	bool exists = object != NULL && object_status(object).state != OBJECT_INCOMPLETE;
	int64_t mtime = exists ? object_mtime_ms(object) / 1000 : -1;
	char text[ETAG_SIZE];
	const char *etag = NULL;
	uint8_t hash[16];

	if (exists && object_etag(object, hash)) {
		etag_format(hash, text);
		etag = text;
	}
	return etag_write_allowed(&in->conn->head, exists, etag, mtime, clock_wall_ms() / 1000);
}

static void
look_up(struct ingest *in)
{
	if (++in->lookups > LOOKUPS_MAX) {
		refuse(in, 409, "the object keeps changing");
		return;
	}
	wait_for_letter(in, INGEST_LOOKUP);
	store_load(&in->load);
}

static void
refuse_offset(struct ingest *in, uint64_t length)
{
	reply_header_format(in->conn, "Content-Range", "bytes */%llu", (unsigned long long)length);
	refuse(in, 416, "the object does not end where Content-Range begins");
}

static void
begin(struct ingest *in)
{
	in->intake.length = object_status(writer_object(in->writer)).length;
	in->intake.end = in->upload.end;
	in->counted = true;
	in->conn->access.object = "incomplete"; /* until its end is there */
	metric_add(METRIC_writers, 1);
	reply_continue(in->conn);
	pump(in);
}

/* OBJECT is what a lookup just found, if it was asked; ABSENT if that was nothing. */
static void
open_writer(struct ingest *in, struct object *object, bool absent)
{
	const struct upload *upload = &in->upload;
	struct writer_config config = {
		.path = in->name,
		.content_type = upload->type,
		.publish = upload->policy.publish,
		.existing = upload->continues ? EXISTING_CONTINUE : upload->policy.existing,
		.offset = upload->offset,
		.ttl_ms = upload->policy.ttl_ms,
		.absent = absent,
		.refuse_second = upload->policy.second_writer == SECOND_REFUSE,
		.refuse_complete = upload->policy.existing == EXISTING_REFUSE,
		.conditional = upload->conditional,
		.expected = object,
	};
	int rc;

	if (upload->conditional && in->lookups == 0) {
		look_up(in);
		return;
	}
	if (upload->conditional && !preconditions_hold(in, object)) {
		refuse(in, 412, "a precondition of the request does not hold");
		return;
	}
	rc = writer_open(in->worker->store, &config, &in->writer);
	switch (-rc) {
	case 0:
		begin(in);
		return;
	case EAGAIN:
	case ESTALE:
		look_up(in);
		return;
	case ERANGE:
		refuse_offset(in, config.length);
		return;
	case EEXIST:
		refuse(in, 409, "the object exists");
		return;
	case EBUSY:
		refuse(in, 409, "the object is being written");
		return;
	case ENOSPC:
		refuse(in, 507, "the disk is full");
		return;
	default:
		refuse(in, 503, "out of memory");
	}
}

static void
found(struct ingest *in)
{
	struct object *object;

	event_del(&in->late);
	in->state = INGEST_BODY; /* no letter is out */
	if (in->load.result != 0 && in->load.result != -ENOENT) {
		refuse(in, 503, "the catalog can't be read");
		return;
	}
	/* Held until the writer is open: so the answer of the lookup can't leave memory again. */
	object = in->load.object;
	in->load.object = NULL;
	open_writer(in, object, in->load.result == -ENOENT);
	object_put(&object);
}

static void
answer(struct ingest *in)
{
	struct conn *conn = in->conn;
	const struct writer_receipt *receipt = &in->receipt;
	bool created = receipt->created;
	char etag[ETAG_SIZE];

	in->state = INGEST_BODY; /* no letter is out */
	if (receipt->stale) {
		refuse(in, 412, "a precondition of the request does not hold any more");
	} else if (receipt->cancelled) {
		refuse(in, 410, "the object was deleted");
	} else if (receipt->result == -ENOSPC) {
		refuse(in, 507, "the disk is full");
	} else if (receipt->result != 0) {
		refuse(in, 503, "the object can't be written to disk");
	} else {
		metric_observe(HISTOGRAM_acknowledge, clock_mono_us() - in->sealed_us);
		etag_format(receipt->etag, etag);
		reply_header(conn, "ETag", etag);
		release(in, false);
		reply_empty(conn, created ? 201 : 204);
	}
}

static void
step(struct ingest *in, enum ingest_event event)
{
	if (in->state == INGEST_ORPHAN) {
		CHECK(event == INGEST_FOUND || event == INGEST_ROOM || event == INGEST_SEALED);
		object_put(&in->load.object);
		free_all(in);
		return;
	}
	switch (event) {
	case INGEST_FOUND:
		found(in);
		return;
	case INGEST_READABLE:
		pump(in);
		return;
	case INGEST_ROOM:
		event_del(&in->late);
		pump(in);
		return;
	case INGEST_SEALED:
		answer(in);
		return;
	case INGEST_LATE:
		if (in->state == INGEST_BODY)
			vanish(in);
		else
			refuse(in, 503, "the disk is too slow");
		return;
	case INGEST_GONE:
		if (in->state != INGEST_SEALING)
			metric_add(METRIC_ingest_aborted_total, 1);
		release(in, false);
		return;
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	step(arg, (what & EV_READ) != 0 ? INGEST_READABLE : INGEST_LATE);
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	step(arg, INGEST_LATE);
}

static void
on_loaded(struct letter *letter)
{
	struct ingest *in =
		(struct ingest *)((char *)letter - offsetof(struct ingest, load.letter));

	in->worker->letters--;
	if (in->load.result != 0)
		in->load.object = NULL;
	step(in, INGEST_FOUND);
}

static void
on_room(struct letter *letter)
{
	struct ingest *in =
		(struct ingest *)((char *)letter - offsetof(struct ingest, room.letter));

	in->worker->letters--;
	step(in, INGEST_ROOM);
}

static void
on_sealed(struct letter *letter)
{
	struct ingest *in =
		(struct ingest *)((char *)letter - offsetof(struct ingest, receipt.letter));

	in->worker->letters--;
	step(in, INGEST_SEALED);
}

static void
on_gone(void *handler)
{
	step(handler, INGEST_GONE);
}

void
ingest_start(struct conn *conn, const char *name)
{
	struct worker *worker = conn->worker;
	struct settings *settings = worker->settings;
	struct policy policy = rules_policy(settings->rules, name);
	struct upload_refusal refusal;
	size_t size = strlen(name) + 1;
	struct ingest *in = calloc(1, sizeof(*in) + size);

	if (in == NULL) {
		reply_text(conn, 503, "out of memory");
		return;
	}
	if (upload_read(&conn->head, name, &policy, settings->object_max, &in->upload, &refusal)) {
		free(in);
		metric_add(METRIC_ingest_failed_total, 1);
		reply_text(conn, refusal.code, refusal.reason);
		return;
	}
	memcpy(in->name, name, size);
	in->conn = conn;
	in->worker = worker;
	in->settings = settings_get(settings);
	in->state = INGEST_BODY;
	in->intake.max = settings->object_max;
	in->load.store = worker->store;
	in->load.path = in->name;
	in->load.to_extend = in->upload.continues || policy.existing == EXISTING_APPEND;
	in->load.mailbox = in->room.mailbox = in->receipt.mailbox = &worker->mailbox;
	in->load.letter.deliver = on_loaded;
	in->room.letter.deliver = on_room;
	in->receipt.letter.deliver = on_sealed;
	event_assign(&in->readable, worker->base, conn_fd(conn), EV_READ | EV_PERSIST, on_readable,
		     in);
	event_assign(&in->late, worker->base, -1, 0, on_late, in);
	conn_attach(conn, on_gone, in);
	open_writer(in, NULL, false);
}
