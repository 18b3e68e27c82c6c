/* catalog_test.c - the file: opening, formats, damage, what is kept of volumes. */
#include <lmdb.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "storage/entry.h"
#include "tests/storage/catalog_rig.h"

enum { ROWS = 60, FLIPS = 1500 };

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
reopen(struct rig *rig)
{
	catalog_close(&rig->catalog);
	assert_int_equal(catalog_open(rig->path, false, true, &rig->catalog), 0);
}

static void
what_was_committed_is_there_after_a_close(void **state)
{
	struct rig *rig = *state;
	struct stat st;
	char name[128];
	uint64_t highest = 1;

	assert_int_equal(catalog_highest(rig->catalog, &highest), 0);
	assert_int_equal(highest, 0);
	apply_final_record(rig, 1, 2, "/a", 0, 100, 7);
	apply_open_record(rig, 30, 20, "/b", 0, 10, 7);
	reopen(rig);
	expect(rig, "/a", "id=1 seq=2 size=100: 0+100@7");
	expect(rig, "/b", "id=30 seq=20 size=10 open: 0+10@7");
	assert_int_equal(catalog_highest(rig->catalog, &highest), 0);
	assert_int_equal(highest, 30);
	assert_int_equal(live(rig, 7), 110);
	apply_data_record(rig, 2, 0, 1, 7); /* an old one */
	assert_int_equal(catalog_highest(rig->catalog, &highest), 0);
	assert_int_equal(highest, 30);
	apply_data_record(rig, 30, 10, 10, 7); /* still under way */
	expect(rig, "/b", "id=30 seq=20 size=20 open: 0+10@7 10+10@7");

	assert_int_equal(stat(rig->path, &st), 0);
	assert_int_equal(st.st_mode & 07, 0);
	/* The lock file's blocks are there: a full disk must not meet its mapping. */
	snprintf(name, sizeof(name), "%s-lock", rig->path);
	assert_int_equal(stat(name, &st), 0);
	assert_true(st.st_size >= 65536);
	assert_true(st.st_blocks * 512 >= st.st_size);
}

static void
a_missing_catalog_is_made_only_on_request(void **state)
{
	struct rig *rig = *state;
	struct catalog *catalog;
	char path[128];

	snprintf(path, sizeof(path), "%s/none", rig->dir);
	assert_int_equal(catalog_open(path, false, true, &catalog), -ENOENT);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/none/none", rig->dir);
	assert_int_equal(catalog_open(path, true, true, &catalog), -ENOENT);
}

/* ---- volumes --------------------------------------------------------------------- */

static int
write_volume(void *arg, const struct catalog_volume *volume)
{
	fprintf(arg, "%u:%ju:%ju ", (unsigned)volume->number, (uintmax_t)volume->applied,
		(uintmax_t)volume->live);
	return volume->number == 999999 ? 5 : 0;
}

static void
volumes_come_in_order_with_their_positions(void **state)
{
	struct rig *rig = *state;
	char text[256];
	FILE *out = fmemopen(text, sizeof(text), "w");

	apply_final_record(rig, 1, 2, "/a", 0, 100, 70000);
	assert_int_equal(catalog_begin(rig->catalog), 0);
	assert_int_equal(catalog_set_applied(rig->catalog, 3, 4096), 0);
	assert_int_equal(catalog_set_applied(rig->catalog, 70000, 8192), 0);
	assert_int_equal(catalog_set_applied(rig->catalog, 3, 12288), 0);
	assert_int_equal(catalog_set_applied(rig->catalog, 256, 1), 0);
	assert_int_equal(catalog_commit(rig->catalog), 0);
	reopen(rig);
	assert_int_equal(catalog_begin(rig->catalog), 0);
	assert_int_equal(catalog_set_applied(rig->catalog, 3, 5), 0);
	catalog_abort(rig->catalog);
	assert_int_equal(catalog_volumes(rig->catalog, write_volume, out), 0);
	fclose(out);
	assert_string_equal(text, "3:12288:0 256:1:0 70000:8192:100 ");

	assert_int_equal(catalog_begin(rig->catalog), 0);
	assert_int_equal(catalog_set_applied(rig->catalog, 999999, 1), 0);
	assert_int_equal(catalog_commit(rig->catalog), 0);
	out = fmemopen(text, sizeof(text), "w");
	assert_int_equal(catalog_volumes(rig->catalog, write_volume, out), 5);
	fclose(out);
}

/* ---- formats and damage ---------------------------------------------------------- */

/* Writes format number FORMAT, sealed or not, with LMDB's own calls. */
static void
write_format(const char *path, uint64_t format, bool sealed)
{
	unsigned char bytes[ENTRY_VALUE_MAX];
	struct entry_key word;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	size_t length = entry_encode_number(format, bytes);

	entry_key_word("format", &word);
	entry_seal(ENTRY_META, word.bytes, word.length, bytes, length);
	if (!sealed)
		bytes[0] ^= 1;
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
	assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOTLS, 0640), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "meta", 0, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &(MDB_val){word.length, word.bytes},
				 &(MDB_val){length, bytes}, 0),
			 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static void
a_newer_format_is_refused(void **state)
{
	struct rig *rig = *state;
	struct catalog *catalog;

	catalog_close(&rig->catalog);
	write_format(rig->path, CATALOG_FORMAT + 1, true);
	assert_int_equal(catalog_open(rig->path, false, true, &catalog), -EPROTO);
	assert_int_equal(catalog_open(rig->path, true, true, &catalog), -EPROTO);
	write_format(rig->path, 0, true);
	assert_int_equal(catalog_open(rig->path, false, true, &catalog), -EBADMSG);
	write_format(rig->path, CATALOG_FORMAT, false);
	assert_int_equal(catalog_open(rig->path, false, true, &catalog), -EBADMSG);
	write_format(rig->path, CATALOG_FORMAT, true);
	assert_int_equal(catalog_open(rig->path, false, true, &rig->catalog), 0);
}

static void
write_file(const char *path, const void *bytes, size_t length)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
}

static unsigned char *
read_file(const char *path, size_t *length)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	unsigned char *bytes;

	assert_non_null(file);
	assert_int_equal(fstat(fileno(file), &st), 0);
	bytes = malloc((size_t)st.st_size);
	assert_non_null(bytes);
	*length = (size_t)st.st_size;
	assert_int_equal(fread(bytes, 1, *length, file), *length);
	fclose(file);
	return bytes;
}

static void
what_is_no_catalog_is_refused(void **state)
{
	struct rig *rig = *state;
	struct catalog *catalog;
	unsigned char *bytes, noise[20000];
	size_t length;

	for (unsigned i = 0; i < 40; i++)
		apply_final_record(rig, i + 1, i + 1, "/a", 0, 10, 1);
	catalog_close(&rig->catalog);
	bytes = read_file(rig->path, &length);
	memset(noise, 0x5a, sizeof(noise));

	write_file(rig->path, noise, sizeof(noise));
	assert_int_equal(catalog_open(rig->path, true, true, &catalog), -EBADMSG);
	write_file(rig->path, noise, 10);
	assert_int_equal(catalog_open(rig->path, true, true, &catalog), -EBADMSG);
	write_file(rig->path, noise, 0);
	assert_int_equal(catalog_open(rig->path, false, true, &catalog), -EBADMSG);
	/* Cut off anywhere: to read behind the end of a mapped file would be a SIGBUS. */
	for (size_t cut = 100; cut < length; cut += 1000) {
		write_file(rig->path, bytes, cut);
		assert_int_equal(catalog_open(rig->path, true, true, &catalog), -EBADMSG);
	}
	write_file(rig->path, bytes, length);
	assert_int_equal(catalog_open(rig->path, false, true, &rig->catalog), 0);
	expect(rig, "/a", "id=40 seq=40 size=10: 0+10@1");
	free(bytes);
}

static void
row_path(char path[32], unsigned i)
{
	snprintf(path, 32, "/damage/segment-%03u.m4s", i);
}

/* Whether ROW is what was stored as row *ARG. */
static int
check_row(void *arg, const struct catalog_row *row)
{
	unsigned i = *(const unsigned *)arg;
	struct record expected;
	char path[32];

	row_path(path, i);
	expected = make_record(RECORD_FINAL, i + 1, i + 1, path, 0, 10, i % 2 ? 10 : 20);
	if (row->id != expected.id || row->seq != expected.seq || row->open ||
	    row->name.size != expected.name.size || row->name.path_length != strlen(path) ||
	    memcmp(row->name.path, path, strlen(path)) != 0 || row->name.type_length != 9 ||
	    memcmp(row->name.type, "video/mp4", 9) != 0 ||
	    row->name.mtime_ms != expected.name.mtime_ms ||
	    memcmp(row->name.etag, expected.name.etag, 16) != 0)
		return 1;
	if (row->nextents != (i % 2 ? 1 : 2))
		return 1;
	for (size_t e = 0; e < row->nextents; e++)
		if (row->extents[e].offset != e * 10 || row->extents[e].length != 10 ||
		    row->extents[e].volume != 1 || row->extents[e].position != i * 100 + e * 10 ||
		    row->extents[e].hash != (i + 1) * 1000003 + e * 10)
			return 1;
	return 0;
}

/* Reads everything. 0: each row was right, missing or known to be damaged; 1: one was wrong. */
static int
read_all(const char *path)
{
	struct catalog *catalog;

	if (catalog_open(path, false, false, &catalog) != 0)
		return 0;
	for (unsigned i = 0; i < ROWS; i++) {
		char name[32];

		row_path(name, i);
		if (catalog_find(catalog, name, check_row, &i) == 1)
			return 1;
	}
	catalog_close(&catalog);
	return 0;
}

static void
store_rows(struct rig *rig)
{
	for (unsigned i = 0; i < ROWS; i++) {
		char path[32];

		row_path(path, i);
		if (i % 2) {
			apply(rig, make_record(RECORD_FINAL, i + 1, i + 1, path, 0, 10, 10), 1,
			      i * 100);
			continue;
		}
		apply(rig, make_record(RECORD_OPEN, i + 1, i + 1, path, 0, 10, 0), 1, i * 100);
		apply(rig, make_record(RECORD_FINAL, i + 1, i + 1, path, 10, 10, 20), 1,
		      i * 100 + 10);
	}
}

/* Whether byte AT of the file belongs to the value of a row, which ends in path and media type: LMDB's
 * own bytes around it have no checksum, and what it does with damage there is not ours to promise. */
static bool
is_in_value(const unsigned char *bytes, size_t length, size_t at)
{
	size_t before_type = 96 + strlen("/damage/segment-000.m4s");

	for (size_t i = at; i + 9 <= length && i <= at + before_type; i++)
		if (memcmp(bytes + i, "video/mp4", 9) == 0)
			return true;
	return false;
}

static void
a_damaged_value_is_never_taken_for_a_row(void **state)
{
	struct rig *rig = *state;
	unsigned char *bytes;
	unsigned tried = 0;
	size_t length;

	store_rows(rig);
	catalog_close(&rig->catalog);
	assert_int_equal(read_all(rig->path), 0);
	bytes = read_file(rig->path, &length);
	srand(2);
	while (tried < FLIPS) {
		size_t at = (size_t)rand() % length;
		unsigned char bit = (unsigned char)(1 << rand() % 8);

		if (!is_in_value(bytes, length, at))
			continue;
		tried++;
		bytes[at] ^= bit;
		write_file(rig->path, bytes, length);
		if (read_all(rig->path) != 0)
			fail_msg("a wrong row after a change of byte %zu", at);
		bytes[at] ^= bit;
	}
	write_file(rig->path, bytes, length);
	assert_int_equal(catalog_open(rig->path, false, false, &rig->catalog), 0);
	free(bytes);
}

static int
ignore_row(void *arg, const struct catalog_row *row)
{
	(void)arg;
	(void)row;
	return 0;
}

/* Flips one byte of the one value that holds NEEDLE. */
static void
damage(const char *path, const void *needle, size_t needle_length)
{
	size_t length;
	unsigned char *bytes = read_file(path, &length);
	bool found = false;

	for (size_t i = 0; i + needle_length <= length; i++) {
		if (memcmp(bytes + i, needle, needle_length) == 0) {
			bytes[i] ^= 0x10; /* in old copies of the page too */
			found = true;
		}
	}
	assert_true(found);
	write_file(path, bytes, length);
	free(bytes);
}

static void
damage_is_an_error_to_readers_and_writers(void **state)
{
	struct rig *rig = *state;
	struct record record = make_record(RECORD_TOMBSTONE, 0, 9, "/damaged", 0, 0, 0);
	bool more;

	apply_final_record(rig, 1, 2, "/damaged", 0, 10, 1);
	apply_final_record(rig, 3, 4, "/fine", 0, 10, 1);
	catalog_close(&rig->catalog);
	damage(rig->path, "/damagedvideo/mp4", 17);
	assert_int_equal(catalog_open(rig->path, false, true, &rig->catalog), 0);
	assert_int_equal(catalog_find(rig->catalog, "/damaged", ignore_row, NULL), -EBADMSG);
	assert_int_equal(catalog_list(rig->catalog, "/", NULL, 9, ignore_row, NULL, &more),
			 -EBADMSG);
	expect(rig, "/fine", "id=3 seq=4 size=10: 0+10@1");
	assert_int_equal(catalog_begin(rig->catalog), 0);
	assert_int_equal(catalog_apply(rig->catalog, &record, 1, 0), -EBADMSG);
	catalog_abort(rig->catalog);
}

static void
a_missing_extent_makes_an_object_incomplete(void **state)
{
	struct rig *rig = *state;
	struct entry_key key;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	apply_open_record(rig, 1, 2, "/a", 0, 10, 1);
	apply_data_record(rig, 1, 10, 10, 1);
	apply_final_record(rig, 1, 2, "/a", 20, 10, 1);
	catalog_close(&rig->catalog);
	entry_key_part(1, 10, &key);
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
	assert_int_equal(mdb_env_open(env, rig->path, MDB_NOSUBDIR | MDB_NOTLS, 0640), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "parts", 0, &dbi), 0);
	assert_int_equal(mdb_del(txn, dbi, &(MDB_val){key.length, key.bytes}, NULL), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	assert_int_equal(catalog_open(rig->path, false, true, &rig->catalog), 0);
	expect(rig, "/a", "id=1 seq=2 size=10 open: 0+10@1");
}

int
main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		RULE(what_was_committed_is_there_after_a_close),
		RULE(a_missing_catalog_is_made_only_on_request),
		RULE(volumes_come_in_order_with_their_positions),
		RULE(a_newer_format_is_refused),
		RULE(what_is_no_catalog_is_refused),
		RULE(a_damaged_value_is_never_taken_for_a_row),
		RULE(a_missing_extent_makes_an_object_incomplete),
		RULE(damage_is_an_error_to_readers_and_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
