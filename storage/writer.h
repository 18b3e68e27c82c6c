/* writer.h - the one hand that adds bytes to one version.
 *
 * Threads  one at a time: a writer belongs to the worker that opened it. No call
 *          waits for a lock that a reader or the disk may hold.
 * Owns     the caller owns the writer until writer_finish or writer_abort.
 */
#ifndef SPILLWAY_STORAGE_WRITER_H
#define SPILLWAY_STORAGE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"

struct store;
struct writer;
struct object;

enum publish { PUBLISH_LIVE, PUBLISH_WHOLE };
enum existing {
	EXISTING_REPLACE,
	EXISTING_APPEND,
	EXISTING_REFUSE,
	EXISTING_CONTINUE, /* append at a given offset, which must be the present end */
};

struct writer_config {
	const char *path;         /* decoded, NUL-terminated; copied */
	const char *content_type; /* copied */
	enum publish publish;
	enum existing existing;
	int64_t ttl_ms;     /* 0: never expires */
	bool absent;        /* a store_load of this path just answered -ENOENT */
	bool refuse_second; /* -EBUSY, and no version of its own, while another is being written */
	bool refuse_complete; /* CONTINUE: -EEXIST if what is there is complete */
	uint64_t offset;      /* CONTINUE */
	uint64_t length;      /* out, with -ERANGE: the present length */

	/* It is only valid while EXPECTED is the current version (NULL: while there is none); the caller
	 * holds the reference. A version that is hidden until it is complete is judged again then. */
	bool conditional;
	struct object *expected;
};

/* Begins a version. A LIVE one is current, readable and listed when this returns; a WHOLE one when it is
 * finished. One whose path another writer is still writing is current when it is finished, or as soon as the
 * other vanishes or is silent for the store's writer_takeover_ms. APPEND and CONTINUE go on with the version
 * that is there; within the store's resume_window_ms after its sender vanished they do so in place, and
 * its readers notice nothing.
 *   0
 *   -EAGAIN   all but an unconditional REPLACE must know what exists: store_load the path (for APPEND
 *             and CONTINUE with to_extend), then call again
 *   -ESTALE   conditional, and EXPECTED is not what is there (any more)
 *   -ERANGE   existing is CONTINUE and offset is not the present length, which is in config->length
 *   -EEXIST   the path exists and existing is REFUSE
 *   -EBUSY    existing is APPEND or CONTINUE and the object is being written, or not on disk yet
 *   -ENOSPC   the disk is full and nothing may go
 *   -ENOMEM
 */
int writer_open(struct store *store, struct writer_config *config, struct writer **out);

/* The version that is being written; the writer holds the reference. */
struct object *writer_object(const struct writer *writer);

/* Lends memory for the next bytes: at least 1, at most a tail block. Fill any part of it from the
 * start, then writer_commit. 0 when the tail budget is used up: stop reading from the sender,
 * call writer_await_room and try again when its letter came. */
size_t writer_reserve(struct writer *writer, void **space);

/* A wish to be told when the tail may have room again. */
struct writer_room {
	struct writer_room *next, *prev; /* private */
	struct mailbox *mailbox;         /* in */
	struct letter letter;            /* in: deliver is set */
	bool waiting;                    /* private: in the queue, not posted yet */
};

/* After writer_reserve answered 0: ROOM's letter is delivered once, when it is worth another try. */
void writer_await_room(struct writer *writer, struct writer_room *room);

/* Takes the wish back, on the thread that owns MAILBOX. True: the letter will not come. False: it is
 * on its way and will still be delivered. */
bool writer_forget_room(struct writer *writer, struct writer_room *room);

/* Publishes LENGTH bytes of the last reserve: readers everywhere see them now. */
void writer_commit(struct writer *writer, size_t length);

/* The object was deleted by someone (or lost to a failing disk) while it was being written: answer
 * 410 and abort. */
bool writer_cancelled(const struct writer *writer);

/* How an upload ended. */
struct writer_receipt {
	struct mailbox *mailbox; /* in: where to deliver */
	struct letter letter;    /* in: deliver is set */
	int result;              /* out: 0, or -ENOSPC or -EIO: it is not on disk */
	bool created;            /* out: no object had this path (201), else 204 */
	bool cancelled;          /* out: the object was deleted meanwhile, or what a WHOLE one was
				  * to be appended to is not current any more: 410 */
	bool stale;              /* out: what it was to replace is not there any more: 412 */
	uint8_t etag[16];        /* out: XXH3-128 of the whole object */
};

/* The body is complete. Readers see the end at once; RECEIPT's letter is delivered when every byte
 * and the name are on disk. Consumes the writer; the caller keeps RECEIPT until then. Every
 * receipt is delivered before store_close returns. */
void writer_finish(struct writer **writer, struct writer_receipt *receipt);

/* The sender vanished: a live version becomes INCOMPLETE when nobody goes on with it within the resume
 * window, one that nobody could see yet is dropped.
 * Consumes the writer. Accepts a pointer to NULL. */
void writer_abort(struct writer **writer);

/* The sender was refused and knows it: as writer_abort, but nobody waits for another one to go on. */
void writer_drop(struct writer **writer);

#endif
