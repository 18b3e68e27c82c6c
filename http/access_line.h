/* access_line.h - one request as a line of the access log.
 *
 *   combined  as Apache and nginx write it, with fields of our own at the end:
 *             PEER - USER [TIME] "GET /path HTTP/1.1" 200 SENT "REFERER" "AGENT" in=RECEIVED
 *             time=SECONDS first=SECONDS object=complete end=whole
 *   json      an object with the same names
 *
 * USER has no blanks: they are written as \x20, because nothing quotes it in combined.
 * Queries are left out of paths and referers: they may hold credentials. Bytes that are no printable ASCII are
 * written as \xNN, or \u00NN in JSON (RFC 9110 5.5: such fields are ISO-8859-1 at best).
 *
 * Threads  any; pure functions of their arguments.
 */
#ifndef SPILLWAY_HTTP_ACCESS_LINE_H
#define SPILLWAY_HTTP_ACCESS_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/slice.h"

enum access_format { ACCESS_COMBINED, ACCESS_JSON };

struct access_entry {
	int64_t time_ms; /* since the epoch; when the head was complete */
	const char *peer;
	struct slice user;       /* who was shown to ask */
	const char *method;      /* "-": the head was refused */
	struct slice target;     /* as it was sent */
	unsigned minor;          /* HTTP/1.minor */
	int status;              /* 0: no reply began */
	uint64_t sent, received; /* bytes of bodies */
	int64_t duration_us;
	int64_t first_us;   /* until the reply began */
	const char *object; /* live, complete, incomplete; "-": none was read or written */
	bool whole;         /* the reply was sent to its end */
	struct slice referer, agent;
};

#define ACCESS_LINE_MAX 8192 /* bytes; texts that are longer than makes sense are cut */

/* Writes ENTRY with a newline. The length. */
size_t access_line(enum access_format format, const struct access_entry *entry,
		   char out[ACCESS_LINE_MAX]);

#endif
