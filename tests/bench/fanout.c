/* fanout - load a running origin as a crowd does: N growing objects, M readers of each.
 *
 * Every writer PUTs one object by chunks, at a steady rate, a write every few
 * milliseconds; every reader GETs it while it grows. All of them live in this one
 * thread. A byte is a function of its stream and offset, so that any reader can tell
 * a wrong one. The latency of a write is the time from just before its send(2) to the
 * return of the recv(2) that brought its first byte to a reader.
 *
 * A server that lags sends several writes in one chunk: that saves it work and looks cheap. So
 * its CPU time is given per chunk, and only a run without joined or late writes may be compared with
 * the floor that sendmsg measures.
 *
 * --origin: writers go to this port, readers to --port, where an edge stands that fetches from the origin.
 *
 * Exit status 1 if a reader was cut, saw a wrong byte or missed one.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/figures.h"
#include "tests/bench/net.h"

#define PATTERN_PERIOD 1048573u /* prime, so that no power of two of bytes repeats */
#define RECV_SIZE 262144
#define JOINED_MAX 1.1 /* writes in a chunk: above this the server did not keep up */
#define SETTLE_MS 15000
#define TURN_NS UINT64_C(10000000)

enum reader_state {
	READER_HEAD,
	READER_SIZE,
	READER_DATA,
	READER_CRLF,
	READER_LAST,
	READER_DONE,
	READER_BAD
};

struct stream {
	int fd;
	unsigned number;
	uint64_t sent;      /* bytes of the body */
	uint64_t next_ns;   /* when the next write is due */
	uint64_t *write_ns; /* when each write was begun */
	unsigned writes;
	bool acknowledged;
	char reply[512];
	size_t reply_length;
};

struct reader {
	int fd;
	enum reader_state state;
	struct stream *stream;
	bool verified;
	uint64_t received; /* bytes of the body */
	uint64_t left;     /* of the chunk */
	unsigned seen;     /* writes whose first byte came */
	char line[1024];   /* the head, or a chunk's size line */
	size_t line_length;
};

struct options {
	unsigned port, origin, streams, readers, interval_ms, seconds, sample;
	uint64_t rate; /* bytes a second of one stream */
	int pid;
};

struct load {
	struct options options;
	int epoll;
	struct stream *streams;
	struct reader *readers;
	unsigned nreaders, done, bad, wrong, acknowledged;
	size_t write_size;
	unsigned writes; /* of each stream, in all */
	uint64_t delivered, late_writes;
	uint64_t
		chunks; /* that readers got: fewer than writes when the server lags and joins them */
	struct figures_times latency;
	unsigned char *pattern; /* two periods */
	char *buffer;
};

static const unsigned char *
expected(const struct load *load, const struct stream *stream, uint64_t offset)
{
	return load->pattern + (offset + stream->number * 7919u) % PATTERN_PERIOD;
}

static void
make_pattern(struct load *load)
{
	uint32_t x = 2463534242u;
	size_t i;

	load->pattern = figures_alloc(2 * PATTERN_PERIOD);
	for (i = 0; i < PATTERN_PERIOD; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		load->pattern[i] = load->pattern[i + PATTERN_PERIOD] = (unsigned char)(x >> 11);
	}
}

static void
watch(struct load *load, int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

	if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		figures_die("epoll_ctl");
}

/* ---- writers ---- */

static void
stream_begin(struct load *load, unsigned number)
{
	struct stream *stream = &load->streams[number];
	char head[256];

	stream->number = number;
	stream->write_ns = figures_alloc(load->writes * sizeof(*stream->write_ns));
	stream->fd = net_connect(load->options.origin);
	snprintf(head, sizeof(head),
		 "PUT /bench/fanout/%d/%u.m4s HTTP/1.1\r\nHost: bench\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n",
		 (int)getpid(), number);
	net_send_all(stream->fd, head, strlen(head));
	watch(load, stream->fd, stream);
}

static void
stream_write(struct load *load, struct stream *stream, uint64_t now)
{
	char line[32];
	struct iovec iov[3];

	if (now > stream->next_ns + load->options.interval_ms * UINT64_C(1000000))
		load->late_writes++;
	iov[0].iov_base = line;
	iov[0].iov_len = (size_t)snprintf(line, sizeof(line), "%zx\r\n", load->write_size);
	iov[1].iov_base = (void *)(uintptr_t)expected(load, stream, stream->sent);
	iov[1].iov_len = load->write_size;
	iov[2].iov_base = (void *)(uintptr_t) "\r\n";
	iov[2].iov_len = 2;
	stream->write_ns[stream->writes++] = figures_now_ns();
	net_sendv_all(stream->fd, iov, 3);
	stream->sent += load->write_size;
	stream->next_ns += load->options.interval_ms * UINT64_C(1000000);
	if (stream->writes == load->writes)
		net_send_all(stream->fd, "0\r\n\r\n", 5);
}

static void
stream_reply(struct load *load, struct stream *stream)
{
	ssize_t n = recv(stream->fd, stream->reply + stream->reply_length,
			 sizeof(stream->reply) - 1 - stream->reply_length, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		stream->reply_length += (size_t)n;
	if (n > 0 && strstr(stream->reply, "\r\n\r\n") == NULL)
		return;
	if (strncmp(stream->reply, "HTTP/1.1 20", 11) == 0 && stream->writes == load->writes) {
		stream->acknowledged = true;
		load->acknowledged++;
	} else {
		fprintf(stderr, "fanout: writer %u: %.40s\n", stream->number,
			stream->reply_length ? stream->reply : "the connection was ended");
	}
	epoll_ctl(load->epoll, EPOLL_CTL_DEL, stream->fd, NULL);
}

/* ---- readers ---- */

static void
reader_begin(struct load *load, unsigned number)
{
	struct reader *reader = &load->readers[number];
	char head[128];

	reader->stream = &load->streams[number % load->options.streams];
	reader->verified = number / load->options.streams % load->options.sample == 0;
	reader->fd = net_connect(load->options.port);
	snprintf(head, sizeof(head), "GET /bench/fanout/%d/%u.m4s HTTP/1.1\r\nHost: bench\r\n\r\n",
		 (int)getpid(), reader->stream->number);
	net_send_all(reader->fd, head, strlen(head));
	watch(load, reader->fd, reader);
}

static void
reader_end(struct load *load, struct reader *reader, enum reader_state state, const char *why)
{
	reader->state = state;
	epoll_ctl(load->epoll, EPOLL_CTL_DEL, reader->fd, NULL);
	close(reader->fd);
	if (state == READER_DONE) {
		load->done++;
		return;
	}
	if (load->bad++ < 10)
		fprintf(stderr, "fanout: reader of stream %u, at byte %llu: %s\n",
			reader->stream->number, (unsigned long long)reader->received, why);
}

static void
record_latency(struct load *load, struct reader *reader, uint64_t now)
{
	while (reader->seen < reader->stream->writes &&
	       reader->received > (uint64_t)reader->seen * load->write_size) {
		figures_times_add(&load->latency, now - reader->stream->write_ns[reader->seen++]);
	}
}

static size_t
reader_data(struct load *load, struct reader *reader, const char *data, size_t length, uint64_t now)
{
	if (length > reader->left)
		length = (size_t)reader->left;
	if (reader->verified) {
		size_t at = 0;

		while (at < length) {
			size_t part = length - at < PATTERN_PERIOD ? length - at : PATTERN_PERIOD;

			if (memcmp(data + at, expected(load, reader->stream, reader->received + at),
				   part) != 0) {
				load->wrong++;
				break;
			}
			at += part;
		}
	}
	reader->received += length;
	reader->left -= length;
	load->delivered += length;
	record_latency(load, reader, now);
	return length;
}

/* A complete line is in reader->line, NUL-terminated. False if it is none of HTTP's. */
static bool
reader_line(struct reader *reader)
{
	char *end;

	if (reader->state == READER_HEAD)
		return strncmp(reader->line, "HTTP/1.1 200 ", 13) == 0 &&
		       strcasestr(reader->line, "\r\ntransfer-encoding: chunked\r\n") != NULL;
	if (reader->state == READER_CRLF || reader->state == READER_LAST)
		return strcmp(reader->line, "\r\n") == 0;
	reader->left = strtoull(reader->line, &end, 16);
	return end != reader->line && strcmp(end, "\r\n") == 0;
}

static enum reader_state
reader_next(const struct reader *reader)
{
	switch (reader->state) {
	case READER_HEAD:
	case READER_CRLF:
		return READER_SIZE;
	case READER_SIZE:
		return reader->left > 0 ? READER_DATA : READER_LAST;
	case READER_DATA:
		return READER_CRLF;
	case READER_LAST:
	case READER_DONE:
		return READER_DONE;
	case READER_BAD:
		break;
	}
	return READER_BAD;
}

static void
reader_feed(struct load *load, struct reader *reader, const char *data, size_t length, uint64_t now)
{
	while (length > 0) {
		const char *terminator = reader->state == READER_HEAD ? "\r\n\r\n" : "\r\n";
		size_t n = strlen(terminator), used;

		if (reader->state == READER_DATA) {
			used = reader_data(load, reader, data, length, now);
			data += used;
			length -= used;
			if (reader->left == 0)
				reader->state = reader_next(reader);
			continue;
		}
		if (reader->line_length + 1 >= sizeof(reader->line)) {
			reader_end(load, reader, READER_BAD, "a line without an end");
			return;
		}
		reader->line[reader->line_length++] = *data++;
		length--;
		reader->line[reader->line_length] = '\0';
		if (reader->line_length < n ||
		    strcmp(reader->line + reader->line_length - n, terminator) != 0)
			continue;
		if (!reader_line(reader)) {
			reader_end(load, reader, READER_BAD, reader->line);
			return;
		}
		reader->line_length = 0;
		load->chunks += reader->state == READER_SIZE && reader->left > 0;
		reader->state = reader_next(reader);
		if (reader->state == READER_DONE) {
			bool whole = reader->received == (uint64_t)load->writes * load->write_size;

			reader_end(load, reader, whole ? READER_DONE : READER_BAD,
				   "ended normally with bytes missing");
			return;
		}
	}
}

static void
reader_step(struct load *load, struct reader *reader)
{
	ssize_t n = recv(reader->fd, load->buffer, RECV_SIZE, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		reader_end(load, reader, READER_BAD, n == 0 ? "cut" : strerror(errno));
	else
		reader_feed(load, reader, load->buffer, (size_t)n, figures_now_ns());
}

/* ---- the run ---- */

/* Handles what is ready within TIMEOUT_NS. */
static void
turn(struct load *load, uint64_t timeout_ns)
{
	struct timespec timeout = {.tv_nsec = (long)timeout_ns};
	struct epoll_event events[512];
	int n = epoll_pwait2(load->epoll, events, 512, &timeout, NULL), i;

	for (i = 0; i < n; i++) {
		char *what = events[i].data.ptr;

		if (what >= (char *)load->streams &&
		    what < (char *)(load->streams + load->options.streams))
			stream_reply(load, (struct stream *)(void *)what);
		else
			reader_step(load, (struct reader *)(void *)what);
	}
}

static bool
all_heads_came(const struct load *load)
{
	unsigned i;

	for (i = 0; i < load->nreaders; i++)
		if (load->readers[i].state == READER_HEAD)
			return false;
	return true;
}

static void
connect_all(struct load *load)
{
	char path[64];
	uint64_t end;
	unsigned i;

	for (i = 0; i < load->options.streams; i++)
		stream_begin(load, i);
	for (i = 0; i < load->options.streams; i++) {
		snprintf(path, sizeof(path), "/bench/fanout/%d/%u.m4s", (int)getpid(), i);
		net_await_object(load->options.origin, path);
	}
	for (i = 0; i < load->nreaders; i++) {
		reader_begin(load, i);
		if (i % 64 == 63)
			turn(load, 0);
	}
	end = figures_now_ns() + SETTLE_MS * UINT64_C(1000000);
	while (!all_heads_came(load) && figures_now_ns() < end)
		turn(load, TURN_NS);
}

static void
write_all(struct load *load)
{
	uint64_t interval = load->options.interval_ms * UINT64_C(1000000);
	uint64_t start = figures_now_ns();
	unsigned i, finished = 0;

	for (i = 0; i < load->options.streams; i++)
		load->streams[i].next_ns = start + interval * i / load->options.streams;
	while (finished < load->options.streams) {
		uint64_t now = figures_now_ns(), next = now + interval;

		for (i = 0; i < load->options.streams; i++) {
			struct stream *stream = &load->streams[i];

			if (stream->writes == load->writes)
				continue;
			if (stream->next_ns <= now) {
				stream_write(load, stream, now);
				finished += stream->writes == load->writes;
			}
			if (stream->writes < load->writes && stream->next_ns < next)
				next = stream->next_ns;
		}
		now = figures_now_ns();
		turn(load, next <= now ? 0 : next - now < TURN_NS ? next - now : TURN_NS);
	}
}

static int
report(const struct load *load, double seconds, const struct figures *before,
       const struct figures *after, double own_cpu)
{
	const struct options *o = &load->options;
	double gb = (double)load->delivered / 1e9;
	double cpu = after->cpu_seconds - before->cpu_seconds;
	double per_chunk = load->chunks ? cpu * 1e6 / (double)load->chunks : 0;
	double joined = load->chunks ? (double)load->latency.samples / (double)load->chunks : 0;
	unsigned missing = load->nreaders - load->done - load->bad;

	printf("%u streams of %.0f KiB/s, a write every %u ms, %u readers each: %u readers\n",
	       o->streams, (double)o->rate / 1024, o->interval_ms, o->readers, load->nreaders);
	printf("  time                 %10.2f s\n", seconds);
	printf("  delivered            %10.3f GB     %.3f GB/s\n", gb, gb / seconds);
	printf("  readers whole        %10u        cut %u, unfinished %u\n", load->done, load->bad,
	       missing);
	printf("  wrong bytes          %10u times  (1 reader in %u verified)\n", load->wrong,
	       o->sample);
	printf("  uploads acknowledged %10u of %u\n", load->acknowledged, o->streams);
	printf("  latency p50          %10.3f ms\n",
	       figures_times_percentile(&load->latency, 0.50) / 1000.0);
	printf("          p99          %10.3f ms\n",
	       figures_times_percentile(&load->latency, 0.99) / 1000.0);
	printf("          max          %10.3f ms\n",
	       figures_times_percentile(&load->latency, 1.00) / 1000.0);
	printf("  writes sent late     %10llu\n", (unsigned long long)load->late_writes);
	printf("  writes in a chunk    %10.2f%s\n", joined,
	       joined > JOINED_MAX || load->late_writes > 0
		       ? "        OVERLOADED: CPU is not comparable with sendmsg's"
		       : "");
	printf("  this tool's CPU      %10.2f s\n", own_cpu);
	if (o->pid > 0) {
		printf("  server CPU           %10.2f s      %.2f s/GB, %.2f us a chunk\n", cpu,
		       gb > 0 ? cpu / gb : 0, per_chunk);
		printf("  server's own memory  %10.1f MiB    %.1f before\n",
		       after->rss_anon / 1048576.0, before->rss_anon / 1048576.0);
	}
	printf("bench=fanout streams=%u readers=%u rate=%llu interval_ms=%u seconds=%.2f bytes=%llu "
	       "cut=%u unfinished=%u wrong=%u acknowledged=%u p50_us=%u p99_us=%u max_us=%u late=%llu "
	       "server_cpu_s=%.2f server_cpu_s_per_gb=%.3f us_per_chunk=%.2f "
	       "writes_per_chunk=%.2f rss_anon=%.0f\n",
	       o->streams, load->nreaders, (unsigned long long)o->rate, o->interval_ms, seconds,
	       (unsigned long long)load->delivered, load->bad, missing, load->wrong,
	       load->acknowledged, figures_times_percentile(&load->latency, 0.50),
	       figures_times_percentile(&load->latency, 0.99),
	       figures_times_percentile(&load->latency, 1.00),
	       (unsigned long long)load->late_writes, cpu, gb > 0 ? cpu / gb : 0, per_chunk, joined,
	       after->rss_anon);
	return load->bad + missing + load->wrong > 0 || load->acknowledged != o->streams;
}

static void
usage(void)
{
	fprintf(stderr,
		"usage: fanout --port PORT [--origin PORT] [--pid PID] [--streams 32]\n"
		"              [--readers 128] [--rate 262144] [--interval-ms 40] [--seconds 10]\n"
		"              [--sample 16]\n");
	exit(2);
}

static struct options
parse(int argc, char **argv)
{
	struct options o = {0, 0, 32, 128, 40, 10, 16, 262144, 0};
	int i;

	for (i = 1; i < argc; i += 2) {
		unsigned long value = i + 1 < argc ? strtoul(argv[i + 1], NULL, 10) : 0;

		if (value == 0)
			usage();
		if (strcmp(argv[i], "--port") == 0)
			o.port = (unsigned)value;
		else if (strcmp(argv[i], "--origin") == 0)
			o.origin = (unsigned)value;
		else if (strcmp(argv[i], "--pid") == 0)
			o.pid = (int)value;
		else if (strcmp(argv[i], "--streams") == 0)
			o.streams = (unsigned)value;
		else if (strcmp(argv[i], "--readers") == 0)
			o.readers = (unsigned)value;
		else if (strcmp(argv[i], "--rate") == 0)
			o.rate = value;
		else if (strcmp(argv[i], "--interval-ms") == 0)
			o.interval_ms = (unsigned)value;
		else if (strcmp(argv[i], "--seconds") == 0)
			o.seconds = (unsigned)value;
		else if (strcmp(argv[i], "--sample") == 0)
			o.sample = (unsigned)value;
		else
			usage();
	}
	if (o.port == 0)
		usage();
	if (o.origin == 0)
		o.origin = o.port;
	return o;
}

int
main(int argc, char **argv)
{
	struct load load = {.options = parse(argc, argv)};
	struct options *o = &load.options;
	struct figures before, after, own_before, own_after;
	uint64_t start, end;
	double seconds;

	load.write_size = (size_t)(o->rate * o->interval_ms / 1000);
	load.writes = o->seconds * 1000 / o->interval_ms;
	load.nreaders = o->streams * o->readers;
	if (load.write_size == 0 || load.writes == 0 || load.write_size > PATTERN_PERIOD ||
	    o->interval_ms > 10000)
		usage();
	figures_raise_nofile(load.nreaders + o->streams + 64);
	load.streams = figures_alloc(o->streams * sizeof(*load.streams));
	load.readers = figures_alloc(load.nreaders * sizeof(*load.readers));
	figures_times_init(&load.latency);
	load.buffer = figures_alloc(RECV_SIZE);
	make_pattern(&load);
	load.epoll = epoll_create1(0);
	if (load.epoll < 0)
		figures_die("epoll_create1");

	connect_all(&load);
	figures_read(o->pid, &before);
	figures_read(getpid(), &own_before);
	start = figures_now_ns();
	write_all(&load);
	end = figures_now_ns() + SETTLE_MS * UINT64_C(1000000);
	while ((load.done + load.bad < load.nreaders || load.acknowledged < o->streams) &&
	       figures_now_ns() < end)
		turn(&load, TURN_NS);
	seconds = (double)(figures_now_ns() - start) / 1e9;
	figures_read(o->pid, &after);
	figures_read(getpid(), &own_after);
	return report(&load, seconds, &before, &after,
		      own_after.cpu_seconds - own_before.cpu_seconds);
}
