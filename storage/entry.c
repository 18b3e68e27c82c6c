#include "storage/entry.h"

#include <errno.h>
#include <string.h>
#define XXH_INLINE_ALL /* keys and values are short, and calls to the library a part of their cost */
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"

/* Offsets in a row. */
enum {
	AT_ID = 8,
	AT_SEQ = 16,
	AT_SIZE = 24,
	AT_MTIME = 32,
	AT_EXPIRES = 40,
	AT_ETAG = 48,
	AT_PATH_LENGTH = 64,
	AT_TYPE_LENGTH = 66,
	AT_FLAGS = 68,
	AT_POSITION = 72, /* from here: of the inline extent */
	AT_HASH = 80,
	AT_LENGTH = 88,
	AT_VOLUME = 92,
	AT_SINCE = 96, /* and 4 bytes of zeros */
	AT_STRINGS = 104,
};

/* Sizes of, and offsets in, the other values. */
enum {
	PART_SIZE = 32,
	UNDERWAY_FIXED = 20,
	UNDERWAY_FLAGS = 8,
	UNDERWAY_PATH_LENGTH = 12,
	UNDERWAY_VOLUME = 16,
	VOLUME_SIZE = 32,
	GRAVE_FIXED = 24,
	NUMBER_SIZE = 16,
};

_Static_assert(AT_STRINGS + ENTRY_STRINGS_MAX == ENTRY_VALUE_MAX, "a row is the largest value");
_Static_assert(ENTRY_KEY_MAX <= 511, "LMDB's bound");

void
entry_key_path(const char *path, size_t length, struct entry_key *key)
{
	if (length <= ENTRY_PLAIN_MAX) {
		memcpy(key->bytes, path, length);
		key->length = length;
		return;
	}
	memcpy(key->bytes, path, ENTRY_PLAIN_MAX);
	put_be64(key->bytes + ENTRY_PLAIN_MAX, XXH3_64bits(path, length));
	key->length = ENTRY_KEY_MAX;
}

void
entry_key_part(uint64_t id, uint64_t offset, struct entry_key *key)
{
	put_be64(put_be64(key->bytes, id), offset);
	key->length = 16;
}

void
entry_key_id(uint64_t id, struct entry_key *key)
{
	put_be64(key->bytes, id);
	key->length = 8;
}

void
entry_key_volume(uint32_t number, struct entry_key *key)
{
	put_be32(key->bytes, number);
	key->length = 4;
}

void
entry_key_owner(uint64_t id, uint32_t volume, struct entry_key *key)
{
	put_be32(put_be64(key->bytes, id), volume);
	key->length = 12;
}

void
entry_key_expiry(int64_t expires_ms, uint64_t id, struct entry_key *key)
{
	put_be64(put_be64(key->bytes, (uint64_t)expires_ms), id);
	key->length = 16;
}

void
entry_key_word(const char *word, struct entry_key *key)
{
	key->length = strlen(word);
	CHECK(key->length <= ENTRY_KEY_MAX);
	memcpy(key->bytes, word, key->length);
}

size_t
entry_encode_row(const struct entry_row *row, unsigned char *out)
{
	const struct record_name *name = &row->name;
	size_t strings = (size_t)name->path_length + name->type_length;

	CHECK(strings <= ENTRY_STRINGS_MAX);
	put_le64(out + AT_ID, row->id);
	put_le64(out + AT_SEQ, row->seq);
	put_le64(out + AT_SIZE, name->size);
	put_le64(out + AT_MTIME, (uint64_t)name->mtime_ms);
	put_le64(out + AT_EXPIRES, (uint64_t)name->expires_ms);
	memcpy(out + AT_ETAG, name->etag, sizeof(name->etag));
	put_le16(out + AT_PATH_LENGTH, name->path_length);
	put_le16(out + AT_TYPE_LENGTH, name->type_length);
	put_le32(out + AT_FLAGS, row->flags);
	memset(out + AT_POSITION, 0, AT_STRINGS - AT_POSITION);
	if (row->flags & ENTRY_INLINE) {
		put_le64(out + AT_POSITION, row->only.position);
		put_le64(out + AT_HASH, row->only.hash);
		put_le32(out + AT_LENGTH, row->only.length);
		put_le32(out + AT_VOLUME, row->only.volume);
	}
	put_le32(out + AT_SINCE, row->since);
	memcpy(out + AT_STRINGS, name->path, name->path_length);
	if (name->type_length > 0)
		memcpy(out + AT_STRINGS + name->path_length, name->type, name->type_length);
	return AT_STRINGS + strings;
}

int
entry_decode_row(const unsigned char *in, size_t length, struct entry_row *row)
{
	struct record_name *name = &row->name;

	if (length < AT_STRINGS)
		return -EBADMSG;
	memset(row, 0, sizeof(*row));
	row->id = get_le64(in + AT_ID);
	row->seq = get_le64(in + AT_SEQ);
	row->flags = get_le32(in + AT_FLAGS);
	name->size = get_le64(in + AT_SIZE);
	name->mtime_ms = (int64_t)get_le64(in + AT_MTIME);
	name->expires_ms = (int64_t)get_le64(in + AT_EXPIRES);
	memcpy(name->etag, in + AT_ETAG, sizeof(name->etag));
	name->path_length = get_le16(in + AT_PATH_LENGTH);
	name->type_length = get_le16(in + AT_TYPE_LENGTH);
	if (length != AT_STRINGS + (size_t)name->path_length + name->type_length)
		return -EBADMSG;
	name->path = (const char *)in + AT_STRINGS;
	name->type = name->path + name->path_length;
	row->since = get_le32(in + AT_SINCE);
	row->only = (struct extent){
		.position = get_le64(in + AT_POSITION),
		.hash = get_le64(in + AT_HASH),
		.length = get_le32(in + AT_LENGTH),
		.volume = get_le32(in + AT_VOLUME),
	};
	return 0;
}

size_t
entry_encode_part(const struct extent *part, unsigned char *out)
{
	out = put_le64(out + ENTRY_SEAL_SIZE, part->position);
	out = put_le64(out, part->hash);
	out = put_le32(out, part->length);
	put_le32(out, part->volume);
	return PART_SIZE;
}

int
entry_decode_part(const unsigned char *in, size_t length, struct extent *part)
{
	if (length != PART_SIZE)
		return -EBADMSG;
	part->position = get_le64(in + 8);
	part->hash = get_le64(in + 16);
	part->length = get_le32(in + 24);
	part->volume = get_le32(in + 28);
	return 0;
}

size_t
entry_encode_underway(const struct entry_underway *underway, unsigned char *out)
{
	CHECK(underway->path_length <= ENTRY_STRINGS_MAX);
	put_le32(out + UNDERWAY_FLAGS, underway->hidden ? RECORD_HIDDEN : 0);
	put_le32(out + UNDERWAY_PATH_LENGTH, underway->path_length);
	put_le32(out + UNDERWAY_VOLUME, underway->volume);
	memcpy(out + UNDERWAY_FIXED, underway->path, underway->path_length);
	return UNDERWAY_FIXED + (size_t)underway->path_length;
}

int
entry_decode_underway(const unsigned char *in, size_t length, struct entry_underway *underway)
{
	if (length < UNDERWAY_FIXED ||
	    length != UNDERWAY_FIXED + (size_t)get_le32(in + UNDERWAY_PATH_LENGTH) ||
	    length > UNDERWAY_FIXED + ENTRY_STRINGS_MAX)
		return -EBADMSG;
	underway->hidden = (get_le32(in + UNDERWAY_FLAGS) & RECORD_HIDDEN) != 0;
	underway->path_length = (uint16_t)get_le32(in + UNDERWAY_PATH_LENGTH);
	underway->volume = get_le32(in + UNDERWAY_VOLUME);
	underway->path = (const char *)in + UNDERWAY_FIXED;
	return 0;
}

size_t
entry_encode_volume(const struct catalog_volume *volume, unsigned char *out)
{
	out = put_le64(put_le64(out + ENTRY_SEAL_SIZE, volume->applied), volume->live);
	put_le64(out, volume->heads);
	return VOLUME_SIZE;
}

int
entry_decode_volume(const unsigned char *in, size_t length, struct catalog_volume *volume)
{
	if (length != VOLUME_SIZE)
		return -EBADMSG;
	volume->applied = get_le64(in + 8);
	volume->live = get_le64(in + 16);
	volume->heads = get_le64(in + 24);
	return 0;
}

size_t
entry_encode_path(const char *path, size_t length, unsigned char *out)
{
	CHECK(length <= ENTRY_STRINGS_MAX);
	memcpy(out + ENTRY_SEAL_SIZE, path, length);
	return ENTRY_SEAL_SIZE + length;
}

int
entry_decode_path(const unsigned char *in, size_t length, const char **path, size_t *path_length)
{
	if (length <= ENTRY_SEAL_SIZE || length > ENTRY_SEAL_SIZE + ENTRY_STRINGS_MAX)
		return -EBADMSG;
	*path = (const char *)in + ENTRY_SEAL_SIZE;
	*path_length = length - ENTRY_SEAL_SIZE;
	return 0;
}

size_t
entry_encode_grave(const struct catalog_grave *grave, const char *path, size_t length,
		   unsigned char *out)
{
	unsigned char *p = put_le64(out + ENTRY_SEAL_SIZE, grave->seq);

	CHECK(length <= ENTRY_STRINGS_MAX);
	put_le32(put_le32(p, grave->since), grave->until);
	memcpy(out + GRAVE_FIXED, path, length);
	return GRAVE_FIXED + length;
}

int
entry_decode_grave(const unsigned char *in, size_t length, struct catalog_grave *grave,
		   const char **path, size_t *path_length)
{
	if (length <= GRAVE_FIXED || length > GRAVE_FIXED + ENTRY_STRINGS_MAX)
		return -EBADMSG;
	grave->seq = get_le64(in + 8);
	grave->since = get_le32(in + 16);
	grave->until = get_le32(in + 20);
	*path = (const char *)in + GRAVE_FIXED;
	*path_length = length - GRAVE_FIXED;
	return 0;
}

size_t
entry_encode_number(uint64_t number, unsigned char *out)
{
	put_le64(out + ENTRY_SEAL_SIZE, number);
	return NUMBER_SIZE;
}

int
entry_decode_number(const unsigned char *in, size_t length, uint64_t *number)
{
	if (length != NUMBER_SIZE)
		return -EBADMSG;
	*number = get_le64(in + 8);
	return 0;
}

/* Table and key are the seed, so that a value in the wrong place is as wrong as a damaged one. */
static uint64_t
checksum(enum entry_table table, const unsigned char *key, size_t key_length,
	 const unsigned char *value, size_t length)
{
	uint64_t seed = XXH3_64bits_withSeed(key, key_length, (uint64_t)table);

	return XXH3_64bits_withSeed(value + ENTRY_SEAL_SIZE, length - ENTRY_SEAL_SIZE, seed);
}

void
entry_seal(enum entry_table table, const unsigned char *key, size_t key_length,
	   unsigned char *value, size_t length)
{
	put_le64(value, checksum(table, key, key_length, value, length));
}

bool
entry_intact(enum entry_table table, const unsigned char *key, size_t key_length,
	     const unsigned char *value, size_t length)
{
	/* A damaged length must not lead past the end of the file. */
	return length >= ENTRY_SEAL_SIZE && length <= ENTRY_VALUE_MAX &&
	       get_le64(value) == checksum(table, key, key_length, value, length);
}
