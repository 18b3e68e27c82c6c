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
	uint64_t received; /* bytes of payload so far */
	uint64_t max;      /* of them; 0: any number */
};

/* Takes what is there, up to a megabyte, so that the neighbours get their turn. 0 (see body_done for
 * whether that was all), or
 *   -ENOBUFS  the writer has no room; what was read is kept in the input
 *   -EFBIG    the body is, or will be, longer than max
 *   -EPROTO   its chunks are malformed
 *   -EPIPE    the sender is gone
 */
int intake_read(struct intake *intake, struct conn *conn, struct writer *writer);

#endif
