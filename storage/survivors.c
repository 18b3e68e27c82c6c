#include "storage/survivors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/reclaim_internal.h"

void
survivors_free(struct survivors *survivors)
{
	for (size_t i = 0; i < survivors->count; i++)
		free(survivors->list[i].path);
	free(survivors->list);
	*survivors = (struct survivors){0};
}

/* The path of the version that RECORD is of: 0, or -ENOENT if it is no more. *HIDDEN: it is under way and
 * not current. */
static int
path_of(struct reclaim *r, const struct record *record, char path[STORE_PATH_MAX + 1], bool *hidden)
{
	int err =
		catalog_find_owner(r->store->catalog, record->id, path, STORE_PATH_MAX + 1, hidden);

	/* A version of one record has no owner, but a name in its record. */
	if (err == -ENOENT && record->kind == RECORD_FINAL &&
	    record->name.path_length <= STORE_PATH_MAX) {
		memcpy(path, record->name.path, record->name.path_length);
		path[record->name.path_length] = '\0';
		*hidden = false;
		err = 0;
	}
	return err;
}

static int
compare_row(void *arg, const struct catalog_row *row)
{
	struct survivor *survivor = arg;

	if (row->id != survivor->id)
		return -ENOENT;
	survivor->size = row->name.size;
	survivor->expires_ms = row->name.expires_ms;
	return 0;
}

static int
add(struct survivors *survivors, const struct survivor *survivor, const char *path)
{
	if (survivors->count == survivors->size) {
		size_t size = survivors->size > 0 ? 2 * survivors->size : 64;
		struct survivor *more = realloc(survivors->list, size * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		survivors->list = more;
		survivors->size = size;
	}
	survivors->list[survivors->count] = *survivor;
	survivors->list[survivors->count].path = strdup(path);
	if (survivors->list[survivors->count].path == NULL)
		return -ENOMEM;
	survivors->count++;
	return 0;
}

/* Adds the version of RECORD, if there is one still. */
static int
note(struct reclaim *r, const struct record *record, struct survivors *survivors)
{
	struct survivor survivor = {.id = record->id};
	char path[STORE_PATH_MAX + 1];
	int err;

	if (survivors->count > 0 && survivors->list[survivors->count - 1].id == record->id)
		return 0;
	err = path_of(r, record, path, &survivor.underway);
	/* What is hidden has no row of its own, but goes on with one perhaps. */
	if (err == 0 && !survivor.underway)
		err = catalog_find(r->store->catalog, path, compare_row, &survivor);
	if (err == 0)
		survivor.underway |= reclaim_busy_id(r, path) == record->id;
	return err == 0 ? add(survivors, &survivor, path) : err == -ENOENT ? 0 : err;
}

static int
compare_ids(const void *a, const void *b)
{
	uint64_t x = ((const struct survivor *)a)->id, y = ((const struct survivor *)b)->id;

	return x < y ? -1 : x > y;
}

/* Sorts the list; a version with several records is in it once. */
static void
put_in_order(struct survivors *survivors)
{
	size_t kept = 0;

	if (survivors->count > 0)
		qsort(survivors->list, survivors->count, sizeof(*survivors->list), compare_ids);
	for (size_t i = 0; i < survivors->count; i++) {
		if (kept > 0 && survivors->list[kept - 1].id == survivors->list[i].id)
			free(survivors->list[i].path);
		else
			survivors->list[kept++] = survivors->list[i];
	}
	survivors->count = kept;
}

int
survivors_find(struct reclaim *r, struct volume *volume, struct survivors *out)
{
	struct volume_scan scan = {0};
	struct record record;
	uint64_t body;
	int err = volume_scan_begin(volume, 0, &scan);

	*out = (struct survivors){0};
	while (err == 0 && (err = volume_scan_next(&scan, &record, &body)) == 1) {
		err = 0;
		if (r->stopping)
			err = -EINTR;
		else if (record.kind != RECORD_TOMBSTONE)
			err = note(r, &record, out);
	}
	volume_scan_end(&scan);
	put_in_order(out);
	return err;
}
