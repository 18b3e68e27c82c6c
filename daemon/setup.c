#include "daemon/setup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int
setup_settings(const struct config *config, struct settings **out, char *why, size_t why_size)
{
	const struct options *o = &config->options;
	struct settings *settings = settings_new();
	int err = settings != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; i < config->rule_count && err == 0; i++)
		err = rules_add(settings->rules, &config->rules[i]);
	if (err != 0) {
		settings_put(&settings);
		snprintf(why, why_size, "out of memory");
		return err;
	}
	settings->object_max = o->object_max;
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

bool
setup_is_live(const struct option_key *key)
{
	static const char *const live[] = {
		"memory_max",      "disk_max",      "evict",        "object_max",
		"head_timeout",    "ingest_idle",   "send_timeout", "resume_window",
		"writer_takeover", "drain_timeout", "log_level",
	};

	for (size_t i = 0; i < sizeof(live) / sizeof(live[0]); i++)
		if (strcmp(key->name, live[i]) == 0)
			return true;
	return false;
}
