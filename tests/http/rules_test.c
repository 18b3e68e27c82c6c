/* rules_test.c - which rule wins. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/rules.h"

#define UNSET .publish = -1, .existing = -1, .second_writer = -1, .ttl_ms = -1, .hold_ms = -1

static void
without_rules_playlists_are_whole_and_the_rest_is_live(void **state)
{
	struct rules *rules = rules_new();
	struct policy policy;

	(void)state;
	assert_non_null(rules);
	assert_int_equal(rules_policy(rules, "/a.m3u8").publish, PUBLISH_WHOLE);
	assert_int_equal(rules_policy(rules, "/a/b.mpd").publish, PUBLISH_WHOLE);
	policy = rules_policy(rules, "/a.m4s");
	assert_int_equal(policy.publish, PUBLISH_LIVE);
	assert_int_equal(policy.existing, EXISTING_REPLACE);
	assert_int_equal(policy.second_writer, SECOND_VERSION);
	assert_null(policy.content_type);
	assert_null(policy.cache_control);
	assert_int_equal(policy.ttl_ms, 0);
	assert_int_equal(policy.hold_ms, 0);
	rules_free(&rules);
	assert_null(rules);
}

static void
every_matching_rule_applies_and_the_last_wins_per_key(void **state)
{
	struct rules *rules = rules_new();
	struct rule all = {.pattern = "/live/*", UNSET};
	struct rule some = {.pattern = "*.ts", UNSET};
	struct rule last = {.pattern = "/live/keep/*", UNSET};
	struct policy policy;

	(void)state;
	all.ttl_ms = 1000;
	all.cache_control = "max-age=7";
	some.cache_control = "max-age=8";
	some.content_type = "x/y";
	last.ttl_ms = 0;
	last.publish = PUBLISH_WHOLE;
	assert_int_equal(rules_add(rules, &all), 0);
	assert_int_equal(rules_add(rules, &some), 0);
	assert_int_equal(rules_add(rules, &last), 0);

	policy = rules_policy(rules, "/live/a.ts");
	assert_int_equal(policy.ttl_ms, 1000);
	assert_string_equal(policy.cache_control, "max-age=8");
	assert_string_equal(policy.content_type, "x/y");
	assert_int_equal(policy.publish, PUBLISH_LIVE);
	policy = rules_policy(rules, "/live/keep/a");
	assert_int_equal(policy.ttl_ms, 0);
	assert_string_equal(policy.cache_control, "max-age=7");
	assert_int_equal(policy.publish, PUBLISH_WHOLE);
	assert_int_equal(rules_policy(rules, "/other").ttl_ms, 0);
	rules_free(&rules);
}

static void
rules_keep_copies(void **state)
{
	struct rules *rules = rules_new();
	char pattern[] = "/a*", type[] = "x/y";
	struct rule rule = {.pattern = pattern, .content_type = type, UNSET};

	(void)state;
	assert_int_equal(rules_add(rules, &rule), 0);
	memset(pattern, 'z', sizeof(pattern) - 1);
	memset(type, 'z', sizeof(type) - 1);
	assert_string_equal(rules_policy(rules, "/abc").content_type, "x/y");
	rules_free(&rules);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_playlists_are_whole_and_the_rest_is_live),
		cmocka_unit_test(every_matching_rule_applies_and_the_last_wins_per_key),
		cmocka_unit_test(rules_keep_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
