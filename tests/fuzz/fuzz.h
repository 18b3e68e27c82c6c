/* fuzz.h - what the fuzz targets share.
 *
 * A target is one function that libFuzzer calls with inputs of its own making (`make fuzz`), and replay.c with
 * every file of the target's corpus (`make check`). A property that does not hold is a CHECK that fails.
 *
 * Owns     nothing: a struct fuzz is what is left of the input.
 */
#ifndef SPILLWAY_TESTS_FUZZ_H
#define SPILLWAY_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"

struct fuzz {
	const uint8_t *data;
	size_t length;
};

/* libFuzzer's name for it. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

/* The next byte, 0 at the end. */
static inline uint8_t
fuzz_byte(struct fuzz *fuzz)
{
	if (fuzz->length == 0)
		return 0;
	fuzz->length--;
	return *fuzz->data++;
}

/* The next eight bytes as a number; what there is not counts as zeros. */
static inline uint64_t
fuzz_number(struct fuzz *fuzz)
{
	uint64_t number = 0;

	for (int i = 0; i < 8; i++)
		number = number << 8 | fuzz_byte(fuzz);
	return number;
}

/* Cuts the next LENGTH bytes off, or what there is. */
static inline struct fuzz
fuzz_take(struct fuzz *fuzz, size_t length)
{
	struct fuzz taken = {fuzz->data, length < fuzz->length ? length : fuzz->length};

	fuzz->data += taken.length;
	fuzz->length -= taken.length;
	return taken;
}

/* Cuts the bytes up to the next zero byte off, which is dropped. */
static inline struct fuzz
fuzz_field(struct fuzz *fuzz)
{
	size_t length = fuzz->length > 0 ? strnlen((const char *)fuzz->data, fuzz->length) : 0;
	struct fuzz taken = fuzz_take(fuzz, length);

	(void)fuzz_byte(fuzz);
	return taken;
}

#endif
