#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "storage/catalog_internal.h"

/* The row of a record's path, as it is before the record. */
struct place {
	struct entry_key key;
	uint32_t volume; /* of the record */
	bool exists;
	struct entry_row row; /* strings point into BYTES */
	bool buried;
	struct catalog_grave grave;
	unsigned char bytes[ENTRY_VALUE_MAX];
};

static int
load_row(struct catalog *catalog, const char *path, size_t length, struct place *place)
{
	MDB_val value;
	int err;

	entry_key_path(path, length, &place->key);
	err = catalog_get(catalog, catalog->txn, ENTRY_PATHS, &place->key, &value);
	place->exists = err == 0;
	place->buried = false;
	if (err == -ENOENT) {
		err = catalog_graves_get(catalog, catalog->txn, &place->key, &place->grave);
		place->buried = err == 0;
		return err == -ENOENT ? 0 : err;
	}
	if (err != 0)
		return err;
	/* A copy: every change of the transaction may move what LMDB handed out. */
	memcpy(place->bytes, value.mv_data, value.mv_size);
	return entry_decode_row(place->bytes, value.mv_size, &place->row);
}

/* The lowest number of a volume that may have a record of the path. */
static uint32_t
since(const struct place *place)
{
	uint32_t number = place->volume;

	if (place->exists && place->row.since < number)
		number = place->row.since;
	if (place->buried && place->grave.since < number)
		number = place->grave.since;
	return number;
}

/* Puts ROW in the place of what was there. */
static int
put_row(struct catalog *catalog, const struct place *place, struct entry_row *row)
{
	const struct record_name *name = &row->name;
	unsigned char bytes[ENTRY_VALUE_MAX];
	int err = 0;

	row->since = since(place);
	if (place->exists)
		err = catalog_expiry_drop(catalog, place->row.name.expires_ms, place->row.id);
	if (err == 0 && place->buried)
		err = catalog_delete(catalog, ENTRY_GRAVES, &place->key);
	if (err == 0)
		err = catalog_put(catalog, ENTRY_PATHS, &place->key, bytes,
				  entry_encode_row(row, bytes));
	return err != 0 ? err
			: catalog_expiry_put(catalog, name->expires_ms, row->id, name->path,
					     name->path_length);
}

/* Takes the row away, which was dropped by record number SEQ. */
static int
bury_row(struct catalog *catalog, const struct place *place, uint64_t seq)
{
	const struct record_name *name = &place->row.name;
	struct catalog_grave grave = {seq, since(place), place->volume};
	int err = catalog_delete(catalog, ENTRY_PATHS, &place->key);

	if (err == 0)
		err = catalog_expiry_drop(catalog, name->expires_ms, place->row.id);
	return err != 0 ? err
			: catalog_graves_put(catalog, &place->key, name->path, name->path_length,
					     &grave);
}

/* 0 and whether ID is under way; its path stays in the transaction's memory. */
static int
load_underway(struct catalog *catalog, uint64_t id, bool *exists, struct entry_underway *underway)
{
	struct entry_key key;
	MDB_val value;
	int err;

	entry_key_id(id, &key);
	err = catalog_get(catalog, catalog->txn, ENTRY_IDS, &key, &value);
	*exists = err == 0;
	if (err == 0)
		err = entry_decode_underway(value.mv_data, value.mv_size, underway);
	return err == -ENOENT ? 0 : err;
}

static int
put_underway(struct catalog *catalog, const struct record *record, uint32_t volume, bool hidden)
{
	struct entry_underway underway = {
		.hidden = hidden,
		.volume = volume,
		.path = record->name.path,
		.path_length = record->name.path_length,
	};
	unsigned char bytes[ENTRY_VALUE_MAX];
	struct entry_key key;

	entry_key_id(record->id, &key);
	return catalog_put(catalog, ENTRY_IDS, &key, bytes,
			   entry_encode_underway(&underway, bytes));
}

static int
drop_underway(struct catalog *catalog, uint64_t id)
{
	struct entry_key key;

	entry_key_id(id, &key);
	return catalog_delete(catalog, ENTRY_IDS, &key);
}

/* Nothing refers to version ID any more, but perhaps a row, which the caller replaces. */
static int
drop_version(struct catalog *catalog, uint64_t id)
{
	int err = drop_underway(catalog, id);

	if (err == 0)
		err = catalog_owners_drop(catalog, id, UINT32_MAX);
	return err != 0 ? err : catalog_parts_drop(catalog, id, 0);
}

/* Drops the version that the row shows; the row itself is the caller's to overwrite or delete. */
static int
drop_shown(struct catalog *catalog, const struct entry_row *row)
{
	int err = 0;

	if (row->flags & ENTRY_INLINE)
		err = catalog_add_live(catalog, row->only.volume, -(int64_t)row->only.length);
	return err != 0 ? err : drop_version(catalog, row->id);
}

/* The version in the row goes on: its extent needs company. */
static int
move_to_parts(struct catalog *catalog, const struct entry_row *row)
{
	int err;

	if (!(row->flags & ENTRY_INLINE))
		return 0;
	err = catalog_parts_put(catalog, row->id, &row->only);
	if (err == 0)
		err = catalog_owners_put(catalog, row->id, row->only.volume, row->name.path,
					 row->name.path_length);
	return err != 0 ? err
			: catalog_add_live(catalog, row->only.volume, -(int64_t)row->only.length);
}

/* A version goes on at OFFSET: what was stored behind it, after bytes that were lost, is no part of
 * it. At 0 that is so only if its first byte is missing; otherwise it is merely announced. */
static int
cut_version(struct catalog *catalog, uint64_t id, uint64_t offset)
{
	struct entry_key key;
	MDB_val value;
	int err;

	if (offset == 0) {
		entry_key_part(id, 0, &key);
		err = catalog_get(catalog, catalog->txn, ENTRY_PARTS, &key, &value);
		if (err != -ENOENT)
			return err;
	}
	return catalog_parts_drop(catalog, id, offset);
}

static struct extent
body_extent(const struct record *record, uint32_t number, uint64_t body)
{
	return (struct extent){
		.offset = record->body_offset,
		.position = body,
		.hash = record->body_hash,
		.length = record->body_length,
		.volume = number,
	};
}

/* Something newer of the path was applied before, or a copy of the same version: the record's version is
 * no more. */
static bool
is_overtaken(const struct record *record, const struct place *place)
{
	if (place->exists && place->row.seq == record->seq)
		return place->row.id > record->id;
	return (place->exists && place->row.seq > record->seq) ||
	       (place->buried && place->grave.seq > record->seq);
}

static int
drop_overtaken(struct catalog *catalog, const struct record *record, const struct place *place)
{
	struct catalog_grave grave = place->grave;

	if (place->exists && place->row.id == record->id)
		return 0; /* what goes on is the version itself */
	if (place->buried && (place->volume < grave.since || place->volume > grave.until)) {
		int err;

		grave.since = since(place);
		if (place->volume > grave.until)
			grave.until = place->volume;
		err = catalog_graves_put(catalog, &place->key, record->name.path,
					 record->name.path_length, &grave);
		if (err != 0)
			return err;
	}
	return drop_version(catalog, record->id);
}

/* The version of RECORD has a record there that it needs. */
static int
own(struct catalog *catalog, const struct record *record, const struct place *place)
{
	return catalog_owners_put(catalog, record->id, place->volume, record->name.path,
				  record->name.path_length);
}

static int
apply_open(struct catalog *catalog, const struct record *record, const struct extent *body,
	   struct place *place)
{
	struct entry_row row = {
		.id = record->id,
		.seq = record->seq,
		.flags = ENTRY_OPEN,
		.name = record->name,
	};
	bool same = place->exists && place->row.id == record->id;
	int err = 0;

	if (record->flags & RECORD_HIDDEN) {
		err = put_underway(catalog, record, place->volume, true);
		if (err == 0)
			err = own(catalog, record, place);
		return err != 0 ? err : catalog_parts_put(catalog, record->id, body);
	}
	if (is_overtaken(record, place))
		return drop_overtaken(catalog, record, place);
	if (same) {
		err = move_to_parts(catalog, &place->row);
		if (err == 0)
			err = cut_version(catalog, record->id, record->body_offset);
	} else if (place->exists) {
		err = drop_shown(catalog, &place->row);
	}
	if (err == 0)
		err = put_row(catalog, place, &row);
	if (err == 0)
		err = put_underway(catalog, record, place->volume, false);
	if (err == 0)
		err = own(catalog, record, place);
	return err != 0 ? err : catalog_parts_put(catalog, record->id, body);
}

static int
apply_data(struct catalog *catalog, const struct record *record, const struct extent *body)
{
	struct entry_underway underway;
	bool exists;
	int err = load_underway(catalog, record->id, &exists, &underway);

	return err == 0 && exists ? catalog_parts_put(catalog, record->id, body) : err;
}

/* Completes ROW, whose extents are all stored now. */
static int
settle(struct catalog *catalog, struct entry_row *row)
{
	uint64_t have;
	int err = catalog_parts_contiguous(catalog, catalog->txn, row->id, row->name.size, &have);

	if (err == 0 && have < row->name.size) {
		row->flags |= ENTRY_GAP;
		row->name.size = have;
	}
	return err;
}

static int
apply_final(struct catalog *catalog, const struct record *record, const struct extent *body,
	    struct place *place)
{
	struct entry_row row = {.id = record->id, .seq = record->seq, .name = record->name};
	bool whole = record->body_offset == 0 && record->body_length == record->name.size;
	bool same = place->exists && place->row.id == record->id;
	bool was_inline = same && (place->row.flags & ENTRY_INLINE);
	struct entry_underway opened;
	bool underway;
	int err;

	if (is_overtaken(record, place))
		return drop_overtaken(catalog, record, place);
	err = load_underway(catalog, record->id, &underway, &opened);
	if (err == 0 && place->exists && !same)
		err = drop_shown(catalog, &place->row);
	if (err != 0)
		return err;

	/* The rest of it is not here: it was superseded or deleted, or its beginning is damaged. In
	 * no case may it come to life; and what it replaced must not come back. */
	if (!whole && !underway && !same)
		return place->exists ? bury_row(catalog, place, record->seq) : 0;

	if (whole && body->length > 0 && !underway && (!same || was_inline)) {
		row.flags = ENTRY_INLINE;
		row.only = *body;
		if (was_inline)
			err = catalog_add_live(catalog, place->row.only.volume,
					       -(int64_t)place->row.only.length);
		if (err == 0)
			err = catalog_add_live(catalog, body->volume, body->length);
	} else {
		if (was_inline)
			err = move_to_parts(catalog, &place->row);
		if (err == 0)
			err = catalog_parts_put(catalog, record->id, body);
		if (err == 0)
			err = own(catalog, record, place);
		if (err == 0)
			err = settle(catalog, &row);
	}
	if (err == 0)
		err = put_row(catalog, place, &row);
	return err == 0 && underway ? drop_underway(catalog, record->id) : err;
}

static int
apply_tombstone(struct catalog *catalog, const struct record *record, const struct place *place)
{
	struct catalog_grave grave = place->grave;
	int err;

	if (place->buried && grave.seq < record->seq) {
		grave.seq = record->seq;
		if (place->volume > grave.until)
			grave.until = place->volume;
		return catalog_graves_put(catalog, &place->key, record->name.path,
					  record->name.path_length, &grave);
	}
	if (!place->exists || place->row.seq >= record->seq)
		return 0;
	err = drop_shown(catalog, &place->row);
	return err != 0 ? err : bury_row(catalog, place, record->seq);
}

int
catalog_apply(struct catalog *catalog, const struct record *record, uint32_t number,
	      uint64_t body_position)
{
	struct extent body = body_extent(record, number, body_position);
	struct place place = {.volume = number};
	int err = 0;

	if (record->id > catalog->highest)
		catalog->highest = record->id;
	if (record->seq > catalog->highest)
		catalog->highest = record->seq;
	if (record->kind != RECORD_DATA && record->name.mtime_ms > catalog->newest)
		catalog->newest = record->name.mtime_ms;
	if (record->kind != RECORD_DATA) {
		size_t strings = (size_t)record->name.path_length + record->name.type_length;

		if (record->name.path_length == 0 || strings > ENTRY_STRINGS_MAX)
			return -EINVAL;
		err = load_row(catalog, record->name.path, record->name.path_length, &place);
	}
	if (err != 0)
		return err;
	switch (record->kind) {
	case RECORD_OPEN:
		return apply_open(catalog, record, &body, &place);
	case RECORD_DATA:
		return apply_data(catalog, record, &body);
	case RECORD_FINAL:
		return apply_final(catalog, record, &body, &place);
	case RECORD_TOMBSTONE:
		return apply_tombstone(catalog, record, &place);
	}
	return -EINVAL;
}

int
catalog_forget(struct catalog *catalog, uint64_t id)
{
	struct entry_underway underway;
	struct place place;
	bool exists;
	int err = load_underway(catalog, id, &exists, &underway);

	if (err != 0 || !exists || !underway.hidden)
		return err;
	err = load_row(catalog, underway.path, underway.path_length, &place);
	if (err != 0)
		return err;
	if (!place.exists || place.row.id != id)
		return drop_version(catalog, id);
	/* It was to extend the current version, which stays as it is. */
	err = drop_underway(catalog, id);
	if (err == 0 && (place.row.flags & ENTRY_INLINE))
		err = catalog_owners_drop(catalog, id, UINT32_MAX);
	if (err == 0 && !(place.row.flags & ENTRY_OPEN))
		err = catalog_parts_drop(catalog, id,
					 place.row.flags & ENTRY_INLINE ? 0 : place.row.name.size);
	return err;
}

/* The first version under way whose id is *ID or more. -ENOENT if there is none. */
static int
next_underway(struct catalog *catalog, uint64_t *id)
{
	struct entry_key start;
	MDB_cursor *cursor;
	MDB_val key, value;
	int err = catalog_error(mdb_cursor_open(catalog->txn, catalog->tables[ENTRY_IDS], &cursor));

	if (err != 0)
		return err;
	entry_key_id(*id, &start);
	key = (MDB_val){start.length, start.bytes};
	err = catalog_error(mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE));
	if (err == 0 && key.mv_size != start.length)
		err = -EBADMSG;
	if (err == 0)
		*id = get_be64(key.mv_data);
	mdb_cursor_close(cursor);
	return err;
}

int
catalog_forget_hidden(struct catalog *catalog)
{
	uint64_t id = 0;
	int err;

	for (;;) {
		err = next_underway(catalog, &id);
		if (err == -ENOENT)
			return 0;
		if (err == 0)
			err = catalog_forget(catalog, id);
		if (err != 0)
			return err;
		if (id++ == UINT64_MAX)
			return 0;
	}
}
