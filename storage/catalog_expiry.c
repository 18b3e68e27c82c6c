#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "storage/catalog_internal.h"

#define EXPIRY_KEY_SIZE 16

int
catalog_expiry_put(struct catalog *catalog, int64_t expires_ms, uint64_t id, const char *path,
		   size_t length)
{
	unsigned char bytes[ENTRY_VALUE_MAX];
	struct entry_key key;

	if (expires_ms <= 0)
		return 0;
	entry_key_expiry(expires_ms, id, &key);
	return catalog_put(catalog, ENTRY_EXPIRY, &key, bytes,
			   entry_encode_path(path, length, bytes));
}

int
catalog_expiry_drop(struct catalog *catalog, int64_t expires_ms, uint64_t id)
{
	struct entry_key key;

	if (expires_ms <= 0)
		return 0;
	entry_key_expiry(expires_ms, id, &key);
	return catalog_delete(catalog, ENTRY_EXPIRY, &key);
}

/* Shows one entry. 0, 1 if it is not due, what VISIT returned, or -errno. */
static int
show(const MDB_val *key, const MDB_val *value, int64_t now_ms,
     int (*visit)(void *arg, const char *path, uint64_t id), void *arg)
{
	char name[ENTRY_STRINGS_MAX + 1];
	const char *path;
	size_t length;
	int err;

	if (key->mv_size != EXPIRY_KEY_SIZE ||
	    !entry_intact(ENTRY_EXPIRY, key->mv_data, key->mv_size, value->mv_data, value->mv_size))
		return -EBADMSG;
	if ((int64_t)get_be64(key->mv_data) > now_ms)
		return 1;
	err = entry_decode_path(value->mv_data, value->mv_size, &path, &length);
	if (err != 0)
		return err;
	memcpy(name, path, length);
	name[length] = '\0';
	return visit(arg, name, get_be64((const unsigned char *)key->mv_data + 8));
}

int
catalog_expired(struct catalog *catalog, int64_t now_ms, size_t limit,
		int (*visit)(void *arg, const char *path, uint64_t id), void *arg)
{
	MDB_cursor *cursor = NULL;
	MDB_val key, value;
	MDB_txn *txn;
	int err = catalog_begin_read(catalog, &txn);

	if (err != 0)
		return err;
	err = catalog_error(mdb_cursor_open(txn, catalog->tables[ENTRY_EXPIRY], &cursor));
	for (size_t i = 0; i < limit && err == 0; i++) {
		err = catalog_error(mdb_cursor_get(cursor, &key, &value, MDB_NEXT));
		if (err == 0)
			err = show(&key, &value, now_ms, visit, arg);
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return err == -ENOENT || err == 1 ? 0 : err;
}
