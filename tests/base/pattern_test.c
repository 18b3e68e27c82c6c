/* pattern_test.c - path patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/pattern.h"

static void
star_matches_any_bytes_and_everything_else_itself(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool match;
	} cases[] = {
		{"", "", true},
		{"", "/", false},
		{"/a", "/a", true},
		{"/a", "/ab", false},
		{"/ab", "/a", false},
		{"*", "", true},
		{"*", "/any/thing", true},
		{"/live/*", "/live/", true},
		{"/live/*", "/live/a/b.m4s", true},
		{"/live/*", "/live", false},
		{"/live/*", "/vod/a", false},
		{"*.m3u8", "/a/b.m3u8", true},
		{"*.m3u8", "/a/b.m3u8x", false},
		{"*.m3u8", ".m3u8", true},
		{"*.m3u8", "m3u8", false},
		{"/a*c", "/abc", true},
		{"/a*c", "/ac", true},
		{"/a*a", "/a", false}, /* the two ends must not share a byte */
		{"a*ba*ba", "aba", false},
		{"a*ba", "aba", true},
		{"*a*b*", "xxbxxaxx", false},
		{"*a*b*", "xxaxxbxx", true},
		{"**", "", true},
		{"/**/x", "/x", false},
		{"/**/x", "//x", true},
		{"*aab", "aaaab", true},
		{"*ab*ab", "xabxab", true},
		{"*ab*ab", "xab", false},
		{"/?[a]", "/?[a]", true},
		{"/?", "/x", false},
		{"/A", "/a", false},
		{"/\\*", "/\\anything", true},
		{"*\xff", "/\xfe\xff", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (pattern_match(cases[i].pattern, cases[i].text) != cases[i].match)
			fail_msg("pattern \"%s\" on \"%s\"", cases[i].pattern, cases[i].text);
	}
}

/* The definition, without cleverness. */
static bool
reference_match(const char *pattern, const char *text)
{
	if (*pattern == '\0')
		return *text == '\0';
	if (*pattern == '*')
		return reference_match(pattern + 1, text) ||
		       (*text != '\0' && reference_match(pattern, text + 1));
	return *pattern == *text && reference_match(pattern + 1, text + 1);
}

static void
agrees_with_the_definition_on_every_short_string(void **state)
{
	char pattern[6], text[7];

	(void)state;
	/* All patterns of up to 5 of {a, b, *} and texts of up to 6 of {a, b}. */
	for (unsigned p = 0; p < 4 * 4 * 4 * 4 * 4; p++) {
		size_t np = 0;

		for (unsigned i = 0, rest = p; i < 5; i++, rest /= 4)
			if (rest % 4 != 0)
				pattern[np++] = " ab*"[rest % 4];
		pattern[np] = '\0';
		for (unsigned t = 0; t < 3 * 3 * 3 * 3 * 3 * 3; t++) {
			size_t nt = 0;

			for (unsigned i = 0, rest = t; i < 6; i++, rest /= 3)
				if (rest % 3 != 0)
					text[nt++] = " ab"[rest % 3];
			text[nt] = '\0';
			if (pattern_match(pattern, text) != reference_match(pattern, text))
				fail_msg("pattern \"%s\" on \"%s\"", pattern, text);
		}
	}
}

static void
many_stars_stay_fast(void **state)
{
	char pattern[1024], text[1025];
	int64_t begin = clock_mono_ms();

	(void)state;
	for (size_t i = 0; i + 2 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "a*", 2);
	memcpy(pattern + sizeof(pattern) - 2, "b", 2);
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (unsigned i = 0; i < 1000; i++)
		assert_false(pattern_match(pattern, text));
	assert_true(clock_mono_ms() - begin < 10000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(star_matches_any_bytes_and_everything_else_itself),
		cmocka_unit_test(agrees_with_the_definition_on_every_short_string),
		cmocka_unit_test(many_stars_stay_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
