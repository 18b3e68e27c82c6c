/* upload.h - what the head of a PUT or POST asks for, as far as the head alone can tell.
 *
 * Threads  any; pure functions of their arguments.
 * Units    bytes from the start of the object.
 */
#ifndef SPILLWAY_HTTP_UPLOAD_H
#define SPILLWAY_HTTP_UPLOAD_H

#include "http/head.h"
#include "http/rules.h"

#define UPLOAD_TYPE_MAX 255 /* bytes of a stored media type */
#define UPLOAD_OPEN UINT64_MAX

struct upload {
	struct policy policy;
	bool continues; /* Content-Range: it goes on at offset, which must be the present length */
	bool conditional; /* it has preconditions: see etag_write_allowed */
	bool exact;       /* it must end at end, not before */
	uint64_t offset;
	uint64_t end; /* it must not go beyond this; or UPLOAD_OPEN */
	char type[UPLOAD_TYPE_MAX + 1];
};

/* Why an upload is refused. */
struct upload_refusal {
	int code;
	const char *reason;
};

/* Reads what HEAD asks for NAME, whose policy is POLICY; MAX is object_max. True if it is refused before
 * its body, whatever is stored. */
bool upload_read(const struct head *head, const char *name, const struct policy *policy,
		 uint64_t max, struct upload *upload, struct upload_refusal *refusal);

#endif
