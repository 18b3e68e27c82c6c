/* transport.h - how bytes get from and to a client's socket, past the bufferevent.
 *
 * Bodies are received, and growing objects and small replies sent, without evhttp's buffers in between.
 * What lies in those buffers goes first: input before transport_read, output before transport_send.
 *
 * Threads  the worker's.
 * Errors   -EAGAIN  not now: wait for the descriptor
 *          -EPIPE   the client is gone
 */
#ifndef SPILLWAY_HTTP_TRANSPORT_H
#define SPILLWAY_HTTP_TRANSPORT_H

#include <sys/types.h>
#include <sys/uio.h>

#include "http/conn.h"

/* Fills the COUNT pieces of IOV. The bytes read, of which fewer than asked for say that there are no more now. */
ssize_t transport_read(struct conn *conn, const struct iovec *iov, int count);

/* Sends from the COUNT pieces of IOV, which stays as it is. The bytes taken. */
ssize_t transport_send(struct conn *conn, struct iovec *iov, int count);

/* The same from BUFFER, which is drained of what was taken. */
ssize_t transport_send_buffer(struct conn *conn, struct evbuffer *buffer);

/* Sends TEXT, or queues what can't be sent now. */
void transport_say(struct conn *conn, const char *text, size_t length);

/* Tries to send what is queued. True when nothing is left. */
bool transport_flush(struct conn *conn);

/* From now on the client can't take the end of the connection for that of a body: it is reset. */
void transport_reset(struct conn *conn);

#endif
