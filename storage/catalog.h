/* catalog.h - the index of all objects, in LMDB: derived from the volumes, for lookup and LIST.
 *
 * Threads  one at a time between catalog_begin and catalog_commit or catalog_abort (the indexer); reads from any
 *          thread, each a short transaction of its own (invariant 12).
 * Errors   LMDB's codes become -errno here and nowhere else: -ENOSPC for a full map or disk, -EBADMSG for a
 *          value whose checksum is wrong, -EIO for the rest.
 */
#ifndef SPILLWAY_STORAGE_CATALOG_H
#define SPILLWAY_STORAGE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/record.h"

#define CATALOG_FORMAT 2

struct catalog;

/* Contiguous bytes of one object in one volume. */
struct extent {
	uint64_t offset;   /* in the object */
	uint64_t position; /* in the volume */
	uint64_t hash;     /* XXH3-64 of the bytes */
	uint32_t length;
	uint32_t volume;
};

/* One row: the current version of a path. */
struct catalog_row {
	uint64_t id, seq;
	struct record_name name;      /* size: of an open version, what of it is stored */
	bool open;                    /* no FINAL was seen, or bytes are missing */
	bool damaged;                 /* bytes are missing that were there */
	const struct extent *extents; /* ascending; NULL from catalog_list */
	size_t nextents;
};

/* Where the catalog stands in one volume. */
struct catalog_volume {
	uint32_t number;
	uint64_t applied; /* every record before this offset is in the catalog */
	uint64_t live;    /* bytes of bodies that some row or version under way refers to */
	uint64_t heads;   /* versions that need an OPEN or FINAL of theirs that is here */
};

/* The newest tombstone of a path that has no row, while a volume may hold what it hides: then one
 * with a number from SINCE to UNTIL. */
struct catalog_grave {
	uint64_t seq;
	uint32_t since, until;
};

/* Opens the catalog in file PATH; with CREATE an empty one is made if there is none, else that is -ENOENT.
 * -EPROTO: its format is newer than CATALOG_FORMAT; -EBADMSG: it is no catalog, or a damaged one. */
int catalog_open(const char *path, bool create, bool sync, struct catalog **out);

/* Opens one for reading only, and changes nothing. ALONE: nobody else has it open; else LMDB's lock file beside it
 * is used. Errors as above. */
int catalog_open_to_read(const char *path, bool alone, struct catalog **out);

void catalog_close(struct catalog **catalog);

/* Reads all of the catalog in file PATH: every row is intact and is found by its key, there are as many as there
 * should be, what volumes hold is counted right, no page is used twice. 0; -EBADMSG with the reason in WHY;
 * else as catalog_open_to_read. LMDB itself trusts what it reads, and may crash: see inspect.h. */
int catalog_check(const char *path, bool alone, char *why, size_t why_size);

/* A process that had the catalog open was killed: what it was reading needs not be kept. */
int catalog_clear_readers(struct catalog *catalog);

/* Calls VISIT for each volume the catalog knows, ascending, until it returns other than 0. */
int catalog_volumes(struct catalog *catalog,
		    int (*visit)(void *arg, const struct catalog_volume *volume), void *arg);

/* The highest id and sequence number that any applied record had. */
int catalog_highest(struct catalog *catalog, uint64_t *highest);

/* The newest time of becoming current that any applied record had; 0 if there was none. */
int catalog_newest(struct catalog *catalog, int64_t *mtime_ms);

/* Begins a write transaction. It ends on the thread that began it. */
int catalog_begin(struct catalog *catalog);

/* Applies RECORD, whose body lies at BODY in volume NUMBER. Applying the records of a log in
 * order, from any position that was applied before, ends in the same rows. An OPEN of a version that
 * has a row already goes on at its body_offset: stored bytes behind that are dropped. After an
 * error only catalog_abort is left. */
int catalog_apply(struct catalog *catalog, const struct record *record, uint32_t number,
		  uint64_t body);

/* Forgets the stored bytes of a hidden version that will never be current. In a write transaction,
 * like all down to catalog_commit. */
int catalog_forget(struct catalog *catalog, uint64_t id);

/* The same for all hidden versions: at the start nobody is writing. */
int catalog_forget_hidden(struct catalog *catalog);

/* Every record of volume NUMBER before APPLIED has been applied. */
int catalog_set_applied(struct catalog *catalog, uint32_t number, uint64_t applied);

/* Volume NUMBER is no more. Nothing referred to it. */
int catalog_drop_volume(struct catalog *catalog, uint32_t number);

/* The tombstone SEQ of the path is not needed any more. */
int catalog_drop_grave(struct catalog *catalog, const char *path, size_t length, uint64_t seq);

/* Makes it all durable, or drops it. A commit that fails has dropped it. */
int catalog_commit(struct catalog *catalog);
void catalog_abort(struct catalog *catalog);

/* Looks PATH up: VISIT is called with its row, whose memory is valid only within. -ENOENT if there is
 * none, else what VISIT returns. */
int catalog_find(struct catalog *catalog, const char *path,
		 int (*visit)(void *arg, const struct catalog_row *row), void *arg);

/* The grave of a path of LENGTH bytes; -ENOENT. */
int catalog_find_grave(struct catalog *catalog, const char *path, size_t length,
		       struct catalog_grave *grave);

/* The path of version ID, with its NUL, in PATH of SIZE bytes. *HIDDEN: it is under way, and not current.
 * -ENOENT: there is no such version any more, or one row has all of it. */
int catalog_find_owner(struct catalog *catalog, uint64_t id, char *path, size_t size, bool *hidden);

/* Calls VISIT for up to LIMIT rows that expire at NOW or before, those that are due longest first, until
 * it returns other than 0. */
int catalog_expired(struct catalog *catalog, int64_t now_ms, size_t limit,
		    int (*visit)(void *arg, const char *path, uint64_t id), void *arg);

/* Calls VISIT for the rows whose path begins with PREFIX and sorts after AFTER (NULL: all), in byte order,
 * until LIMIT rows were visited or VISIT returns other than 0, which is returned. *MORE tells
 * whether rows may follow. */
int catalog_list(struct catalog *catalog, const char *prefix, const char *after, size_t limit,
		 int (*visit)(void *arg, const struct catalog_row *row), void *arg, bool *more);

enum catalog_difference { CATALOG_DIFFERS, CATALOG_ONLY_FIRST, CATALOG_ONLY_SECOND };

/* Calls VISIT for what is not the same in both: rows of paths, parts, the order of expiry, bytes that live in
 * volumes. WHAT names it; IS_PATH: it is a path. Until it returns other than 0, which is returned. */
int catalog_compare(struct catalog *first, struct catalog *second,
		    int (*visit)(void *arg, enum catalog_difference difference, const char *what,
				 bool is_path),
		    void *arg);

#endif
