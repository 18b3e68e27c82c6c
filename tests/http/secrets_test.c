/* secrets_test.c - the files of users and tokens. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/secrets.h"

/* Of "secret", each. */
#define YESCRYPT "$y$j75$abcd$4kXmLgaKDvIX6kdRHPMTHEFMzZbz3KU11lQ0dx6AKZ3"
#define BCRYPT "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
#define SHA256 "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA"
/* Of "a-long-random-token". */
#define TOKEN "b780ec04f0ac941421b556e74f31ff207f799c4ad119ea0178a81054b373b34b"

static char why[512];

static int
parse(enum secrets_kind kind, const char *text, struct secrets **out)
{
	why[0] = '\0';
	*out = NULL;
	return secrets_parse(kind, "x.file", text, strlen(text), out, why, sizeof(why));
}

static void
passwords_are_checked_by_their_hash(void **state)
{
	struct secrets *users;

	(void)state;
	assert_int_equal(parse(SECRETS_PASSWORDS,
			       "# users\n\nann:" YESCRYPT "\r\nbob:" BCRYPT "\ncem:" SHA256,
			       &users),
			 0);
	assert_true(secrets_have(users, "ann") && secrets_have(users, "bob"));
	assert_true(secrets_have(users, "cem"));
	assert_false(secrets_have(users, "eve"));
	assert_true(secrets_password(users, "ann", "secret"));
	assert_true(secrets_password(users, "bob", "secret"));
	assert_true(secrets_password(users, "cem", "secret"));
	assert_false(secrets_password(users, "ann", "secre"));
	assert_false(secrets_password(users, "ann", "secrett"));
	assert_false(secrets_password(users, "bob", ""));
	assert_false(secrets_password(users, "bob", BCRYPT));
	/* Whose hash is used for the time it takes, but not for the answer. */
	assert_false(secrets_password(users, "eve", "secret"));
	secrets_free(&users);
	assert_null(users);
}

static void
a_file_without_users_lets_nobody_in(void **state)
{
	struct secrets *users;

	(void)state;
	assert_int_equal(parse(SECRETS_PASSWORDS, "", &users), 0);
	assert_false(secrets_password(users, "ann", "secret"));
	secrets_free(&users);
}

static void
tokens_are_found_by_their_hash(void **state)
{
	struct secrets *tokens;

	(void)state;
	assert_int_equal(parse(SECRETS_TOKENS,
			       "other:"
			       "0000000000000000000000000000000000000000000000000000000000000000\n"
			       "ci:" TOKEN "\n",
			       &tokens),
			 0);
	assert_string_equal(secrets_token(tokens, slice_of("a-long-random-token")), "ci");
	assert_null(secrets_token(tokens, slice_of("a-long-random-tokem")));
	assert_null(secrets_token(tokens, slice_of("")));
	assert_null(secrets_token(tokens, slice_of(TOKEN)));
	secrets_free(&tokens);
}

static void
mistakes_are_named_with_file_and_line_and_without_the_hash(void **state)
{
	static const struct {
		enum secrets_kind kind;
		unsigned line;
		const char *text, *reason;
	} cases[] = {
		{SECRETS_PASSWORDS, 1, "ann", "name:hash"},
		{SECRETS_PASSWORDS, 1, ":" BCRYPT, "no name"},
		{SECRETS_PASSWORDS, 1, "an n:" BCRYPT, "blank"},
		{SECRETS_PASSWORDS, 2, "\nany:" BCRYPT, "no name"},
		{SECRETS_PASSWORDS, 1, "off:" BCRYPT, "no name"},
		{SECRETS_PASSWORDS, 3, "#\nann:" BCRYPT "\nann:" BCRYPT "\n", "already"},
		{SECRETS_PASSWORDS, 1, "ann:", "hash"},
		{SECRETS_PASSWORDS, 1, "ann:secret", "hash"},
		{SECRETS_PASSWORDS, 1, "ann:abNANd1rDfiNc", "hash"},                  /* DES */
		{SECRETS_PASSWORDS, 1, "ann:$1$salt$ez2vlPGdaLYkJam5pWs/Y1", "hash"}, /* MD5 */
		{SECRETS_PASSWORDS, 1, "ann:$apr1$salt$ez2vlPGdaLYkJam5pWs/Y1", "hash"},
		{SECRETS_PASSWORDS, 1, "ann:" YESCRYPT "x", "cut or too long"},
		{SECRETS_PASSWORDS, 1, "ann:$2b$04$abcdefghijklmnopqrstuu", "cut or too long"},
		{SECRETS_PASSWORDS, 1, "ann:*" BCRYPT, "hash"},
		{SECRETS_TOKENS, 1, "ci:" TOKEN "0", "64 hexadecimal"},
		{SECRETS_TOKENS, 1, "ci:" BCRYPT, "64 hexadecimal"},
		{SECRETS_TOKENS, 2, "a:" TOKEN "\nci:g" TOKEN, "64 hexadecimal"},
	};
	char where[32], longest[1200];
	struct secrets *secrets;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (parse(cases[i].kind, cases[i].text, &secrets) != -EINVAL)
			fail_msg("taken: %s", cases[i].text);
		snprintf(where, sizeof(where), "x.file:%u: ", cases[i].line);
		if (strncmp(why, where, strlen(where)) != 0 || strstr(why, cases[i].reason) == NULL)
			fail_msg("%s\n: %s", cases[i].text, why);
		assert_null(strstr(why, "secret"));
		assert_null(strstr(why, "abcd"));
		assert_null(secrets);
	}
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(parse(SECRETS_TOKENS, longest, &secrets), -EINVAL);
	longest[300] = ':';
	longest[400] = '\0';
	assert_int_equal(parse(SECRETS_TOKENS, longest, &secrets), -EINVAL);
	assert_int_equal(
		secrets_parse(SECRETS_TOKENS, "x", "a\0:" TOKEN, 67, &secrets, why, sizeof(why)),
		-EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passwords_are_checked_by_their_hash),
		cmocka_unit_test(a_file_without_users_lets_nobody_in),
		cmocka_unit_test(tokens_are_found_by_their_hash),
		cmocka_unit_test(mistakes_are_named_with_file_and_line_and_without_the_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
