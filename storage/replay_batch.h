/* replay_batch.h - the records of one batch, kept back until it is known whether it was synced.
 *
 * A batch is synced before the next one is written and before anything of it is acknowledged. So only the
 * last batch of the log can be torn, and of a torn one nothing may be applied: its FINAL may be on
 * disk without its DATA, and would take away a version that was acknowledged.
 *
 * Threads  replay's.
 * Owns     copies of the records' strings.
 */
#ifndef SPILLWAY_STORAGE_REPLAY_BATCH_H
#define SPILLWAY_STORAGE_REPLAY_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/record.h"

struct catalog;

struct replay_item {
	struct record record;
	uint64_t body;
	char *strings;
};

struct replay_batch {
	uint32_t volume; /* 0: no batch */
	uint64_t start;  /* offset in the volume */
	uint64_t end;    /* the same of its last record's end */
	uint64_t next;   /* where the record after those seen begins, if none is missing */
	bool damaged;    /* a record is missing or its body is not what it says */
	struct replay_item *items;
	size_t count, size;
	size_t sound; /* items before the first damage */
};

/* Whether RECORD of volume NUMBER is in BATCH. */
bool replay_batch_holds(const struct replay_batch *batch, uint32_t number,
			const struct record *record);

/* Adds RECORD, which lies at POSITION, its body at BODY; the first one makes the batch. INTACT: its body has
 * its hash. 0 or -ENOMEM. */
int replay_batch_add(struct replay_batch *batch, uint32_t number, const struct record *record,
		     uint64_t position, uint64_t body, bool intact);

/* Whether every byte of it is there. */
bool replay_batch_is_whole(const struct replay_batch *batch);

/* Drops what comes at and after the first damage. */
void replay_batch_keep_sound(struct replay_batch *batch);

/* Applies what there is to CATALOG, and empties the batch. Errors of catalog_apply. */
int replay_batch_apply(struct replay_batch *batch, struct catalog *catalog);

/* Empties it. */
void replay_batch_clear(struct replay_batch *batch);

/* The same, and frees what it has. */
void replay_batch_free(struct replay_batch *batch);

#endif
