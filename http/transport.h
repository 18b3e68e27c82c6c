/* transport.h - how bytes get from and to a client: the one place that knows plain sockets from TLS.
 *
 * Most heads are received and lists sent by the bufferevent. Bodies are received, and objects and small replies sent, past
 * its buffers: by readv(2), sendmsg(2) and sendfile(2), or by OpenSSL straight from and to the memory they are in. What lies in the buffers goes first: input before transport_read, output
 * before transport_send.
 *
 * Of TLS, three things are contained here. OpenSSL may hold bytes that the socket does not show any more; so who
 * waits for the socket does it by transport_await. A record that the socket did not take can't be taken
 * back; it goes into the output, one for a connection at most. And libevent 2.1 tells that the output
 * is empty one turn later, when it may not be any more (transport_queued).
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

/* The bufferevent of a connection that FACE is about to accept. NULL without memory. */
struct bufferevent *transport_open(struct conn *conn, const struct face *face);

/* Whether bytes can be exchanged: false until TLS's handshake is done. */
bool transport_is_open(const struct conn *conn);

/* Fills the COUNT pieces of IOV. The bytes read, of which fewer than asked for say that there are no more now. */
ssize_t transport_read(struct conn *conn, const struct iovec *iov, int count);

/* Adds READABLE, an event of the descriptor, for when transport_read has more. */
void transport_await(struct conn *conn, struct event *readable, const struct timeval *timeout);

/* The bufferevent reads again, where transport_read left off. */
void transport_resume_input(struct conn *conn);

/* The input of a connection that is busy grew: bounds it. */
void transport_bound_input(struct conn *conn);

/* Sends from the COUNT pieces of IOV, which stays as it is. The bytes taken. */
ssize_t transport_send(struct conn *conn, struct iovec *iov, int count);

/* The same when the last piece lies in FILE at OFFSET, too: a plain socket is given the file's pages instead of a
 * copy. FILE may be -1. -EIO if it has no such bytes. */
ssize_t transport_send_mapped(struct conn *conn, struct iovec *iov, int count, int file,
			      off_t offset);

/* The same from BUFFER, which is drained of what was taken. */
ssize_t transport_send_buffer(struct conn *conn, struct evbuffer *buffer);

/* Sends TEXT, or queues what can't be sent now. */
void transport_say(struct conn *conn, const char *text, size_t length);

/* Tries to send what is queued. True when nothing is left. */
bool transport_flush(struct conn *conn);

/* The descriptor, if what is sent needs nothing else of CONN and is never queued: a plain socket. Else -1. Who sends
 * to thousands has it at hand, and leaves their connections alone. */
int transport_socket(struct conn *conn);

/* transport_send to such a descriptor. */
ssize_t transport_send_plain(int fd, struct iovec *iov, int count);

/* evhttp queued something, and is to hear when all of it is sent. */
void transport_queued(struct conn *conn);

/* The connection ends in the middle of something: no close_notify, RFC 8446 6.1. */
void transport_cut(struct conn *conn);

/* The same, so that a client without TLS or chunks can't take it for the end of a body: by a reset. */
void transport_reset(struct conn *conn);

/* evhttp is about to close the connection: says goodbye unless it was cut. */
void transport_close(struct conn *conn);

/* Ends a connection that is not open in time; evhttp will let go of it. */
void transport_give_up(struct conn *conn);

/* evhttp let go of a connection before its first request. */
void transport_lost(struct conn *conn);

#endif
