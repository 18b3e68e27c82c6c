/* catalog_internal.h - what the files of the catalog share: access to its tables.
 *
 *   catalog.c          the environment, transactions, sealed values
 *   catalog_volumes.c  where the catalog stands in each volume, and what lives there
 *   catalog_parts.c    the extents of one version, in order
 *   catalog_owners.c   where a version has records that it needs
 *   catalog_graves.c   the tombstones that are still needed
 *   catalog_expiry.c   the order in which rows expire
 *   catalog_apply.c    what each record changes
 *   catalog_read.c     lookup and list
 *   catalog_check.c    whether all of it is sound
 *
 * Between them: a version's extents are in ENTRY_PARTS while it has an entry in ENTRY_IDS or a row
 * without ENTRY_INLINE; its row and its entry in ENTRY_IDS may both be there (an open version).
 * Whatever has extents in ENTRY_PARTS, or none at all, also has owners. A path has a row or a grave
 * or neither.
 */
#ifndef SPILLWAY_STORAGE_CATALOG_INTERNAL_H
#define SPILLWAY_STORAGE_CATALOG_INTERNAL_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "storage/catalog.h"
#include "storage/entry.h"

struct volume_change;

struct catalog {
	MDB_env *env;
	MDB_dbi tables[ENTRY_TABLES];
	/* The rest belongs to the one thread between catalog_begin and its end. */
	MDB_txn *txn;                  /* NULL outside of it */
	struct volume_change *changes; /* of volumes, written by catalog_commit */
	uint64_t highest;              /* id or seq in this transaction */
	off_t reserved;                /* the file has disk space up to here */
	int64_t newest;                /* time of becoming current in this transaction */
};

/* 0 or -errno for what an LMDB call returned. */
int catalog_error(int rc);

/* What a table is called. */
const char *catalog_table_name(enum entry_table table);

/* A read transaction of the caller's own; end it with mdb_txn_abort. */
int catalog_begin_read(struct catalog *catalog, MDB_txn **out);

/* The value of KEY, its seal checked; it points into the map, or the transaction. -ENOENT, -EBADMSG. */
int catalog_get(struct catalog *catalog, MDB_txn *txn, enum entry_table table,
		const struct entry_key *key, MDB_val *value);

/* Seals VALUE and stores it under KEY. */
int catalog_put(struct catalog *catalog, enum entry_table table, const struct entry_key *key,
		unsigned char *value, size_t length);

/* Takes KEY away; it need not be there. */
int catalog_delete(struct catalog *catalog, enum entry_table table, const struct entry_key *key);

/* A number of the catalog's own in ENTRY_META. */
int catalog_get_number(struct catalog *catalog, MDB_txn *txn, const char *word, uint64_t *number);
int catalog_put_number(struct catalog *catalog, const char *word, uint64_t number);

/* BYTES more (or less) of volume NUMBER are referred to. */
int catalog_add_live(struct catalog *catalog, uint32_t number, int64_t bytes);

/* One version more (or less) needs a record in volume NUMBER. */
int catalog_add_heads(struct catalog *catalog, uint32_t number, int64_t count);

/* Writes what the transaction changes of volumes, and the highest numbers it saw. */
int catalog_write_changes(struct catalog *catalog);

/* Begins anew with nothing to write. */
void catalog_forget_changes(struct catalog *catalog);

/* Version ID, of PATH, has an OPEN or FINAL in volume NUMBER. */
int catalog_owners_put(struct catalog *catalog, uint64_t id, uint32_t number, const char *path,
		       size_t length);

/* Version ID needs none of its records in volumes before NUMBER (UINT32_MAX: in any). */
int catalog_owners_drop(struct catalog *catalog, uint64_t id, uint32_t number);

/* The grave of a path, whose key is KEY. -ENOENT. */
int catalog_graves_get(struct catalog *catalog, MDB_txn *txn, const struct entry_key *key,
		       struct catalog_grave *grave);
int catalog_graves_put(struct catalog *catalog, const struct entry_key *key, const char *path,
		       size_t length, const struct catalog_grave *grave);

/* The row of ID expires at EXPIRES_MS; nothing to do for 0. */
int catalog_expiry_put(struct catalog *catalog, int64_t expires_ms, uint64_t id, const char *path,
		       size_t length);
int catalog_expiry_drop(struct catalog *catalog, int64_t expires_ms, uint64_t id);

/* A walk over the extents of one version. */
struct catalog_parts {
	struct catalog *catalog;
	MDB_cursor *cursor;
	uint64_t id;
	uint64_t offset; /* where to begin */
	bool begun;
};

/* Begins at the first extent of ID whose offset is OFFSET or more. */
int catalog_parts_begin(struct catalog *catalog, MDB_txn *txn, uint64_t id, uint64_t offset,
			struct catalog_parts *parts);

/* The next one. 1, 0 at the end, or -errno. */
int catalog_parts_next(struct catalog_parts *parts, struct extent *extent);

void catalog_parts_end(struct catalog_parts *parts);

/* Stores EXTENT of ID, in place of one with the same offset. Empty ones are not stored. */
int catalog_parts_put(struct catalog *catalog, uint64_t id, const struct extent *extent);

/* Drops the extents of ID whose offset is OFFSET or more. */
int catalog_parts_drop(struct catalog *catalog, uint64_t id, uint64_t offset);

/* Bytes of ID from its start up to the first gap, MAX at most. */
int catalog_parts_contiguous(struct catalog *catalog, MDB_txn *txn, uint64_t id, uint64_t max,
			     uint64_t *length);

/* Where the last extent of ID ends; 0 without any. */
int catalog_parts_last_end(struct catalog *catalog, MDB_txn *txn, uint64_t id, uint64_t *end);

#endif
