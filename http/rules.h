/* rules.h - what the operator wants for which paths.
 *
 * Rules are applied in order; every rule whose pattern matches applies, and the last one that sets a
 * key wins. Built-in rules for playlists come first (publish = whole for *.m3u8 and *.mpd).
 *
 * Threads  built by one thread; then read by all, never changed.
 * Owns     copies of every string.
 */
#ifndef SPILLWAY_HTTP_RULES_H
#define SPILLWAY_HTTP_RULES_H

#include <stdint.h>

#include "http/grant.h"
#include "storage/writer.h"

struct rules;

/* What a PUT gets while another one writes the same path. */
enum second_writer {
	SECOND_VERSION, /* a version of its own */
	SECOND_REFUSE,
};

/* The keys of one rule; a key that is unset has the value in brackets. */
struct rule {
	const char *pattern;       /* '*' matches any bytes, '/' too; everything else itself */
	int publish;               /* enum publish, or -1 */
	int existing;              /* enum existing, or -1 */
	int second_writer;         /* enum second_writer, or -1 */
	const char *content_type;  /* or NULL */
	const char *cache_control; /* or NULL */
	int64_t ttl_ms;            /* 0 keeps for ever; -1 unset */
	int64_t hold_ms;           /* 0 does not wait; -1 unset */
	struct grant_words access[GRANT_OPS]; /* who may; of GRANT_ADMIN no rule speaks */
};

/* What holds for one path. */
struct policy {
	enum publish publish;
	enum existing existing;
	enum second_writer second_writer;
	const char *content_type;  /* NULL: the request's, or by extension */
	const char *cache_control; /* NULL: the default of the kind of reply */
	int64_t ttl_ms;
	int64_t hold_ms;
};

/* With the built-in rules inside. NULL when there is no memory. */
struct rules *rules_new(void);
void rules_free(struct rules **rules);

/* Appends a copy of RULE, whose addresses cidr_set_add takes. 0 or -ENOMEM. */
int rules_add(struct rules *rules, const struct rule *rule);

/* The same for who may use the admin listener; once. */
int rules_set_admin(struct rules *rules, const struct grant_words *words);

/* What holds for PATH. Its strings live as long as RULES. */
struct policy rules_policy(const struct rules *rules, const char *path);

/* Who may do OP to PATH; the same. */
struct grant_terms rules_terms(const struct rules *rules, const char *path, enum grant_op op);

/* Whether any rule limits who may read. */
bool rules_limit_reads(const struct rules *rules);

#endif
