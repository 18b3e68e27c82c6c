#include "http/transport.h"

#include <errno.h>
#include <sys/socket.h>

/* N as recv(2) and send(2) return it, in our terms. */
static ssize_t
result(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? -EAGAIN : -EPIPE;
}

ssize_t
transport_read(struct conn *conn, const struct iovec *iov, int count)
{
	ssize_t n = readv(conn_fd(conn), iov, count);

	return n == 0 ? -EPIPE : result(n);
}

ssize_t
transport_send(struct conn *conn, struct iovec *iov, int count)
{
	const struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};

	return result(sendmsg(conn_fd(conn), &message, MSG_NOSIGNAL | MSG_DONTWAIT));
}

ssize_t
transport_send_buffer(struct conn *conn, struct evbuffer *buffer)
{
	ssize_t n = evbuffer_write(buffer, conn_fd(conn));

	return n == 0 ? -EPIPE : result(n);
}

void
transport_say(struct conn *conn, const char *text, size_t length)
{
	struct iovec iov = {(void *)(uintptr_t)text, length};
	ssize_t n = transport_send(conn, &iov, 1);
	size_t sent = n > 0 ? (size_t)n : 0; /* an error shows itself again */

	if (sent == length)
		return;
	evbuffer_add(bufferevent_get_output(conn->bev), text + sent, length - sent);
	bufferevent_enable(conn->bev, EV_WRITE);
}

bool
transport_flush(struct conn *conn)
{
	struct evbuffer *output = bufferevent_get_output(conn->bev);

	if (evbuffer_get_length(output) == 0)
		return true;
	/* The bufferevent would do this in the next turn of the loop. */
	evbuffer_unfreeze(output, 1);
	while (evbuffer_get_length(output) > 0) {
		if (evbuffer_write(output, conn_fd(conn)) <= 0)
			break;
	}
	evbuffer_freeze(output, 1);
	return evbuffer_get_length(output) == 0;
}

void
transport_reset(struct conn *conn)
{
	/* connect(2) to AF_UNSPEC dissolves the association; evhttp's shutdown would send a FIN. */
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	int rc = connect(conn_fd(conn), &nobody, sizeof(nobody));

	(void)rc; /* it is closed in any case */
}
