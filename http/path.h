/* path.h - from a request target to the name of an object, and to the values of a query.
 *
 * Threads  any; pure functions of their arguments.
 */
#ifndef SPILLWAY_HTTP_PATH_H
#define SPILLWAY_HTTP_PATH_H

#include "http/slice.h"

#define PATH_NAME_MAX 1024 /* bytes of a decoded name, without the NUL */

/* Splits TARGET, in origin form or absolute form, into its path (never empty) and its query (without
 * the question mark, perhaps empty). 0, or -EINVAL for any other form. */
int path_split(struct slice target, struct slice *path, struct slice *query);

/* Percent-decodes PATH into NAME, NUL-terminated. 0, -EINVAL for a bad escape, a control byte or a
 * dot segment, -ENAMETOOLONG past PATH_NAME_MAX. */
int path_decode(struct slice path, char name[PATH_NAME_MAX + 1]);

/* The value of KEY in QUERY, decoded (also '+' to space) into OUT. 0, -ENOENT, -EINVAL for a bad
 * escape or a control byte, -ENAMETOOLONG when OUT is too small. */
int path_query(struct slice query, const char *key, char *out, size_t out_size);

#endif
