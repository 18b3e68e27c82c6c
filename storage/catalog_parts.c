#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "storage/catalog_internal.h"

#define PART_KEY_SIZE 16

int
catalog_parts_begin(struct catalog *catalog, MDB_txn *txn, uint64_t id, uint64_t offset,
		    struct catalog_parts *parts)
{
	*parts = (struct catalog_parts){.catalog = catalog, .id = id, .offset = offset};
	return catalog_error(mdb_cursor_open(txn, catalog->tables[ENTRY_PARTS], &parts->cursor));
}

void
catalog_parts_end(struct catalog_parts *parts)
{
	if (parts->cursor != NULL)
		mdb_cursor_close(parts->cursor);
	parts->cursor = NULL;
}

static int
decode(const MDB_val *key, const MDB_val *value, struct extent *extent)
{
	if (!entry_intact(ENTRY_PARTS, key->mv_data, key->mv_size, value->mv_data, value->mv_size))
		return -EBADMSG;
	extent->offset = get_be64((const unsigned char *)key->mv_data + 8);
	return entry_decode_part(value->mv_data, value->mv_size, extent);
}

int
catalog_parts_next(struct catalog_parts *parts, struct extent *extent)
{
	struct entry_key start;
	MDB_val key, value;
	int err;

	if (!parts->begun) {
		entry_key_part(parts->id, parts->offset, &start);
		key = (MDB_val){start.length, start.bytes};
	}
	err = catalog_error(mdb_cursor_get(parts->cursor, &key, &value,
					   parts->begun ? MDB_NEXT : MDB_SET_RANGE));
	parts->begun = true;
	if (err == -ENOENT)
		return 0;
	if (err == 0 && key.mv_size != PART_KEY_SIZE)
		err = -EBADMSG;
	if (err == 0 && get_be64(key.mv_data) != parts->id)
		return 0;
	if (err == 0)
		err = decode(&key, &value, extent);
	return err == 0 ? 1 : err;
}

int
catalog_parts_put(struct catalog *catalog, uint64_t id, const struct extent *extent)
{
	unsigned char bytes[ENTRY_VALUE_MAX];
	struct extent old;
	struct entry_key key;
	MDB_val value;
	int err;

	if (extent->length == 0)
		return 0;
	entry_key_part(id, extent->offset, &key);
	err = catalog_get(catalog, catalog->txn, ENTRY_PARTS, &key, &value);
	if (err == 0)
		err = entry_decode_part(value.mv_data, value.mv_size, &old);
	if (err == 0)
		err = catalog_add_live(catalog, old.volume, -(int64_t)old.length);
	if (err == 0 || err == -ENOENT)
		err = catalog_put(catalog, ENTRY_PARTS, &key, bytes,
				  entry_encode_part(extent, bytes));
	if (err == 0)
		err = catalog_add_live(catalog, extent->volume, extent->length);
	return err;
}

int
catalog_parts_drop(struct catalog *catalog, uint64_t id, uint64_t offset)
{
	struct catalog_parts parts;
	struct extent extent;
	int err = catalog_parts_begin(catalog, catalog->txn, id, offset, &parts);

	while (err == 0) {
		err = catalog_parts_next(&parts, &extent);
		if (err <= 0)
			break;
		err = catalog_error(mdb_cursor_del(parts.cursor, 0));
		if (err == 0)
			err = catalog_add_live(catalog, extent.volume, -(int64_t)extent.length);
	}
	catalog_parts_end(&parts);
	return err;
}

int
catalog_parts_contiguous(struct catalog *catalog, MDB_txn *txn, uint64_t id, uint64_t max,
			 uint64_t *length)
{
	struct catalog_parts parts;
	struct extent extent = {0};
	uint64_t end = 0;
	int err = catalog_parts_begin(catalog, txn, id, 0, &parts);

	while (err == 0 && end < max) {
		err = catalog_parts_next(&parts, &extent);
		if (err <= 0)
			break;
		err = 0;
		if (extent.offset < end)
			continue; /* bytes that were lost behind were written again over it */
		if (extent.offset > end || extent.length > max - end)
			break;
		end += extent.length;
	}
	catalog_parts_end(&parts);
	if (err == 0)
		*length = end;
	return err;
}

int
catalog_parts_last_end(struct catalog *catalog, MDB_txn *txn, uint64_t id, uint64_t *end)
{
	struct entry_key behind;
	struct extent extent;
	MDB_cursor *cursor;
	MDB_val key, value;
	int err = catalog_error(mdb_cursor_open(txn, catalog->tables[ENTRY_PARTS], &cursor));

	if (err != 0)
		return err;
	entry_key_part(id, UINT64_MAX, &behind);
	key = (MDB_val){behind.length, behind.bytes};
	err = catalog_error(mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE));
	if (err == 0 || err == -ENOENT)
		err = catalog_error(
			mdb_cursor_get(cursor, &key, &value, err == 0 ? MDB_PREV : MDB_LAST));
	if (err == 0 && key.mv_size != PART_KEY_SIZE)
		err = -EBADMSG;
	if (err == -ENOENT || (err == 0 && get_be64(key.mv_data) != id)) {
		*end = 0;
		err = 0;
	} else if (err == 0) {
		err = decode(&key, &value, &extent);
		if (err == 0)
			*end = extent.offset + extent.length;
	}
	mdb_cursor_close(cursor);
	return err;
}
