/* config_scan_test.c - what libconfuse would skip silently is found. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/config_scan.h"

static void
ordinary_files_pass(void **state)
{
	static const char *const texts[] = {
		"",
		"\n\n",
		"a = 1\n",
		"a = 1 # \"not a string\n",
		"a = 1 // it's a comment\n",
		"# no newline at the end",
		"/* a 'comment' \n of \"two lines */ a = 1",
		"/**/",
		"/***/a = 1",
		"a = \"# no comment /* here\"\n",
		"a = 'it''s'\n",
		"a = \"\\\"\"\n",
		"a = '\\''\n",
		"rule \"*.m3u8\" { a = \"max-age=1\"  b = 2s }\n",
		"a += {\"x\", y}\n",
		"a = 1\r\nb = 2\r\n",
		"\ta = /live/x\n",
		"a = \"$x\"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		unsigned line = 0;
		const char *reason = NULL;

		if (config_scan(texts[i], strlen(texts[i]), &line, &reason) != 0)
			fail_msg("%s: line %u: %s", texts[i], line, reason);
	}
}

static void
what_would_be_skipped_is_found_with_its_line(void **state)
{
	static const struct {
		unsigned line;
		const char *text, *reason;
	} cases[] = {
		{1, "rule * { }", "'*'"},
		{2, "\na = *.m3u8", "'*'"},
		{1, "a = +5s", "'+'"},
		{2, "a = 1\n/* b = 2\nc = 3\n", "comment"},
		{1, "/*/", "comment"},
		{2, "\na = \"x", "string"},
		{2, "\na = 'x", "string"},
		{2, "\na = \"x\nb = \"y\"\n", "string"},
		{1, "a = 'x\\", "string"},
		{3, "\n\na = \"x\\\ny\"", "string"},
		{2, "\nrule \"/x\" {\n", "closed"},
		{1, "a = {b, c # }", "closed"},
		{1, "a = ${HOME}", "variables"},
		{1, "a = \"x${HOME}\"", "variables"},
		{2, "\n\x01", "control"},
		{1, "a = 1\rb = 2", "control"},
		{1, "a = \"\x7f\"", "control"},
		{1, "# \x1b[31m", "control"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned line = 0;
		const char *reason = "";
		int err = config_scan(cases[i].text, strlen(cases[i].text), &line, &reason);

		if (err != -EINVAL || line != cases[i].line ||
		    strstr(reason, cases[i].reason) == NULL)
			fail_msg("case %zu: %d, line %u: %s", i, err, line, reason);
	}
}

static void
a_nul_byte_is_found(void **state)
{
	unsigned line = 0;
	const char *reason = NULL;

	(void)state;
	assert_int_equal(config_scan("a\n\0b", 4, &line, &reason), -EINVAL);
	assert_int_equal(line, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_files_pass),
		cmocka_unit_test(what_would_be_skipped_is_found_with_its_line),
		cmocka_unit_test(a_nul_byte_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
