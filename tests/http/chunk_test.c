/* chunk_test.c - the chunked coding, cut at every byte. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/chunk.h"

#define PAYLOAD_MAX 65536

struct taken {
	char payload[PAYLOAD_MAX];
	size_t length;
	size_t used; /* bytes of the input */
};

/* Feeds LENGTH bytes of DATA. 0, or -EPROTO. */
static int
feed(struct chunk *chunk, const char *data, size_t length, struct taken *taken)
{
	size_t n = 0;

	while (n < length && !chunk_done(chunk)) {
		uint64_t payload = chunk_payload(chunk);
		ssize_t eaten;

		if (payload > 0) {
			if (payload > length - n)
				payload = length - n;
			assert_true(taken->length + payload <= PAYLOAD_MAX);
			memcpy(taken->payload + taken->length, data + n, payload);
			taken->length += payload;
			chunk_took(chunk, payload);
			n += payload;
			continue;
		}
		eaten = chunk_framing(chunk, data + n, length - n);
		if (eaten < 0)
			return (int)eaten;
		n += (size_t)eaten;
	}
	taken->used += n;
	return 0;
}

static const char good[] = "5\r\nhello\r\n"
			   "00A;name=\"value\";x\r\n, world :)\r\n"
			   "1 \t; y\r\n\n\r\n"
			   "0;last\r\nTrailer: x\r\nAnother:\ty\r\n\r\n";

static void
a_body_is_decoded_however_it_is_cut(void **state)
{
	const size_t length = strlen(good);
	const char expected[] = "hello, world :)\n";

	(void)state;
	for (size_t first = 0; first <= length; first++) {
		for (size_t second = first; second <= length; second++) {
			struct taken taken = {.length = 0};
			struct chunk chunk;

			chunk_init(&chunk);
			assert_int_equal(feed(&chunk, good, first, &taken), 0);
			assert_int_equal(feed(&chunk, good + first, second - first, &taken), 0);
			assert_int_equal(feed(&chunk, good + second, length - second, &taken), 0);
			assert_true(chunk_done(&chunk));
			assert_int_equal(taken.used, length);
			assert_int_equal(taken.length, sizeof(expected) - 1);
			assert_memory_equal(taken.payload, expected, taken.length);
		}
	}
}

static void
what_follows_the_body_is_left_alone(void **state)
{
	static const char text[] = "1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
	struct taken taken = {.length = 0};
	struct chunk chunk;

	(void)state;
	chunk_init(&chunk);
	assert_int_equal(feed(&chunk, text, sizeof(text) - 1, &taken), 0);
	assert_true(chunk_done(&chunk));
	assert_int_equal(taken.used, strlen("1\r\nx\r\n0\r\n\r\n"));
}

static void
a_body_is_not_done_before_its_last_byte(void **state)
{
	const size_t length = strlen(good);

	(void)state;
	for (size_t cut = 0; cut < length; cut++) {
		struct taken taken = {.length = 0};
		struct chunk chunk;

		chunk_init(&chunk);
		assert_int_equal(feed(&chunk, good, cut, &taken), 0);
		assert_false(chunk_done(&chunk));
	}
}

static void
malformed_chunks_are_refused_however_they_are_cut(void **state)
{
	static const char *const cases[] = {
		"\r\n",
		"x\r\n",
		"+5\r\nhello\r\n0\r\n\r\n",
		"-5\r\nhello\r\n0\r\n\r\n",
		" 5\r\nhello\r\n0\r\n\r\n",
		"0x5\r\nhello\r\n0\r\n\r\n",
		"5\nhello\r\n0\r\n\r\n",
		"5\r\rhello",
		"5;a\nhello\r\n0\r\n\r\n",
		"5;\001\r\nhello\r\n0\r\n\r\n",
		"5\r\nhello0\r\n\r\n",
		"5\r\nhello\n0\r\n\r\n",
		"5\r\nhello\rx",
		"5\r\nhello!\r\n0\r\n\r\n",
		"8000000000000000\r\n",
		"fffffffffffffffff\r\n",
		"10000000000000000000000000000000000\r\n",
		"0\r\n\n",
		"0\r\n\rx",
		"0\r\nA: b\n\r\n",
		"0\r\nA: b\rc\r\n\r\n",
		"0\r\nA: b\r\n folded\r\n\r\n",
		"0\r\nA: \002\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t length = strlen(cases[i]);

		for (size_t cut = 0; cut <= length; cut++) {
			struct taken taken = {.length = 0};
			struct chunk chunk;
			int rc;

			chunk_init(&chunk);
			rc = feed(&chunk, cases[i], cut, &taken);
			if (rc == 0)
				rc = feed(&chunk, cases[i] + cut, length - cut, &taken);
			if (rc != -EPROTO)
				print_error("case %zu cut at %zu\n", i, cut);
			assert_int_equal(rc, -EPROTO);
		}
	}
}

static void
size_lines_and_trailers_are_bounded(void **state)
{
	char text[2 * CHUNK_TRAILERS_MAX];
	struct taken taken = {.length = 0};
	struct chunk chunk;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "5;", 2);
	chunk_init(&chunk);
	assert_int_equal(feed(&chunk, text, CHUNK_LINE_MAX, &taken), 0);
	assert_int_equal(feed(&chunk, text, 1, &taken), -EPROTO);

	memset(text, '0', sizeof(text)); /* leading zeros change no size, and count */
	chunk_init(&chunk);
	assert_int_equal(feed(&chunk, text, sizeof(text), &taken), -EPROTO);

	memset(text, 'x', sizeof(text));
	memcpy(text, "0\r\n", 3);
	chunk_init(&chunk);
	assert_int_equal(feed(&chunk, text, CHUNK_TRAILERS_MAX, &taken), 0);
	assert_int_equal(feed(&chunk, text, 8, &taken), -EPROTO);
}

static void
a_size_line_is_what_printf_makes_of_it(void **state)
{
	uint64_t length = 1;

	(void)state;
	for (unsigned bit = 0; bit <= 64; bit++, length = bit < 64 ? (uint64_t)1 << bit : 0) {
		uint64_t lengths[] = {length - 1, length, length + 1, length | 0x5a5};

		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			char line[CHUNK_SIZE_LINE_MAX], expected[32];
			size_t n = chunk_size_line(line, lengths[i]);

			snprintf(expected, sizeof(expected), "%llx\r\n",
				 (unsigned long long)lengths[i]);
			assert_int_equal(n, strlen(expected));
			assert_memory_equal(line, expected, n);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_is_decoded_however_it_is_cut),
		cmocka_unit_test(what_follows_the_body_is_left_alone),
		cmocka_unit_test(a_body_is_not_done_before_its_last_byte),
		cmocka_unit_test(malformed_chunks_are_refused_however_they_are_cut),
		cmocka_unit_test(size_lines_and_trailers_are_bounded),
		cmocka_unit_test(a_size_line_is_what_printf_makes_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
