/* object_internal.h - what the store itself knows of a version. See object.h.
 *
 * Locks    object->lock is a leaf: nothing else is taken under it.
 */
#ifndef SPILLWAY_STORAGE_OBJECT_INTERNAL_H
#define SPILLWAY_STORAGE_OBJECT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <xxhash.h>

#include "storage/catalog.h"
#include "storage/object.h"
#include "storage/tail.h"
#include "storage/volume.h"

struct store;
struct fanout;

enum extent_trust {
	EXTENT_UNVERIFIED, /* from an earlier run: its hash must be compared first (invariant 13) */
	EXTENT_GOOD,
	EXTENT_DAMAGED,
};

/* A part of an object that is on disk. */
struct stored_extent {
	struct extent at;
	struct volume *volume; /* a reference */
	enum extent_trust trust;
	uint32_t resident_s; /* mono; when all of it was last seen to be in memory */
};

struct object {
	_Atomic unsigned refs;
	_Atomic int
		state; /* enum object_state; leaves OBJECT_LIVE once, reaches OBJECT_GONE at last */
	struct store *store;
	struct stream *stream; /* a reference, or NULL */
	uint64_t id;
	_Atomic uint64_t
		seq; /* order of becoming current; 0 until then; set under the table's shard */
	int64_t mtime_ms, expires_ms;
	uint8_t etag[16]; /* set before state becomes OBJECT_COMPLETE */
	struct tail tail;
	_Atomic int64_t grown_us;      /* mono; when its newest bytes came */
	pthread_mutex_t lock;          /* guards extents and the front of the tail */
	struct stored_extent *extents; /* ascending, without gaps from 0 */
	unsigned nextents, extents_size;
	_Atomic(struct fanout *) fanout; /* watch.c; made by the first watcher */
	bool copying;                    /* nobody may begin to append to it: copy.h; shard's */
	_Atomic int64_t read_s;          /* mono; when its bytes were last lent from a volume */
	XXH3_state_t *hash; /* of all bytes, if kept for an append; writer's or shard's */
	char *type;         /* behind path in the same memory */
	char path[];
};

/* A new version with one reference: LIVE, of BASE bytes. NULL without memory. */
struct object *object_new(struct store *store, const char *path, const char *type, uint64_t base);

/* A version as the catalog has it: COMPLETE or INCOMPLETE, its extents unverified.
 * 0, -ENOMEM, -ESTALE if a volume is not there, or what else volumes_open says. */
int object_from_row(struct store *store, const struct catalog_row *row, struct object **out);

/* Leaves OBJECT_LIVE for STATE, or goes to OBJECT_GONE from any; tells the watchers. False if the
 * object was in no state to do so. */
bool object_set_state(struct object *object, enum object_state state);

/* Tells the watchers that something changed. Any thread, without a lock. */
void object_notify(struct object *object);

/* Adds an extent that follows the last one; takes over the reference to VOLUME. 0 or -ENOMEM. */
int object_add_extent(struct object *object, const struct extent *at, struct volume *volume,
		      enum extent_trust trust);

/* Drops blocks whose bytes are in extents below DURABLE (invariant 7); SEALED: the writer is gone. */
void object_trim(struct object *object, uint64_t durable, bool sealed);

/* Adds all bytes of OBJECT, which is not LIVE, to HASH. Waits for the disk: pool threads only. */
int object_hash(struct object *object, XXH3_state_t *hash);

/* Whether the system tells which pages are in memory. A filter of system calls may forbid it; then a view is lent without
 * asking, and a worker may wait for the disk (against invariant 9). */
bool object_knows_residency(void);

/* Memory that it takes while it is idle. */
size_t object_cost(const struct object *object);

/* Memory of the watchers' side, which stays once there was one. */
size_t fanout_cost(const struct object *object);

/* Frees the watchers' side, with the last reference. */
void fanout_free(struct fanout *fanout);

#endif
