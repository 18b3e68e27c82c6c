/* record.h - the bytes of one log record; doc/FORMAT has the picture.
 *
 * Pure: functions of their arguments. A record is a header, a name part (all but DATA) and
 * a piece of the object's body (all but TOMBSTONE, may be empty). The header hash is keyed
 * with the volume's secret, so that an uploaded body can never pass for a record.
 */
#ifndef SPILLWAY_STORAGE_RECORD_H
#define SPILLWAY_STORAGE_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define RECORD_HEADER_SIZE 80
#define RECORD_NAME_MAX (52 + 1024 + 255) /* bytes of the largest name part */
#define RECORD_BODY_MAX ((uint32_t)1 << 20)
#define RECORD_ALIGN 8    /* records begin on such an offset */
#define RECORD_BATCH 4096 /* batches, each synced as one, begin on such an offset */
#define RECORD_SECRET_SIZE 192
#define RECORD_TYPE_MAX 255 /* bytes of a media type */

enum record_kind {
	RECORD_OPEN = 1,      /* a version began; without a FINAL it is incomplete */
	RECORD_DATA = 2,      /* more of its body */
	RECORD_FINAL = 3,     /* its end: size, etag, and the last of its body */
	RECORD_TOMBSTONE = 4, /* the path was deleted */
};

enum record_flag {
	RECORD_HIDDEN = 1, /* OPEN of a version that becomes current only with its FINAL */
};

/* What is known of one version besides its bytes. */
struct record_name {
	const char *path;
	const char *type;
	uint16_t path_length;
	uint16_t type_length;
	uint64_t size; /* FINAL: of the whole object */
	int64_t mtime_ms;
	int64_t expires_ms;
	uint8_t etag[16]; /* FINAL */
};

struct record {
	enum record_kind kind;
	uint8_t flags;
	uint64_t id;          /* of the version */
	uint64_t seq;         /* order of becoming current; 0 in DATA and hidden OPEN */
	uint64_t body_offset; /* in the object, of the first body byte here */
	uint32_t body_length;
	uint64_t body_hash; /* XXH3-64 of the body bytes here */
	uint64_t batch;     /* offset of the batch it was written in; a multiple of RECORD_BATCH */
	uint32_t
		batch_length; /* bytes of that batch, from its first record to the end of its last */
	uint32_t name_length;    /* encoded bytes of the name part; set by record_encode */
	struct record_name name; /* not in DATA; decoded strings point into the input, no NUL */
};

/* Bytes that header and name part of RECORD take. */
size_t record_head_size(const struct record *record);

/* Bytes from the start of a record to the earliest start of the next. */
uint64_t record_span(uint32_t name_length, uint32_t body_length);

/* Encodes header and name part into OUT (record_head_size bytes) for a record that will
 * begin at POSITION of its volume. Returns the bytes written; the body follows them. */
size_t record_encode(const struct record *record, const uint8_t *secret, uint64_t position,
		     unsigned char *out);

/* Checks and decodes the header at IN; the name is not touched. -EBADMSG if it is none. */
int record_decode_header(const unsigned char in[RECORD_HEADER_SIZE], const uint8_t *secret,
			 uint64_t position, struct record *record);

/* Decodes the name part, record->name_length bytes at IN, after record_decode_header of
 * the same record's HEADER. -EBADMSG if it is damaged. */
int record_decode_name(const unsigned char *header, const unsigned char *in, struct record *record);

#endif
