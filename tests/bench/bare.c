/* bare - the kernel's floor under GET: what the same replies cost when nobody looks at the request.
 *
 * Answers whatever comes on a connection with one body of --size bytes, the same each time: with one sendmsg(2), or, from
 * 16 KiB on, with one for the head and sendfile(2) for the rest, 512 KiB at a time. --workers processes share
 * the port; each waits with epoll, reads, sends, and does nothing else. Runs until it is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "tests/bench/figures.h"
#include "tests/bench/net.h"

#define FILE_MIN 16384
#define WRITE_MAX ((size_t)1 << 19)

struct body {
	char *data;
	size_t size;
	int file; /* the same bytes */
	char head[256];
	size_t head_length;
};

struct client {
	int fd;
	bool busy, blocked;
	size_t sent; /* of the body */
};

static struct body
make_body(size_t size)
{
	struct body body = {.data = figures_alloc(size), .size = size};
	FILE *file = tmpfile();

	memset(body.data, 'x', size);
	if (file == NULL || fwrite(body.data, 1, size, file) != size || fflush(file) != 0)
		figures_die("a temporary file");
	body.file = fileno(file);
	body.head_length = (size_t)snprintf(body.head, sizeof(body.head),
					    "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n"
					    "Content-Length: %zu\r\n\r\n",
					    size);
	return body;
}

static int
listen_on(unsigned port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 1024) != 0)
		figures_die("listen");
	return fd;
}

static void
watch(int epoll, int op, struct client *client, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = client};

	if (epoll_ctl(epoll, op, client->fd, &event) != 0)
		figures_die("epoll_ctl");
}

/* Sends what the socket takes. Whether that is all; -1 when the client is gone. */
static int
reply(struct client *client, const struct body *body)
{
	bool by_file = body->size >= FILE_MIN;
	struct iovec iov[2] = {{(void *)(uintptr_t)body->head, body->head_length},
			       {body->data, body->size}};
	struct msghdr head = {.msg_iov = iov, .msg_iovlen = by_file ? 1 : 2};

	/* The socket is empty, and takes this at once. */
	if (client->sent == 0 &&
	    sendmsg(client->fd, &head, MSG_NOSIGNAL | (by_file ? MSG_MORE : 0)) < 0)
		return -1;
	if (!by_file)
		return 1;
	while (client->sent < body->size) {
		size_t left = body->size - client->sent, want = left < WRITE_MAX ? left : WRITE_MAX;
		off_t offset = (off_t)client->sent;
		ssize_t n = sendfile(client->fd, body->file, &offset, want);

		if (n < 0 && errno != EAGAIN)
			return -1;
		client->sent += n > 0 ? (size_t)n : 0;
		if (n < (ssize_t)want)
			return 0;
	}
	client->sent = 0;
	return 1;
}

static void
serve(int epoll, struct client *client, const struct body *body)
{
	char request[4096];
	int all;

	if (!client->busy && read(client->fd, request, sizeof(request)) <= 0) {
		close(client->fd);
		free(client);
		return;
	}
	all = reply(client, body);
	if (all < 0) {
		close(client->fd);
		free(client);
		return;
	}
	client->busy = all == 0;
	if (client->busy == client->blocked)
		return;
	client->blocked = client->busy;
	watch(epoll, EPOLL_CTL_MOD, client, client->blocked ? EPOLLOUT : EPOLLIN);
}

static void
work(unsigned port, const struct body *body)
{
	struct client listener = {.fd = listen_on(port)};
	int epoll = epoll_create1(0);
	struct epoll_event events[64];

	watch(epoll, EPOLL_CTL_ADD, &listener, EPOLLIN);
	for (;;) {
		int n = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < n; i++) {
			struct client *client = events[i].data.ptr;
			int fd;

			if (client != &listener) {
				serve(epoll, client, body);
				continue;
			}
			while ((fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				client = figures_alloc(sizeof(*client));
				client->fd = fd;
				watch(epoll, EPOLL_CTL_ADD, client, EPOLLIN);
			}
		}
	}
}

int
main(int argc, char **argv)
{
	unsigned port = 0, workers = 2;
	struct body body;
	size_t size = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		unsigned long value = strtoul(argv[i + 1], NULL, 10);

		if (strcmp(argv[i], "--port") == 0)
			port = (unsigned)value;
		else if (strcmp(argv[i], "--size") == 0)
			size = value;
		else if (strcmp(argv[i], "--workers") == 0)
			workers = (unsigned)value;
	}
	if (port == 0 || size == 0 || workers == 0) {
		fprintf(stderr, "usage: bare --port PORT --size BYTES [--workers 2]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	body = make_body(size);
	while (--workers > 0) {
		pid_t child = fork();

		if (child < 0)
			figures_die("fork");
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			break;
		}
	}
	work(port, &body);
}
