#include "daemon/config.h"

#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/slurp.h"
#include "daemon/config_scan.h"
#include "daemon/value.h"

#define FILE_MAX ((size_t)1024 * 1024)
#define KEYS_MAX 64

/* One run of libconfuse, whose callbacks have no argument of ours. */
static _Thread_local struct reading {
	const char *name; /* of the file */
	char *why;
	size_t why_size;
	bool failed; /* why is set; only the first reason counts */
} reading;

/* libconfuse reports its own errors, and ours through cfg_error, here. */
static void note_error(cfg_t *cfg, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static void
note_error(cfg_t *cfg, const char *format, va_list args)
{
	int length;

	if (reading.failed)
		return;
	reading.failed = true;
	length = snprintf(reading.why, reading.why_size, "%s:%d: ", reading.name, cfg->line);
	if (length > 0 && (size_t)length < reading.why_size)
		vsnprintf(reading.why + length, reading.why_size - (size_t)length, format, args);
}

/* Called for each value. opt->nvalues is 1 at the first value of an assignment, also of a list's;
 * the comment, which is used for nothing else, remembers that there was one, and its line. */
static int
check_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	const struct option_key *keys = cfg->title != NULL ? options_rule_keys : options_keys;
	const struct option_key *key = options_find(keys, opt->name);
	char why[256], line[16];

	CHECK(key != NULL);
	if (opt->nvalues == 1) {
		if (cfg_opt_getcomment(opt) != NULL) {
			cfg_error(cfg, "%s is given twice", opt->name);
			return -1;
		}
		snprintf(line, sizeof(line), "%d", cfg->line);
		cfg_opt_setcomment(opt, line);
	}
	if (value_check(key, value, why, sizeof(why)) != 0) {
		cfg_error(cfg, "%s", why);
		return -1;
	}
	*(const char **)result = value;
	return 0;
}

/* Describes KEYS to libconfuse. Returns how many; OUT has room for KEYS_MAX and the end. */
static size_t
describe(const struct option_key *keys, cfg_opt_t *out)
{
	size_t n = 0;

	for (; keys[n].name != NULL; n++) {
		CHECK(n < KEYS_MAX);
		if (options_is_list(&keys[n]))
			out[n] = (cfg_opt_t)CFG_STR_LIST_CB(keys[n].name, NULL, CFGF_NODEFAULT,
							    check_value);
		else
			out[n] = (cfg_opt_t)CFG_STR_CB(keys[n].name, NULL, CFGF_NODEFAULT,
						       check_value);
	}
	out[n] = (cfg_opt_t)CFG_END();
	return n;
}

/* A list knows where it stands: names in it are judged when the files that have them were read. */
static void
note_line(const struct option_key *key, cfg_opt_t *opt, void *target)
{
	const char *line = cfg_opt_getcomment(opt);

	if (options_is_list(key) && line != NULL)
		((struct names *)(void *)((char *)target + key->offset))->line =
			(unsigned)strtoul(line, NULL, 10);
}

/* Copies what CFG has for KEYS, all of it checked, into TARGET. */
static int
take_values(cfg_t *cfg, const struct option_key *keys, void *target, char *why, size_t why_size)
{
	for (; keys->name != NULL; keys++) {
		cfg_opt_t *opt = cfg_getopt(cfg, keys->name);
		unsigned count = cfg_opt_size(opt);
		int err;

		if (count > 0) {
			options_clear(keys, target);
			note_line(keys, opt, target);
		}
		for (unsigned i = 0; i < count; i++) {
			err = options_set(keys, target, cfg_opt_getnstr(opt, i), why, why_size);
			if (err != 0)
				return err;
		}
	}
	return 0;
}

static int
take_rules(cfg_t *cfg, struct config *config, char *why, size_t why_size)
{
	unsigned count = cfg_size(cfg, "rule");
	int err;

	if (count == 0)
		return 0;
	config->rules = calloc(count, sizeof(*config->rules));
	if (config->rules == NULL) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	for (unsigned i = 0; i < count; i++) {
		cfg_t *section = cfg_getnsec(cfg, "rule", i);
		struct rule *rule = &config->rules[i];

		config->rule_count++;
		err = options_rule_init(rule, cfg_title(section), why, why_size);
		if (err == 0)
			err = take_values(section, options_rule_keys, rule, why, why_size);
		if (err != 0)
			return err;
	}
	return 0;
}

/* Called at the end of each rule. */
static int
check_rule(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *pattern = cfg_title(cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1));
	struct rule rule;
	char why[256];
	int err = options_rule_init(&rule, pattern, why, sizeof(why));

	options_rule_free(&rule);
	if (err != 0)
		cfg_error(cfg, "%s", why);
	return err == 0 ? 0 : -1;
}

/* `listen = {}` calls nobody back. */
static int
check_lists(cfg_t *cfg, const struct option_key *keys, char *why, size_t why_size)
{
	for (; keys->name != NULL; keys++) {
		cfg_opt_t *opt = cfg_getopt(cfg, keys->name);

		if ((opt->flags & CFGF_MODIFIED) != 0 && cfg_opt_size(opt) == 0) {
			snprintf(why, why_size, "%s: %s: an empty list", reading.name, keys->name);
			return -EINVAL;
		}
	}
	return 0;
}

int
config_parse(const char *name, const char *text, size_t length, struct config *config, char *why,
	     size_t why_size)
{
	cfg_opt_t keys[KEYS_MAX + 2], rule_keys[KEYS_MAX + 1];
	const char *reason;
	unsigned line;
	size_t n;
	cfg_t *cfg;
	int err;

	if (config_scan(text, length, &line, &reason) != 0) {
		snprintf(why, why_size, "%s:%u: %s", name, line, reason);
		return -EINVAL;
	}
	describe(options_rule_keys, rule_keys);
	n = describe(options_keys, keys);
	/* Without this flag a second section of the same title would silently change the first. */
	keys[n] = (cfg_opt_t)CFG_SEC("rule", rule_keys,
				     CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
	keys[n + 1] = (cfg_opt_t)CFG_END();

	reading = (struct reading){.name = name, .why = why, .why_size = why_size};
	cfg = cfg_init(keys, CFGF_NONE);
	if (cfg == NULL) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	cfg_set_error_function(cfg, note_error);
	cfg_set_validate_func(cfg, "rule", check_rule);
	/* An empty buffer is no file for fmemopen(3). */
	if (length > 0 && cfg_parse_buf(cfg, text) != CFG_SUCCESS) {
		if (!reading.failed)
			snprintf(why, why_size, "%s: can't be read", name);
		err = -EINVAL;
	} else {
		err = check_lists(cfg, options_keys, why, why_size);
	}
	for (unsigned i = 0; i < cfg_size(cfg, "rule") && err == 0; i++)
		err = check_lists(cfg_getnsec(cfg, "rule", i), options_rule_keys, why, why_size);
	if (err == 0)
		err = take_values(cfg, options_keys, &config->options, why, why_size);
	if (err == 0)
		err = take_rules(cfg, config, why, why_size);
	cfg_free(cfg);
	return err;
}

static int
read_file(const char *name, struct config *config, char *why, size_t why_size)
{
	char *text = NULL;
	size_t length = 0;
	int err = slurp(name, FILE_MAX, &text, &length);

	if (err != 0) {
		snprintf(why, why_size, "%s: %s", name, strerror(-err));
		return err;
	}
	err = config_parse(name, text, length, config, why, why_size);
	free(text);
	if (err != 0)
		return err;
	config->file = strdup(name);
	return config->file != NULL ? 0 : -ENOMEM;
}

/* The command line wins; its first value of a list replaces the file's. */
static int
apply_command(const struct command *command, struct config *config, char *why, size_t why_size)
{
	for (size_t i = 0; i < command->count; i++) {
		const struct setting *setting = &command->settings[i];
		bool first = true;
		int err;

		for (size_t j = 0; j < i; j++)
			first = first && command->settings[j].key != setting->key;
		if (first)
			options_clear(setting->key, &config->options);
		err = options_set(setting->key, &config->options, setting->value, why, why_size);
		if (err != 0)
			return err;
	}
	return 0;
}

int
config_load(const struct command *command, struct config *config, char *why, size_t why_size)
{
	static const char usual[] = SYSCONFDIR "/spillway/spillway.conf";
	int err;

	memset(config, 0, sizeof(*config));
	err = options_init(&config->options);
	if (err != 0) {
		snprintf(why, why_size, "out of memory");
		return err;
	}
	if (command->file != NULL) {
		err = read_file(command->file, config, why, why_size);
	} else {
		err = read_file(usual, config, why, why_size);
		if (err == -ENOENT)
			err = 0;
	}
	if (err == 0)
		err = apply_command(command, config, why, why_size);
	if (err != 0)
		config_free(config);
	return err;
}

void
config_free(struct config *config)
{
	options_free(&config->options);
	for (size_t i = 0; i < config->rule_count; i++)
		options_rule_free(&config->rules[i]);
	free(config->rules);
	free(config->file);
	memset(config, 0, sizeof(*config));
}
