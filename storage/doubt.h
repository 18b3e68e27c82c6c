/* doubt.h - whether the catalog can be believed.
 *
 * LMDB has no checksums. A value is sealed by us (entry.h), but a damaged page may hide rows, or crash LMDB. So
 * every start has all of the catalog read by a child (inspect.h), and one that is read in a moment is not used
 * before that is done. A larger one is used meanwhile: a start must not take long. While that is so the file
 * catalog.unread stands beside it. If it is there at a start, a process ended before it knew, which may have
 * been anybody's kill -9; the second time in a row it may have been the catalog's fault, and catalog.suspect is
 * made. Who finds that waits for the child, and rebuilds what it finds damaged. What is found damaged while the
 * store is running leaves catalog.suspect, too, and makes the store doubt: then what the catalog does not have may
 * be there.
 *
 * Threads  doubt_note, doubt_is_held: any. The rest: the one that opens and closes the store.
 */
#ifndef SPILLWAY_STORAGE_DOUBT_H
#define SPILLWAY_STORAGE_DOUBT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct inspect;
struct store;

struct doubt {
	struct inspect *inspect; /* until its result is known; or NULL */
	pthread_t thread;        /* waits for that */
	bool watching;
	_Atomic bool held;
};

/* Has the catalog in file PATH read, and waits for the result if it comes soon, or must be waited for. 0: nothing
 * speaks against it, so far. -EBADMSG: it is damaged, WHY says how. */
int doubt_begin(struct store *store, const char *path, char *why, size_t why_size);

/* Another catalog takes its place, made from the volumes. */
void doubt_dispel(struct store *store);

/* store->catalog is open: goes on waiting for the result behind. 0 or -errno. */
int doubt_watch(struct store *store);

/* ERR came of reading or writing the catalog. */
void doubt_note(struct store *store, int err);

/* Whether it was found damaged. */
bool doubt_is_held(const struct doubt *doubt);

/* The catalog in the directory DIRFD was just made from the volumes, or read whole: nothing speaks against it. */
void doubt_clear_marks(int dirfd);

/* The store is closing. */
void doubt_end(struct store *store);

#endif
