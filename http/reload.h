/* reload.h - blocking playlist reload (RFC 8216bis 6.2.5.2): a GET with _HLS_msn and perhaps _HLS_part waits until
 * the stored playlist has what it names.
 *
 *   LOOKUP --letter--> read the playlist --on disk only--> WARMING --letter--> read it again
 *     it is there: represent; too far ahead: 400; else
 *     --> HOLDING --replaced or deleted--> LOOKUP
 *            \--deadline--> 503
 *
 * Deadlines: HOLDING has three target durations, in all; the store answers the other letters.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_RELOAD_H
#define SPILLWAY_HTTP_RELOAD_H

#include "http/conn.h"

/* Whether QUERY has a delivery directive that may block. */
bool reload_is_asked(struct slice query);

/* Answers a GET of NAME, which is copied, with such a QUERY. */
void reload_start(struct conn *conn, const char *name, struct slice query);

#endif
