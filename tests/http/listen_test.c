/* listen_test.c - addresses, and ports that are shared with nobody else. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "http/listen.h"

static void
addresses_are_read_and_written(void **state)
{
	static const char *const cases[] = {"127.0.0.1:80", "0.0.0.0:0", "[::]:65535", "[::1]:3000",
					    "[fe80::1:2]:1"};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct listen_address address;
		char text[LISTEN_TEXT_MAX];

		assert_int_equal(listen_parse(cases[i], &address), 0);
		listen_format(&address, text);
		assert_string_equal(text, cases[i]);
	}
}

static void
what_is_no_address_is_refused(void **state)
{
	static const char *const cases[] = {
		"",         ":80",          "127.0.0.1",    "127.0.0.1:",   "127.0.0.1:65536",
		"::1:80",   "[::1]",        "[::1]80",      "[]:80",        "localhost:80",
		"1.2.3:80", "[1.2.3.4]:80", "127.0.0.1:+1", "127.0.0.1: 1", "[::1]:x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct listen_address address;

		if (listen_parse(cases[i], &address) != -EINVAL)
			fail_msg("taken: %s", cases[i]);
	}
}

static void
sockets_of_one_server_share_a_port_and_others_do_not_get_it(void **state)
{
	struct listen_address address, other;
	int first, second, third;

	(void)state;
	assert_int_equal(listen_parse("127.0.0.1:0", &address), 0);
	assert_int_equal(listen_open(&address, true, &first), 0);
	other = address; /* with the port that was found */
	assert_int_equal(listen_open(&address, false, &second), 0);
	assert_memory_equal(&address, &other, sizeof(address));
	assert_int_equal(listen_open(&other, true, &third), -EADDRINUSE);
	close(first);
	close(second);
	assert_int_equal(listen_open(&other, true, &third), 0);
	close(third);
}

static void
a_socket_of_somebody_else_is_used_as_it_is(void **state)
{
	struct listen_address address, other;
	int fd, flags;

	(void)state;
	assert_int_equal(listen_parse("127.0.0.1:0", &address), 0);
	assert_int_equal(listen_open(&address, true, &fd), 0);
	flags = fcntl(fd, F_GETFL);
	assert_int_equal(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), 0);
	assert_int_equal(listen_adopt(fd, &other), 0);
	assert_int_equal(other.length, address.length);
	assert_memory_equal(&other.sa, &address.sa, address.length);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	close(fd);
}

static void
what_does_not_listen_on_tcp_is_not_adopted(void **state)
{
	static const int kinds[][2] = {
		{AF_INET, SOCK_STREAM}, {AF_INET, SOCK_DGRAM}, {AF_UNIX, SOCK_STREAM}};
	struct listen_address address;
	int ends[2];

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		int fd = socket(kinds[i][0], kinds[i][1], 0);

		assert_true(fd >= 0);
		assert_int_equal(listen_adopt(fd, &address), -EINVAL);
		close(fd);
	}
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(listen_adopt(ends[0], &address), -ENOTSOCK);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(listen_adopt(ends[0], &address), -EBADF);
}

/* How many bytes a connection to LISTENER takes for a client that reads none. */
static size_t
bytes_for_nobody(int listener, const struct listen_address *address)
{
	static const char zeros[65536];
	int client = socket(AF_INET, SOCK_STREAM, 0), small = 4096, server;
	size_t sum = 0;
	ssize_t n;

	assert_true(client >= 0);
	assert_int_equal(setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(connect(client, (const struct sockaddr *)&address->sa, address->length),
			 0);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	while ((n = send(server, zeros, sizeof(zeros), MSG_DONTWAIT)) > 0)
		sum += (size_t)n;
	assert_int_equal(errno, EAGAIN);
	close(server);
	close(client);
	return sum;
}

static void
who_reads_nothing_does_not_fill_the_memory_of_the_kernel(void **state)
{
	struct listen_address address, other;
	int fd, huge = 0;

	(void)state;
	assert_int_equal(listen_parse("127.0.0.1:0", &address), 0);
	assert_int_equal(listen_open(&address, true, &fd), 0);
	assert_in_range(bytes_for_nobody(fd, &address), 65536, 600000);
	/* one that is inherited, from somebody who does not care */
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &huge, sizeof(huge)), 0);
	assert_in_range(bytes_for_nobody(fd, &address), 600001, 1 << 30);
	assert_int_equal(listen_adopt(fd, &other), 0);
	assert_in_range(bytes_for_nobody(fd, &address), 65536, 600000);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_and_written),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(sockets_of_one_server_share_a_port_and_others_do_not_get_it),
		cmocka_unit_test(a_socket_of_somebody_else_is_used_as_it_is),
		cmocka_unit_test(what_does_not_listen_on_tcp_is_not_adopted),
		cmocka_unit_test(who_reads_nothing_does_not_fill_the_memory_of_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
