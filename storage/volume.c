#include "storage/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"

#define VOLUME_MAGIC "SPWLVOL\n"
#define RESERVE_STEP ((uint64_t)16 << 20) /* preallocated at a time, */
#define RESERVE_SHARE 16                  /* but no more than this part of the volume */
#define WRITE_STRIDE ((size_t)1 << 20) /* what the disk may begin with while the next is copied */
#define SCAN_WINDOW ((size_t)64 * 1024)
#define SCAN_PEEK ((size_t)1024) /* a record without its body, mostly */

/* Offsets in the volume's header. */
enum {
	AT_MAGIC = 0,
	AT_FORMAT = 8,
	AT_NUMBER = 16,
	AT_CREATED = 24,
	AT_SECRET = 32,
	AT_HASH = AT_SECRET + RECORD_SECRET_SIZE,
};

struct volume {
	_Atomic unsigned refs;
	uint32_t number;
	int fd;
	uint64_t size;        /* bytes it may grow to, and bytes that are mapped */
	uint64_t end;         /* of what was written; its appender only */
	uint64_t reserved;    /* of what is allocated; its appender only */
	pthread_mutex_t lock; /* guards the making of map */
	_Atomic(unsigned char *) map;
	_Atomic int64_t last_read; /* seconds; readers store it */
	uint8_t secret[RECORD_SECRET_SIZE];
};

static uint64_t
round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

static void
format_name(char name[32], uint32_t number, const char *suffix)
{
	snprintf(name, 32, "%010u.vol%s", (unsigned)number, suffix);
}

static struct volume *
volume_new(uint32_t number, int fd)
{
	struct volume *volume = calloc(1, sizeof(*volume));

	if (volume == NULL)
		return NULL;
	atomic_init(&volume->refs, 1);
	atomic_init(&volume->map, NULL);
	atomic_init(&volume->last_read, 0);
	pthread_mutex_init(&volume->lock, NULL);
	volume->number = number;
	volume->fd = fd;
	return volume;
}

/* Of IOVCNT pieces, those that one call writes. */
static int
count_stride(const struct iovec *iov, int iovcnt)
{
	size_t bytes = 0;
	int count = 0;

	while (count < iovcnt && count < IOV_MAX && bytes < WRITE_STRIDE)
		bytes += iov[count++].iov_len;
	return count;
}

/* The disk is to begin with N bytes at OFFSET, but for a page that goes on. What it fails later the sync will say; where
 * this call is not to be had, the sync does it all. 0 or -EIO: it has no room for what it took, or worse, and no room that
 * is made for others would help this volume. */
static int
begin_sync(int fd, uint64_t offset, size_t n)
{
	size_t rest = (size_t)(offset + n) % RECORD_BATCH;

	if (n > rest &&
	    sync_file_range(fd, (off_t)offset, (off_t)(n - rest), SYNC_FILE_RANGE_WRITE) != 0 &&
	    (errno == EIO || errno == ENOSPC || errno == EDQUOT))
		return -EIO;
	return 0;
}

/* SYNC: one follows. */
static int
write_all(int fd, struct iovec *iov, int iovcnt, uint64_t offset, bool sync)
{
	while (iovcnt > 0) {
		int count = count_stride(iov, iovcnt);
		ssize_t n = pwritev(fd, iov, count, (off_t)offset);
		int err = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		if (sync && count < iovcnt)
			err = begin_sync(fd, offset, (size_t)n);
		if (err != 0)
			return err;
		offset += (uint64_t)n;
		for (; iovcnt > 0 && (size_t)n >= iov->iov_len; iov++, iovcnt--)
			n -= (ssize_t)iov->iov_len;
		if (iovcnt > 0) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

/* Allocates up to END, a step at a time. */
static int
reserve(struct volume *volume, uint64_t end)
{
	uint64_t wanted, step;

	if (end <= volume->reserved)
		return 0;
	step = volume->size / RESERVE_SHARE / RECORD_BATCH * RECORD_BATCH;
	wanted = round_up(end, step < RESERVE_STEP ? step : RESERVE_STEP);
	if (wanted > volume->size)
		wanted = volume->size;
	for (;;) {
		int err;

		if (fallocate(volume->fd, 0, (off_t)volume->reserved,
			      (off_t)(wanted - volume->reserved)) == 0)
			break;
		err = errno;
		if (err == EINTR)
			continue;
		if (err == EOPNOTSUPP)
			break;
		/* A failed fallocate may keep what it got; no byte beyond was ever written. */
		if (ftruncate(volume->fd, (off_t)volume->reserved) != 0)
			err = errno;
		if (err != ENOSPC || wanted == round_up(end, RECORD_BATCH))
			return -err;
		wanted = round_up(end, RECORD_BATCH); /* less than a step may still fit */
	}
	volume->reserved = wanted;
	return 0;
}

static int
write_header(struct volume *volume, int sync)
{
	unsigned char page[VOLUME_HEADER_SIZE] = {0};
	struct iovec iov = {page, sizeof(page)};
	int err;

	memcpy(page + AT_MAGIC, VOLUME_MAGIC, 8);
	put_le32(page + AT_FORMAT, VOLUME_FORMAT);
	put_le64(page + AT_NUMBER, volume->number);
	put_le64(page + AT_CREATED, (uint64_t)clock_wall_ms());
	memcpy(page + AT_SECRET, volume->secret, RECORD_SECRET_SIZE);
	put_le64(page + AT_HASH, XXH3_64bits(page, AT_HASH));
	err = volume_append(volume, &iov, 1, sizeof(page), sync);
	if (err == 0 && sync)
		err = volume_sync(volume);
	return err;
}

int
volume_create(int dirfd, uint32_t number, uint64_t size, int sync, struct volume **out)
{
	char name[32], draft[32];
	struct volume *volume;
	int fd, err;

	CHECK(size >= VOLUME_SIZE_MIN && size % RECORD_BATCH == 0);
	format_name(name, number, "");
	format_name(draft, number, ".new");
	/* A rename would take the place of what is there (invariant 6). */
	if (faccessat(dirfd, name, F_OK, 0) == 0)
		return -EEXIST;
	/* The name appears only once the header is on disk. */
	fd = openat(dirfd, draft, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	volume = volume_new(number, fd);
	if (volume == NULL) {
		close(fd);
		err = -ENOMEM;
		goto fail;
	}
	volume->size = size;
	if (getrandom(volume->secret, sizeof(volume->secret), 0) != sizeof(volume->secret))
		err = -EIO;
	else
		err = write_header(volume, sync);
	if (err == 0 && renameat(dirfd, draft, dirfd, name) != 0)
		err = -errno;
	if (err == 0 && sync && fsync(dirfd) != 0)
		err = -errno;
	if (err != 0)
		goto fail;
	*out = volume;
	return 0;
fail:
	unlinkat(dirfd, draft, 0);
	volume_put(&volume);
	return err;
}

int
volume_open(int dirfd, uint32_t number, struct volume **out)
{
	unsigned char page[VOLUME_HEADER_SIZE];
	char name[32];
	struct volume *volume;
	struct stat st;
	int fd, err;

	format_name(name, number, "");
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	volume = volume_new(number, fd);
	if (volume == NULL) {
		close(fd);
		return -ENOMEM;
	}
	err = volume_read(volume, 0, page, sizeof(page));
	if (err == 0 && fstat(fd, &st) != 0)
		err = -errno;
	if (err != 0)
		goto fail;
	err = -EBADMSG;
	if (memcmp(page + AT_MAGIC, VOLUME_MAGIC, 8) != 0)
		goto fail;
	if (get_le32(page + AT_FORMAT) > VOLUME_FORMAT) {
		err = -EPROTO;
		goto fail;
	}
	if (get_le64(page + AT_HASH) != XXH3_64bits(page, AT_HASH) ||
	    get_le64(page + AT_NUMBER) != number)
		goto fail;
	memcpy(volume->secret, page + AT_SECRET, RECORD_SECRET_SIZE);
	volume->end = volume->reserved = (uint64_t)st.st_size;
	volume->size = round_up((uint64_t)st.st_size, RECORD_BATCH);
	*out = volume;
	return 0;
fail:
	volume_put(&volume);
	return err;
}

struct volume *
volume_get(struct volume *volume)
{
	atomic_fetch_add_explicit(&volume->refs, 1, memory_order_relaxed);
	return volume;
}

void
volume_put(struct volume **volumep)
{
	struct volume *volume = *volumep;
	unsigned char *map;

	*volumep = NULL;
	if (volume == NULL ||
	    atomic_fetch_sub_explicit(&volume->refs, 1, memory_order_acq_rel) != 1)
		return;
	map = atomic_load(&volume->map);
	if (map != NULL)
		munmap(map, volume->size);
	close(volume->fd);
	pthread_mutex_destroy(&volume->lock);
	free(volume);
}

uint32_t
volume_number(const struct volume *volume)
{
	return volume->number;
}

const uint8_t *
volume_secret(const struct volume *volume)
{
	return volume->secret;
}

uint64_t
volume_end(const struct volume *volume)
{
	return volume->end;
}

uint64_t
volume_allocated(const struct volume *volume)
{
	return volume->reserved;
}

int64_t
volume_touch(struct volume *volume)
{
	struct timespec now;

	/* A coarse clock and mostly no store: every view comes here. */
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (atomic_load_explicit(&volume->last_read, memory_order_relaxed) != now.tv_sec)
		atomic_store_explicit(&volume->last_read, now.tv_sec, memory_order_relaxed);
	return now.tv_sec;
}

int64_t
volume_last_read(const struct volume *volume)
{
	return atomic_load_explicit(&volume->last_read, memory_order_relaxed);
}

int
volume_unlink(int dirfd, uint32_t number, int sync)
{
	char name[32];

	format_name(name, number, "");
	if (unlinkat(dirfd, name, 0) != 0 && errno != ENOENT)
		return -errno;
	return sync && fsync(dirfd) != 0 ? -errno : 0;
}

int
volume_truncate(int dirfd, uint32_t number, uint64_t end, int sync)
{
	char name[32];
	int fd, err = 0;

	format_name(name, number, "");
	fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)end) != 0 || (sync && fsync(fd) != 0))
		err = -errno;
	close(fd);
	return err;
}

uint64_t
volume_room(const struct volume *volume)
{
	return volume->size - volume->end;
}

int
volume_reserve(struct volume *volume, uint64_t bytes)
{
	CHECK(bytes <= volume_room(volume));
	return reserve(volume, volume->end + bytes);
}

int
volume_append(struct volume *volume, struct iovec *iov, int iovcnt, uint64_t bytes, bool sync)
{
	int err;

	CHECK(volume->end % RECORD_BATCH == 0 && bytes <= volume_room(volume));
	err = reserve(volume, volume->end + bytes);
	if (err == 0)
		err = write_all(volume->fd, iov, iovcnt, volume->end, sync);
	if (err == 0)
		volume->end = round_up(volume->end + bytes, RECORD_BATCH);
	return err;
}

int
volume_sync(struct volume *volume)
{
	int64_t begin = clock_mono_us();
	int rc = fdatasync(volume->fd) == 0 ? 0 : -errno;

	metric_observe(HISTOGRAM_sync, clock_mono_us() - begin);
	return rc;
}

void
volume_cut(struct volume *volume, uint64_t end)
{
	CHECK(end <= volume->end && end % RECORD_BATCH == 0);
	volume->end = end;
	/* If the disk does not obey there is nothing else to be done. */
	if (ftruncate(volume->fd, (off_t)end) == 0) {
		volume->reserved = end;
		(void)fsync(volume->fd);
	}
}

void
volume_trim(struct volume *volume)
{
	if (volume->reserved > volume->end && ftruncate(volume->fd, (off_t)volume->end) == 0)
		volume->reserved = volume->end;
}

const unsigned char *
volume_map(struct volume *volume, uint64_t offset)
{
	unsigned char *map = atomic_load_explicit(&volume->map, memory_order_acquire);

	if (map == NULL) {
		pthread_mutex_lock(&volume->lock);
		map = atomic_load_explicit(&volume->map, memory_order_relaxed);
		if (map == NULL) {
			map = mmap(NULL, volume->size, PROT_READ, MAP_SHARED, volume->fd, 0);
			if (map == MAP_FAILED)
				map = NULL;
			atomic_store_explicit(&volume->map, map, memory_order_release);
		}
		pthread_mutex_unlock(&volume->lock);
	}
	return map == NULL ? NULL : map + offset;
}

uint64_t
volume_offset(struct volume *volume, const unsigned char *data)
{
	return (uint64_t)(data - atomic_load_explicit(&volume->map, memory_order_relaxed));
}

int
volume_fd(const struct volume *volume)
{
	return volume->fd;
}

int
volume_read(const struct volume *volume, uint64_t offset, void *buffer, size_t length)
{
	while (length > 0) {
		ssize_t n = pread(volume->fd, buffer, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		buffer = (char *)buffer + n;
		offset += (uint64_t)n;
		length -= (size_t)n;
	}
	return 0;
}

int
volume_scan_begin(struct volume *volume, uint64_t position, struct volume_scan *scan)
{
	struct stat st;

	if (fstat(volume->fd, &st) != 0)
		return -errno;
	*scan = (struct volume_scan){
		.volume = volume,
		.position = position > 0 ? position : VOLUME_HEADER_SIZE,
		.size = (uint64_t)st.st_size,
	};
	scan->valid = scan->position;
	scan->window = malloc(SCAN_WINDOW);
	return scan->window == NULL ? -ENOMEM : 0;
}

/* Reads BYTES from POSITION on into the window. */
static int
fill_window(struct volume_scan *scan, uint64_t position, size_t bytes)
{
	int err = volume_read(scan->volume, position, scan->window, bytes);

	scan->window_start = position;
	scan->window_length = err == 0 ? bytes : 0;
	return err;
}

/* Makes bytes [POSITION, POSITION + LENGTH) addressable. 0, -ENODATA past the end, or -errno. */
static int
look(struct volume_scan *scan, uint64_t position, size_t length, const unsigned char **out)
{
	/* Behind a large record there is another one, most likely, whose body nobody looks at. */
	size_t window = scan->strides ? SCAN_PEEK : SCAN_WINDOW;
	uint64_t left;
	int err = 0;

	if (position + length > scan->size)
		return -ENODATA;
	if (position < scan->window_start ||
	    position + length > scan->window_start + scan->window_length) {
		if (window < length)
			window = length;
		left = scan->size - position;
		err = fill_window(scan, position, left < window ? (size_t)left : window);
		if (err == -EIO) /* perhaps not of what is asked for */
			err = fill_window(scan, position, length);
	}
	*out = scan->window + (position - scan->window_start);
	return err;
}

/* Decodes the record at scan->position: 0, -EBADMSG, -ENODATA or -errno. */
static int
decode_here(struct volume_scan *scan, struct record *record)
{
	const unsigned char *bytes;
	int err = look(scan, scan->position, RECORD_HEADER_SIZE, &bytes);

	if (err == 0)
		err = record_decode_header(bytes, scan->volume->secret, scan->position, record);
	if (err == 0)
		err = look(scan, scan->position, RECORD_HEADER_SIZE + (size_t)record->name_length,
			   &bytes);
	if (err == 0)
		err = record_decode_name(bytes, bytes + RECORD_HEADER_SIZE, record);
	if (err == 0 &&
	    scan->position + RECORD_HEADER_SIZE + record->name_length + record->body_length >
		    scan->size)
		err = -EBADMSG;
	return err;
}

static void
note_gap(struct volume_scan *scan)
{
	if (scan->gap == 0) {
		scan->gap = scan->position;
		scan->damaged++;
	}
}

/* After something that is no record: the next place where one may begin. That is any multiple of RECORD_ALIGN: the
 * key of the headers' hash keeps what was uploaded from being taken for a record. Whether there is any. */
static bool
step_over(struct volume_scan *scan)
{
	static const unsigned char zeros[RECORD_BATCH];
	uint64_t boundary = round_up(scan->position + 1, RECORD_BATCH);
	uint64_t end = boundary < scan->size ? boundary : scan->size;
	size_t length;
	const unsigned char *bytes;
	off_t data;
	int err;

	/* Behind a record whose padding is not there. */
	if (scan->position >= scan->size)
		return false;
	if (scan->position % RECORD_BATCH == 0) /* no padding either */
		scan->strides = false;
	length = (size_t)(end - scan->position);
	err = look(scan, scan->position, length, &bytes);

	if (err == 0 && memcmp(bytes, zeros, length) != 0) {
		if (length < RECORD_ALIGN || memcmp(bytes, zeros, RECORD_ALIGN) != 0)
			note_gap(scan);
		scan->position += RECORD_ALIGN;
		if (scan->position < boundary)
			return scan->position < scan->size;
	} else if (err != 0) {
		note_gap(scan);
		scan->unreadable++;
	}
	scan->position = boundary;
	/* Preallocated space that was never written is a hole: not worth reading. */
	data = lseek(scan->volume->fd, (off_t)scan->position, SEEK_DATA);
	if (data < 0)
		return errno != ENXIO && scan->position < scan->size;
	if ((uint64_t)data > scan->position)
		scan->position = (uint64_t)data / RECORD_BATCH * RECORD_BATCH;
	return scan->position < scan->size;
}

int
volume_scan_next(struct volume_scan *scan, struct record *record, uint64_t *body)
{
	scan->gap = 0;
	for (;;) {
		int err = decode_here(scan, record);

		if (err == 0) {
			*body = scan->position + RECORD_HEADER_SIZE + record->name_length;
			scan->position += record_span(record->name_length, record->body_length);
			scan->strides = record->body_length >= SCAN_WINDOW - RECORD_BATCH;
			scan->valid = round_up(scan->position, RECORD_BATCH);
			return 1;
		}
		if (err != -EBADMSG && err != -ENODATA && err != -EIO)
			return err;
		if (!step_over(scan))
			return 0;
	}
}

void
volume_scan_end(struct volume_scan *scan)
{
	free(scan->window);
	scan->window = NULL;
}
