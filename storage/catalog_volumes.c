#include <errno.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/bytes.h"
#include "storage/catalog_internal.h"

/* What this transaction changes of one volume's entry. */
struct volume_change {
	UT_hash_handle hh;
	uint32_t number;
	bool has_applied, dropped;
	uint64_t applied;
	int64_t live;  /* bytes to add */
	int64_t heads; /* versions to add */
};

void
catalog_forget_changes(struct catalog *catalog)
{
	struct volume_change *change = catalog->changes, *next;

	HASH_CLEAR(hh, catalog->changes);
	for (; change != NULL; change = next) {
		next = change->hh.next;
		free(change);
	}
	catalog->highest = 0;
	catalog->newest = 0;
}

static struct volume_change *
change_of(struct catalog *catalog, uint32_t number)
{
	struct volume_change *change;

	HASH_FIND(hh, catalog->changes, &number, sizeof(number), change);
	if (change != NULL)
		return change;
	change = calloc(1, sizeof(*change));
	if (change == NULL)
		return NULL;
	change->number = number;
	HASH_ADD(hh, catalog->changes, number, sizeof(change->number), change);
	if (change->hh.tbl == NULL) {
		free(change);
		return NULL;
	}
	return change;
}

int
catalog_add_live(struct catalog *catalog, uint32_t number, int64_t bytes)
{
	struct volume_change *change = change_of(catalog, number);

	if (change == NULL)
		return -ENOMEM;
	change->live += bytes;
	return 0;
}

int
catalog_add_heads(struct catalog *catalog, uint32_t number, int64_t count)
{
	struct volume_change *change = change_of(catalog, number);

	if (change == NULL)
		return -ENOMEM;
	change->heads += count;
	return 0;
}

int
catalog_drop_volume(struct catalog *catalog, uint32_t number)
{
	struct volume_change *change = change_of(catalog, number);

	if (change == NULL)
		return -ENOMEM;
	change->dropped = true;
	return 0;
}

int
catalog_set_applied(struct catalog *catalog, uint32_t number, uint64_t applied)
{
	struct volume_change *change = change_of(catalog, number);

	if (change == NULL)
		return -ENOMEM;
	change->applied = applied;
	change->has_applied = true;
	return 0;
}

/* VALUE and CHANGE, not less than nothing. */
static uint64_t
add(uint64_t value, int64_t change)
{
	uint64_t down = (uint64_t)-change;

	if (change >= 0)
		return value + (uint64_t)change;
	return value > down ? value - down : 0;
}

static int
write_change(struct catalog *catalog, const struct volume_change *change)
{
	unsigned char bytes[ENTRY_VALUE_MAX];
	struct catalog_volume volume = {.number = change->number};
	struct entry_key key;
	MDB_val value;
	int err;

	entry_key_volume(change->number, &key);
	if (change->dropped)
		return catalog_delete(catalog, ENTRY_VOLUMES, &key);
	err = catalog_get(catalog, catalog->txn, ENTRY_VOLUMES, &key, &value);
	if (err == 0)
		err = entry_decode_volume(value.mv_data, value.mv_size, &volume);
	if (err != 0 && err != -ENOENT)
		return err;
	if (change->has_applied)
		volume.applied = change->applied;
	volume.live = add(volume.live, change->live);
	volume.heads = add(volume.heads, change->heads);
	return catalog_put(catalog, ENTRY_VOLUMES, &key, bytes,
			   entry_encode_volume(&volume, bytes));
}

/* The number WORD becomes VALUE if that is more. */
static int
raise_number(struct catalog *catalog, const char *word, uint64_t value)
{
	uint64_t present;
	int err;

	if (value == 0)
		return 0;
	err = catalog_get_number(catalog, catalog->txn, word, &present);
	if (err == -ENOENT)
		present = 0;
	else if (err != 0)
		return err;
	return value > present ? catalog_put_number(catalog, word, value) : 0;
}

int
catalog_write_changes(struct catalog *catalog)
{
	struct volume_change *change;
	int err = raise_number(catalog, "highest", catalog->highest);

	if (err == 0)
		err = raise_number(catalog, "newest", (uint64_t)catalog->newest);
	for (change = catalog->changes; change != NULL && err == 0; change = change->hh.next)
		err = write_change(catalog, change);
	return err;
}

/* The number WORD, or 0. */
static int
read_number(struct catalog *catalog, const char *word, uint64_t *number)
{
	MDB_txn *txn;
	int err = catalog_begin_read(catalog, &txn);

	if (err != 0)
		return err;
	err = catalog_get_number(catalog, txn, word, number);
	mdb_txn_abort(txn);
	if (err == -ENOENT) {
		*number = 0;
		err = 0;
	}
	return err;
}

int
catalog_highest(struct catalog *catalog, uint64_t *highest)
{
	return read_number(catalog, "highest", highest);
}

int
catalog_newest(struct catalog *catalog, int64_t *mtime_ms)
{
	uint64_t number;
	int err = read_number(catalog, "newest", &number);

	if (err == 0)
		*mtime_ms = (int64_t)number;
	return err;
}

static int
decode_volume(const MDB_val *key, const MDB_val *value, struct catalog_volume *volume)
{
	if (key->mv_size != 4 || !entry_intact(ENTRY_VOLUMES, key->mv_data, key->mv_size,
					       value->mv_data, value->mv_size))
		return -EBADMSG;
	volume->number = get_be32(key->mv_data);
	return entry_decode_volume(value->mv_data, value->mv_size, volume);
}

int
catalog_volumes(struct catalog *catalog,
		int (*visit)(void *arg, const struct catalog_volume *volume), void *arg)
{
	struct catalog_volume volume;
	MDB_cursor *cursor = NULL;
	MDB_val key, value;
	MDB_txn *txn;
	int err = catalog_begin_read(catalog, &txn);

	if (err != 0)
		return err;
	err = catalog_error(mdb_cursor_open(txn, catalog->tables[ENTRY_VOLUMES], &cursor));
	while (err == 0) {
		err = catalog_error(mdb_cursor_get(cursor, &key, &value, MDB_NEXT));
		if (err == -ENOENT) {
			err = 0;
			break;
		}
		if (err == 0)
			err = decode_volume(&key, &value, &volume);
		if (err == 0)
			err = visit(arg, &volume);
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return err;
}
