/* grant_test.c - the table of who may do what. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/grant.h"

/* NULL where nothing is said; "a,b" for a list. */
struct words {
	const char *from, *user, *token;
};

static struct names
list(const char *text)
{
	struct names names = {NULL, 0, 0};
	char copy[128], *rest = copy, *item;

	stpcpy(copy, text);
	while ((item = strsep(&rest, ",")) != NULL)
		assert_int_equal(names_add(&names, item), 0);
	return names;
}

static const struct cidr_address here = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}};
static const struct cidr_address ten = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}};
static const struct cidr_address away = {{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

static enum grant_verdict
judge(enum grant_op op, struct words words, const struct cidr_address *address,
      struct grant_who who)
{
	struct names user = {NULL, 0, 0}, token = {NULL, 0, 0};
	struct cidr_set from = {NULL, 0};
	struct grant_terms terms = {NULL, NULL, NULL};
	enum grant_verdict verdict;

	if (words.from != NULL) {
		struct names texts = list(words.from);

		for (size_t i = 0; i < texts.count; i++)
			assert_int_equal(cidr_set_add(&from, texts.items[i]), 0);
		names_clear(&texts);
		terms.from = &from;
	}
	if (words.user != NULL) {
		user = list(words.user);
		terms.user = &user;
	}
	if (words.token != NULL) {
		token = list(words.token);
		terms.token = &token;
	}
	verdict = grant_judge(op, &terms, address, &who);
	cidr_set_clear(&from);
	names_clear(&user);
	names_clear(&token);
	return verdict;
}

static void
who_may_do_what(void **state)
{
	static const struct {
		enum grant_op op;
		struct words words;
		const struct cidr_address *address;
		struct grant_who who;
		enum grant_verdict verdict;
	} cases[] = {
		/* nothing is said */
		{GRANT_READ, {0}, &away, {0}, GRANT_GIVEN},
		{GRANT_ADMIN, {0}, &away, {0}, GRANT_GIVEN},
		{GRANT_WRITE, {0}, &here, {0}, GRANT_GIVEN},
		{GRANT_WRITE, {0}, NULL, {0}, GRANT_GIVEN},
		{GRANT_WRITE, {0}, &ten, {0}, GRANT_UNSAID},
		{GRANT_DELETE, {0}, &away, {0}, GRANT_UNSAID},
		{GRANT_DELETE, {0}, &here, {0}, GRANT_GIVEN},
		{GRANT_LIST, {0}, &away, {0}, GRANT_UNSAID},
		{GRANT_LIST, {0}, &here, {0}, GRANT_GIVEN},
		/* "off" opens nothing by itself */
		{GRANT_WRITE, {NULL, "off", NULL}, &ten, {0}, GRANT_UNSAID},
		{GRANT_WRITE, {NULL, "off", "off"}, &here, {0}, GRANT_GIVEN},
		{GRANT_WRITE, {"any", "off", NULL}, &ten, {0}, GRANT_GIVEN},
		/* addresses only */
		{GRANT_WRITE, {"10.0.0.0/8", NULL, NULL}, &ten, {0}, GRANT_GIVEN},
		{GRANT_WRITE, {"10.0.0.0/8", NULL, NULL}, &away, {0}, GRANT_PLACE},
		{GRANT_WRITE, {"10.0.0.0/8", NULL, NULL}, &here, {0}, GRANT_PLACE},
		{GRANT_WRITE, {"10.0.0.0/8", NULL, NULL}, NULL, {0}, GRANT_PLACE},
		{GRANT_WRITE, {"10.0.0.0/8,loopback", NULL, NULL}, &here, {0}, GRANT_GIVEN},
		{GRANT_READ, {"none", NULL, NULL}, &here, {0}, GRANT_PLACE},
		{GRANT_ADMIN, {"loopback", NULL, NULL}, &ten, {0}, GRANT_PLACE},
		/* credentials only: from anywhere, this machine too */
		{GRANT_WRITE, {NULL, "any", NULL}, &away, {0}, GRANT_UNKNOWN},
		{GRANT_WRITE, {NULL, "any", NULL}, &here, {0}, GRANT_UNKNOWN},
		{GRANT_WRITE, {NULL, "any", NULL}, &away, {"bob", NULL}, GRANT_GIVEN},
		{GRANT_WRITE, {NULL, "ann,bob", NULL}, &away, {"bob", NULL}, GRANT_GIVEN},
		{GRANT_WRITE, {NULL, "ann,bob", NULL}, &away, {"eve", NULL}, GRANT_PERSON},
		{GRANT_WRITE, {NULL, "ann", NULL}, &away, {NULL, "ann"}, GRANT_PERSON},
		{GRANT_WRITE, {NULL, NULL, "ci"}, &away, {NULL, "ci"}, GRANT_GIVEN},
		{GRANT_WRITE, {NULL, NULL, "ci"}, &away, {"ci", NULL}, GRANT_PERSON},
		{GRANT_WRITE, {NULL, "off", "ci"}, &away, {"bob", NULL}, GRANT_PERSON},
		/* one of them is enough */
		{GRANT_WRITE, {NULL, "ann", "ci"}, &away, {"ann", NULL}, GRANT_GIVEN},
		{GRANT_WRITE, {NULL, "ann", "ci"}, &away, {NULL, "ci"}, GRANT_GIVEN},
		{GRANT_WRITE, {NULL, "ann", "ci"}, &away, {0}, GRANT_UNKNOWN},
		/* both place and person */
		{GRANT_WRITE, {"10.0.0.0/8", "any", NULL}, &ten, {0}, GRANT_UNKNOWN},
		{GRANT_WRITE, {"10.0.0.0/8", "any", NULL}, &ten, {"bob", NULL}, GRANT_GIVEN},
		{GRANT_WRITE, {"10.0.0.0/8", "any", NULL}, &away, {"bob", NULL}, GRANT_PLACE},
		{GRANT_READ, {NULL, "any", NULL}, &away, {0}, GRANT_UNKNOWN},
		{GRANT_ADMIN, {NULL, "any", NULL}, &here, {0}, GRANT_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum grant_verdict verdict =
			judge(cases[i].op, cases[i].words, cases[i].address, cases[i].who);

		if (verdict != cases[i].verdict)
			fail_msg("row %zu: %d", i, (int)verdict);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_do_what),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
