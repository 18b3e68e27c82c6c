/* listing_test.c - every path that is there, once, in order, whatever else happens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/catalog_internal.h"
#include "storage/listing.h"
#include "storage/store_internal.h"
#include "tests/storage/fixture.h"

static struct listing_page page;

static void
next_page(struct fixture *f, struct listing *listing)
{
	page.mailbox = &f->mailbox;
	page.letter.deliver = fixture_came;
	listing_next(listing, &page);
	fixture_await(f, &page.letter);
	assert_int_equal(page.result, 0);
}

static void
expect_list(struct fixture *f, const char *prefix, const char *wanted)
{
	char *list = fixture_list(f, prefix);

	assert_string_equal(list, wanted);
	free(list);
}

/* Keeps the indexer from committing, so that changes stay in memory. */
static MDB_txn *
stop_indexer(struct fixture *f)
{
	MDB_txn *txn;

	assert_int_equal(mdb_txn_begin(f->store->catalog->env, NULL, 0, &txn), 0);
	return txn;
}

static void
put(struct fixture *f, const char *path, uint64_t length)
{
	assert_true(fixture_put(f, path, PUBLISH_LIVE, 1, length) > 0);
}

static void
paths_come_in_byte_order_and_by_prefix(void **state)
{
	struct fixture *f = *state;
	const char *paths[] = {"/b", "/a/b", "/a", "/a.", "/a/\xc3\xa9", "/a0", "/B", "/a/a/a"};

	expect_list(f, "/", "");
	for (unsigned i = 0; i < 8; i++)
		put(f, paths[i], i);
	for (unsigned round = 0; round < 3; round++) {
		expect_list(f, "/",
			    "/B 6 complete video/mp4\n"
			    "/a 2 complete video/mp4\n"
			    "/a. 3 complete video/mp4\n"
			    "/a/a/a 7 complete video/mp4\n"
			    "/a/b 1 complete video/mp4\n"
			    "/a/\xc3\xa9 4 complete video/mp4\n"
			    "/a0 5 complete video/mp4\n"
			    "/b 0 complete video/mp4\n");
		expect_list(f, "/a/",
			    "/a/a/a 7 complete video/mp4\n"
			    "/a/b 1 complete video/mp4\n"
			    "/a/\xc3\xa9 4 complete video/mp4\n");
		expect_list(f, "/b", "/b 0 complete video/mp4\n");
		expect_list(f, "/b/", "");
		expect_list(f, "/zzz", "");
		if (round == 0)
			fixture_settle(f);
		if (round == 1)
			fixture_reopen(f);
	}
}

static void
every_state_is_shown(void **state)
{
	struct fixture *f = *state;
	struct writer *live, *hidden, *again;

	put(f, "/complete", 10);
	put(f, "/again", 10);
	live = fixture_begin(f, "/incomplete", PUBLISH_LIVE);
	fixture_write(f, live, 1, 0, 300000);
	writer_abort(&live);
	live = fixture_begin(f, "/live", PUBLISH_LIVE);
	hidden = fixture_begin(f, "/hidden", PUBLISH_WHOLE);
	again = fixture_begin(f, "/again", PUBLISH_WHOLE);
	fixture_write(f, live, 1, 0, 300000);
	fixture_write(f, hidden, 1, 0, 300000);
	fixture_write(f, again, 1, 0, 300000);
	for (unsigned round = 0; round < 2; round++) {
		expect_list(f, "/",
			    "/again 10 complete video/mp4\n"
			    "/complete 10 complete video/mp4\n"
			    "/incomplete 300000 incomplete video/mp4\n"
			    "/live 300000 live video/mp4\n");
		usleep(700000); /* the catalog knows of some by now */
	}
	writer_abort(&live);
	writer_abort(&hidden);
	writer_abort(&again);
	fixture_reopen(f);
	expect_list(f, "/",
		    "/again 10 complete video/mp4\n"
		    "/complete 10 complete video/mp4\n"
		    "/incomplete 300000 incomplete video/mp4\n"
		    "/live 300000 incomplete video/mp4\n");
}

static void
rows_tell_what_is_known_of_an_object(void **state)
{
	struct fixture *f = *state;
	struct object *object = NULL;
	struct listing *listing;
	uint8_t etag[16];

	put(f, "/a", 1234);
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(fixture_find(f, "/a", &object), 0);
		assert_true(object_etag(object, etag));
		assert_int_equal(listing_open(f->store, "/", NULL, &listing), 0);
		next_page(f, listing);
		assert_int_equal(page.count, 1);
		assert_true(page.last);
		assert_int_equal(page.rows[0].mtime_ms, object_mtime_ms(object));
		assert_int_equal(page.rows[0].expires_ms, 0);
		assert_true(page.rows[0].has_etag);
		assert_memory_equal(page.rows[0].etag, etag, 16);
		listing_close(&listing);
		object_put(&object);
		fixture_reopen(f);
	}
}

static void
changes_that_the_catalog_lacks_are_merged_in(void **state)
{
	struct fixture *f = *state;
	MDB_txn *txn;

	put(f, "/b", 1);
	put(f, "/d", 1);
	put(f, "/f", 1);
	put(f, "/h", 1);
	fixture_settle(f);
	txn = stop_indexer(f);
	put(f, "/a", 2);
	put(f, "/e", 2);
	put(f, "/z", 2);
	put(f, "/d", 3);
	assert_int_equal(fixture_delete(f, "/b"), 0);
	assert_int_equal(fixture_delete(f, "/h"), 0);
	put(f, "/h", 5);
	put(f, "/gone", 5);
	assert_int_equal(fixture_delete(f, "/gone"), 0);
	expect_list(f, "/",
		    "/a 2 complete video/mp4\n"
		    "/d 3 complete video/mp4\n"
		    "/e 2 complete video/mp4\n"
		    "/f 1 complete video/mp4\n"
		    "/h 5 complete video/mp4\n"
		    "/z 2 complete video/mp4\n");
	expect_list(f, "/d", "/d 3 complete video/mp4\n");
	expect_list(f, "/b", "");
	mdb_txn_abort(txn);
	fixture_settle(f);
	expect_list(f, "/d", "/d 3 complete video/mp4\n");
	expect_list(f, "/b", "");
}

static void
name_of(char path[16], unsigned i)
{
	snprintf(path, 16, "/n/%05u", i);
}

/* Starts uploads of [FROM, TO) in steps of STEP, and waits for all of them together. */
static void
put_many(struct fixture *f, unsigned from, unsigned to, unsigned step)
{
	unsigned count = (to - from + step - 1) / step, n = 0;
	struct writer_receipt *receipts = calloc(count, sizeof(*receipts));

	for (unsigned i = from; i < to; i += step) {
		struct writer *writer;
		char path[16];

		name_of(path, i);
		writer = fixture_begin(f, path, PUBLISH_LIVE);
		fixture_write(f, writer, i, 0, i % 100);
		fixture_finish(f, &writer, &receipts[n++]);
	}
	for (unsigned i = 0; i < n; i++)
		assert_true(fixture_answer(f, &receipts[i]) > 0);
	free(receipts);
}

static void
delete_many(struct fixture *f, unsigned from, unsigned to, unsigned step)
{
	unsigned count = (to - from + step - 1) / step, n = 0;
	struct store_delete *dels = calloc(count, sizeof(*dels));
	char path[16];

	for (unsigned i = from; i < to; i += step) {
		name_of(path, i);
		fixture_begin_delete(f, path, &dels[n++]);
	}
	for (unsigned i = 0; i < n; i++)
		fixture_await(f, &dels[i].letter);
	free(dels);
}

/* Rows must be ascending, below 5000, and exactly those of STEP that survived. */
static void
pages_hold_everything_that_was_there_all_the_time(void **state)
{
	struct fixture *f = *state;
	struct listing *listing;
	char last[16] = "", path[16];
	bool seen[5000] = {false};
	unsigned pages = 0;

	put_many(f, 0, 5000, 2);
	fixture_settle(f);
	assert_int_equal(listing_open(f->store, "/n/", NULL, &listing), 0);
	do {
		next_page(f, listing);
		assert_true(page.count <= LISTING_PAGE);
		for (size_t i = 0; i < page.count; i++) {
			unsigned number = (unsigned)strtoul(page.rows[i].path + 3, NULL, 10);

			assert_true(strcmp(page.rows[i].path, last) > 0);
			strcpy(last, page.rows[i].path);
			assert_true(number < 5000);
			seen[number] = true;
		}
		/* Meanwhile others come, and some of the rest go or are replaced. */
		if (pages == 0) {
			put_many(f, 1, 5000, 50);
			delete_many(f, 1000, 4000, 20);
			put_many(f, 0, 5000, 16);
		} else {
			fixture_settle(f);
		}
		pages++;
	} while (!page.last);
	listing_close(&listing);
	assert_true(pages >= 3);
	for (unsigned i = 0; i < 5000; i += 2) {
		struct object *object = NULL;

		name_of(path, i);
		if (!seen[i])
			assert_int_equal(fixture_find(f, path, &object), -ENOENT);
		object_put(&object);
	}
}

static void
a_listing_goes_on_after_any_path(void **state)
{
	struct fixture *f = *state;
	struct listing *listing;
	char path[16];

	put_many(f, 0, 2500, 1);
	for (unsigned round = 0; round < 2; round++) {
		const unsigned starts[] = {0, 1, 998, 999, 1000, 1500, 2498, 2499};

		for (unsigned i = 0; i < 8; i++) {
			unsigned expected = starts[i] + 1;

			name_of(path, starts[i]);
			assert_int_equal(listing_open(f->store, "/n/", path, &listing), 0);
			do {
				next_page(f, listing);
				for (size_t j = 0; j < page.count; j++) {
					name_of(path, expected++);
					assert_string_equal(page.rows[j].path, path);
				}
			} while (!page.last);
			listing_close(&listing);
			assert_int_equal(expected, 2500);
		}
		/* After a path that is not there, before all, behind all. */
		assert_int_equal(listing_open(f->store, "/n/", "/n/00007x", &listing), 0);
		next_page(f, listing);
		assert_string_equal(page.rows[0].path, "/n/00008");
		listing_close(&listing);
		assert_int_equal(listing_open(f->store, "/n/", "/a", &listing), 0);
		next_page(f, listing);
		assert_string_equal(page.rows[0].path, "/n/00000");
		listing_close(&listing);
		assert_int_equal(listing_open(f->store, "/n/", "/o", &listing), 0);
		next_page(f, listing);
		assert_int_equal(page.count, 0);
		assert_true(page.last);
		listing_close(&listing);
		fixture_settle(f);
	}
}

/* Thousands of deletions in a row that the catalog has not seen: pages that are empty at first. */
static void
what_was_deleted_is_passed_over(void **state)
{
	struct fixture *f = *state;
	MDB_txn *txn;

	put_many(f, 0, 3500, 1);
	put(f, "/z", 1);
	fixture_settle(f);
	txn = stop_indexer(f);
	delete_many(f, 0, 3500, 1);
	expect_list(f, "/", "/z 1 complete video/mp4\n");
	expect_list(f, "/n", "");
	mdb_txn_abort(txn);
	fixture_settle(f);
	expect_list(f, "/", "/z 1 complete video/mp4\n");
}

static void
long_paths_are_in_order_too(void **state)
{
	struct fixture *f = *state;
	const size_t lengths[] = {479, 480, 481, 482, 1000, 1024};
	char path[STORE_PATH_MAX + 1], wanted[8 * STORE_PATH_MAX] = "", line[STORE_PATH_MAX + 64];

	for (unsigned i = 0; i < 6; i++) {
		memset(path, 'x', sizeof(path));
		path[0] = '/';
		path[lengths[i]] = '\0';
		put(f, path, i);
		snprintf(line, sizeof(line), "%s %u complete video/mp4\n", path, i);
		strcat(wanted, line);
	}
	path[500] = '\0';
	for (unsigned round = 0; round < 2; round++) {
		struct listing *listing;

		expect_list(f, "/", wanted);
		assert_int_equal(listing_open(f->store, "/x", path, &listing), 0);
		next_page(f, listing);
		assert_int_equal(page.count, 2);
		assert_int_equal(strlen(page.rows[0].path), 1000);
		listing_close(&listing);
		assert_int_equal(listing_open(f->store, path, NULL, &listing), 0);
		next_page(f, listing);
		assert_int_equal(page.count, 2);
		listing_close(&listing);
		fixture_reopen(f);
	}
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[1024] = '\0';
	fixture_expect(f, path, OBJECT_COMPLETE, 1, 5);
	assert_int_equal(fixture_delete(f, path), 0);
	fixture_reopen(f);
	fixture_expect(f, path, OBJECT_GONE, 0, 0);
	path[1000] = '\0';
	fixture_expect(f, path, OBJECT_COMPLETE, 1, 4);
}

static void
a_listing_may_be_closed_at_any_time(void **state)
{
	struct fixture *f = *state;
	struct listing *listing = NULL;

	listing_close(&listing);
	put_many(f, 0, 1500, 1);
	assert_int_equal(listing_open(f->store, "/", NULL, &listing), 0);
	listing_close(&listing);
	assert_null(listing);
	assert_int_equal(listing_open(f->store, "/", NULL, &listing), 0);
	next_page(f, listing);
	listing_close(&listing);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
		PLAIN(paths_come_in_byte_order_and_by_prefix),
		PLAIN(every_state_is_shown),
		PLAIN(rows_tell_what_is_known_of_an_object),
		PLAIN(changes_that_the_catalog_lacks_are_merged_in),
		PLAIN(pages_hold_everything_that_was_there_all_the_time),
		PLAIN(a_listing_goes_on_after_any_path),
		PLAIN(what_was_deleted_is_passed_over),
		PLAIN(long_paths_are_in_order_too),
		PLAIN(a_listing_may_be_closed_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
