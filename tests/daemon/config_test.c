/* config_test.c - the file, and who wins over whom. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/command.h"
#include "daemon/config.h"

static char why[512];

static int
parse(const char *text, struct config *config)
{
	why[0] = '\0';
	memset(config, 0, sizeof(*config));
	assert_int_equal(options_init(&config->options), 0);
	return config_parse("x.conf", text, strlen(text), config, why, sizeof(why));
}

static void
a_file_sets_what_it_names_and_nothing_else(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse("# sample\n"
			       "object_max = 1GiB  head_timeout = 2s # two on one line\n"
			       "sync = off\n"
			       "data_dir = \"/srv/media\"\n"
			       "listen = {\"127.0.0.1:80\", \"[::1]:80\"}\n",
			       &config),
			 0);
	assert_int_equal(config.options.object_max, 1073741824);
	assert_int_equal(config.options.head_timeout_ms, 2000);
	assert_false(config.options.sync);
	assert_string_equal(config.options.data_dir, "/srv/media");
	assert_int_equal(config.options.listen.count, 2);
	assert_string_equal(config.options.listen.items[1], "[::1]:80");
	assert_int_equal(config.options.drain_timeout_ms, 10000);
	assert_int_equal(config.rule_count, 0);
	config_free(&config);
}

static void
values_may_be_quoted_or_not(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse("object_max = \"1GiB\"\nhead_timeout = '2s'\nadmin = none\n"
			       "listen = 127.0.0.1:80\ndata_dir = /srv/media\n",
			       &config),
			 0);
	assert_int_equal(config.options.object_max, 1073741824);
	assert_int_equal(config.options.head_timeout_ms, 2000);
	assert_null(config.options.admin);
	assert_int_equal(config.options.listen.count, 1);
	assert_string_equal(config.options.data_dir, "/srv/media");
	config_free(&config);
}

static void
an_empty_file_is_a_file(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse("", &config), 0);
	assert_int_equal(config.options.listen.count, 2);
	config_free(&config);
	assert_int_equal(parse("# nothing", &config), 0);
	config_free(&config);
}

static void
rules_keep_the_order_of_the_file(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse("rule \"/live/*\" { publish = live  existing = append }\n"
			       "rule \"*.m3u8\" {\n\tpublish = whole\n"
			       "\tcache_control = \"max-age=1\"\n}\n"
			       "rule \"/x\" { content_type = text/plain }\n"
			       "rule '/empty' { }\n",
			       &config),
			 0);
	assert_int_equal(config.rule_count, 4);
	assert_string_equal(config.rules[0].pattern, "/live/*");
	assert_int_equal(config.rules[0].publish, PUBLISH_LIVE);
	assert_int_equal(config.rules[0].existing, EXISTING_APPEND);
	assert_null(config.rules[0].content_type);
	assert_string_equal(config.rules[1].pattern, "*.m3u8");
	assert_int_equal(config.rules[1].publish, PUBLISH_WHOLE);
	assert_int_equal(config.rules[1].existing, -1);
	assert_string_equal(config.rules[1].cache_control, "max-age=1");
	assert_string_equal(config.rules[2].content_type, "text/plain");
	assert_string_equal(config.rules[3].pattern, "/empty");
	assert_int_equal(config.rules[3].publish, -1);
	config_free(&config);
}

static void
mistakes_are_named_with_file_line_and_reason(void **state)
{
	static const struct {
		unsigned line;
		const char *text, *reason;
	} cases[] = {
		{1, "no_such_key = 1\n", "no_such_key"},
		{2, "\nobject_max = many\n", "object_max: 'many' is not a size"},
		{3, "object_max = 1GiB\n\nobject_max = 2GiB\n", "object_max is given twice"},
		{3, "listen = {\"127.0.0.1:1\"}\n\nlisten = \"127.0.0.1:2\"\n", "given twice"},
		{2, "listen = \"127.0.0.1:1\"\nlisten = {\"127.0.0.1:2\"}\n", "given twice"},
		{2, "listen = {\"127.0.0.1:1\",\n\"nowhere\"}\n", "nowhere"},
		{2, "object_max = 1GiB\nrule \"/x\" { no_such_key = 1 }\n", "no_such_key"},
		{2, "object_max = 1GiB\nrule \"/x\" { publish = sometimes }\n", "sometimes"},
		{1, "rule \"/x\" { object_max = 1 }\n", "object_max"},
		{1, "publish = live\n", "publish"},
		{2, "\nrule \"/x\" { publish = live  publish = whole }\n",
		 "publish is given twice"},
		{3, "\nrule \"/x\" {\npublish = live }\nrule \"/x\" { publish = live }\n", NULL},
		{1, "rule \"x\" { }\n", "begins with"},
		{1, "rule { }\n", "title"},
		{1, "rule \"/x\"\n", NULL},
		{1, "rule \"/x\" {", "premature"},
		{1, "}", "brace"},
		{1, "object_max 5\n", "equal"},
		{1, "object_max =", "premature"},
		{1, "object_max = }", "unexpected"},
		{1, "object_max = 1GiB 2GiB\n", "2GiB"},
		{1, "object_max += 1GiB\n", "append"},
		{1, "cache_control = max-age=1\n", NULL},
		{1, "rule * { }", "quotes"},
		{1, "rule(\"x\")\n", NULL},
		{1, "include(\"/etc/passwd\")\n", "include"},
		{1, "Object_Max = 1\n", "Object_Max"},
	};
	struct config config;
	char where[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (parse(cases[i].text, &config) != -EINVAL)
			fail_msg("taken: %s", cases[i].text);
		/* NULL: any line will do, a duplicate section is seen at its brace. */
		snprintf(where, sizeof(where), "x.conf:%u: ", cases[i].line);
		if (strncmp(why, cases[i].reason != NULL ? where : "x.conf:",
			    strlen(cases[i].reason != NULL ? where : "x.conf:")) != 0)
			fail_msg("%s\n: %s", cases[i].text, why);
		if (cases[i].reason != NULL && strstr(why, cases[i].reason) == NULL)
			fail_msg("%s\n: %s", cases[i].text, why);
		config_free(&config);
		/* One failure must not spoil the next reading: SIGHUP comes again. */
		assert_int_equal(parse("object_max = 7\n", &config), 0);
		assert_int_equal(config.options.object_max, 7);
		config_free(&config);
	}
}

static void
an_empty_list_is_a_mistake(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse("listen = {}\n", &config), -EINVAL);
	assert_non_null(strstr(why, "listen"));
	config_free(&config);
}

static void
the_command_line_wins_over_the_file_over_the_defaults(void **state)
{
	char name[] = "/tmp/spillway-config-test-XXXXXX";
	int fd = mkstemp(name);
	static const char text[] = "listen = {\"127.0.0.1:1\", \"127.0.0.1:2\"}\n"
				   "object_max = 1\nworkers = 2\n";
	char *argv[] = {"spillway", "-c",          name, "-l",           "127.0.0.1:3",
			"-l",       "127.0.0.1:4", "-o", "object_max=9", NULL};
	struct command command;
	struct config config;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	assert_int_equal(command_parse(9, argv, &command, why, sizeof(why)), 0);
	assert_int_equal(config_load(&command, &config, why, sizeof(why)), 0);
	unlink(name);
	assert_string_equal(config.file, name);
	assert_int_equal(config.options.listen.count, 2);
	assert_string_equal(config.options.listen.items[0], "127.0.0.1:3");
	assert_string_equal(config.options.listen.items[1], "127.0.0.1:4");
	assert_int_equal(config.options.object_max, 9);
	assert_int_equal(config.options.workers, 2);
	assert_int_equal(config.options.head_timeout_ms, 10000);
	config_free(&config);
	command_free(&command);
}

static void
unreadable_files_are_named(void **state)
{
	static const char *const names[] = {"/nonexistent/x.conf", "/", "/dev/zero"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct command command = {.file = names[i]};
		struct config config;

		why[0] = '\0';
		assert_true(config_load(&command, &config, why, sizeof(why)) < 0);
		assert_memory_equal(why, names[i], strlen(names[i]));
		config_free(&config);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_sets_what_it_names_and_nothing_else),
		cmocka_unit_test(values_may_be_quoted_or_not),
		cmocka_unit_test(an_empty_file_is_a_file),
		cmocka_unit_test(rules_keep_the_order_of_the_file),
		cmocka_unit_test(mistakes_are_named_with_file_line_and_reason),
		cmocka_unit_test(an_empty_list_is_a_mistake),
		cmocka_unit_test(the_command_line_wins_over_the_file_over_the_defaults),
		cmocka_unit_test(unreadable_files_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
