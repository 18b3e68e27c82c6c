#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "storage/catalog_internal.h"

/* One table of one of the two catalogs, at a row. */
struct side {
	MDB_cursor *cursor;
	MDB_val key, value;
	bool ended;
};

static int
advance(struct side *side)
{
	int err = catalog_error(mdb_cursor_get(side->cursor, &side->key, &side->value, MDB_NEXT));

	side->ended = err == -ENOENT;
	return side->ended ? 0 : err;
}

/* A row as it must be in both: how far back the records of its path go is each catalog's own. */
static int
same_row(const MDB_val *a, const MDB_val *b, bool *same)
{
	unsigned char x[ENTRY_VALUE_MAX], y[ENTRY_VALUE_MAX];
	struct entry_row row;
	size_t x_length, y_length;
	int err = entry_decode_row(a->mv_data, a->mv_size, &row);

	if (err != 0)
		return err;
	row.since = 0;
	x_length = entry_encode_row(&row, x);
	err = entry_decode_row(b->mv_data, b->mv_size, &row);
	if (err != 0)
		return err;
	row.since = 0;
	y_length = entry_encode_row(&row, y);
	*same = x_length == y_length &&
		memcmp(x + ENTRY_SEAL_SIZE, y + ENTRY_SEAL_SIZE, x_length - ENTRY_SEAL_SIZE) == 0;
	return 0;
}

static int
same_value(enum entry_table table, const MDB_val *a, const MDB_val *b, bool *same)
{
	struct catalog_volume x, y;
	int err;

	if (table == ENTRY_PATHS)
		return same_row(a, b, same);
	if (table != ENTRY_VOLUMES) {
		*same = a->mv_size == b->mv_size && memcmp(a->mv_data, b->mv_data, a->mv_size) == 0;
		return 0;
	}
	err = entry_decode_volume(a->mv_data, a->mv_size, &x);
	if (err == 0)
		err = entry_decode_volume(b->mv_data, b->mv_size, &y);
	if (err == 0)
		*same = x.live == y.live;
	return err;
}

/* What the row of SIDE is about. */
static int
describe(enum entry_table table, const struct side *side, char *out, size_t size)
{
	const unsigned char *key = side->key.mv_data;
	struct entry_row row;
	int err;

	switch (table) {
	case ENTRY_PATHS:
		err = entry_decode_row(side->value.mv_data, side->value.mv_size, &row);
		if (err == 0)
			snprintf(out, size, "%.*s", (int)row.name.path_length, row.name.path);
		return err;
	case ENTRY_PARTS:
		snprintf(out, size, "version %llu at %llu", (unsigned long long)get_be64(key),
			 (unsigned long long)get_be64(key + 8));
		return 0;
	case ENTRY_VOLUMES:
		snprintf(out, size, "volume %010u", (unsigned)get_be32(key));
		return 0;
	case ENTRY_EXPIRY:
		snprintf(out, size, "expiry of version %llu",
			 (unsigned long long)get_be64(key + 8));
		return 0;
	case ENTRY_IDS:
	case ENTRY_META:
	case ENTRY_OWNERS:
	case ENTRY_GRAVES:
	case ENTRY_TABLES:
		break;
	}
	return -EINVAL;
}

struct compare {
	MDB_txn *txns[2];
	enum entry_table table;
	int (*visit)(void *arg, enum catalog_difference difference, const char *what, bool is_path);
	void *arg;
};

static int
show(struct compare *c, enum catalog_difference difference, const struct side *side)
{
	char what[ENTRY_STRINGS_MAX + 64];
	int err = describe(c->table, side, what, sizeof(what));

	return err != 0 ? err : c->visit(c->arg, difference, what, c->table == ENTRY_PATHS);
}

/* Both at their smallest key, one step. */
static int
compare_here(struct compare *c, MDB_dbi dbi, struct side *a, struct side *b)
{
	int order = a->ended ? 1 : b->ended ? -1 : mdb_cmp(c->txns[0], dbi, &a->key, &b->key);
	bool same = true;
	int err;

	if (order == 0) {
		err = same_value(c->table, &a->value, &b->value, &same);
		if (err == 0 && !same)
			err = show(c, CATALOG_DIFFERS, a);
	} else {
		err = show(c, order < 0 ? CATALOG_ONLY_FIRST : CATALOG_ONLY_SECOND,
			   order < 0 ? a : b);
	}
	if (err == 0 && order <= 0)
		err = advance(a);
	if (err == 0 && order >= 0)
		err = advance(b);
	return err;
}

static int
compare_table(struct compare *c, struct catalog *first, struct catalog *second)
{
	struct side a = {0}, b = {0};
	int err = catalog_error(mdb_cursor_open(c->txns[0], first->tables[c->table], &a.cursor));

	if (err == 0)
		err = catalog_error(
			mdb_cursor_open(c->txns[1], second->tables[c->table], &b.cursor));
	if (err == 0)
		err = advance(&a);
	if (err == 0)
		err = advance(&b);
	while (err == 0 && !(a.ended && b.ended))
		err = compare_here(c, first->tables[c->table], &a, &b);
	if (a.cursor != NULL)
		mdb_cursor_close(a.cursor);
	if (b.cursor != NULL)
		mdb_cursor_close(b.cursor);
	return err;
}

int
catalog_compare(struct catalog *first, struct catalog *second,
		int (*visit)(void *arg, enum catalog_difference difference, const char *what,
			     bool is_path),
		void *arg)
{
	static const enum entry_table tables[] = {ENTRY_PATHS, ENTRY_PARTS, ENTRY_EXPIRY,
						  ENTRY_VOLUMES};
	struct compare c = {.visit = visit, .arg = arg};
	int err = catalog_begin_read(first, &c.txns[0]);

	if (err != 0)
		return err;
	err = catalog_begin_read(second, &c.txns[1]);
	if (err == 0) {
		for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && err == 0; i++) {
			c.table = tables[i];
			err = compare_table(&c, first, second);
		}
		mdb_txn_abort(c.txns[1]);
	}
	mdb_txn_abort(c.txns[0]);
	return err;
}
