/* catalog_check_test.c - the check finds what a damaged page hides, and nothing in a sound catalog. */
#include <fcntl.h>
#include <sys/stat.h>

#include "storage/inspect.h"
#include "tests/storage/catalog_rig.h"

#define OBJECTS 3000

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
	rig_close(*state);
	free(*state);
	return 0;
}

/* Objects of every kind, some replaced and some deleted, in transactions of some hundred. */
static void
fill(struct rig *rig)
{
	uint64_t seq = 0;

	for (unsigned i = 0; i < OBJECTS; i++) {
		unsigned what = i % 8 == 7 ? i - 5 : i;
		struct record record;
		char path[600];
		int length = snprintf(path, sizeof(path), "/live/%05u.m4s", what);

		if (i % 50 == 3)
			snprintf(path + length, sizeof(path) - (size_t)length, "/%0500u", i);
		if (i % 300 == 0) {
			if (i > 0)
				assert_int_equal(catalog_commit(rig->catalog), 0);
			assert_int_equal(catalog_begin(rig->catalog), 0);
		}
		seq++;
		if (i % 3 == 0) {
			record = make_record(RECORD_OPEN, seq, seq, path, 0, 100, 0);
			assert_int_equal(catalog_apply(rig->catalog, &record, 1 + i / 1000, i), 0);
			record = make_record(RECORD_DATA, seq, 0, "", 100, 50, 0);
			assert_int_equal(catalog_apply(rig->catalog, &record, 1 + i / 1000, i), 0);
		}
		record = make_record(i % 11 == 5 ? RECORD_TOMBSTONE : RECORD_FINAL, seq, seq, path,
				     i % 3 == 0 ? 150 : 0, 10, i % 3 == 0 ? 160 : 10);
		assert_int_equal(catalog_apply(rig->catalog, &record, 1 + i / 1000, i), 0);
	}
	assert_int_equal(catalog_commit(rig->catalog), 0);
}

static void
a_sound_catalog_is_sound(void **state)
{
	struct rig *rig = *state;
	char why[200];

	assert_int_equal(catalog_check(rig->path, false, why, sizeof(why)), 0); /* an empty one */
	fill(rig);
	assert_int_equal(catalog_check(rig->path, false, why, sizeof(why)), 0);
	for (uint64_t seq = 0; seq < 500; seq++)
		apply_tombstone_record(rig, OBJECTS + 1 + seq, "/live/00001.m4s");
	assert_int_equal(catalog_check(rig->path, false, why, sizeof(why)), 0);
}

static unsigned char *
read_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char *bytes;
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	*size = (size_t)st.st_size;
	return bytes;
}

static void
write_file(const char *path, const unsigned char *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static int
inspected(const char *path, char why[200])
{
	struct inspect *inspect;
	int err;

	assert_int_equal(inspect_start(path, true, &inspect), 0);
	err = inspect_wait(inspect, 60000, why, 200);
	inspect_stop(&inspect);
	return err;
}

static bool
finds(struct catalog *catalog, unsigned number)
{
	char path[64], text[256];
	FILE *out = fmemopen(text, sizeof(text), "w");
	int err;

	snprintf(path, sizeof(path), "/live/%05u.m4s", number);
	err = catalog_find(catalog, path, write_found, out);
	fclose(out);
	return err == 0;
}

/* One bit, in many places. Where the check says that all is well, all is found that was there; and most bits
 * of a page matter. The child may crash: that is an answer. */
static void
no_flipped_bit_hides_a_row_from_the_check(void **state)
{
	struct rig *rig = *state;
	static bool before[OBJECTS];
	char copy[128], why[200];
	unsigned char *bytes;
	unsigned found = 0, flips = 0, seed = 3;
	size_t size;

	fill(rig);
	for (unsigned i = 0; i < OBJECTS; i++)
		before[i] = finds(rig->catalog, i);
	bytes = read_file(rig->path, &size);
	snprintf(copy, sizeof(copy), "%s/copy", rig->dir);
	for (flips = 0; flips < 150; flips++) {
		/* Every second one in the head of a page, or among the first offsets of its nodes. */
		size_t at = flips % 2 ? (size_t)rand_r(&seed) % size
				      : (size_t)rand_r(&seed) % (size / 4096) * 4096 +
						(size_t)rand_r(&seed) % 40;
		unsigned char bit = (unsigned char)(1u << rand_r(&seed) % 8);
		int err;

		bytes[at] ^= bit;
		write_file(copy, bytes, size);
		bytes[at] ^= bit;
		err = inspected(copy, why);
		if (err == -EBADMSG) {
			assert_true(why[0] != '\0');
			found++;
		} else if (err == 0) {
			struct catalog *catalog;

			assert_int_equal(catalog_open_to_read(copy, true, &catalog), 0);
			for (unsigned i = 0; i < OBJECTS; i++)
				if (finds(catalog, i) != before[i])
					fail_msg("bit %u of byte %zu hides %u", bit, at, i);
			catalog_close(&catalog);
		} else {
			assert_int_equal(err, -EPROTO);
		}
	}
	unlink(copy);
	free(bytes);
	assert_true(found > flips / 4);
}

static void
a_child_that_is_killed_says_nothing_about_the_catalog(void **state)
{
	struct rig *rig = *state;
	struct inspect *inspect;
	char why[200];
	int err;

	fill(rig);
	assert_int_equal(inspect_start(rig->path, false, &inspect), 0);
	inspect_kill(inspect);
	err = inspect_wait(inspect, 60000, why, sizeof(why));
	assert_true(err == -ECANCELED || err == 0); /* it may have been faster */
	inspect_stop(&inspect);
	assert_null(inspect);
	inspect_stop(&inspect);
}

static void
what_is_no_catalog_is_told_apart(void **state)
{
	struct rig *rig = *state;
	char name[128], why[200];
	static const unsigned char zeros[8192];

	snprintf(name, sizeof(name), "%s/other", rig->dir);
	assert_int_equal(inspected(name, why), -ENOENT);
	write_file(name, zeros, sizeof(zeros));
	assert_int_equal(inspected(name, why), -EBADMSG);
	unlink(name);
}

int
main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		RULE(a_sound_catalog_is_sound),
		RULE(no_flipped_bit_hides_a_row_from_the_check),
		RULE(a_child_that_is_killed_says_nothing_about_the_catalog),
		RULE(what_is_no_catalog_is_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
