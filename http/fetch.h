/* fetch.h - GET and HEAD: finds the object, checks the preconditions, serves what is complete.
 *
 *   LOOKUP --letter--> first bytes --in memory--> SENDING --drained--> SENDING ...--> done
 *                          \--on disk only--> WARMING --letter--> SENDING
 *
 * Bytes go out as references into the mapping of their volume, or into the tail, never copied, with at
 * most QUEUE_MAX of them queued. What still grows, or never became complete, is live.h's.
 *
 * Deadlines: the store answers letters; SENDING has the bufferevent's send_timeout.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_FETCH_H
#define SPILLWAY_HTTP_FETCH_H

#include "http/conn.h"

/* Answers a GET or HEAD of NAME, which is copied. */
void fetch_start(struct conn *conn, const char *name);

#endif
