#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "storage/catalog_internal.h"

#define OWNER_KEY_SIZE 12

int
catalog_owners_put(struct catalog *catalog, uint64_t id, uint32_t number, const char *path,
		   size_t length)
{
	unsigned char bytes[ENTRY_VALUE_MAX];
	struct entry_key key;
	MDB_val value;
	int err;

	entry_key_owner(id, number, &key);
	err = catalog_get(catalog, catalog->txn, ENTRY_OWNERS, &key, &value);
	if (err != -ENOENT)
		return err;
	err = catalog_put(catalog, ENTRY_OWNERS, &key, bytes,
			  entry_encode_path(path, length, bytes));
	return err != 0 ? err : catalog_add_heads(catalog, number, 1);
}

/* The first owner of ID at the cursor: 1, 0 if there is none, or -errno. */
static int
first_owner(MDB_cursor *cursor, uint64_t id, MDB_val *key, MDB_val *value)
{
	struct entry_key start;
	int err;

	entry_key_owner(id, 0, &start);
	*key = (MDB_val){start.length, start.bytes};
	err = catalog_error(mdb_cursor_get(cursor, key, value, MDB_SET_RANGE));
	if (err == -ENOENT)
		return 0;
	if (err == 0 && key->mv_size != OWNER_KEY_SIZE)
		err = -EBADMSG;
	if (err != 0)
		return err;
	return get_be64(key->mv_data) == id;
}

int
catalog_owners_drop(struct catalog *catalog, uint64_t id, uint32_t number)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	int err = catalog_error(
		mdb_cursor_open(catalog->txn, catalog->tables[ENTRY_OWNERS], &cursor));

	if (err != 0)
		return err;
	while ((err = first_owner(cursor, id, &key, &value)) == 1) {
		uint32_t volume = get_be32((const unsigned char *)key.mv_data + 8);

		err = 0;
		if (volume >= number)
			break;
		err = catalog_error(mdb_cursor_del(cursor, 0));
		if (err == 0)
			err = catalog_add_heads(catalog, volume, -1);
		if (err != 0)
			break;
	}
	mdb_cursor_close(cursor);
	return err;
}

static int
read_owner(struct catalog *catalog, MDB_txn *txn, uint64_t id, char *path, size_t size)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	const char *owner;
	size_t length;
	int err = catalog_error(mdb_cursor_open(txn, catalog->tables[ENTRY_OWNERS], &cursor));

	if (err != 0)
		return err;
	err = first_owner(cursor, id, &key, &value);
	if (err == 0)
		err = -ENOENT;
	else if (err == 1)
		err = entry_intact(ENTRY_OWNERS, key.mv_data, key.mv_size, value.mv_data,
				   value.mv_size)
			      ? entry_decode_path(value.mv_data, value.mv_size, &owner, &length)
			      : -EBADMSG;
	if (err == 0 && length >= size)
		err = -ENAMETOOLONG;
	if (err == 0) {
		memcpy(path, owner, length);
		path[length] = '\0';
	}
	mdb_cursor_close(cursor);
	return err;
}

int
catalog_find_owner(struct catalog *catalog, uint64_t id, char *path, size_t size, bool *hidden)
{
	struct entry_underway underway;
	struct entry_key key;
	MDB_val value;
	MDB_txn *txn;
	int err = catalog_begin_read(catalog, &txn);

	if (err != 0)
		return err;
	err = read_owner(catalog, txn, id, path, size);
	if (err == 0) {
		*hidden = false;
		entry_key_id(id, &key);
		err = catalog_get(catalog, txn, ENTRY_IDS, &key, &value);
		if (err == 0)
			err = entry_decode_underway(value.mv_data, value.mv_size, &underway);
		if (err == 0)
			*hidden = underway.hidden;
		if (err == -ENOENT)
			err = 0;
	}
	mdb_txn_abort(txn);
	return err;
}
