/* tail_test.c - a chain of blocks that grows at one end and is dropped at the other. */
#include <stdlib.h>
#include <string.h>

#include "storage/tail.h"
#include "tests/storage/fixture.h"

static void
quiet(void *arg)
{
	(void)arg;
}

/* Appends bytes [FROM, FROM + LENGTH) of upload 1 in pieces of at most PIECE. */
static void
grow(struct tail *tail, struct blocks *blocks, uint64_t length, size_t piece)
{
	while (length > 0) {
		uint64_t at = atomic_load(&tail->length);
		void *space;
		size_t size = tail_reserve(tail, blocks, &space);

		assert_true(size > 0);
		if (size > length)
			size = (size_t)length;
		if (size > piece)
			size = piece;
		fixture_bytes(1, at, space, size);
		tail_commit(tail, size);
		assert_int_equal(atomic_load(&tail->length), at + size);
		length -= size;
	}
}

static void
trim(struct tail *tail, uint64_t offset, int sealed)
{
	struct tail_block *stop, *chain = tail_trim(tail, offset, sealed, &stop);

	tail_drop(chain, stop);
}

/* Every byte from FROM on is where tail_find says; HINTED walks with hints as readers do. */
static void
expect_bytes(struct tail *tail, uint64_t from, bool hinted)
{
	uint64_t length = atomic_load(&tail->length);
	struct tail_block *hint = NULL;

	for (uint64_t at = from; at < length;) {
		struct tail_block *block = tail_find(tail, at, hinted ? hint : NULL);
		unsigned char *bytes;
		size_t n;

		assert_non_null(block);
		n = tail_bytes(tail, block, at, 10000, &bytes);
		assert_true(n > 0 && n <= 10000);
		assert_true(fixture_same(1, at, bytes, n));
		at += n;
		hint = block;
	}
}

static void
bytes_are_found_wherever_the_tail_begins(void **state)
{
	const uint64_t bases[] = {0, 1, TAIL_BLOCK_SIZE - 1, TAIL_BLOCK_SIZE, 1000000007};

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		struct blocks blocks;
		struct tail tail;

		blocks_init(&blocks, 64 * TAIL_BLOCK_TOTAL, quiet, NULL);
		tail_init(&tail, bases[i]);
		assert_null(tail_find(&tail, bases[i], NULL));
		grow(&tail, &blocks, 10 * TAIL_BLOCK_SIZE + 17, 7777);
		expect_bytes(&tail, bases[i], false);
		expect_bytes(&tail, bases[i], true);
		if (bases[i] > 0)
			assert_null(tail_find(&tail, bases[i] - 1, NULL));
		tail_free(&tail);
		assert_int_equal(blocks.taken, 0);
		blocks_destroy(&blocks);
	}
}

static void
trimming_drops_whole_blocks_below_the_mark_only(void **state)
{
	struct blocks blocks;
	struct tail tail;
	uint64_t kept;

	(void)state;
	blocks_init(&blocks, 64 * TAIL_BLOCK_TOTAL, quiet, NULL);
	tail_init(&tail, 100);
	grow(&tail, &blocks, 5 * TAIL_BLOCK_SIZE + 10, 100000);

	trim(&tail, 100 + TAIL_BLOCK_SIZE - 1, 0);
	assert_int_equal(atomic_load(&tail.kept_from), 100);
	for (unsigned i = 1; i <= 5; i++) {
		trim(&tail, 100 + i * TAIL_BLOCK_SIZE, 0);
		kept = atomic_load(&tail.kept_from);
		assert_int_equal(kept, 100 + i * TAIL_BLOCK_SIZE);
		assert_null(tail_find(&tail, kept - 1, NULL));
		expect_bytes(&tail, kept, true);
		assert_int_equal(blocks.taken, (6 - i) * TAIL_BLOCK_TOTAL);
	}
	/* The writer's block stays, whatever is on disk. */
	trim(&tail, 100 + 5 * TAIL_BLOCK_SIZE + 10, 0);
	grow(&tail, &blocks, 3 * TAIL_BLOCK_SIZE - 10, 5000);
	trim(&tail, 100 + 8 * TAIL_BLOCK_SIZE, 0);
	assert_int_equal(blocks.taken, TAIL_BLOCK_TOTAL);
	grow(&tail, &blocks, 1, 1);
	expect_bytes(&tail, 100 + 7 * TAIL_BLOCK_SIZE, true);
	/* Once it is gone everything may go, but not before it is all on disk. */
	trim(&tail, 100 + 8 * TAIL_BLOCK_SIZE, 1);
	assert_int_equal(blocks.taken, TAIL_BLOCK_TOTAL);
	trim(&tail, 100 + 8 * TAIL_BLOCK_SIZE + 1, 1);
	assert_int_equal(blocks.taken, 0);
	assert_int_equal(atomic_load(&tail.kept_from), 100 + 8 * TAIL_BLOCK_SIZE + 1);
	tail_free(&tail);
	blocks_destroy(&blocks);
}

static void
a_block_that_a_reader_holds_outlives_its_place(void **state)
{
	struct blocks blocks;
	struct tail_block *held;
	unsigned char *bytes;
	struct tail tail;

	(void)state;
	blocks_init(&blocks, 64 * TAIL_BLOCK_TOTAL, quiet, NULL);
	tail_init(&tail, 0);
	grow(&tail, &blocks, 3 * TAIL_BLOCK_SIZE, 100000);
	held = tail_block_get(tail_find(&tail, TAIL_BLOCK_SIZE, NULL));
	trim(&tail, 3 * TAIL_BLOCK_SIZE, 1);
	assert_int_equal(blocks.taken, TAIL_BLOCK_TOTAL);
	assert_int_equal(tail_bytes(&tail, held, TAIL_BLOCK_SIZE + 5, SIZE_MAX, &bytes),
			 TAIL_BLOCK_SIZE - 5);
	assert_true(fixture_same(1, TAIL_BLOCK_SIZE + 5, bytes, TAIL_BLOCK_SIZE - 5));
	/* A hint that left the chain leads nowhere. */
	assert_null(tail_find(&tail, 2 * TAIL_BLOCK_SIZE, held));
	tail_block_put(held);
	assert_int_equal(blocks.taken, 0);
	tail_free(&tail);
	blocks_destroy(&blocks);
}

static void
without_blocks_nothing_is_reserved_and_nothing_breaks(void **state)
{
	struct blocks blocks;
	struct tail tail;
	void *space;

	(void)state;
	blocks_init(&blocks, 2 * TAIL_BLOCK_TOTAL, quiet, NULL);
	tail_init(&tail, 0);
	grow(&tail, &blocks, 2 * TAIL_BLOCK_SIZE, 100000);
	assert_int_equal(tail_reserve(&tail, &blocks, &space), 0);
	assert_int_equal(tail_reserve(&tail, &blocks, &space), 0);
	trim(&tail, 2 * TAIL_BLOCK_SIZE, 0);
	grow(&tail, &blocks, 100, 10);
	expect_bytes(&tail, TAIL_BLOCK_SIZE, false);
	tail_free(&tail);
	assert_int_equal(blocks.taken, 0);
	blocks_destroy(&blocks);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_found_wherever_the_tail_begins),
		cmocka_unit_test(trimming_drops_whole_blocks_below_the_mark_only),
		cmocka_unit_test(a_block_that_a_reader_holds_outlives_its_place),
		cmocka_unit_test(without_blocks_nothing_is_reserved_and_nothing_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
