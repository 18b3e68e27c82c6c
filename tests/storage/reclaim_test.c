/* reclaim_test.c - disk space comes back, and nothing else with it: what was deleted or replaced stays so
 * after any number of volumes is gone, and what was acknowledged is still there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/reclaim_internal.h"
#include "tests/storage/fixture.h"

#define MIB ((uint64_t)1 << 20)

static size_t
volume_count(struct fixture *f)
{
	size_t count;

	volumes_bytes(&f->store->volumes, &count);
	return count;
}

/* Lets the reclaimer run until there are at most MOST volumes. */
static void
await_volumes(struct fixture *f, size_t most)
{
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;

	while (volume_count(f) > most) {
		assert_true(clock_mono_ms() < end);
		reclaim_wake(f->store->reclaim);
		fixture_pump(f, 20);
	}
}

/* Lets it do whatever it wants to, several times over. */
static void
let_reclaim(struct fixture *f)
{
	fixture_settle(f);
	for (unsigned i = 0; i < 3; i++) {
		reclaim_wake(f->store->reclaim);
		fixture_pump(f, 10);
		fixture_settle(f);
	}
}

static bool
has_volume(struct fixture *f, uint32_t number)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/volumes/%010u.vol", f->data, (unsigned)number);
	return access(path, F_OK) == 0;
}

static void
rebuild(struct fixture *f)
{
	fixture_close(f);
	fixture_remove(f, "catalog.mdb");
	fixture_open(f);
}

static int
set_up_small(void **state)
{
	int rc = fixture_setup_closed(state);
	struct fixture *f = *state;

	f->config.volume_size = 16 * MIB;
	if (rc == 0)
		fixture_open(f);
	return rc;
}

/* ---- dead volumes ---------------------------------------------------------------- */

static void
a_playlist_that_is_replaced_does_not_fill_the_disk(void **state)
{
	struct fixture *f = *state;
	uint64_t most = 0;

	for (unsigned i = 0; i < 20000; i++) {
		assert_true(fixture_put(f, "/live/index.m3u8", PUBLISH_WHOLE, i, 4000) > 0);
		if (fixture_disk_used(f) > most)
			most = fixture_disk_used(f);
		if (i % 100 == 0)
			usleep(15000); /* a day in some seconds, not in one */
	}
	assert_true(most <= 5 * 16 * MIB);
	fixture_settle(f);
	await_volumes(f, 1);
	fixture_expect(f, "/live/index.m3u8", OBJECT_COMPLETE, 19999, 4000);
	rebuild(f);
	fixture_expect(f, "/live/index.m3u8", OBJECT_COMPLETE, 19999, 4000);
}

static void
a_volume_without_objects_is_unlinked(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 2 * MIB), 201);
	fixture_reopen(f);
	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 2, 2 * MIB), 201);
	let_reclaim(f);
	assert_int_equal(volume_count(f), 2);
	assert_int_equal(fixture_delete(f, "/a"), 0);
	await_volumes(f, 1);
	assert_false(has_volume(f, 1));
	fixture_expect(f, "/a", OBJECT_GONE, 0, 0);
	fixture_expect(f, "/b", OBJECT_COMPLETE, 2, 2 * MIB);
	fixture_reopen(f);
	fixture_expect(f, "/a", OBJECT_GONE, 0, 0);
	fixture_expect(f, "/b", OBJECT_COMPLETE, 2, 2 * MIB);
}

static void
a_reader_finishes_on_a_version_whose_volume_is_gone(void **state)
{
	struct fixture *f = *state;
	struct object *object;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 3 * MIB), 201);
	fixture_reopen(f);
	assert_int_equal(fixture_find(f, "/a", &object), 0);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 2, MIB), 204);
	await_volumes(f, 1);
	assert_false(has_volume(f, 1));
	assert_true(fixture_holds(f, object, 1, 3 * MIB));
	object_put(&object);
}

static void
an_empty_object_keeps_its_volume(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fixture_put(f, "/empty", PUBLISH_LIVE, 1, 0), 201);
	assert_int_equal(fixture_put(f, "/other", PUBLISH_LIVE, 1, 10), 201);
	fixture_reopen(f);
	assert_int_equal(fixture_delete(f, "/other"), 0);
	let_reclaim(f);
	assert_true(has_volume(f, 1));
	rebuild(f);
	fixture_expect(f, "/empty", OBJECT_COMPLETE, 1, 0);
}

static void
what_begins_in_one_volume_and_ends_in_another_keeps_both(void **state)
{
	struct fixture *f = *state;

	/* The end has no bytes of its own, the beginning neither. */
	assert_int_equal(fixture_put(f, "/log", PUBLISH_LIVE, 1, 0), 201);
	fixture_reopen(f);
	assert_int_equal(fixture_append(f, "/log", 1, 0, 2 * MIB), 204);
	fixture_reopen(f);
	assert_int_equal(fixture_append(f, "/log", 1, 2 * MIB, 100), 204);
	fixture_reopen(f);
	assert_int_equal(fixture_append(f, "/log", 1, 2 * MIB + 100, 0), 204);
	fixture_reopen(f);
	let_reclaim(f);
	rebuild(f);
	fixture_expect(f, "/log", OBJECT_COMPLETE, 1, 2 * MIB + 100);
	assert_int_equal(fixture_delete(f, "/log"), 0);
	await_volumes(f, 1);
}

static void
a_deletion_outlives_its_volume(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fixture_put(f, "/keep", PUBLISH_LIVE, 1, MIB), 201);
	assert_int_equal(fixture_put(f, "/gone", PUBLISH_LIVE, 2, MIB), 201);
	fixture_reopen(f);
	assert_int_equal(fixture_delete(f, "/gone"), 0);
	for (unsigned i = 0; i < 4; i++) {
		fixture_reopen(f); /* seals the volume with the tombstone */
		assert_int_equal(fixture_put(f, "/next", PUBLISH_LIVE, 3 + i, MIB) > 0, true);
		fixture_settle(f);
		await_volumes(f, 2);
	}
	assert_true(has_volume(f, 1));
	assert_false(has_volume(f, 2));
	fixture_settle(f);
	rebuild(f);
	fixture_expect(f, "/keep", OBJECT_COMPLETE, 1, MIB);
	fixture_expect(f, "/gone", OBJECT_GONE, 0, 0);
}

static void
a_deletion_that_hides_nothing_is_not_kept(void **state)
{
	struct fixture *f = *state;
	struct catalog_grave grave;

	assert_int_equal(fixture_put(f, "/keep", PUBLISH_LIVE, 1, MIB), 201);
	fixture_reopen(f);
	assert_int_equal(fixture_put(f, "/gone", PUBLISH_LIVE, 2, MIB), 201);
	fixture_reopen(f);
	assert_int_equal(fixture_delete(f, "/gone"), 0);
	fixture_settle(f);
	assert_int_equal(catalog_find_grave(f->store->catalog, "/gone", 5, &grave), 0);
	assert_int_equal(grave.since, 2);
	assert_int_equal(grave.until, 3);
	fixture_reopen(f);
	assert_int_equal(fixture_put(f, "/next", PUBLISH_LIVE, 3, MIB), 201);
	fixture_settle(f);
	await_volumes(f, 2);
	assert_false(has_volume(f, 3));
	let_reclaim(f);
	usleep(600000); /* the indexer's turn */
	assert_int_equal(catalog_find_grave(f->store->catalog, "/gone", 5, &grave), -ENOENT);
	rebuild(f);
	fixture_expect(f, "/gone", OBJECT_GONE, 0, 0);
}

static void
a_kill_between_unlink_and_commit_is_nothing_to_speak_of(void **state)
{
	struct fixture *f = *state;
	char path[256];

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, MIB), 201);
	fixture_reopen(f);
	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 2, MIB), 204);
	fixture_settle(f);
	fixture_crash_to(f, "killed");
	snprintf(path, sizeof(path), "%s/volumes/0000000001.vol", f->data);
	/* On a busy machine the reclaimer may have been there before: then it is as it should be, too. */
	assert_true(unlink(path) == 0 || errno == ENOENT);
	fixture_open(f);
	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 3, MIB), 201);
	let_reclaim(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, MIB);
	fixture_expect(f, "/b", OBJECT_COMPLETE, 3, MIB);
}

/* ---- against a model ------------------------------------------------------------- */

enum { PATHS = 6, STEPS = 160 };

struct model {
	enum object_state state;
	unsigned seed;
	uint64_t length;
};

static const char *const paths[PATHS] = {"/a", "/a/b", "/b", "/live/1.ts", "/live/2.ts", "/x.m3u8"};

static uint64_t
random_length(void)
{
	switch (rand() % 4) {
	case 0:
		return 0;
	case 1:
		return (uint64_t)(rand() % 2000);
	case 2:
		return (uint64_t)(rand() % 100000);
	default:
		return (uint64_t)(rand() % (3 * 1024 * 1024));
	}
}

static void
put_some(struct fixture *f, const char *path, struct model *model)
{
	enum publish publish = rand() % 3 == 0 ? PUBLISH_WHOLE : PUBLISH_LIVE;

	model->seed = (unsigned)rand();
	model->length = random_length();
	assert_true(fixture_put(f, path, publish, model->seed, model->length) > 0);
	model->state = OBJECT_COMPLETE;
}

/* The sender vanishes: visible if it was live. */
static void
abort_some(struct fixture *f, const char *path, struct model *model)
{
	enum publish publish = rand() % 2 == 0 ? PUBLISH_WHOLE : PUBLISH_LIVE;
	struct writer *writer = fixture_begin(f, path, publish);
	unsigned seed = (unsigned)rand();
	uint64_t length = 1 + random_length();

	fixture_write(f, writer, seed, 0, length);
	writer_abort(&writer);
	fixture_settle(f);
	if (publish == PUBLISH_WHOLE)
		return;
	*model = (struct model){OBJECT_INCOMPLETE, seed, length};
}

static void
append_some(struct fixture *f, const char *path, struct model *model)
{
	uint64_t length = random_length();

	if (model->state == OBJECT_GONE)
		return;
	assert_int_equal(fixture_append(f, path, model->seed, model->length, length), 204);
	model->length += length;
	model->state = OBJECT_COMPLETE;
}

static void
step(struct fixture *f, struct model *models)
{
	unsigned i = (unsigned)rand() % PATHS;

	/* Volumes are emptied as soon as they are mostly dead. */
	atomic_store(&f->store->reclaim->compact.quiet_ms, 0);
	switch (rand() % 12) {
	case 0:
	case 1:
	case 2:
	case 3:
		put_some(f, paths[i], &models[i]);
		break;
	case 4:
		abort_some(f, paths[i], &models[i]);
		break;
	case 5:
	case 6:
		append_some(f, paths[i], &models[i]);
		break;
	case 7:
	case 8:
		assert_int_equal(fixture_delete(f, paths[i]),
				 models[i].state == OBJECT_GONE ? -ENOENT : 0);
		models[i].state = OBJECT_GONE;
		break;
	case 9:
		fixture_reopen(f);
		break;
	case 10:
		let_reclaim(f);
		break;
	default:
		let_reclaim(f);
		if (rand() % 2 == 0)
			rebuild(f);
		else
			fixture_reopen(f);
		break;
	}
}

static void
expect_model(struct fixture *f, const struct model *models)
{
	for (unsigned i = 0; i < PATHS; i++)
		fixture_expect(f, paths[i], models[i].state, models[i].seed, models[i].length);
}

static void
whatever_dies_the_rest_is_as_it_was_left(void **state)
{
	struct fixture *f = *state;
	const char *given = getenv("RECLAIM_SEED");
	unsigned rounds = given != NULL ? 1 : 4;

	for (unsigned round = 0; round < rounds; round++) {
		unsigned seed = given != NULL ? (unsigned)atoi(given) : 1000 + round;
		struct model models[PATHS] = {0};

		srand(seed);
		for (unsigned i = 0; i < PATHS; i++) {
			fixture_delete(f, paths[i]);
			models[i].state = OBJECT_GONE;
		}
		for (unsigned i = 0; i < STEPS; i++) {
			step(f, models);
			if (getenv("RECLAIM_TALK") != NULL)
				print_message("seed %u step %u volumes %zu\n", seed, i,
					      volume_count(f));
			expect_model(f, models);
		}
		let_reclaim(f);
		rebuild(f);
		expect_model(f, models);
		assert_true(volume_count(f) <= 4 * PATHS);
	}
}

/* ---- expiry ---------------------------------------------------------------------- */

static void
put_for(struct fixture *f, const char *path, unsigned seed, uint64_t length, int64_t ttl_ms)
{
	struct writer_config config = {.path = path, .content_type = "video/mp4", .ttl_ms = ttl_ms};
	struct writer_receipt receipt;
	struct writer *writer;

	assert_int_equal(writer_open(f->store, &config, &writer), 0);
	fixture_write(f, writer, seed, 0, length);
	fixture_finish(f, &writer, &receipt);
	assert_true(fixture_answer(f, &receipt) > 0);
}

static void
an_object_whose_time_is_over_goes_with_its_volume(void **state)
{
	struct fixture *f = *state;
	struct object *object;
	char *list;

	put_for(f, "/short", 1, MIB, 500);
	fixture_reopen(f);
	put_for(f, "/long", 2, MIB, 3600000);
	put_for(f, "/ever", 3, MIB, 0);
	assert_int_equal(fixture_find(f, "/long", &object), 0);
	assert_true(object_expires_ms(object) > clock_wall_ms() + 3500000);
	object_put(&object);
	await_volumes(f, 1);
	fixture_expect(f, "/short", OBJECT_GONE, 0, 0);
	list = fixture_list(f, "/");
	assert_string_equal(list, "/ever 1048576 complete video/mp4\n"
				  "/long 1048576 complete video/mp4\n");
	free(list);
	rebuild(f);
	fixture_expect(f, "/short", OBJECT_GONE, 0, 0);
	fixture_expect(f, "/long", OBJECT_COMPLETE, 2, MIB);
}

static void
what_is_over_is_not_found_before_it_is_removed(void **state)
{
	struct fixture *f = *state;
	struct object *object = NULL;

	put_for(f, "/short", 1, 100, 50);
	usleep(60000);
	assert_int_equal(store_find(f->store, "/short", &object), -ENOENT);
}

static void
expired_ones_go_after_a_restart_too(void **state)
{
	struct fixture *f = *state;

	put_for(f, "/short", 1, MIB, 300);
	fixture_close(f);
	usleep(400000);
	fixture_open(f);
	fixture_expect(f, "/short", OBJECT_GONE, 0, 0);
	await_volumes(f, 1);
}

static void
a_replaced_object_takes_the_new_time(void **state)
{
	struct fixture *f = *state;

	put_for(f, "/a", 1, 100, 400);
	put_for(f, "/a", 2, 200, 0);
	fixture_settle(f);
	usleep(1000000);
	let_reclaim(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 2, 200);
}

static void
what_is_being_written_does_not_expire(void **state)
{
	struct fixture *f = *state;
	struct writer_config config = {.path = "/a", .content_type = "video/mp4", .ttl_ms = 200};
	struct writer_receipt receipt;
	struct writer *writer;

	assert_int_equal(writer_open(f->store, &config, &writer), 0);
	fixture_write(f, writer, 1, 0, 300000);
	for (unsigned i = 0; i < 20; i++) {
		reclaim_wake(f->store->reclaim);
		usleep(100000);
	}
	assert_false(writer_cancelled(writer));
	fixture_finish(f, &writer, &receipt);
	assert_int_equal(fixture_answer(f, &receipt), 201);
	let_reclaim(f);
	fixture_expect(f, "/a", OBJECT_GONE, 0, 0);
}

static void
thousands_expire_at_once(void **state)
{
	struct fixture *f = *state;
	enum { COUNT = 6000 };
	char path[32];
	char *list;

	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(path, sizeof(path), "/o/%u", i);
		put_for(f, path, i, 50, 1500);
	}
	usleep(1500000);
	for (unsigned i = 0; i < 4; i++) {
		let_reclaim(f);
		usleep(300000);
	}
	list = fixture_list(f, "/");
	assert_string_equal(list, "");
	free(list);
}

int
main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up_small, fixture_teardown)
	const struct CMUnitTest tests[] = {
		RULE(a_playlist_that_is_replaced_does_not_fill_the_disk),
		RULE(a_volume_without_objects_is_unlinked),
		RULE(a_reader_finishes_on_a_version_whose_volume_is_gone),
		RULE(an_empty_object_keeps_its_volume),
		RULE(what_begins_in_one_volume_and_ends_in_another_keeps_both),
		RULE(a_deletion_outlives_its_volume),
		RULE(a_deletion_that_hides_nothing_is_not_kept),
		RULE(a_kill_between_unlink_and_commit_is_nothing_to_speak_of),
		RULE(whatever_dies_the_rest_is_as_it_was_left),
		RULE(an_object_whose_time_is_over_goes_with_its_volume),
		RULE(what_is_over_is_not_found_before_it_is_removed),
		RULE(expired_ones_go_after_a_restart_too),
		RULE(a_replaced_object_takes_the_new_time),
		RULE(what_is_being_written_does_not_expire),
		RULE(thousands_expire_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
