/* represent.h - the reply to a GET or HEAD of an object that was found: preconditions, headers, and which of
 * its bytes. whole.h and live.h send them.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_REPRESENT_H
#define SPILLWAY_HTTP_REPRESENT_H

#include "http/conn.h"

struct object;

/* Answers the request of CONN, which nobody is attached to, with OBJECT, taking over the reference. */
void represent(struct conn *conn, struct object *object);

#endif
