/* fixture_crash.c - a copy of the data directory as a killed server would leave it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/catalog_internal.h"
#include "storage/store_internal.h"
#include "tests/storage/fixture.h"

/* 0 or -errno. It must not end the test: fixture_crash_to holds a lock. */
static int
copy_file(const char *from, const char *to)
{
	static char buffer[1 << 16];
	int in = open(from, O_RDONLY | O_CLOEXEC), out, err = 0;
	struct stat st;
	ssize_t n;
	off_t at = 0;

	if (in < 0) /* a volume that nothing needed any more */
		return errno == ENOENT ? 0 : -errno;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (out < 0)
		err = -errno;
	/* Volumes are mostly holes. */
	while (err == 0 && (at = lseek(in, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(in, at, SEEK_HOLE);

		while (err == 0 && at < end && (n = pread(in, buffer, sizeof(buffer), at)) > 0) {
			if (pwrite(out, buffer, (size_t)n, at) != n)
				err = -EIO;
			at += n;
		}
	}
	if (err == 0 && (fstat(in, &st) != 0 || ftruncate(out, st.st_size) != 0))
		err = -errno;
	close(in);
	if (out >= 0)
		close(out);
	return err;
}

/* 0 or -errno. */
static int
copy_tree(const char *from, const char *to)
{
	DIR *dir = opendir(from);
	struct dirent *entry;
	int err = 0;

	if (dir == NULL)
		return -errno;
	if (mkdir(to, 0750) != 0)
		err = -errno;
	while (err == 0 && (entry = readdir(dir)) != NULL) {
		char a[512], b[512];
		struct stat st;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(a, sizeof(a), "%s/%s", from, entry->d_name);
		snprintf(b, sizeof(b), "%s/%s", to, entry->d_name);
		if (stat(a, &st) == 0 && S_ISDIR(st.st_mode))
			err = copy_tree(a, b);
		else
			err = copy_file(a, b);
	}
	closedir(dir);
	return err;
}

/* Takes off the copy of a volume what was being written while it was copied, of which a later part may have come and
 * an earlier one not: no crash leaves that. INFO is what was known before, or NULL. 0 or -errno. */
static int
cut_copy(int dirfd, const char *name, const struct volumes_info *info)
{
	uint64_t end;
	struct stat st;
	int fd, err = 0;

	if (info == NULL)
		return unlinkat(dirfd, name, 0) == 0 ? 0 : -errno;
	end = info->active && info->end == 0 ? VOLUME_HEADER_SIZE : info->end;
	if (end == 0) /* nothing was written to it in this run */
		return 0;
	fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0 || ftruncate(fd, (off_t)end) != 0 || ftruncate(fd, st.st_size) != 0)
		err = -errno;
	close(fd);
	return err;
}

static int
cut_copies(const char *to, const struct volumes_info *list, size_t count)
{
	struct dirent *entry;
	char path[256];
	DIR *dir;
	int err = 0;

	snprintf(path, sizeof(path), "%s/volumes", to);
	dir = opendir(path);
	if (dir == NULL)
		return -errno;
	while (err == 0 && (entry = readdir(dir)) != NULL) {
		unsigned long number = strtoul(entry->d_name, NULL, 10);
		const struct volumes_info *info = NULL;

		for (size_t i = 0; i < count; i++)
			if (list[i].number == number)
				info = &list[i];
		if (number != 0 && strstr(entry->d_name, ".new") == NULL)
			err = cut_copy(dirfd(dir), entry->d_name, info);
	}
	closedir(dir);
	return err;
}

void
fixture_crash_to(struct fixture *f, const char *name)
{
	char to[128];
	MDB_txn *txn = NULL;
	struct volumes_info *list = NULL;
	size_t count = 0;
	int err = 0;

	snprintf(to, sizeof(to), "%.95s/%.30s", f->dir, name);
	/* LMDB's file must not change while it is copied. */
	if (f->store != NULL)
		assert_int_equal(mdb_txn_begin(f->store->catalog->env, NULL, 0, &txn), 0);
	if (f->store != NULL)
		err = volumes_list(&f->store->volumes, &list, &count);
	if (err == 0)
		err = copy_tree(f->data, to);
	if (err == 0 && f->store != NULL)
		err = cut_copies(to, list, count);
	free(list);
	if (f->store != NULL)
		mdb_txn_abort(txn);
	assert_int_equal(err, 0);
	if (f->store != NULL)
		fixture_close(f);
	memcpy(f->data, to, sizeof(to));
}
