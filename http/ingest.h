/* ingest.h - PUT and POST: from the socket into a version, byte by byte as they arrive.
 *
 *   LOOKUP --letter--> BODY --no room--> STALLED --letter--> BODY
 *                       \--end of body--> SEALING --letter--> 201, 204, 410, 507 or 503
 *
 * evhttp and the bufferevent stand aside during a body: an event on the socket wakes us, and intake.h
 * reads it into the memory that its readers are served from.
 *
 * A refusal is answered at once; the rest of the body is read and dropped by the framer, so that the
 * connection can go on: encoders drain no replies and do not survive a close.
 *
 * Deadlines: BODY has ingest_idle between bytes; the others PATIENCE_MS.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_INGEST_H
#define SPILLWAY_HTTP_INGEST_H

#include "http/conn.h"

/* Answers a PUT or POST of NAME, which is copied. */
void ingest_start(struct conn *conn, const char *name);

#endif
