#include "storage/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/clock.h"
#include "storage/save.h"
#include "storage/store_internal.h"

/* An object may fill this part of the tail budget, so that one upload that outruns
 * the disk leaves room for the live ones. */
#define TAIL_SHARE 4

struct writer {
	struct store *store;
	struct object *object; /* a reference */
	struct save *save;     /* given to the persister at the end */
	bool hidden;
	bool extends; /* hidden, and the bytes of another version are its beginning */
	bool keep_hash; /* the object may be appended to: its hash state is worth keeping */
	bool announced; /* the persister knows of it */
	uint64_t told;  /* length when the persister was last told */
	uint64_t news;  /* room_news when the last reserve failed */
	void *space;    /* of the last reserve */
	XXH3_state_t *hash;
};

/* Continues OBJECT, which ended, as a new version that shares its extents. -EAGAIN when its hash is not
 * at hand, -EBUSY when its last bytes are still on their way to disk. */
static int
extend(struct store *store, struct object *object, const struct writer_config *config,
       struct object **out, XXH3_state_t *hash)
{
	uint64_t length = object_status(object).length;
	struct object *next;
	int err = 0;

	if (object->hash == NULL)
		return -EAGAIN;
	next = object_new(store, object->path,
			  *config->content_type != '\0' ? config->content_type : object->type,
			  length);
	if (next == NULL)
		return -ENOMEM;
	next->id = object->id;
	pthread_mutex_lock(&object->lock);
	for (unsigned i = 0; i < object->nextents && err == 0; i++) {
		struct stored_extent *stored = &object->extents[i];

		err = object_add_extent(next, &stored->at, volume_get(stored->volume),
					stored->trust);
	}
	pthread_mutex_unlock(&object->lock);
	if (err == 0 && length > 0 &&
	    (next->nextents == 0 || next->extents[next->nextents - 1].at.offset +
						    next->extents[next->nextents - 1].at.length !=
					    length))
		err = -EBUSY;
	if (err != 0) {
		object_put(&next);
		return err;
	}
	XXH3_copyState(hash, object->hash);
	*out = next;
	return 0;
}

/* Decides, under the shard's lock, what kind of version this becomes, and makes it. */
static int
begin(struct store *store, const struct writer_config *config, struct table_entry *entry,
      struct writer *writer)
{
	struct object *current = entry->current;
	enum object_state state =
		current != NULL ? object_status(current).state : OBJECT_GONE;

	if (config->existing != EXISTING_REPLACE && !entry->known) {
		if (!config->absent)
			return -EAGAIN;
		entry->known = true;
	}
	if (config->existing == EXISTING_REFUSE && current != NULL && state != OBJECT_INCOMPLETE)
		return -EEXIST;
	writer->hidden = config->publish == PUBLISH_WHOLE;
	if (config->existing == EXISTING_APPEND && current != NULL) {
		int err;

		if (state == OBJECT_LIVE || entry->extending)
			return -EBUSY;
		err = extend(store, current, config, &writer->object, writer->hash);
		if (err == 0)
			writer->extends = entry->extending = writer->hidden;
		return err;
	}
	/* Two encoders on one path never stop each other: the second one's version waits until
	 * it is whole. */
	if (state == OBJECT_LIVE)
		writer->hidden = true;
	writer->object = object_new(store, config->path, config->content_type, 0);
	if (writer->object == NULL)
		return -ENOMEM;
	writer->object->id = store_next_number(store);
	return 0;
}

/* The entry's shard is locked. */
static void
make_current(struct store *store, struct save *save, struct object *object)
{
	struct table_entry *entry = save->entry;

	save->former = entry->current != NULL ? object_get(entry->current) : NULL;
	save->former_known = entry->known;
	object->seq = store_next_number(store);
	table_set_current(entry, object);
}

/* Ends a hidden version's claim on the id it shares. True if what it continues is still current: if that
 * was replaced or deleted, the catalog has not got the beginning any more. The shard is locked. */
static bool
still_extends(struct table_entry *entry, const struct object *object)
{
	entry->extending = false;
	return entry->current != NULL && entry->current->id == object->id;
}

static void
free_writer(struct writer **writerp)
{
	struct writer *writer = *writerp;

	*writerp = NULL;
	object_put(&writer->object);
	XXH3_freeState(writer->hash);
	free(writer->save);
	free(writer);
}

int
writer_open(struct store *store, const struct writer_config *config, struct writer **out)
{
	struct writer *writer = calloc(1, sizeof(*writer));
	struct table_shard *shard;
	struct table_entry *entry;
	struct save *save;
	unsigned hash;
	int err;

	if (writer == NULL)
		return -ENOMEM;
	if (atomic_load_explicit(&store->full, memory_order_relaxed)) {
		free(writer);
		return -ENOSPC;
	}
	writer->store = store;
	writer->keep_hash = config->existing == EXISTING_APPEND;
	writer->save = save = calloc(1, sizeof(*save));
	writer->hash = XXH3_createState();
	if (save == NULL || writer->hash == NULL) {
		free_writer(&writer);
		return -ENOMEM;
	}
	XXH3_128bits_reset(writer->hash);

	shard = table_lock(&store->table, config->path, &hash);
	entry = table_lookup(shard, config->path, hash);
	if (entry == NULL)
		entry = table_add(&store->table, shard, config->path, hash);
	if (entry == NULL) {
		err = -ENOMEM;
		goto unlock;
	}
	table_hold(shard, entry);
	err = begin(store, config, entry, writer);
	if (err == 0) {
		if (config->ttl_ms > 0)
			writer->object->expires_ms =
				expiry_now_ms(&store->expiry) + config->ttl_ms;
		save->object = object_get(writer->object);
		save->entry = entry;
		save->hidden = writer->hidden;
		save->created = entry->current == NULL;
		save->ask_catalog = !entry->known;
		save->saved = save->taken = object_status(writer->object).length;
		writer->told = save->saved;
		if (!writer->hidden)
			make_current(store, save, writer->object);
	}
unlock:
	table_unlock(shard);
	if (err != 0) {
		if (entry != NULL)
			table_settle(&store->table, entry);
		free_writer(&writer);
		return err;
	}
	*out = writer;
	return 0;
}

struct object *
writer_object(const struct writer *writer)
{
	return writer->object;
}

bool
writer_cancelled(const struct writer *writer)
{
	return object_status(writer->object).state == OBJECT_GONE;
}

size_t
writer_reserve(struct writer *writer, void **space)
{
	struct store *store = writer->store;
	struct tail *tail = &writer->object->tail;
	uint64_t news = atomic_load(&store->room_news);
	uint64_t length = atomic_load_explicit(&tail->length, memory_order_relaxed);
	size_t size = 0;

	if (length - atomic_load(&tail->kept_from) < store->config.tail_max / TAIL_SHARE)
		size = tail_reserve(tail, &store->blocks, space);
	if (size == 0)
		writer->news = news;
	else
		writer->space = *space;
	return size;
}

void
writer_commit(struct writer *writer, size_t length)
{
	struct tail *tail = &writer->object->tail;
	uint64_t now;

	if (length == 0)
		return;
	tail_commit(tail, length);
	object_notify(writer->object);
	XXH3_128bits_update(writer->hash, writer->space, length);
	now = atomic_load_explicit(&tail->length, memory_order_relaxed);
	/* The first bytes start the persister's one-second clock. */
	if (!writer->announced || now - writer->told >= PERSIST_PIECE) {
		writer->announced = true;
		writer->told = now;
		persister_grown(writer->store->persister, writer->save);
	}
}

void
writer_await_room(struct writer *writer, struct writer_room *room)
{
	struct store *store = writer->store;

	pthread_mutex_lock(&store->room_lock);
	/* Space that came back since the reserve failed was announced to others only. */
	room->waiting = atomic_load(&store->room_news) == writer->news;
	if (room->waiting)
		DL_APPEND(store->rooms, room);
	else
		mailbox_post(room->mailbox, &room->letter);
	pthread_mutex_unlock(&store->room_lock);
	/* What this one has on its way to disk is part of what is lacking. */
	atomic_store(&writer->save->urgent, true);
	persister_grown(store->persister, writer->save);
}

bool
writer_forget_room(struct writer *writer, struct writer_room *room)
{
	struct store *store = writer->store;
	bool waiting;

	pthread_mutex_lock(&store->room_lock);
	waiting = room->waiting;
	if (waiting) {
		DL_DELETE(store->rooms, room);
		room->waiting = false;
	}
	pthread_mutex_unlock(&store->room_lock);
	return waiting;
}

void
store_announce_room(struct store *store)
{
	struct writer_room *room, *tmp, *rooms;

	atomic_fetch_add(&store->room_news, 1);
	pthread_mutex_lock(&store->room_lock);
	rooms = store->rooms;
	store->rooms = NULL;
	DL_FOREACH_SAFE (rooms, room, tmp) {
		room->waiting = false;
		mailbox_post(room->mailbox, &room->letter);
	}
	pthread_mutex_unlock(&store->room_lock);
}

/* Hands the save, and with it the entry's hold, to the persister. */
static void
end(struct writer *writer, enum save_end how)
{
	struct save *save = writer->save;

	writer->save = NULL;
	save->end = how;
	persister_ended(writer->store->persister, save);
}

void
writer_finish(struct writer **writerp, struct writer_receipt *receipt)
{
	struct writer *writer = *writerp;
	struct store *store = writer->store;
	struct object *object = writer->object;
	struct save *save = writer->save;
	struct table_shard *shard;
	XXH128_canonical_t etag;
	unsigned hash;

	*writerp = NULL;
	XXH128_canonicalFromHash(&etag, XXH3_128bits_digest(writer->hash));
	memcpy(object->etag, etag.digest, sizeof(object->etag));
	memcpy(receipt->etag, etag.digest, sizeof(receipt->etag));
	if (writer->keep_hash) {
		object->hash = writer->hash;
		writer->hash = NULL;
	}
	shard = table_lock(&store->table, object->path, &hash);
	if (writer->hidden) {
		/* The last byte is here: in one step the whole of it becomes current. */
		object->mtime_ms = clock_wall_ms();
		if (writer->extends && !still_extends(save->entry, object)) {
			object_set_state(object, OBJECT_GONE);
		} else {
			object_set_state(object, OBJECT_COMPLETE);
			save->created = save->entry->current == NULL;
			save->ask_catalog = !save->entry->known;
			make_current(store, save, object);
		}
	} else {
		object_set_state(object, OBJECT_COMPLETE);
		/* Has someone's whole version come before the end? */
		save->overtaken = save->entry->current != object;
	}
	table_unlock(shard);
	save->receipt = receipt;
	end(writer, SAVE_FINISHED);
	free_writer(&writer);
}

void
writer_abort(struct writer **writerp)
{
	struct writer *writer = *writerp;

	*writerp = NULL;
	if (writer == NULL)
		return;
	if (writer->keep_hash) {
		writer->object->hash = writer->hash;
		writer->hash = NULL;
	}
	if (writer->extends) {
		unsigned hash;
		struct table_shard *shard =
			table_lock(&writer->store->table, writer->object->path, &hash);

		still_extends(writer->save->entry, writer->object);
		table_unlock(shard);
	}
	object_set_state(writer->object, writer->hidden ? OBJECT_GONE : OBJECT_INCOMPLETE);
	end(writer, SAVE_ABORTED);
	free_writer(&writer);
}
