/* route.h - which handler answers a request.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_ROUTE_H
#define SPILLWAY_HTTP_ROUTE_H

struct conn;

/* Answers the request that CONN has just begun. */
void route_request(struct conn *conn);

#endif
