/* sendmsg - the kernel's floor under fanout: what the same fan-out costs with no server at all.
 *
 * One process owns as many connected sockets as fanout has readers and sends each
 * of them, at the same pace, one chunk per write with one sendmsg(2): size line, data,
 * CRLF. Another process takes the bytes and throws them away. The CPU time of the
 * sender, which the kernel's work for TCP over the loopback is part of, is the least
 * that any origin on this machine can reach without other system calls.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/figures.h"
#include "tests/bench/net.h"

#define RECV_SIZE 262144

struct options {
	unsigned streams, readers, interval_ms, seconds;
	uint64_t rate; /* bytes a second of one stream */
};

/* A listening socket on a free port of the loopback. */
static int
listen_anywhere(unsigned *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 1024) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) != 0)
		figures_die("listen");
	*port = ntohs(address.sin_port);
	return fd;
}

/* The other process: takes COUNT connections' bytes until all have ended. */
static void
receive(unsigned port, unsigned count)
{
	struct epoll_event events[512], event = {.events = EPOLLIN};
	char *buffer = figures_alloc(RECV_SIZE);
	int epoll = epoll_create1(0), n, i;
	unsigned open_count;

	for (open_count = 0; open_count < count; open_count++) {
		event.data.fd = net_connect(port);
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event) != 0)
			figures_die("epoll_ctl");
	}
	while (open_count > 0) {
		n = epoll_wait(epoll, events, 512, -1);
		for (i = 0; i < n; i++) {
			if (recv(events[i].data.fd, buffer, RECV_SIZE, MSG_DONTWAIT) != 0)
				continue;
			close(events[i].data.fd);
			open_count--;
		}
	}
	exit(0);
}

/* One chunk to FD. Returns whether it went out at once and whole. */
static int
send_chunk(int fd, const char *line, const char *data, size_t length)
{
	struct iovec iov[3] = {
		{(void *)(uintptr_t)line, strlen(line)},
		{(void *)(uintptr_t)data, length},
		{(void *)(uintptr_t) "\r\n", 2},
	};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 3};
	ssize_t n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n == (ssize_t)(iov[0].iov_len + length + 2);
}

static double
cpu_seconds(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void
sleep_until(uint64_t when_ns)
{
	struct timespec when = {(time_t)(when_ns / 1000000000), (long)(when_ns % 1000000000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
		;
}

static void
measure(const struct options *o, const int *fds)
{
	size_t size = (size_t)(o->rate * o->interval_ms / 1000);
	uint64_t interval = o->interval_ms * UINT64_C(1000000), start = figures_now_ns();
	uint64_t sent = 0, full = 0;
	unsigned rounds = o->seconds * 1000 / o->interval_ms, round, stream, reader;
	char *data = figures_alloc(size), line[32];
	double cpu = cpu_seconds(), gb;

	snprintf(line, sizeof(line), "%zx\r\n", size);
	for (round = 0; round < rounds; round++) {
		for (stream = 0; stream < o->streams; stream++) {
			sleep_until(start + round * interval + interval * stream / o->streams);
			for (reader = 0; reader < o->readers; reader++) {
				if (send_chunk(fds[stream * o->readers + reader], line, data, size))
					sent++;
				else
					full++;
			}
		}
	}
	cpu = cpu_seconds() - cpu;
	gb = (double)sent * (double)size / 1e9;
	free(data);
	printf("the kernel alone: %u sockets, one sendmsg of %zu bytes each every %u ms\n",
	       o->streams * o->readers, size, o->interval_ms);
	printf("  delivered            %10.3f GB\n", gb);
	printf("  sockets full         %10llu times\n", (unsigned long long)full);
	printf("  CPU                  %10.2f s      %.2f s/GB, %.2f us a reader and write\n", cpu,
	       cpu / gb, cpu * 1e6 / (double)sent);
	printf("bench=sendmsg readers=%u bytes=%.0f full=%llu cpu_s=%.2f cpu_s_per_gb=%.3f "
	       "us_per_part=%.2f\n",
	       o->streams * o->readers, gb * 1e9, (unsigned long long)full, cpu, cpu / gb,
	       cpu * 1e6 / (double)sent);
}

static void
usage(void)
{
	fprintf(stderr, "usage: sendmsg [--streams 32] [--readers 128] [--rate 262144]\n"
			"               [--interval-ms 40] [--seconds 10]\n");
	exit(2);
}

static struct options
parse(int argc, char **argv)
{
	struct options o = {32, 128, 40, 10, 262144};
	int i;

	for (i = 1; i < argc; i += 2) {
		unsigned long value = i + 1 < argc ? strtoul(argv[i + 1], NULL, 10) : 0;

		if (value == 0)
			usage();
		if (strcmp(argv[i], "--streams") == 0)
			o.streams = (unsigned)value;
		else if (strcmp(argv[i], "--readers") == 0)
			o.readers = (unsigned)value;
		else if (strcmp(argv[i], "--rate") == 0)
			o.rate = value;
		else if (strcmp(argv[i], "--interval-ms") == 0)
			o.interval_ms = (unsigned)value;
		else if (strcmp(argv[i], "--seconds") == 0)
			o.seconds = (unsigned)value;
		else
			usage();
	}
	if (o.rate * o.interval_ms / 1000 == 0 || o.seconds * 1000 < o.interval_ms)
		usage();
	return o;
}

int
main(int argc, char **argv)
{
	struct options o = parse(argc, argv);
	unsigned count = o.streams * o.readers, port, i;
	int listener, one = 1, *fds;
	pid_t child;

	figures_raise_nofile(count + 64);
	fds = figures_alloc(count * sizeof(*fds));
	listener = listen_anywhere(&port);
	child = fork();
	if (child < 0)
		figures_die("fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(listener);
		receive(port, count);
	}
	for (i = 0; i < count; i++) {
		fds[i] = accept(listener, NULL, NULL);
		if (fds[i] < 0)
			figures_die("accept");
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	measure(&o, fds);
	for (i = 0; i < count; i++)
		close(fds[i]);
	waitpid(child, NULL, 0);
	free(fds);
	return 0;
}
