/* copy.h - a version that is written again with all its bytes, because a volume that it is in is to go.
 *
 * The copy has an id of its own and the sequence number of the version. Of two versions with one number the
 * higher id wins, so it takes the version's place with its last record: a FINAL, or the OPEN of an
 * incomplete one. Until that is in the log it is a hidden version like any other that was not finished.
 *
 * It may end only while nothing else of the path is on its way, so that its last record comes before
 * those of whatever is newer. From then until that record is synced, nobody may begin to append to the
 * version: who wants to waits for a moment (struct object, copying).
 *
 * Threads  copy_open and copy_close: the reclaimer. The rest: the persister, between the two.
 * Owns     a reference to the object, a hold of its entry until the last record was written, references to
 *          volumes.
 */
#ifndef SPILLWAY_STORAGE_COPY_H
#define SPILLWAY_STORAGE_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/catalog.h"

struct object;
struct store;
struct stored_extent;
struct table_entry;
struct volume;

struct copy {
	struct store *store;
	struct object *object;
	struct table_entry *entry;
	uint64_t id;             /* of the copy */
	uint64_t seq;            /* of the version */
	struct record_name name; /* of the version; strings are the object's */
	bool open;               /* it is incomplete */
	struct extent *from;     /* where its bytes are, in order */
	unsigned nfrom;
	/* The persister's, until the letter of the last record. */
	struct stored_extent *extents; /* where they are copied to: room for as many */
	unsigned nextents;
	int err; /* of the first record that was not written */
};

/* Begins to copy version ID of PATH.
 *   0
 *   -ENOENT   it is not the current version any more
 *   -EBUSY    it is being written, or something of its path is not in the catalog yet
 *   -EBADMSG  bytes of it are missing, or its row is damaged
 *   -errno    the catalog or a volume can't be read
 */
int copy_open(struct store *store, const char *path, uint64_t id, struct copy **out);

/* Frees COPY. SETTLED: its last record was written, and the indexer has settled the entry, or will. */
void copy_close(struct copy **copy, bool settled);

/* Whether its last record may be written now. If so, copy_install or copy_roll_back follows. */
bool copy_may_end(struct copy *copy);

/* The last record was not written. */
void copy_roll_back(struct copy *copy);

/* Bytes AT of the copy are in VOLUME, synced. At most as many times as there are extents. */
void copy_add(struct copy *copy, const struct extent *at, struct volume *volume);

/* The last record is synced: the version is read from its new place. */
void copy_install(struct copy *copy);

#endif
