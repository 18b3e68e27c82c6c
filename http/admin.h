/* admin.h - what the admin listener answers: /healthz, /readyz, /metrics, /list.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_ADMIN_H
#define SPILLWAY_HTTP_ADMIN_H

#include "http/conn.h"

/* Answers a request on the admin listener for PATH, decoded, with QUERY. */
void admin_request(struct conn *conn, const char *path, struct slice query);

#endif
