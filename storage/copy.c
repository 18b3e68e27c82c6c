#include "storage/copy.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "storage/store_internal.h"

/* Holds the entry of OBJECT, if that is its settled current version. */
static int
hold(struct store *store, struct object *object, struct table_entry **out)
{
	unsigned hash;
	struct table_shard *shard = table_lock(&store->table, object->path, &hash);
	struct table_entry *entry = table_lookup(shard, object->path, hash);
	int err = 0;

	if (entry == NULL || entry->current != object)
		err = -ENOENT;
	else if (entry->pending > 0)
		err = -EBUSY;
	else
		table_hold(shard, entry);
	table_unlock(shard);
	*out = entry;
	return err;
}

static int
take_row(void *arg, const struct catalog_row *row)
{
	struct copy *copy = arg;

	if (row->id != copy->object->id)
		return -ENOENT;
	if (row->damaged)
		return -EBADMSG;
	copy->seq = row->seq;
	copy->open = row->open;
	copy->name = row->name;
	copy->name.path = copy->object->path;
	copy->name.type = copy->object->type;
	copy->nfrom = (unsigned)row->nextents;
	copy->from = calloc(row->nextents + 1, sizeof(*copy->from));
	copy->extents = calloc(row->nextents + 1, sizeof(*copy->extents));
	if (copy->from == NULL || copy->extents == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < copy->nfrom; i++)
		copy->from[i] = row->extents[i];
	return 0;
}

int
copy_open(struct store *store, const char *path, uint64_t id, struct copy **out)
{
	struct copy *copy = calloc(1, sizeof(*copy));
	uint64_t ignored;
	int err;

	if (copy == NULL)
		return -ENOMEM;
	copy->store = store;
	err = store_load_now(store, path, &copy->object, &ignored);
	if (err == 0)
		err = hold(store, copy->object, &copy->entry);
	if (err != 0) {
		object_put(&copy->object);
		free(copy);
		return err;
	}
	/* Held, and the catalog had everything: what it says of the path is this version. */
	err = copy->object->id == id ? catalog_find(store->catalog, path, take_row, copy) : -ENOENT;
	if (err != 0) {
		copy_close(&copy, false);
		return err;
	}
	copy->id = store_next_number(store);
	*out = copy;
	return 0;
}

void
copy_close(struct copy **copyp, bool settled)
{
	struct copy *copy = *copyp;

	*copyp = NULL;
	if (copy == NULL)
		return;
	if (!settled)
		table_settle(&copy->store->table, copy->entry);
	for (unsigned i = 0; i < copy->nextents; i++)
		volume_put(&copy->extents[i].volume);
	free(copy->extents);
	free(copy->from);
	object_put(&copy->object);
	free(copy);
}

bool
copy_may_end(struct copy *copy)
{
	struct object *object = copy->object;
	unsigned hash;
	struct table_shard *shard = table_lock(&copy->store->table, object->path, &hash);
	bool may = copy->entry->current == object && copy->entry->pending == 1;

	if (may)
		object->copying = true;
	table_unlock(shard);
	return may;
}

void
copy_roll_back(struct copy *copy)
{
	unsigned hash;
	struct table_shard *shard = table_lock(&copy->store->table, copy->object->path, &hash);

	copy->object->copying = false;
	table_unlock(shard);
}

void
copy_add(struct copy *copy, const struct extent *at, struct volume *volume)
{
	CHECK(copy->nextents < copy->nfrom);
	copy->extents[copy->nextents++] = (struct stored_extent){
		.at = *at, .volume = volume_get(volume), .trust = EXTENT_GOOD};
}

void
copy_install(struct copy *copy)
{
	struct object *object = copy->object;
	struct stored_extent *former;
	unsigned hash, count;
	struct table_shard *shard = table_lock(&copy->store->table, object->path, &hash);

	object->copying = false;
	/* Replaced or deleted meanwhile: who still reads it does so where it was. */
	if (copy->entry->current == object) {
		object->id = copy->id;
		pthread_mutex_lock(&object->lock);
		former = object->extents;
		count = object->nextents;
		object->extents = copy->extents;
		object->nextents = copy->nextents;
		object->extents_size = copy->nfrom + 1;
		copy->extents = former;
		copy->nextents = count;
		pthread_mutex_unlock(&object->lock);
	}
	table_unlock(shard);
}
