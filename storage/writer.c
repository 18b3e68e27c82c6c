#include "storage/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "storage/handover.h"
#include "storage/hold.h"
#include "storage/save.h"
#include "storage/store_internal.h"
#include "storage/writer_internal.h"

/* An object may fill this part of the tail budget, so that one upload that outruns
 * the disk leaves room for the live ones. */
#define TAIL_SHARE 4

/* Continues OBJECT, which ended, as a new version that shares its extents. -EAGAIN when its hash is not
 * at hand or it is being copied, -EBUSY when its last bytes are still on their way to disk. */
static int
extend(struct store *store, struct object *object, const struct writer_config *config,
       struct object **out, XXH3_state_t *hash)
{
	uint64_t length = object_status(object).length;
	struct object *next;
	int err = 0;

	if (object->hash == NULL || object->copying)
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

/* Goes on with the ended version CURRENT, which must have CONFIG's offset, if that asks for one. */
static int
begin_extension(struct table_entry *entry, struct writer_config *config, struct writer *writer)
{
	struct object *current = entry->current;
	int err;

	config->length = object_status(current).length;
	if (config->existing == EXISTING_CONTINUE && config->offset != config->length)
		return -ERANGE;
	if (entry->extending)
		return -EBUSY;
	err = extend(writer->store, current, config, &writer->object, writer->hash);
	if (err == 0)
		writer->extends = entry->extending = writer->role == WRITER_WHOLE;
	return err;
}

/* A version of its own. */
static int
begin_anew(struct table_shard *shard, struct table_entry *entry, struct writer_config *config,
	   struct writer *writer)
{
	bool written = handover_is_written(writer->store, entry, clock_mono_ms());

	config->length = 0;
	if (config->existing == EXISTING_CONTINUE && config->offset != 0)
		return -ERANGE;
	if (written && config->refuse_second)
		return -EBUSY;
	writer->object = object_new(writer->store, config->path, config->content_type, 0);
	if (writer->object == NULL)
		return -ENOMEM;
	writer->object->id = store_next_number(writer->store);
	/* Two encoders on one path never stop each other: the second one's version waits until
	 * it is whole, or the first one fails. */
	if (written && writer->role == WRITER_CURRENT)
		handover_add_rival(shard, writer);
	return 0;
}

/* Decides what kind of version this becomes, and makes it. The shard is locked. */
static int
begin(struct table_shard *shard, struct table_entry *entry, struct writer_config *config,
      struct writer *writer)
{
	bool continues =
		config->existing == EXISTING_APPEND || config->existing == EXISTING_CONTINUE;
	enum object_state state =
		entry->current != NULL ? object_status(entry->current).state : OBJECT_GONE;

	writer->role = config->publish == PUBLISH_WHOLE ? WRITER_WHOLE : WRITER_CURRENT;
	if (config->existing == EXISTING_REFUSE && entry->current != NULL &&
	    state != OBJECT_INCOMPLETE && !handover_is_parked(entry))
		return -EEXIST;
	if (!continues || entry->current == NULL)
		return begin_anew(shard, entry, config, writer);
	if (state == OBJECT_LIVE)
		return -EBUSY;
	if (state == OBJECT_COMPLETE && config->refuse_complete)
		return -EEXIST;
	return begin_extension(entry, config, writer);
}

/* Whether CONFIG may be applied to what is at ENTRY. The shard is locked. */
static int
check_expected(struct table_entry *entry, const struct writer_config *config)
{
	if (!entry->known && (config->conditional || config->existing != EXISTING_REPLACE)) {
		if (!config->absent)
			return -EAGAIN;
		entry->known = true;
	}
	return config->conditional && entry->current != config->expected ? -ESTALE : 0;
}

/* The parked writer of ENTRY, if CONFIG goes on where that stopped. The shard is locked. */
static int
resume(struct table_shard *shard, struct table_entry *entry, struct writer_config *config,
       struct writer **out)
{
	if (!handover_is_parked(entry) ||
	    (config->existing != EXISTING_APPEND && config->existing != EXISTING_CONTINUE))
		return -ENOENT;
	config->length = object_status(entry->current).length;
	if (config->existing == EXISTING_CONTINUE && config->offset != config->length)
		return -ERANGE;
	*out = handover_resume(shard, entry);
	(*out)->save->resumed = config->length > 0;
	(*out)->keep_hash = true; /* who resumes once may do so again */
	return 0;
}

void
writer_make_current(struct writer *writer)
{
	struct save *save = writer->save;
	struct table_entry *entry = save->entry;
	struct object *object = writer->object;

	save->former = entry->current != NULL ? object_get(entry->current) : NULL;
	save->created = entry->current == NULL;
	save->former_known = entry->known;
	save->ask_catalog = !entry->known;
	save->shown = object_status(object).state == OBJECT_LIVE;
	/* The persister looks at the rest of the save once it sees a number. */
	atomic_store(&object->seq, store_next_number(writer->store));
	writer->role = WRITER_CURRENT;
	entry->writer = object_status(object).state == OBJECT_LIVE ? writer : NULL;
	table_set_current(entry, object);
	hold_wake(&writer->store->table.shards[entry->shard], entry);
}

/* Ends a hidden version's claim on the id it shares. True if what it continues is still current: if that
 * was replaced or deleted, the catalog has not got the beginning any more. The shard is locked. */
static bool
still_extends(struct table_entry *entry, const struct object *object)
{
	entry->extending = false;
	return entry->current != NULL && entry->current->id == object->id;
}

void
writer_free(struct writer **writerp)
{
	struct writer *writer = *writerp;

	*writerp = NULL;
	object_put(&writer->object);
	object_put(&writer->expected);
	XXH3_freeState(writer->hash);
	free(writer->save);
	free(writer);
}

static struct writer *
writer_new(struct store *store, const struct writer_config *config)
{
	struct writer *writer = calloc(1, sizeof(*writer));

	if (writer == NULL)
		return NULL;
	writer->store = store;
	writer->keep_hash =
		config->existing == EXISTING_APPEND || config->existing == EXISTING_CONTINUE;
	writer->save = calloc(1, sizeof(*writer->save));
	writer->hash = XXH3_createState();
	if (writer->save == NULL || writer->hash == NULL) {
		writer_free(&writer);
		return NULL;
	}
	XXH3_128bits_reset(writer->hash);
	atomic_init(&writer->active_ms, clock_mono_ms());
	return writer;
}

/* Opens WRITER's version at ENTRY. The shard is locked. */
static int
start(struct table_shard *shard, struct table_entry *entry, struct writer_config *config,
      struct writer *writer)
{
	struct save *save = writer->save;
	int err = begin(shard, entry, config, writer);

	if (err != 0)
		return err;
	table_hold(shard, entry);
	if (config->ttl_ms > 0)
		writer->object->expires_ms = expiry_now_ms(&writer->store->expiry) + config->ttl_ms;
	stream_add(writer->object->stream, STREAM_WRITERS, 1);
	writer->begun_ms = clock_mono_ms();
	save->object = object_get(writer->object);
	save->entry = entry;
	save->saved = save->taken = object_status(writer->object).length;
	save->resumed = save->saved > 0;
	writer->told = save->saved;
	if (writer->role == WRITER_CURRENT) {
		handover_discard(shard, entry);
		writer_make_current(writer);
	} else if (config->conditional) {
		writer->conditional = true;
		writer->expected = config->expected != NULL ? object_get(config->expected) : NULL;
	}
	return 0;
}

int
writer_open(struct store *store, struct writer_config *config, struct writer **out)
{
	struct writer *writer = writer_new(store, config);
	struct table_shard *shard;
	struct table_entry *entry;
	unsigned hash;
	int err;

	if (writer == NULL)
		return -ENOMEM;
	if (atomic_load_explicit(&store->full, memory_order_relaxed)) {
		writer_free(&writer);
		return -ENOSPC;
	}
	shard = table_lock(&store->table, config->path, &hash);
	entry = table_lookup(shard, config->path, hash);
	if (entry == NULL)
		entry = table_add(&store->table, shard, config->path, hash);
	if (entry == NULL) {
		table_unlock(shard);
		writer_free(&writer);
		return -ENOMEM;
	}
	table_hold(shard, entry); /* also while this fails, so that it does not stay for ever */
	err = check_expected(entry, config);
	if (err == 0)
		err = resume(shard, entry, config, out);
	if (err == -ENOENT) {
		err = start(shard, entry, config, writer);
		if (err == 0) {
			*out = writer;
			writer = NULL;
		}
	}
	table_unlock(shard);
	table_settle(&store->table, entry);
	if (writer != NULL)
		writer_free(&writer);
	return err;
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
	int64_t now_us = clock_mono_us();
	uint64_t now;

	if (length == 0)
		return;
	atomic_store_explicit(&writer->object->grown_us, now_us, memory_order_relaxed);
	tail_commit(tail, length);
	object_notify(writer->object);
	stream_received(writer->object->stream, (int64_t)length, now_us / 1000);
	atomic_store_explicit(&writer->active_ms, now_us / 1000, memory_order_relaxed);
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
	DL_FOREACH_SAFE(rooms, room, tmp)
	{
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

	stream_add(writer->object->stream, STREAM_WRITERS, -1);
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
	save->hash = XXH3_64bits_digest(writer->hash); /* of the same state */
	receipt->stale = false;
	if (writer->keep_hash) {
		object->hash = writer->hash;
		writer->hash = NULL;
	}
	shard = table_lock(&store->table, object->path, &hash);
	handover_remove(shard, writer);
	if (writer->role != WRITER_CURRENT) {
		/* The last byte is here: in one step the whole of it becomes current. */
		object->mtime_ms = clock_wall_ms();
		receipt->stale = writer->conditional && save->entry->current != writer->expected;
		if ((writer->extends && !still_extends(save->entry, object)) || receipt->stale) {
			object_set_state(object, OBJECT_GONE);
		} else {
			object_set_state(object, OBJECT_COMPLETE);
			handover_discard(shard, save->entry);
			writer_make_current(writer);
		}
	} else {
		object_set_state(object, OBJECT_COMPLETE);
		/* Has someone's whole version come before the end? */
		save->overtaken = save->entry->current != object;
	}
	table_unlock(shard);
	streams_finished(store->streams, object->stream, object->path, object_status(object).length,
			 clock_mono_ms() - writer->begun_ms, !save->shown);
	save->receipt = receipt;
	end(writer, SAVE_FINISHED);
	writer_free(&writer);
}

void
writer_lose(struct writer *writer)
{
	if (writer->keep_hash) {
		writer->object->hash = writer->hash;
		writer->hash = NULL;
	}
	if (writer->extends)
		still_extends(writer->save->entry, writer->object);
	object_set_state(writer->object,
			 writer->role == WRITER_WHOLE || writer->role == WRITER_RIVAL
				 ? OBJECT_GONE
				 : OBJECT_INCOMPLETE);
	stream_aborted(writer->object->stream);
	end(writer, SAVE_ABORTED);
	writer_free(&writer);
}

static void
leave(struct writer **writerp, bool may_return)
{
	struct writer *writer = *writerp;
	struct table_shard *shard;
	unsigned hash;

	*writerp = NULL;
	if (writer == NULL)
		return;
	shard = table_lock(&writer->store->table, writer->object->path, &hash);
	handover_vanished(shard, writer, may_return);
	table_unlock(shard);
}

void
writer_abort(struct writer **writer)
{
	leave(writer, true);
}

void
writer_drop(struct writer **writer)
{
	leave(writer, false);
}
