/* listen_test.c - addresses, and ports that are shared with nobody else. */
#include <errno.h>
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_and_written),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(sockets_of_one_server_share_a_port_and_others_do_not_get_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
