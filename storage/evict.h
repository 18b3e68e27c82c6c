/* evict.h - when the disk is full, or as full as it may be, the volume that was not used for longest goes
 * with all its objects.
 *
 * Threads  the reclaimer, but for evict_may_store and evict_may_copy.
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
 * fill up, and one more. That one is held back for what frees space, so that it passes no limit (invariant 14).
 * Any thread. */
bool evict_may_store(struct store *store);

/* Whether what lives may be copied into the active volume: who fills it up needs another one for objects, which is
 * there or can be made by eviction. Any thread. */
bool evict_may_copy(struct store *store);

/* Keeps the volumes below the limit, one victim at a time. True if it should be called again soon. */
bool evict_run(struct reclaim *r);

/* The disk is full: frees at least one volume. Whether it could. */
bool evict_now(struct reclaim *r);

/* (Re)allocates the ballast, from which the deletions of a full disk are written (invariant 14). */
void evict_load_ballast(struct reclaim *r);

#endif
