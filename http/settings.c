#include "http/settings.h"

#include <stdlib.h>

struct settings *
settings_new(void)
{
	struct settings *settings = calloc(1, sizeof(*settings));

	if (settings == NULL)
		return NULL;
	atomic_init(&settings->references, 1);
	settings->rules = rules_new();
	settings->verdicts = verdicts_new();
	if (settings->rules == NULL || settings->verdicts == NULL)
		settings_put(&settings);
	return settings;
}

struct settings *
settings_get(struct settings *settings)
{
	atomic_fetch_add_explicit(&settings->references, 1, memory_order_relaxed);
	return settings;
}

void
settings_put(struct settings **settingsp)
{
	struct settings *settings = *settingsp;

	*settingsp = NULL;
	/* acq_rel: whoever frees it comes after all that the others read. */
	if (settings == NULL ||
	    atomic_fetch_sub_explicit(&settings->references, 1, memory_order_acq_rel) > 1)
		return;
	rules_free(&settings->rules);
	secrets_free(&settings->users);
	secrets_free(&settings->tokens);
	verdicts_free(&settings->verdicts);
	free(settings);
}
