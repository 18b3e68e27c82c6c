#include "http/represent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/date.h"
#include "http/etag.h"
#include "http/live.h"
#include "http/media.h"
#include "http/multipart.h"
#include "http/range.h"
#include "http/reply.h"
#include "http/whole.h"
#include "storage/object.h"

/* What a request is judged by. */
struct validators {
	const char *etag; /* or NULL */
	int64_t mtime;    /* seconds; negative: none */
	int64_t now;
};

static void
refuse_range(struct conn *conn, uint64_t length, const char *reason)
{
	reply_header_format(conn, "Content-Range", "bytes */%llu", (unsigned long long)length);
	reply_text(conn, 416, reason);
}

/* The ranges of a GET that are to be applied; 0 when all of the object is wanted. */
static size_t
wanted_ranges(struct conn *conn, const struct validators *valid, struct range_spec *specs)
{
	struct slice value;
	size_t count;

	if (conn->head.method != METHOD_GET || !head_find(&conn->head, "range", &value) ||
	    !etag_range_applies(&conn->head, valid->etag, valid->mtime, valid->now) ||
	    range_parse(value, specs, MULTIPART_MAX, &count) != 0)
		return 0; /* RFC 9110 14.2 leaves that to us */
	return count;
}

/* Several ranges, in the order asked for. 0 or -ENOMEM. */
static int
choose_several(struct conn *conn, struct object *object, const struct range_bytes *bytes,
	       size_t count, struct whole_body *body)
{
	struct multipart *multi = calloc(1, sizeof(*multi));

	if (multi == NULL)
		return -ENOMEM;
	multi->count = count;
	memcpy(multi->parts, bytes, count * sizeof(*bytes));
	multi->length = body->end;
	multi->type = object_type(object);
	multipart_boundary(multi);
	body->multi = multi;
	reply_header_format(conn, "Content-Type", "multipart/byteranges; boundary=%s",
			    multi->boundary);
	reply_header_number(conn, "Content-Length", multipart_length(multi));
	return 0;
}

/* Chooses the bytes of OBJECT, all of which BODY says at first, and adds the headers that depend on them.
 * False when the answer was given. */
static bool
choose_bytes(struct conn *conn, struct object *object, const struct validators *valid,
	     struct whole_body *body)
{
	struct range_spec specs[MULTIPART_MAX];
	struct range_bytes bytes[MULTIPART_MAX];
	size_t count = wanted_ranges(conn, valid, specs);
	uint64_t length = body->end;
	int n = count > 0 ? range_resolve_set(specs, count, length, bytes) : -EINVAL;

	if (n == -ERANGE) {
		refuse_range(conn, length, "the object has no such bytes");
		return false;
	}
	if (n > 0)
		body->code = 206;
	if (n > 1) {
		if (choose_several(conn, object, bytes, (size_t)n, body) == 0)
			return true;
		reply_text(conn, 503, "out of memory");
		return false;
	}
	if (n == 1) {
		body->first = bytes[0].first;
		body->end = bytes[0].end;
		reply_header_format(conn, "Content-Range", "bytes %llu-%llu/%llu",
				    (unsigned long long)body->first,
				    (unsigned long long)body->end - 1, (unsigned long long)length);
	}
	reply_header(conn, "Content-Type", object_type(object));
	reply_header_number(conn, "Content-Length", body->end - body->first);
	return true;
}

/* RULE is what the operator says, or NULL. What needs credentials is for no cache that others share, unless
 * the operator wants that (RFC 9111 3.5, 5.2.2.7). */
static void
add_cache_control(struct conn *conn, const char *rule, const char *usual)
{
	if (rule == NULL && conn->for_one)
		reply_header_format(conn, "Cache-Control", "private, %s", usual);
	else
		reply_header(conn, "Cache-Control", rule != NULL ? rule : usual);
}

static void
represent_complete(struct conn *conn, struct object *object, uint64_t length, const char *cache)
{
	struct validators valid = {.mtime = object_mtime_ms(object) / 1000,
				   .now = clock_wall_ms() / 1000};
	struct whole_body body = {.code = 200, .end = length};
	char date[DATE_SIZE], text[ETAG_SIZE];
	uint8_t hash[16];
	enum etag_outcome outcome;

	if (object_etag(object, hash)) {
		etag_format(hash, text);
		valid.etag = text;
		reply_header(conn, "ETag", text);
	}
	date_format(valid.mtime, date);
	reply_header(conn, "Last-Modified", date);
	outcome = etag_evaluate(&conn->head, valid.etag, valid.mtime, valid.now);
	if (outcome == ETAG_FAILED) {
		object_put(&object);
		reply_text(conn, 412, "a precondition of the request does not hold");
		return;
	}
	if (outcome == ETAG_PROCEED) {
		reply_header(conn, "Accept-Ranges", "bytes");
		if (!choose_bytes(conn, object, &valid, &body)) {
			object_put(&object);
			return;
		}
	}
	add_cache_control(conn, cache, media_cache_whole(object_path(object)));
	if (outcome == ETAG_PROCEED && conn->head.method == METHOD_GET) {
		whole_start(conn, object, &body);
		return;
	}
	object_put(&object);
	reply_empty(conn, outcome == ETAG_PROCEED ? 200 : 304);
}

/* Chooses the bytes of an object of LENGTH that grows (RFC 8673). *CODE, *FIRST and *END are as for all of it.
 * False when the answer was given. */
static bool
choose_growing(struct conn *conn, uint64_t length, int *code, uint64_t *first, uint64_t *end)
{
	/* It has no validator yet: an If-Range can't name it. */
	const struct validators valid = {.mtime = -1, .now = clock_wall_ms() / 1000};
	struct range_spec specs[MULTIPART_MAX];
	char positions[RANGE_POSITIONS_SIZE];

	if (wanted_ranges(conn, &valid, specs) != 1)
		return true;
	switch (-range_resolve_growing(&specs[0], length, first, end, positions)) {
	case 0:
		*code = 206;
		reply_header(conn, "Content-Range", positions);
		return true;
	case ERANGE:
		refuse_range(conn, length, "the object has no such bytes yet");
		return false;
	default:
		return true;
	}
}

/* An object whose end is not known, or never came. */
static void
represent_growing(struct conn *conn, struct object *object, struct object_status status,
		  const char *cache)
{
	uint64_t first = 0, end = LIVE_OPEN;
	int code = 200;

	if (status.state == OBJECT_LIVE) {
		if (!choose_growing(conn, status.length, &code, &first, &end)) {
			object_put(&object);
			return;
		}
		reply_header(conn, "Accept-Ranges", "bytes");
		add_cache_control(conn, cache, media_cache_growing(object_path(object)));
	} else {
		reply_header(conn, "Cache-Control", "no-store"); /* it will be cut */
	}
	reply_header(conn, "Content-Type", object_type(object));
	if (conn->head.method == METHOD_HEAD) {
		object_put(&object);
		reply_empty(conn, 200);
		return;
	}
	live_start(conn, object, code, first, end);
}

void
represent(struct conn *conn, struct object *object)
{
	struct policy policy = rules_policy(conn->worker->settings->rules, object_path(object));
	struct object_status status = object_status(object);

	switch (status.state) {
	case OBJECT_LIVE:
	case OBJECT_INCOMPLETE:
		conn->access.object = status.state == OBJECT_LIVE ? "live" : "incomplete";
		represent_growing(conn, object, status, policy.cache_control);
		return;
	case OBJECT_COMPLETE:
		conn->access.object = "complete";
		represent_complete(conn, object, status.length, policy.cache_control);
		return;
	case OBJECT_GONE:
		object_put(&object);
		reply_text(conn, 404, "no object has this path");
		return;
	}
}
