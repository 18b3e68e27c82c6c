/* persister.h - the one thread that writes volumes.
 *
 * It takes the bytes of growing objects when there are enough of them (256 KiB), when three quarters of a second
 * have passed or when they are complete, appends them to the active volume as one batch, syncs that with one
 * fdatasync for all, and only then acknowledges, frees tail blocks (invariant 7) and hands the records to the
 * indexer. turns.h says who goes first.
 *
 * Per path, records get into the log in the order of their sequence numbers: one that comes after a
 * newer one was logged is dropped (invariants 4 and 5 hold for any prefix of the log).
 */
#ifndef SPILLWAY_STORAGE_PERSISTER_H
#define SPILLWAY_STORAGE_PERSISTER_H

#include <stdbool.h>
#include <stdint.h>

struct persister;
struct store;
struct store_delete;
struct save;
struct relog;

#define PERSIST_PIECE ((uint64_t)256 * 1024) /* worth a write while an object grows */

/* Starts the thread. 0 or -errno. */
int persister_start(struct store *store, struct persister **out);

/* Writes everything that was posted, then stops. No writer may be open. Accepts a pointer to NULL. */
void persister_stop(struct persister **persister);

/* Any thread: SAVE has a new piece; nothing happens if that is known already. */
void persister_grown(struct persister *persister, struct save *save);

/* The writer's thread: SAVE ended. It belongs to the persister from now on. */
void persister_ended(struct persister *persister, struct save *save);

/* Any thread: writes DEL's tombstone, then delivers its letter. DEL's entry is held. */
void persister_delete(struct persister *persister, struct store_delete *del);

/* Any thread: writes RELOG's record, then delivers its letter. */
void persister_relog(struct persister *persister, struct relog *relog);

/* The reclaimer, after reclaim_need: there is room now, or store->full says that there is none to be had. */
void persister_answer_room(struct persister *persister);

/* The main thread: whether its loop has turned since this was last asked. It does twice a second, unless the disk
 * does not answer. */
bool persister_moved(struct persister *persister);

/* 0, or -errno of the last attempt to write when nothing could be written since. */
int persister_health(const struct persister *persister);

#endif
