#include "http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/slice.h"

#define BACKLOG 4096      /* the kernel's somaxconn limits it further */
#define UNSENT_MAX 262144 /* bytes that the kernel holds for a reader before it sends them */

int
listen_parse(const char *text, struct listen_address *out)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN];
	size_t length;
	uint64_t port;
	struct listen_address got = {.length = 0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&got.sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&got.sa;

	if (colon == NULL || slice_decimal(slice_of(colon + 1), &port) != 0 || port > 65535)
		return -EINVAL;
	length = (size_t)(colon - text);
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		if (length - 2 >= sizeof(host))
			return -EINVAL;
		memcpy(host, text + 1, length - 2);
		host[length - 2] = '\0';
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		got.length = sizeof(*v6);
		if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
			return -EINVAL;
	} else {
		if (length >= sizeof(host))
			return -EINVAL;
		memcpy(host, text, length);
		host[length] = '\0';
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		got.length = sizeof(*v4);
		if (inet_pton(AF_INET, host, &v4->sin_addr) != 1)
			return -EINVAL;
	}
	*out = got;
	return 0;
}

static int
set(int fd, int level, int name)
{
	const int one = 1;

	return setsockopt(fd, level, name, &one, sizeof(one));
}

/* What accepted sockets inherit. Parts of live objects are small and urgent. And what a reader does not take stays in the
 * object, where all share it: by itself the kernel would copy up to 4 MiB for each one that is slow. */
static int
set_inherited(int fd)
{
	const int unsent = UNSENT_MAX;

	if (set(fd, IPPROTO_TCP, TCP_NODELAY) != 0 || set(fd, SOL_SOCKET, SO_KEEPALIVE) != 0)
		return -1;
	return setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

int
listen_open(struct listen_address *address, bool first, int *out)
{
	int rc, fd = socket(address->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (set(fd, SOL_SOCKET, SO_REUSEADDR) != 0 || set_inherited(fd) != 0 ||
	    (address->sa.ss_family == AF_INET6 && set(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0) ||
	    (!first && set(fd, SOL_SOCKET, SO_REUSEPORT) != 0) ||
	    bind(fd, (struct sockaddr *)&address->sa, address->length) != 0 ||
	    (first && set(fd, SOL_SOCKET, SO_REUSEPORT) != 0) || listen(fd, BACKLOG) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address->sa, &address->length) != 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	*out = fd;
	return 0;
}

int
listen_adopt(int fd, struct listen_address *address)
{
	struct listen_address got = {.length = sizeof(got.sa)};
	int type, listens, flags;
	socklen_t type_length = sizeof(type), listens_length = sizeof(listens);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_length) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_length) != 0 ||
	    getsockname(fd, (struct sockaddr *)&got.sa, &got.length) != 0)
		return -errno;
	if (type != SOCK_STREAM || !listens ||
	    (got.sa.ss_family != AF_INET && got.sa.ss_family != AF_INET6))
		return -EINVAL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || set_inherited(fd) != 0)
		return -errno;
	*address = got;
	return 0;
}

void
listen_format(const struct listen_address *address, char text[LISTEN_TEXT_MAX])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->sa;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->sa;
	char host[INET6_ADDRSTRLEN] = "";

	if (address->sa.ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(text, LISTEN_TEXT_MAX, "[%s]:%u", host, (unsigned)ntohs(v6->sin6_port));
	} else {
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(text, LISTEN_TEXT_MAX, "%s:%u", host, (unsigned)ntohs(v4->sin_port));
	}
}
