/* whole.h - the body of a finished object: all of it, a range, or several.
 *
 *   first bytes --in memory--> SENDING --drained--> SENDING ... --> done
 *     \--on disk only--> WARMING --letter--> SENDING
 *
 * Bytes go out as references into the mapping of their volume, or into the tail, never copied, with at
 * most a megabyte of them queued.
 *
 * Deadlines: the store answers letters; SENDING has the bufferevent's send_timeout.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_WHOLE_H
#define SPILLWAY_HTTP_WHOLE_H

#include "http/conn.h"

struct multipart;
struct object;

/* What is to be sent. */
struct whole_body {
	int code;                /* 200 or 206 */
	uint64_t first, end;     /* the bytes; unless multi */
	struct multipart *multi; /* several ranges, or NULL */
};

/* Serves BODY of OBJECT, taking over the reference and body->multi. Headers of the representation, with
 * its Content-Length, were added. */
void whole_start(struct conn *conn, struct object *object, const struct whole_body *body);

#endif
