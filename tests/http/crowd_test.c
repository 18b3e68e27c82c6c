/* crowd_test.c - connections are counted, in all and by address. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "http/crowd.h"

static struct sockaddr_storage
address_of(const char *text)
{
	struct sockaddr_storage out = {.ss_family = AF_INET};

	if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&out)->sin_addr) != 1) {
		out.ss_family = AF_INET6;
		assert_int_equal(
			inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&out)->sin6_addr), 1);
	}
	return out;
}

static int
admit(struct crowd *crowd, unsigned limit, const char *text, struct crowd_peer **peer)
{
	struct sockaddr_storage address = address_of(text);

	return crowd_admit(crowd, limit, (struct sockaddr *)&address, peer);
}

static void
accepting_pauses_at_the_last_place(void **state)
{
	struct crowd crowd;

	(void)state;
	crowd_init(&crowd);
	crowd.capacity = 2;
	for (unsigned wanted = 0; wanted < 4; wanted++) {
		unsigned places = wanted == 1 ? 1 : 2; /* no more than the capacity */

		for (unsigned i = 0; i < places; i++) {
			assert_true(crowd_has_room(&crowd, wanted));
			crowd_enter(&crowd);
		}
		assert_false(crowd_has_room(&crowd, wanted));
		for (unsigned i = 0; i < places; i++)
			crowd_leave(&crowd);
	}
	crowd_destroy(&crowd);
}

static void
descriptors_are_left_for_volumes(void **state)
{
	(void)state;
	assert_int_equal(crowd_capacity(64, 24), 40 - CROWD_RESERVE);
	assert_int_equal(crowd_capacity(1024, 24), 875);
	/* However little there is, one may come. */
	assert_int_equal(crowd_capacity(20, 24), 1);
	assert_int_equal(crowd_capacity(30, 24), 1);
	assert_int_equal(crowd_capacity(UINT64_MAX, 24), UINT32_MAX);
}

static void
an_address_has_its_share_and_no_more(void **state)
{
	struct crowd crowd;
	struct crowd_peer *a, *b, *c, *other;

	(void)state;
	crowd_init(&crowd);
	assert_int_equal(admit(&crowd, 2, "192.0.2.1", &a), 0);
	assert_int_equal(admit(&crowd, 2, "192.0.2.1", &b), 0);
	assert_int_equal(admit(&crowd, 2, "192.0.2.1", &c), -EUSERS);
	assert_int_equal(admit(&crowd, 2, "192.0.2.2", &other), 0);
	crowd_dismiss(&crowd, a);
	assert_int_equal(admit(&crowd, 2, "192.0.2.1", &c), 0);
	assert_int_equal(admit(&crowd, 2, "192.0.2.1", &a), -EUSERS);
	crowd_dismiss(&crowd, b);
	crowd_dismiss(&crowd, c);
	crowd_dismiss(&crowd, other);
	crowd_destroy(&crowd); /* checks that nobody is left */
}

static void
of_ipv6_the_site_counts(void **state)
{
	struct crowd crowd;
	struct crowd_peer *a, *b, *none;

	(void)state;
	crowd_init(&crowd);
	assert_int_equal(admit(&crowd, 1, "2001:db8::1", &a), 0);
	assert_int_equal(admit(&crowd, 1, "2001:db8::ffff:2", &none), -EUSERS);
	assert_int_equal(admit(&crowd, 1, "2001:db8:0:1::1", &b), 0);
	crowd_dismiss(&crowd, a);
	crowd_dismiss(&crowd, b);
	crowd_destroy(&crowd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepting_pauses_at_the_last_place),
		cmocka_unit_test(descriptors_are_left_for_volumes),
		cmocka_unit_test(an_address_has_its_share_and_no_more),
		cmocka_unit_test(of_ipv6_the_site_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
