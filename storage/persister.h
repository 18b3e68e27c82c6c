/* persister.h - the one thread that writes volumes.
 *
 * It takes the bytes of growing objects when there are enough of them (256 KiB), when a second has passed
 * or when they are complete, appends them to the active volume as one batch, syncs that with one
 * fdatasync for all, and only then acknowledges, frees tail blocks (invariant 7) and hands the
 * records to the indexer.
 *
 * Per path, records get into the log in the order of their sequence numbers: one that comes after a
 * newer one was logged is dropped (invariants 4 and 5 hold for any prefix of the log).
 */
#ifndef SPILLWAY_STORAGE_PERSISTER_H
#define SPILLWAY_STORAGE_PERSISTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/mailbox.h"

struct persister;
struct store;
struct object;
struct table_entry;
struct tail_block;
struct store_delete;
struct writer_receipt;

#define PERSIST_PIECE ((uint64_t)256 * 1024) /* worth a write while an object grows */

enum save_end { SAVE_GROWING, SAVE_FINISHED, SAVE_ABORTED };

/* One version on its way to disk: made by writer_open, freed by the persister. */
struct save {
	struct object *object;     /* a reference */
	struct table_entry *entry; /* held (pending) */
	/* Set when it becomes current, before the object has its number. */
	bool created;              /* no object had the path, as far as the table knows */
	bool ask_catalog;          /* the table does not know: created is up to the catalog */
	bool overtaken;            /* not hidden, and not current any more when it was finished */
	bool resumed;              /* it goes on with bytes that were there: nothing was created */
	struct object *former;     /* a reference to what was current before it; or NULL */
	bool former_known;         /* the table knew what, if anything, was there */

	/* From the writer's thread. */
	struct letter grown;   /* posted when there is a piece to take */
	_Atomic bool queued;   /* grown is on its way */
	_Atomic bool urgent;   /* its writer waits for room: any piece is worth a write */
	struct letter ended;   /* posted once, last */
	enum save_end end;     /* set before ended is posted; read after */
	struct writer_receipt *receipt; /* set with SAVE_FINISHED */

	/* The persister's own. */
	TAILQ_ENTRY(save) link; /* in growing or ready */
	bool is_ready;
	bool is_ended;       /* ended was delivered */
	bool opened;         /* its OPEN is in the log, or in the batch */
	bool hidden;         /* that OPEN was of a version that was not current yet */
	bool finaled;        /* the same of its FINAL */
	bool superseded;     /* something newer of the path was logged first */
	uint64_t saved;      /* bytes of the object in volumes, synced */
	uint64_t taken;      /* the same with those in the batch that is being made */
	struct tail_block *block; /* near taken */
	int64_t due_ms;      /* when what it has must be written; 0: it has nothing unsaved */
};

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

/* 0, or -errno of the last attempt to write when nothing could be written since. */
int persister_health(const struct persister *persister);

#endif
