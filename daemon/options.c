#include "daemon/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/value.h"
#include "http/access_line.h"
#include "http/tls.h"
#include "storage/store.h"

static const char *const log_levels[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_NOTICE] = "notice",
	[LOG_LEVEL_DEBUG] = "debug",
	NULL,
};

static const char *const access_formats[] = {
	[ACCESS_COMBINED] = "combined",
	[ACCESS_JSON] = "json",
	NULL,
};

static const char *const publish_names[] = {
	[PUBLISH_LIVE] = "live",
	[PUBLISH_WHOLE] = "whole",
	NULL,
};

static const char *const existing_names[] = {
	[EXISTING_REPLACE] = "replace",
	[EXISTING_APPEND] = "append",
	[EXISTING_REFUSE] = "refuse",
	NULL,
};

static const char *const second_writer_names[] = {
	[SECOND_VERSION] = "version",
	[SECOND_REFUSE] = "refuse",
	NULL,
};

static const char *const tls_versions[] = {
	[TLS_VERSION_1_2] = "1.2",
	[TLS_VERSION_1_3] = "1.3",
	NULL,
};

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define HOLD_MAX_MS UINT64_C(300000)
#define DAY_MS UINT64_C(86400000)

#define AT(field) offsetof(struct options, field)
#define IN_RULE(field) offsetof(struct rule, field)

/* name, kind, where, least, most, choices, default, help */
const struct option_key options_keys[] = {
	{"data_dir", OPTION_TEXT, AT(data_dir), 0, 0, NULL, LOCALSTATEDIR "/lib/spillway",
	 "directory of everything that is stored, created if missing"},
	{"listen", OPTION_ADDRESSES, AT(listen), 0, 0, NULL, NULL,
	 "media listeners, ADDR:PORT (0.0.0.0:3000 and [::]:3000)"},
	{"listen_tls", OPTION_ADDRESSES, AT(listen_tls), 0, 0, NULL, NULL,
	 "media listeners where clients speak TLS, ADDR:PORT (none)"},
	{"tls_certificate", OPTION_TEXT, AT(tls_certificate), 0, 0, NULL, NULL,
	 "PEM file of the certificate, and of those between it and the root"},
	{"tls_key", OPTION_TEXT, AT(tls_key), 0, 0, NULL, NULL,
	 "PEM file of its private key (the same file)"},
	{"tls_client_ca", OPTION_TEXT, AT(tls_client_ca), 0, 0, NULL, NULL,
	 "PEM file of who signs the certificates of clients (they are not asked for one)"},
	{"tls_min_version", OPTION_CHOICE, AT(tls_min_version), 0, 0, tls_versions, "1.2",
	 "oldest version of TLS: 1.2 or 1.3"},
	{"admin", OPTION_ADDRESS, AT(admin), 0, 0, NULL, "127.0.0.1:3001",
	 "admin listener, ADDR:PORT or none"},
	{"player_dir", OPTION_TEXT, AT(player_dir), 0, 0, NULL, PLAYER_DIR,
	 "where the status page's players are, if they are installed"},
	{"workers", OPTION_COUNT, AT(workers), 1, STORE_WORKERS_MAX, NULL, NULL,
	 "event-loop threads (one per core)"},
	{"sync", OPTION_SWITCH, AT(sync), 0, 0, NULL, "on",
	 "a 201 waits until the disk has it; off survives a crash of the server only"},
	{"volume_size", OPTION_SIZE, AT(volume_size), MIB, 64 * GIB, NULL, "256MiB",
	 "size of one volume file"},
	{"memory_max", OPTION_SIZE, AT(memory_max), 0, 0, NULL, "256MiB",
	 "memory for what is known of idle objects"},
	{"tail_max", OPTION_SIZE, AT(tail_max), MIB, 0, NULL, "128MiB",
	 "memory for bytes that are received and not yet on disk"},
	{"disk_max", OPTION_SHARE, AT(disk_max), 64 * MIB, 0, NULL, "90%",
	 "disk space that volumes may take, or their part of the file system"},
	{"evict", OPTION_SWITCH, AT(evict), 0, 0, NULL, "on",
	 "when there is no more space, what was not used for longest goes; off: new objects are refused"},
	{"object_max", OPTION_SIZE, AT(object_max), 0, 0, NULL, "0",
	 "largest object; 0 for no limit"},
	{"connections_max", OPTION_COUNT, AT(connections_max), 0, 0, NULL, "0",
	 "connections at one time; 0 for as many as the descriptors allow"},
	{"connections_per_address", OPTION_COUNT, AT(connections_per_address), 0, 0, NULL, "0",
	 "the same of one address; 0 for no limit"},
	{"head_timeout", OPTION_DURATION, AT(head_timeout_ms), 1, DAY_MS, NULL, "10s",
	 "a request head must be complete within this"},
	{"ingest_idle", OPTION_DURATION, AT(ingest_idle_ms), 1, DAY_MS, NULL, "60s",
	 "an upload or an idle connection may be silent for this long"},
	{"send_timeout", OPTION_DURATION, AT(send_timeout_ms), 1, DAY_MS, NULL, "30s",
	 "a reader may take nothing for this long"},
	{"resume_window", OPTION_DURATION, AT(resume_window_ms), 0, DAY_MS, NULL, "10s",
	 "readers of an upload that broke off wait this long for a sender that goes on"},
	{"writer_takeover", OPTION_DURATION, AT(writer_takeover_ms), 1, DAY_MS, NULL, "5s",
	 "a sender that is silent for this long gives way to a second one"},
	{"drain_timeout", OPTION_DURATION, AT(drain_timeout_ms), 0, DAY_MS, NULL, "10s",
	 "a stop waits this long for uploads and replies in flight"},
	{"log_level", OPTION_CHOICE, AT(log_level), 0, 0, log_levels, "notice",
	 "error, warning, notice or debug"},
	{"access_log", OPTION_TEXT, AT(access_log), 0, 0, NULL, "off",
	 "file that gets a line for each request, or stderr, or off"},
	{"access_log_format", OPTION_CHOICE, AT(access_log_format), 0, 0, access_formats,
	 "combined", "combined or json"},
	{"user_file", OPTION_TEXT, AT(user_file), 0, 0, NULL, NULL,
	 "users and hashes of their passwords, NAME:HASH a line"},
	{"token_file", OPTION_TEXT, AT(token_file), 0, 0, NULL, NULL,
	 "bearer tokens, NAME:SHA-256 a line"},
	{"admin_from", OPTION_RANGES, AT(admin_access.from), 0, 0, NULL, NULL,
	 "addresses that may use the admin listener (any)"},
	{"admin_user", OPTION_NAMES, AT(admin_access.user), 0, 0, NULL, NULL,
	 "users who may use the admin listener; any of user_file, or off"},
	{"admin_token", OPTION_NAMES, AT(admin_access.token), 0, 0, NULL, NULL,
	 "tokens that may use the admin listener; any of token_file, or off"},
	{NULL, OPTION_TEXT, 0, 0, 0, NULL, NULL, NULL},
};

/* Four keys for each thing that can be done. */
#define WHO_MAY(verb, op, what, unset)                                                             \
	{verb "_from",                                                                             \
	 OPTION_RANGES,                                                                            \
	 IN_RULE(access[op].from),                                                                 \
	 0,                                                                                        \
	 0,                                                                                        \
	 NULL,                                                                                     \
	 NULL,                                                                                     \
	 "addresses that may " what " (" unset ")"},                                               \
		{verb "_user",                                                                     \
		 OPTION_NAMES,                                                                     \
		 IN_RULE(access[op].user),                                                         \
		 0,                                                                                \
		 0,                                                                                \
		 NULL,                                                                             \
		 NULL,                                                                             \
		 "users who may " what "; any of user_file, or off"},                              \
		{verb "_token",                                                                    \
		 OPTION_NAMES,                                                                     \
		 IN_RULE(access[op].token),                                                        \
		 0,                                                                                \
		 0,                                                                                \
		 NULL,                                                                             \
		 NULL,                                                                             \
		 "tokens that may " what "; any of token_file, or off"},                           \
	{                                                                                          \
		verb "_certificate", OPTION_SUBJECTS, IN_RULE(access[op].certificate), 0, 0, NULL, \
			NULL,                                                                      \
			"names in client certificates that may " what                              \
			"; any that tls_client_ca vouches for, or off"                             \
	}

const struct option_key options_rule_keys[] = {
	{"publish", OPTION_CHOICE, IN_RULE(publish), 0, 0, publish_names, NULL,
	 "live: readable while it grows; whole: when it is complete"},
	{"existing", OPTION_CHOICE, IN_RULE(existing), 0, 0, existing_names, NULL,
	 "what a PUT does to an object that exists: replace, append or refuse"},
	{"second_writer", OPTION_CHOICE, IN_RULE(second_writer), 0, 0, second_writer_names, NULL,
	 "what a PUT gets while another is at work: a version of its own, or refuse"},
	{"hold", OPTION_DURATION, IN_RULE(hold_ms), 0, HOLD_MAX_MS, NULL, NULL,
	 "a GET of what is not there waits this long for an upload to begin"},
	{"content_type", OPTION_MEDIA, IN_RULE(content_type), 0, 0, NULL, NULL,
	 "media type, whatever the sender says"},
	{"cache_control", OPTION_TEXT, IN_RULE(cache_control), 0, 0, NULL, NULL,
	 "Cache-Control of finished objects"},
	{"ttl", OPTION_DURATION, IN_RULE(ttl_ms), 0, 0, NULL, NULL,
	 "an object expires this long after its PUT began; 0 keeps it"},
	WHO_MAY("write", GRANT_WRITE, "PUT and POST", "loopback"),
	WHO_MAY("delete", GRANT_DELETE, "DELETE", "who may write"),
	WHO_MAY("read", GRANT_READ, "GET and HEAD", "any"),
	WHO_MAY("list", GRANT_LIST, "LIST", "loopback"),
	{NULL, OPTION_TEXT, 0, 0, 0, NULL, NULL, NULL},
};

/* The default of `listen`. */
static const char *const listen_everywhere[] = {"0.0.0.0:3000", "[::]:3000"};

const struct option_key *
options_find(const struct option_key *keys, const char *name)
{
	for (; keys->name != NULL; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return NULL;
}

static int
replace_text(char **at, const char *value)
{
	char *copy = NULL;

	if (value != NULL && (copy = strdup(value)) == NULL)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

int
options_set(const struct option_key *key, void *target, const char *value, char *why,
	    size_t why_size)
{
	void *at = (char *)target + key->offset;
	uint64_t number = 0;
	int err = value_check(key, value, why, why_size);

	if (err != 0)
		return err;
	switch (key->kind) {
	case OPTION_TEXT:
	case OPTION_PATTERN:
	case OPTION_MEDIA:
		err = replace_text(at, value);
		break;
	case OPTION_ADDRESS:
		err = replace_text(at, strcmp(value, "none") == 0 ? NULL : value);
		break;
	case OPTION_ADDRESSES:
	case OPTION_RANGES:
	case OPTION_NAMES:
	case OPTION_SUBJECTS:
		err = names_add(at, value);
		break;
	case OPTION_SIZE:
		(void)value_number(key, value, &number);
		*(uint64_t *)at = number;
		break;
	case OPTION_DURATION:
		(void)value_number(key, value, &number);
		*(int64_t *)at = (int64_t)number;
		break;
	case OPTION_COUNT:
		(void)value_number(key, value, &number);
		*(unsigned *)at = (unsigned)number;
		break;
	case OPTION_SHARE:
		(void)value_share(key, value, at);
		break;
	case OPTION_SWITCH:
		(void)value_switch(value, at);
		break;
	case OPTION_CHOICE:
		(void)value_choice(key->choices, value, at);
		break;
	}
	if (err != 0)
		snprintf(why, why_size, "out of memory");
	return err;
}

bool
options_is_list(const struct option_key *key)
{
	return key->kind == OPTION_ADDRESSES || key->kind == OPTION_RANGES ||
	       key->kind == OPTION_NAMES || key->kind == OPTION_SUBJECTS;
}

void
options_clear(const struct option_key *key, void *target)
{
	if (options_is_list(key))
		names_clear((void *)((char *)target + key->offset));
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool
options_equal(const struct option_key *key, const void *a, const void *b)
{
	const void *in_a = (const char *)a + key->offset, *in_b = (const char *)b + key->offset;

	switch (key->kind) {
	case OPTION_TEXT:
	case OPTION_PATTERN:
	case OPTION_MEDIA:
	case OPTION_ADDRESS:
		return same_text(*(char *const *)in_a, *(char *const *)in_b);
	case OPTION_ADDRESSES:
	case OPTION_RANGES:
	case OPTION_NAMES:
	case OPTION_SUBJECTS:
		return names_equal(in_a, in_b);
	case OPTION_SIZE:
	case OPTION_DURATION:
		return *(const uint64_t *)in_a == *(const uint64_t *)in_b;
	case OPTION_SHARE:
		return ((const struct option_share *)in_a)->bytes ==
			       ((const struct option_share *)in_b)->bytes &&
		       ((const struct option_share *)in_a)->percent ==
			       ((const struct option_share *)in_b)->percent;
	case OPTION_COUNT:
		return *(const unsigned *)in_a == *(const unsigned *)in_b;
	case OPTION_SWITCH:
		return *(const bool *)in_a == *(const bool *)in_b;
	case OPTION_CHOICE:
		return *(const int *)in_a == *(const int *)in_b;
	}
	return false;
}

static void
free_texts(const struct option_key *keys, void *target)
{
	for (; keys->name != NULL; keys++) {
		switch (keys->kind) {
		case OPTION_TEXT:
		case OPTION_PATTERN:
		case OPTION_MEDIA:
		case OPTION_ADDRESS:
			replace_text((char **)(void *)((char *)target + keys->offset), NULL);
			break;
		case OPTION_ADDRESSES:
		case OPTION_RANGES:
		case OPTION_NAMES:
		case OPTION_SUBJECTS:
			options_clear(keys, target);
			break;
		case OPTION_SIZE:
		case OPTION_SHARE:
		case OPTION_DURATION:
		case OPTION_COUNT:
		case OPTION_SWITCH:
		case OPTION_CHOICE:
			break;
		}
	}
}

int
options_init(struct options *options)
{
	char why[256];
	int err = 0;

	memset(options, 0, sizeof(*options));
	for (const struct option_key *key = options_keys; key->name != NULL && err == 0; key++)
		if (key->initial != NULL)
			err = options_set(key, options, key->initial, why, sizeof(why));
	for (size_t i = 0; i < 2 && err == 0; i++)
		err = names_add(&options->listen, listen_everywhere[i]);
	if (err != 0)
		options_free(options);
	return err;
}

void
options_free(struct options *options)
{
	free_texts(options_keys, options);
}

int
options_rule_init(struct rule *rule, const char *pattern, char *why, size_t why_size)
{
	static const struct option_key title = {
		.name = "rule", .kind = OPTION_PATTERN, .offset = IN_RULE(pattern)};

	*rule = (struct rule){
		.publish = -1, .existing = -1, .second_writer = -1, .ttl_ms = -1, .hold_ms = -1};
	return options_set(&title, rule, pattern, why, why_size);
}

void
options_rule_free(struct rule *rule)
{
	free_texts(options_rule_keys, rule);
	free((char *)(uintptr_t)rule->pattern);
	rule->pattern = NULL;
}
