/* options.h - every key of the configuration, as one table.
 *
 * The file, `-o KEY=VALUE`, the flags that set a key, `-h` and the test that compares the manual
 * page with the program all read this table.
 *
 * Threads  one.
 * Owns     a struct that options_set filled owns its strings: options_free, options_rule_free.
 * Units    bytes; milliseconds.
 */
#ifndef SPILLWAY_DAEMON_OPTIONS_H
#define SPILLWAY_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/names.h"
#include "http/rules.h"

/* A part of something: BYTES, or PERCENT of it when that is not 0. */
struct option_share {
	uint64_t bytes;
	unsigned percent;
};

/* What the server is started with, except the rules. */
struct options {
	char *data_dir;
	struct names listen; /* "ADDR:PORT" */
	struct names listen_tls;
	char *tls_certificate; /* files */
	char *tls_key;
	char *tls_client_ca;
	int tls_min_version; /* enum tls_version */
	char *admin;         /* ADDR:PORT, or NULL for none */
	char *player_dir;
	unsigned workers; /* 0: one per core */
	bool sync;
	uint64_t volume_size;
	uint64_t memory_max;
	uint64_t tail_max;
	struct option_share disk_max;
	bool evict;
	uint64_t object_max;              /* 0: no limit */
	unsigned connections_max;         /* 0: as many as the descriptors allow */
	unsigned connections_per_address; /* 0: no limit */
	int64_t head_timeout_ms;
	int64_t ingest_idle_ms;
	int64_t send_timeout_ms;
	int64_t drain_timeout_ms;
	int64_t resume_window_ms;
	int64_t writer_takeover_ms;
	int log_level;                /* enum log_level */
	char *access_log;             /* a path, "off" or "stderr" */
	int access_log_format;        /* enum access_format */
	char *user_file, *token_file; /* or NULL */
	struct grant_words admin_access;
};

enum option_kind {
	OPTION_TEXT,      /* char *: printable, not empty */
	OPTION_PATTERN,   /* never in the table: a rule's title */
	OPTION_MEDIA,     /* char *: TYPE/SUBTYPE, parameters may follow */
	OPTION_ADDRESS,   /* char *: ADDR:PORT, or NULL for "none" */
	OPTION_ADDRESSES, /* struct names of ADDR:PORT */
	OPTION_RANGES,    /* struct names of what cidr_set_add takes */
	OPTION_NAMES,     /* struct names of users or tokens */
	OPTION_SUBJECTS,  /* struct names of clients' certificates */
	OPTION_SIZE,      /* uint64_t */
	OPTION_SHARE,     /* struct option_share: a size, or a percentage */
	OPTION_DURATION,  /* int64_t */
	OPTION_COUNT,     /* unsigned */
	OPTION_SWITCH,    /* bool: on, off */
	OPTION_CHOICE,    /* int: the place in choices */
};

struct option_key {
	const char *name;
	enum option_kind kind;
	size_t offset;              /* in struct options or struct rule */
	uint64_t min, max;          /* of a size, duration or count; max 0: no bound */
	const char *const *choices; /* NULL-terminated */
	const char *initial;        /* as one would write it; NULL: the computed default */
	const char *help;           /* one line; says the default where initial is NULL */
};

/* The keys of the file's top level, and those of a rule; both end with a NULL name. */
extern const struct option_key options_keys[];
extern const struct option_key options_rule_keys[];

/* The key of that name in KEYS, or NULL. */
const struct option_key *options_find(const struct option_key *keys, const char *name);

/* Sets KEY in TARGET, a struct options or struct rule; a list grows by VALUE. 0, -EINVAL as
 * value_check, or -ENOMEM. */
int options_set(const struct option_key *key, void *target, const char *value, char *why,
		size_t why_size);

/* Whether KEY may have several values. */
bool options_is_list(const struct option_key *key);

/* Empties a list; nothing for other kinds. */
void options_clear(const struct option_key *key, void *target);

/* Whether the two targets have the same value for KEY. */
bool options_equal(const struct option_key *key, const void *a, const void *b);

/* Fills OPTIONS with the defaults. 0 or -ENOMEM. */
int options_init(struct options *options);
void options_free(struct options *options);

/* A rule for PATTERN that sets nothing. 0; -EINVAL with the reason if no path can match; -ENOMEM. */
int options_rule_init(struct rule *rule, const char *pattern, char *why, size_t why_size);
void options_rule_free(struct rule *rule);

#endif
