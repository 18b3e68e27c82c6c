/* blocks_test.c - the memory of all tails stays within its budget. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "storage/blocks.h"

#define THREADS 4

static unsigned announced;

static void
announce(void *arg)
{
	(void)arg;
	announced++;
}

static void
no_more_than_the_budget_is_given_out(void **state)
{
	struct tail_block *held[8];
	struct blocks blocks;

	(void)state;
	blocks_init(&blocks, 8 * TAIL_BLOCK_TOTAL + 5, announce, NULL);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 8; i++) {
			held[i] = blocks_take(&blocks);
			assert_non_null(held[i]);
			memset(held[i]->data, (int)i, sizeof(held[i]->data));
		}
		assert_null(blocks_take(&blocks));
		assert_null(blocks_take(&blocks));
		for (unsigned i = 0; i < 8; i++) {
			assert_int_equal(held[i]->data[TAIL_BLOCK_SIZE - 1], i);
			tail_block_put(held[i]);
		}
		assert_int_equal(blocks.taken, 0);
	}
	blocks_destroy(&blocks);
}

static void
a_block_comes_back_with_its_last_reference(void **state)
{
	struct tail_block *block;
	struct blocks blocks;

	(void)state;
	blocks_init(&blocks, TAIL_BLOCK_TOTAL, announce, NULL);
	block = blocks_take(&blocks);
	assert_ptr_equal(tail_block_get(block), block);
	tail_block_put(block);
	assert_null(blocks_take(&blocks));
	tail_block_put(block);
	block = blocks_take(&blocks);
	assert_non_null(block);
	tail_block_put(block);
	blocks_destroy(&blocks);
}

/* Memory that a reader held on to comes back at any time, not only when the disk got bytes. */
static void
who_was_refused_is_told_of_the_next_block_that_comes_back(void **state)
{
	struct tail_block *a, *b;
	struct blocks blocks;

	(void)state;
	announced = 0;
	blocks_init(&blocks, 2 * TAIL_BLOCK_TOTAL, announce, NULL);
	a = blocks_take(&blocks);
	b = blocks_take(&blocks);
	tail_block_put(a);
	assert_int_equal(announced, 0); /* nobody wanted it */
	a = blocks_take(&blocks);
	assert_null(blocks_take(&blocks));
	tail_block_get(b);
	tail_block_put(b);
	assert_int_equal(announced, 0);
	tail_block_put(b);
	assert_int_equal(announced, 1);
	tail_block_put(a);
	assert_int_equal(announced, 1);
	blocks_destroy(&blocks);
}

/* Who finds the list contended makes a block; one goes when one comes back, else the list would grow for ever. */
static void
a_contended_list_does_not_grow(void **state)
{
	struct tail_block *held[2];
	struct blocks blocks;

	(void)state;
	blocks_init(&blocks, 64 * TAIL_BLOCK_TOTAL, announce, NULL);
	tail_block_put(blocks_take(&blocks));
	for (unsigned i = 0; i < 10; i++) {
		pthread_mutex_lock(&blocks.lock);
		held[0] = blocks_take(&blocks);
		pthread_mutex_unlock(&blocks.lock);
		assert_non_null(held[0]);
		tail_block_put(held[0]);
		assert_int_equal(blocks.nfree, 1);
	}
	/* What is needed at once is kept as before. */
	held[0] = blocks_take(&blocks);
	held[1] = blocks_take(&blocks);
	tail_block_put(held[0]);
	tail_block_put(held[1]);
	assert_int_equal(blocks.nfree, 2);
	blocks_destroy(&blocks);
}

struct taker {
	pthread_t thread;
	struct blocks *blocks;
	unsigned seed, wrong;
};

static void *
taker_main(void *arg)
{
	struct taker *taker = arg;
	struct tail_block *held[16] = {NULL};

	for (unsigned i = 0; i < 20000; i++) {
		struct tail_block **slot = &held[(taker->seed = taker->seed * 69069 + 1) >> 28];

		if (*slot == NULL) {
			*slot = blocks_take(taker->blocks);
			if (*slot != NULL)
				memset((*slot)->data, (int)(taker->seed & 255), 8);
		} else {
			tail_block_put(*slot);
			*slot = NULL;
		}
		if (atomic_load(&taker->blocks->taken) > (32 + THREADS) * TAIL_BLOCK_TOTAL)
			taker->wrong++;
	}
	for (unsigned i = 0; i < 16; i++)
		if (held[i] != NULL)
			tail_block_put(held[i]);
	return NULL;
}

static void
quiet(void *arg)
{
	(void)arg;
}

static void
threads_take_and_give_back_together(void **state)
{
	struct taker takers[THREADS];
	struct blocks blocks;

	(void)state;
	blocks_init(&blocks, 32 * TAIL_BLOCK_TOTAL, quiet, NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		takers[i] = (struct taker){.blocks = &blocks, .seed = i};
		assert_int_equal(pthread_create(&takers[i].thread, NULL, taker_main, &takers[i]),
				 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(takers[i].thread, NULL);
		assert_int_equal(takers[i].wrong, 0);
	}
	assert_int_equal(blocks.taken, 0);
	assert_true(blocks.nfree <= 8);
	blocks_destroy(&blocks);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_more_than_the_budget_is_given_out),
		cmocka_unit_test(a_block_comes_back_with_its_last_reference),
		cmocka_unit_test(a_contended_list_does_not_grow),
		cmocka_unit_test(who_was_refused_is_told_of_the_next_block_that_comes_back),
		cmocka_unit_test(threads_take_and_give_back_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
