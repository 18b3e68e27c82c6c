#include "storage/blocks.h"

#include <sys/mman.h>

#include "base/check.h"
#include "base/metrics.h"

void
blocks_init(struct blocks *blocks, uint64_t max_bytes, void (*announce)(void *arg), void *arg)
{
	pthread_mutex_init(&blocks->lock, NULL);
	blocks->free = NULL;
	blocks->nfree = 0;
	/* What a burst took beyond this goes back to the system. */
	blocks->keep = (size_t)(max_bytes / 4 / TAIL_BLOCK_TOTAL);
	blocks->max = max_bytes;
	atomic_init(&blocks->missed, 0);
	atomic_init(&blocks->taken, 0);
	atomic_init(&blocks->wanted, false);
	blocks->announce = announce;
	blocks->arg = arg;
}

void
blocks_destroy(struct blocks *blocks)
{
	CHECK(atomic_load(&blocks->taken) == 0);
	while (blocks->free != NULL) {
		struct tail_block *block = blocks->free;

		blocks->free = atomic_load_explicit(&block->next, memory_order_relaxed);
		munmap(block, TAIL_BLOCK_TOTAL);
	}
	pthread_mutex_destroy(&blocks->lock);
}

/* One of the list; NULL if that is empty, or contended, which is as good: the writer does not wait. */
static struct tail_block *
recycled(struct blocks *blocks, bool *contended)
{
	struct tail_block *block;

	*contended = pthread_mutex_trylock(&blocks->lock) != 0;
	if (*contended)
		return NULL;
	block = blocks->free;
	if (block != NULL) {
		blocks->free = atomic_load_explicit(&block->next, memory_order_relaxed);
		blocks->nfree--;
	}
	pthread_mutex_unlock(&blocks->lock);
	return block;
}

/* Counts one more block, if the budget has room for it. Never beyond it, not even for a moment: that
 * would refuse another taker for whom there is room, and nobody would tell it. */
static bool
charge(struct blocks *blocks)
{
	uint64_t taken = atomic_load(&blocks->taken);

	do
		if (taken + TAIL_BLOCK_TOTAL > blocks->max)
			return false;
	while (!atomic_compare_exchange_weak(&blocks->taken, &taken, taken + TAIL_BLOCK_TOTAL));
	return true;
}

struct tail_block *
blocks_take(struct blocks *blocks)
{
	struct tail_block *block;
	bool contended;

	if (!charge(blocks)) {
		/* Who gives back lowers taken, then looks at wanted; here it is the other way
		 * round, so that one of the two sees the other. */
		atomic_store(&blocks->wanted, true);
		if (!charge(blocks))
			return NULL;
	}
	block = recycled(blocks, &contended);
	if (block == NULL) {
		block = mmap(NULL, TAIL_BLOCK_TOTAL, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (block == MAP_FAILED) {
			atomic_fetch_sub(&blocks->taken, TAIL_BLOCK_TOTAL);
			return NULL;
		}
		if (contended)
			atomic_fetch_add_explicit(&blocks->missed, 1, memory_order_relaxed);
	}
	atomic_init(&block->refs, 1);
	atomic_init(&block->next, NULL);
	block->blocks = blocks;
	metric_add(METRIC_tail_bytes, TAIL_BLOCK_TOTAL);
	return block;
}

struct tail_block *
tail_block_get(struct tail_block *block)
{
	atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
	return block;
}

/* Whether a block that comes back may go for one that was made though another one was free. */
static bool
repay(struct blocks *blocks)
{
	unsigned missed = atomic_load_explicit(&blocks->missed, memory_order_relaxed);

	/* Only takers add meanwhile: the lock is held. */
	if (missed > 0)
		atomic_fetch_sub_explicit(&blocks->missed, 1, memory_order_relaxed);
	return missed > 0;
}

void
tail_block_put(struct tail_block *block)
{
	struct blocks *blocks = block->blocks;

	if (atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_lock(&blocks->lock);
	/* Else each contended take would make the list longer, until it is as long as it may be. */
	if (!repay(blocks) && blocks->nfree < blocks->keep) {
		atomic_store_explicit(&block->next, blocks->free, memory_order_relaxed);
		blocks->free = block;
		blocks->nfree++;
		block = NULL;
	}
	pthread_mutex_unlock(&blocks->lock);
	if (block != NULL)
		munmap(block, TAIL_BLOCK_TOTAL);
	metric_add(METRIC_tail_bytes, -(int64_t)TAIL_BLOCK_TOTAL);
	atomic_fetch_sub(&blocks->taken, TAIL_BLOCK_TOTAL);
	if (atomic_load(&blocks->wanted) && atomic_exchange(&blocks->wanted, false))
		blocks->announce(blocks->arg);
}
