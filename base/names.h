/* names.h - a list of strings.
 *
 * Threads  one at a time; many may read one that nobody changes.
 * Owns     copies of its strings. All zeros is an empty list.
 */
#ifndef SPILLWAY_BASE_NAMES_H
#define SPILLWAY_BASE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct names {
	char **items;
	size_t count;
	unsigned line; /* of the file that says so; 0: no file does */
};

/* Appends a copy of NAME. 0 or -ENOMEM. */
int names_add(struct names *names, const char *name);

/* Makes OUT, whatever is in it, a copy of NAMES. 0, or -ENOMEM with an empty OUT. */
int names_copy(const struct names *names, struct names *out);

/* Empties it. */
void names_clear(struct names *names);

bool names_have(const struct names *names, const char *name);

/* Whether both have the same strings in the same order, wherever they stand. */
bool names_equal(const struct names *a, const struct names *b);

#endif
