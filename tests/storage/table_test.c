/* table_test.c - entries stay while they are needed, and as long as there is room. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/store_internal.h"
#include "tests/storage/fixture.h"

static struct store *
empty_store(uint64_t memory_max)
{
	struct store *store = calloc(1, sizeof(*store));

	assert_non_null(store);
	table_init(&store->table, memory_max);
	return store;
}

static void
free_store(struct store *store)
{
	table_destroy(&store->table);
	free(store);
}

static struct table_entry *
lookup(struct store *store, const char *path)
{
	unsigned hash;
	struct table_shard *shard = table_lock(&store->table, path, &hash);
	struct table_entry *entry = table_lookup(shard, path, hash);

	table_unlock(shard);
	return entry;
}

/* An entry of PATH, held, with an object of its own or none. */
static struct table_entry *
add(struct store *store, const char *path, bool present)
{
	unsigned hash;
	struct table_shard *shard = table_lock(&store->table, path, &hash);
	struct table_entry *entry = table_add(&store->table, shard, path, hash);
	struct object *object = present ? object_new(store, path, "", 0) : NULL;

	assert_non_null(entry);
	assert_string_equal(entry->path, path);
	table_hold(shard, entry);
	table_set_current(entry, object);
	object_put(&object);
	table_unlock(shard);
	return entry;
}

static void
a_path_is_found_under_its_own_name_only(void **state)
{
	struct store *store = empty_store(1 << 20);
	char path[16];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/%u", i);
		assert_null(lookup(store, path));
		add(store, path, true);
		assert_non_null(lookup(store, path));
		assert_string_equal(lookup(store, path)->path, path);
	}
	assert_null(lookup(store, "/1000"));
	assert_null(lookup(store, "/"));
	free_store(store);
}

static void
an_entry_without_an_object_goes_when_the_catalog_knows(void **state)
{
	struct store *store = empty_store(1 << 20);
	struct table_entry *entry = add(store, "/a", false);
	struct table_shard *shard = &store->table.shards[entry->shard];
	unsigned hash;

	(void)state;
	table_lock(&store->table, "/a", &hash);
	table_hold(shard, entry);
	table_unlock(shard);
	table_settle(&store->table, entry);
	assert_ptr_equal(lookup(store, "/a"), entry); /* one change is still on its way */
	assert_int_equal(shard->evictions, 0);
	table_settle(&store->table, entry);
	assert_null(lookup(store, "/a"));
	assert_int_equal(shard->evictions, 1); /* a load that began before must look again */
	free_store(store);
}

static void
a_held_entry_is_not_spilled_and_an_idle_one_is(void **state)
{
	struct store *store = empty_store(0);
	struct table_entry *entry = add(store, "/a", true);

	(void)state;
	assert_ptr_equal(lookup(store, "/a"), entry);
	table_settle(&store->table, entry);
	assert_null(lookup(store, "/a"));
	free_store(store);
}

/* PATHS of one shard, in their order. */
static void
shard_mates(struct store *store, char paths[][16], unsigned count)
{
	struct table_shard *shard = NULL;

	for (unsigned i = 0, n = 0; n < count; i++) {
		unsigned hash;
		struct table_shard *other;

		snprintf(paths[n], 16, "/%u", i);
		other = table_lock(&store->table, paths[n], &hash);
		table_unlock(other);
		if (shard == NULL)
			shard = other;
		n += other == shard;
	}
}

static void
the_least_recently_used_go_first_but_not_who_is_read(void **state)
{
	struct store *store = empty_store((uint64_t)TABLE_SHARDS * 100000);
	struct table_entry *entries[8];
	struct table_shard *shard;
	struct object *reader;
	char paths[9][16];
	unsigned hash;

	(void)state;
	shard_mates(store, paths, 9);
	for (unsigned i = 0; i < 8; i++) {
		entries[i] = add(store, paths[i], true);
		table_settle(&store->table, entries[i]);
	}
	shard = &store->table.shards[entries[0]->shard];
	assert_true(shard->resident >= 8 * sizeof(struct object));
	reader = object_get(entries[1]->current);
	table_lock(&store->table, paths[0], &hash);
	table_touch(shard, entries[0]);
	table_unlock(shard);
	store->table.shard_max = shard->resident / 2;
	table_settle(&store->table, add(store, paths[8], true));
	assert_non_null(lookup(store, paths[0])); /* just used */
	assert_non_null(lookup(store, paths[1])); /* being read */
	assert_null(lookup(store, paths[2]));
	assert_null(lookup(store, paths[3]));
	assert_non_null(lookup(store, paths[7]));
	assert_non_null(lookup(store, paths[8]));
	assert_true(shard->resident <= store->table.shard_max);
	object_put(&reader);
	free_store(store);
}

static void
an_entry_that_is_held_again_is_not_idle(void **state)
{
	struct store *store = empty_store(1 << 20);
	struct table_entry *entry = add(store, "/a", true);
	struct table_shard *shard = &store->table.shards[entry->shard];
	unsigned hash;

	(void)state;
	table_settle(&store->table, entry);
	assert_true(shard->resident > 0);
	assert_true(TAILQ_EMPTY(&shard->changed));
	table_lock(&store->table, "/a", &hash);
	table_hold(shard, entry);
	table_hold(shard, entry);
	table_touch(shard, entry);
	table_unlock(shard);
	assert_int_equal(shard->resident, 0);
	assert_true(TAILQ_EMPTY(&shard->idle));
	assert_ptr_equal(TAILQ_FIRST(&shard->changed), entry);
	table_settle(&store->table, entry);
	assert_ptr_equal(TAILQ_FIRST(&shard->changed), entry);
	table_settle(&store->table, entry);
	assert_true(TAILQ_EMPTY(&shard->changed));
	assert_ptr_equal(TAILQ_FIRST(&shard->idle), entry);
	free_store(store);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_is_found_under_its_own_name_only),
		cmocka_unit_test(an_entry_without_an_object_goes_when_the_catalog_knows),
		cmocka_unit_test(a_held_entry_is_not_spilled_and_an_idle_one_is),
		cmocka_unit_test(the_least_recently_used_go_first_but_not_who_is_read),
		cmocka_unit_test(an_entry_that_is_held_again_is_not_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
