#include "storage/record.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"

#define RECORD_MAGIC 0x52575053u /* "SPWR" */
#define NAME_FIXED 52            /* what precedes the strings; 8 bytes of it are reserved */

/* Offsets in the header. */
enum {
	AT_MAGIC = 0,
	AT_KIND = 4,
	AT_FLAGS = 5,
	AT_NAME_LENGTH = 8,
	AT_BODY_LENGTH = 12,
	AT_POSITION = 16,
	AT_ID = 24,
	AT_SEQ = 32,
	AT_BODY_OFFSET = 40,
	AT_BODY_HASH = 48,
	AT_NAME_HASH = 56,
	AT_BATCH = 64, /* in units of RECORD_BATCH */
	AT_BATCH_LENGTH = 68,
	AT_HEADER_HASH = 72,
};

static size_t
name_size(const struct record *record)
{
	if (record->kind == RECORD_DATA)
		return 0;
	return NAME_FIXED + (size_t)record->name.path_length + record->name.type_length;
}

size_t
record_head_size(const struct record *record)
{
	return RECORD_HEADER_SIZE + name_size(record);
}

uint64_t
record_span(uint32_t name_length, uint32_t body_length)
{
	uint64_t bytes = RECORD_HEADER_SIZE + (uint64_t)name_length + body_length;

	return (bytes + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

static void
encode_name(const struct record_name *name, unsigned char *out)
{
	out = put_le64(out, name->size);
	out = put_le64(out, (uint64_t)name->mtime_ms);
	out = put_le64(out, (uint64_t)name->expires_ms);
	out = (unsigned char *)memcpy(out, name->etag, 16) + 16;
	out = put_le16(out, name->path_length);
	out = put_le16(out, name->type_length);
	out = put_le64(out, 0);
	out = (unsigned char *)memcpy(out, name->path, name->path_length) + name->path_length;
	if (name->type_length > 0)
		memcpy(out, name->type, name->type_length);
}

size_t
record_encode(const struct record *record, const uint8_t *secret, uint64_t position,
	      unsigned char *out)
{
	size_t name_length = name_size(record);

	CHECK(name_length <= RECORD_NAME_MAX && record->body_length <= RECORD_BODY_MAX);
	memset(out, 0, RECORD_HEADER_SIZE);
	if (name_length > 0)
		encode_name(&record->name, out + RECORD_HEADER_SIZE);
	put_le32(out + AT_MAGIC, RECORD_MAGIC);
	out[AT_KIND] = (unsigned char)record->kind;
	out[AT_FLAGS] = record->flags;
	put_le32(out + AT_NAME_LENGTH, (uint32_t)name_length);
	put_le32(out + AT_BODY_LENGTH, record->body_length);
	put_le64(out + AT_POSITION, position);
	put_le64(out + AT_ID, record->id);
	put_le64(out + AT_SEQ, record->seq);
	put_le64(out + AT_BODY_OFFSET, record->body_offset);
	put_le64(out + AT_BODY_HASH, record->body_hash);
	put_le64(out + AT_NAME_HASH, XXH3_64bits(out + RECORD_HEADER_SIZE, name_length));
	put_le32(out + AT_BATCH, (uint32_t)(record->batch / RECORD_BATCH));
	put_le32(out + AT_BATCH_LENGTH, record->batch_length);
	put_le64(out + AT_HEADER_HASH,
		 XXH3_64bits_withSecret(out, AT_HEADER_HASH, secret, RECORD_SECRET_SIZE));
	return RECORD_HEADER_SIZE + name_length;
}

int
record_decode_header(const unsigned char in[RECORD_HEADER_SIZE], const uint8_t *secret,
		     uint64_t position, struct record *record)
{
	if (get_le32(in + AT_MAGIC) != RECORD_MAGIC ||
	    get_le64(in + AT_HEADER_HASH) !=
		    XXH3_64bits_withSecret(in, AT_HEADER_HASH, secret, RECORD_SECRET_SIZE) ||
	    get_le64(in + AT_POSITION) != position)
		return -EBADMSG;
	memset(record, 0, sizeof(*record));
	record->kind = (enum record_kind)in[AT_KIND];
	record->flags = in[AT_FLAGS];
	record->name_length = get_le32(in + AT_NAME_LENGTH);
	record->body_length = get_le32(in + AT_BODY_LENGTH);
	record->id = get_le64(in + AT_ID);
	record->seq = get_le64(in + AT_SEQ);
	record->body_offset = get_le64(in + AT_BODY_OFFSET);
	record->body_hash = get_le64(in + AT_BODY_HASH);
	record->batch = (uint64_t)get_le32(in + AT_BATCH) * RECORD_BATCH;
	record->batch_length = get_le32(in + AT_BATCH_LENGTH);
	if (record->kind < RECORD_OPEN || record->kind > RECORD_TOMBSTONE ||
	    record->name_length > RECORD_NAME_MAX || record->body_length > RECORD_BODY_MAX ||
	    (record->kind == RECORD_DATA) != (record->name_length == 0))
		return -EBADMSG;
	return 0;
}

int
record_decode_name(const unsigned char *header, const unsigned char *in, struct record *record)
{
	struct record_name *name = &record->name;

	if (record->kind == RECORD_DATA)
		return 0;
	if (record->name_length < NAME_FIXED ||
	    get_le64(header + AT_NAME_HASH) != XXH3_64bits(in, record->name_length))
		return -EBADMSG;
	name->size = get_le64(in);
	name->mtime_ms = (int64_t)get_le64(in + 8);
	name->expires_ms = (int64_t)get_le64(in + 16);
	memcpy(name->etag, in + 24, 16);
	name->path_length = get_le16(in + 40);
	name->type_length = get_le16(in + 42);
	if (record->name_length != NAME_FIXED + (uint32_t)name->path_length + name->type_length)
		return -EBADMSG;
	name->path = (const char *)in + NAME_FIXED;
	name->type = name->path + name->path_length;
	return 0;
}
