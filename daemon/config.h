/* config.h - what the server runs with: defaults, then the file, then the command line.
 *
 * Threads  one at a time: libconfuse's scanner has state of its own.
 * Owns     a loaded config owns all its strings until config_free.
 */
#ifndef SPILLWAY_DAEMON_CONFIG_H
#define SPILLWAY_DAEMON_CONFIG_H

#include <stddef.h>

#include "daemon/command.h"
#include "daemon/options.h"
#include "http/rules.h"

struct config {
	struct options options;
	struct rule *rules; /* in the order of the file */
	size_t rule_count;
	char *file; /* that was read, or NULL */
};

/* 0, or -errno with "FILE:LINE: reason" or "reason" in WHY; CONFIG is then empty. */
int config_load(const struct command *command, struct config *config, char *why, size_t why_size);

/* The same for a file's text; NAME is only for messages. Adds to what CONFIG has. */
int config_parse(const char *name, const char *text, size_t length, struct config *config,
		 char *why, size_t why_size);

/* Accepts a config of all zeros. */
void config_free(struct config *config);

#endif
