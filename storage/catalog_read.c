#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/catalog_internal.h"

/* ---- lookup ---------------------------------------------------------------------- */

struct extents {
	struct extent *list;
	size_t count, size;
};

static int
extents_add(struct extents *extents, const struct extent *extent)
{
	if (extents->count == extents->size) {
		size_t size = extents->size > 0 ? 2 * extents->size : 16;
		struct extent *list = realloc(extents->list, size * sizeof(*list));

		if (list == NULL)
			return -ENOMEM;
		extents->list = list;
		extents->size = size;
	}
	extents->list[extents->count++] = *extent;
	return 0;
}

/* The extents of ID without a gap, *LENGTH bytes of at most MAX. */
static int
collect(struct catalog *catalog, MDB_txn *txn, uint64_t id, uint64_t max, struct extents *extents,
	uint64_t *length)
{
	struct catalog_parts parts;
	struct extent extent;
	uint64_t end = 0;
	int err = catalog_parts_begin(catalog, txn, id, 0, &parts);

	while (err == 0 && end < max) {
		err = catalog_parts_next(&parts, &extent);
		if (err <= 0)
			break;
		err = 0;
		if (extent.offset < end)
			continue; /* as in catalog_parts_contiguous */
		if (extent.offset > end || extent.length > max - end)
			break;
		err = extents_add(extents, &extent);
		end += extent.length;
	}
	catalog_parts_end(&parts);
	*length = end;
	return err;
}

/* Copies the row of PATH into BYTES, so that nobody looks at the map after the transaction. */
static int
find_row(struct catalog *catalog, MDB_txn *txn, const char *path, unsigned char *bytes,
	 struct entry_row *row)
{
	size_t length = strlen(path);
	struct entry_key key;
	MDB_val value;
	int err;

	if (length == 0 || length > ENTRY_STRINGS_MAX)
		return -ENOENT;
	entry_key_path(path, length, &key);
	err = catalog_get(catalog, txn, ENTRY_PATHS, &key, &value);
	if (err != 0)
		return err;
	memcpy(bytes, value.mv_data, value.mv_size);
	err = entry_decode_row(bytes, value.mv_size, row);
	if (err != 0)
		return err;
	/* Two long paths may share a key, in theory. */
	return row->name.path_length == length && memcmp(row->name.path, path, length) == 0
		       ? 0
		       : -ENOENT;
}

static void
present(const struct entry_row *row, struct catalog_row *out)
{
	*out = (struct catalog_row){
		.id = row->id,
		.seq = row->seq,
		.name = row->name,
		.open = (row->flags & (ENTRY_OPEN | ENTRY_GAP)) != 0,
		.damaged = (row->flags & ENTRY_GAP) != 0,
	};
}

int
catalog_find(struct catalog *catalog, const char *path,
	     int (*visit)(void *arg, const struct catalog_row *row), void *arg)
{
	unsigned char bytes[ENTRY_VALUE_MAX];
	struct extents extents = {NULL, 0, 0};
	struct catalog_row shown;
	struct entry_row row;
	uint64_t length, max;
	MDB_txn *txn;
	int err = catalog_begin_read(catalog, &txn);

	if (err != 0)
		return err;
	err = find_row(catalog, txn, path, bytes, &row);
	if (err == 0) {
		max = row.flags & ENTRY_OPEN ? UINT64_MAX : row.name.size;
		if (row.flags & ENTRY_INLINE) {
			err = extents_add(&extents, &row.only);
			length = row.only.length;
		} else {
			err = collect(catalog, txn, row.id, max, &extents, &length);
		}
	}
	mdb_txn_abort(txn);
	if (err == 0) {
		present(&row, &shown);
		if (length != row.name.size) {
			shown.open = true;
			shown.damaged |= (row.flags & ENTRY_OPEN) == 0;
		}
		shown.name.size = length;
		shown.extents = extents.list;
		shown.nextents = extents.count;
		err = visit(arg, &shown);
	}
	free(extents.list);
	return err;
}

/* ---- list ------------------------------------------------------------------------ */

struct page {
	struct catalog *catalog;
	MDB_txn *txn;
	MDB_cursor *cursor;
	const char *prefix, *after; /* after: NULL, or rows up to it are left out */
	size_t prefix_length, after_length;
	size_t left;      /* rows that may still be visited */
	const char *leaf; /* LMDB's page that the last row is in */
	int (*visit)(void *arg, const struct catalog_row *row);
	void *arg;
};

/* Of memory, as is usual: on a machine that is different this costs time and nothing else. Into L1, a list of
 * a million took a third longer than into L2. */
enum { LEAF_BYTES = 4096, LINE_BYTES = 64, PREFETCH_L2 = 2 };

enum { PAGE_FULL = 1, PAGE_END = 2 }; /* instead of an error: why the walk stops */

static int
compare_bytes(const char *a, size_t a_length, const char *b, size_t b_length)
{
	int order = memcmp(a, b, a_length < b_length ? a_length : b_length);

	if (order != 0)
		return order;
	return a_length < b_length ? -1 : a_length > b_length;
}

/* Shows one row. What the visitor returned goes to *ANSWER. 0 to go on, PAGE_*, or -errno. */
static int
show(struct page *page, const struct entry_row *row, int *answer)
{
	const struct record_name *name = &row->name;
	struct catalog_row shown;
	int err;

	if (page->after != NULL &&
	    compare_bytes(name->path, name->path_length, page->after, page->after_length) <= 0)
		return 0;
	page->after = NULL; /* what follows sorts after it, too */
	if (name->path_length < page->prefix_length ||
	    memcmp(name->path, page->prefix, page->prefix_length) != 0)
		return compare_bytes(name->path, name->path_length, page->prefix,
				     page->prefix_length) < 0
			       ? 0
			       : PAGE_END;
	if (page->left == 0)
		return PAGE_FULL;
	page->left--;
	present(row, &shown);
	if (row->flags & ENTRY_OPEN) {
		err = catalog_parts_last_end(page->catalog, page->txn, row->id, &shown.name.size);
		if (err != 0)
			return err;
	}
	*answer = page->visit(page->arg, &shown);
	return *answer == 0 ? 0 : PAGE_FULL;
}

static int
decode(const MDB_val *key, const MDB_val *value, struct entry_row *row)
{
	if (!entry_intact(ENTRY_PATHS, key->mv_data, key->mv_size, value->mv_data, value->mv_size))
		return -EBADMSG;
	return entry_decode_row(value->mv_data, value->mv_size, row);
}

static int
compare_rows(const void *a, const void *b)
{
	const struct record_name *x = &((const struct entry_row *)a)->name;
	const struct record_name *y = &((const struct entry_row *)b)->name;

	return compare_bytes(x->path, x->path_length, y->path, y->path_length);
}

/* Long paths that share their first ENTRY_PLAIN_MAX bytes are neighbours, in the order of their
 * hashes: all of them are collected and sorted. KEY and VALUE are the first one, then whatever
 * follows the last one. 0, -ENOENT at the end of the table, PAGE_* or -errno. */
static int
show_long(struct page *page, MDB_val *key, MDB_val *value, int *answer)
{
	unsigned char shared[ENTRY_PLAIN_MAX];
	struct entry_row *rows = NULL;
	size_t count = 0, size = 0;
	int stop = 0, err = 0;

	memcpy(shared, key->mv_data, sizeof(shared));
	while (err == 0 && key->mv_size == ENTRY_KEY_MAX &&
	       memcmp(key->mv_data, shared, sizeof(shared)) == 0) {
		if (count == size) {
			struct entry_row *more;

			size = size > 0 ? 2 * size : 8;
			more = realloc(rows, size * sizeof(*rows));
			if (more == NULL) {
				free(rows);
				return -ENOMEM;
			}
			rows = more;
		}
		err = decode(key, value, &rows[count++]);
		if (err == 0)
			err = catalog_error(mdb_cursor_get(page->cursor, key, value, MDB_NEXT));
	}
	if (err == 0 || err == -ENOENT) {
		if (count > 0)
			qsort(rows, count, sizeof(*rows), compare_rows);
		for (size_t i = 0; i < count && stop == 0; i++)
			stop = show(page, &rows[i], answer);
	}
	free(rows);
	return stop != 0 ? stop : err;
}

/* In a leaf, from its end down, rows lie in the order in which they came, so that each would be a wait for
 * memory of its own. It is one wait when the whole leaf is asked for at its first row. */
static void
fetch_leaf(struct page *page, const MDB_val *key)
{
	const char *leaf = (const char *)key->mv_data - (uintptr_t)key->mv_data % LEAF_BYTES;

	if (leaf == page->leaf)
		return;
	page->leaf = leaf;
	for (size_t left = LEAF_BYTES; left > 0; left -= LINE_BYTES)
		__builtin_prefetch(leaf + left - LINE_BYTES, 0, PREFETCH_L2);
}

/* Walks over the rows from START on. 0 or -ENOENT at the end, PAGE_* or -errno. */
static int
walk(struct page *page, const char *start, size_t length, int *answer)
{
	MDB_val key, value;
	struct entry_row row;
	int err;

	if (length > ENTRY_PLAIN_MAX) /* a cut path sorts before all it is the beginning of */
		length = ENTRY_PLAIN_MAX;
	key = (MDB_val){length, (void *)(uintptr_t)start};
	err = catalog_error(
		mdb_cursor_get(page->cursor, &key, &value, length > 0 ? MDB_SET_RANGE : MDB_FIRST));
	while (err == 0) {
		if (key.mv_size == ENTRY_KEY_MAX) {
			err = show_long(page, &key, &value, answer);
			continue;
		}
		fetch_leaf(page, &key);
		err = decode(&key, &value, &row);
		if (err == 0)
			err = show(page, &row, answer);
		if (err == 0)
			err = catalog_error(mdb_cursor_get(page->cursor, &key, &value, MDB_NEXT));
	}
	return err;
}

int
catalog_list(struct catalog *catalog, const char *prefix, const char *after, size_t limit,
	     int (*visit)(void *arg, const struct catalog_row *row), void *arg, bool *more)
{
	struct page page = {
		.catalog = catalog,
		.prefix = prefix,
		.prefix_length = strlen(prefix),
		.after = after,
		.after_length = after != NULL ? strlen(after) : 0,
		.left = limit,
		.visit = visit,
		.arg = arg,
	};
	int answer = 0;
	int err = catalog_begin_read(catalog, &page.txn);

	if (err != 0)
		return err;
	err = catalog_error(mdb_cursor_open(page.txn, catalog->tables[ENTRY_PATHS], &page.cursor));
	if (err == 0) {
		if (after != NULL &&
		    compare_bytes(after, page.after_length, prefix, page.prefix_length) > 0)
			err = walk(&page, after, page.after_length, &answer);
		else
			err = walk(&page, prefix, page.prefix_length, &answer);
		mdb_cursor_close(page.cursor);
	}
	mdb_txn_abort(page.txn);
	if (answer != 0)
		return answer;
	if (err < 0 && err != -ENOENT)
		return err;
	*more = err == PAGE_FULL;
	return 0;
}
