/* save.h - one version on its way to disk: what of it becomes which record, and what follows from it.
 *
 * Threads  the writer's until it ended, for the fields that say so; everything else the persister's only.
 * Owns     its references to objects; its entry is held. Freed by the persister, or by a writer_open
 *          that fails.
 */
#ifndef SPILLWAY_STORAGE_SAVE_H
#define SPILLWAY_STORAGE_SAVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <xxhash.h>

#include "base/mailbox.h"
#include "storage/blocks.h"
#include "storage/record.h"

struct batch;
struct batch_item;
struct object;
struct store_delete;
struct table_entry;
struct volume;
struct writer_receipt;

/* Pieces of memory that one record's body may consist of. */
#define SAVE_IOVS ((unsigned)(RECORD_BODY_MAX / TAIL_BLOCK_SIZE + 2))

/* Where it is of turns.h. */
enum save_place {
	SAVE_NOWHERE,
	SAVE_WAITS,      /* it grows, and has nothing that is due */
	SAVE_IS_READY,   /* it grows, and has a piece to write */
	SAVE_IS_AWAITED, /* it ended, or its writer waits for room */
	SAVE_IS_ENDING,  /* it ended, and all of it is in the batch */
	SAVE_PLACES
};

enum save_end { SAVE_GROWING, SAVE_FINISHED, SAVE_ABORTED };

struct save {
	struct object *object;     /* a reference */
	struct table_entry *entry; /* held (pending) */
	/* Set when it becomes current, before the object has its number. */
	bool shown;            /* it was readable before its end; else its FINAL makes it so */
	bool created;          /* no object had the path, as far as the table knows */
	bool ask_catalog;      /* the table does not know: created is up to the catalog */
	bool overtaken;        /* not hidden, and not current any more when it was finished */
	bool resumed;          /* it goes on with bytes that were there: nothing was created */
	struct object *former; /* a reference to what was current before it; or NULL */
	bool former_known;     /* the table knew what, if anything, was there */

	/* From the writer's thread. */
	struct letter grown;            /* posted when there is a piece to take */
	_Atomic bool queued;            /* grown is on its way */
	_Atomic bool urgent;            /* its writer waits for room: any piece is worth a write */
	struct letter ended;            /* posted once, last */
	enum save_end end;              /* set before ended is posted; read after */
	uint64_t hash;                  /* XXH3-64 of all bytes; set with SAVE_FINISHED */
	struct writer_receipt *receipt; /* set with SAVE_FINISHED */

	/* The persister's own. */
	TAILQ_ENTRY(save) link;
	enum save_place place;
	bool is_ended;            /* ended was delivered */
	bool opened;              /* its OPEN is in the log, or in the batch */
	bool hidden;              /* that OPEN was of a version that was not current yet */
	bool finaled;             /* the same of its FINAL */
	uint64_t saved;           /* bytes of the object in volumes, synced */
	uint64_t taken;           /* the same with those in the batch that is being made */
	struct tail_block *block; /* near taken */
	int64_t due_ms;           /* when what it has must be written, or had to */
};

/* Bytes of the object that are in no record yet. */
uint64_t save_unsaved(const struct save *save);

/* Puts what SAVE has into BATCH, in the order that keeps invariants 4 and 5 for any prefix of the log. STATE
 * is for hashing. False when the batch is full, or SAVE gave SHARE bytes (rounded up to a record). */
bool save_take(struct save *save, struct batch *batch, XXH3_state_t *state, uint64_t share);

/* Puts DEL's tombstone into BATCH. False when that is full. */
bool save_take_delete(struct store_delete *del, struct batch *batch);

/* ITEM is in VOLUME and synced: its bytes can be read there, their blocks may go (invariant 7). */
void save_keep(struct batch_item *item, struct volume *volume);

/* ITEM is not on disk: what it moved is moved back. The last item of a batch goes first. */
void save_roll_back(struct batch_item *item);

/* Whether every record that SAVE, which ended, was to get is in the log. */
bool save_is_stored(const struct save *save);

/* SAVE could not be stored and must not be served: its path shows what the log says of it. */
void save_lose(struct save *save);

#endif
