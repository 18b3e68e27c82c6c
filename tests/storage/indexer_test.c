/* indexer_test.c - records reach the catalog once, in order, whatever its disk does.
 *
 * The catalog, the table and objects are played by this program.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "storage/indexer.h"
#include "storage/store_internal.h"

#define MOST 100000

/* ---- the catalog ---------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all of it */
static uint64_t pending[MOST], committed[MOST];          /* ids, in the order of their coming */
static unsigned npending, ncommitted, commits, failing, attempts, settled;
static int64_t committed_ms, shortest_ms; /* the last commit; the shortest time between two */
static uint64_t position, pending_position;
static bool settled_too_early;

int
catalog_begin(struct catalog *catalog)
{
	(void)catalog;
	pthread_mutex_lock(&lock);
	npending = 0;
	pending_position = position;
	return 0;
}

static int
take(uint64_t id)
{
	assert_true(npending < MOST);
	pending[npending++] = id;
	return 0;
}

int
catalog_apply(struct catalog *catalog, const struct record *record, uint32_t number, uint64_t body)
{
	(void)catalog;
	(void)number;
	(void)body;
	return take(record->id);
}

int
catalog_forget(struct catalog *catalog, uint64_t id)
{
	(void)catalog;
	return take(1000000 + id);
}

int
catalog_drop_volume(struct catalog *catalog, uint32_t number)
{
	(void)catalog;
	return take(2000000 + number);
}

int
catalog_drop_grave(struct catalog *catalog, const char *path, size_t length, uint64_t seq)
{
	(void)catalog;
	(void)path;
	(void)length;
	return take(3000000 + seq);
}

int
catalog_set_applied(struct catalog *catalog, uint32_t number, uint64_t applied)
{
	(void)catalog;
	(void)number;
	pending_position = applied;
	return 0;
}

int
catalog_commit(struct catalog *catalog)
{
	int64_t now = clock_mono_ms();
	int err = 0;

	(void)catalog;
	attempts++;
	if (failing > 0) {
		failing--;
		err = -ENOSPC;
	} else {
		memcpy(committed + ncommitted, pending, npending * sizeof(pending[0]));
		ncommitted += npending;
		position = pending_position;
		if (commits++ > 0 && now - committed_ms < shortest_ms)
			shortest_ms = now - committed_ms;
		committed_ms = now;
	}
	pthread_mutex_unlock(&lock);
	return err;
}

void
catalog_abort(struct catalog *catalog)
{
	(void)catalog;
	pthread_mutex_unlock(&lock);
}

void
doubt_note(struct store *store, int err)
{
	(void)store;
	(void)err;
}

void
table_settle(struct table *table, struct table_entry *entry)
{
	(void)table;
	pthread_mutex_lock(&lock);
	settled++;
	/* Its record was the one before. */
	if ((uintptr_t)entry > ncommitted)
		settled_too_early = true;
	pthread_mutex_unlock(&lock);
}

struct object *
object_get(struct object *object)
{
	return object;
}

void
object_put(struct object **object)
{
	*object = NULL;
}

static unsigned
seen(const unsigned *number)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = *number;
	pthread_mutex_unlock(&lock);
	return n;
}

/* ---- tests ------------------------------------------------------------------------------ */

static int
setup(void **state)
{
	npending = ncommitted = commits = failing = attempts = settled = 0;
	shortest_ms = INT64_MAX;
	position = 0;
	settled_too_early = false;
	*state = calloc(1, sizeof(struct store));
	return *state != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	free(*state);
	return 0;
}

/* Records FROM to TO, each followed by its settling; the last one moves the position to TO. */
static void
submit(struct indexer *indexer, uint64_t from, uint64_t to)
{
	struct index_queue queue = STAILQ_HEAD_INITIALIZER(queue);

	for (uint64_t id = from; id <= to; id++) {
		struct index_op *op = indexer_new_op(NULL, NULL);
		struct index_op *end = indexer_new_op(NULL, NULL);

		op->record.kind = RECORD_FINAL;
		op->record.id = id;
		op->applied = id == to ? to : 0;
		end->settle = (struct table_entry *)(uintptr_t)id;
		STAILQ_INSERT_TAIL(&queue, op, link);
		STAILQ_INSERT_TAIL(&queue, end, link);
	}
	indexer_submit(indexer, &queue);
}

static void
expect_committed(uint64_t count)
{
	assert_int_equal(ncommitted, count);
	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(committed[i], i + 1);
	assert_int_equal(position, count);
	assert_false(settled_too_early);
}

static void
await(const unsigned *number, unsigned wanted)
{
	int64_t end = clock_mono_ms() + 20000;

	while (seen(number) < wanted) {
		assert_true(clock_mono_ms() < end);
		usleep(2000);
	}
}

static void
records_are_applied_in_order_and_few_commits(void **state)
{
	struct store *store = *state;
	struct indexer *indexer;

	assert_int_equal(indexer_start(store, &indexer), 0);
	for (uint64_t i = 0; i < 500; i++)
		submit(indexer, i * 20 + 1, i * 20 + 20);
	await(&settled, 10000);
	expect_committed(10000);
	assert_true(commits <= 4);
	assert_int_equal(indexer_health(indexer), 0);
	indexer_stop(&indexer);
	assert_null(indexer);
	indexer_stop(&indexer);
}

static void
a_backlog_is_worked_off_without_pauses(void **state)
{
	struct store *store = *state;
	struct indexer *indexer;
	assert_int_equal(indexer_start(store, &indexer), 0);
	submit(indexer, 1, 99000);
	await(&settled, 99000);
	assert_true(commits >= 5);
	assert_true(shortest_ms < 250); /* a pause lies between any two commits, or between none */
	expect_committed(99000);
	indexer_stop(&indexer);
}

static void
a_forgotten_version_is_forgotten_in_its_turn(void **state)
{
	struct index_queue queue = STAILQ_HEAD_INITIALIZER(queue);
	struct index_op *op = indexer_new_op(NULL, NULL);
	struct store *store = *state;
	struct indexer *indexer;

	assert_int_equal(indexer_start(store, &indexer), 0);
	submit(indexer, 1, 3);
	op->record.id = 2;
	STAILQ_INSERT_TAIL(&queue, op, link);
	indexer_submit(indexer, &queue);
	submit(indexer, 4, 4);
	indexer_stop(&indexer);
	assert_int_equal(ncommitted, 5);
	assert_int_equal(committed[3], 1000002);
	assert_int_equal(committed[4], 4);
}

static void
stopping_applies_what_was_submitted(void **state)
{
	struct store *store = *state;
	struct indexer *indexer;

	assert_int_equal(indexer_start(store, &indexer), 0);
	submit(indexer, 1, 30000);
	indexer_stop(&indexer);
	expect_committed(30000);
	assert_int_equal(settled, 30000);
}

static void
a_commit_that_fails_is_tried_again(void **state)
{
	struct store *store = *state;
	struct indexer *indexer;

	failing = 2;
	assert_int_equal(indexer_start(store, &indexer), 0);
	submit(indexer, 1, 10);
	await(&attempts, 1);
	usleep(50000);
	assert_int_equal(indexer_health(indexer), -ENOSPC);
	assert_int_equal(seen(&settled), 0); /* lookups still go by the table */
	submit(indexer, 11, 20);
	await(&settled, 20);
	expect_committed(20);
	assert_int_equal(indexer_health(indexer), 0);
	indexer_stop(&indexer);
}

/* Once something was left out, nothing behind it may get in: the position would pass it, and the next
 * start would not replay it (invariant 8). */
static void
what_was_given_up_is_not_passed(void **state)
{
	struct store *store = *state;
	struct indexer *indexer;

	failing = 1; /* what follows could be committed */
	assert_int_equal(indexer_start(store, &indexer), 0);
	submit(indexer, 1, 10);
	await(&attempts, 1);
	submit(indexer, 11, 20);
	indexer_stop(&indexer);
	assert_int_equal(ncommitted, 0);
	assert_int_equal(position, 0);
	assert_int_equal(settled, 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		WITH_STORE(records_are_applied_in_order_and_few_commits),
		WITH_STORE(a_backlog_is_worked_off_without_pauses),
		WITH_STORE(a_forgotten_version_is_forgotten_in_its_turn),
		WITH_STORE(stopping_applies_what_was_submitted),
		WITH_STORE(a_commit_that_fails_is_tried_again),
		WITH_STORE(what_was_given_up_is_not_passed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
