/* record_fuzz.c - a record that was encoded is decoded to the same; a header with a right hash, whatever else it
 * says, is refused or stands for a record.
 */
#include <stdlib.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "storage/record.h"
#include "tests/fuzz/fuzz.h"

/* Of record.c's, which doc/FORMAT has too. */
enum { AT_MAGIC = 0, AT_POSITION = 16, AT_NAME_HASH = 56, AT_HEADER_HASH = 72 };

#define POSITION ((uint64_t)7 * RECORD_BATCH)

static uint8_t secret[RECORD_SECRET_SIZE];

static void
make_secret(void)
{
	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)(i * 73 + 11);
}

static int
decode(const unsigned char *bytes, size_t length, struct record *record)
{
	int err = record_decode_header(bytes, secret, POSITION, record);

	if (err == 0 && record->name_length > length - RECORD_HEADER_SIZE)
		return -1;
	return err != 0 ? err : record_decode_name(bytes, bytes + RECORD_HEADER_SIZE, record);
}

static void
check_same(const struct record *a, const struct record *b)
{
	CHECK(a->kind == b->kind && a->flags == b->flags && a->id == b->id && a->seq == b->seq);
	CHECK(a->body_offset == b->body_offset && a->body_length == b->body_length);
	CHECK(a->body_hash == b->body_hash && a->batch == b->batch);
	CHECK(a->batch_length == b->batch_length);
	if (a->kind == RECORD_DATA)
		return;
	CHECK(a->name.size == b->name.size && a->name.mtime_ms == b->name.mtime_ms);
	CHECK(a->name.expires_ms == b->name.expires_ms);
	CHECK(memcmp(a->name.etag, b->name.etag, sizeof(a->name.etag)) == 0);
	CHECK(a->name.path_length == b->name.path_length);
	CHECK(a->name.type_length == b->name.type_length);
	CHECK(memcmp(a->name.path, b->name.path, a->name.path_length) == 0);
	CHECK(memcmp(a->name.type, b->name.type, a->name.type_length) == 0);
}

/* RECORD to bytes and back; with one bit flipped it is no record. */
static void
check_round_trip(const struct record *record, uint64_t flip)
{
	size_t length = record_head_size(record);
	unsigned char *bytes = malloc(length);
	struct record again;

	CHECK(bytes != NULL && record_encode(record, secret, POSITION, bytes) == length);
	CHECK(decode(bytes, length, &again) == 0);
	check_same(record, &again);
	CHECK(again.name_length == length - RECORD_HEADER_SIZE);
	CHECK(record_span(again.name_length, again.body_length) >= length + again.body_length);
	CHECK(record_decode_header(bytes, secret, POSITION + RECORD_ALIGN, &again) != 0);
	bytes[flip / 8 % length] ^= (unsigned char)(1 << flip % 8);
	CHECK(decode(bytes, length, &again) != 0);
	free(bytes);
}

static void
check_made(struct fuzz fuzz)
{
	uint8_t kind = fuzz_byte(&fuzz);
	struct record record = {
		.kind = (enum record_kind)(RECORD_OPEN + kind % 4),
		.flags = fuzz_byte(&fuzz),
		.id = fuzz_number(&fuzz),
		.seq = fuzz_number(&fuzz),
		.body_offset = fuzz_number(&fuzz),
		.body_hash = fuzz_number(&fuzz),
	};
	uint64_t flip = fuzz_number(&fuzz);
	struct fuzz path, type;

	record.body_length = (uint32_t)(fuzz_number(&fuzz) % (RECORD_BODY_MAX + 1));
	record.batch = (fuzz_number(&fuzz) & UINT32_MAX) * RECORD_BATCH;
	record.batch_length = (uint32_t)fuzz_number(&fuzz);
	if (record.kind != RECORD_DATA) {
		record.name.size = fuzz_number(&fuzz);
		record.name.mtime_ms = (int64_t)fuzz_number(&fuzz);
		record.name.expires_ms = (int64_t)fuzz_number(&fuzz);
		put_le64(put_le64(record.name.etag, fuzz_number(&fuzz)), fuzz_number(&fuzz));
		path = fuzz_take(&fuzz, fuzz_byte(&fuzz) * 4u);
		type = fuzz_take(&fuzz, fuzz_byte(&fuzz));
		record.name.path = (const char *)path.data;
		record.name.path_length = (uint16_t)path.length;
		record.name.type = (const char *)type.data;
		record.name.type_length = (uint16_t)type.length;
	}
	check_round_trip(&record, flip);
}

/* The input as a header and a name, after the hashes were made right. */
static void
check_forged(struct fuzz fuzz)
{
	unsigned char *bytes = malloc(fuzz.length);
	struct record record, again;

	CHECK(bytes != NULL);
	memcpy(bytes, fuzz.data, fuzz.length);
	CHECK(record_decode_header(bytes, secret, POSITION, &record) != 0);
	put_le32(bytes + AT_MAGIC, 0x52575053u);
	put_le64(bytes + AT_POSITION, POSITION);
	put_le64(bytes + AT_NAME_HASH,
		 XXH3_64bits(bytes + RECORD_HEADER_SIZE, fuzz.length - RECORD_HEADER_SIZE));
	put_le64(bytes + AT_HEADER_HASH,
		 XXH3_64bits_withSecret(bytes, AT_HEADER_HASH, secret, RECORD_SECRET_SIZE));
	if (decode(bytes, fuzz.length, &record) == 0) {
		unsigned char *anew = malloc(record_head_size(&record));

		CHECK(anew != NULL);
		CHECK(record.name_length <= RECORD_NAME_MAX &&
		      record.body_length <= RECORD_BODY_MAX);
		CHECK(record_encode(&record, secret, POSITION, anew) ==
		      RECORD_HEADER_SIZE + (size_t)record.name_length);
		CHECK(decode(anew, record_head_size(&record), &again) == 0);
		check_same(&record, &again);
		free(anew);
	}
	free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct fuzz fuzz = {data, length};
	uint8_t way = fuzz_byte(&fuzz);

	make_secret();
	if (way % 2 == 0)
		check_made(fuzz);
	else if (fuzz.length >= RECORD_HEADER_SIZE)
		check_forged(fuzz);
	return 0;
}
