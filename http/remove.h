/* remove.h - DELETE: 204 once that survives a crash, 404 for what is not there.
 *
 *   LOOKUP --letter--> DELETING --letter--> answer
 *
 * Deadlines: the store answers letters; the connection is not read meanwhile.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_REMOVE_H
#define SPILLWAY_HTTP_REMOVE_H

#include "http/conn.h"

/* Answers a DELETE of NAME, which is copied. */
void remove_start(struct conn *conn, const char *name);

#endif
