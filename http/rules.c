#include "http/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/pattern.h"

/* A rule of ours: its strings are owned, and its addresses read. */
struct entry {
	struct rule rule;
	struct cidr_set from[GRANT_OPS];
};

struct rules {
	struct entry *list;
	size_t count;
	struct entry admin; /* speaks of GRANT_ADMIN only, and has no pattern */
	bool limit_reads;
};

static void
entry_clear(struct entry *entry)
{
	/* The casts give back what strdup made; readers see them as const. */
	free((char *)entry->rule.pattern);
	free((char *)entry->rule.content_type);
	free((char *)entry->rule.cache_control);
	for (size_t op = 0; op < GRANT_OPS; op++) {
		names_clear(&entry->rule.access[op].from);
		names_clear(&entry->rule.access[op].user);
		names_clear(&entry->rule.access[op].token);
		names_clear(&entry->rule.access[op].certificate);
		cidr_set_clear(&entry->from[op]);
	}
}

static int
copy_string(const char *text, const char **out)
{
	*out = text != NULL ? strdup(text) : NULL;
	return text != NULL && *out == NULL ? -ENOMEM : 0;
}

static int
copy_words(const struct grant_words *words, enum grant_op op, struct entry *entry)
{
	struct grant_words *copy = &entry->rule.access[op];
	int err = names_copy(&words->from, &copy->from);

	for (size_t i = 0; i < words->from.count && err == 0; i++)
		err = cidr_set_add(&entry->from[op], words->from.items[i]);
	if (err == 0)
		err = names_copy(&words->user, &copy->user);
	if (err == 0)
		err = names_copy(&words->token, &copy->token);
	if (err == 0)
		err = names_copy(&words->certificate, &copy->certificate);
	return err;
}

int
rules_add(struct rules *rules, const struct rule *rule)
{
	struct entry *list = realloc(rules->list, (rules->count + 1) * sizeof(*list));
	struct entry copy = {.rule = *rule};
	const struct grant_words *read = &rule->access[GRANT_READ];
	int err = 0;

	if (list == NULL)
		return -ENOMEM;
	rules->list = list;
	copy.rule.pattern = copy.rule.content_type = copy.rule.cache_control = NULL;
	memset(copy.rule.access, 0, sizeof(copy.rule.access));
	if (copy_string(rule->pattern, &copy.rule.pattern) != 0 ||
	    copy_string(rule->content_type, &copy.rule.content_type) != 0 ||
	    copy_string(rule->cache_control, &copy.rule.cache_control) != 0)
		err = -ENOMEM;
	for (unsigned op = 0; op < GRANT_OPS && err == 0; op++)
		err = copy_words(&rule->access[op], (enum grant_op)op, &copy);
	if (err != 0) {
		entry_clear(&copy);
		return err;
	}
	rules->list[rules->count++] = copy;
	if (read->from.count + read->user.count + read->token.count + read->certificate.count > 0)
		rules->limit_reads = true;
	return 0;
}

int
rules_set_admin(struct rules *rules, const struct grant_words *words)
{
	return copy_words(words, GRANT_ADMIN, &rules->admin);
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
		entry_clear(&rules->list[i]);
	entry_clear(&rules->admin);
	free(rules->list);
	free(rules);
}

struct policy
rules_policy(const struct rules *rules, const char *path)
{
	struct policy policy = {.publish = PUBLISH_LIVE, .existing = EXISTING_REPLACE};

	for (size_t i = 0; i < rules->count; i++) {
		const struct rule *rule = &rules->list[i].rule;

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

/* What ENTRY says of OP goes before what TERMS have. */
static void
add_terms(const struct entry *entry, enum grant_op op, struct grant_terms *terms)
{
	const struct grant_words *words = &entry->rule.access[op];

	if (words->from.count > 0)
		terms->from = &entry->from[op];
	if (words->user.count > 0)
		terms->user = &words->user;
	if (words->token.count > 0)
		terms->token = &words->token;
	if (words->certificate.count > 0)
		terms->certificate = &words->certificate;
}

struct grant_terms
rules_terms(const struct rules *rules, const char *path, enum grant_op op)
{
	struct grant_terms terms = {.from = NULL};

	if (op == GRANT_ADMIN) {
		add_terms(&rules->admin, op, &terms);
		return terms;
	}
	for (size_t i = 0; i < rules->count; i++)
		if (pattern_match(rules->list[i].rule.pattern, path))
			add_terms(&rules->list[i], op, &terms);
	if (op == GRANT_DELETE && terms.from == NULL && terms.user == NULL && terms.token == NULL &&
	    terms.certificate == NULL)
		return rules_terms(rules, path, GRANT_WRITE);
	return terms;
}

bool
rules_limit_reads(const struct rules *rules)
{
	return rules->limit_reads;
}
