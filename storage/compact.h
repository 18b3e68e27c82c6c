/* compact.h - volumes that are mostly dead are emptied: what still lives in them is copied into the active
 * one, so that they die.
 *
 * It is in nobody's way. Only a spare volume's room is used for it, never what new bytes need (but where they
 * are refused anyway, because nothing may go, that which is held back for deletions will do); one record
 * share is on its way to disk at a time, and after each the disk has a pause three times as long. A volume
 * is chosen only when three quarters of it are dead and it has stopped dying by itself: what is
 * about to expire is not worth a copy. When the disk gets full, it goes before the coldest volume if half of
 * it is dead, and there is no pause.
 *
 * A version with damaged bytes is never copied: its volume stays, which is reported once.
 *
 * Threads  the reclaimer.
 */
#ifndef SPILLWAY_STORAGE_COMPACT_H
#define SPILLWAY_STORAGE_COMPACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/survivors.h"

struct compact_note;
struct reclaim;
struct reclaim_volume;
struct transfer;

struct compact {
	uint32_t volume;            /* which is being emptied; 0: none */
	uint64_t bytes;             /* that go with it */
	struct survivors left;      /* of it, from NEXT on; */
	size_t next;                /* their sizes are counted in */
	uint64_t due;               /* bytes that are still to be copied, at most */
	struct transfer *transfer;  /* the one before NEXT, if it is not finished */
	bool in_need;               /* compact_in_need is at work */
	_Atomic int64_t quiet_ms;   /* a volume is chosen when no byte of it died for so long */
	struct compact_note *notes; /* of volumes that may be worth it */
	size_t nnotes;
	uint64_t alive; /* bytes of sealed volumes in which something lives */
	uint64_t least; /* bytes that a volume counts for, even if it has fewer */
};

void compact_init(struct compact *compact);

/* Goes on with what there is to do. Milliseconds after which it wants to be called again; -1: in time. */
int compact_run(struct reclaim *r);

/* The same at once, because there is too much on the disk. Whether it is at work. */
bool compact_urgently(struct reclaim *r);

/* The same when nothing may go and objects are refused: into what is held back for deletions. */
bool compact_in_need(struct reclaim *r);

/* VICTIM is to go with its SURVIVORS: copies those that somebody read in the last minutes, if they are but a
 * small part of it and there is room. */
void compact_keep_read(struct reclaim *r, const struct reclaim_volume *victim,
		       const struct survivors *survivors);

/* Gives up what is not finished, and frees everything. */
void compact_stop(struct reclaim *r);

#endif
