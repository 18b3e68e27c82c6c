/* evict.h - when the disk is full, or as full as it may be, the volume that was not used for longest goes
 * with all its objects.
 *
 * Threads  the reclaimer; evict_may_*, evict_room and evict_has_free: any.
 */
#ifndef SPILLWAY_STORAGE_EVICT_H
#define SPILLWAY_STORAGE_EVICT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct reclaim;
struct store;

struct evict {
	_Atomic uint64_t limit; /* bytes that all volumes together may take; the reclaimer's */
	uint32_t victim;        /* its objects are gone, it is not yet; 0 for none */
	int64_t chosen_ms;      /* since when, by the monotonic clock */
	bool has_ballast;
};

/* Finds the limit, which is that of the configuration, and makes volumes small enough for it. Before
 * anything is created. 0 or -errno of the file system. */
int evict_init(struct store *store);

/* Whether objects may be written: below the limit the active volume, which may have to be begun, has room to
 * fill up, and one more. That one is held back for what frees space, so that it passes no limit (invariant 14). */
bool evict_may_store(struct store *store);

/* Whether what lives may be copied into the active volume: who fills it up needs another one for objects, which is
 * there or can be made by eviction. */
bool evict_may_copy(struct store *store);

/* Whether BYTES may be copied into what is held back, because that makes room where objects have none: a part of
 * it stays for deletions. If sealed volumes with something ALIVE take most of it, for the limit is lower now, the
 * file system's room will do. */
bool evict_may_copy_in_need(struct store *store, uint64_t alive, uint64_t bytes);

/* Bytes that may still be allocated below the limit. */
uint64_t evict_room(struct store *store);

/* Whether the file system has BYTES. */
bool evict_has_free(const struct store *store, uint64_t bytes);

/* Keeps the volumes below the limit, one victim at a time. True if it should be called again soon. */
bool evict_run(struct reclaim *r);

/* The disk is full: frees at least one volume. Whether it could. */
bool evict_now(struct reclaim *r);

/* (Re)allocates the ballast, from which the deletions of a full disk are written (invariant 14). */
void evict_load_ballast(struct reclaim *r);

#endif
