/* head.h - a request's head: found, checked strictly, and read.
 *
 * evhttp never sees a client's head (framer.h), so this is the only parser of it. It is strict where
 * two readers of one head could disagree (RFC 9112 sections 2.2, 3, 5, 6; RFC 9110 sections 5.5, 10.1.1).
 *
 * Threads  any; pure functions of their arguments.
 * Owns     nothing: a struct head points into the caller's text.
 */
#ifndef SPILLWAY_HTTP_HEAD_H
#define SPILLWAY_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/slice.h"

#define HEAD_MAX 16384 /* bytes, with the empty line that ends it */

enum method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_PUT,
	METHOD_POST,
	METHOD_DELETE,
	METHOD_LIST,
	METHOD_OPTIONS,
};

enum head_body {
	HEAD_BODY_NONE,
	HEAD_BODY_LENGTH,  /* content_length bytes */
	HEAD_BODY_CHUNKED, /* until the last chunk */
};

struct head {
	struct slice text; /* the whole head, in the caller's memory */
	size_t fields;     /* where in it the first field line begins */
	struct slice target;
	enum method method;
	unsigned minor; /* HTTP/1.minor, 0 or 1: later ones count as 1 */
	enum head_body body;
	uint64_t content_length;
	bool keep_alive;      /* what the client wants of the connection afterwards */
	bool expect_continue; /* it waits for 100 before it sends the body */
};

enum head_verdict {
	HEAD_OK,
	HEAD_MORE,      /* not complete yet */
	HEAD_SLOW,      /* never found here: the connection's deadline passed */
	HEAD_NO_MEMORY, /* never found here: nowhere to keep it */
	HEAD_CROWDED,   /* never found here: its address has too many connections */
	HEAD_TOO_LONG,
	HEAD_TARGET_TOO_LONG, /* too long, and still in the request line */
	HEAD_BARE_LF,
	HEAD_BARE_CR,
	HEAD_CONTROL_BYTE,
	HEAD_REQUEST_LINE,
	HEAD_VERSION_FORM,
	HEAD_VERSION,
	HEAD_METHOD,
	HEAD_FOLDED,
	HEAD_FIELD_NAME,
	HEAD_NO_HOST,
	HEAD_MANY_HOSTS,
	HEAD_LENGTH_FORM,
	HEAD_MANY_LENGTHS,
	HEAD_LENGTH_AND_CHUNKED,
	HEAD_CODING,
	HEAD_MANY_CODINGS,
	HEAD_CODING_IN_1_0,
	HEAD_EXPECTATION,
	HEAD_BODY_FRAMING,  /* never found here: the body's chunks were malformed */
	HEAD_BODY_TOO_LONG, /* never found here: more unwanted body than is worth reading */
};

/* Looks for the end of the head in LENGTH bytes of TEXT. *AT is where to go on, 0 at first; it is only
 * meaningful for the same text with more behind it. HEAD_OK sets *END to the head's length; HEAD_MORE;
 * or why the head is refused already. */
enum head_verdict head_scan(const char *text, size_t length, size_t *at, size_t *end);

/* Reads a complete head, as head_scan found it. HEAD_OK fills *HEAD, else why it is refused. */
enum head_verdict head_parse(const char *text, size_t length, struct head *head);

/* What to answer to a verdict that is a refusal. */
struct head_refusal {
	int code;
	const char *reason;
};

struct head_refusal head_refusal(enum head_verdict verdict);

/* The value of the first field NAME, trimmed. False if there is none. */
bool head_find(const struct head *head, const char *name, struct slice *value);

/* The same for every field of that name in turn: *AT is 0 at first. */
bool head_next(const struct head *head, const char *name, size_t *at, struct slice *value);

#endif
