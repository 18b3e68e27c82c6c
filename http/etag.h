/* etag.h - entity tags and preconditions (RFC 9110 sections 8.8.3 and 13).
 *
 * Threads  any; pure functions of their arguments.
 */
#ifndef SPILLWAY_HTTP_ETAG_H
#define SPILLWAY_HTTP_ETAG_H

#include "http/head.h"

#define ETAG_SIZE 35 /* 32 hexadecimal digits, two quotes and a NUL */

/* The strong tag of an object whose bytes hash to HASH. */
void etag_format(const uint8_t hash[16], char out[ETAG_SIZE]);

/* Whether LIST, an If-Match or If-None-Match value, names ETAG. Weak comparison takes W/"x" for "x";
 * strong comparison takes it for nothing. "*" names every tag. */
bool etag_listed(struct slice list, const char *etag, bool weak);

/* What the preconditions of a request say about a representation. */
enum etag_outcome { ETAG_PROCEED, ETAG_NOT_MODIFIED, ETAG_FAILED };

/* ETAG is NULL, and MTIME (seconds) negative, when the representation has none. NOW in seconds. */
enum etag_outcome etag_evaluate(const struct head *head, const char *etag, int64_t mtime,
				int64_t now);

/* Whether a PUT or DELETE has any. */
bool etag_has_preconditions(const struct head *head);

/* Whether the preconditions of a PUT or DELETE hold (RFC 9110 13.1) for what is there: EXISTS, with ETAG and
 * MTIME as above. */
bool etag_write_allowed(const struct head *head, bool exists, const char *etag, int64_t mtime,
			int64_t now);

/* Whether a Range may be applied: there is no If-Range, or it names exactly this representation. */
bool etag_range_applies(const struct head *head, const char *etag, int64_t mtime, int64_t now);

#endif
