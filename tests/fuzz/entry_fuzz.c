/* entry_fuzz.c - a value of the catalog is decoded to what was encoded, a damaged one is noticed, and any bytes
 * under a right seal are refused or mean something; keys sort as what they stand for.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "storage/entry.h"
#include "tests/fuzz/fuzz.h"

struct value {
	unsigned char bytes[ENTRY_VALUE_MAX];
	size_t length;
};

/* Each decodes VALUE by one table's function and, if it means something, encodes that. */
static bool
again_row(const struct value *value, struct value *out)
{
	struct entry_row row;

	if (entry_decode_row(value->bytes, value->length, &row) != 0 ||
	    row.name.path_length + row.name.type_length > ENTRY_STRINGS_MAX)
		return false;
	out->length = entry_encode_row(&row, out->bytes);
	return true;
}

static bool
again_part(const struct value *value, struct value *out)
{
	struct extent part = {0};

	if (entry_decode_part(value->bytes, value->length, &part) != 0)
		return false;
	out->length = entry_encode_part(&part, out->bytes);
	return true;
}

static bool
again_underway(const struct value *value, struct value *out)
{
	struct entry_underway underway;

	if (entry_decode_underway(value->bytes, value->length, &underway) != 0)
		return false;
	out->length = entry_encode_underway(&underway, out->bytes);
	return true;
}

static bool
again_volume(const struct value *value, struct value *out)
{
	struct catalog_volume volume = {0};

	if (entry_decode_volume(value->bytes, value->length, &volume) != 0)
		return false;
	out->length = entry_encode_volume(&volume, out->bytes);
	return true;
}

static bool
again_path(const struct value *value, struct value *out)
{
	const char *path;
	size_t length;

	if (entry_decode_path(value->bytes, value->length, &path, &length) != 0)
		return false;
	out->length = entry_encode_path(path, length, out->bytes);
	return true;
}

static bool
again_grave(const struct value *value, struct value *out)
{
	struct catalog_grave grave;
	const char *path;
	size_t length;

	if (entry_decode_grave(value->bytes, value->length, &grave, &path, &length) != 0)
		return false;
	out->length = entry_encode_grave(&grave, path, length, out->bytes);
	return true;
}

static bool
again_number(const struct value *value, struct value *out)
{
	uint64_t number;

	if (entry_decode_number(value->bytes, value->length, &number) != 0)
		return false;
	out->length = entry_encode_number(number, out->bytes);
	return true;
}

static bool (*const again[ENTRY_TABLES])(const struct value *, struct value *) = {
	[ENTRY_PATHS] = again_row,      [ENTRY_PARTS] = again_part,  [ENTRY_IDS] = again_underway,
	[ENTRY_VOLUMES] = again_volume, [ENTRY_META] = again_number, [ENTRY_OWNERS] = again_path,
	[ENTRY_GRAVES] = again_grave,   [ENTRY_EXPIRY] = again_path,
};

/* What is understood is understood in the same way after it was written again. */
static void
check_value(enum entry_table table, const struct value *value)
{
	struct value *first = malloc(sizeof(*first)), *second = malloc(sizeof(*second));

	CHECK(first != NULL && second != NULL);
	if (again[table](value, first)) {
		CHECK(first->length == value->length);
		CHECK(again[table](first, second));
		CHECK(second->length == first->length);
		CHECK(memcmp(first->bytes + ENTRY_SEAL_SIZE, second->bytes + ENTRY_SEAL_SIZE,
			     first->length - ENTRY_SEAL_SIZE) == 0);
	}
	free(second);
	free(first);
}

/* The seal covers the value, its key and its table. */
static void
check_seal(enum entry_table table, struct fuzz key, struct value *value, uint64_t flip)
{
	enum entry_table other = (enum entry_table)((table + 1) % ENTRY_TABLES);

	if (value->length <= ENTRY_SEAL_SIZE)
		return;
	entry_seal(table, key.data, key.length, value->bytes, value->length);
	CHECK(entry_intact(table, key.data, key.length, value->bytes, value->length));
	CHECK(!entry_intact(other, key.data, key.length, value->bytes, value->length));
	CHECK(!entry_intact(table, key.data, key.length, value->bytes, value->length - 1));
	if (key.length > 0)
		CHECK(!entry_intact(table, key.data, key.length - 1, value->bytes, value->length));
	flip %= value->length * 8;
	value->bytes[flip / 8] ^= (unsigned char)(1 << flip % 8);
	CHECK(!entry_intact(table, key.data, key.length, value->bytes, value->length));
	value->bytes[flip / 8] ^= (unsigned char)(1 << flip % 8);
}

/* Memory order of two keys, as LMDB has it. */
static int
order(const struct entry_key *a, const struct entry_key *b)
{
	size_t shorter = a->length < b->length ? a->length : b->length;
	int c = memcmp(a->bytes, b->bytes, shorter);

	return c != 0 ? c : (a->length > b->length) - (a->length < b->length);
}

static int
sign(int n)
{
	return (n > 0) - (n < 0);
}

static void
check_keys(uint64_t a, uint64_t b, struct fuzz path)
{
	struct entry_key x, y;

	entry_key_id(a, &x);
	entry_key_id(b, &y);
	CHECK(sign(order(&x, &y)) == (a > b) - (a < b));
	entry_key_part(7, a, &x);
	entry_key_part(7, b, &y);
	CHECK(sign(order(&x, &y)) == (a > b) - (a < b));
	entry_key_expiry((int64_t)(a >> 1), b, &x);
	entry_key_expiry((int64_t)(b >> 1), a, &y);
	CHECK(a >> 1 == b >> 1 || sign(order(&x, &y)) == (a > b) - (a < b));
	entry_key_owner(a, (uint32_t)b, &x);
	entry_key_volume((uint32_t)b, &y);
	CHECK(memcmp(x.bytes + 8, y.bytes, 4) == 0 && x.length == 12 && y.length == 4);
	entry_key_path((const char *)path.data, path.length, &x);
	CHECK(x.length == (path.length <= ENTRY_PLAIN_MAX ? path.length : ENTRY_KEY_MAX));
	CHECK(path.length == 0 ||
	      memcmp(x.bytes, path.data, path.length < 480 ? path.length : 480) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct fuzz fuzz = {data, length};
	enum entry_table table = (enum entry_table)(fuzz_byte(&fuzz) % ENTRY_TABLES);
	uint64_t a = fuzz_number(&fuzz), b = fuzz_number(&fuzz);
	struct fuzz key = fuzz_take(&fuzz, fuzz_byte(&fuzz));
	struct value *value = malloc(sizeof(*value));

	CHECK(value != NULL);
	check_keys(a, b, fuzz);
	value->length = fuzz.length < ENTRY_VALUE_MAX ? fuzz.length : ENTRY_VALUE_MAX;
	if (value->length > 0)
		memcpy(value->bytes, fuzz.data, value->length);
	check_seal(table, key, value, a);
	check_value(table, value);
	free(value);
	return 0;
}
