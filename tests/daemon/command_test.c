/* command_test.c - the command line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/command.h"

static char why[512];

/* Splits LINE at its blanks and parses it. */
static int
parse(const char *line, struct command *command)
{
	static char words[256];
	char *argv[32] = {"spillway"};
	int argc = 1;

	assert_true(strlen(line) < sizeof(words));
	strcpy(words, line);
	for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
		argv[argc++] = word;
	why[0] = '\0';
	return command_parse(argc, argv, command, why, sizeof(why));
}

static void
nothing_is_fine(void **state)
{
	struct command command;

	(void)state;
	assert_int_equal(parse("", &command), 0);
	assert_null(command.file);
	assert_int_equal(command.count, 0);
	assert_false(command.test || command.version || command.help);
	command_free(&command);
}

static void
short_and_long_flags_mean_the_same(void **state)
{
	static const char *const lines[] = {
		"-c f -d dir -l 127.0.0.1:1 -l [::1]:2 -a none -w 3 -o sync=off -t -V -h",
		"--config f --data-dir dir --listen 127.0.0.1:1 --listen=[::1]:2 --admin none "
		"--workers=3 --option sync=off --test --version --help",
	};
	static const char *const keys[] = {"data_dir", "listen",  "listen",
					   "admin",    "workers", "sync"};
	static const char *const values[] = {"dir", "127.0.0.1:1", "[::1]:2", "none", "3", "off"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct command command;

		assert_int_equal(parse(lines[i], &command), 0);
		assert_string_equal(command.file, "f");
		assert_true(command.test && command.version && command.help);
		assert_int_equal(command.count, 6);
		for (size_t k = 0; k < 6; k++) {
			assert_string_equal(command.settings[k].key->name, keys[k]);
			assert_string_equal(command.settings[k].value, values[k]);
		}
		command_free(&command);
	}
}

static void
every_key_may_be_an_option(void **state)
{
	struct command command;

	(void)state;
	assert_int_equal(parse("-o data_dir=a=b", &command), 0);
	assert_string_equal(command.settings[0].value, "a=b");
	command_free(&command);
	for (const struct option_key *key = options_keys; key->name != NULL; key++) {
		char line[256] = "-o ";

		if (key->initial == NULL)
			continue;
		strcat(strcat(strcat(line, key->name), "="), key->initial);
		assert_int_equal(parse(line, &command), 0);
		assert_ptr_equal(command.settings[0].key, key);
		command_free(&command);
	}
}

static void
mistakes_are_named(void **state)
{
	static const struct {
		const char *line, *reason;
	} cases[] = {
		{"-Z", "-Z"},
		{"--nonsense", "--nonsense"},
		{"--test=1", "--test"},
		{"stray", "'stray'"},
		{"-c", "-c needs"},
		{"--listen", "--listen needs"},
		{"-w x", "workers: 'x'"},
		{"-l nowhere", "nowhere"},
		{"-o sync", "KEY=VALUE"},
		{"-o =on", "KEY=VALUE"},
		{"-o nonsense=1", "nonsense"},
		{"-o publish=live", "publish"},
		{"-o sync=maybe", "maybe"},
		{"-o "
		 "a_very_long_key_that_is_longer_than_any_key_that_could_ever_be_in_the_table=1",
		 "no such key"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct command command;

		assert_int_equal(parse(cases[i].line, &command), -EINVAL);
		if (strstr(why, cases[i].reason) == NULL)
			fail_msg("%s: %s", cases[i].line, why);
		assert_int_equal(command.count, 0);
	}
}

static void
help_lists_every_key(void **state)
{
	char *text = NULL;
	size_t length;
	FILE *to = open_memstream(&text, &length);

	(void)state;
	assert_non_null(to);
	command_help(to);
	fclose(to);
	for (const struct option_key *key = options_keys; key->name != NULL; key++)
		assert_non_null(strstr(text, key->name));
	for (const struct option_key *key = options_rule_keys; key->name != NULL; key++)
		assert_non_null(strstr(text, key->name));
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_fine),
		cmocka_unit_test(short_and_long_flags_mean_the_same),
		cmocka_unit_test(every_key_may_be_an_option),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(help_lists_every_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
