/* chunk.h - the chunked transfer coding of a request body, taken apart as it arrives (RFC 9112 7.1).
 *
 * The caller hands framing to chunk_framing and keeps the payload between for itself:
 *
 *     while (!chunk_done(&c) && there are bytes)
 *             if (chunk_payload(&c) > 0)
 *                     take up to that many, tell chunk_took
 *             else
 *                     chunk_framing(the bytes)
 *
 * Threads  any; pure functions of their arguments. Works however the input is split.
 */
#ifndef SPILLWAY_HTTP_CHUNK_H
#define SPILLWAY_HTTP_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CHUNK_LINE_MAX 1024     /* bytes of a size line with its extensions */
#define CHUNK_TRAILERS_MAX 8192 /* bytes of the trailer section */

enum chunk_state {
	CHUNK_SIZE_FIRST, /* the first digit of a size */
	CHUNK_SIZE,       /* further digits */
	CHUNK_EXTENSION,  /* skipped to the CR */
	CHUNK_SIZE_LF,
	CHUNK_DATA, /* left bytes of payload come next */
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER_FIRST, /* the first byte of a trailer line, or the CR of the empty one */
	CHUNK_TRAILER,
	CHUNK_TRAILER_LF,
	CHUNK_LAST_LF,
	CHUNK_DONE,
};

struct chunk {
	enum chunk_state state;
	unsigned line; /* bytes of this size line, or of the trailers, so far */
	uint64_t left; /* payload of this chunk still to come */
};

void chunk_init(struct chunk *chunk);

/* Eats framing from DATA: stops before the first payload byte, after the end of the body, or when
 * DATA is used up. Returns the bytes eaten, or -EPROTO when they are malformed. */
ssize_t chunk_framing(struct chunk *chunk, const char *data, size_t length);

/* How many bytes of payload come next; 0 when framing does. */
uint64_t chunk_payload(const struct chunk *chunk);

/* LENGTH bytes of payload, at most chunk_payload, were taken. */
void chunk_took(struct chunk *chunk, uint64_t length);

/* The whole body was seen, with the empty line behind it. */
bool chunk_done(const struct chunk *chunk);

/* The other direction: writes the line that begins a chunk of LENGTH bytes, without a final NUL, and returns its
 * length. Each reader of each live part needs one, which is too often for printf. */
#define CHUNK_SIZE_LINE_MAX 18
size_t chunk_size_line(char line[CHUNK_SIZE_LINE_MAX], uint64_t length);

#endif
