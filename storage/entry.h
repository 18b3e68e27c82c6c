/* entry.h - the bytes of the catalog's keys and values.
 *
 * Pure: functions of their arguments. Keys sort as what they stand for. Every value begins with
 * an XXH3-64 over its table, its key and itself, because LMDB has no checksums.
 */
#ifndef SPILLWAY_STORAGE_ENTRY_H
#define SPILLWAY_STORAGE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/catalog.h"
#include "storage/record.h"

enum entry_table {
	ENTRY_PATHS,   /* path -> row */
	ENTRY_PARTS,   /* id, offset -> where these bytes are */
	ENTRY_IDS,     /* id of a version under way -> its path */
	ENTRY_VOLUMES, /* number -> applied, live, heads */
	ENTRY_META,    /* a word -> a number */
	ENTRY_OWNERS,  /* id, volume -> path: an OPEN or FINAL of this version is there */
	ENTRY_GRAVES,  /* path -> its tombstone, while that hides something in a volume */
	ENTRY_EXPIRY,  /* time, id -> path */
	ENTRY_TABLES
};

#define ENTRY_PLAIN_MAX 480 /* longer paths are cut here, and their hash is added */
#define ENTRY_KEY_MAX (ENTRY_PLAIN_MAX + 8)
#define ENTRY_SEAL_SIZE 8
#define ENTRY_STRINGS_MAX (1024 + 255)
#define ENTRY_VALUE_MAX (104 + ENTRY_STRINGS_MAX)

struct entry_key {
	size_t length;
	unsigned char bytes[ENTRY_KEY_MAX];
};

enum entry_flag {
	ENTRY_OPEN = 1,   /* no FINAL was seen */
	ENTRY_INLINE = 2, /* the only extent is in the row, none is in ENTRY_PARTS */
	ENTRY_GAP = 4,    /* final, but bytes are missing; name.size is what precedes the gap */
};

struct entry_row {
	uint64_t id, seq;
	uint32_t flags;
	struct record_name name; /* decoded strings point into the input, no NUL */
	struct extent only;      /* ENTRY_INLINE */
	uint32_t since;          /* no volume with a lower number has a record of this path */
};

/* A version that got an OPEN and no FINAL, and was not superseded. */
struct entry_underway {
	bool hidden;     /* not current before its FINAL */
	uint32_t volume; /* of its newest OPEN */
	uint16_t path_length;
	const char *path; /* decoded: points into the input, no NUL */
};

void entry_key_path(const char *path, size_t length, struct entry_key *key);
void entry_key_part(uint64_t id, uint64_t offset, struct entry_key *key);
void entry_key_id(uint64_t id, struct entry_key *key);
void entry_key_volume(uint32_t number, struct entry_key *key);
void entry_key_owner(uint64_t id, uint32_t volume, struct entry_key *key);
void entry_key_expiry(int64_t expires_ms, uint64_t id, struct entry_key *key);
void entry_key_word(const char *word, struct entry_key *key);

/* Each encodes a value without its seal into OUT (ENTRY_VALUE_MAX bytes), returns its length. */
size_t entry_encode_row(const struct entry_row *row, unsigned char *out);
size_t entry_encode_part(const struct extent *part, unsigned char *out);
size_t entry_encode_underway(const struct entry_underway *underway, unsigned char *out);
size_t entry_encode_volume(const struct catalog_volume *volume, unsigned char *out);
size_t entry_encode_path(const char *path, size_t length, unsigned char *out);
size_t entry_encode_grave(const struct catalog_grave *grave, const char *path, size_t length,
			  unsigned char *out);
size_t entry_encode_number(uint64_t number, unsigned char *out);

/* Each decodes LENGTH bytes at IN, whose seal was checked. -EBADMSG if they make no sense. Of a
 * part, offset comes from its key; of a volume, number does. */
int entry_decode_row(const unsigned char *in, size_t length, struct entry_row *row);
int entry_decode_part(const unsigned char *in, size_t length, struct extent *part);
int entry_decode_underway(const unsigned char *in, size_t length, struct entry_underway *underway);
int entry_decode_volume(const unsigned char *in, size_t length, struct catalog_volume *volume);
int entry_decode_path(const unsigned char *in, size_t length, const char **path,
		      size_t *path_length);
int entry_decode_grave(const unsigned char *in, size_t length, struct catalog_grave *grave,
		       const char **path, size_t *path_length);
int entry_decode_number(const unsigned char *in, size_t length, uint64_t *number);

/* Completes the LENGTH bytes of a value. */
void entry_seal(enum entry_table table, const unsigned char *key, size_t key_length,
		unsigned char *value, size_t length);

/* Whether the value is what was sealed under this key. */
bool entry_intact(enum entry_table table, const unsigned char *key, size_t key_length,
		  const unsigned char *value, size_t length);

#endif
