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
	const char *from, *user, *token, *certificate;
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
	struct names user = {NULL, 0, 0}, token = {NULL, 0, 0}, certificate = {NULL, 0, 0};
	struct cidr_set from = {NULL, 0};
	struct grant_terms terms = {.from = NULL};
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
	if (words.certificate != NULL) {
		certificate = list(words.certificate);
		terms.certificate = &certificate;
	}
	verdict = grant_judge(op, &terms, address, &who);
	cidr_set_clear(&from);
	names_clear(&user);
	names_clear(&token);
	names_clear(&certificate);
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
		{GRANT_WRITE, {NULL, "off", NULL, NULL}, &ten, {0}, GRANT_UNSAID},
		{GRANT_WRITE, {NULL, "off", "off", NULL}, &here, {0}, GRANT_GIVEN},
		{GRANT_WRITE, {"any", "off", NULL, NULL}, &ten, {0}, GRANT_GIVEN},
		/* addresses only */
		{GRANT_WRITE, {"10.0.0.0/8", NULL, NULL, NULL}, &ten, {0}, GRANT_GIVEN},
		{GRANT_WRITE, {"10.0.0.0/8", NULL, NULL, NULL}, &away, {0}, GRANT_PLACE},
		{GRANT_WRITE, {"10.0.0.0/8", NULL, NULL, NULL}, &here, {0}, GRANT_PLACE},
		{GRANT_WRITE, {"10.0.0.0/8", NULL, NULL, NULL}, NULL, {0}, GRANT_PLACE},
		{GRANT_WRITE, {"10.0.0.0/8,loopback", NULL, NULL, NULL}, &here, {0}, GRANT_GIVEN},
		{GRANT_READ, {"none", NULL, NULL, NULL}, &here, {0}, GRANT_PLACE},
		{GRANT_ADMIN, {"loopback", NULL, NULL, NULL}, &ten, {0}, GRANT_PLACE},
		/* credentials only: from anywhere, this machine too */
		{GRANT_WRITE, {NULL, "any", NULL, NULL}, &away, {0}, GRANT_UNKNOWN},
		{GRANT_WRITE, {NULL, "any", NULL, NULL}, &here, {0}, GRANT_UNKNOWN},
		{GRANT_WRITE, {NULL, "any", NULL, NULL}, &away, {"bob", NULL, NULL}, GRANT_GIVEN},
		{GRANT_WRITE,
		 {NULL, "ann,bob", NULL, NULL},
		 &away,
		 {"bob", NULL, NULL},
		 GRANT_GIVEN},
		{GRANT_WRITE,
		 {NULL, "ann,bob", NULL, NULL},
		 &away,
		 {"eve", NULL, NULL},
		 GRANT_PERSON},
		{GRANT_WRITE, {NULL, "ann", NULL, NULL}, &away, {NULL, "ann", NULL}, GRANT_PERSON},
		{GRANT_WRITE, {NULL, NULL, "ci", NULL}, &away, {NULL, "ci", NULL}, GRANT_GIVEN},
		{GRANT_WRITE, {NULL, NULL, "ci", NULL}, &away, {"ci", NULL, NULL}, GRANT_PERSON},
		{GRANT_WRITE, {NULL, "off", "ci", NULL}, &away, {"bob", NULL, NULL}, GRANT_PERSON},
		/* one of them is enough */
		{GRANT_WRITE, {NULL, "ann", "ci", NULL}, &away, {"ann", NULL, NULL}, GRANT_GIVEN},
		{GRANT_WRITE, {NULL, "ann", "ci", NULL}, &away, {NULL, "ci", NULL}, GRANT_GIVEN},
		{GRANT_WRITE, {NULL, "ann", "ci", NULL}, &away, {0}, GRANT_UNKNOWN},
		/* both place and person */
		{GRANT_WRITE, {"10.0.0.0/8", "any", NULL, NULL}, &ten, {0}, GRANT_UNKNOWN},
		{GRANT_WRITE,
		 {"10.0.0.0/8", "any", NULL, NULL},
		 &ten,
		 {"bob", NULL, NULL},
		 GRANT_GIVEN},
		{GRANT_WRITE,
		 {"10.0.0.0/8", "any", NULL, NULL},
		 &away,
		 {"bob", NULL, NULL},
		 GRANT_PLACE},
		{GRANT_READ, {NULL, "any", NULL, NULL}, &away, {0}, GRANT_UNKNOWN},
		{GRANT_ADMIN, {NULL, "any", NULL, NULL}, &here, {0}, GRANT_UNKNOWN},
		/* certificates alone: neither a password nor this machine helps */
		{GRANT_WRITE, {NULL, NULL, NULL, "any"}, &here, {0}, GRANT_NO_CERTIFICATE},
		{GRANT_WRITE, {NULL, NULL, NULL, "any"}, NULL, {0}, GRANT_NO_CERTIFICATE},
		{GRANT_WRITE, {NULL, "off", "off", "any"}, &away, {0}, GRANT_NO_CERTIFICATE},
		{GRANT_WRITE, {NULL, NULL, NULL, "any"}, &away, {NULL, NULL, "e1"}, GRANT_GIVEN},
		{GRANT_WRITE, {NULL, NULL, NULL, "e1,e2"}, &away, {NULL, NULL, "e2"}, GRANT_GIVEN},
		{GRANT_WRITE, {NULL, NULL, NULL, "e1,e2"}, &away, {NULL, NULL, "e"}, GRANT_PERSON},
		{GRANT_WRITE, {NULL, NULL, NULL, "e1"}, &away, {NULL, NULL, "any"}, GRANT_PERSON},
		{GRANT_WRITE, {NULL, NULL, NULL, "e1"}, &away, {"e1", "e1", NULL}, GRANT_PERSON},
		{GRANT_WRITE, {NULL, NULL, NULL, "off"}, &away, {NULL, NULL, "off"}, GRANT_UNSAID},
		{GRANT_WRITE, {NULL, NULL, NULL, "off"}, &here, {0}, GRANT_GIVEN},
		/* beside others: the wrong certificate may have the right password */
		{GRANT_WRITE, {NULL, "ann", NULL, "e1"}, &away, {NULL, NULL, "e1"}, GRANT_GIVEN},
		{GRANT_WRITE, {NULL, "ann", NULL, "e1"}, &away, {NULL, NULL, "ann"}, GRANT_UNKNOWN},
		{GRANT_WRITE, {NULL, NULL, "ci", "e1"}, &away, {NULL, NULL, "ci"}, GRANT_UNKNOWN},
		{GRANT_WRITE, {NULL, "ann", NULL, "e1"}, &away, {"ann", NULL, "e2"}, GRANT_GIVEN},
		{GRANT_WRITE, {NULL, "ann", NULL, "e1"}, &away, {"eve", NULL, "e2"}, GRANT_PERSON},
		{GRANT_WRITE, {NULL, "ann", NULL, NULL}, &away, {NULL, NULL, "ann"}, GRANT_UNKNOWN},
		/* and at the right place */
		{GRANT_WRITE,
		 {"10.0.0.0/8", NULL, NULL, "any"},
		 &ten,
		 {NULL, NULL, "e1"},
		 GRANT_GIVEN},
		{GRANT_WRITE,
		 {"10.0.0.0/8", NULL, NULL, "any"},
		 &away,
		 {NULL, NULL, "e1"},
		 GRANT_PLACE},
		{GRANT_READ, {NULL, NULL, NULL, "any"}, &here, {0}, GRANT_NO_CERTIFICATE},
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
