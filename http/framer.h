/* framer.h - finds requests in what a connection receives, before evhttp sees it.
 *
 * evhttp 2.1 hands a request over only when its whole body is in memory, forgets methods it does not
 * know, and accepts heads that two readers could take differently. So it is never shown a byte
 * that a client sent: a callback on the bufferevent's input takes the head away until it is
 * complete, checks it (head.h), and puts a head of our own in its place, "GET / HTTP/1.1" or one
 * of five like it. evhttp dispatches that at once; the handlers read the real head, and then the
 * body, from the connection. A head that is refused is replaced in the same way, so that one
 * place answers everything. While a request is being answered the input is left alone.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_FRAMER_H
#define SPILLWAY_HTTP_FRAMER_H

#include "http/conn.h"

/* The evbuffer callback of a connection's input; ARG is the connection. */
void framer_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg);

/* Looks at what is in the input, after the state of CONN changed. */
void framer_run(struct conn *conn);

/* Puts what evhttp is to see of the request in front of the input. */
void framer_hand_over(struct conn *conn);

/* Refuses the head that CONN is waiting for. */
void framer_refuse(struct conn *conn, enum head_verdict verdict);

#endif
