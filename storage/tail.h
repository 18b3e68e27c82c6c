/* tail.h - the growing end of an object, in memory: a chain of blocks.
 *
 * Threads  one writer (tail_reserve, tail_commit), which takes no lock. Readers and the persister go
 *          through the chain under the object's lock, which guards only the dropping of its front.
 * Owns     one reference to each block from first on; a block that somebody else holds outlives its place
 *          in the chain.
 * Units    bytes from the start of the object.
 */
#ifndef SPILLWAY_STORAGE_TAIL_H
#define SPILLWAY_STORAGE_TAIL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "storage/blocks.h"

struct tail {
	_Atomic uint64_t length;            /* of the object; stored by the writer only */
	uint64_t base;                      /* where block 0 begins */
	_Atomic(struct tail_block *) first; /* oldest kept; NULL if none */
	_Atomic uint64_t kept_from;         /* bytes before this are not in the chain any more */
	struct tail_block *last;            /* the writer's */
};

/* An empty tail of an object that has BASE bytes already. */
void tail_init(struct tail *tail, uint64_t base);

/* Writer: room for at least one byte behind the length, in *SPACE; 0 when BLOCKS are used up. */
size_t tail_reserve(struct tail *tail, struct blocks *blocks, void **space);

/* Writer: makes LENGTH bytes of the last reserve visible, with a sequentially consistent store: what
 * a reader armed before it looked at the length, the writer sees after it. */
void tail_commit(struct tail *tail, size_t length);

/* The block that holds OFFSET, or NULL if it was dropped or not written yet. HINT is a block that the
 * caller holds, or NULL. The object's lock is held. */
struct tail_block *tail_find(struct tail *tail, uint64_t offset, struct tail_block *hint);

/* The bytes of BLOCK from OFFSET on, as far as it reaches and at most MAX. Returns their number. */
size_t tail_bytes(const struct tail *tail, struct tail_block *block, uint64_t offset, size_t max,
		  unsigned char **bytes);

/* Takes blocks that lie wholly before OFFSET off the chain, and the last one too if SEALED (the
 * writer is gone). They are returned as a chain by next, whose references are now the caller's to drop
 * with tail_drop, outside the lock. The object's lock is held. */
struct tail_block *tail_trim(struct tail *tail, uint64_t offset, int sealed,
			     struct tail_block **stop);

/* Drops the references to the blocks from CHAIN up to, not including, STOP. */
void tail_drop(struct tail_block *chain, struct tail_block *stop);

/* Drops everything; nobody else looks any more. */
void tail_free(struct tail *tail);

#endif
