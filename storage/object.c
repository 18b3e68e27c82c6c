#include "storage/object_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/store_internal.h"

#define HASH_STATE_COST 576 /* the library keeps the size of its state to itself */

struct object *
object_new(struct store *store, const char *path, const char *type, uint64_t base)
{
	size_t path_size = strlen(path) + 1, type_size = strlen(type) + 1;
	struct object *object = calloc(1, sizeof(*object) + path_size + type_size);

	if (object == NULL)
		return NULL;
	atomic_init(&object->refs, 1);
	atomic_init(&object->state, OBJECT_LIVE);
	atomic_init(&object->fanout, NULL);
	pthread_mutex_init(&object->lock, NULL);
	object->store = store;
	object->stream = streams_join(store->streams, path);
	object->type = object->path + path_size;
	memcpy(object->path, path, path_size);
	memcpy(object->type, type, type_size);
	object->mtime_ms = clock_wall_ms();
	tail_init(&object->tail, base);
	return object;
}

int
object_from_row(struct store *store, const struct catalog_row *row, struct object **out)
{
	const struct record_name *name = &row->name;
	char path[STORE_PATH_MAX + 1], type[RECORD_TYPE_MAX + 1];
	struct object *object;
	int err = 0;

	CHECK(name->path_length <= STORE_PATH_MAX && name->type_length <= RECORD_TYPE_MAX);
	memcpy(path, name->path, name->path_length);
	path[name->path_length] = '\0';
	memcpy(type, name->type, name->type_length);
	type[name->type_length] = '\0';
	object = object_new(store, path, type, name->size);
	if (object == NULL)
		return -ENOMEM;
	object->id = row->id;
	atomic_init(&object->seq, row->seq);
	object->mtime_ms = name->mtime_ms;
	object->expires_ms = name->expires_ms;
	memcpy(object->etag, name->etag, sizeof(object->etag));
	atomic_store(&object->state, row->open ? OBJECT_INCOMPLETE : OBJECT_COMPLETE);
	for (size_t i = 0; i < row->nextents && err == 0; i++) {
		struct volume *volume;

		err = volumes_open(&store->volumes, row->extents[i].volume, &volume);
		if (err == -ENOENT)
			err = -ESTALE;
		if (err == 0)
			err = object_add_extent(object, &row->extents[i], volume,
						EXTENT_UNVERIFIED);
	}
	if (err != 0)
		object_put(&object);
	else
		*out = object;
	return err;
}

struct object *
object_get(struct object *object)
{
	atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed);
	return object;
}

int64_t
object_grown_us(const struct object *object)
{
	return atomic_load_explicit(&object->grown_us, memory_order_relaxed);
}

void
object_put(struct object **objectp)
{
	struct object *object = *objectp;

	*objectp = NULL;
	if (object == NULL ||
	    atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel) != 1)
		return;
	stream_leave(&object->stream);
	tail_free(&object->tail);
	for (unsigned i = 0; i < object->nextents; i++)
		volume_put(&object->extents[i].volume);
	free(object->extents);
	fanout_free(atomic_load(&object->fanout));
	XXH3_freeState(object->hash);
	pthread_mutex_destroy(&object->lock);
	free(object);
}

struct stream *
object_stream(const struct object *object)
{
	return object->stream;
}

struct object_status
object_status(const struct object *object)
{
	struct object_status status;

	/* The state first: once it is not LIVE, the length that follows is final. */
	status.state = (enum object_state)atomic_load(&object->state);
	status.length = atomic_load(&object->tail.length);
	return status;
}

const char *
object_path(const struct object *object)
{
	return object->path;
}

const char *
object_type(const struct object *object)
{
	return object->type;
}

int64_t
object_mtime_ms(const struct object *object)
{
	return object->mtime_ms;
}

int64_t
object_expires_ms(const struct object *object)
{
	return object->expires_ms;
}

bool
object_etag(const struct object *object, uint8_t etag[16])
{
	if (atomic_load(&object->state) != OBJECT_COMPLETE)
		return false;
	memcpy(etag, object->etag, sizeof(object->etag));
	return true;
}

bool
object_set_state(struct object *object, enum object_state state)
{
	int old = OBJECT_LIVE;

	CHECK(state != OBJECT_LIVE);
	if (state == OBJECT_GONE)
		old = atomic_exchange(&object->state, OBJECT_GONE);
	else
		atomic_compare_exchange_strong(&object->state, &old, (int)state);
	if (state == OBJECT_GONE ? old == OBJECT_GONE : old != OBJECT_LIVE)
		return false;
	object_notify(object);
	return true;
}

int
object_add_extent(struct object *object, const struct extent *at, struct volume *volume,
		  enum extent_trust trust)
{
	int err = 0;

	pthread_mutex_lock(&object->lock);
	if (object->nextents == object->extents_size) {
		unsigned size = object->extents_size > 0 ? 2 * object->extents_size : 1;
		struct stored_extent *more =
			realloc(object->extents, size * sizeof(*object->extents));

		if (more == NULL)
			err = -ENOMEM;
		else {
			object->extents = more;
			object->extents_size = size;
		}
	}
	if (err == 0)
		object->extents[object->nextents++] =
			(struct stored_extent){.at = *at, .volume = volume, .trust = trust};
	pthread_mutex_unlock(&object->lock);
	if (err != 0)
		volume_put(&volume);
	return err;
}

void
object_trim(struct object *object, uint64_t durable, bool sealed)
{
	struct tail_block *chain, *stop;

	pthread_mutex_lock(&object->lock);
	chain = tail_trim(&object->tail, durable, sealed, &stop);
	pthread_mutex_unlock(&object->lock);
	tail_drop(chain, stop);
}

size_t
object_cost(const struct object *object)
{
	return sizeof(*object) + strlen(object->path) + strlen(object->type) + 2 +
	       object->extents_size * sizeof(*object->extents) + fanout_cost(object) +
	       (object->hash != NULL ? HASH_STATE_COST : 0);
}
