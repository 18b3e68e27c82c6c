#include "tests/bench/net.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/figures.h"

#define AWAIT_TRIES 2000

int
net_connect(unsigned port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		figures_die("socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		figures_die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

void
net_send_all(int fd, const void *data, size_t length)
{
	struct iovec iov = {(void *)(uintptr_t)data, length};

	net_sendv_all(fd, &iov, 1);
}

void
net_sendv_all(int fd, struct iovec *iov, int count)
{
	while (count > 0) {
		struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
		ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			figures_die("sendmsg");
		for (; count > 0 && (size_t)n >= iov->iov_len; iov++, count--)
			n -= (ssize_t)iov->iov_len;
		if (count > 0) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
}

/* Whether HEAD of PATH is answered 200, on connection FD. */
static int
exists(int fd, const char *path)
{
	char text[2048];
	size_t have = 0;

	snprintf(text, sizeof(text), "HEAD %s HTTP/1.1\r\nHost: bench\r\n\r\n", path);
	net_send_all(fd, text, strlen(text));
	text[0] = '\0';
	while (strstr(text, "\r\n\r\n") == NULL) {
		ssize_t n = recv(fd, text + have, sizeof(text) - 1 - have, 0);

		if (n <= 0)
			figures_die("recv");
		have += (size_t)n;
		text[have] = '\0';
	}
	return strncmp(text, "HTTP/1.1 200 ", 13) == 0;
}

void
net_await_object(unsigned port, const char *path)
{
	int fd = net_connect(port);
	unsigned tries;

	for (tries = 0; !exists(fd, path); tries++) {
		if (tries == AWAIT_TRIES) {
			fprintf(stderr, "%s does not appear\n", path);
			exit(2);
		}
		usleep(1000);
	}
	close(fd);
}
