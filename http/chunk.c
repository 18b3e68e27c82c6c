#include "http/chunk.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"

void
chunk_init(struct chunk *chunk)
{
	*chunk = (struct chunk){.state = CHUNK_SIZE_FIRST};
}

uint64_t
chunk_payload(const struct chunk *chunk)
{
	return chunk->state == CHUNK_DATA ? chunk->left : 0;
}

void
chunk_took(struct chunk *chunk, uint64_t length)
{
	CHECK(length <= chunk_payload(chunk));
	chunk->left -= length;
	if (chunk->state == CHUNK_DATA && chunk->left == 0)
		chunk->state = CHUNK_DATA_CR;
}

bool
chunk_done(const struct chunk *chunk)
{
	return chunk->state == CHUNK_DONE;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* Another digit of a size. Sizes beyond 2^59 are nobody's chunk. */
static int
add_digit(struct chunk *chunk, int digit)
{
	if (chunk->left >> 55 != 0)
		return -EPROTO;
	chunk->left = chunk->left << 4 | (unsigned)digit;
	chunk->state = CHUNK_SIZE;
	return 0;
}

static bool
is_text(char c)
{
	unsigned char u = (unsigned char)c;

	return u == '\t' || (u >= 0x20 && u != 0x7f);
}

static void
size_line_ended(struct chunk *chunk)
{
	chunk->line = 0;
	chunk->state = chunk->left > 0 ? CHUNK_DATA : CHUNK_TRAILER_FIRST;
}

static int
eat(struct chunk *chunk, char c)
{
	int digit = hex_digit(c);

	switch (chunk->state) {
	case CHUNK_SIZE_FIRST:
		chunk->left = 0;
		return digit < 0 ? -EPROTO : add_digit(chunk, digit);
	case CHUNK_SIZE:
		if (digit >= 0)
			return add_digit(chunk, digit);
		if (c != '\r' && c != ';' && c != ' ' && c != '\t')
			return -EPROTO;
		chunk->state = c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
		return 0;
	case CHUNK_EXTENSION:
		if (c == '\r')
			chunk->state = CHUNK_SIZE_LF;
		return c == '\r' || is_text(c) ? 0 : -EPROTO;
	case CHUNK_SIZE_LF:
		size_line_ended(chunk);
		return c == '\n' ? 0 : -EPROTO;
	case CHUNK_DATA_CR:
		chunk->state = CHUNK_DATA_LF;
		return c == '\r' ? 0 : -EPROTO;
	case CHUNK_DATA_LF:
		chunk->line = 0;
		chunk->state = CHUNK_SIZE_FIRST;
		return c == '\n' ? 0 : -EPROTO;
	case CHUNK_TRAILER_FIRST:
		if (c == ' ' || c == '\t') /* a folded line */
			return -EPROTO;
		if (c == '\r') {
			chunk->state = CHUNK_LAST_LF;
			return 0;
		}
		chunk->state = CHUNK_TRAILER;
		return is_text(c) ? 0 : -EPROTO;
	case CHUNK_TRAILER:
		if (c == '\r')
			chunk->state = CHUNK_TRAILER_LF;
		return c == '\r' || is_text(c) ? 0 : -EPROTO;
	case CHUNK_TRAILER_LF:
		chunk->state = CHUNK_TRAILER_FIRST;
		return c == '\n' ? 0 : -EPROTO;
	case CHUNK_LAST_LF:
		chunk->state = CHUNK_DONE;
		return c == '\n' ? 0 : -EPROTO;
	case CHUNK_DATA:
	case CHUNK_DONE:
		break;
	}
	CHECK(chunk->state != CHUNK_DATA && chunk->state != CHUNK_DONE);
	return -EPROTO;
}

static bool
in_trailers(const struct chunk *chunk)
{
	return chunk->state >= CHUNK_TRAILER_FIRST;
}

ssize_t
chunk_framing(struct chunk *chunk, const char *data, size_t length)
{
	size_t n = 0;

	while (n < length && chunk->state != CHUNK_DATA && chunk->state != CHUNK_DONE) {
		if (++chunk->line > (in_trailers(chunk) ? CHUNK_TRAILERS_MAX : CHUNK_LINE_MAX))
			return -EPROTO;
		if (eat(chunk, data[n]) != 0)
			return -EPROTO;
		n++;
	}
	return (ssize_t)n;
}

size_t
chunk_size_line(char line[CHUNK_SIZE_LINE_MAX], uint64_t length)
{
	unsigned digits = 1;

	while (digits < 16 && length >> (4 * digits) != 0)
		digits++;
	for (unsigned i = digits; i-- > 0; length >>= 4)
		line[i] = "0123456789abcdef"[length & 15];
	memcpy(line + digits, "\r\n", 2);
	return digits + 2;
}
