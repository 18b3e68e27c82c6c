/* store.h - all objects of one data directory.
 *
 * Threads  every function from any thread unless it says otherwise; none waits for the disk
 *          but store_open and store_close.
 */
#ifndef SPILLWAY_STORAGE_STORE_H
#define SPILLWAY_STORAGE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/mailbox.h"
#include "base/pool.h"
#include "storage/object.h"
#include "storage/writer.h"

#define STORE_PATH_MAX 1024 /* bytes of a decoded path, without the NUL */
#define STORE_WORKERS_MAX 64

struct streams;

struct store_config {
	const char *data_dir;
	bool sync;                /* false: survive kill -9 of the server only, not power loss */
	uint64_t volume_size;     /* bytes of one volume file; less if the disk has room for few */
	uint64_t memory_max;      /* bytes of resident objects that are idle */
	uint64_t tail_max;        /* bytes received and not yet on disk */
	int64_t resume_window_ms; /* readers of an object whose sender vanished wait for this long */
	int64_t writer_takeover_ms; /* a writer that says nothing for this long may be replaced */
	uint64_t disk_max;          /* bytes that all volumes may take; 0: see disk_percent */
	unsigned disk_percent;      /* the same as a part of the file system; 0: all it has */
	bool evict;       /* when there is no more: old objects go; else new ones are refused */
	unsigned workers; /* slots for object_watch */
	struct mailbox *const *mailboxes; /* one per worker; outlive the store */
};

/* Sensible values for everything but data_dir, workers and mailboxes. */
void store_config_defaults(struct store_config *config);

/* Locks the directory (created if missing), reads what is there, starts the threads.
 * 0, or -errno with the reason in WHY (a whole sentence that names the file):
 *   -EBUSY   another process serves this directory
 *   -EPROTO  a file was written by a newer spillway
 */
int store_open(const struct store_config *config, char *why, size_t why_size, struct store **out);

/* Writes everything received to disk, stops the threads, frees everything. No writer may be open,
 * no watcher watching; the workers delivered their mailboxes since, and do so once more afterwards,
 * for the letters that this posts. References to objects may remain only with the caller's own mistakes. */
void store_close(struct store **store);

/* Takes over what of CONFIG may change while everything runs: memory_max, disk_max and disk_percent, evict,
 * resume_window_ms, writer_takeover_ms. The rest is not looked at. */
void store_adjust(struct store *store, const struct store_config *config);

/* What happens on each stream. Lives as long as the store. */
struct streams *store_streams(struct store *store);

/* What /readyz asks: 0, or -errno with the reason why new bytes can't be stored now. */
int store_ready(struct store *store, char *why, size_t why_size);

/* Whether the thread that writes volumes has moved on since this was last asked. One thread asks. */
bool store_moved(struct store *store);

/* Whether the catalog is damaged: what a lookup does not find may be there, and a list may leave out paths. */
bool store_is_in_doubt(const struct store *store);

/* The current version of PATH, if that is known without the disk.
 *   0        *OUT holds a reference
 *   -ENOENT  there is none
 *   -EAGAIN  not known: store_load
 */
int store_find(struct store *store, const char *path, struct object **out);

/* A lookup that may ask the disk. The caller keeps the struct until LETTER is delivered. */
struct store_load {
	struct pool_job job;     /* private */
	struct store *store;     /* in */
	const char *path;        /* in: kept by the caller */
	bool to_extend;          /* in: also prepare it for a writer_open with EXISTING_APPEND */
	struct mailbox *mailbox; /* in */
	struct letter letter;    /* in: deliver is set */
	int result;              /* out: 0, -ENOENT, -EIO (the catalog can't be read), -ENOMEM */
	struct object *object;   /* out: a reference, when result is 0 */
	uint64_t news;           /* out: for hold_begin, when result is -ENOENT */
};

void store_load(struct store_load *load);

/* A deletion. The caller keeps the struct until LETTER is delivered. */
struct store_delete {
	struct mailbox *mailbox; /* in */
	struct letter letter;    /* in: deliver is set */
	int result;              /* out: 0 when the tombstone is on disk, -EIO, -ENOSPC */
	/* private */
	struct store *store;
	struct letter work;
	struct table_entry *entry;
	uint64_t seq;
	STAILQ_ENTRY(store_delete) link;
};

/* Takes OBJECT away if it is (still) the current version of its path: gone for every later find,
 * load and list, readers are told, its writer is cancelled. A version of the path that is being
 * written but not visible yet is not touched: it will become current later than this.
 *   0         LETTER is delivered when that survives a crash
 *   -ENOENT   it is not the current version any more; LETTER is not used
 *   -ENOMEM
 */
int store_delete(struct store *store, struct object *object, struct store_delete *del);

#endif
