/* gate.h - stands before every request: may its client do this?
 *
 *   --allowed--> the request goes on, at once
 *   --password not known yet--> CHECKING --letter--> it goes on, or is refused
 *   CHECKING --connection gone--> ORPHAN --letter--> freed
 *
 * A refusal is 401 when a password or a token would help, with what is asked for; else 403, with the key of the
 * configuration that says so; 503 when too many passwords wait to be checked. The body of a refused upload is
 * not wanted, and 100 was not sent.
 *
 * Deadline: CHECKING is one job of the checker, whose queue is bounded.
 *
 * Threads  the worker's.
 * Owns     what waits.
 */
#ifndef SPILLWAY_HTTP_GATE_H
#define SPILLWAY_HTTP_GATE_H

#include "http/grant.h"
#include "http/conn.h"
#include "http/slice.h"

/* What a request goes on with; NAME and QUERY as path_decode and path_split made them. */
typedef void gate_go_on(struct conn *conn, const char *name, struct slice query);

/* Lets CONN's request, which is to do OP to NAME, go on with GO_ON, now or later, or refuses it. */
void gate_pass(struct conn *conn, enum grant_op op, const char *name, struct slice query,
	       gate_go_on *go_on);

#endif
