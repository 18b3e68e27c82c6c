/* volume_test.c - appending, and the walk over what is there, damaged or not. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "storage/volume.h"

#define NUMBER 7
#define NAME "0000000007.vol"
#define BATCH_MAX ((size_t)3 << 20)

struct rig {
	char dir[64];
	int dirfd;
	struct volume *volume;
	unsigned char *batch; /* being made */
	size_t length;
};

static int
set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	strcpy(rig->dir, "/tmp/spillway-volume-test-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	rig->dirfd = open(rig->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rig->batch = malloc(BATCH_MAX);
	assert_int_equal(volume_create(rig->dirfd, NUMBER, VOLUME_SIZE_MIN, 0, &rig->volume), 0);
	*state = rig;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *rig = *state;

	volume_put(&rig->volume);
	unlinkat(rig->dirfd, NAME, 0);
	close(rig->dirfd);
	assert_int_equal(rmdir(rig->dir), 0);
	free(rig->batch);
	free(rig);
	return 0;
}

static unsigned char
body_byte(uint64_t id, size_t i)
{
	return (unsigned char)(id * 31 + i * 7 + i / 251);
}

/* Adds a record to the batch: a DATA of LENGTH bytes, or a TOMBSTONE of path PATH. */
static void
add(struct rig *rig, uint64_t id, const char *path, uint32_t length)
{
	struct record record = {
		.kind = path != NULL ? RECORD_TOMBSTONE : RECORD_DATA,
		.id = id,
		.body_length = length,
	};
	unsigned char *at = rig->batch + rig->length;
	size_t head;

	if (path != NULL) {
		record.name.path = path;
		record.name.path_length = (uint16_t)strlen(path);
	}
	head = record_encode(&record, volume_secret(rig->volume),
			     volume_end(rig->volume) + rig->length, at);
	for (size_t i = 0; i < length; i++)
		at[head + i] = body_byte(id, i);
	for (rig->length += head + length; rig->length % RECORD_ALIGN != 0; rig->length++)
		rig->batch[rig->length] = 0;
}

/* Writes the batch, as two pieces. Returns where it begins. */
static uint64_t
write_batch(struct rig *rig)
{
	uint64_t start = volume_end(rig->volume);
	size_t half = rig->length / 2;
	struct iovec iov[] = {{rig->batch, half}, {rig->batch + half, rig->length - half}};

	assert_int_equal(volume_append(rig->volume, iov, 2, rig->length, false), 0);
	rig->length = 0;
	return start;
}

/* Three batches: 1 2 3 | 4 (large) 5 | 6. Returns the start of the second. */
static uint64_t
write_three(struct rig *rig, uint64_t *third)
{
	uint64_t second;

	add(rig, 1, NULL, 10);
	add(rig, 2, "/two", 0);
	add(rig, 3, NULL, 0);
	write_batch(rig);
	add(rig, 4, NULL, 200000);
	add(rig, 5, NULL, 33);
	second = write_batch(rig);
	add(rig, 6, NULL, 44);
	*third = write_batch(rig);
	return second;
}

/* Overwrites bytes behind the volume's back. */
static void
scribble(struct rig *rig, uint64_t offset, const void *bytes, size_t length)
{
	int fd = openat(rig->dirfd, NAME, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, bytes, length, (off_t)offset), length);
	close(fd);
}

static void
reopen(struct rig *rig)
{
	volume_put(&rig->volume);
	assert_int_equal(volume_open(rig->dirfd, NUMBER, &rig->volume), 0);
}

/* The ids that a walk from POSITION finds, as digits; their bodies must be right. */
static struct volume_scan
walk(struct rig *rig, uint64_t position, char *ids)
{
	struct volume_scan scan;
	struct record record;
	uint64_t body;
	int err;

	assert_int_equal(volume_scan_begin(rig->volume, position, &scan), 0);
	while ((err = volume_scan_next(&scan, &record, &body)) == 1) {
		const unsigned char *map = volume_map(rig->volume, body);
		unsigned char *copy = malloc(record.body_length + 1);

		assert_int_equal(volume_read(rig->volume, body, copy, record.body_length), 0);
		for (size_t i = 0; i < record.body_length; i++) {
			assert_int_equal(map[i], body_byte(record.id, i));
			assert_int_equal(copy[i], map[i]);
		}
		free(copy);
		if (record.kind == RECORD_TOMBSTONE)
			assert_memory_equal(record.name.path, "/two", record.name.path_length);
		*ids++ = (char)('0' + record.id);
	}
	assert_int_equal(err, 0);
	*ids = '\0';
	volume_scan_end(&scan);
	return scan;
}

static void
what_was_appended_is_found_again(void **state)
{
	struct rig *rig = *state;
	struct volume_scan scan;
	uint64_t second, third;
	char ids[32];

	scan = walk(rig, 0, ids);
	assert_string_equal(ids, "");
	assert_int_equal(scan.valid, VOLUME_HEADER_SIZE);
	second = write_three(rig, &third);
	for (int again = 0; again < 2; again++) {
		scan = walk(rig, 0, ids);
		assert_string_equal(ids, "123456");
		assert_int_equal(scan.damaged, 0);
		assert_int_equal(scan.valid, third + RECORD_BATCH);
		walk(rig, second, ids);
		assert_string_equal(ids, "456");
		scan = walk(rig, third + RECORD_BATCH, ids);
		assert_string_equal(ids, "");
		assert_int_equal(scan.valid, third + RECORD_BATCH);
		reopen(rig);
	}
	assert_int_equal(volume_number(rig->volume), NUMBER);
}

/* Bytes that the next step of SCAN reads at most; it must find ID. */
static size_t
step(struct volume_scan *scan, uint64_t id)
{
	struct record record;
	uint64_t body;

	assert_int_equal(volume_scan_next(scan, &record, &body), 1);
	assert_int_equal(record.id, id);
	return scan->window_length;
}

static void
a_walk_reads_little_of_bodies_that_are_large(void **state)
{
	struct rig *rig = *state;
	struct volume_scan scan;

	for (uint64_t id = 1; id <= 6; id++) {
		add(rig, id, NULL, id == 5 ? 10 : 100000);
		if (id % 2 == 0) /* so that there is padding, too */
			write_batch(rig);
	}
	assert_int_equal(volume_scan_begin(rig->volume, 0, &scan), 0);
	step(&scan, 1);
	for (uint64_t id = 2; id <= 5; id++)
		assert_true(step(&scan, id) <= RECORD_BATCH);
	step(&scan, 6);
	volume_scan_end(&scan);
}

static void
every_batch_begins_on_its_boundary_and_ends_within_the_size(void **state)
{
	struct rig *rig = *state;
	uint64_t end = volume_end(rig->volume), room = volume_room(rig->volume);
	struct stat st;

	assert_int_equal(end, VOLUME_HEADER_SIZE);
	assert_int_equal(end + room, VOLUME_SIZE_MIN);
	while (room > 0) {
		uint32_t length = 700001;

		if (length + RECORD_HEADER_SIZE + RECORD_ALIGN > room)
			length = (uint32_t)room - RECORD_HEADER_SIZE; /* to the last byte */
		add(rig, 1, NULL, length);
		assert_true(rig->length <= room);
		assert_int_equal(write_batch(rig), end);
		end = volume_end(rig->volume);
		assert_int_equal(end % RECORD_BATCH, 0);
		room = volume_room(rig->volume);
		assert_int_equal(end + room, VOLUME_SIZE_MIN);
	}
	assert_int_equal(fstatat(rig->dirfd, NAME, &st, 0), 0);
	assert_int_equal(st.st_size, VOLUME_SIZE_MIN);
	reopen(rig);
	assert_int_equal(volume_room(rig->volume), 0); /* what was opened is not written again */
}

/* Invariant 6. */
static void
no_append_changes_what_is_there(void **state)
{
	struct rig *rig = *state;
	unsigned char *before = malloc(VOLUME_SIZE_MIN), *after = malloc(VOLUME_SIZE_MIN);
	unsigned seed = 1;

	for (unsigned i = 0; i < 40; i++) {
		uint64_t end = volume_end(rig->volume);

		assert_int_equal(volume_read(rig->volume, 0, before, end), 0);
		add(rig, i, NULL, (uint32_t)(rand_r(&seed) % 9000));
		assert_int_equal(write_batch(rig), end);
		assert_true(volume_end(rig->volume) > end);
		assert_int_equal(volume_read(rig->volume, 0, after, end), 0);
		assert_memory_equal(before, after, end);
	}
	free(before);
	free(after);
}

static void
what_is_torn_off_a_batch_is_stepped_over(void **state)
{
	struct rig *rig = *state;
	static const unsigned char zeros[8192];
	struct volume_scan scan;
	uint64_t second, third;
	char ids[32];

	second = write_three(rig, &third);
	scribble(rig, second, zeros, 4096); /* its first page never reached the disk */
	reopen(rig);
	scan = walk(rig, 0, ids);
	assert_string_equal(ids, "12356");
	assert_int_equal(scan.valid, third + RECORD_BATCH);
	scribble(rig, third, zeros, 4096);
	scan = walk(rig, 0, ids);
	assert_string_equal(ids, "1235");
	assert_int_equal(scan.valid, third);
	assert_int_equal(volume_end(rig->volume) % RECORD_BATCH, 0);
}

static void
a_damaged_record_costs_itself_only(void **state)
{
	struct rig *rig = *state;
	struct volume_scan scan;
	uint64_t second, third;
	char ids[32];

	second = write_three(rig, &third);
	scribble(rig, second + 20, "damage", 6);
	reopen(rig);
	scan = walk(rig, 0, ids);
	assert_string_equal(ids, "12356");
	assert_int_equal(scan.damaged, 1);
	scribble(rig, VOLUME_HEADER_SIZE + 60, "damage", 6);
	scan = walk(rig, 0, ids);
	assert_string_equal(ids, "2356");
	assert_int_equal(scan.damaged, 2);
}

static void
a_gap_is_named_before_the_record_behind_it(void **state)
{
	struct rig *rig = *state;
	struct volume_scan scan;
	struct record record;
	uint64_t second, third, body;

	second = write_three(rig, &third);
	scribble(rig, second + 20, "damage", 6);
	assert_int_equal(volume_scan_begin(rig->volume, 0, &scan), 0);
	for (uint64_t id = 1; id <= 6; id++) {
		if (id == 4)
			continue;
		assert_int_equal(volume_scan_next(&scan, &record, &body), 1);
		assert_int_equal(record.id, id);
		assert_int_equal(scan.gap, id == 5 ? second : 0);
	}
	scribble(rig, third + RECORD_BATCH, "behind all records", 18);
	volume_scan_end(&scan);
	assert_int_equal(volume_scan_begin(rig->volume, third, &scan), 0);
	assert_int_equal(volume_scan_next(&scan, &record, &body), 1);
	assert_int_equal(volume_scan_next(&scan, &record, &body), 0);
	assert_int_equal(scan.gap, third + RECORD_BATCH);
	volume_scan_end(&scan);
}

static void
a_batch_that_ends_with_the_file_is_no_record(void **state)
{
	struct rig *rig = *state;
	struct volume_scan scan;
	uint64_t second, third;
	char ids[32];

	second = write_three(rig, &third);
	volume_put(&rig->volume);
	for (uint64_t cut = second; cut < second + 200000; cut += 16384 + 40) {
		char path[128];

		snprintf(path, sizeof(path), "%s/" NAME, rig->dir);
		assert_int_equal(truncate(path, (off_t)(second + 200000 + second - cut)), 0);
		assert_int_equal(volume_open(rig->dirfd, NUMBER, &rig->volume), 0);
		scan = walk(rig, 0, ids);
		assert_string_equal(ids, "123");
		assert_int_equal(scan.valid, second);
		volume_put(&rig->volume);
	}
}

static void
an_uploaded_record_is_not_taken_for_one(void **state)
{
	struct rig *rig = *state;
	struct record forged = {.kind = RECORD_TOMBSTONE, .id = 9, .seq = 99};
	uint64_t end = volume_end(rig->volume);
	uint8_t guess[RECORD_SECRET_SIZE] = {0};
	char ids[32];

	/* Where a walk looks if the upload's own record is damaged: at any multiple of 8. */
	forged.name.path = "/victim";
	forged.name.path_length = 7;
	add(rig, 1, NULL, 3 * RECORD_BATCH);
	record_encode(&forged, guess, end + RECORD_BATCH, rig->batch + RECORD_BATCH);
	/* Even the right secret is of no use in another place. */
	record_encode(&forged, volume_secret(rig->volume), end + RECORD_BATCH,
		      rig->batch + (size_t)2 * RECORD_BATCH);
	write_batch(rig);
	scribble(rig, end, "damage", 6);
	reopen(rig);
	walk(rig, 0, ids);
	assert_string_equal(ids, "");
}

static void
unreadable_volumes_are_told_apart(void **state)
{
	struct rig *rig = *state;
	unsigned char page[VOLUME_HEADER_SIZE];
	unsigned char newer[4];
	struct volume *volume;

	assert_int_equal(volume_open(rig->dirfd, NUMBER + 1, &volume), -ENOENT);
	assert_int_equal(volume_read(rig->volume, 0, page, sizeof(page)), 0);
	put_le32(newer, VOLUME_FORMAT + 1);
	scribble(rig, 8, newer, 4);
	assert_int_equal(volume_open(rig->dirfd, NUMBER, &volume), -EPROTO);
	for (size_t i = 0; i < 32 + RECORD_SECRET_SIZE + 8; i++) {
		unsigned char byte = page[i] ^ 0x40;
		int err;

		scribble(rig, 0, page, sizeof(page));
		scribble(rig, i, &byte, 1);
		err = volume_open(rig->dirfd, NUMBER, &volume);
		assert_true(err == -EBADMSG || (err == -EPROTO && i >= 8 && i < 12));
	}
	scribble(rig, 0, page, sizeof(page));
	assert_int_equal(renameat(rig->dirfd, NAME, rig->dirfd, "0000000008.vol"), 0);
	assert_int_equal(volume_open(rig->dirfd, 8, &volume), -EBADMSG); /* not that number's */
	assert_int_equal(renameat(rig->dirfd, "0000000008.vol", rig->dirfd, NAME), 0);
}

static void
an_existing_volume_is_never_created_again(void **state)
{
	struct rig *rig = *state;
	struct volume *volume;
	uint64_t third;
	char ids[32];

	write_three(rig, &third);
	assert_int_equal(volume_create(rig->dirfd, NUMBER, VOLUME_SIZE_MIN, 0, &volume), -EEXIST);
	reopen(rig);
	walk(rig, 0, ids);
	assert_string_equal(ids, "123456");
}

static void
a_mapping_lives_as_long_as_the_last_reference(void **state)
{
	struct rig *rig = *state;
	struct volume *other = volume_get(rig->volume);
	const unsigned char *map = volume_map(rig->volume, VOLUME_HEADER_SIZE);
	uint64_t third;

	write_three(rig, &third); /* after the mapping was made */
	volume_put(&rig->volume);
	unlinkat(rig->dirfd, NAME, 0);
	assert_int_equal(get_le32(map), 0x52575053);
	assert_int_equal(get_le32(volume_map(other, third)), 0x52575053);
	volume_put(&other);
	assert_null(other);
	volume_put(&other);
}

int
main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		RULE(what_was_appended_is_found_again),
		RULE(a_walk_reads_little_of_bodies_that_are_large),
		RULE(every_batch_begins_on_its_boundary_and_ends_within_the_size),
		RULE(no_append_changes_what_is_there),
		RULE(what_is_torn_off_a_batch_is_stepped_over),
		RULE(a_damaged_record_costs_itself_only),
		RULE(a_gap_is_named_before_the_record_behind_it),
		RULE(a_batch_that_ends_with_the_file_is_no_record),
		RULE(an_uploaded_record_is_not_taken_for_one),
		RULE(unreadable_volumes_are_told_apart),
		RULE(an_existing_volume_is_never_created_again),
		RULE(a_mapping_lives_as_long_as_the_last_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
