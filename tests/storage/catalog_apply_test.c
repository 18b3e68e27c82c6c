/* catalog_apply_test.c - what each record changes in the catalog. */
#include "tests/storage/catalog_rig.h"

static int
set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	rig_open(rig);
	*state = rig;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *rig = *state;

	rig_close(rig);
	free(rig);
	return 0;
}

static void
a_single_put_is_one_row_with_its_extent_inline(void **state)
{
	struct rig *rig = *state;

	expect(rig, "/a", "-");
	apply_final_record(rig, 1, 2, "/a", 0, 100, 7);
	expect(rig, "/a", "id=1 seq=2 size=100: 0+100@7");
	expect(rig, "/", "-");
	expect(rig, "/aa", "-");
	assert_int_equal(live(rig, 7), 100);
	apply_final_record(rig, 1, 2, "/a", 0, 100, 7); /* once more, as a replay does */
	expect(rig, "/a", "id=1 seq=2 size=100: 0+100@7");
	assert_int_equal(live(rig, 7), 100);
}

static int
check_every_field(void *arg, const struct catalog_row *row)
{
	(void)arg;
	assert_int_equal(row->id, 3);
	assert_int_equal(row->seq, 4);
	assert_false(row->open);
	assert_int_equal(row->name.path_length, 2);
	assert_memory_equal(row->name.path, "/f", 2);
	assert_int_equal(row->name.type_length, 9);
	assert_memory_equal(row->name.type, "video/mp4", 9);
	assert_int_equal(row->name.size, 50);
	assert_int_equal(row->name.mtime_ms, 1004);
	assert_int_equal(row->name.expires_ms, 2004);
	assert_int_equal(row->name.etag[0], 3);
	assert_int_equal(row->name.etag[2], 50);
	assert_int_equal(row->nextents, 1);
	assert_int_equal(row->extents[0].position, 123456789012);
	assert_int_equal(row->extents[0].hash, 3 * 1000003);
	return 77;
}

static void
every_field_of_a_record_comes_back(void **state)
{
	struct rig *rig = *state;

	apply(rig, make_record(RECORD_FINAL, 3, 4, "/f", 0, 50, 50), 1, 123456789012);
	assert_int_equal(catalog_find(rig->catalog, "/f", check_every_field, NULL), 77);
	apply_open_record(rig, 5, 6, "/f", 0, 0, 1);
	apply(rig, make_record(RECORD_FINAL, 3, 4, "/g", 0, 50, 50), 1, 0);
	expect(rig, "/f", "id=5 seq=6 size=0 open:");
}

static void
an_empty_object_has_no_extents(void **state)
{
	struct rig *rig = *state;

	apply_final_record(rig, 1, 2, "/empty", 0, 0, 7);
	expect(rig, "/empty", "id=1 seq=2 size=0:");
	apply_open_record(rig, 3, 4, "/slow", 0, 0, 7);
	apply_final_record(rig, 3, 4, "/slow", 0, 0, 7);
	expect(rig, "/slow", "id=3 seq=4 size=0:");
	assert_int_equal(live(rig, 7), 0);
}

static void
a_growing_object_is_open_until_its_end(void **state)
{
	struct rig *rig = *state;

	apply_open_record(rig, 1, 2, "/a", 0, 10, 1);
	expect(rig, "/a", "id=1 seq=2 size=10 open: 0+10@1");
	apply_data_record(rig, 1, 10, 20, 1);
	apply_data_record(rig, 1, 30, 30, 2);
	expect(rig, "/a", "id=1 seq=2 size=60 open: 0+10@1 10+20@1 30+30@2");
	apply_final_record(rig, 1, 2, "/a", 60, 5, 2);
	expect(rig, "/a", "id=1 seq=2 size=65: 0+10@1 10+20@1 30+30@2 60+5@2");
	assert_int_equal(live(rig, 1), 30);
	assert_int_equal(live(rig, 2), 35);
	apply_data_record(rig, 1, 65, 5, 2); /* nobody is writing it any more */
	expect(rig, "/a", "id=1 seq=2 size=65: 0+10@1 10+20@1 30+30@2 60+5@2");
	assert_int_equal(live(rig, 2), 35);
}

static void
an_end_that_brings_every_byte_again_counts_them_once(void **state)
{
	struct rig *rig = *state;

	apply_open_record(rig, 1, 2, "/a", 0, 10, 1);
	apply_final_record(rig, 1, 2, "/a", 0, 10, 1);
	expect(rig, "/a", "id=1 seq=2 size=10: 0+10@1");
	assert_int_equal(live(rig, 1), 10);
	apply_tombstone_record(rig, 3, "/a");
	assert_int_equal(live(rig, 1), 0);
	apply_data_record(rig, 1, 10, 10, 1);
	assert_int_equal(live(rig, 1), 0);
	apply_hidden_record(rig, 4, "/a", 10, 1);
	apply_final_record(rig, 4, 5, "/a", 0, 10, 1);
	expect(rig, "/a", "id=4 seq=5 size=10: 0+10@1");
	assert_int_equal(live(rig, 1), 10);
}

static void
a_replace_drops_what_it_replaces(void **state)
{
	struct rig *rig = *state;

	apply_open_record(rig, 1, 2, "/a", 0, 10, 1);
	apply_data_record(rig, 1, 10, 20, 1);
	apply_open_record(rig, 3, 4, "/a", 0, 7, 2);
	expect(rig, "/a", "id=3 seq=4 size=7 open: 0+7@2");
	apply_data_record(rig, 1, 30, 20, 1);           /* the old writer goes on */
	apply_final_record(rig, 1, 2, "/a", 50, 20, 1); /* and ends */
	expect(rig, "/a", "id=3 seq=4 size=7 open: 0+7@2");
	assert_int_equal(live(rig, 1), 0);
	apply_final_record(rig, 5, 6, "/a", 0, 100, 3);
	expect(rig, "/a", "id=5 seq=6 size=100: 0+100@3");
	assert_int_equal(live(rig, 2), 0);
	apply_final_record(rig, 7, 8, "/a", 0, 200, 4);
	expect(rig, "/a", "id=7 seq=8 size=200: 0+200@4");
	assert_int_equal(live(rig, 3), 0);
	assert_int_equal(live(rig, 4), 200);
}

static void
older_records_never_win(void **state)
{
	struct rig *rig = *state;

	apply_final_record(rig, 9, 10, "/a", 0, 100, 1);
	apply_open_record(rig, 1, 2, "/a", 0, 10, 2);
	apply_data_record(rig, 1, 10, 10, 2);
	apply_final_record(rig, 1, 2, "/a", 20, 10, 2);
	apply_final_record(rig, 3, 4, "/a", 0, 10, 2);
	apply_tombstone_record(rig, 5, "/a");
	expect(rig, "/a", "id=9 seq=10 size=100: 0+100@1");
	assert_int_equal(live(rig, 1), 100);
	assert_int_equal(live(rig, 2), 0);
}

static void
a_hidden_version_shows_with_its_end(void **state)
{
	struct rig *rig = *state;

	apply_final_record(rig, 1, 2, "/a", 0, 100, 1);
	apply_hidden_record(rig, 3, "/a", 10, 2);
	apply_data_record(rig, 3, 10, 10, 2);
	expect(rig, "/a", "id=1 seq=2 size=100: 0+100@1");
	assert_int_equal(live(rig, 2), 20);
	apply_final_record(rig, 3, 4, "/a", 20, 1, 2);
	expect(rig, "/a", "id=3 seq=4 size=21: 0+10@2 10+10@2 20+1@2");
	assert_int_equal(live(rig, 1), 0);
	assert_int_equal(live(rig, 2), 21);
}

static void
a_hidden_version_that_was_superseded_is_dropped_with_its_end(void **state)
{
	struct rig *rig = *state;

	apply_hidden_record(rig, 3, "/a", 10, 2);
	apply_final_record(rig, 5, 6, "/a", 0, 100, 1);
	apply_final_record(rig, 3, 4, "/a", 10, 1, 2);
	expect(rig, "/a", "id=5 seq=6 size=100: 0+100@1");
	assert_int_equal(live(rig, 2), 0);
	apply_hidden_record(rig, 3, "/a", 10, 2);
	apply_open_record(rig, 3, 4, "/a", 10, 1, 2); /* or when it would have become current */
	assert_int_equal(live(rig, 2), 0);
	apply_data_record(rig, 3, 11, 1, 2);
	assert_int_equal(live(rig, 2), 0);
}

static void
a_hidden_version_may_become_current_before_its_end(void **state)
{
	struct rig *rig = *state;

	apply_final_record(rig, 1, 2, "/a", 0, 100, 1);
	apply_hidden_record(rig, 3, "/a", 10, 2);
	apply_open_record(rig, 3, 4, "/a", 10, 5, 2);
	expect(rig, "/a", "id=3 seq=4 size=15 open: 0+10@2 10+5@2");
	assert_int_equal(live(rig, 1), 0);
	apply_final_record(rig, 3, 4, "/a", 15, 5, 2);
	expect(rig, "/a", "id=3 seq=4 size=20: 0+10@2 10+5@2 15+5@2");
}

static void
forget_drops_hidden_versions_only(void **state)
{
	struct rig *rig = *state;

	apply_open_record(rig, 1, 2, "/open", 0, 10, 1);
	apply_hidden_record(rig, 3, "/open", 20, 2);
	apply_hidden_record(rig, 4, "/none", 30, 3);
	apply_hidden_record(rig, 5, "/none", 40, 4);
	assert_int_equal(catalog_begin(rig->catalog), 0);
	assert_int_equal(catalog_forget(rig->catalog, 3), 0);
	assert_int_equal(catalog_forget(rig->catalog, 1), 0); /* not hidden */
	assert_int_equal(catalog_forget(rig->catalog, 99), 0);
	assert_int_equal(catalog_commit(rig->catalog), 0);
	assert_int_equal(live(rig, 1), 10);
	assert_int_equal(live(rig, 2), 0);
	assert_int_equal(live(rig, 3), 30);
	assert_int_equal(catalog_begin(rig->catalog), 0);
	assert_int_equal(catalog_forget_hidden(rig->catalog), 0);
	assert_int_equal(catalog_commit(rig->catalog), 0);
	assert_int_equal(live(rig, 3), 0);
	assert_int_equal(live(rig, 4), 0);
	apply_data_record(rig, 5, 40, 10, 4);
	assert_int_equal(live(rig, 4), 0);
	apply_data_record(rig, 1, 10, 10, 1);
	expect(rig, "/open", "id=1 seq=2 size=20 open: 0+10@1 10+10@1");
}

static void
an_append_goes_on_where_the_version_ended(void **state)
{
	struct rig *rig = *state;

	apply_final_record(rig, 1, 2, "/a", 0, 100, 1);
	apply_open_record(rig, 1, 3, "/a", 100, 10, 2);
	expect(rig, "/a", "id=1 seq=3 size=110 open: 0+100@1 100+10@2");
	apply_final_record(rig, 1, 3, "/a", 110, 10, 2);
	expect(rig, "/a", "id=1 seq=3 size=120: 0+100@1 100+10@2 110+10@2");
	apply_final_record(rig, 1, 2, "/a", 0, 100, 1); /* an older end of the same version */
	expect(rig, "/a", "id=1 seq=3 size=120: 0+100@1 100+10@2 110+10@2");
	apply_open_record(rig, 1, 2, "/a", 0, 0, 1); /* and an older begin */
	expect(rig, "/a", "id=1 seq=3 size=120: 0+100@1 100+10@2 110+10@2");
	assert_int_equal(live(rig, 1), 100);
	assert_int_equal(live(rig, 2), 20);
	apply_final_record(rig, 4, 5, "/b", 0, 10, 3);
	apply_final_record(rig, 4, 6, "/b", 10, 5, 3); /* an append in one record */
	expect(rig, "/b", "id=4 seq=6 size=15: 0+10@3 10+5@3");
	assert_int_equal(live(rig, 3), 15);
}

static void
an_append_that_stays_hidden_leaves_the_object_alone(void **state)
{
	struct rig *rig = *state;
	struct record more = make_record(RECORD_OPEN, 1, 0, "/a", 100, 10, 0);

	more.flags = RECORD_HIDDEN;
	apply_final_record(rig, 1, 2, "/a", 0, 100, 1);
	apply(rig, more, 2, 0);
	expect(rig, "/a", "id=1 seq=2 size=100: 0+100@1");
	assert_int_equal(catalog_begin(rig->catalog), 0);
	assert_int_equal(catalog_forget(rig->catalog, 1), 0);
	assert_int_equal(catalog_commit(rig->catalog), 0);
	expect(rig, "/a", "id=1 seq=2 size=100: 0+100@1");
	assert_int_equal(live(rig, 2), 0);
	apply(rig, more, 2, 0);
	apply_final_record(rig, 1, 3, "/a", 110, 5, 2);
	expect(rig, "/a", "id=1 seq=3 size=115: 0+100@1 100+10@2 110+5@2");
}

static void
lost_bytes_make_an_object_incomplete(void **state)
{
	struct rig *rig = *state;

	apply_open_record(rig, 1, 2, "/a", 0, 10, 1);
	apply_data_record(rig, 1, 20, 10, 1); /* 10 to 20 is damaged */
	expect(rig, "/a", "id=1 seq=2 size=10 open: 0+10@1");
	apply_final_record(rig, 1, 2, "/a", 30, 10, 1);
	expect(rig, "/a", "id=1 seq=2 size=10 open: 0+10@1");
	assert_int_equal(live(rig, 1), 30);
	apply_open_record(rig, 1, 3, "/a", 10, 0, 2); /* the writer goes on at 10 */
	assert_int_equal(live(rig, 1), 10);
	apply_data_record(rig, 1, 10, 10, 2);
	expect(rig, "/a", "id=1 seq=3 size=20 open: 0+10@1 10+10@2");
	apply_final_record(rig, 1, 3, "/a", 20, 1, 2);
	expect(rig, "/a", "id=1 seq=3 size=21: 0+10@1 10+10@2 20+1@2");
}

static void
an_end_without_a_beginning_brings_nothing_to_life(void **state)
{
	struct rig *rig = *state;

	apply_final_record(rig, 1, 2, "/a", 30, 10, 1);
	expect(rig, "/a", "-");
	assert_int_equal(live(rig, 1), 0);
	apply_final_record(rig, 3, 4, "/b", 0, 10, 1);
	apply_final_record(rig, 5, 6, "/b", 30, 10, 1); /* newer: the old one must not stay */
	expect(rig, "/b", "-");
	assert_int_equal(live(rig, 1), 0);
}

static void
a_tombstone_takes_every_kind_of_object_away(void **state)
{
	struct rig *rig = *state;

	apply_final_record(rig, 1, 2, "/whole", 0, 10, 1);
	apply_open_record(rig, 3, 4, "/open", 0, 10, 1);
	apply_data_record(rig, 3, 10, 10, 1);
	apply_final_record(rig, 5, 6, "/other", 0, 10, 2);
	apply_tombstone_record(rig, 7, "/whole");
	apply_tombstone_record(rig, 8, "/open");
	apply_tombstone_record(rig, 9, "/none");
	expect(rig, "/whole", "-");
	expect(rig, "/open", "-");
	apply_data_record(rig, 3, 20, 10, 1);
	apply_final_record(rig, 3, 4, "/open", 30, 10, 1);
	expect(rig, "/open", "-");
	expect(rig, "/other", "id=5 seq=6 size=10: 0+10@2");
	assert_int_equal(live(rig, 1), 0);
	assert_int_equal(live(rig, 2), 10);
}

static void
an_abort_drops_everything_of_its_transaction(void **state)
{
	struct rig *rig = *state;
	struct record record = make_record(RECORD_FINAL, 10, 20, "/a", 0, 5, 5);
	uint64_t highest;

	assert_int_equal(catalog_begin(rig->catalog), 0);
	assert_int_equal(catalog_apply(rig->catalog, &record, 1, 0), 0);
	assert_int_equal(catalog_set_applied(rig->catalog, 1, 4096), 0);
	catalog_abort(rig->catalog);
	expect(rig, "/a", "-");
	apply_data_record(rig, 4, 0, 1, 1);
	assert_int_equal(live(rig, 1), 0);
	assert_int_equal(catalog_highest(rig->catalog, &highest), 0);
	assert_int_equal(highest, 4); /* of an ignored record too: its number was used */
}

static void
a_copy_takes_the_place_of_its_version_in_any_order(void **state)
{
	struct rig *rig = *state;

	apply_open_record(rig, 1, 2, "/a", 0, 10, 1);
	apply_final_record(rig, 1, 2, "/a", 10, 5, 1);
	apply_hidden_record(rig, 3, "/a", 10, 2); /* not finished: nothing has changed */
	expect(rig, "/a", "id=1 seq=2 size=15: 0+10@1 10+5@1");
	apply_final_record(rig, 3, 2, "/a", 10, 5, 2);
	expect(rig, "/a", "id=3 seq=2 size=15: 0+10@2 10+5@2");
	assert_int_equal(live(rig, 1), 0);
	/* The original, again. */
	apply_open_record(rig, 1, 2, "/a", 0, 10, 1);
	apply_data_record(rig, 1, 10, 1, 1);
	apply_final_record(rig, 1, 2, "/a", 0, 15, 1);
	expect(rig, "/a", "id=3 seq=2 size=15: 0+10@2 10+5@2");
	assert_int_equal(live(rig, 1), 0);
	/* And of an incomplete one. */
	apply_open_record(rig, 4, 5, "/b", 0, 10, 1);
	apply_open_record(rig, 6, 5, "/b", 0, 10, 2);
	apply_open_record(rig, 4, 5, "/b", 0, 10, 1);
	expect(rig, "/b", "id=6 seq=5 size=10 open: 0+10@2");
	assert_int_equal(live(rig, 1), 0);
}

static void
records_without_a_usable_path_are_refused(void **state)
{
	struct rig *rig = *state;
	struct record record = make_record(RECORD_FINAL, 1, 2, "", 0, 5, 5);

	assert_int_equal(catalog_begin(rig->catalog), 0);
	assert_int_equal(catalog_apply(rig->catalog, &record, 1, 0), -EINVAL);
	record = make_record(RECORD_FINAL, 1, 2, "/a", 0, 5, 5);
	record.kind = (enum record_kind)9;
	assert_int_equal(catalog_apply(rig->catalog, &record, 1, 0), -EINVAL);
	catalog_abort(rig->catalog);
}

int
main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		RULE(a_single_put_is_one_row_with_its_extent_inline),
		RULE(every_field_of_a_record_comes_back),
		RULE(an_empty_object_has_no_extents),
		RULE(a_growing_object_is_open_until_its_end),
		RULE(an_end_that_brings_every_byte_again_counts_them_once),
		RULE(a_replace_drops_what_it_replaces),
		RULE(older_records_never_win),
		RULE(a_hidden_version_shows_with_its_end),
		RULE(a_hidden_version_that_was_superseded_is_dropped_with_its_end),
		RULE(a_hidden_version_may_become_current_before_its_end),
		RULE(forget_drops_hidden_versions_only),
		RULE(an_append_goes_on_where_the_version_ended),
		RULE(an_append_that_stays_hidden_leaves_the_object_alone),
		RULE(lost_bytes_make_an_object_incomplete),
		RULE(an_end_without_a_beginning_brings_nothing_to_life),
		RULE(a_tombstone_takes_every_kind_of_object_away),
		RULE(an_abort_drops_everything_of_its_transaction),
		RULE(a_copy_takes_the_place_of_its_version_in_any_order),
		RULE(records_without_a_usable_path_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
