/* doubt_test.c - a catalog that is not what it was: rebuilt at the start, doubted while running. */
#include "tests/storage/fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/inspect.h"
#include "storage/store_internal.h"

static void
name_file(struct fixture *f, const char *file, char name[256])
{
	snprintf(name, 256, "%s/%s", f->data, file);
}

static bool
has_file(struct fixture *f, const char *file)
{
	char name[256];

	name_file(f, file, name);
	return access(name, F_OK) == 0;
}

static void
make_file(struct fixture *f, const char *file)
{
	char name[256];
	int fd;

	name_file(f, file, name);
	fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void
put_some(struct fixture *f, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/%03u", i);
		assert_int_equal(fixture_put(f, path, PUBLISH_LIVE, i, 100 + i), 201);
	}
}

static void
expect_some(struct fixture *f, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/%03u", i);
		fixture_expect(f, path, OBJECT_COMPLETE, i, 100 + i);
	}
}

/* Flips a bit of the catalog's pages, SKIP of each from the start of those that are leaves. */
static void
damage(struct fixture *f, unsigned offset)
{
	unsigned char page[4096];
	char name[256];
	unsigned damaged = 0;
	int fd;

	name_file(f, "catalog.mdb", name);
	fd = open(name, O_RDWR | O_CLOEXEC);
	for (off_t at = 8192; pread(fd, page, sizeof(page), at) == sizeof(page); at += 4096) {
		if (page[10] != 2 || page[12] < 24)
			continue;
		page[offset] ^= 4;
		assert_int_equal(pwrite(fd, page, sizeof(page), at), sizeof(page));
		damaged++;
	}
	close(fd);
	assert_true(damaged > 0);
}

static void
a_catalog_whose_pages_are_damaged_is_rebuilt_at_the_start(void **state)
{
	struct fixture *f = *state;
	static const unsigned places[] = {0, 8, 10, 12, 14, 16, 17, 18};

	put_some(f, 60);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		fixture_close(f);
		damage(f, places[i]);
		fixture_open(f);
		assert_false(store_is_in_doubt(f->store));
		assert_false(has_file(f, "catalog.suspect"));
		expect_some(f, 60);
	}
}

static void
a_mark_goes_when_the_catalog_was_found_sound(void **state)
{
	struct fixture *f = *state;

	put_some(f, 5);
	fixture_close(f);
	make_file(f, "catalog.suspect");
	fixture_open(f);
	assert_false(has_file(f, "catalog.suspect"));
	expect_some(f, 5);
	fixture_close(f);
	make_file(f, "catalog.suspect");
	fixture_remove(f, "catalog.mdb");
	fixture_open(f);
	assert_false(has_file(f, "catalog.suspect"));
	expect_some(f, 5);
}

static void
damage_that_is_met_while_running_stays_marked(void **state)
{
	struct fixture *f = *state;
	char why[200];

	put_some(f, 5);
	assert_int_equal(store_ready(f->store, why, sizeof(why)), 0);
	doubt_note(f->store, -EIO);
	assert_false(store_is_in_doubt(f->store));
	doubt_note(f->store, -EBADMSG);
	assert_true(store_is_in_doubt(f->store));
	assert_int_equal(store_ready(f->store, why, sizeof(why)), -EBADMSG);
	expect_some(f, 5);
	assert_int_equal(fixture_put(f, "/005", PUBLISH_LIVE, 5, 105), 201);
	fixture_close(f);
	assert_true(has_file(f, "catalog.suspect"));
	fixture_open(f);
	assert_false(store_is_in_doubt(f->store));
	assert_false(has_file(f, "catalog.suspect"));
	expect_some(f, 6);
}

/* As a process that dies before the catalog was read whole. */
static void
begin_and_die(struct fixture *f, struct store *store)
{
	char name[256], why[200];

	name_file(f, "catalog.mdb", name);
	assert_int_equal(doubt_begin(store, name, why, sizeof(why)), 0);
	inspect_stop(&store->doubt.inspect);
}

static void
a_large_catalog_is_waited_for_only_after_two_crashes(void **state)
{
	struct fixture *f = *state;
	struct store store = {0};
	char name[256], why[200];

	put_some(f, 5);
	fixture_close(f);
	name_file(f, "catalog.mdb", name);
	assert_int_equal(truncate(name, 100 << 20), 0);
	store.dirfd = open(f->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	begin_and_die(f, &store);
	assert_true(has_file(f, "catalog.unread"));
	assert_false(has_file(f, "catalog.suspect"));
	begin_and_die(f, &store);
	assert_true(has_file(f, "catalog.suspect"));
	assert_int_equal(doubt_begin(&store, name, why, sizeof(why)), 0);
	assert_null(store.doubt.inspect);
	assert_false(has_file(f, "catalog.unread"));
	assert_false(has_file(f, "catalog.suspect"));

	/* A start that fails may fail for what the catalog is like; an end in good order is none. */
	begin_and_die(f, &store);
	assert_int_equal(doubt_begin(&store, name, why, sizeof(why)), 0);
	doubt_end(&store);
	assert_true(has_file(f, "catalog.suspect"));
	doubt_clear_marks(store.dirfd);
	begin_and_die(f, &store);
	assert_int_equal(doubt_begin(&store, name, why, sizeof(why)), 0);
	assert_int_equal(doubt_watch(&store), 0);
	doubt_end(&store);
	assert_false(has_file(f, "catalog.unread"));
	assert_false(has_file(f, "catalog.suspect"));
	close(store.dirfd);
}

int
main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		RULE(a_catalog_whose_pages_are_damaged_is_rebuilt_at_the_start),
		RULE(a_mark_goes_when_the_catalog_was_found_sound),
		RULE(damage_that_is_met_while_running_stays_marked),
		RULE(a_large_catalog_is_waited_for_only_after_two_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
