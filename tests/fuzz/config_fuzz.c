/* config_fuzz.c - a configuration is taken as a whole or refused with a reason that names its place; what is
 * taken is taken in the same way again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "daemon/config.h"
#include "daemon/config_scan.h"
#include "tests/fuzz/fuzz.h"

#define NAME "fuzz.conf"

static int
parse(const char *text, size_t length, struct config *config, char why[512])
{
	memset(config, 0, sizeof(*config));
	memset(why, 0, 512);
	CHECK(options_init(&config->options) == 0);
	return config_parse(NAME, text, length, config, why, 512);
}

static void
check_taken(const struct config *a, const struct config *b)
{
	for (const struct option_key *key = options_keys; key->name != NULL; key++)
		CHECK(options_equal(key, &a->options, &b->options));
	CHECK(a->rule_count == b->rule_count);
	for (size_t i = 0; i < a->rule_count; i++) {
		CHECK(a->rules[i].pattern[0] != '\0');
		CHECK(strcmp(a->rules[i].pattern, b->rules[i].pattern) == 0);
		for (const struct option_key *key = options_rule_keys; key->name != NULL; key++)
			CHECK(options_equal(key, &a->rules[i], &b->rules[i]));
	}
}

/* Where the scanner finds something, so does the parser: it asks it. */
static void
check_refused(const char *text, size_t length, const char *why)
{
	char expected[512];
	const char *reason;
	unsigned line;

	CHECK(strncmp(why, NAME ":", strlen(NAME ":")) == 0 && strlen(why) > strlen(NAME ": "));
	if (config_scan(text, length, &line, &reason) != 0) {
		snprintf(expected, sizeof(expected), NAME ":%u: %s", line, reason);
		CHECK(strcmp(why, expected) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	/* As a file is read: with a NUL behind it. */
	char *text = malloc(length + 1), why[512], why_again[512];
	struct config config, again;
	int rc;

	CHECK(text != NULL);
	memcpy(text, data, length);
	text[length] = '\0';
	rc = parse(text, length, &config, why);
	CHECK(parse(text, length, &again, why_again) == rc);
	CHECK(strcmp(why, why_again) == 0);
	if (rc == 0)
		check_taken(&config, &again);
	else
		check_refused(text, length, why);
	config_free(&again);
	config_free(&config);
	free(text);
	return 0;
}
