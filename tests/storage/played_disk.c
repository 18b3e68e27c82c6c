#include "tests/storage/played_disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/store_internal.h"
#include "tests/storage/fixture.h"

struct played_disk disk;

/* Whether FD is a volume, whose name goes to NAME. */
static int
is_volume(int fd, char name[256])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, 255);
	if (n <= 0)
		return 0;
	name[n] = '\0';
	return strstr(name, ".vol") != NULL && strstr(name, ".vol.new") == NULL;
}

/* Takes one of the passes, if there is one. */
static bool
passes(void)
{
	int left = atomic_load(&disk.passes);

	return left > 0 && atomic_compare_exchange_strong(&disk.passes, &left, left - 1);
}

int
fdatasync(int fd)
{
	char name[256];

	if (!is_volume(fd, name))
		return (int)syscall(SYS_fdatasync, fd);
	atomic_fetch_add(&disk.syncs, 1);
	atomic_fetch_add(&disk.waiting, 1);
	while (atomic_load(&disk.gate_closed) && !passes())
		usleep(500);
	atomic_fetch_sub(&disk.waiting, 1);
	if (strcmp(name, disk.failed_file) == 0)
		atomic_fetch_add(&disk.syncs_of_failed, 1);
	if (atomic_load(&disk.failing_syncs) != 0) {
		if (atomic_load(&disk.failing_syncs) > 0)
			atomic_fetch_sub(&disk.failing_syncs, 1);
		memcpy(disk.failed_file, name, sizeof(disk.failed_file));
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

int
fallocate(int fd, int mode, off_t offset, off_t length)
{
	if (atomic_load(&disk.full)) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

void
disk_heal(void)
{
	atomic_store(&disk.gate_closed, 0);
	atomic_store(&disk.passes, 0);
	atomic_store(&disk.failing_syncs, 0);
	atomic_store(&disk.full, 0);
}

void
disk_heal_and_wait(struct fixture *f)
{
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;

	disk_heal();
	while (atomic_load(&f->store->full)) {
		assert_true(clock_mono_ms() < end);
		reclaim_wake(f->store->reclaim);
		usleep(1000);
	}
}

void
disk_await_sync(void)
{
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;

	while (atomic_load(&disk.waiting) == 0) {
		assert_true(clock_mono_ms() < end);
		usleep(500);
	}
}

int
disk_setup(void **state)
{
	struct fixture *f;
	int rc = fixture_setup_closed(state);

	f = *state;
	disk_heal();
	atomic_store(&disk.syncs, 0);
	atomic_store(&disk.syncs_of_failed, 0);
	disk.failed_file[0] = '\0';
	f->config.sync = true;
	fixture_open(f);
	return rc;
}

int
disk_teardown(void **state)
{
	disk_heal();
	return fixture_teardown(state);
}
