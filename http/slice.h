/* slice.h - a run of bytes inside somebody else's text.
 *
 * Threads  any. Owns nothing: a slice is valid as long as the text it points into.
 */
#ifndef SPILLWAY_HTTP_SLICE_H
#define SPILLWAY_HTTP_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slice {
	const char *data;
	size_t length;
};

/* The slice of a NUL-terminated string. */
struct slice slice_of(const char *text);

/* S without spaces and tabs at both ends. */
struct slice slice_trim(struct slice s);

/* Equal to TEXT, ASCII letters of either case. */
bool slice_is(struct slice s, const char *text);

/* Cuts the next comma-separated element, trimmed, off *LIST; empty ones are skipped (RFC 9110 5.6.1).
 * Commas inside quoted strings do not separate. False at the end. */
bool slice_element(struct slice *list, struct slice *element);

/* Reads decimal digits, all of S and at least one. 0, -EINVAL, or -ERANGE past UINT64_MAX. */
int slice_decimal(struct slice s, uint64_t *out);

#endif
