/* net.h - the sockets of the load tools.
 *
 * Threads  any. Errors: says why and exits with 2.
 */
#ifndef SPILLWAY_TESTS_BENCH_NET_H
#define SPILLWAY_TESTS_BENCH_NET_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* A blocking connection to PORT of the loopback, without Nagle's delay. */
int net_connect(unsigned port);

/* Sends everything; waits when the socket is full. */
void net_send_all(int fd, const void *data, size_t length);

/* The same for COUNT pieces; IOV is consumed. */
void net_sendv_all(int fd, struct iovec *iov, int count);

/* Waits until HEAD of PATH is answered 200. */
void net_await_object(unsigned port, const char *path);

#endif
