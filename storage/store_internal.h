/* store_internal.h - what the parts of the store share.
 *
 * Locks, in order   a table shard's mutex; then, never two of them at once: object->lock,
 *                   volumes->lock, blocks->lock, room_lock.
 *
 * Invariants (doc/HACKING says which test holds each; the numbers appear where they are kept)
 *   1  a reader receives a prefix of the uploaded bytes
 *   2  the normal end of a reply is sent only after the complete upload
 *   3  201/204 means identical bytes after any crash, until delete, replace, expiry or eviction
 *   4  a replace shows one whole version, never an older one than the last acknowledged
 *   5  an acknowledged DELETE never comes back, even after a full rebuild of the catalog
 *   6  no volume offset is written twice; volumes shrink only by unlink
 *   7  a tail block is freed only after a successful fdatasync and the last reader
 *   8  the catalog's position never passes the synced log; a rebuilt catalog equals the live one
 *   9  workers make no disk call and take no fault on cold pages
 *  10  no wake-up is lost; at most one eventfd write per worker and publish
 *  11  tail bytes, queued output, descriptors and connections stay within their budgets
 *  12  no LMDB read transaction lives longer than 10 ms
 *  13  bytes from disk are verified before their first service after a start
 *  14  freeing space needs no space
 *  15  one process per data directory
 *  16  a step of the clock never deletes anything
 */
#ifndef SPILLWAY_STORAGE_STORE_INTERNAL_H
#define SPILLWAY_STORAGE_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/blocks.h"
#include "storage/catalog.h"
#include "storage/doubt.h"
#include "storage/evict.h"
#include "storage/expiry.h"
#include "storage/indexer.h"
#include "storage/persister.h"
#include "storage/reclaim.h"
#include "storage/store.h"
#include "storage/streams.h"
#include "storage/table.h"
#include "storage/volumes.h"

/* What store_adjust may change; it is the only writer. */
struct store_limits {
	_Atomic uint64_t disk_max;
	_Atomic unsigned disk_percent;
	_Atomic bool evict;
	_Atomic int64_t resume_window_ms, writer_takeover_ms;
};

struct store {
	struct store_config config; /* data_dir is a copy; of limits as it began */
	struct store_limits limits; /* as they are */
	struct mailbox *mailboxes[STORE_WORKERS_MAX];
	int dirfd;  /* of the data directory */
	int lockfd; /* holds its flock (invariant 15) */
	bool volumes_ready;
	struct volumes volumes;
	struct blocks blocks;
	struct table table;
	struct streams *streams; /* NULL in tests of parts */
	struct catalog *catalog;
	struct doubt doubt; /* about the catalog */
	struct pool *pool;
	struct indexer *indexer;
	struct persister *persister;
	struct reclaim *reclaim;
	struct expiry expiry; /* by which objects expire */
	struct evict evict;
	_Atomic bool full;            /* nothing may go, new objects are refused; the reclaimer's */
	_Atomic uint64_t last_number; /* of ids and sequence numbers given out, together */

	pthread_mutex_t room_lock;  /* guards rooms */
	struct writer_room *rooms;  /* writers that wait for tail space */
	_Atomic uint64_t room_news; /* times that space may have come back */
};

/* The next id or sequence number. */
uint64_t store_next_number(struct store *store);

/* The current version of PATH, asking the disk if need be. 0, -ENOENT, or -errno of the catalog. *NEWS is
 * what struct store_load says. */
int store_load_now(struct store *store, const char *path, struct object **out, uint64_t *news);

/* Tells every waiting writer that the tail may have room again. */
void store_announce_room(struct store *store);

#endif
