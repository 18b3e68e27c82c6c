/* relog.h - a record that is written again, because the volume that it is in is to go: a tombstone, or one
 * of a copy (copy.h).
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
struct copy;
struct index_op;
struct store;
struct volume;

/* The caller keeps it, and what it refers to, until LETTER is delivered. */
struct relog {
	struct store *store; /* in */
	struct index_op *op; /* in: the record, with strings of its own; taken over */
	struct copy *copy;   /* in: what it is a record of; NULL: a tombstone */
	bool ends;           /* in: it is the copy's last */
	bool in_need; /* in: it may take what is held back for deletions, for it makes room as they do */
	unsigned char *body;     /* in: the record's body */
	struct mailbox *mailbox; /* in */
	struct letter letter;    /* in: deliver is set */
	int result;         /* out: 0, -EIO, -ENOSPC, -ESTALE (something of the path is newer) */
	struct letter work; /* the persister's */
	STAILQ_ENTRY(relog) link; /* the persister's */
};

/* Puts RELOG's record into BATCH, or sets its result if it may not be written: a copy that is not in need itself
 * needs room, of which there may be NO_ROOM. False when the batch is full. */
bool relog_take(struct relog *relog, struct batch *batch, bool no_room);

/* ITEM is in VOLUME and synced. */
void relog_keep(struct batch_item *item, struct volume *volume);

/* ITEM is not on disk. */
void relog_roll_back(struct batch_item *item);

/* It was written, or not, or ERR happened: delivers the letter. */
void relog_end(struct relog *relog, int err);

#endif
