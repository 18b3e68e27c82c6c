/* cidr_test.c - which addresses are in which range. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/cidr.h"

static struct cidr_address
address(const char *text)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct cidr_address out;

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		assert_true(cidr_of((const struct sockaddr *)&v4, &out));
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
		assert_true(cidr_of((const struct sockaddr *)&v6, &out));
	}
	return out;
}

static void
ranges_have_their_addresses(void **state)
{
	static const struct {
		const char *range, *address;
		bool in;
	} cases[] = {
		{"10.0.0.0/8", "10.0.0.0", true},
		{"10.0.0.0/8", "10.255.255.255", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.0.0.0/8", "9.255.255.255", false},
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.0", false},
		{"192.0.2.128/25", "192.0.2.127", false},
		{"192.0.2.128/25", "192.0.2.128", true},
		{"192.0.2.8/29", "192.0.2.15", true},
		{"192.0.2.8/29", "192.0.2.16", false},
		{"192.0.2.1/32", "192.0.2.1", true},
		{"0.0.0.0/0", "255.255.255.255", true},
		{"0.0.0.0/0", "::1", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "192.0.2.1", false},
		{"::/0", "::ffff:192.0.2.1", false},
		{"2001:db8::/32", "2001:db8:ffff::", true},
		{"2001:db8::/32", "2001:db9::", false},
		{"2001:db8:0:8000::/49", "2001:db8:0:8000::1", true},
		{"2001:db8:0:8000::/49", "2001:db8:0:7fff::1", false},
		{"::1", "::1", true},
		{"::1", "127.0.0.1", false},
		{"10.0.0.0/8", "::ffff:10.1.2.3", true},
		{"::ffff:10.0.0.0/104", "10.1.2.3", true},
		{"::ffff:10.0.0.0/104", "::ffff:11.1.2.3", false},
		{"10.0.0.0/8", "a00::", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cidr_address a = address(cases[i].address);
		struct cidr range;

		assert_int_equal(cidr_parse(cases[i].range, &range), 0);
		if (cidr_match(&range, &a) != cases[i].in)
			fail_msg("%s in %s", cases[i].address, cases[i].range);
	}
}

static void
what_is_no_range_is_refused(void **state)
{
	static const struct {
		const char *text;
		int err;
	} cases[] = {
		{"", -EINVAL},
		{"10", -EINVAL},
		{"10.0.0", -EINVAL},
		{"10.0.0.0/", -EINVAL},
		{"10.0.0.0/33", -EINVAL},
		{"10.0.0.0/-1", -EINVAL},
		{"10.0.0.0/8x", -EINVAL},
		{"10.0.0.0/ 8", -EINVAL},
		{"10.0.0.0/255.0.0.0", -EINVAL},
		{"10.0.0.0/4294967304", -EINVAL},
		{"256.0.0.0/8", -EINVAL},
		{"2001:db8::/129", -EINVAL},
		{"2001:db8:::/32", -EINVAL},
		{"[::1]", -EINVAL},
		{"example.com", -EINVAL},
		{"10.0.0.1/8", -ERANGE},
		{"10.0.0.0/6", -ERANGE},
		{"2001:db8::1/64", -ERANGE},
		{"2001:db8:0:8000::/48", -ERANGE},
		{"aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa", -EINVAL},
	};
	struct cidr range;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (cidr_parse(cases[i].text, &range) != cases[i].err)
			fail_msg("%s", cases[i].text);
}

static void
sets_know_some_words(void **state)
{
	struct cidr_address v4 = address("192.0.2.1"), v6 = address("2001:db8::1");
	struct cidr_address here4 = address("127.1.2.3"), here6 = address("::1");
	struct cidr_set set = {NULL, 0};

	(void)state;
	assert_false(cidr_set_has(&set, &v4));
	assert_int_equal(cidr_set_add(&set, "none"), 0);
	assert_false(cidr_set_has(&set, &here4) || cidr_set_has(&set, &v6));
	assert_int_equal(cidr_set_add(&set, "loopback"), 0);
	assert_true(cidr_set_has(&set, &here4) && cidr_set_has(&set, &here6));
	assert_false(cidr_set_has(&set, &v4) || cidr_set_has(&set, &v6));
	assert_int_equal(cidr_set_add(&set, "192.0.2.0/24"), 0);
	assert_true(cidr_set_has(&set, &v4));
	assert_false(cidr_set_has(&set, &v6));
	assert_int_equal(cidr_set_add(&set, "any"), 0);
	assert_true(cidr_set_has(&set, &v4) && cidr_set_has(&set, &v6));
	assert_int_equal(cidr_set_add(&set, "nobody"), -EINVAL);
	cidr_set_clear(&set);
	assert_false(cidr_set_has(&set, &here4));
}

static void
this_machine_is_known(void **state)
{
	static const struct {
		const char *text;
		bool is;
	} cases[] = {
		{"127.0.0.1", true},  {"127.255.0.9", true},
		{"::1", true},        {"::ffff:127.0.0.1", true},
		{"128.0.0.1", false}, {"::2", false},
		{"::", false},        {"7f00::", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cidr_address a = address(cases[i].text);

		if (cidr_is_loopback(&a) != cases[i].is)
			fail_msg("%s", cases[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_have_their_addresses),
		cmocka_unit_test(what_is_no_range_is_refused),
		cmocka_unit_test(sets_know_some_words),
		cmocka_unit_test(this_machine_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
