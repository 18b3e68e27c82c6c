/* intake.h - moves the bytes of a request's body from its connection into a writer.
 *
 * First what the bufferevent had read already, then the socket: readv(2) puts the payload into the memory
 * that its readers are served from, with some scratch behind it for the framing of chunks. What
 * belongs to the next request is put back into the bufferevent's input.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_INTAKE_H
#define SPILLWAY_HTTP_INTAKE_H

#include "http/conn.h"

struct writer;

struct intake {
	uint64_t length; /* of the object so far */
	uint64_t max;    /* of it; 0: any length */
	uint64_t end;    /* what its sender said that it would be; UINT64_MAX: nothing */
};

/* Takes what is there, up to a megabyte, so that the neighbours get their turn. 0 (see body_done for
 * whether that was all), or
 *   -ENOBUFS  the writer has no room; what was read is kept in the input
 *   -EFBIG    the object is, or will be, longer than max
 *   -ERANGE   the same, than end
 *   -EPROTO   its chunks are malformed
 *   -EPIPE    the sender is gone
 */
int intake_read(struct intake *intake, struct conn *conn, struct writer *writer);

#endif
