/* object.h - one version of one object: its bytes, as far as they exist, and what is known of them.
 *
 * A version is born by a PUT, grows while it is LIVE and then stops for good:
 * COMPLETE, INCOMPLETE (its sender vanished) or GONE (deleted). A replace makes
 * a new version; who reads the old one finishes on it.
 *
 * Threads  any number of readers on any thread; one writer (writer.h). The
 *          writer never waits for a reader.
 * Owns     references are counted; the last object_put frees it. Bytes that
 *          object_view lent stay valid until object_view_release.
 * Units    bytes from the start of the object; times in ms since the epoch.
 */
#ifndef SPILLWAY_STORAGE_OBJECT_H
#define SPILLWAY_STORAGE_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/mailbox.h"
#include "base/pool.h"

struct object;
struct stream;
struct tail_block;
struct volume;

enum object_state {
	OBJECT_LIVE,       /* a writer is adding bytes */
	OBJECT_COMPLETE,   /* every byte of the upload is here; etag is set */
	OBJECT_INCOMPLETE, /* the sender vanished; never to be taken for whole */
	OBJECT_GONE,       /* deleted, or lost to a failing disk: stop serving now */
};

struct object_status {
	enum object_state state;
	uint64_t length; /* bytes readable now; final unless state is OBJECT_LIVE */
};

/* Another reference to OBJECT, which the caller must already hold. Returns OBJECT. */
struct object *object_get(struct object *object);

/* When its newest bytes came, as clock_mono_us() counts; 0 if none came in this run. */
int64_t object_grown_us(const struct object *object);

/* Gives one reference back and sets *OBJECT to NULL. Accepts a pointer to NULL. */
void object_put(struct object **object);

/* State and length as one consistent pair: a state other than LIVE comes with the final length. */
struct object_status object_status(const struct object *object);

/* The path, percent-decoded, NUL-terminated, beginning with '/'. Lives as long as the object. */
const char *object_path(const struct object *object);

/* Where what happens to it is counted (streams.h); may be NULL. Lives as long as the object. */
struct stream *object_stream(const struct object *object);

/* The stored media type. Lives as long as the object. */
const char *object_type(const struct object *object);

/* When the version became current: when its PUT began (live) or ended (whole). */
int64_t object_mtime_ms(const struct object *object);

/* When it expires, or 0 for never. */
int64_t object_expires_ms(const struct object *object);

/* The XXH3-128 of a COMPLETE object's bytes in canonical (big-endian) form, else false. */
bool object_etag(const struct object *object, uint8_t etag[16]);

/* Bytes lent for reading. */
struct object_view {
	const void *data;
	size_t length;
	struct tail_block *block; /* what is pinned: this, */
	struct volume *volume;    /* or this */
};

/* Where one reader stands; makes the next view cheap. All zeros to begin with. */
struct object_cursor {
	struct tail_block *block;
	unsigned extent;
};

/* Lends contiguous bytes that begin at OFFSET, at most MAX, never past the present length.
 * Never waits for the disk.
 *   0             *VIEW is set, length > 0; give it back with object_view_release
 *   -EAGAIN       no byte at OFFSET yet, or the end: see object_status
 *   -EINPROGRESS  the bytes are on disk but not in memory, or not verified since
 *                 the start: object_warm, then ask again
 *   -EIO          the bytes are damaged or unreadable: cut the reader
 */
int object_view(struct object *object, struct object_cursor *cursor, uint64_t offset, size_t max,
		struct object_view *view);

/* The descriptor of the file that the bytes of VIEW lie in, too, and where: who sends them need not copy them (sendfile(2)).
 * Valid as long as VIEW. -1 when they are only in memory. */
int object_view_file(const struct object_view *view, off_t *offset);

/* Gives the bytes back. Any thread, also after the caller's reference to the object is gone. */
void object_view_release(struct object_view *view);

/* Drops what CURSOR holds on to. A reader that waits for its socket calls this, so
 * that a slow reader pins no memory. The cursor may be used again. */
void object_cursor_reset(struct object_cursor *cursor);

/* A request to bring bytes into memory and verify them, on a thread of the store's pool.
 * The caller holds a reference to the object and keeps the struct until LETTER is delivered. */
struct object_warm {
	struct pool_job job;     /* private */
	struct object *object;   /* in */
	uint64_t offset;         /* in: bytes around here are wanted */
	struct mailbox *mailbox; /* in: where to deliver */
	struct letter letter;    /* in: deliver is set */
	int result;              /* out: 0, or -EIO if they are damaged or unreadable */
};

void object_warm(struct object_warm *warm);

/* A reader that wants to know when the object grows or changes state.
 *
 * Threads  all three calls and WAKE happen on the one thread that owns the mailbox of
 *          slot WORKER in the store's configuration.
 */
struct object_watcher {
	struct object_watcher *next, *prev; /* private */
	void (*wake)(struct object_watcher *);
	struct object *object; /* private; NULL while not watching */
	unsigned worker;       /* private */
};

/* From now on watcher->wake is called after every growth or change of state, several at once
 * counted as one. What changed before this call returns is not announced: look at
 * object_status afterwards. wake may call object_unwatch, for itself or any other watcher.
 * Holds a reference to the object. 0 or -ENOMEM. Watching what is not LIVE is allowed: a
 * COMPLETE object can still be deleted. */
int object_watch(struct object *object, unsigned worker, struct object_watcher *watcher);

/* No wake-up comes after this. Accepts a watcher that is not watching. */
void object_unwatch(struct object_watcher *watcher);

#endif
