/* reclaim_internal.h - what the parts of giving back share. All of it runs on the reclaimer's thread.
 *
 *   reclaim.c   the thread; removing objects
 *   bury.c      volumes that nothing needs
 *   expiry.c    objects whose time is over, and the clock that says so
 *   evict.c     the coldest volume, when there is no room
 *   compact.c   volumes that are mostly dead are emptied
 *   survivors.c what lives in a volume
 *   transfer.c  copies one version out of it
 *
 * A volume may be unlinked when nothing that the catalog knows needs a byte of it, now and after a rebuild
 * from the other volumes (invariants 3, 4, 5). The catalog counts what does:
 *   - bytes of versions that are current or under way ("live");
 *   - OPEN and FINAL records of such versions ("heads");
 *   - tombstones that hide records in other volumes ("graves"): these are written again first.
 * A record of a version that was replaced needs no keeping: what replaced it has a higher number, and so
 * has whatever came after that, up to one that is kept.
 */
#ifndef SPILLWAY_STORAGE_RECLAIM_INTERNAL_H
#define SPILLWAY_STORAGE_RECLAIM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "storage/compact.h"
#include "storage/store_internal.h"

struct reclaim {
	struct store *store;
	pthread_t thread;
	struct mailbox mailbox;
	struct letter wake, stop;
	_Atomic bool woken;  /* wake is on its way */
	_Atomic bool needed; /* the persister waits for room */
	bool stopping;
	unsigned outstanding; /* deletions and relogs that were not answered yet */
	int failure;          /* of one of them since this was last 0 */
	int transfers;        /* the same of copies */
	struct compact compact;
	uint64_t buried;   /* volumes that were unlinked */
	uint32_t *shunned; /* volumes that can't be dealt with, until the next start */
	size_t nshunned;
};

/* One volume file as both the folder and the catalog have it. */
struct reclaim_volume {
	struct volumes_info file;
	struct catalog_volume at; /* zeros if the catalog does not know it */
	bool gone;                /* unlinked since */
};

struct reclaim_survey {
	struct reclaim_volume *volumes; /* ascending */
	size_t count;
};

/* 0 or -errno; end it with free(survey->volumes). */
int reclaim_look(struct reclaim *r, struct reclaim_survey *survey);

/* One answer came. */
void reclaim_answered(struct reclaim *r, int result);

/* Waits until no more than MOST answers are outstanding. */
void reclaim_await(struct reclaim *r, unsigned most);

/* Whether objects may be written, and a volume fits on the disk besides those that are, together with BYTES. */
bool reclaim_is_room(const struct reclaim *r, uint64_t bytes);

/* Tells the indexer OP, which is in no volume. */
void reclaim_submit(struct reclaim *r, struct index_op *op);

/* Begins to delete version ID of PATH; failures appear in r->failure.
 *   0        it is gone for every reader, its tombstone is on the way
 *   -EBUSY   it is being written, or not in the catalog yet
 *   -ENOENT  it is not the current version any more
 */
int reclaim_remove(struct reclaim *r, const char *path, uint64_t id);

/* The id of the current version at PATH, if something of that path is not in the catalog yet; else 0. */
uint64_t reclaim_busy_id(struct reclaim *r, const char *path);

/* Unlinks VOLUME, which is dead. 0 or -errno. */
int reclaim_bury(struct reclaim *r, struct reclaim_survey *survey, struct reclaim_volume *volume);

/* Unlinks every volume that is dead. True if another may be as soon as the catalog has all of it. */
bool reclaim_bury_dead(struct reclaim *r);

/* Whether all that was written to VOLUME is in the catalog, and nothing is written to it any more. */
bool reclaim_is_settled(const struct reclaim_volume *volume);

/* VOLUME is left alone until the next start. */
void reclaim_shun(struct reclaim *r, const struct reclaim_volume *volume, const char *what,
		  int err);
bool reclaim_is_shunned(const struct reclaim *r, const struct reclaim_volume *volume);

#endif
