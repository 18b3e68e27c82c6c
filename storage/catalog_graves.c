#include <errno.h>

#include "storage/catalog_internal.h"

int
catalog_graves_get(struct catalog *catalog, MDB_txn *txn, const struct entry_key *key,
		   struct catalog_grave *grave)
{
	const char *path;
	size_t length;
	MDB_val value;
	int err = catalog_get(catalog, txn, ENTRY_GRAVES, key, &value);

	return err != 0 ? err
			: entry_decode_grave(value.mv_data, value.mv_size, grave, &path, &length);
}

int
catalog_graves_put(struct catalog *catalog, const struct entry_key *key, const char *path,
		   size_t length, const struct catalog_grave *grave)
{
	unsigned char bytes[ENTRY_VALUE_MAX];

	return catalog_put(catalog, ENTRY_GRAVES, key, bytes,
			   entry_encode_grave(grave, path, length, bytes));
}

int
catalog_find_grave(struct catalog *catalog, const char *path, size_t length,
		   struct catalog_grave *grave)
{
	struct entry_key key;
	MDB_txn *txn;
	int err = catalog_begin_read(catalog, &txn);

	if (err != 0)
		return err;
	entry_key_path(path, length, &key);
	err = catalog_graves_get(catalog, txn, &key, grave);
	mdb_txn_abort(txn);
	return err;
}

int
catalog_drop_grave(struct catalog *catalog, const char *path, size_t length, uint64_t seq)
{
	struct catalog_grave grave;
	struct entry_key key;
	int err;

	entry_key_path(path, length, &key);
	err = catalog_graves_get(catalog, catalog->txn, &key, &grave);
	if (err == 0 && grave.seq == seq)
		err = catalog_delete(catalog, ENTRY_GRAVES, &key);
	return err == -ENOENT ? 0 : err;
}
