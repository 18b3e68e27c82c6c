/* range.h - Range and Content-Range fields (RFC 9110 section 14).
 *
 * Threads  any; pure functions of their arguments.
 * Units    bytes from the start of the object; LAST positions are inclusive.
 */
#ifndef SPILLWAY_HTTP_RANGE_H
#define SPILLWAY_HTTP_RANGE_H

#include "http/slice.h"

#define RANGE_OPEN UINT64_MAX /* no last position was given */

struct range_spec {
	bool suffix;            /* the last LAST bytes */
	uint64_t first;         /* unless suffix */
	uint64_t last;          /* or RANGE_OPEN */
	struct slice last_text; /* as it was written, in the field; empty for RANGE_OPEN */
};

/* Reads the value of a Range field into SPECS. 0 with *COUNT > 0; -EINVAL when it is malformed or its
 * unit is not bytes, and must be ignored; -E2BIG when there are more than MAX. */
int range_parse(struct slice value, struct range_spec *specs, size_t max, size_t *count);

/* What SPEC means for an object of LENGTH bytes. 0, or -ERANGE when it selects nothing. */
int range_resolve(const struct range_spec *spec, uint64_t length, uint64_t *first, uint64_t *last);

struct range_bytes {
	uint64_t first, end; /* end is behind the last one */
};

/* What COUNT SPECS mean for a finished object of LENGTH bytes: BYTES, in the order asked for, without those that
 * select nothing. Their number, -ERANGE when all select nothing, or -EINVAL when two of them overlap: no
 * honest client wants that. */
int range_resolve_set(const struct range_spec *specs, size_t count, uint64_t length,
		      struct range_bytes *bytes);

/* What SPEC means for an object that grows and has LENGTH bytes so far (RFC 8673): bytes that are not there yet
 * are waited for. *END is behind the last one, or RANGE_OPEN; POSITIONS is what Content-Range says of them,
 * RANGE_POSITIONS_SIZE bytes. 0; -ERANGE when it begins beyond the growing end; -EINVAL when it
 * must be ignored. */
int range_resolve_growing(const struct range_spec *spec, uint64_t length, uint64_t *first,
			  uint64_t *end, char *positions);

#define RANGE_POSITIONS_SIZE 160

/* A request's Content-Range: "bytes N-M/TOTAL". */
struct range_content {
	uint64_t first;
	uint64_t last;  /* RANGE_OPEN for "N-*" */
	uint64_t total; /* RANGE_OPEN for "*" */
};

/* 0, or -EINVAL when it is malformed or contradicts itself. */
int range_parse_content(struct slice value, struct range_content *out);

#endif
