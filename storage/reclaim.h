/* reclaim.h - the thread that gives disk space back: volumes whose objects are all gone, objects whose
 * time is over.
 *
 * Threads  start and stop: whoever opens the store. reclaim_wake: any.
 */
#ifndef SPILLWAY_STORAGE_RECLAIM_H
#define SPILLWAY_STORAGE_RECLAIM_H

struct reclaim;
struct store;

/* Starts the thread. 0 or -errno. */
int reclaim_start(struct store *store, struct reclaim **out);

/* Ends the thread, after what it is doing; the persister must still run. Accepts NULL. */
void reclaim_stop(struct reclaim *reclaim);

/* Frees it, when nobody can wake it any more. Accepts a pointer to NULL. */
void reclaim_free(struct reclaim **reclaim);

/* There may be something to do; it looks every second anyway. Accepts NULL. */
void reclaim_wake(struct reclaim *reclaim);

/* The persister: there is no room on the disk. persister_answer_room is called when some was made, or can't
 * be. */
void reclaim_need(struct reclaim *reclaim);

#endif
