/* hold.h - waiting for an object to begin at a path that has none, or for the next version of one.
 *
 * Players ask early for the next segment, and for the next playlist. Who waits here is told the moment a
 * version of the path becomes current, which for a live one is when its PUT begins, and when the present
 * one is deleted.
 *
 * Threads  hold_begin and hold_end: the thread that owns the mailbox. hold_wake: any.
 * Owns     nothing: a hold is the caller's, and the store's from hold_begin until its letter is delivered
 *          or hold_end took it back.
 */
#ifndef SPILLWAY_STORAGE_HOLD_H
#define SPILLWAY_STORAGE_HOLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/mailbox.h"

struct object;
struct store;
struct table_entry;
struct table_shard;

#define HOLD_SHARD_MAX 1024 /* that wait in one of the table's shards */

struct hold {
	TAILQ_ENTRY(hold) link;  /* private */
	unsigned hash;           /* private */
	bool waiting;            /* private: in the list; guarded by the shard */
	const char *path;        /* in: kept by the caller */
	struct object *present;  /* in: what is there, the caller holds a reference; or NULL */
	uint64_t news;           /* in: if NULL: of the store_load that found nothing there */
	struct mailbox *mailbox; /* in */
	struct letter letter;    /* in: deliver is set */
};

/* HOLD's letter is delivered once, when there is something else at its path.
 *   0
 *   -EAGAIN   there may be already: look again, with store_load
 *   -ENOBUFS  too many wait
 */
int hold_begin(struct store *store, struct hold *hold);

/* Takes it back. True: the letter will not come. False: it is on its way and will still be delivered. */
bool hold_end(struct store *store, struct hold *hold);

/* ENTRY has got a version, or lost it: tells who waits for it. The shard is locked. */
void hold_wake(struct table_shard *shard, const struct table_entry *entry);

#endif
