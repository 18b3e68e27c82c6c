/* indexer.h - the thread that applies synced records to the catalog, some times a second.
 *
 * Threads  indexer_submit: the persister and the reclaimer.
 * Owns     the batches it was given.
 */
#ifndef SPILLWAY_STORAGE_INDEXER_H
#define SPILLWAY_STORAGE_INDEXER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "storage/record.h"

struct indexer;
struct store;
struct object;
struct table_entry;

/* What one synced record means to the catalog and the table. */
struct index_op {
	STAILQ_ENTRY(index_op) link;
	struct record record;  /* kind 0: no record, but what of the following is set: */
	uint32_t drop_volume;  /* this volume is no more */
	bool drop_grave;       /* tombstone record.seq of record.name's path is not needed; else */
			       /* forget the hidden version record.id if it is not 0 */
	char *text;            /* record.name's strings if they are the op's own; or NULL */
	struct object *object; /* a reference that keeps record.name's strings; or NULL */
	struct table_entry *settle; /* the catalog is as the table has it after this; or NULL */
	uint32_t volume;
	uint64_t body;    /* position of the body */
	uint64_t applied; /* of the volume, after this op's batch; 0: not the last op of a batch */
};

STAILQ_HEAD(index_queue, index_op);

/* Starts the thread. 0 or -errno. */
int indexer_start(struct store *store, struct indexer **out);

/* Applies what was submitted, then stops. Accepts a pointer to NULL. */
void indexer_stop(struct indexer **indexer);

/* An empty one that settles SETTLE, and holds a reference of its own to OBJECT; both may be NULL. */
struct index_op *indexer_new_op(struct object *object, struct table_entry *settle);

/* Takes over all of QUEUE, in log order. */
void indexer_submit(struct indexer *indexer, struct index_queue *queue);

/* Frees OP and what it refers to. */
void indexer_free_op(struct index_op *op);

/* 0, or -errno while the catalog can't be written. */
int indexer_health(const struct indexer *indexer);

#endif
