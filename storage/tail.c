#include "storage/tail.h"

#include <stdbool.h>

#include "base/check.h"

void
tail_init(struct tail *tail, uint64_t base)
{
	atomic_init(&tail->length, base);
	tail->base = base;
	atomic_init(&tail->first, NULL);
	atomic_init(&tail->kept_from, base);
	tail->last = NULL;
}

/* Bytes of the chain up to the end of BLOCK. */
static uint64_t
block_end(const struct tail *tail, const struct tail_block *block)
{
	return tail->base + (block->index + 1) * TAIL_BLOCK_SIZE;
}

size_t
tail_reserve(struct tail *tail, struct blocks *blocks, void **space)
{
	uint64_t length = atomic_load_explicit(&tail->length, memory_order_relaxed);
	struct tail_block *last = tail->last;
	size_t used;

	if (last == NULL || length == block_end(tail, last)) {
		struct tail_block *block = blocks_take(blocks);

		if (block == NULL)
			return 0;
		block->index = (length - tail->base) / TAIL_BLOCK_SIZE;
		if (last == NULL)
			atomic_store_explicit(&tail->first, block, memory_order_release);
		else
			atomic_store_explicit(&last->next, block, memory_order_release);
		tail->last = last = block;
	}
	used = (size_t)((length - tail->base) % TAIL_BLOCK_SIZE);
	*space = last->data + used;
	return TAIL_BLOCK_SIZE - used;
}

void
tail_commit(struct tail *tail, size_t length)
{
	uint64_t now = atomic_load_explicit(&tail->length, memory_order_relaxed);

	CHECK(now + length <= block_end(tail, tail->last));
	atomic_store(&tail->length, now + length);
}

struct tail_block *
tail_find(struct tail *tail, uint64_t offset, struct tail_block *hint)
{
	struct tail_block *block = atomic_load_explicit(&tail->first, memory_order_acquire);
	uint64_t index;

	if (block == NULL || offset < tail->base)
		return NULL;
	index = (offset - tail->base) / TAIL_BLOCK_SIZE;
	if (index < block->index)
		return NULL;
	/* A hint that is still in the chain saves the walk; its next is in the chain too. */
	if (hint != NULL && hint->index >= block->index && hint->index <= index)
		block = hint;
	while (block != NULL && block->index < index)
		block = atomic_load_explicit(&block->next, memory_order_acquire);
	return block;
}

size_t
tail_bytes(const struct tail *tail, struct tail_block *block, uint64_t offset, size_t max,
	   unsigned char **bytes)
{
	uint64_t length = atomic_load(&tail->length);
	uint64_t end = block_end(tail, block);
	uint64_t available;

	CHECK(offset >= end - TAIL_BLOCK_SIZE && offset < end);
	if (length < end)
		end = length;
	available = end > offset ? end - offset : 0;
	*bytes = block->data + (offset - tail->base) % TAIL_BLOCK_SIZE;
	return available < max ? (size_t)available : max;
}

struct tail_block *
tail_trim(struct tail *tail, uint64_t offset, int sealed, struct tail_block **stop)
{
	struct tail_block *chain = atomic_load_explicit(&tail->first, memory_order_acquire);
	uint64_t length = atomic_load(&tail->length);
	struct tail_block *block = chain;

	while (block != NULL) {
		struct tail_block *next = atomic_load_explicit(&block->next, memory_order_acquire);

		/* The writer still points at a last block, even at a full one. */
		if (next == NULL ? !sealed || offset < length : offset < block_end(tail, block))
			break;
		block = next;
	}
	if (block != chain) {
		atomic_store(&tail->kept_from,
			     block != NULL ? block_end(tail, block) - TAIL_BLOCK_SIZE : length);
		atomic_store_explicit(&tail->first, block, memory_order_release);
	}
	*stop = block;
	return chain;
}

void
tail_drop(struct tail_block *chain, struct tail_block *stop)
{
	while (chain != stop) {
		struct tail_block *next = atomic_load_explicit(&chain->next, memory_order_relaxed);

		tail_block_put(chain);
		chain = next;
	}
}

void
tail_free(struct tail *tail)
{
	tail_drop(atomic_exchange(&tail->first, NULL), NULL);
	tail->last = NULL;
}
