/* command.h - the command line.
 *
 * Threads  one.
 * Owns     strings point into argv; command_free gives the list back.
 */
#ifndef SPILLWAY_DAEMON_COMMAND_H
#define SPILLWAY_DAEMON_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "daemon/options.h"

struct setting {
	const struct option_key *key;
	const char *value; /* one that the key takes */
};

struct command {
	const char *file; /* of -c, or NULL */
	struct setting *settings;
	size_t count;
	bool test, version, help;
};

/* Reads ARGV. 0, or -EINVAL or -ENOMEM with the reason in WHY; COMMAND is then empty. */
int command_parse(int argc, char *const *argv, struct command *command, char *why, size_t why_size);
void command_free(struct command *command);

/* What -h prints. */
void command_help(FILE *to);

#endif
