/* framer_test.c - requests over evhttp, cut at every byte, on a worker without a store. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/crowd.h"
#include "http/listen.h"
#include "http/worker.h"

/* What a dialogue gets back, up to the end of the connection or to silence. */
struct answer {
	char text[16384];
	size_t length;
	bool closed;
};

#define HEAD_TIMEOUT_MS 200

struct bench {
	struct crowd crowd;
	struct worker *worker;
	struct listen_address address;
};

static int
set_up(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct settings *settings = settings_new();
	int fd;

	assert_non_null(bench);
	assert_non_null(settings);
	settings->head_timeout_ms = HEAD_TIMEOUT_MS;
	settings->ingest_idle_ms = settings->send_timeout_ms = 60000;
	settings->drain_ms = 1000;
	crowd_init(&bench->crowd);
	assert_int_equal(worker_new(0, settings, NULL, &bench->crowd, &bench->worker), 0);
	settings_put(&settings); /* the worker has a reference of its own */
	assert_int_equal(listen_parse("127.0.0.1:0", &bench->address), 0);
	assert_int_equal(listen_open(&bench->address, true, &fd), 0);
	assert_int_equal(worker_listen(bench->worker, fd, FACE_MEDIA), 0);
	*state = bench;
	return 0;
}

static int
tear_down(void **state)
{
	struct bench *bench = *state;

	worker_free(&bench->worker);
	crowd_destroy(&bench->crowd);
	free(bench);
	return 0;
}

static int
dial(struct bench *bench)
{
	const int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&bench->address.sa, bench->address.length),
			 0);
	return fd;
}

static void
turn(struct bench *bench)
{
	for (int i = 0; i < 6; i++)
		event_base_loop(bench->worker->base, EVLOOP_NONBLOCK);
}

static void
say(struct bench *bench, int fd, const char *text, size_t length)
{
	size_t sent = 0;

	while (sent < length) {
		ssize_t n = send(fd, text + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			assert_int_equal(errno, EAGAIN);
		else
			sent += (size_t)n;
		turn(bench);
	}
}

static void
hear(struct bench *bench, int fd, struct answer *answer)
{
	turn(bench);
	while (!answer->closed) {
		ssize_t n = recv(fd, answer->text + answer->length,
				 sizeof(answer->text) - 1 - answer->length, MSG_DONTWAIT);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			break;
		}
		answer->length += (size_t)n;
		answer->closed = n == 0;
	}
	answer->text[answer->length] = '\0';
}

static unsigned
count(const struct answer *answer, const char *what)
{
	unsigned n = 0;

	for (const char *at = answer->text; (at = strstr(at, what)) != NULL; at++)
		n++;
	return n;
}

#define OPTIONS "OPTIONS /a HTTP/1.1\r\nHost: h\r\n"
#define NO_CONTENT "HTTP/1.1 204 No Content\r\n"

/* OPTIONS needs no store, and may have a body that nobody wants. */
static const char pipeline[] = OPTIONS "\r\n" OPTIONS "Content-Length: 5\r\n\r\nGET /"
				       "\r\n" /* an empty line that nobody asked for */
	OPTIONS "Transfer-Encoding: chunked\r\n\r\n"
				       "3\r\n\r\n\r\r\n5;x\r\nGET /\r\n0\r\nA: b\r\n\r\n" OPTIONS
				       "Connection: close\r\n\r\n";

static void
pipelined_requests_are_answered_however_they_are_cut(void **state)
{
	struct bench *bench = *state;
	const size_t length = sizeof(pipeline) - 1;

	for (size_t cut = 0; cut <= length; cut++) {
		struct answer answer = {.length = 0};
		int fd = dial(bench);

		say(bench, fd, pipeline, cut);
		say(bench, fd, pipeline + cut, length - cut);
		hear(bench, fd, &answer);
		if (count(&answer, NO_CONTENT) != 4 || !answer.closed)
			fail_msg("cut at %zu: %s", cut, answer.text);
		assert_int_equal(count(&answer, "HTTP/1.1 "), 4);
		close(fd);
		turn(bench);
	}
}

static void
pipelined_requests_may_come_byte_by_byte(void **state)
{
	struct bench *bench = *state;
	struct answer answer = {.length = 0};
	int fd = dial(bench);

	for (size_t i = 0; i < sizeof(pipeline) - 1; i++)
		say(bench, fd, pipeline + i, 1);
	hear(bench, fd, &answer);
	assert_int_equal(count(&answer, NO_CONTENT), 4);
	assert_true(answer.closed);
	close(fd);
}

static void
a_long_unwanted_body_is_dropped_and_the_connection_goes_on(void **state)
{
	struct bench *bench = *state;
	struct answer answer = {.length = 0};
	char *body = malloc(3000000);
	int fd = dial(bench);

	assert_non_null(body);
	memset(body, 'x', 3000000);
	say(bench, fd, OPTIONS "Content-Length: 3000000\r\n\r\n",
	    strlen(OPTIONS "Content-Length: 3000000\r\n\r\n"));
	hear(bench, fd, &answer);
	assert_int_equal(count(&answer, NO_CONTENT), 1); /* early: before the body */
	say(bench, fd, body, 3000000);
	say(bench, fd, OPTIONS "\r\n", strlen(OPTIONS "\r\n"));
	hear(bench, fd, &answer);
	assert_int_equal(count(&answer, NO_CONTENT), 2);
	assert_false(answer.closed);
	close(fd);
	free(body);
}

static void
refusals_are_answered_and_close(void **state)
{
	static const struct {
		const char *text, *status;
	} cases[] = {
		{"GET / HTTP/1.1\n\n", "HTTP/1.1 400 "},
		{"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 501 "},
		{"GET / HTTP/3.0\r\nHost: h\r\n\r\n", "HTTP/1.1 505 "},
		{"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "HTTP/1.1 400 "},
		{"PUT / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", "HTTP/1.1 417 "},
		{"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		 "HTTP/1.1 400 "},
	};
	struct bench *bench = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct answer answer = {.length = 0};
		int fd = dial(bench);

		say(bench, fd, cases[i].text, strlen(cases[i].text));
		hear(bench, fd, &answer);
		assert_true(answer.closed);
		assert_memory_equal(answer.text, cases[i].status, strlen(cases[i].status));
		assert_int_equal(count(&answer, "Connection: close\r\n"), 1);
		assert_int_equal(count(&answer, "Content-Length: "), 1);
		close(fd);
		turn(bench);
	}
}

static void
a_broken_body_ends_the_connection_after_its_reply(void **state)
{
	static const char text[] =
		OPTIONS "Transfer-Encoding: chunked\r\n\r\nzz\r\n" OPTIONS "\r\n";
	struct bench *bench = *state;
	struct answer answer = {.length = 0};
	int fd = dial(bench);

	say(bench, fd, text, sizeof(text) - 1);
	hear(bench, fd, &answer);
	assert_true(answer.closed);
	assert_int_equal(count(&answer, "HTTP/1.1 "), 1);
	close(fd);
}

static void
a_head_that_does_not_end_in_time_is_408(void **state)
{
	struct bench *bench = *state;
	struct answer answer = {.length = 0};
	int64_t begin = clock_mono_ms();
	int fd = dial(bench);

	while (!answer.closed && clock_mono_ms() - begin < 5000) {
		say(bench, fd, "X", answer.length == 0); /* drips */
		usleep(20000);
		hear(bench, fd, &answer);
	}
	assert_true(clock_mono_ms() - begin >= HEAD_TIMEOUT_MS);
	assert_memory_equal(answer.text, "HTTP/1.1 408 ", 13);
	close(fd);
}

static void
connections_that_leave_are_let_go(void **state)
{
	static const char *const texts[] = {"", "GE", "GET / HTTP/1.1\r\nHost: h\r\n",
					    OPTIONS "\r\n",
					    OPTIONS "Content-Length: 10\r\n\r\nabc"};
	struct bench *bench = *state;
	int64_t begin = clock_mono_ms();

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int fd = dial(bench);

		say(bench, fd, texts[i], strlen(texts[i]));
		turn(bench);
		close(fd);
	}
	do {
		turn(bench);
		usleep(1000);
	} while (clock_mono_ms() - begin < 2 * WORKER_TICK_MS);
	assert_true(TAILQ_EMPTY(&bench->worker->heads));
	assert_true(TAILQ_EMPTY(&bench->worker->open));
	assert_true(TAILQ_EMPTY(&bench->worker->lingers));
	assert_true(TAILQ_EMPTY(&bench->worker->dead));
	assert_int_equal(bench->worker->busy, 0);
}

static void
http_1_0_is_kept_only_when_it_asks(void **state)
{
	static const char plain[] = "OPTIONS / HTTP/1.0\r\n\r\n";
	static const char keep[] = "OPTIONS / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
	struct bench *bench = *state;
	struct answer one = {.length = 0}, two = {.length = 0};
	int fd = dial(bench);

	say(bench, fd, plain, sizeof(plain) - 1);
	hear(bench, fd, &one);
	assert_true(one.closed);
	close(fd);
	fd = dial(bench);
	say(bench, fd, keep, sizeof(keep) - 1);
	say(bench, fd, keep, sizeof(keep) - 1);
	hear(bench, fd, &two);
	assert_false(two.closed);
	assert_int_equal(count(&two, "HTTP/1.0 204"), 2);
	assert_int_equal(count(&two, "Connection: keep-alive"), 2);
	close(fd);
}

int
main(void)
{
#define WITH_WORKER(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_WORKER(pipelined_requests_are_answered_however_they_are_cut),
		WITH_WORKER(pipelined_requests_may_come_byte_by_byte),
		WITH_WORKER(a_long_unwanted_body_is_dropped_and_the_connection_goes_on),
		WITH_WORKER(refusals_are_answered_and_close),
		WITH_WORKER(a_broken_body_ends_the_connection_after_its_reply),
		WITH_WORKER(a_head_that_does_not_end_in_time_is_408),
		WITH_WORKER(connections_that_leave_are_let_go),
		WITH_WORKER(http_1_0_is_kept_only_when_it_asks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
