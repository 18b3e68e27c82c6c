/* multipart.h - several ranges of one object in one body: multipart/byteranges (RFC 9110 14.6).
 *
 * The body is text 0, the bytes of part 0, text 1, the bytes of part 1 ... and the closing text, which has the
 * number of the parts.
 *
 * Threads  any; functions of their arguments.
 * Owns     nothing: struct multipart refers to the media type.
 */
#ifndef SPILLWAY_HTTP_MULTIPART_H
#define SPILLWAY_HTTP_MULTIPART_H

#include "http/range.h"

#define MULTIPART_MAX 16          /* parts */
#define MULTIPART_TEXT_MAX 512    /* bytes of one text, with a NUL */
#define MULTIPART_BOUNDARY_MAX 40 /* bytes of a boundary, with a NUL */

struct multipart {
	size_t count; /* of parts */
	struct range_bytes parts[MULTIPART_MAX];
	uint64_t length;  /* of the whole object */
	const char *type; /* its media type */
	char boundary[MULTIPART_BOUNDARY_MAX];
};

/* A boundary that nobody can guess, and so have in their bytes. */
void multipart_boundary(struct multipart *multi);

/* Text INDEX, up to the count of parts, into OUT, MULTIPART_TEXT_MAX bytes. Returns its length. */
size_t multipart_text(const struct multipart *multi, size_t index, char *out);

/* The length of the whole body. */
uint64_t multipart_length(const struct multipart *multi);

#endif
