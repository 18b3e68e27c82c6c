/* record_test.c - what is written comes back, and nothing else is taken for a record. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "storage/record.h"

#define POSITION 123456

static uint8_t secret[RECORD_SECRET_SIZE];

static void
make_secret(void)
{
	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)(i * 73 + 11);
}

static struct record
sample(enum record_kind kind)
{
	struct record record = {
		.kind = kind,
		.flags = kind == RECORD_OPEN ? RECORD_HIDDEN : 0,
		.id = 0x1122334455667788,
		.seq = 0x99aabbccddeeff00,
		.body_offset = (uint64_t)5 << 40,
		.body_length = RECORD_BODY_MAX,
		.body_hash = 0xfedcba9876543210,
	};

	if (kind != RECORD_DATA)
		record.name = (struct record_name){
			.path = "/live/a.m4s",
			.path_length = 11,
			.type = "video/mp4",
			.type_length = 9,
			.size = (uint64_t)6 << 40,
			.mtime_ms = 1700000000123,
			.expires_ms = -1,
			.etag = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		};
	return record;
}

static int
decode(const unsigned char *bytes, uint64_t position, struct record *record)
{
	int err = record_decode_header(bytes, secret, position, record);

	return err != 0 ? err : record_decode_name(bytes, bytes + RECORD_HEADER_SIZE, record);
}

static void
what_was_encoded_is_decoded(void **state)
{
	(void)state;
	for (int kind = RECORD_OPEN; kind <= RECORD_TOMBSTONE; kind++) {
		struct record in = sample((enum record_kind)kind), out;
		unsigned char bytes[RECORD_HEADER_SIZE + RECORD_NAME_MAX];
		size_t length = record_encode(&in, secret, POSITION, bytes);

		assert_int_equal(length, record_head_size(&in));
		assert_int_equal(decode(bytes, POSITION, &out), 0);
		assert_int_equal(out.kind, in.kind);
		assert_int_equal(out.flags, in.flags);
		assert_int_equal(out.id, in.id);
		assert_int_equal(out.seq, in.seq);
		assert_int_equal(out.body_offset, in.body_offset);
		assert_int_equal(out.body_length, in.body_length);
		assert_int_equal(out.body_hash, in.body_hash);
		assert_int_equal(RECORD_HEADER_SIZE + out.name_length, length);
		assert_int_equal(out.name.path_length, in.name.path_length);
		assert_int_equal(out.name.type_length, in.name.type_length);
		if (kind == RECORD_DATA)
			continue;
		assert_memory_equal(out.name.path, in.name.path, in.name.path_length);
		assert_memory_equal(out.name.type, in.name.type, in.name.type_length);
		assert_int_equal(out.name.size, in.name.size);
		assert_int_equal(out.name.mtime_ms, in.name.mtime_ms);
		assert_int_equal(out.name.expires_ms, in.name.expires_ms);
		assert_memory_equal(out.name.etag, in.name.etag, 16);
	}
}

static void
the_longest_names_fit(void **state)
{
	char path[1024], type[RECORD_TYPE_MAX];
	unsigned char bytes[RECORD_HEADER_SIZE + RECORD_NAME_MAX];
	struct record in = sample(RECORD_FINAL), out;

	(void)state;
	memset(path, 'p', sizeof(path));
	memset(type, 't', sizeof(type));
	in.name.path = path;
	in.name.path_length = sizeof(path);
	in.name.type = type;
	in.name.type_length = sizeof(type);
	assert_int_equal(record_encode(&in, secret, POSITION, bytes), sizeof(bytes));
	assert_int_equal(decode(bytes, POSITION, &out), 0);
	assert_memory_equal(out.name.path, path, sizeof(path));
	assert_memory_equal(out.name.type, type, sizeof(type));
	in.name.type = NULL;
	in.name.type_length = 0;
	record_encode(&in, secret, POSITION, bytes);
	assert_int_equal(decode(bytes, POSITION, &out), 0);
	assert_int_equal(out.name.type_length, 0);
}

static void
a_change_of_any_bit_is_refused(void **state)
{
	(void)state;
	for (int kind = RECORD_OPEN; kind <= RECORD_TOMBSTONE; kind++) {
		struct record in = sample((enum record_kind)kind), out;
		unsigned char bytes[RECORD_HEADER_SIZE + RECORD_NAME_MAX];
		size_t length = record_encode(&in, secret, POSITION, bytes);

		for (size_t i = 0; i < length; i++) {
			for (unsigned change = 1; change < 256; change++) {
				bytes[i] ^= (unsigned char)change;
				if (decode(bytes, POSITION, &out) != -EBADMSG)
					fail_msg("kind %d byte %zu change %u", kind, i, change);
				bytes[i] ^= (unsigned char)change;
			}
		}
		assert_int_equal(decode(bytes, POSITION, &out), 0);
	}
}

static void
a_record_counts_only_in_its_own_place(void **state)
{
	struct record in = sample(RECORD_FINAL), out;
	unsigned char bytes[RECORD_HEADER_SIZE + RECORD_NAME_MAX];
	uint8_t other[RECORD_SECRET_SIZE];

	(void)state;
	record_encode(&in, secret, POSITION, bytes);
	assert_int_equal(record_decode_header(bytes, secret, POSITION + RECORD_ALIGN, &out),
			 -EBADMSG);
	memcpy(other, secret, sizeof(other));
	other[0] ^= 1;
	record_encode(&in, other, POSITION, bytes); /* by someone who nearly knows the secret */
	assert_int_equal(record_decode_header(bytes, secret, POSITION, &out), -EBADMSG);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(record_decode_header(bytes, secret, 0, &out), -EBADMSG);
}

/* Puts VALUE into the header and makes its hash right again. */
static int
decode_with(size_t at, uint32_t value, size_t size)
{
	struct record in = sample(RECORD_FINAL), out;
	unsigned char bytes[RECORD_HEADER_SIZE + RECORD_NAME_MAX];

	record_encode(&in, secret, POSITION, bytes);
	if (size == 1)
		bytes[at] = (unsigned char)value;
	else
		put_le32(bytes + at, value);
	put_le64(bytes + 72, XXH3_64bits_withSecret(bytes, 72, secret, sizeof(secret)));
	return record_decode_header(bytes, secret, POSITION, &out);
}

static void
impossible_headers_are_refused_even_with_a_right_hash(void **state)
{
	(void)state;
	assert_int_equal(decode_with(4, RECORD_FINAL, 1), 0);
	assert_int_equal(decode_with(4, 0, 1), -EBADMSG);
	assert_int_equal(decode_with(4, RECORD_TOMBSTONE + 1, 1), -EBADMSG);
	assert_int_equal(decode_with(4, 255, 1), -EBADMSG);
	assert_int_equal(decode_with(4, RECORD_DATA, 1), -EBADMSG); /* with a name */
	assert_int_equal(decode_with(8, 0, 4), -EBADMSG);           /* FINAL without one */
	assert_int_equal(decode_with(8, RECORD_NAME_MAX, 4), 0);
	assert_int_equal(decode_with(8, RECORD_NAME_MAX + 1, 4), -EBADMSG);
	assert_int_equal(decode_with(12, RECORD_BODY_MAX, 4), 0);
	assert_int_equal(decode_with(12, RECORD_BODY_MAX + 1, 4), -EBADMSG);
	assert_int_equal(decode_with(12, UINT32_MAX, 4), -EBADMSG);
}

static void
a_name_whose_lengths_disagree_is_refused(void **state)
{
	static const uint16_t lengths[][2] = {{12, 9}, {10, 9}, {11, 8}, {0xffff, 9}, {0, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct record in = sample(RECORD_FINAL), out;
		unsigned char bytes[RECORD_HEADER_SIZE + RECORD_NAME_MAX];
		size_t length = record_encode(&in, secret, POSITION, bytes);
		unsigned char *name = bytes + RECORD_HEADER_SIZE;

		put_le16(name + 40, lengths[i][0]);
		put_le16(name + 42, lengths[i][1]);
		put_le64(bytes + 56, XXH3_64bits(name, length - RECORD_HEADER_SIZE));
		put_le64(bytes + 72, XXH3_64bits_withSecret(bytes, 72, secret, sizeof(secret)));
		assert_int_equal(decode(bytes, POSITION, &out), -EBADMSG);
	}
}

static void
spans_are_aligned_and_cover_the_record(void **state)
{
	(void)state;
	assert_int_equal(record_span(0, 0), RECORD_HEADER_SIZE);
	for (uint32_t n = 0; n < 100; n++) {
		uint64_t span = record_span(n, n / 3);

		assert_int_equal(span % RECORD_ALIGN, 0);
		assert_true(span >= RECORD_HEADER_SIZE + n + n / 3);
		assert_true(span < RECORD_HEADER_SIZE + n + n / 3 + RECORD_ALIGN);
	}
	assert_true(record_span(UINT32_MAX, UINT32_MAX) > UINT32_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_encoded_is_decoded),
		cmocka_unit_test(the_longest_names_fit),
		cmocka_unit_test(a_change_of_any_bit_is_refused),
		cmocka_unit_test(a_record_counts_only_in_its_own_place),
		cmocka_unit_test(impossible_headers_are_refused_even_with_a_right_hash),
		cmocka_unit_test(a_name_whose_lengths_disagree_is_refused),
		cmocka_unit_test(spans_are_aligned_and_cover_the_record),
	};

	make_secret();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
