/* relog.h - a record that is written again, because the volume that it is in is to go.
 *
 * Threads  made by the reclaimer; the persister's from persister_relog until its letter is delivered.
 */
#ifndef SPILLWAY_STORAGE_RELOG_H
#define SPILLWAY_STORAGE_RELOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/mailbox.h"

struct batch;
struct batch_item;
struct index_op;
struct object;
struct store;
struct table_entry;
struct volume;

/* The caller keeps it, and what it refers to, until LETTER is delivered. */
struct relog {
	struct store *store;   /* in */
	struct index_op *op;   /* in: the record, with strings of its own; taken over */
	const void *body;      /* in: the record's body */
	struct object *object; /* in: whose extent it is, which will be in the new place; or NULL */
	struct table_entry
		*entry; /* in: of the path, held; not written if it has something newer than SEQ */
	uint64_t seq;   /* in: of the version */
	struct mailbox *mailbox;  /* in */
	struct letter letter;     /* in: deliver is set */
	int result;               /* out: 0, -ESTALE (something newer), -EIO, -ENOSPC */
	struct letter work;       /* the persister's */
	STAILQ_ENTRY(relog) link; /* the persister's */
};

/* Puts RELOG's record into BATCH, or sets its result if it may not be written any more. False when the batch
 * is full. */
bool relog_take(struct relog *relog, struct batch *batch);

/* ITEM is in VOLUME and synced. */
void relog_keep(struct batch_item *item, struct volume *volume);

/* It was written, or ERR happened: delivers the letter. */
void relog_end(struct relog *relog, int err);

#endif
