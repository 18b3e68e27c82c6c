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

static struct names
only(const char *name)
{
	struct names names = {NULL, 0, 0};

	assert_int_equal(names_add(&names, name), 0);
	return names;
}

static void
who_may_is_found_per_key_and_delete_follows_write(void **state)
{
	static const struct cidr_address ten = {
		{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}};
	struct rules *rules = rules_new();
	struct rule all = {.pattern = "*", UNSET}, live = {.pattern = "/live/*", UNSET};
	struct grant_words admin = {.user = only("root")};
	struct grant_terms terms;

	(void)state;
	assert_non_null(rules);
	all.access[GRANT_WRITE].from = only("10.0.0.0/8");
	all.access[GRANT_WRITE].user = only("ann");
	live.access[GRANT_WRITE].user = only("bob");
	live.access[GRANT_LIST].token = only("ci");
	live.access[GRANT_LIST].certificate = only("encoder");
	assert_int_equal(rules_add(rules, &all), 0);
	assert_int_equal(rules_add(rules, &live), 0);
	assert_int_equal(rules_set_admin(rules, &admin), 0);
	names_clear(&all.access[GRANT_WRITE].from);
	names_clear(&all.access[GRANT_WRITE].user);
	names_clear(&live.access[GRANT_LIST].token);
	names_clear(&live.access[GRANT_LIST].certificate);
	names_clear(&admin.user);
	assert_false(rules_limit_reads(rules));

	terms = rules_terms(rules, "/live/x", GRANT_WRITE);
	assert_true(cidr_set_has(terms.from, &ten));
	assert_string_equal(terms.user->items[0], "bob");
	assert_null(terms.token);
	terms = rules_terms(rules, "/live/x", GRANT_DELETE);
	assert_string_equal(terms.user->items[0], "bob");
	terms = rules_terms(rules, "/x", GRANT_WRITE);
	assert_string_equal(terms.user->items[0], "ann");
	terms = rules_terms(rules, "/x", GRANT_LIST);
	assert_null(terms.token);
	terms = rules_terms(rules, "/live/", GRANT_LIST);
	assert_string_equal(terms.token->items[0], "ci");
	assert_string_equal(terms.certificate->items[0], "encoder");
	terms = rules_terms(rules, "/live/x", GRANT_READ);
	assert_null(terms.user);
	terms = rules_terms(rules, "/live/x", GRANT_ADMIN);
	assert_string_equal(terms.user->items[0], "root");

	live.access[GRANT_DELETE].token = only("ci");
	live.access[GRANT_READ].from = only("any");
	assert_int_equal(rules_add(rules, &live), 0);
	assert_true(rules_limit_reads(rules));
	terms = rules_terms(rules, "/live/x", GRANT_DELETE);
	assert_null(terms.user);
	assert_string_equal(terms.token->items[0], "ci");
	names_clear(&live.access[GRANT_WRITE].user);
	names_clear(&live.access[GRANT_DELETE].token);
	names_clear(&live.access[GRANT_READ].from);
	rules_free(&rules);
}

static void
a_certificate_alone_is_a_term_too(void **state)
{
	struct rules *rules = rules_new();
	struct rule all = {.pattern = "*", UNSET}, live = {.pattern = "/live/*", UNSET};
	struct grant_terms terms;

	(void)state;
	all.access[GRANT_WRITE].user = only("ann");
	live.access[GRANT_DELETE].certificate = only("janitor");
	assert_int_equal(rules_add(rules, &all), 0);
	assert_int_equal(rules_add(rules, &live), 0);
	terms = rules_terms(rules, "/live/x", GRANT_DELETE);
	assert_null(terms.user); /* does not follow write any more */
	assert_string_equal(terms.certificate->items[0], "janitor");
	assert_false(rules_limit_reads(rules));

	live.access[GRANT_READ].certificate = only("any");
	assert_int_equal(rules_add(rules, &live), 0);
	assert_true(rules_limit_reads(rules));
	names_clear(&all.access[GRANT_WRITE].user);
	names_clear(&live.access[GRANT_DELETE].certificate);
	names_clear(&live.access[GRANT_READ].certificate);
	rules_free(&rules);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_playlists_are_whole_and_the_rest_is_live),
		cmocka_unit_test(every_matching_rule_applies_and_the_last_wins_per_key),
		cmocka_unit_test(rules_keep_copies),
		cmocka_unit_test(who_may_is_found_per_key_and_delete_follows_write),
		cmocka_unit_test(a_certificate_alone_is_a_term_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
