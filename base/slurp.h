/* slurp.h - a whole file in memory.
 *
 * Threads  any.
 */
#ifndef SPILLWAY_BASE_SLURP_H
#define SPILLWAY_BASE_SLURP_H

#include <stddef.h>

/* Reads the file NAME into *TEXT, which the caller frees, with a NUL behind its *LENGTH bytes. 0, -EFBIG if there
 * are more than MAX, -EISDIR, or -errno. */
int slurp(const char *name, size_t max, char **text, size_t *length);

#endif
