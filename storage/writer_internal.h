/* writer_internal.h - a writer as writer.c and handover.c see it. */
#ifndef SPILLWAY_STORAGE_WRITER_INTERNAL_H
#define SPILLWAY_STORAGE_WRITER_INTERNAL_H

#include <stdatomic.h>
#include <xxhash.h>

#include "storage/persister.h"
#include "storage/table.h"
#include "storage/writer.h"

enum writer_role {
	WRITER_CURRENT, /* its version is, or was, the path's current one */
	WRITER_WHOLE,   /* hidden until it is complete, because the rule says so */
	WRITER_RIVAL,   /* hidden because another was writing; may take over */
	WRITER_PARKED, /* CURRENT without a sender; belongs to the store until someone resumes it */
};

struct writer {
	struct store *store;
	struct object *object; /* a reference */
	struct save *save;     /* given to the persister at the end */
	bool extends;          /* hidden, and the bytes of another version are its beginning */
	bool keep_hash;        /* the object may be appended to: its hash state is worth keeping */
	bool conditional;      /* hidden, and to become current only in place of expected */
	struct object *expected; /* a reference, or NULL for nothing */
	bool announced;          /* the persister knows of it */
	uint64_t told;           /* length when the persister was last told */
	int64_t begun_ms;        /* mono */
	uint64_t news;           /* room_news when the last reserve failed */
	void *space;             /* of the last reserve */
	XXH3_state_t *hash;
	_Atomic int64_t active_ms; /* mono: when it last had bytes; its own thread's */

	/* Guarded by the shard of its path. */
	enum writer_role role;
	TAILQ_ENTRY(writer) link; /* RIVAL: in shard->rivals; PARKED: in shard->parked */
	int64_t deadline_ms;      /* PARKED: mono */
};

/* Makes the version of WRITER, which is not current yet, what everybody gets. The shard is locked. */
void writer_make_current(struct writer *writer);

/* Ends a version without its end: INCOMPLETE if it was seen, else as if it had never been. Consumes the
 * writer, which is in no list. The shard is locked. */
void writer_lose(struct writer *writer);

void writer_free(struct writer **writer);

#endif
