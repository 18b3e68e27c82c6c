/* blocks.h - the memory of all tails: recycled blocks under one budget.
 *
 * Threads  any. blocks_take never waits for a lock (invariant: the writer takes no mutex).
 * Owns     free blocks, until blocks_destroy. A taken block is counted, and comes back
 *          with its last reference.
 */
#ifndef SPILLWAY_STORAGE_BLOCKS_H
#define SPILLWAY_STORAGE_BLOCKS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAIL_BLOCK_TOTAL ((size_t)64 * 1024)
#define TAIL_BLOCK_SIZE (TAIL_BLOCK_TOTAL - 64) /* bytes of data in one block */

struct blocks;

/* One block of one object's tail. Its bytes below the tail's length never change. */
struct tail_block {
	_Atomic uint32_t refs;
	_Atomic(struct tail_block *) next; /* set once, by the writer; the free list uses it too */
	struct blocks *blocks;
	uint64_t index; /* position in the tail: bytes from index * TAIL_BLOCK_SIZE */
	_Alignas(64) unsigned char data[TAIL_BLOCK_SIZE];
};

_Static_assert(sizeof(struct tail_block) == TAIL_BLOCK_TOTAL, "a block is whole pages");

struct blocks {
	pthread_mutex_t lock; /* guards free, nfree; only ever tried by writers */
	struct tail_block *free;
	size_t nfree, keep;      /* blocks */
	_Atomic unsigned missed; /* blocks that were made because the list was contended */
	uint64_t max;            /* bytes that may be taken */
	_Atomic uint64_t taken;
	_Atomic bool wanted; /* a take was refused; cleared by who gives a block back */
	void (*announce)(void *arg);
	void *arg;
};

/* ANNOUNCE is called with ARG, on the thread that gives a block back, when blocks_take refused one since
 * it was called last. */
void blocks_init(struct blocks *blocks, uint64_t max_bytes, void (*announce)(void *arg), void *arg);

/* Frees what is free. Every block must have come back. */
void blocks_destroy(struct blocks *blocks);

/* A block with one reference, or NULL when the budget is used up or there is no memory. */
struct tail_block *blocks_take(struct blocks *blocks);

struct tail_block *tail_block_get(struct tail_block *block);
void tail_block_put(struct tail_block *block);

#endif
