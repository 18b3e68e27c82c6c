/* hash_test.c - what a record of a whole object relies on: its hash and the ETag are of one state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

#define BYTES 70000

static const unsigned char *
make_bytes(void)
{
	static unsigned char bytes[BYTES];

	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = (unsigned char)(i * 2654435761u >> 13);
	return bytes;
}

static void
a_state_gives_both_hashes_of_what_it_saw(void **state)
{
	static const size_t lengths[] = {0,   1,   3,   4,    8,    9,    16,    17,    128,  129,
					 240, 241, 256, 1024, 1025, 4096, 65472, 65536, BYTES};
	const unsigned char *bytes = make_bytes();
	XXH3_state_t *hash = XXH3_createState();

	(void)state;
	assert_non_null(hash);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		for (size_t piece = 7; piece <= BYTES; piece *= 10) {
			XXH3_128bits_reset(hash);
			for (size_t at = 0; at < lengths[i]; at += piece)
				XXH3_128bits_update(hash, bytes + at,
						    lengths[i] - at < piece ? lengths[i] - at
									    : piece);
			assert_true(XXH3_64bits_digest(hash) == XXH3_64bits(bytes, lengths[i]));
			assert_true(XXH128_isEqual(XXH3_128bits_digest(hash),
						   XXH3_128bits(bytes, lengths[i])));
		}
	}
	XXH3_freeState(hash);
}

/* What is on disk was written with other instructions, perhaps: values of the library's plain functions. */
static void
the_values_are_those_of_every_processor(void **state)
{
	const unsigned char *bytes = make_bytes();

	(void)state;
	assert_true(XXH3_64bits(bytes, 1000) == 0xa067b58e6ea5d2f2);
	assert_true(XXH3_64bits(bytes, BYTES) == 0xad5b670987211577);
	assert_true(XXH3_128bits(bytes, BYTES).high64 == 0x11c86658afe5037e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_state_gives_both_hashes_of_what_it_saw),
		cmocka_unit_test(the_values_are_those_of_every_processor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
