/* paging.h - what a LIST asks for besides its prefix: format, limit, where to go on.
 *
 * Threads  any; pure functions of their arguments.
 */
#ifndef SPILLWAY_HTTP_PAGING_H
#define SPILLWAY_HTTP_PAGING_H

#include "http/head.h"
#include "http/path.h"

struct paging {
	bool ndjson;
	bool has_after;
	uint64_t limit; /* rows; UINT64_MAX: all */
	char after[PATH_NAME_MAX + 1];
};

/* Reads format=text|ndjson, limit=N and after=PATH of QUERY; without a format HEAD's Accept decides. 0, or
 * -EINVAL with the reason in *WHY. */
int paging_read(const struct head *head, struct slice query, struct paging *out, const char **why);

#endif
