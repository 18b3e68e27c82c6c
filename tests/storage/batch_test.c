/* batch_test.c - records of one batch lie in the volume as they were added. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

#include "storage/batch.h"
#include "storage/volume.h"
#include "tests/storage/fixture.h"

struct rig {
	struct fixture *f;
	int dirfd;
	struct volume *volume;
	struct batch batch;
	struct index_op ops[BATCH_ITEMS];
	unsigned char bodies[2 << 20];
};

static int
setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	void *f;

	if (rig == NULL || fixture_setup_closed(&f) != 0)
		return -1;
	rig->f = f;
	rig->dirfd = open(rig->f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fixture_bytes(1, 0, rig->bodies, sizeof(rig->bodies));
	*state = rig;
	return volume_create(rig->dirfd, 1, (uint64_t)64 << 20, 0, &rig->volume);
}

static int
teardown(void **state)
{
	struct rig *rig = *state;
	void *f = rig->f;

	volume_put(&rig->volume);
	close(rig->dirfd);
	free(rig);
	return fixture_teardown(&f);
}

/* Adds a record whose body is LENGTH bytes, in PIECES. */
static void
add(struct rig *rig, enum record_kind kind, const char *path, uint32_t length, unsigned pieces)
{
	struct batch *batch = &rig->batch;
	struct index_op *op = &rig->ops[batch->count];
	uint32_t left = length;

	assert_true(batch_fits(batch, length, pieces));
	*op = (struct index_op){.record = {
					.kind = kind,
					.id = batch->count + 1,
					.seq = kind == RECORD_DATA ? 0 : batch->count + 100,
					.body_offset = batch->count * 10,
					.body_length = length,
					.body_hash = XXH3_64bits(rig->bodies, length),
				}};
	if (kind != RECORD_DATA) {
		op->record.name.path = path;
		op->record.name.path_length = (uint16_t)strlen(path);
		op->record.name.type = "t";
		op->record.name.type_length = 1;
	}
	for (unsigned i = 0; i < pieces; i++) {
		uint32_t size = i + 1 < pieces ? left / 2 : left;

		batch->bodies[batch->nbodies + i] =
			(struct iovec){rig->bodies + (length - left), size};
		left -= size;
	}
	batch_add(batch, op, pieces);
}

/* Reads the volume from START and compares with the operations. */
static void
expect_records(struct rig *rig, uint64_t start)
{
	unsigned char *bytes = malloc(RECORD_BODY_MAX);
	struct volume_scan scan;
	struct record record;
	uint64_t body;
	unsigned n = 0;

	assert_int_equal(volume_scan_begin(rig->volume, start, &scan), 0);
	for (; volume_scan_next(&scan, &record, &body) == 1; n++) {
		const struct index_op *op = &rig->ops[n];

		assert_true(n < rig->batch.count);
		assert_int_equal(record.kind, op->record.kind);
		assert_int_equal(record.id, op->record.id);
		assert_int_equal(record.seq, op->record.seq);
		assert_int_equal(record.body_offset, op->record.body_offset);
		assert_int_equal(record.body_length, op->record.body_length);
		assert_int_equal(record.name.path_length, op->record.name.path_length);
		assert_int_equal(body, op->body);
		assert_int_equal(op->volume, 1);
		assert_int_equal(volume_read(rig->volume, body, bytes, record.body_length), 0);
		assert_memory_equal(bytes, rig->bodies, record.body_length);
		assert_int_equal(op->applied,
				 n + 1 < rig->batch.count ? 0 : volume_end(rig->volume));
	}
	assert_int_equal(n, rig->batch.count);
	assert_int_equal(scan.damaged, 0);
	volume_scan_end(&scan);
	free(bytes);
}

static void
what_is_added_is_written(void **state)
{
	struct rig *rig = *state;

	for (unsigned round = 0; round < 3; round++) {
		uint64_t start = volume_end(rig->volume), upper;

		batch_clear(&rig->batch);
		add(rig, RECORD_OPEN, "/a", 1000, 1);
		add(rig, RECORD_DATA, NULL, RECORD_BODY_MAX, 18);
		add(rig, RECORD_TOMBSTONE, "/b", 0, 0);
		add(rig, RECORD_FINAL, "/a", 1, 1);
		add(rig, RECORD_FINAL, "/empty", 0, 0);
		for (uint32_t i = 0; i < 20; i++)
			add(rig, RECORD_DATA, NULL, i + round, i + round > 0);
		upper = batch_bytes(&rig->batch);
		assert_int_equal(batch_write(&rig->batch, rig->volume, round == 1), 0);
		assert_int_equal(volume_end(rig->volume) % RECORD_BATCH, 0);
		assert_true(volume_end(rig->volume) - start <= upper + RECORD_BATCH);
		expect_records(rig, start);
	}
}

static void
a_full_batch_says_so_and_fits_its_buffers(void **state)
{
	struct rig *rig = *state;
	char path[1025];

	memset(path, 'p', sizeof(path));
	path[0] = '/';
	path[1024] = '\0';

	/* By records, by their heads, by their bodies. */
	for (unsigned round = 0; round < 3; round++) {
		uint64_t start = volume_end(rig->volume);
		uint32_t length = round == 2 ? 100000 : 0;
		const char *name = round == 1 ? path : "/";

		batch_clear(&rig->batch);
		assert_int_equal(batch_bytes(&rig->batch), 0);
		while (batch_fits(&rig->batch, length, length > 0))
			add(rig, RECORD_OPEN, name, length, length > 0);
		assert_true(rig->batch.count > 60 && rig->batch.count <= BATCH_ITEMS);
		assert_int_equal(batch_write(&rig->batch, rig->volume, false), 0);
		expect_records(rig, start);
	}
}

/* fdatasync of this program: fails when it is told to. */
static bool sync_fails;

int
fdatasync(int fd)
{
	if (!sync_fails)
		return (int)syscall(SYS_fdatasync, fd);
	errno = EIO;
	return -1;
}

static void
a_batch_that_failed_leaves_no_records(void **state)
{
	struct rig *rig = *state;
	uint64_t first, end;

	first = volume_end(rig->volume);
	add(rig, RECORD_FINAL, "/a", 1000, 1);
	assert_int_equal(batch_write(&rig->batch, rig->volume, true), 0);
	end = volume_end(rig->volume);
	sync_fails = true;
	assert_int_equal(batch_write(&rig->batch, rig->volume, true), -EIO);
	sync_fails = false;
	assert_int_equal(volume_end(rig->volume), end);
	rig->ops[0].body = first + record_head_size(&rig->ops[0].record);
	rig->ops[0].applied = end;
	expect_records(rig, first);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define WITH_VOLUME(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		WITH_VOLUME(what_is_added_is_written),
		WITH_VOLUME(a_full_batch_says_so_and_fits_its_buffers),
		WITH_VOLUME(a_batch_that_failed_leaves_no_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
