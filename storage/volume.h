/* volume.h - one append-only file of records, DIR/volumes/NNNNNNNNNN.vol.
 *
 * Invariant 6: no offset is ever written twice; a volume shrinks only by unlink, by what was never written, or
 * by a batch that failed and that nobody refers to. Hence a mapping of written bytes never changes under a reader.
 *
 * Threads  volume_append and volume_sync: the persister, or whoever created it; volume_sync also the start.
 *          Everything else: any.
 * Owns     the descriptor and the mapping, until the last volume_put.
 * Units    byte offsets from the start of the file.
 */
#ifndef SPILLWAY_STORAGE_VOLUME_H
#define SPILLWAY_STORAGE_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "storage/record.h"

#define VOLUME_FORMAT 1
#define VOLUME_HEADER_SIZE 4096
#define VOLUME_SIZE_MIN ((uint64_t)16 << 20)

struct volume;

/* Creates volume NUMBER of at most SIZE bytes in directory DIRFD; it and its name are on disk when
 * this returns (unless SYNC is false). 0 or -errno; -EEXIST: there is such a volume. */
int volume_create(int dirfd, uint32_t number, uint64_t size, int sync, struct volume **out);

/* Opens an existing one for reading.
 *   -ENOENT   there is no such file
 *   -EPROTO   its format is newer than VOLUME_FORMAT
 *   -EBADMSG  its header is damaged
 */
int volume_open(int dirfd, uint32_t number, struct volume **out);

struct volume *volume_get(struct volume *volume);
void volume_put(struct volume **volume);

uint32_t volume_number(const struct volume *volume);
const uint8_t *volume_secret(const struct volume *volume);

/* Where the next append will begin: a multiple of RECORD_BATCH. */
uint64_t volume_end(const struct volume *volume);

/* Bytes that it takes on disk, as its appender knows. */
uint64_t volume_allocated(const struct volume *volume);

/* Somebody reads it now, by the monotonic clock in seconds, which is returned. Any thread. */
int64_t volume_touch(struct volume *volume);

/* When somebody last did, by the monotonic clock in seconds; 0 for never. */
int64_t volume_last_read(const struct volume *volume);

/* Takes the name of volume NUMBER away, durably if SYNC; who has it open may go on reading. 0 (also when
 * there is no such file) or -errno. */
int volume_unlink(int dirfd, uint32_t number, int sync);

/* Takes what is at END and behind it off volume NUMBER, durably if SYNC: a batch that was never synced. Before
 * anybody reads it. 0 or -errno. */
int volume_truncate(int dirfd, uint32_t number, uint64_t end, int sync);

/* Bytes that can still be appended as one batch. */
uint64_t volume_room(const struct volume *volume);

/* Allocates disk for BYTES behind volume_end, at most volume_room. 0 or -errno, then nothing was
 * written and the volume is as good as before. */
int volume_reserve(struct volume *volume, uint64_t bytes);

/* Writes one batch of BYTES at volume_end; with SYNC volume_sync is to follow. 0 or -errno; after an error the volume
 * must not be appended to any more. IOV is consumed. */
int volume_append(struct volume *volume, struct iovec *iov, int iovcnt, uint64_t bytes, bool sync);

/* fdatasync. After an error the volume must not be used for writing any more: a second
 * attempt may succeed without the bytes being there. */
int volume_sync(struct volume *volume);

/* After an append or a sync that failed: what was appended at END and behind it is taken off the file, as
 * well as the disk lets us, so that no replay finds records that were never acknowledged. The volume
 * must not be appended to any more: its offsets are used up. */
void volume_cut(struct volume *volume, uint64_t end);

/* Gives back what was allocated and not written. Its appender, at the end. It is not synced: after a power failure a
 * step of the allocation may be left. */
void volume_trim(struct volume *volume);

/* The address of byte OFFSET in a read-only shared mapping, valid as long as VOLUME. NULL when it
 * can't be mapped. Touch only bytes that were written. */
const unsigned char *volume_map(struct volume *volume, uint64_t offset);

/* The other way: the offset of DATA, which volume_map gave. */
uint64_t volume_offset(struct volume *volume, const unsigned char *data);

/* The descriptor, for reading at offsets. */
int volume_fd(const struct volume *volume);

/* Reads exactly LENGTH bytes. 0, -EIO (also for a file that is too short) or -errno. */
int volume_read(const struct volume *volume, uint64_t offset, void *buffer, size_t length);

/* A walk over the records of a volume, in order. What is no valid record (a torn batch, damage, a page that
 * can't be read) is stepped over, to wherever the next one begins. */
struct volume_scan {
	struct volume *volume;
	uint64_t position; /* where the walk goes on */
	uint64_t size;     /* of the file */
	uint64_t valid;    /* end of the last valid record, rounded up to a batch */
	uint64_t gap; /* before the last record, or the end, from here on is damage; 0: none is */
	unsigned damaged;    /* such gaps, so far */
	unsigned unreadable; /* pages that the disk did not give */
	/* private */
	unsigned char *window;
	uint64_t window_start;
	size_t window_length;
	bool strides; /* the last record was as large as the window */
};

/* Begins at POSITION, or at the first record when it is 0. 0 or -errno. */
int volume_scan_begin(struct volume *volume, uint64_t position, struct volume_scan *scan);

/* The next record; its strings live until the next call. 1, 0 at the end, or -errno.
 * *BODY is the file offset of its body, which is not verified here. */
int volume_scan_next(struct volume_scan *scan, struct record *record, uint64_t *body);

void volume_scan_end(struct volume_scan *scan);

#endif
