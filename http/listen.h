/* listen.h - listening sockets from what operators write.
 *
 * Threads  any.
 */
#ifndef SPILLWAY_HTTP_LISTEN_H
#define SPILLWAY_HTTP_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* An address in binary form. */
struct listen_address {
	struct sockaddr_storage sa;
	socklen_t length;
};

#define LISTEN_TEXT_MAX 64 /* "[V6]:PORT" with the NUL */

/* Reads "ADDR:PORT" or "[V6]:PORT", numeric. 0 or -EINVAL. */
int listen_parse(const char *text, struct listen_address *out);

/* Binds a socket that shares its port (SO_REUSEPORT) and listens. The FIRST one of a port must find it
 * free: -EADDRINUSE if another process has it, even if that one would share. Port 0 in ADDRESS
 * is replaced by the port that was found. 0 with the descriptor in *FD, or -errno. */
int listen_open(struct listen_address *address, bool first, int *fd);

/* Prepares FD, which somebody else bound and may share with us, and says its address. 0; -ENOTSOCK or -EINVAL
 * if it is not a TCP socket that listens; or another -errno. */
int listen_adopt(int fd, struct listen_address *address);

/* Writes ADDRESS as listen_parse reads it. */
void listen_format(const struct listen_address *address, char text[LISTEN_TEXT_MAX]);

#endif
