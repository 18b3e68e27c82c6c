/* direct.h - replies that are made at once, without evhttp.
 *
 * Most requests on a connection that is kept ask for something finished that is in memory. For these
 * evhttp's part - a request object, a list of headers, printf, waiting for a writable socket - costs more
 * than the reply. So a GET or HEAD is routed as soon as its head is complete; what can be
 * answered on the spot goes out with one sendmsg, and evhttp never hears of it. As soon as a
 * handler has to wait (conn_attach) before it replies, or the connection is to be closed, evhttp is given the
 * request after all, with the fields that were added so far. A reply that began and waits for the socket, or for
 * its next bytes, stays direct.
 *
 * On a plain socket the heads behind a direct reply are read here, too, until one is evhttp's: libevent asks how many
 * bytes there are before each read, and evhttp looks at what the framer left, which is nothing.
 *
 * Deadlines: ingest_idle between requests, as the bufferevent has it.
 *
 * The first request of a connection always goes through evhttp: before it nothing tells us of its end.
 *
 * Threads  the worker's. One request has no reply yet and is direct: it is on the stack.
 * Owns     nothing; the fields are in the worker's buffer.
 */
#ifndef SPILLWAY_HTTP_DIRECT_H
#define SPILLWAY_HTTP_DIRECT_H

#include <sys/uio.h>

#include "http/conn.h"

/* Whether the request whose head is complete may be answered without evhttp. */
bool direct_is_possible(const struct conn *conn);

/* Routes it. CONN may be in any state afterwards. */
void direct_begin(struct conn *conn);

/* Adds a field to the reply. False if there is no room for it. */
bool direct_field(struct conn *conn, const char *name, const char *value);

bool direct_has_field(const struct conn *conn, const char *name);

void direct_forget_fields(struct conn *conn);

/* From now on the request is evhttp's, and conn->evreq is set. */
void direct_hand_over(struct conn *conn);

/* Sends the reply with all of BODY, which is emptied, or without one if that is NULL. */
void direct_reply(struct conn *conn, int code, const char *phrase, struct evbuffer *body);

#define DIRECT_LINE_MAX 128 /* a status line, with the longest phrase of reply.c, and the date */
#define DIRECT_HEAD_PIECES 2

/* The head of a reply, for as long as its handler is on the stack. */
struct direct_head {
	struct iovec pieces[DIRECT_HEAD_PIECES];
	char line[DIRECT_LINE_MAX]; /* the first; the other one is the worker's */
};

/* Makes HEAD of a reply whose body the caller sends itself, as it does the head. It may wait for the socket (conn_attach). */
void direct_start(struct conn *conn, int code, const char *phrase, struct direct_head *head);

/* All of the reply went out; nobody is attached. */
void direct_end(struct conn *conn);

/* Heads are the bufferevent's to read again. */
void direct_stop_reading(struct conn *conn);

/* For conn_attach: a direct reply waits for the socket. What the client sends meanwhile is not looked at. */
void direct_pause(struct conn *conn);

#endif
