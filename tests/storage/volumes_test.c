/* volumes_test.c - the folder of volumes: numbers, drafts, one shared reference per file. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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

#include "storage/volumes.h"

enum { THREADS = 4, ROUNDS = 200, FILES = 8 };

struct rig {
	char dir[64];
	int dirfd;
	struct volumes volumes;
};

static int
set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	strcpy(rig->dir, "/tmp/spillway-volumes-test-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	rig->dirfd = open(rig->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(volumes_init(&rig->volumes, rig->dirfd, VOLUME_SIZE_MIN, false), 0);
	*state = rig;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *rig = *state;
	uint32_t *numbers;
	size_t count;
	char name[32];

	assert_int_equal(volumes_enumerate(&rig->volumes, &numbers, &count), 0);
	for (size_t i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%010u.vol", (unsigned)numbers[i]);
		unlinkat(rig->volumes.dirfd, name, 0);
	}
	free(numbers);
	volumes_destroy(&rig->volumes);
	assert_int_equal(unlinkat(rig->dirfd, "volumes", AT_REMOVEDIR), 0);
	close(rig->dirfd);
	assert_int_equal(rmdir(rig->dir), 0);
	free(rig);
	return 0;
}

static void
restart(struct rig *rig)
{
	volumes_destroy(&rig->volumes);
	assert_int_equal(volumes_init(&rig->volumes, rig->dirfd, VOLUME_SIZE_MIN, false), 0);
}

static uint32_t
create(struct rig *rig)
{
	struct volume *volume;
	uint32_t number;

	assert_int_equal(volumes_create(&rig->volumes, &volume), 0);
	number = volume_number(volume);
	volume_put(&volume);
	return number;
}

static void
touch(struct rig *rig, const char *name)
{
	int fd = openat(rig->volumes.dirfd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static bool
exists(struct rig *rig, const char *name)
{
	return faccessat(rig->volumes.dirfd, name, F_OK, 0) == 0;
}

static void
numbers_ascend_over_restarts(void **state)
{
	struct rig *rig = *state;
	uint32_t *numbers;
	size_t count;

	assert_int_equal(volumes_enumerate(&rig->volumes, &numbers, &count), 0);
	assert_int_equal(count, 0);
	free(numbers);
	assert_int_equal(create(rig), 1);
	assert_int_equal(create(rig), 2);
	assert_int_equal(create(rig), 3);
	unlinkat(rig->volumes.dirfd, "0000000002.vol", 0);
	restart(rig);
	assert_int_equal(volumes_enumerate(&rig->volumes, &numbers, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(numbers[0], 1);
	assert_int_equal(numbers[1], 3);
	free(numbers);
	assert_int_equal(create(rig), 4);
}

static void
drafts_are_removed_and_strangers_left_alone(void **state)
{
	static const char *const strangers[] = {
		"README",         "1.vol",          "00000000001.vol", "0000000001.volx",
		"0000000001.VOL", "+000000001.vol", " 000000001.vol",  "-000000001.vol",
		"9999999999.vol", "x.vol.newer",
	};
	struct rig *rig = *state;
	uint32_t *numbers;
	size_t count;

	touch(rig, "0000000005.vol.new");
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		touch(rig, strangers[i]);
	assert_int_equal(volumes_enumerate(&rig->volumes, &numbers, &count), 0);
	assert_int_equal(count, 0);
	free(numbers);
	assert_false(exists(rig, "0000000005.vol.new"));
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		assert_true(exists(rig, strangers[i]));
		unlinkat(rig->volumes.dirfd, strangers[i], 0);
	}
}

/* Which one is evicted first hangs on it, after a start too. */
static void
volumes_keep_their_age_over_restarts(void **state)
{
	static const struct timespec written[] = {{1000, 700000000}, {1000, 100000000}, {1002, 0}};
	struct rig *rig = *state;
	struct volumes_info *infos;
	uint32_t *numbers;
	char name[32];
	size_t count;

	for (size_t i = 0; i < 3; i++) {
		const struct timespec times[2] = {written[i], written[i]};

		snprintf(name, sizeof(name), "%010u.vol", (unsigned)create(rig));
		assert_int_equal(utimensat(rig->volumes.dirfd, name, times, 0), 0);
	}
	restart(rig);
	assert_int_equal(volumes_enumerate(&rig->volumes, &numbers, &count), 0);
	free(numbers);
	assert_int_equal(volumes_list(&rig->volumes, &infos, &count), 0);
	assert_int_equal(count, 3);
	assert_int_equal(infos[0].used_ms - infos[1].used_ms, 600);
	assert_int_equal(infos[2].used_ms - infos[0].used_ms, 1300);
	free(infos);
}

static void
a_volume_is_opened_once_and_shared(void **state)
{
	struct rig *rig = *state;
	struct volume *created, *opened;
	uint32_t *numbers;
	size_t count;

	assert_int_equal(volumes_create(&rig->volumes, &created), 0);
	assert_int_equal(volumes_open(&rig->volumes, 1, &opened), 0);
	assert_ptr_equal(created, opened); /* its appender's length is the readers' too */
	volume_put(&created);
	volume_put(&opened);
	assert_int_equal(volumes_open(&rig->volumes, 99, &opened), -ENOENT);
	restart(rig);
	assert_int_equal(volumes_open(&rig->volumes, 1, &created),
			 -ENOENT); /* not looked for yet */
	assert_int_equal(volumes_enumerate(&rig->volumes, &numbers, &count), 0);
	free(numbers);
	assert_int_equal(volumes_open(&rig->volumes, 1, &created), 0);
	assert_int_equal(volumes_open(&rig->volumes, 1, &opened), 0);
	assert_ptr_equal(created, opened);
	volume_put(&created);
	volumes_destroy(&rig->volumes); /* a reader keeps its volume */
	assert_int_equal(volume_number(opened), 1);
	assert_non_null(volume_map(opened, 0));
	volume_put(&opened);
	assert_int_equal(volumes_init(&rig->volumes, rig->dirfd, VOLUME_SIZE_MIN, false), 0);
}

static void *
open_many(void *arg)
{
	struct rig *rig = arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct volume *volume;
		uint32_t number = 1 + i % FILES;

		if (volumes_open(&rig->volumes, number, &volume) != 0 ||
		    volume_number(volume) != number || volume_map(volume, 0) == NULL)
			return arg;
		volume_put(&volume);
		if (i % 50 == 0 && volumes_create(&rig->volumes, &volume) == 0)
			volume_put(&volume);
	}
	return NULL;
}

static void
many_threads_may_open_and_create(void **state)
{
	struct rig *rig = *state;
	pthread_t threads[THREADS];
	uint32_t *numbers;
	size_t count;

	for (unsigned i = 0; i < FILES; i++)
		create(rig);
	restart(rig);
	assert_int_equal(volumes_enumerate(&rig->volumes, &numbers, &count), 0);
	free(numbers);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_many, rig), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(volumes_enumerate(&rig->volumes, &numbers, &count), 0);
	assert_int_equal(count, FILES + THREADS * ROUNDS / 50);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(numbers[i], i + 1);
	free(numbers);
}

int
main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		RULE(numbers_ascend_over_restarts),
		RULE(drafts_are_removed_and_strangers_left_alone),
		RULE(volumes_keep_their_age_over_restarts),
		RULE(a_volume_is_opened_once_and_shared),
		RULE(many_threads_may_open_and_create),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
