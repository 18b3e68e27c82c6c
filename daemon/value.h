/* value.h - what is written for a key: what it means, and what is wrong with it.
 *
 * Threads  any; pure functions of their arguments.
 */
#ifndef SPILLWAY_DAEMON_VALUE_H
#define SPILLWAY_DAEMON_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/options.h"

/* 0 if VALUE is one that KEY takes, else -EINVAL with the reason in WHY. */
int value_check(const struct option_key *key, const char *value, char *why, size_t why_size);

/* A size, duration or count. 0, -EINVAL, or -ERANGE beyond the bounds of KEY. */
int value_number(const struct option_key *key, const char *text, uint64_t *value);

/* "200GiB" or "90%". The same errors. */
int value_share(const struct option_key *key, const char *text, struct option_share *share);

/* 0 or -EINVAL. */
int value_switch(const char *text, bool *value);
int value_choice(const char *const *choices, const char *text, int *value);

#endif
