/* reply.h - everything that is sent to a client goes through here.
 *
 * This is the only caller of evhttp_send_*, and contains its habits: reading goes on during replies (and
 * times out), bodies on HEAD are sent, write buffers are flushed one turn of the loop later.
 *
 * A request gets either one complete reply (reply_empty, reply_text, reply_buffer), or reply_start, any number of
 * reply_chunk, and reply_end; or reply_body_start or reply_live_start, the handler's own writes to the
 * socket, and reply_end. Whatever completes the reply detaches the handler
 * first: it may free itself when the call returns, and must not touch the connection again.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_REPLY_H
#define SPILLWAY_HTTP_REPLY_H

#include "http/conn.h"

struct direct_head;

/* Adds a header to the reply that is about to be made. */
void reply_header(struct conn *conn, const char *name, const char *value);

/* The same with a number, and with FORMAT as printf takes it (the value may be 255 bytes long). */
void reply_header_number(struct conn *conn, const char *name, uint64_t value);
void reply_header_format(struct conn *conn, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Takes back every header that was set: something else than planned is answered. */
void reply_forget_headers(struct conn *conn);

/* Answers the Expect of a request whose body is wanted; nothing if it had none. */
void reply_continue(struct conn *conn);

/* Without a body: 2xx to a write, 304, or whatever a HEAD asks. */
void reply_empty(struct conn *conn, int code);

/* One line of text/plain that names the reason: every error. */
void reply_text(struct conn *conn, int code, const char *reason);

/* All of BODY, which is emptied; Content-Length is added. */
void reply_buffer(struct conn *conn, int code, struct evbuffer *body);

/* Begins a body that comes in parts: chunked unless a Content-Length was added. */
void reply_start(struct conn *conn, int code);

/* Queues all of PART, which is not empty; DRAINED is called, with the handler, when the client took it. */
void reply_chunk(struct conn *conn, struct evbuffer *part, void (*drained)(void *handler));

/* The body is complete. */
void reply_end(struct conn *conn);

/* Begins a body of the Content-Length that was added, which the handler writes to the socket itself. Before it goes what
 * evhttp has (transport_flush), and HEAD. */
void reply_body_start(struct conn *conn, int code, struct direct_head *head);

/* Begins a body without a length that the handler writes to the socket itself, framed by chunks
 * unless it is HTTP/1.0. The connection is watched for the client leaving. */
void reply_live_start(struct conn *conn, int code);

#endif
