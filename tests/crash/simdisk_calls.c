/* simdisk_calls.c - stands in front of the C library for every call that changes files.
 *
 * A program that links this has these functions; the dynamic linker gives them to LMDB, too. The real thing is
 * done by system calls. One mutex is held from before the note to after the deed, so that the order in the
 * journal is the order on the disk, and a process that dies here leaves both alike.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/crash/simdisk.h"

#define FDS 4096
#define NO_NODE UINT32_MAX

static struct {
	struct simdisk *disk;
	char root[PATH_MAX];
	size_t root_length;
	pthread_mutex_t lock;
	uint32_t nodes[FDS]; /* what a descriptor is of; NO_NODE: of nothing that is recorded */
	bool is_direct[FDS]; /* opened with O_DSYNC */
} recorder = {.lock = PTHREAD_MUTEX_INITIALIZER};

void
simdisk_record(struct simdisk *disk, const char *root)
{
	memset(recorder.nodes, 0xff, sizeof(recorder.nodes));
	recorder.root_length = (size_t)snprintf(recorder.root, sizeof(recorder.root), "%s", root);
	recorder.disk = disk;
}

/* ---- the journal; all with the lock ---------------------------------------------- */

static struct simdisk_event *
next_event(enum simdisk_kind kind, uint32_t node)
{
	struct simdisk *disk = recorder.disk;
	uint32_t number = atomic_load(&disk->count);
	struct simdisk_event *event = &disk->event[number];

	if (number == SIMDISK_EVENTS - 1) {
		fprintf(stderr, "simdisk: too many events\n");
		_exit(2);
	}
	memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->node = node;
	return event;
}

/* After the deed. */
static void
publish(void)
{
	uint32_t count = atomic_fetch_add(&recorder.disk->count, 1) + 1;

	if (count >= recorder.disk->deadline)
		kill(getpid(), SIGKILL);
}

static uint32_t
find_name(uint32_t directory, const char *name)
{
	const struct simdisk *disk = recorder.disk;

	if (strcmp(name, ".") == 0)
		return directory;
	for (uint32_t i = 1; i < disk->nodes; i++)
		if (disk->node[i].directory == directory && disk->node[i].name[0] != '\0' &&
		    strcmp(disk->node[i].name, name) == 0)
			return i;
	return NO_NODE;
}

static void
set_name(char to[SIMDISK_NAME], const char *name)
{
	if (snprintf(to, SIMDISK_NAME, "%s", name) >= SIMDISK_NAME) {
		fprintf(stderr, "simdisk: a long name: %s\n", name);
		_exit(2);
	}
}

static uint32_t
create(uint32_t directory, const char *name, bool is_directory)
{
	struct simdisk *disk = recorder.disk;
	uint32_t number = disk->nodes;
	struct simdisk_event *event = next_event(SIMDISK_CREATE, number);

	if (number == SIMDISK_NODES) {
		fprintf(stderr, "simdisk: too many files\n");
		_exit(2);
	}
	event->directory = directory;
	set_name(event->name, name);
	disk->node[number] = (struct simdisk_node){
		.is_directory = is_directory,
		.is_volume = strstr(name, ".vol") != NULL,
		.directory = directory,
	};
	set_name(disk->node[number].name, name);
	disk->nodes++;
	publish();
	return number;
}

/* Where a path is: its directory's node, and the last part of its name. False: not below the root. */
static bool
locate(int dirfd, const char *path, uint32_t *directory, const char **name)
{
	uint32_t node = 0;
	const char *slash;

	if (recorder.disk == NULL)
		return false;
	if (path[0] == '/') {
		if (strncmp(path, recorder.root, recorder.root_length) != 0 ||
		    (path[recorder.root_length] != '/' && path[recorder.root_length] != '\0'))
			return false;
		path += recorder.root_length;
		path += *path == '/';
	} else {
		if (dirfd < 0 || dirfd >= FDS || recorder.nodes[dirfd] == NO_NODE)
			return false;
		node = recorder.nodes[dirfd];
	}
	while ((slash = strchr(path, '/')) != NULL) {
		char part[SIMDISK_NAME];

		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		node = find_name(node, part);
		if (node == NO_NODE)
			return false;
		path = slash + 1;
	}
	*directory = node;
	*name = *path == '\0' ? "." : path;
	return strcmp(path, "..") != 0;
}

static uint32_t
node_of(int fd)
{
	return recorder.disk == NULL || fd < 0 || fd >= FDS ? NO_NODE : recorder.nodes[fd];
}

uint32_t
simdisk_note(struct simdisk *disk)
{
	uint32_t number;

	pthread_mutex_lock(&recorder.lock);
	number = atomic_load(&disk->count);
	next_event(SIMDISK_NOTE, NO_NODE);
	publish();
	pthread_mutex_unlock(&recorder.lock);
	return number;
}

/* ---- files ----------------------------------------------------------------------- */

static int
open_at(int dirfd, const char *path, int flags, mode_t mode)
{
	uint32_t directory, node = NO_NODE;
	const char *name;
	int fd;

	pthread_mutex_lock(&recorder.lock);
	fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
	if (fd >= 0 && fd < FDS && locate(dirfd, path, &directory, &name)) {
		node = find_name(directory, name);
		if (node == NO_NODE) {
			node = create(directory, name, false);
		} else if (flags & O_TRUNC) {
			next_event(SIMDISK_SIZE, node);
			publish();
		}
	}
	if (fd >= 0 && fd < FDS) {
		recorder.nodes[fd] = node;
		recorder.is_direct[fd] = (flags & O_DSYNC) != 0;
	}
	pthread_mutex_unlock(&recorder.lock);
	return fd;
}

int
open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return open_at(AT_FDCWD, path, flags, mode);
}

int
openat(int dirfd, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return open_at(dirfd, path, flags, mode);
}

static void
note_write(uint32_t node, bool direct, const struct iovec *iov, int iovcnt, uint64_t offset,
	   uint64_t length)
{
	struct simdisk *disk = recorder.disk;
	struct simdisk_event *event = next_event(SIMDISK_WRITE, node);
	uint32_t number = atomic_load(&disk->count);

	if (disk->used + length > disk->room) {
		fprintf(stderr, "simdisk: too many bytes\n");
		_exit(2);
	}
	event->offset = offset;
	event->length = length;
	event->bytes = disk->used;
	for (int i = 0; i < iovcnt && length > 0; i++) {
		size_t n = iov[i].iov_len < length ? iov[i].iov_len : (size_t)length;

		memcpy(disk->arena + disk->used, iov[i].iov_base, n);
		disk->used += n;
		length -= n;
	}
	publish();
	if (direct) {
		next_event(SIMDISK_SYNC_ONE, node)->since = number;
		publish();
	}
}

ssize_t
pwritev(int fd, const struct iovec *iov, int iovcnt, off_t offset)
{
	uint32_t node = node_of(fd);
	ssize_t n;

	if (node == NO_NODE)
		return syscall(SYS_pwritev, fd, iov, iovcnt, offset, 0);
	pthread_mutex_lock(&recorder.lock);
	n = syscall(SYS_pwritev, fd, iov, iovcnt, offset, 0);
	if (n > 0)
		note_write(node, recorder.is_direct[fd], iov, iovcnt, (uint64_t)offset,
			   (uint64_t)n);
	pthread_mutex_unlock(&recorder.lock);
	return n;
}

ssize_t
pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	struct iovec iov = {(void *)(uintptr_t)bytes, length};

	return pwritev(fd, &iov, 1, offset);
}

/* LMDB writes pages that follow each other with these, behind an lseek. */
ssize_t
writev(int fd, const struct iovec *iov, int iovcnt)
{
	uint32_t node = node_of(fd);
	off_t offset;
	ssize_t n;

	if (node == NO_NODE)
		return syscall(SYS_writev, fd, iov, iovcnt);
	pthread_mutex_lock(&recorder.lock);
	offset = lseek(fd, 0, SEEK_CUR);
	n = syscall(SYS_writev, fd, iov, iovcnt);
	if (n > 0)
		note_write(node, recorder.is_direct[fd], iov, iovcnt, (uint64_t)offset,
			   (uint64_t)n);
	pthread_mutex_unlock(&recorder.lock);
	return n;
}

static int
note_size(int fd, enum simdisk_kind kind, uint64_t size, long rc)
{
	uint32_t node = node_of(fd);

	if (node != NO_NODE && rc == 0) {
		next_event(kind, node)->offset = size;
		publish();
	}
	return (int)rc;
}

int
ftruncate(int fd, off_t size)
{
	int rc;

	pthread_mutex_lock(&recorder.lock);
	rc = note_size(fd, SIMDISK_SIZE, (uint64_t)size, syscall(SYS_ftruncate, fd, size));
	pthread_mutex_unlock(&recorder.lock);
	return rc;
}

int
fallocate(int fd, int mode, off_t offset, off_t length)
{
	long rc;

	/* Nobody writes what a store reserves that only looks at an image. */
	if (recorder.disk == NULL)
		return 0;
	pthread_mutex_lock(&recorder.lock);
	rc = syscall(SYS_fallocate, fd, mode, offset, length);
	if (mode == 0)
		rc = note_size(fd, SIMDISK_ALLOCATE, (uint64_t)(offset + length), rc);
	pthread_mutex_unlock(&recorder.lock);
	return (int)rc;
}

int
posix_fallocate(int fd, off_t offset, off_t length)
{
	return fallocate(fd, 0, offset, length) == 0 ? 0 : errno;
}

/* What was done before the call is on disk when it returns; what is done meanwhile may be. */
static int
sync_node(int fd, long call)
{
	uint32_t node = node_of(fd), since;

	if (node == NO_NODE)
		return (int)syscall(call, fd);
	since = atomic_load(&recorder.disk->count);
	usleep(recorder.disk->sync_us);
	pthread_mutex_lock(&recorder.lock);
	next_event(SIMDISK_SYNC, node)->since = since;
	publish();
	pthread_mutex_unlock(&recorder.lock);
	return 0;
}

int
fsync(int fd)
{
	return sync_node(fd, SYS_fsync);
}

int
fdatasync(int fd)
{
	return sync_node(fd, SYS_fdatasync);
}

/* ---- names ----------------------------------------------------------------------- */

static int
make_directory(int dirfd, const char *path, mode_t mode)
{
	uint32_t directory;
	const char *name;
	int rc;

	pthread_mutex_lock(&recorder.lock);
	rc = (int)syscall(SYS_mkdirat, dirfd, path, mode);
	if (rc == 0 && locate(dirfd, path, &directory, &name))
		create(directory, name, true);
	pthread_mutex_unlock(&recorder.lock);
	return rc;
}

int
mkdirat(int dirfd, const char *path, mode_t mode)
{
	return make_directory(dirfd, path, mode);
}

int
mkdir(const char *path, mode_t mode)
{
	return make_directory(AT_FDCWD, path, mode);
}

static void
forget_name(uint32_t directory, const char *name)
{
	uint32_t node = find_name(directory, name);

	if (node != NO_NODE)
		recorder.disk->node[node].name[0] = '\0';
}

static int
remove_name(int dirfd, const char *path, int flags)
{
	struct simdisk_event *event;
	uint32_t directory;
	const char *name;
	int rc;

	pthread_mutex_lock(&recorder.lock);
	rc = (int)syscall(SYS_unlinkat, dirfd, path, flags);
	if (rc == 0 && locate(dirfd, path, &directory, &name)) {
		event = next_event(SIMDISK_UNLINK, find_name(directory, name));
		event->directory = directory;
		set_name(event->name, name);
		forget_name(directory, name);
		publish();
	}
	pthread_mutex_unlock(&recorder.lock);
	return rc;
}

int
unlinkat(int dirfd, const char *path, int flags)
{
	return remove_name(dirfd, path, flags);
}

int
unlink(const char *path)
{
	return remove_name(AT_FDCWD, path, 0);
}

/* The store renames within a directory only. */
int
renameat(int fromfd, const char *from, int tofd, const char *to)
{
	struct simdisk_event *event;
	uint32_t directory;
	const char *name;
	int rc;

	pthread_mutex_lock(&recorder.lock);
	rc = (int)syscall(SYS_renameat2, fromfd, from, tofd, to, 0);
	if (rc == 0 && locate(fromfd, from, &directory, &name)) {
		uint32_t node = find_name(directory, name);

		event = next_event(SIMDISK_RENAME, node);
		event->directory = directory;
		set_name(event->name, name);
		set_name(event->to, to);
		forget_name(directory, to);
		set_name(recorder.disk->node[node].name, to);
		publish();
	}
	pthread_mutex_unlock(&recorder.lock);
	return rc;
}

int
rename(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}
