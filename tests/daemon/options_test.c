/* options_test.c - the table of keys: what each takes, and that the manual knows them all. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "daemon/options.h"
#include "storage/store.h"

static char why[512];

static int
set(struct options *options, const char *name, const char *value)
{
	const struct option_key *key = options_find(options_keys, name);

	assert_non_null(key);
	return options_set(key, options, value, why, sizeof(why));
}

static void
defaults_are_those_of_the_contract(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(options_init(&o), 0);
	assert_non_null(strstr(o.data_dir, "/lib/spillway"));
	assert_int_equal(o.listen.count, 2);
	assert_string_equal(o.listen.items[0], "0.0.0.0:3000");
	assert_string_equal(o.listen.items[1], "[::]:3000");
	assert_string_equal(o.admin, "127.0.0.1:3001");
	assert_int_equal(o.workers, 0);
	assert_true(o.sync);
	assert_int_equal(o.object_max, 0);
	assert_int_equal(o.head_timeout_ms, 10000);
	assert_int_equal(o.ingest_idle_ms, 60000);
	assert_int_equal(o.send_timeout_ms, 30000);
	assert_int_equal(o.drain_timeout_ms, 10000);
	assert_int_equal(o.resume_window_ms, 10000);
	assert_int_equal(o.writer_takeover_ms, 5000);
	assert_int_equal(o.log_level, LOG_LEVEL_NOTICE);
	options_free(&o);
	assert_null(o.data_dir);
	options_free(&o);
}

/* Two places say what a store does without options; they must agree. */
static void
defaults_are_those_of_the_store(void **state)
{
	struct store_config config;
	struct options o;

	(void)state;
	store_config_defaults(&config);
	assert_int_equal(options_init(&o), 0);
	assert_int_equal(o.sync, config.sync);
	assert_int_equal(o.volume_size, config.volume_size);
	assert_int_equal(o.memory_max, config.memory_max);
	assert_int_equal(o.tail_max, config.tail_max);
	assert_int_equal(o.resume_window_ms, config.resume_window_ms);
	assert_int_equal(o.writer_takeover_ms, config.writer_takeover_ms);
	options_free(&o);
}

static void
every_kind_of_value_arrives(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(options_init(&o), 0);
	assert_int_equal(set(&o, "data_dir", "/srv/x y"), 0);
	assert_string_equal(o.data_dir, "/srv/x y");
	assert_int_equal(set(&o, "admin", "none"), 0);
	assert_null(o.admin);
	assert_int_equal(set(&o, "admin", "[::1]:0"), 0);
	assert_string_equal(o.admin, "[::1]:0");
	assert_int_equal(set(&o, "workers", "3"), 0);
	assert_int_equal(o.workers, 3);
	assert_int_equal(set(&o, "sync", "off"), 0);
	assert_false(o.sync);
	assert_int_equal(set(&o, "object_max", "5GiB"), 0);
	assert_int_equal(o.object_max, UINT64_C(5) << 30);
	assert_int_equal(set(&o, "head_timeout", "500ms"), 0);
	assert_int_equal(o.head_timeout_ms, 500);
	assert_int_equal(set(&o, "log_level", "debug"), 0);
	assert_int_equal(o.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(set(&o, "listen", "127.0.0.1:1"), 0);
	assert_int_equal(o.listen.count, 3);
	options_clear(options_find(options_keys, "listen"), &o);
	assert_int_equal(o.listen.count, 0);
	assert_int_equal(set(&o, "listen", "127.0.0.1:2"), 0);
	assert_string_equal(o.listen.items[0], "127.0.0.1:2");
	options_free(&o);
}

static void
bad_values_are_refused_with_a_reason_and_change_nothing(void **state)
{
	static const struct {
		const char *key, *value;
	} cases[] = {
		{"data_dir", ""},
		{"data_dir", "a\nb"},
		{"listen", ""},
		{"listen", "3000"},
		{"listen", "127.0.0.1"},
		{"listen", "127.0.0.1:"},
		{"listen", "127.0.0.1:65536"},
		{"listen", "127.0.0.1:99999999999999999999"},
		{"listen", "127.0.0.1:-1"},
		{"listen", "127.0.0.1:1x"},
		{"listen", "127.0.0.256:1"},
		{"listen", "localhost:1"},
		{"listen", "::1:1"},
		{"listen", "[::1]"},
		{"listen", "[::1:1"},
		{"listen", "[127.0.0.1]:1"},
		{"listen", "[]:1"},
		{"listen", ":1"},
		{"listen", "none"},
		{"admin", "no"},
		{"workers", "0"},
		{"workers", "65"},
		{"workers", "x"},
		{"workers", "1B"},
		{"workers", ""},
		{"workers", "4294967297"},
		{"sync", "yes"},
		{"sync", ""},
		{"volume_size", "1KiB"},
		{"volume_size", "1TiB"},
		{"tail_max", "0"},
		{"object_max", "many"},
		{"object_max", "99999999999999999999GiB"},
		{"head_timeout", "0"},
		{"head_timeout", "10"},
		{"head_timeout", "-5s"},
		{"head_timeout", "2d"},
		{"log_level", "loud"},
		{"log_level", "Notice"},
	};
	struct options o, untouched;

	(void)state;
	assert_int_equal(options_init(&o), 0);
	assert_int_equal(options_init(&untouched), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why[0] = '\0';
		if (set(&o, cases[i].key, cases[i].value) != -EINVAL)
			fail_msg("%s = '%s' was taken", cases[i].key, cases[i].value);
		assert_non_null(strstr(why, cases[i].key));
	}
	for (const struct option_key *key = options_keys; key->name != NULL; key++)
		assert_true(options_equal(key, &o, &untouched));
	options_free(&o);
	options_free(&untouched);
}

static void
reasons_name_what_would_be_right(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(options_init(&o), 0);
	set(&o, "log_level", "loud");
	assert_string_equal(why, "log_level: 'loud' is not one of error, warning, notice, debug");
	set(&o, "workers", "65");
	assert_string_equal(why, "workers: 65 is out of range (1 to 64)");
	set(&o, "volume_size", "1KiB");
	assert_string_equal(why, "volume_size: 1KiB is out of range (1MiB to 64GiB)");
	set(&o, "head_timeout", "10");
	assert_string_equal(why,
			    "head_timeout: '10' is not a duration such as 500ms, 2s, 5m, 1h or 7d");
	options_free(&o);
}

static void
rules_take_their_own_keys(void **state)
{
	static const struct {
		const char *key, *value;
	} good[] =
		{
			{"publish", "whole"},
			{"existing", "refuse"},
			{"second_writer", "refuse"},
			{"hold", "2500ms"},
			{"content_type", "video/mp4; codecs=\"avc1\""},
			{"cache_control", "public, max-age=31536000, immutable"},
		},
	  bad[] = {
		  {"publish", "now"},
		  {"existing", ""},
		  {"hold", "6m"},
		  {"content_type", "mp4"},
		  {"content_type", "/mp4"},
		  {"content_type", "video/"},
		  {"content_type", "video/mp4\r\nX: y"},
		  {"cache_control", "a\r\nX: y"},
		  {"cache_control", ""},
	  };
	struct rule rule;

	(void)state;
	assert_int_equal(options_rule_init(&rule, "/live/*", why, sizeof(why)), 0);
	assert_string_equal(rule.pattern, "/live/*");
	assert_int_equal(rule.publish, -1);
	assert_int_equal(rule.existing, -1);
	assert_int_equal(rule.second_writer, -1);
	assert_int_equal(rule.ttl_ms, -1);
	assert_int_equal(rule.hold_ms, -1);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(options_set(options_find(options_rule_keys, good[i].key), &rule,
					     good[i].value, why, sizeof(why)),
				 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (options_set(options_find(options_rule_keys, bad[i].key), &rule, bad[i].value,
				why, sizeof(why)) != -EINVAL)
			fail_msg("%s = '%s' was taken", bad[i].key, bad[i].value);
	assert_int_equal(rule.publish, PUBLISH_WHOLE);
	assert_int_equal(rule.existing, EXISTING_REFUSE);
	assert_int_equal(rule.second_writer, SECOND_REFUSE);
	assert_int_equal(rule.hold_ms, 2500);
	assert_string_equal(rule.content_type, good[4].value);
	assert_string_equal(rule.cache_control, good[5].value);
	options_rule_free(&rule);
	assert_int_equal(options_rule_init(&rule, "live/*", why, sizeof(why)), -EINVAL);
	options_rule_free(&rule);
	assert_int_equal(options_rule_init(&rule, "", why, sizeof(why)), -EINVAL);
	options_rule_free(&rule);
}

static void
the_manual_describes_every_key_and_its_default(void **state)
{
	static char page[256 * 1024];
	const char *top = getenv("srcdir");
	char name[1024], entry[128];
	size_t length;
	FILE *file;

	(void)state;
	snprintf(name, sizeof(name), "%s/doc/spillway.conf.5", top != NULL ? top : ".");
	file = fopen(name, "r");
	assert_non_null(file);
	length = fread(page, 1, sizeof(page) - 1, file);
	page[length] = '\0';
	fclose(file);
	for (unsigned table = 0; table < 2; table++) {
		const struct option_key *key = table == 0 ? options_keys : options_rule_keys;

		for (; key->name != NULL; key++) {
			const char *at, *next;

			snprintf(entry, sizeof(entry), "\n.It Ic %s", key->name);
			at = strstr(page, entry);
			if (at == NULL)
				fail_msg("%s does not describe %s", name, key->name);
			/* The prefix decides what some are. */
			if (key->initial == NULL || strcmp(key->name, "data_dir") == 0 ||
			    strcmp(key->name, "player_dir") == 0)
				continue;
			next = strstr(at + 1, "\n.It ");
			snprintf(entry, sizeof(entry), "\nThe default is\n.Li %s .\n",
				 key->initial);
			at = strstr(at, entry);
			if (at == NULL || (next != NULL && at > next))
				fail_msg("%s does not say that %s is %s by default", name,
					 key->name, key->initial);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_those_of_the_contract),
		cmocka_unit_test(defaults_are_those_of_the_store),
		cmocka_unit_test(every_kind_of_value_arrives),
		cmocka_unit_test(bad_values_are_refused_with_a_reason_and_change_nothing),
		cmocka_unit_test(reasons_name_what_would_be_right),
		cmocka_unit_test(rules_take_their_own_keys),
		cmocka_unit_test(the_manual_describes_every_key_and_its_default),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
