/* listing.h - paths by prefix, in byte order, a page at a time.
 *
 * Every object that existed when the listing began and still does is in it, growing ones included,
 * and none whose DELETE was answered before it began. Memory: one page, and the names that
 * changed within the last second.
 *
 * Threads  a listing belongs to one worker; pages are made on a thread of the store's pool.
 */
#ifndef SPILLWAY_STORAGE_LISTING_H
#define SPILLWAY_STORAGE_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "base/pool.h"
#include "storage/object.h"

struct store;
struct listing;

#define LISTING_PAGE 1000 /* rows at most; a page is one short catalog transaction */

struct listing_row {
	const char *path; /* in the page's own memory, NUL-terminated */
	const char *type;
	uint64_t size;
	int64_t mtime_ms;
	int64_t expires_ms; /* 0: never */
	enum object_state state;
	bool has_etag;
	uint8_t etag[16];
};

struct listing_page {
	struct pool_job job;                   /* private */
	struct listing *listing;               /* private */
	struct mailbox *mailbox;               /* in */
	struct letter letter;                  /* in: deliver is set */
	int result;                            /* out: 0, -EIO, -ENOMEM */
	size_t count;                          /* out: rows; 0 at the end */
	bool last;                             /* out: nothing follows these rows */
	struct listing_row rows[LISTING_PAGE]; /* out: valid until the next page or close */
};

/* Begins a listing of paths that start with PREFIX ("/" or longer) and sort after AFTER (a path, or NULL
 * for all). Both are copied. 0 or -ENOMEM. */
int listing_open(struct store *store, const char *prefix, const char *after, struct listing **out);

/* Makes the next page; PAGE->letter is delivered when it is there. One page at a time. */
void listing_next(struct listing *listing, struct listing_page *page);

/* Frees it. Not while a page is being made. Accepts a pointer to NULL. */
void listing_close(struct listing **listing);

#endif
