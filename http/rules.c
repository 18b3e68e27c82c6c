#include "http/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/pattern.h"

struct rules {
	struct rule *list; /* strings owned */
	size_t count;
};

static void
rule_clear(struct rule *rule)
{
	/* The casts give back what strdup made; readers see them as const. */
	free((char *)rule->pattern);
	free((char *)rule->content_type);
	free((char *)rule->cache_control);
}

static int
copy_string(const char *text, const char **out)
{
	*out = text != NULL ? strdup(text) : NULL;
	return text != NULL && *out == NULL ? -ENOMEM : 0;
}

int
rules_add(struct rules *rules, const struct rule *rule)
{
	struct rule *list = realloc(rules->list, (rules->count + 1) * sizeof(*list));
	struct rule copy = *rule;

	if (list == NULL)
		return -ENOMEM;
	rules->list = list;
	copy.pattern = copy.content_type = copy.cache_control = NULL;
	if (copy_string(rule->pattern, &copy.pattern) != 0 ||
	    copy_string(rule->content_type, &copy.content_type) != 0 ||
	    copy_string(rule->cache_control, &copy.cache_control) != 0) {
		rule_clear(&copy);
		return -ENOMEM;
	}
	rules->list[rules->count++] = copy;
	return 0;
}

struct rules *
rules_new(void)
{
	static const char *const playlists[] = {"*.m3u8", "*.mpd"};
	struct rules *rules = calloc(1, sizeof(*rules));

	if (rules == NULL)
		return NULL;
	for (size_t i = 0; i < sizeof(playlists) / sizeof(playlists[0]); i++) {
		struct rule rule = {.pattern = playlists[i],
				    .publish = PUBLISH_WHOLE,
				    .existing = -1,
				    .second_writer = -1,
				    .ttl_ms = -1,
				    .hold_ms = -1};

		if (rules_add(rules, &rule) != 0) {
			rules_free(&rules);
			return NULL;
		}
	}
	return rules;
}

void
rules_free(struct rules **rulesp)
{
	struct rules *rules = *rulesp;

	if (rules == NULL)
		return;
	*rulesp = NULL;
	for (size_t i = 0; i < rules->count; i++)
		rule_clear(&rules->list[i]);
	free(rules->list);
	free(rules);
}

struct policy
rules_policy(const struct rules *rules, const char *path)
{
	struct policy policy = {.publish = PUBLISH_LIVE, .existing = EXISTING_REPLACE};

	for (size_t i = 0; i < rules->count; i++) {
		const struct rule *rule = &rules->list[i];

		if (!pattern_match(rule->pattern, path))
			continue;
		if (rule->publish >= 0)
			policy.publish = (enum publish)rule->publish;
		if (rule->existing >= 0)
			policy.existing = (enum existing)rule->existing;
		if (rule->second_writer >= 0)
			policy.second_writer = (enum second_writer)rule->second_writer;
		if (rule->content_type != NULL)
			policy.content_type = rule->content_type;
		if (rule->cache_control != NULL)
			policy.cache_control = rule->cache_control;
		if (rule->ttl_ms >= 0)
			policy.ttl_ms = rule->ttl_ms;
		if (rule->hold_ms >= 0)
			policy.hold_ms = rule->hold_ms;
	}
	return policy;
}
