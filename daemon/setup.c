#include "daemon/setup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slurp.h"

#define SECRETS_MAX ((size_t)4 << 20) /* bytes of a file of users or tokens */

/* Reads the file NAME, if there is to be one. */
static int
read_secrets(enum secrets_kind kind, const char *name, struct secrets **out, char *why,
	     size_t why_size)
{
	char *text;
	size_t length;
	int err;

	if (name == NULL)
		return 0;
	err = slurp(name, SECRETS_MAX, &text, &length);
	if (err != 0) {
		snprintf(why, why_size, "%s: %s", name, strerror(-err));
		return err;
	}
	err = secrets_parse(kind, name, text, length, out, why, why_size);
	explicit_bzero(text, length);
	free(text);
	return err;
}

/* Where a list of names stands. */
static void
locate(const struct config *config, const struct names *names, char *where, size_t size)
{
	*where = '\0';
	if (names->line != 0)
		snprintf(where, size, "%s:%u: ", config->file, names->line);
}

/* NULL, or what is wrong with NAMES for KEY, of SECRETS that are FILE's. */
static const char *
judge_names(const struct option_key *key, const struct names *names, const struct secrets *secrets,
	    const char *file, char *text, size_t size)
{
	for (size_t i = 0; i < names->count; i++) {
		const char *name = names->items[i];

		if (secrets == NULL) {
			snprintf(text, size, "there is no %s",
				 strstr(key->name, "_user") != NULL ? "user_file" : "token_file");
			return text;
		}
		if (strcmp(name, "any") != 0 && !secrets_have(secrets, name)) {
			snprintf(text, size, "'%s' is not in %s", name, file);
			return text;
		}
	}
	return NULL;
}

/* NULL, or why nobody could show a certificate. */
static const char *
judge_subjects(const struct options *o)
{
	if (o->tls_client_ca == NULL)
		return "there is no tls_client_ca";
	return o->listen_tls.count == 0 ? "there is no listen_tls" : NULL;
}

/* Whether somebody can be who TARGET names for any of KEYS. */
static int
judge_all(const struct config *config, const struct settings *settings,
	  const struct option_key *keys, const void *target, char *why, size_t why_size)
{
	const struct options *o = &config->options;
	char where[256], text[512];

	for (; keys->name != NULL; keys++) {
		const struct names *names = (const void *)((const char *)target + keys->offset);
		const char *wrong = NULL;

		if (keys->kind != OPTION_NAMES && keys->kind != OPTION_SUBJECTS)
			continue;
		if (names_have(names, "off")) {
			if (names->count > 1)
				wrong = "'off' stands alone";
		} else if (keys->kind == OPTION_SUBJECTS) {
			wrong = names->count > 0 ? judge_subjects(o) : NULL;
		} else if (strstr(keys->name, "_user") != NULL) {
			wrong = judge_names(keys, names, settings->users, o->user_file, text,
					    sizeof(text));
		} else {
			wrong = judge_names(keys, names, settings->tokens, o->token_file, text,
					    sizeof(text));
		}
		if (wrong != NULL) {
			locate(config, names, where, sizeof(where));
			snprintf(why, why_size, "%s%s: %s", where, keys->name, wrong);
			return -EINVAL;
		}
	}
	return 0;
}

/* Who may: the files, and whether they have everybody whom rules name. */
static int
set_access(const struct config *config, struct settings *settings, char *why, size_t why_size)
{
	const struct options *o = &config->options;
	int err = read_secrets(SECRETS_PASSWORDS, o->user_file, &settings->users, why, why_size);

	if (err == 0)
		err = read_secrets(SECRETS_TOKENS, o->token_file, &settings->tokens, why, why_size);
	if (err == 0)
		err = judge_all(config, settings, options_keys, o, why, why_size);
	for (size_t i = 0; i < config->rule_count && err == 0; i++)
		err = judge_all(config, settings, options_rule_keys, &config->rules[i], why,
				why_size);
	return err;
}

int
setup_settings(const struct config *config, struct settings **out, char *why, size_t why_size)
{
	const struct options *o = &config->options;
	struct settings *settings = settings_new();
	int err = settings != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; i < config->rule_count && err == 0; i++)
		err = rules_add(settings->rules, &config->rules[i]);
	if (err == 0)
		err = rules_set_admin(settings->rules, &o->admin_access);
	if (err != 0)
		snprintf(why, why_size, "out of memory");
	else
		err = set_access(config, settings, why, why_size);
	if (err != 0) {
		settings_put(&settings);
		return err;
	}
	settings->object_max = o->object_max;
	settings->connections_max = o->connections_max;
	settings->connections_per_address = o->connections_per_address;
	settings->head_timeout_ms = o->head_timeout_ms;
	settings->ingest_idle_ms = o->ingest_idle_ms;
	settings->send_timeout_ms = o->send_timeout_ms;
	settings->drain_ms = o->drain_timeout_ms;
	*out = settings;
	return 0;
}

void
setup_store(const struct config *config, struct store_config *out)
{
	const struct options *o = &config->options;

	store_config_defaults(out);
	out->data_dir = o->data_dir;
	out->sync = o->sync;
	out->volume_size = o->volume_size;
	out->memory_max = o->memory_max;
	out->tail_max = o->tail_max;
	out->resume_window_ms = o->resume_window_ms;
	out->writer_takeover_ms = o->writer_takeover_ms;
	out->disk_max = o->disk_max.bytes;
	out->disk_percent = o->disk_max.percent;
	out->evict = o->evict;
}

int
setup_tls(const struct config *config, struct tls_config *out, char *why, size_t why_size)
{
	const struct options *o = &config->options;

	if ((o->listen_tls.count > 0) != (o->tls_certificate != NULL)) {
		snprintf(why, why_size, "listen_tls and tls_certificate need each other");
		return -EINVAL;
	}
	out->certificate = o->tls_certificate;
	out->key = o->tls_key;
	out->client_ca = o->tls_client_ca;
	out->min_version = (enum tls_version)o->tls_min_version;
	return 0;
}

bool
setup_is_live(const struct option_key *key)
{
	static const char *const live[] = {
		"memory_max",      "disk_max",
		"evict",           "object_max",
		"head_timeout",    "ingest_idle",
		"send_timeout",    "resume_window",
		"writer_takeover", "drain_timeout",
		"log_level",       "user_file",
		"token_file",      "admin_from",
		"admin_user",      "admin_token",
		"tls_certificate", "tls_key",
		"tls_client_ca",   "tls_min_version",
		"connections_max", "connections_per_address",
	};

	for (size_t i = 0; i < sizeof(live) / sizeof(live[0]); i++)
		if (strcmp(key->name, live[i]) == 0)
			return true;
	return false;
}
