/* body.h - how much of a request's body is still to come, by length or by chunks.
 *
 * The same protocol as chunk.h; a body with a Content-Length is payload without framing.
 *
 * Threads  any; pure functions of their arguments.
 */
#ifndef SPILLWAY_HTTP_BODY_H
#define SPILLWAY_HTTP_BODY_H

#include "http/chunk.h"
#include "http/head.h"

struct body {
	bool chunked;
	uint64_t left; /* payload still to come, unless chunked */
	struct chunk chunk;
};

/* The body that HEAD announces. */
void body_init(struct body *body, const struct head *head);

/* A body of no bytes. */
void body_init_empty(struct body *body);

ssize_t body_framing(struct body *body, const char *data, size_t length);
uint64_t body_payload(const struct body *body);
void body_took(struct body *body, uint64_t length);
bool body_done(const struct body *body);

/* Skips over whatever of DATA belongs to the body. Returns the bytes skipped, or -EPROTO. */
ssize_t body_skip(struct body *body, const char *data, size_t length);

#endif
