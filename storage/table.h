/* table.h - path -> current version, for every path that is resident or has changed lately.
 *
 * A path that is not here is as the catalog says. An entry stays while anything about its path is
 * not in the catalog yet (pending), and after that as long as memory allows (LRU).
 *
 * Threads  any. An entry's fields are guarded by its shard's mutex, held between table_lock and
 *          table_unlock for no more than a few of the calls below.
 * Locks    a shard's mutex comes before an object's lock.
 */
#ifndef SPILLWAY_STORAGE_TABLE_H
#define SPILLWAY_STORAGE_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "storage/object_internal.h"

#define TABLE_SHARDS 64

struct table_entry {
	UT_hash_handle hh;
	TAILQ_ENTRY(table_entry) link; /* in changed while pending > 0, else in idle */
	struct object *current;        /* a reference; NULL: none, or not known */
	struct writer *writer;         /* of current, while that is LIVE; see handover.h */
	bool known;                    /* current says what is there; else ask the catalog */
	bool extending;   /* a hidden version is being written that shares current's id */
	unsigned pending; /* versions and deletions that the catalog lacks */
	unsigned shard;
	size_t cost;         /* counted in the shard's resident */
	uint64_t logged_seq; /* of the newest record of this path in a volume; persister only */
	char path[];
};

TAILQ_HEAD(table_list, table_entry);
TAILQ_HEAD(writer_list, writer);
TAILQ_HEAD(hold_list, hold);

struct table_shard {
	pthread_mutex_t lock;
	struct table_entry *entries;
	struct table_list changed; /* pending > 0 */
	struct table_list idle;    /* most recently used first */
	struct writer_list parked; /* writers without a sender, longest first */
	struct writer_list rivals; /* writers that would take over from the present one */
	struct hold_list holds;    /* who waits for a path to get an object; see hold.h */
	unsigned hold_count;       /* of holds */
	size_t resident;           /* bytes of idle entries */
	uint64_t evictions;        /* entries that were taken out */
};

struct table {
	_Atomic size_t shard_max; /* bytes of idle entries in one shard; table_set_max's */
	struct table_shard shards[TABLE_SHARDS];
};

void table_init(struct table *table, uint64_t memory_max);

/* Another bound for the idle entries. A shard keeps to it from its next change on. */
void table_set_max(struct table *table, uint64_t memory_max);

/* Drops every entry. */
void table_destroy(struct table *table);

/* Locks the shard of PATH, whose hash for the other calls is *HASH. */
struct table_shard *table_lock(struct table *table, const char *path, unsigned *hash);
void table_unlock(struct table_shard *shard);

/* The entry of PATH, or NULL. Locked. */
struct table_entry *table_lookup(struct table_shard *shard, const char *path, unsigned hash);

/* A new entry of PATH, not known and not pending: hold it before the lock is given back. NULL without
 * memory. Locked. */
struct table_entry *table_add(struct table *table, struct table_shard *shard, const char *path,
			      unsigned hash);

/* Counts one more change that the catalog lacks. Locked. */
void table_hold(struct table_shard *shard, struct table_entry *entry);

/* Makes OBJECT (or nothing, NULL) the current version; takes a reference, drops the former one's. Locked. */
void table_set_current(struct table_entry *entry, struct object *object);

/* Marks ENTRY as just used. Locked. */
void table_touch(struct table_shard *shard, struct table_entry *entry);

/* One change less: when it was the last, the entry becomes idle, or goes if there is nothing at its path.
 * Takes the lock itself. */
void table_settle(struct table *table, struct table_entry *entry);

/* Puts a held entry that is known and not pending any more among the idle ones, and makes room for it by
 * spilling the least recently used that nobody reads. Locked. */
void table_idle(struct table *table, struct table_shard *shard, struct table_entry *entry);

#endif
