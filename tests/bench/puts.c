/* puts - many uploads over kept connections, each begun when the last one was answered.
 *
 * A connection has one request in flight; what is measured is the time from its first byte to the
 * end of its reply. Works against everything that takes PUT. With --pid the CPU time of that server
 * and all its descendants is given per object.
 *
 * Exit status 1 if an upload was not answered 201 or 204.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/figures.h"
#include "tests/bench/net.h"

#define BLOCK 1048576u /* of the body; repeated as often as it takes */
#define TURN_MS 100

struct options {
	unsigned port, connections, seconds, pause_ms;
	unsigned long count; /* objects in all; 0: as many as SECONDS allow */
	unsigned long paths; /* different ones; 0: a new one for each */
	unsigned long first; /* number of the first one */
	uint64_t size;
	const char *suffix;
	int pid;
};

struct lane {
	int fd;
	bool busy;
	char head[256];
	size_t head_length;
	uint64_t sent; /* of head and body */
	uint64_t begun_ns, due_ns;
	char reply[2048];
	size_t reply_length;
};

struct load {
	struct options options;
	int epoll;
	struct lane *lanes;
	char *block;
	unsigned long begun, answered, refused;
	struct figures_times times;
	uint64_t end_ns;
};

static void
listen_for(struct load *load, struct lane *lane, int op, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = lane};

	if (epoll_ctl(load->epoll, op, lane->fd, &event) != 0)
		figures_die("epoll_ctl");
}

/* Sends what the socket takes. */
static void
push(struct load *load, struct lane *lane)
{
	uint64_t size = load->options.size, all = lane->head_length + size;

	while (lane->sent < all) {
		uint64_t body = lane->sent > lane->head_length ? lane->sent - lane->head_length : 0;
		size_t at = (size_t)(body % BLOCK);
		size_t rest = size - body < BLOCK - at ? (size_t)(size - body) : BLOCK - at;
		struct iovec iov[2] = {{lane->head, 0}, {load->block + at, rest}};
		struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
		ssize_t n;

		if (lane->sent < lane->head_length) {
			iov[0].iov_base = lane->head + lane->sent;
			iov[0].iov_len = (size_t)(lane->head_length - lane->sent);
		}
		n = sendmsg(lane->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			listen_for(load, lane, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
			return;
		}
		if (n < 0)
			figures_die("sendmsg");
		lane->sent += (uint64_t)n;
	}
	listen_for(load, lane, EPOLL_CTL_MOD, EPOLLIN);
}

static bool
may_begin(const struct load *load, uint64_t now)
{
	return load->options.count > 0 ? load->begun < load->options.count : now < load->end_ns;
}

static void
begin(struct load *load, struct lane *lane, uint64_t now)
{
	const struct options *o = &load->options;
	unsigned long number = o->first + load->begun++;

	if (o->paths > 0)
		number %= o->paths;
	lane->head_length = (size_t)snprintf(
		lane->head, sizeof(lane->head),
		"PUT /bench/puts/%03lu/%08lu%s HTTP/1.1\r\nHost: bench\r\nContent-Length: %llu\r\n\r\n",
		number % 1000, number, o->suffix, (unsigned long long)o->size);
	lane->busy = true;
	lane->sent = lane->reply_length = 0;
	lane->begun_ns = now;
	push(load, lane);
}

/* The reply is complete when its head is: none that is expected has a body. */
static void
receive(struct load *load, struct lane *lane)
{
	ssize_t n = recv(lane->fd, lane->reply + lane->reply_length,
			 sizeof(lane->reply) - 1 - lane->reply_length, MSG_DONTWAIT);
	uint64_t now = figures_now_ns();

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		fprintf(stderr, "puts: a connection was ended\n");
		exit(1);
	}
	lane->reply_length += (size_t)n;
	lane->reply[lane->reply_length] = '\0';
	if (strstr(lane->reply, "\r\n\r\n") == NULL)
		return;
	if (strncmp(lane->reply, "HTTP/1.1 201 ", 13) != 0 &&
	    strncmp(lane->reply, "HTTP/1.1 204 ", 13) != 0) {
		fprintf(stderr, "puts: %.200s\n", lane->reply);
		exit(1);
	}
	figures_times_add(&load->times, now - lane->begun_ns);
	load->answered++;
	lane->busy = false;
	lane->due_ns = now + load->options.pause_ms * UINT64_C(1000000);
	if (load->options.pause_ms == 0 && may_begin(load, now))
		begin(load, lane, now);
}

/* Begins what waited for its pause to end. Milliseconds until the next one is due. */
static int
begin_due(struct load *load)
{
	uint64_t now = figures_now_ns(), next = now + TURN_MS * UINT64_C(1000000);

	for (unsigned i = 0; i < load->options.connections; i++) {
		struct lane *lane = &load->lanes[i];

		if (lane->busy)
			continue;
		if (lane->due_ns <= now && may_begin(load, now))
			begin(load, lane, now);
		else if (lane->due_ns > now && lane->due_ns < next)
			next = lane->due_ns;
	}
	return (int)((next - now) / 1000000);
}

static void
run(struct load *load)
{
	struct epoll_event events[512];

	load->end_ns = figures_now_ns() + load->options.seconds * UINT64_C(1000000000);
	for (;;) {
		int wait_ms =
			load->options.pause_ms > 0 || load->begun == 0 ? begin_due(load) : TURN_MS;
		int n, i;

		if (load->answered == load->begun && !may_begin(load, figures_now_ns()))
			return;
		n = epoll_wait(load->epoll, events, 512, wait_ms);
		for (i = 0; i < n; i++) {
			struct lane *lane = events[i].data.ptr;

			if (events[i].events & EPOLLOUT)
				push(load, lane);
			if (events[i].events & ~(uint32_t)EPOLLOUT)
				receive(load, lane);
		}
	}
}

static void
report(const struct load *load, double seconds, double cpu)
{
	const struct options *o = &load->options;
	double each = (double)load->answered;
	uint32_t p50 = figures_times_percentile(&load->times, 0.50);
	uint32_t p99 = figures_times_percentile(&load->times, 0.99);
	uint32_t max = figures_times_percentile(&load->times, 1.00);

	printf("%lu uploads of %llu bytes on %u connections\n", load->answered,
	       (unsigned long long)o->size, o->connections);
	printf("  time                 %10.2f s      %.0f a second, %.3f GB/s\n", seconds,
	       each / seconds, each * (double)o->size / 1e9 / seconds);
	printf("  p50 / p99 / max      %10.3f ms     %.3f ms, %.3f ms\n", p50 / 1000.0,
	       p99 / 1000.0, max / 1000.0);
	if (o->pid > 0)
		printf("  server CPU           %10.2f s      %.1f us an upload\n", cpu,
		       cpu * 1e6 / each);
	printf("bench=puts size=%llu connections=%u answered=%lu seconds=%.3f per_s=%.1f gb_per_s=%.3f "
	       "p50_us=%u p99_us=%u max_us=%u server_cpu_s=%.2f us_per_put=%.2f\n",
	       (unsigned long long)o->size, o->connections, load->answered, seconds, each / seconds,
	       each * (double)o->size / 1e9 / seconds, p50, p99, max, cpu, cpu * 1e6 / each);
}

static void
usage(void)
{
	fprintf(stderr,
		"usage: puts --port PORT [--pid PID] [--connections 16] [--size 65536]\n"
		"            [--seconds 5] [--count N] [--paths N] [--first N] [--pause-ms N]\n"
		"            [--suffix .m4s]\n");
	exit(2);
}

static struct options
parse(int argc, char **argv)
{
	struct options o = {.connections = 16, .size = 65536, .seconds = 5, .suffix = ".m4s"};

	for (int i = 1; i < argc; i += 2) {
		const char *text = i + 1 < argc ? argv[i + 1] : "";
		unsigned long value = strtoul(text, NULL, 10);

		if (strcmp(argv[i], "--port") == 0)
			o.port = (unsigned)value;
		else if (strcmp(argv[i], "--pid") == 0)
			o.pid = (int)value;
		else if (strcmp(argv[i], "--connections") == 0)
			o.connections = (unsigned)value;
		else if (strcmp(argv[i], "--size") == 0)
			o.size = value;
		else if (strcmp(argv[i], "--seconds") == 0)
			o.seconds = (unsigned)value;
		else if (strcmp(argv[i], "--count") == 0)
			o.count = value;
		else if (strcmp(argv[i], "--paths") == 0)
			o.paths = value;
		else if (strcmp(argv[i], "--first") == 0)
			o.first = value;
		else if (strcmp(argv[i], "--pause-ms") == 0)
			o.pause_ms = (unsigned)value;
		else if (strcmp(argv[i], "--suffix") == 0)
			o.suffix = text;
		else
			usage();
	}
	if (o.port == 0 || o.connections == 0 || strlen(o.suffix) > 32)
		usage();
	return o;
}

int
main(int argc, char **argv)
{
	struct load load = {.options = parse(argc, argv)};
	struct figures before, after;
	uint64_t start;
	unsigned i;

	figures_raise_nofile(load.options.connections + 64);
	figures_times_init(&load.times);
	load.lanes = figures_alloc(load.options.connections * sizeof(*load.lanes));
	load.block = figures_alloc(BLOCK);
	for (i = 0; i < BLOCK; i++)
		load.block[i] = (char)(i * 2654435761u >> 24);
	load.epoll = epoll_create1(0);
	if (load.epoll < 0)
		figures_die("epoll_create1");
	for (i = 0; i < load.options.connections; i++) {
		load.lanes[i].fd = net_connect(load.options.port);
		listen_for(&load, &load.lanes[i], EPOLL_CTL_ADD, EPOLLIN);
	}
	figures_read(load.options.pid, &before);
	start = figures_now_ns();
	run(&load);
	figures_read(load.options.pid, &after);
	report(&load, (double)(figures_now_ns() - start) / 1e9,
	       after.cpu_seconds - before.cpu_seconds);
	return 0;
}
