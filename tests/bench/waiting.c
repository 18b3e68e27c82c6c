/* waiting - readers of an object that does not grow: what each costs in memory, and how soon all are woken.
 *
 * Some readers first make what the server keeps anyway (tables, buffers of its workers); then its own memory
 * is read, the rest of the readers come, and it is read again. Now and then the writer sends a few bytes; the
 * time from before that send(2) until the last reader has them is one waking.
 *
 * Exit status 1 if a reader is cut.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/figures.h"
#include "tests/bench/net.h"

#define WARM_UP 64 /* readers */
#define LAST '!'   /* the last byte of a part; nothing else has one */
#define CHUNK "10\r\n0123456789abcde!\r\n"
#define PATH "/bench/waiting.m4s"
#define PAUSE_US 100000
#define TIMEOUT_MS 10000

struct reader {
	int fd;
	int in_body;
	char tail[4]; /* of the head, to see its end */
};

struct load {
	int epoll;
	unsigned port, nreaders, present;
	struct reader *readers;
};

/* Notes that LENGTH bytes of DATA came; true when the reader has its head, or all of a part, however the
 * server cut it into chunks. */
static int
take(struct reader *reader, const char *data, size_t length)
{
	while (!reader->in_body && length > 0) {
		memmove(reader->tail, reader->tail + 1, 3);
		reader->tail[3] = *data++;
		length--;
		if (memcmp(reader->tail, "\r\n\r\n", 4) != 0)
			continue;
		reader->in_body = 1;
		return 1;
	}
	return length > 0 && memchr(data, LAST, length) != NULL;
}

/* Waits until the readers that there are have taken what is coming. */
static void
settle(struct load *load, unsigned wanted)
{
	struct epoll_event events[512];
	char buffer[4096];

	while (wanted > 0) {
		int n = epoll_wait(load->epoll, events, 512, TIMEOUT_MS), i;

		if (n == 0) {
			fprintf(stderr, "waiting: %u readers got nothing\n", wanted);
			exit(1);
		}
		for (i = 0; i < n; i++) {
			struct reader *reader = events[i].data.ptr;
			ssize_t got = recv(reader->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

			if (got < 0 && (errno == EAGAIN || errno == EINTR))
				continue;
			if (got <= 0) {
				fprintf(stderr, "waiting: a reader was cut\n");
				exit(1);
			}
			wanted -= (unsigned)take(reader, buffer, (size_t)got);
		}
	}
}

static void
add_readers(struct load *load, unsigned upto)
{
	static const char head[] =
		"GET " PATH " HTTP/1.1\r\nHost: bench\r\nUser-Agent: waiting\r\n\r\n";

	for (; load->present < upto; load->present++) {
		struct reader *reader = &load->readers[load->present];
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = reader};

		reader->fd = net_connect(load->port);
		net_send_all(reader->fd, head, sizeof(head) - 1);
		if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, reader->fd, &event) != 0)
			figures_die("epoll_ctl");
		settle(load, 1);
	}
}

/* Nanoseconds from a write until all have it. */
static uint64_t
wake(struct load *load, int writer)
{
	uint64_t begin = figures_now_ns();

	net_send_all(writer, CHUNK, sizeof(CHUNK) - 1);
	settle(load, load->present);
	return figures_now_ns() - begin;
}

static int
by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int
main(int argc, char **argv)
{
	static const char put[] =
		"PUT " PATH " HTTP/1.1\r\nHost: bench\r\nTransfer-Encoding: chunked\r\n\r\n";
	struct load load = {0};
	struct figures before, after;
	unsigned rounds = 25, origin = 0, i;
	uint64_t *times;
	double each, median, worst;
	int pid = 0, writer;

	load.nreaders = 4096;
	for (int a = 1; a + 1 < argc; a += 2) {
		unsigned value = (unsigned)strtoul(argv[a + 1], NULL, 10);

		if (strcmp(argv[a], "--port") == 0)
			load.port = value;
		else if (strcmp(argv[a], "--origin") == 0)
			origin = value;
		else if (strcmp(argv[a], "--pid") == 0)
			pid = (int)value;
		else if (strcmp(argv[a], "--readers") == 0)
			load.nreaders = value;
		else if (strcmp(argv[a], "--rounds") == 0)
			rounds = value;
	}
	if (load.port == 0 || pid == 0 || load.nreaders <= WARM_UP || rounds == 0) {
		fprintf(stderr,
			"usage: waiting --port PORT --pid PID [--origin PORT] [--readers 4096] "
			"[--rounds 25]\n");
		return 2;
	}
	figures_raise_nofile(load.nreaders + 64);
	load.readers = figures_alloc(load.nreaders * sizeof(*load.readers));
	times = figures_alloc(rounds * sizeof(*times));
	load.epoll = epoll_create1(0);
	writer = net_connect(origin != 0 ? origin : load.port);
	net_send_all(writer, put, sizeof(put) - 1);
	net_await_object(origin != 0 ? origin : load.port, PATH);
	add_readers(&load, WARM_UP);
	figures_read(pid, &before);
	add_readers(&load, load.nreaders);
	figures_read(pid, &after);
	each = (after.rss_anon - before.rss_anon) / (load.nreaders - WARM_UP) / 1024;
	for (i = 0; i < rounds; i++) {
		usleep(PAUSE_US);
		times[i] = wake(&load, writer);
	}
	qsort(times, rounds, sizeof(*times), by_size);
	median = (double)times[rounds / 2] / 1e6;
	worst = (double)times[rounds - 1] / 1e6;
	printf("%u readers that wait\n", load.nreaders);
	printf("  own memory of each   %10.2f KiB\n", each);
	printf("  all woken in         %10.2f ms     median of %u; %.2f ms at worst\n", median,
	       rounds, worst);
	printf("bench=waiting readers=%u kib_each=%.3f wake_ms=%.2f wake_max_ms=%.2f\n",
	       load.nreaders, each, median, worst);
	return 0;
}
