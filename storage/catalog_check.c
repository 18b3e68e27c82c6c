#include <errno.h>
#include <lmdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/bytes.h"
#include "storage/catalog_internal.h"

#define FREE_TABLE 0 /* LMDB's own: the pages that may be used again */
#define META_PAGES 2
#define PAGE_LEAF 2 /* in flags */
#define NODE_HEAD 8 /* what precedes a key in its page */
#define OWNER_KEY_SIZE 12
#define VOLUME_KEY_SIZE 4

/* How each page of LMDB 0.9 begins. */
struct page_head {
	uint64_t number;
	uint16_t pad, flags;
	uint16_t lower; /* end of the offsets of its nodes, 2 bytes each */
	uint16_t upper; /* beginning of the nodes */
};

/* What the rows say of one volume, and what its entry says. */
struct tally {
	UT_hash_handle hh;
	uint32_t number;
	uint64_t live, heads;
	struct catalog_volume entry;
};

struct check {
	struct catalog *catalog;
	MDB_txn *txn;
	size_t page_size;
	uint64_t pages;            /* in use or free, all of the file */
	unsigned char *seen;       /* a bit for each: it was met, as a leaf or as a free one */
	const unsigned char *base; /* of the map; NULL until the first page was met */
	const unsigned char *page; /* the leaf that the walk is in */
	size_t nodes;              /* of it, so far */
	size_t lowest;             /* offset in it of the first node */
	struct tally *tallies;
	char *why;
	size_t why_size;
};

__attribute__((format(printf, 2, 3))) static int
damaged(struct check *check, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(check->why, check->why_size, format, args);
	va_end(args);
	return -EBADMSG;
}

/* Page NUMBER may be met once. */
static int
meet_page(struct check *check, uint64_t number)
{
	unsigned char bit = (unsigned char)(1u << number % 8);

	if (number < META_PAGES || number >= check->pages)
		return damaged(check, "page %llu is none", (unsigned long long)number);
	if (check->seen[number / 8] & bit)
		return damaged(check, "page %llu is used twice", (unsigned long long)number);
	check->seen[number / 8] |= bit;
	return 0;
}

/* What the head of the leaf says must be what was met in it: the next write trusts it. */
static int
leave_page(struct check *check)
{
	const struct page_head *head = (const struct page_head *)check->page;

	if (head != NULL && (head->flags != PAGE_LEAF || head->upper != check->lowest ||
			     head->lower != sizeof(*head) + 2 * check->nodes))
		return damaged(check, "the head of page %llu is not right",
			       (unsigned long long)head->number);
	check->page = NULL;
	check->nodes = 0;
	check->lowest = check->page_size;
	return 0;
}

/* A row with KEY was met: a key lies in its leaf, behind the head of its node. */
static int
meet_row(struct check *check, const MDB_val *key)
{
	const unsigned char *at = key->mv_data;
	size_t offset = (uintptr_t)at % check->page_size;
	const unsigned char *page = at - offset;
	const struct page_head *head = (const struct page_head *)page;
	int err = 0;

	if (page != check->page) {
		err = leave_page(check);
		if (err == 0)
			err = meet_page(check, head->number);
		if (err == 0 && check->base == NULL)
			check->base = page - head->number * check->page_size;
		if (err == 0 && check->base + head->number * check->page_size != page)
			err = damaged(check, "page %llu is in the wrong place",
				      (unsigned long long)head->number);
		check->page = page;
	}
	check->nodes++;
	if (offset < sizeof(*head) + NODE_HEAD)
		return damaged(check, "a node is in the wrong place");
	if (offset - NODE_HEAD < check->lowest)
		check->lowest = offset - NODE_HEAD;
	return err;
}

/* The pages that may be used again must be nobody's. */
static int
check_free_pages(struct check *check)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	int err = catalog_error(mdb_cursor_open(check->txn, FREE_TABLE, &cursor));

	if (err != 0)
		return err;
	while (err == 0 &&
	       (err = catalog_error(mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) == 0) {
		const unsigned char *list = value.mv_data;
		uint64_t count = 0, number;

		if (key.mv_size != sizeof(uint64_t) || value.mv_size < sizeof(uint64_t))
			err = damaged(check, "a list of free pages is none");
		else
			memcpy(&count, list, sizeof(count));
		if (err == 0 && count > value.mv_size / sizeof(number) - 1)
			err = damaged(check, "a list of free pages is cut off");
		for (uint64_t i = 1; err == 0 && i <= count; i++) {
			memcpy(&number, list + i * sizeof(number), sizeof(number));
			err = meet_page(check, number);
		}
	}
	mdb_cursor_close(cursor);
	return err == -ENOENT ? 0 : err;
}

static int
tally_of(struct check *check, uint32_t number, struct tally **out)
{
	struct tally *tally;

	HASH_FIND(hh, check->tallies, &number, sizeof(number), tally);
	if (tally == NULL) {
		tally = calloc(1, sizeof(*tally));
		if (tally == NULL)
			return -ENOMEM;
		tally->number = number;
		HASH_ADD(hh, check->tallies, number, sizeof(tally->number), tally);
		if (tally->hh.tbl == NULL) {
			free(tally);
			return -ENOMEM;
		}
	}
	*out = tally;
	return 0;
}

/* Adds what a row says of volumes. */
static int
count_row(struct check *check, enum entry_table table, const MDB_val *key, const MDB_val *value)
{
	struct tally *tally;
	struct entry_row row;
	struct extent part;
	int err = 0;

	switch (table) {
	case ENTRY_PATHS:
		err = entry_decode_row(value->mv_data, value->mv_size, &row);
		if (err != 0 || !(row.flags & ENTRY_INLINE))
			return err;
		err = tally_of(check, row.only.volume, &tally);
		if (err == 0)
			tally->live += row.only.length;
		return err;
	case ENTRY_PARTS:
		err = entry_decode_part(value->mv_data, value->mv_size, &part);
		if (err == 0)
			err = tally_of(check, part.volume, &tally);
		if (err == 0)
			tally->live += part.length;
		return err;
	case ENTRY_OWNERS:
		if (key->mv_size != OWNER_KEY_SIZE)
			return -EBADMSG;
		err = tally_of(check, get_be32((const unsigned char *)key->mv_data + 8), &tally);
		if (err == 0)
			tally->heads++;
		return err;
	case ENTRY_VOLUMES:
		if (key->mv_size != VOLUME_KEY_SIZE)
			return -EBADMSG;
		err = tally_of(check, get_be32(key->mv_data), &tally);
		return err != 0
			       ? err
			       : entry_decode_volume(value->mv_data, value->mv_size, &tally->entry);
	case ENTRY_IDS:
	case ENTRY_META:
	case ENTRY_GRAVES:
	case ENTRY_EXPIRY:
	case ENTRY_TABLES:
		return 0;
	}
	return 0;
}

/* One row: it is intact, follows the one before, and is found by its key. */
static int
check_row(struct check *check, enum entry_table table, const MDB_val *before, const MDB_val *key,
	  const MDB_val *value)
{
	MDB_dbi dbi = check->catalog->tables[table];
	MDB_val wanted = *key, got;
	int err;

	if (key->mv_size == 0 || key->mv_size > ENTRY_KEY_MAX ||
	    !entry_intact(table, key->mv_data, key->mv_size, value->mv_data, value->mv_size))
		return damaged(check, "a row of %s has a wrong checksum",
			       catalog_table_name(table));
	if (before->mv_data != NULL && mdb_cmp(check->txn, dbi, before, key) >= 0)
		return damaged(check, "rows of %s are out of order", catalog_table_name(table));
	err = catalog_error(mdb_get(check->txn, dbi, &wanted, &got));
	if (err == -ENOENT || (err == 0 && got.mv_data != value->mv_data))
		return damaged(check, "a row of %s can't be found", catalog_table_name(table));
	if (err == 0)
		err = meet_row(check, key);
	return err == 0 ? count_row(check, table, key, value) : err;
}

static int
check_table(struct check *check, enum entry_table table)
{
	MDB_val before = {0, NULL}, key, value;
	MDB_cursor *cursor;
	MDB_stat stat;
	size_t rows = 0;
	int err = catalog_error(mdb_stat(check->txn, check->catalog->tables[table], &stat));

	if (err == 0)
		err = catalog_error(
			mdb_cursor_open(check->txn, check->catalog->tables[table], &cursor));
	if (err != 0)
		return err;
	while (err == 0 && rows <= stat.ms_entries &&
	       (err = catalog_error(mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) == 0) {
		err = check_row(check, table, &before, &key, &value);
		before = key;
		rows++;
	}
	mdb_cursor_close(cursor);
	if (err == -ENOENT)
		err = leave_page(check);
	if (err == 0 && rows != stat.ms_entries)
		err = damaged(check, "%s does not have as many rows as it says",
			      catalog_table_name(table));
	return err;
}

/* What the rows say and what the volumes' entries say are the same. */
static int
check_tallies(struct check *check)
{
	for (struct tally *tally = check->tallies; tally != NULL; tally = tally->hh.next)
		if (tally->live != tally->entry.live || tally->heads != tally->entry.heads)
			return damaged(check, "the count of what volume %010u holds is not right",
				       (unsigned)tally->number);
	return 0;
}

static int
check_all(struct check *check)
{
	MDB_envinfo info;
	MDB_stat stat;
	int err = catalog_error(mdb_env_info(check->catalog->env, &info));

	if (err == 0)
		err = catalog_error(mdb_env_stat(check->catalog->env, &stat));
	if (err != 0)
		return err;
	check->page_size = check->lowest = stat.ms_psize;
	check->pages = (uint64_t)info.me_last_pgno + 1;
	check->seen = calloc(1, check->pages / 8 + 1);
	if (check->seen == NULL)
		return -ENOMEM;
	err = check_free_pages(check);
	for (int table = 0; table < ENTRY_TABLES && err == 0; table++)
		err = check_table(check, (enum entry_table)table);
	return err == 0 ? check_tallies(check) : err;
}

int
catalog_check(const char *path, bool alone, char *why, size_t why_size)
{
	struct check check = {.why = why, .why_size = why_size};
	struct tally *tally, *tmp;
	int err;

	why[0] = '\0';
	err = catalog_open_to_read(path, alone, &check.catalog);
	if (err == 0)
		err = catalog_begin_read(check.catalog, &check.txn);
	if (err == 0) {
		err = check_all(&check);
		mdb_txn_abort(check.txn);
	}
	if (err == -EBADMSG && why[0] == '\0')
		snprintf(why, why_size, "LMDB can't read it");
	HASH_ITER (hh, check.tallies, tally, tmp) {
		HASH_DEL(check.tallies, tally);
		free(tally);
	}
	free(check.seen);
	catalog_close(&check.catalog);
	return err;
}
