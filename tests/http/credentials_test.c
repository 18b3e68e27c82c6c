/* credentials_test.c - Authorization, well and badly made. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/credentials.h"

static struct credentials
read_fields(const char *fields)
{
	static char text[HEAD_MAX];
	struct credentials credentials;
	struct head head;
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", fields);

	assert_int_equal(head_parse(text, (size_t)n, &head), HEAD_OK);
	credentials_read(&head, &credentials);
	return credentials;
}

static void
basic_is_a_name_and_a_password(void **state)
{
	static const struct {
		const char *value, *user, *password;
	} cases[] = {
		{"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"},
		{"basic   dGVzdDoxMjPCow==", "test", "123\xc2\xa3"}, /* RFC 7617 2.1 */
		{"BASIC YTpiOmM=", "a", "b:c"},
		{"Basic Og==", "", ""},
		{"Basic YTo=", "a", ""},
		{"Basic OmI=", "", "b"},
		{"Basic YWJjOmRlZg==", "abc", "def"},
		{"Basic YTpiYmI/Pz8+", "a", "bbb\?\?\?>"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct credentials c;
		char field[256];

		snprintf(field, sizeof(field), "Authorization: %s\r\n", cases[i].value);
		c = read_fields(field);
		if (c.kind != CREDENTIALS_BASIC)
			fail_msg("%s", cases[i].value);
		assert_string_equal(c.user, cases[i].user);
		assert_string_equal(c.password, cases[i].password);
	}
}

static void
bearer_is_a_token(void **state)
{
	struct credentials c = read_fields("Authorization: Bearer  mF_9.B5f-4.1JqM \r\n");

	(void)state;
	assert_int_equal(c.kind, CREDENTIALS_BEARER);
	assert_int_equal(c.token.length, 15);
	assert_memory_equal(c.token.data, "mF_9.B5f-4.1JqM", 15);
}

static void
what_is_malformed_is_nothing(void **state)
{
	static const char *const fields[] = {
		"",
		"Authorization:\r\n",
		"Authorization: Basic\r\n",
		"Authorization: Basic \r\n",
		"Authorization: Bearer\r\n",
		"Authorization: Basic QWxhZGRpbg==\r\n", /* no colon */
		"Authorization: Basic YTpiO\r\n",        /* not a multiple of four */
		"Authorization: Basic YT=iOmM=\r\n",     /* padding inside */
		"Authorization: Basic YTpi====\r\n",     /* nothing but padding */
		"Authorization: Basic YTpiO===\r\n",     /* too much of it */
		"Authorization: Basic YTpi OmM=\r\n",    /* a blank inside */
		"Authorization: Basic YTpi-_==\r\n",     /* another alphabet */
		"Authorization: Basic YQA6Yg==\r\n",     /* a zero byte */
		"Authorization: Basic YTpiCg==\r\n",     /* a line feed */
		"Authorization: Digest username=\"x\"\r\n",
		"Authorization: Basic YTpi\r\nAuthorization: Basic YTpi\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (read_fields(fields[i]).kind != CREDENTIALS_NONE)
			fail_msg("%s", fields[i]);
}

static void
what_is_too_long_is_nothing(void **state)
{
	static char field[HEAD_MAX];
	static const struct {
		size_t quads; /* of "aaaa" in base64: YWFh is "aaa" */
		bool name;
		enum credentials_kind kind;
	} cases[] = {
		{84, true, CREDENTIALS_BASIC},   /* 252 bytes of a name */
		{86, true, CREDENTIALS_NONE},    /* 258 */
		{170, false, CREDENTIALS_BASIC}, /* 510 of a password */
		{171, false, CREDENTIALS_NONE},  /* 513 */
		{3000, true, CREDENTIALS_NONE},  {3000, false, CREDENTIALS_NONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *at = stpcpy(field, "Authorization: Basic ");

		if (!cases[i].name)
			at = stpcpy(at, "YWE6"); /* "aa:" */
		for (size_t n = 0; n < cases[i].quads; n++)
			at = stpcpy(at, "YWFh");
		if (cases[i].name)
			at = stpcpy(at, "OmI="); /* ":b" */
		stpcpy(at, "\r\n");
		if (read_fields(field).kind != cases[i].kind)
			fail_msg("row %zu", i);
	}
}

static void
nothing_of_them_is_left(void **state)
{
	struct credentials c = read_fields("Authorization: Basic YWJjOmRlZg==\r\n");
	static const struct credentials empty;

	(void)state;
	credentials_forget(&c);
	assert_memory_equal(&c, &empty, sizeof(c));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(basic_is_a_name_and_a_password),
		cmocka_unit_test(bearer_is_a_token),
		cmocka_unit_test(what_is_malformed_is_nothing),
		cmocka_unit_test(what_is_too_long_is_nothing),
		cmocka_unit_test(nothing_of_them_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
