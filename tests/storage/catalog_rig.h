/* catalog_rig.h - a catalog in a directory of its own, and short words for what tests do with it. */
#ifndef SPILLWAY_TESTS_STORAGE_CATALOG_RIG_H
#define SPILLWAY_TESTS_STORAGE_CATALOG_RIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/catalog.h"

struct rig {
	char dir[64];
	char path[96];
	struct catalog *catalog;
};

static inline void
rig_open(struct rig *rig)
{
	strcpy(rig->dir, "/tmp/spillway-catalog-test-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	snprintf(rig->path, sizeof(rig->path), "%s/catalog", rig->dir);
	assert_int_equal(catalog_open(rig->path, true, false, &rig->catalog), 0);
}

static inline void
rig_close(struct rig *rig)
{
	char lock[128];

	catalog_close(&rig->catalog);
	snprintf(lock, sizeof(lock), "%s-lock", rig->path);
	unlink(lock);
	unlink(rig->path);
	assert_int_equal(rmdir(rig->dir), 0);
}

/* A record of KIND with LENGTH bytes of body from OFFSET on; SIZE matters to a FINAL only. */
static inline struct record
make_record(enum record_kind kind, uint64_t id, uint64_t seq, const char *path, uint64_t offset,
	    uint32_t length, uint64_t size)
{
	return (struct record){
		.kind = kind,
		.id = id,
		.seq = seq,
		.body_offset = offset,
		.body_length = length,
		.body_hash = id * 1000003 + offset,
		.name =
			{
				.path = path,
				.path_length = (uint16_t)strlen(path),
				.type = "video/mp4",
				.type_length = 9,
				.size = size,
				.mtime_ms = (int64_t)(1000 + seq),
				.expires_ms = (int64_t)(2000 + seq),
				.etag = {(uint8_t)id, (uint8_t)seq, (uint8_t)size},
			},
	};
}

/* Applies one record in a transaction of its own. */
static inline void
apply(struct rig *rig, struct record record, uint32_t volume, uint64_t position)
{
	assert_int_equal(catalog_begin(rig->catalog), 0);
	assert_int_equal(catalog_apply(rig->catalog, &record, volume, position), 0);
	assert_int_equal(catalog_commit(rig->catalog), 0);
}

static inline void
apply_open_record(struct rig *rig, uint64_t id, uint64_t seq, const char *path, uint64_t offset,
		  uint32_t length, uint32_t volume)
{
	apply(rig, make_record(RECORD_OPEN, id, seq, path, offset, length, 0), volume, offset);
}

static inline void
apply_hidden_record(struct rig *rig, uint64_t id, const char *path, uint32_t length,
		    uint32_t volume)
{
	struct record record = make_record(RECORD_OPEN, id, 0, path, 0, length, 0);

	record.flags = RECORD_HIDDEN;
	apply(rig, record, volume, 0);
}

static inline void
apply_data_record(struct rig *rig, uint64_t id, uint64_t offset, uint32_t length, uint32_t volume)
{
	apply(rig, make_record(RECORD_DATA, id, 0, "", offset, length, 0), volume, offset);
}

/* The end: LENGTH more bytes from OFFSET on, then the object is whole. */
static inline void
apply_final_record(struct rig *rig, uint64_t id, uint64_t seq, const char *path, uint64_t offset,
		   uint32_t length, uint32_t volume)
{
	apply(rig, make_record(RECORD_FINAL, id, seq, path, offset, length, offset + length),
	      volume, offset);
}

static inline void
apply_tombstone_record(struct rig *rig, uint64_t seq, const char *path)
{
	apply(rig, make_record(RECORD_TOMBSTONE, 0, seq, path, 0, 0, 0), 1, 0);
}

/* What a lookup answered, as text: "id=1 seq=2 size=30 open: 0+10@1 10+20@2", or "-". */
static inline int
write_found(void *arg, const struct catalog_row *row)
{
	FILE *out = arg;

	fprintf(out, "id=%ju seq=%ju size=%ju%s:", (uintmax_t)row->id, (uintmax_t)row->seq,
		(uintmax_t)row->name.size, row->open ? " open" : "");
	for (size_t i = 0; i < row->nextents; i++)
		fprintf(out, " %ju+%u@%u", (uintmax_t)row->extents[i].offset,
			(unsigned)row->extents[i].length, (unsigned)row->extents[i].volume);
	return 0;
}

static inline void
expect(struct rig *rig, const char *path, const char *expected)
{
	char text[1024];
	FILE *out = fmemopen(text, sizeof(text), "w");
	int err = catalog_find(rig->catalog, path, write_found, out);

	if (err == -ENOENT)
		fprintf(out, "-");
	else
		assert_int_equal(err, 0);
	fclose(out);
	assert_string_equal(text, expected);
}

struct live_query {
	uint32_t number;
	uint64_t live;
};

static inline int
note_live(void *arg, const struct catalog_volume *volume)
{
	struct live_query *query = arg;

	if (volume->number == query->number)
		query->live = volume->live;
	return 0;
}

/* Bytes of volume NUMBER that are referred to. */
static inline uint64_t
live(struct rig *rig, uint32_t number)
{
	struct live_query query = {number, 0};

	assert_int_equal(catalog_volumes(rig->catalog, note_live, &query), 0);
	return query.live;
}

#endif
