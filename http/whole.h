/* whole.h - the body of a finished object: all of it, a range, or several.
 *
 *   SENDING --all of it--> done
 *     |  \--the socket is full, or its turn is over--> BLOCKED --writable--> SENDING
 *     \--on disk only--> WARMING --letter--> SENDING
 *
 * Bytes are written to the socket from where they are: from the file of their volume (sendfile), or, when it is few
 * of them or TLS, from its mapping, or from the tail. Nothing is queued but what the socket did not take of a text
 * around them.
 *
 * Deadlines: the store answers letters; BLOCKED has send_timeout.
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
