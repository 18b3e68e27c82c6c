/* fetch.h - GET and HEAD: finds the object, or waits for it to begin; represent.h answers with it.
 *
 *   LOOKUP --letter--> found: represent; not there: 404, or under a rule's hold:
 *     --> HOLDING --begun--> LOOKUP
 *            \--deadline--> 404
 *
 * Deadlines: the store answers the letters of LOOKUP; HOLDING has the rule's hold.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_FETCH_H
#define SPILLWAY_HTTP_FETCH_H

#include "http/conn.h"

/* Answers a GET or HEAD of NAME, which is copied. */
void fetch_start(struct conn *conn, const char *name);

#endif
