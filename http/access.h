/* access.h - what is remembered of a request for the access log, and when it is written there.
 *
 * Each request is logged once, when it is over: its reply was sent, or its connection ended.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_ACCESS_H
#define SPILLWAY_HTTP_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

struct conn;

/* Part of struct conn; kept up to date also when nothing is logged. */
struct access {
	bool open;          /* the request is not over */
	int status;         /* 0: no reply began */
	int64_t first_us;   /* mono; when it began */
	uint64_t sent;      /* bytes of the reply's body; headers are not counted */
	uint64_t received;  /* of the request's */
	const char *object; /* as in access_line.h */
	char *user; /* who asked, as far as it was shown; NULL: nobody, or nothing is logged */
};

/* A request begins. */
void access_begin(struct conn *conn);

/* The gate knows that NAME asks, a user, token or certificate; NULL changes nothing. */
void access_user(struct conn *conn, const char *name);

/* It is over; WHOLE: all of the reply is on its way. Nothing if it was over already. */
void access_end(struct conn *conn, bool whole);

#endif
