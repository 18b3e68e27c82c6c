/* chunk_fuzz.c - a chunked body ends in the same place, with the same payload, however it is cut; and
 * what is taken out of it can be put into chunks again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "http/body.h"
#include "tests/fuzz/fuzz.h"

/* What came of a body. */
struct result {
	uint8_t *payload; /* room for all of the input */
	size_t length;    /* of the payload */
	size_t used;      /* of the input, unless broken */
	bool broken, done;
};

static void
body_of(bool chunked, uint64_t length, struct body *body)
{
	const struct head head = {
		.body = chunked ? HEAD_BODY_CHUNKED : HEAD_BODY_LENGTH,
		.content_length = length,
	};

	body_init(body, &head);
}

/* One piece of the input, as the header of chunk.h has it. */
static void
feed(struct body *body, const uint8_t *data, size_t length, struct result *result)
{
	size_t n = 0;

	while (n < length && !body_done(body)) {
		uint64_t payload = body_payload(body);
		ssize_t eaten;

		if (payload > 0) {
			size_t take = payload < length - n ? (size_t)payload : length - n;

			memcpy(result->payload + result->length, data + n, take);
			result->length += take;
			body_took(body, take);
			n += take;
			continue;
		}
		eaten = body_framing(body, (const char *)data + n, length - n);
		if (eaten < 0) {
			result->broken = true;
			return;
		}
		CHECK(eaten > 0 && (size_t)eaten <= length - n);
		n += (size_t)eaten;
	}
	result->used += n;
}

static struct result
decode(struct body body, const uint8_t *data, size_t length, size_t stride)
{
	struct result result = {.payload = malloc(length + 1)};

	CHECK(result.payload != NULL);
	for (size_t at = 0; at < length && !result.broken; at += stride)
		feed(&body, data + at, length - at < stride ? length - at : stride, &result);
	result.done = !result.broken && body_done(&body);
	CHECK(result.broken || result.done || result.used == length);
	return result;
}

static void
check_same(const struct result *a, const struct result *b)
{
	CHECK(a->broken == b->broken && a->done == b->done && a->length == b->length);
	CHECK(a->broken || a->used == b->used);
	CHECK(memcmp(a->payload, b->payload, a->length) == 0);
}

/* body_skip goes as far as reading does. */
static void
check_skip(struct body body, const uint8_t *data, size_t length, const struct result *result)
{
	ssize_t n = body_skip(&body, (const char *)data, length);

	CHECK((n < 0) == result->broken);
	CHECK(n < 0 || (size_t)n == result->used);
}

/* Puts the payload of RESULT into chunks of SIZE, and takes it out again. */
static void
check_anew(const struct result *result, size_t size)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	struct result again;
	struct body body;

	CHECK(out != NULL);
	for (size_t at = 0; at < result->length; at += size) {
		size_t n = result->length - at < size ? result->length - at : size;

		fprintf(out, "%zX;a=\"b\"\r\n", n);
		fwrite(result->payload + at, 1, n, out);
		fputs("\r\n", out);
	}
	fputs("0\r\nX: y\r\n\r\nGET", out);
	CHECK(fclose(out) == 0);
	body_of(true, 0, &body);
	again = decode(body, (const uint8_t *)text, length, 5);
	CHECK(again.done && again.used == length - 3 && again.length == result->length);
	CHECK(memcmp(again.payload, result->payload, again.length) == 0);
	free(again.payload);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	static const size_t strides[] = {1, 2, 3, 13, 4096};
	struct fuzz fuzz = {data, length};
	uint8_t kind = fuzz_byte(&fuzz);
	struct result whole;
	struct body body;

	/* One in sixteen has a length. */
	body_of(kind % 16 != 1, kind * 37u, &body);
	whole = decode(body, fuzz.data, fuzz.length, fuzz.length + 1);
	for (size_t i = 0; i < sizeof(strides) / sizeof(strides[0]); i++) {
		struct result cut = decode(body, fuzz.data, fuzz.length, strides[i]);

		check_same(&whole, &cut);
		free(cut.payload);
	}
	check_skip(body, fuzz.data, fuzz.length, &whole);
	check_anew(&whole, kind % 100 + 1u);
	free(whole.payload);
	return 0;
}
