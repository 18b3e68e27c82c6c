/* relog.h - a tombstone that is written again, because the volume that it is in is to go.
 *
 * Threads  made by the reclaimer; the persister's from persister_relog until its letter is delivered.
 */
#ifndef SPILLWAY_STORAGE_RELOG_H
#define SPILLWAY_STORAGE_RELOG_H

#include <stdbool.h>
#include <sys/queue.h>

#include "base/mailbox.h"

struct batch;
struct batch_item;
struct index_op;
struct store;

/* The caller keeps it until LETTER is delivered. */
struct relog {
	struct store *store;      /* in */
	struct index_op *op;      /* in: the record, with strings of its own; taken over */
	struct mailbox *mailbox;  /* in */
	struct letter letter;     /* in: deliver is set */
	int result;               /* out: 0, -EIO, -ENOSPC */
	struct letter work;       /* the persister's */
	STAILQ_ENTRY(relog) link; /* the persister's */
};

/* Puts RELOG's record into BATCH. False when the batch is full. */
bool relog_take(struct relog *relog, struct batch *batch);

/* ITEM is in a volume and synced. */
void relog_keep(struct batch_item *item);

/* It was written, or ERR happened: delivers the letter. */
void relog_end(struct relog *relog, int err);

#endif
