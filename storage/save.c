#include "storage/save.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "storage/batch.h"
#include "storage/store_internal.h"

uint64_t
save_unsaved(const struct save *save)
{
	return object_status(save->object).length - save->taken;
}

static int
row_exists(void *arg, const struct catalog_row *row)
{
	(void)arg;
	(void)row;
	return 0;
}

/* Whether the PUT makes a new object: only the catalog knows of paths that are not resident. Asked
 * before the first record that makes this version current can get there. */
static void
settle_created(struct save *save)
{
	/* What the question is shows when it becomes current. */
	if (atomic_load(&save->object->seq) == 0 || !save->ask_catalog)
		return;
	save->ask_catalog = false;
	save->created = catalog_find(save->object->store->catalog, save->object->path, row_exists,
				     NULL) == -ENOENT;
}

/* What RECORD, whose kind and flags are set, says of OBJECT. The etag, and the time of a hidden version,
 * are its writer's to set until it ends. */
static void
name_of(const struct object *object, struct record *record)
{
	struct record_name *name = &record->name;

	name->path = object->path;
	name->path_length = (uint16_t)strlen(object->path);
	name->type = object->type;
	name->type_length = (uint16_t)strlen(object->type);
	name->size = object_status(object).length;
	if (!(record->flags & RECORD_HIDDEN))
		name->mtime_ms = object->mtime_ms;
	name->expires_ms = object->expires_ms;
	if (record->kind == RECORD_FINAL)
		memcpy(name->etag, object->etag, sizeof(name->etag));
}

/* Whether LENGTH bytes behind save->taken are the whole object, whose hash its writer has. */
static bool
is_hashed(const struct save *save, uint64_t length)
{
	return save->is_ended && save->end == SAVE_FINISHED && save->taken == 0 &&
	       length == object_status(save->object).length;
}

/* Refers to LENGTH bytes of the tail behind save->taken. Returns the number of iovecs, and the
 * bytes' hash. */
static unsigned
collect_body(struct save *save, uint64_t length, struct iovec *iov, XXH3_state_t *state,
	     uint64_t *hash)
{
	struct object *object = save->object;
	uint64_t offset = save->taken, end = offset + length;
	bool hashed = is_hashed(save, length);
	unsigned n = 0;

	XXH3_64bits_reset(state);
	while (offset < end) {
		unsigned char *bytes;
		size_t size;

		pthread_mutex_lock(&object->lock);
		save->block = tail_find(&object->tail, offset, save->block);
		pthread_mutex_unlock(&object->lock);
		CHECK(save->block != NULL);
		size = tail_bytes(&object->tail, save->block, offset, (size_t)(end - offset),
				  &bytes);
		if (!hashed)
			XXH3_64bits_update(state, bytes, size);
		iov[n++] = (struct iovec){bytes, size};
		offset += size;
	}
	*hash = hashed ? save->hash : XXH3_64bits_digest(state);
	return n;
}

/* Moves the entry's newest logged sequence number; batch_rollback can move it back. */
static void
log_seq(struct batch_item *item, struct table_entry *entry, uint64_t seq)
{
	if (seq <= entry->logged_seq)
		return;
	item->entry = entry;
	item->former_seq = entry->logged_seq;
	entry->logged_seq = seq;
}

static void
add_record(struct save *save, enum record_kind kind, uint64_t length, struct batch *batch,
	   XXH3_state_t *state)
{
	struct object *object = save->object;
	struct index_op *op = indexer_new_op(object, NULL);
	struct record *record = &op->record;
	struct batch_item *item;
	unsigned iovs;

	record->kind = kind;
	record->id = object->id;
	record->body_offset = save->taken;
	record->body_length = (uint32_t)length;
	if (kind != RECORD_DATA)
		record->seq = atomic_load(&object->seq);
	/* A whole version has its number before its FINAL is logged, but may not be seen without it. */
	if (kind == RECORD_OPEN && (record->seq == 0 || !save->shown)) {
		record->seq = 0;
		record->flags = RECORD_HIDDEN;
	}
	if (kind != RECORD_DATA)
		name_of(object, record);
	iovs = collect_body(save, length, &batch->bodies[batch->nbodies], state,
			    &record->body_hash);
	item = batch_add(batch, op, iovs);
	item->save = save;
	log_seq(item, save->entry, record->seq);
	save->taken += length;
	if (kind == RECORD_OPEN) {
		item->was_opened = save->opened;
		item->was_hidden = save->hidden;
		save->opened = true;
		save->hidden = record->flags & RECORD_HIDDEN;
	}
	if (kind == RECORD_FINAL)
		save->finaled = true;
}

/* Whether something newer of this path is in the log: no record with this version's number may follow. */
static bool
is_superseded(const struct save *save)
{
	uint64_t seq = atomic_load(&save->object->seq);

	return seq != 0 && save->entry->logged_seq > seq;
}

bool
save_take(struct save *save, struct batch *batch, XXH3_state_t *state, uint64_t share)
{
	struct object *object = save->object;
	bool finished = save->is_ended && save->end == SAVE_FINISHED;
	uint64_t start = save->taken;

	if (object_status(object).state == OBJECT_GONE)
		return true;
	settle_created(save);
	for (;;) {
		uint64_t left = save_unsaved(save);
		uint64_t length = left < RECORD_BODY_MAX ? left : RECORD_BODY_MAX;
		bool final = finished && length == left;
		bool unseen = save->opened && save->hidden && atomic_load(&object->seq) != 0 &&
			      save->shown;
		bool extends = !save->opened && object->tail.base > 0;

		if (left == 0 && !final && ((save->opened && !unseen) || !save->is_ended))
			return true;
		if (save->taken - start >= share || !batch_fits(batch, length, SAVE_IOVS))
			return false;
		if (is_superseded(save)) {
			if (left == 0)
				return true;
			add_record(save, RECORD_DATA, length, batch,
				   state); /* for readers it still has */
		} else if (final ? extends : !save->opened || unseen) {
			/* Unseen: it was hidden when it was opened, and took over from another. */
			add_record(save, RECORD_OPEN, final ? 0 : length, batch, state);
		} else if (final) {
			add_record(save, RECORD_FINAL, length, batch, state);
			return true;
		} else {
			add_record(save, RECORD_DATA, length, batch, state);
		}
	}
}

bool
save_take_delete(struct store_delete *del, struct batch *batch)
{
	struct index_op *op;
	struct batch_item *item;

	if (!batch_fits(batch, 0, 0))
		return false;
	op = indexer_new_op(NULL, NULL);
	op->record.kind = RECORD_TOMBSTONE;
	op->record.seq = del->seq;
	op->record.name.path = del->entry->path;
	op->record.name.path_length = (uint16_t)strlen(del->entry->path);
	op->record.name.type = "";
	op->record.name.mtime_ms = clock_wall_ms();
	item = batch_add(batch, op, 0);
	log_seq(item, del->entry, del->seq);
	return true;
}

void
save_keep(struct batch_item *item, struct volume *volume)
{
	struct index_op *op = item->op;
	struct record *record = &op->record;
	struct save *save = item->save;
	struct extent at = {
		.offset = record->body_offset,
		.position = op->body,
		.hash = record->body_hash,
		.length = record->body_length,
		.volume = op->volume,
	};
	int err;

	if (record->body_length == 0)
		return;
	err = object_add_extent(save->object, &at, volume_get(volume), EXTENT_GOOD);
	CHECK(err == 0);
	save->saved += record->body_length;
	if (save->saved == save->taken) {
		save->block = NULL;
		object_trim(save->object, save->saved, false);
	}
}

void
save_roll_back(struct batch_item *item)
{
	struct save *save = item->save;

	if (item->entry != NULL)
		item->entry->logged_seq = item->former_seq;
	if (save == NULL)
		return;
	save->taken = save->saved;
	if (item->op->record.kind == RECORD_OPEN) {
		save->opened = item->was_opened;
		save->hidden = item->was_hidden;
	}
	if (item->op->record.kind == RECORD_FINAL)
		save->finaled = false;
}

/* What a restart would find of SAVE, which is in the log without its end. NULL without memory. */
static struct object *
stored_part(const struct save *save)
{
	struct object *from = save->object;
	struct object *part = object_new(from->store, from->path, from->type, save->saved);
	int err = 0;

	if (part == NULL)
		return NULL;
	part->id = from->id;
	part->seq = from->seq;
	part->mtime_ms = from->mtime_ms;
	part->expires_ms = from->expires_ms;
	object_set_state(part, OBJECT_INCOMPLETE);
	/* Nobody but the persister adds extents. */
	for (unsigned i = 0; i < from->nextents && err == 0; i++)
		err = object_add_extent(part, &from->extents[i].at,
					volume_get(from->extents[i].volume), EXTENT_UNVERIFIED);
	if (err != 0)
		object_put(&part);
	return part;
}

/* What is at the path of SAVE, which is lost, as far as the log goes. A reference, or NULL. */
static struct object *
what_remains(const struct save *save)
{
	struct object *former = save->former;

	if (save->opened && !save->hidden)
		return stored_part(save);
	if (former == NULL || object_status(former).state == OBJECT_GONE)
		return NULL;
	return object_get(former);
}

void
save_lose(struct save *save)
{
	struct table_entry *entry = save->entry;
	struct object *remains = NULL;
	struct table_shard *shard;
	unsigned hash;

	shard = table_lock(&save->object->store->table, save->object->path, &hash);
	object_set_state(save->object, OBJECT_GONE);
	if (entry->current == save->object) {
		remains = what_remains(save);
		table_set_current(entry, remains);
		/* Else the next lookup asks the catalog. */
		entry->known = remains != NULL ||
			       (save->former == NULL && save->former_known && !save->opened);
	}
	table_unlock(shard);
	object_put(&remains);
}

bool
save_is_stored(const struct save *save)
{
	return save->saved == object_status(save->object).length &&
	       (save->finaled || is_superseded(save) ||
		(save->opened && save->end == SAVE_ABORTED));
}
