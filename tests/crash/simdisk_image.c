/* simdisk_image.c - from the journal to a directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/crash/simdisk.h"

struct entry {
	uint32_t directory, node;
	char name[SIMDISK_NAME];
};

struct image {
	const struct simdisk *disk;
	uint32_t moment;
	const struct simdisk_fate *fate;
	uint64_t seed;   /* moves on */
	bool *is_synced; /* by event */
	struct entry *entries;
	size_t count;
};

struct simdisk_fate
simdisk_choose_fate(uint64_t seed)
{
	static const unsigned kept[] = {0, 0, 5, 30, 50, 70, 95, 100};
	static const unsigned pieces[] = {1, 1, 8, 8, 64, 2048};
	struct simdisk_fate fate = {.seed = seed};

	fate.kept = kept[simdisk_random(&seed) % 8];
	fate.piece = pieces[simdisk_random(&seed) % 6];
	fate.ordered = simdisk_random(&seed) % 2;
	fate.noise = simdisk_random(&seed) % 4 == 0;
	return fate;
}

static bool
is_lucky(struct image *image)
{
	return simdisk_random(&image->seed) % 100 < image->fate->kept;
}

static int
find_synced(struct image *image)
{
	const struct simdisk *disk = image->disk;
	uint32_t *since = calloc(disk->nodes, sizeof(*since));

	image->is_synced = calloc(image->moment + 1, sizeof(*image->is_synced));
	if (since == NULL || image->is_synced == NULL) {
		free(since);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < image->moment; i++) {
		const struct simdisk_event *event = &disk->event[i];

		if (event->kind == SIMDISK_SYNC && event->since > since[event->node])
			since[event->node] = event->since;
		if (event->kind == SIMDISK_SYNC_ONE)
			image->is_synced[event->since] = true;
	}
	for (uint32_t i = 0; i < image->moment; i++) {
		const struct simdisk_event *event = &disk->event[i];

		/* A name is its directory's. */
		if (event->kind == SIMDISK_CREATE || event->kind == SIMDISK_RENAME ||
		    event->kind == SIMDISK_UNLINK)
			image->is_synced[i] = i < since[event->directory];
		else if (event->kind != SIMDISK_NOTE && i < since[event->node])
			image->is_synced[i] = true;
	}
	free(since);
	return 0;
}

/* ---- names ----------------------------------------------------------------------- */

static void
remove_entry(struct image *image, uint32_t directory, const char *name)
{
	for (size_t i = 0; i < image->count; i++)
		if (image->entries[i].directory == directory &&
		    strcmp(image->entries[i].name, name) == 0) {
			image->entries[i] = image->entries[--image->count];
			return;
		}
}

static void
add_entry(struct image *image, uint32_t directory, const char *name, uint32_t node)
{
	struct entry *entry;

	remove_entry(image, directory, name);
	entry = &image->entries[image->count++];
	entry->directory = directory;
	entry->node = node;
	memcpy(entry->name, name, SIMDISK_NAME);
}

static void
apply_name(struct image *image, const struct simdisk_event *event)
{
	/* clang-format off */
	switch (event->kind) {
	case SIMDISK_CREATE:
		add_entry(image, event->directory, event->name, event->node);
		break;
	case SIMDISK_RENAME:
		remove_entry(image, event->directory, event->name);
		add_entry(image, event->directory, event->to, event->node);
		break;
	case SIMDISK_UNLINK:
		remove_entry(image, event->directory, event->name);
		break;
	case SIMDISK_WRITE: case SIMDISK_SIZE: case SIMDISK_ALLOCATE:
	case SIMDISK_SYNC: case SIMDISK_SYNC_ONE: case SIMDISK_NOTE:
		break;
	}
	/* clang-format on */
}

static bool
is_of_names(const struct simdisk_event *event)
{
	return event->kind == SIMDISK_CREATE || event->kind == SIMDISK_RENAME ||
	       event->kind == SIMDISK_UNLINK;
}

static int
find_names(struct image *image)
{
	const struct simdisk *disk = image->disk;
	uint32_t open = 0, happened = 0, most;

	image->entries = calloc(disk->nodes + 1, sizeof(*image->entries));
	if (image->entries == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < image->moment; i++)
		open += is_of_names(&disk->event[i]) && !image->is_synced[i];
	most = image->fate->kept == 100 ? open
					: (uint32_t)(simdisk_random(&image->seed) % (open + 1));
	for (uint32_t i = 0; i < image->moment; i++) {
		const struct simdisk_event *event = &disk->event[i];

		if (!is_of_names(event))
			continue;
		if (image->is_synced[i] ||
		    (image->fate->ordered ? happened++ < most : is_lucky(image)))
			apply_name(image, event);
	}
	return 0;
}

/* ---- bytes ----------------------------------------------------------------------- */

static int
write_at(int fd, const void *bytes, size_t length, uint64_t offset)
{
	return pwrite(fd, bytes, length, (off_t)offset) == (ssize_t)length ? 0 : -EIO;
}

static int
write_noise(struct image *image, int fd, uint64_t from, uint64_t to)
{
	unsigned char sector[SIMDISK_SECTOR];
	int err = 0;

	for (uint64_t at = from - from % SIMDISK_SECTOR; at < to && err == 0;
	     at += SIMDISK_SECTOR) {
		if (simdisk_random(&image->seed) % 4 != 0)
			continue;
		for (size_t i = 0; i < sizeof(sector); i++)
			sector[i] = (unsigned char)simdisk_random(&image->seed);
		err = write_at(fd, sector, sizeof(sector), at);
	}
	return err;
}

/* Those pieces of a write that was not synced which are there. Neighbours of one fate go together. */
static int
write_pieces(struct image *image, int fd, const struct simdisk_event *event)
{
	const unsigned char *bytes = image->disk->arena + event->bytes;
	uint64_t step = (uint64_t)image->fate->piece * SIMDISK_SECTOR;
	uint64_t from = event->offset, end = event->offset + event->length;
	bool noise = image->fate->noise && image->disk->node[event->node].is_volume;
	bool next = is_lucky(image);
	int err = 0;

	while (from < end && err == 0) {
		uint64_t to = from;
		bool kept = next;

		while (to < end && next == kept) {
			to += step - to % step;
			next = is_lucky(image);
		}
		if (to > end)
			to = end;
		if (kept)
			err = write_at(fd, bytes + (from - event->offset), (size_t)(to - from),
				       from);
		else if (noise)
			err = write_noise(image, fd, from, to);
		from = to;
	}
	return err;
}

static bool
is_of_bytes(const struct simdisk_event *event, uint32_t node)
{
	return event->node == node &&
	       (event->kind == SIMDISK_WRITE || event->kind == SIMDISK_SIZE ||
		event->kind == SIMDISK_ALLOCATE);
}

static int
write_file(struct image *image, int fd, uint32_t node)
{
	const struct simdisk *disk = image->disk;
	uint32_t open = 0, happened = 0, most;
	uint64_t size = 0;
	int err = 0;

	for (uint32_t i = 0; i < image->moment; i++)
		open += is_of_bytes(&disk->event[i], node) && !image->is_synced[i];
	/* The size lags behind: it is that after so many of the changes. */
	most = image->fate->kept == 100 ? open
					: (uint32_t)(simdisk_random(&image->seed) % (open + 1));
	for (uint32_t i = 0; i < image->moment && err == 0; i++) {
		const struct simdisk_event *event = &disk->event[i];
		uint64_t end = event->offset + event->length;
		bool is_sized;

		if (!is_of_bytes(event, node))
			continue;
		is_sized = image->is_synced[i] || happened++ < most;
		if (event->kind == SIMDISK_WRITE && image->is_synced[i])
			err = write_at(fd, disk->arena + event->bytes, (size_t)event->length,
				       event->offset);
		else if (event->kind == SIMDISK_WRITE)
			err = write_pieces(image, fd, event);
		else if (event->kind == SIMDISK_SIZE && is_sized && ftruncate(fd, (off_t)end) != 0)
			err = -errno;
		if (is_sized && (end > size || event->kind == SIMDISK_SIZE))
			size = end;
	}
	if (err == 0 && ftruncate(fd, (off_t)size) != 0)
		err = -errno;
	return err;
}

static int
write_directory(struct image *image, int dirfd, uint32_t directory)
{
	int err = 0;

	for (size_t i = 0; i < image->count && err == 0; i++) {
		const struct entry *entry = &image->entries[i];
		bool is_directory = image->disk->node[entry->node].is_directory;
		int fd;

		if (entry->directory != directory)
			continue;
		if (is_directory && mkdirat(dirfd, entry->name, 0750) != 0)
			return -errno;
		fd = openat(dirfd, entry->name,
			    is_directory ? O_RDONLY | O_DIRECTORY : O_RDWR | O_CREAT | O_EXCL,
			    0640);
		if (fd < 0)
			return -errno;
		err = is_directory ? write_directory(image, fd, entry->node)
				   : write_file(image, fd, entry->node);
		close(fd);
	}
	return err;
}

int
simdisk_image(const struct simdisk *disk, uint32_t moment, const struct simdisk_fate *fate,
	      const char *target)
{
	struct image image = {.disk = disk, .moment = moment, .fate = fate, .seed = fate->seed};
	int fd = -1, err = find_synced(&image);

	if (err == 0)
		err = find_names(&image);
	if (err == 0 && mkdir(target, 0750) != 0)
		err = -errno;
	if (err == 0 && (fd = open(target, O_RDONLY | O_DIRECTORY)) < 0)
		err = -errno;
	if (err == 0)
		err = write_directory(&image, fd, 0);
	if (fd >= 0)
		close(fd);
	free(image.is_synced);
	free(image.entries);
	return err;
}
