#include "storage/volumes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/check.h"

struct volumes_slot {
	UT_hash_handle hh;
	uint32_t number;
	struct volume *volume;
};

int
volumes_init(struct volumes *volumes, int dirfd, uint64_t volume_size, bool sync)
{
	if (mkdirat(dirfd, "volumes", 0750) != 0 && errno != EEXIST)
		return -errno;
	volumes->dirfd = openat(dirfd, "volumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (volumes->dirfd < 0)
		return -errno;
	volumes->volume_size = volume_size;
	volumes->sync = sync;
	volumes->table = NULL;
	volumes->next = 1;
	pthread_mutex_init(&volumes->lock, NULL);
	if (sync && fsync(dirfd) != 0)
		return -errno;
	return 0;
}

void
volumes_destroy(struct volumes *volumes)
{
	struct volumes_slot *slot, *tmp;

	HASH_ITER (hh, volumes->table, slot, tmp) {
		HASH_DEL(volumes->table, slot);
		volume_put(&slot->volume);
		free(slot);
	}
	close(volumes->dirfd);
	pthread_mutex_destroy(&volumes->lock);
}

static int
compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The number in a volume's file name; false if it is not exactly one that volume.c makes. */
static bool
parse_name(const char *name, uint32_t *number)
{
	uint64_t value = 0;

	if (strspn(name, "0123456789") != 10 || strcmp(name + 10, ".vol") != 0)
		return false;
	for (const char *digit = name; *digit != '.'; digit++)
		value = value * 10 + (uint64_t)(*digit - '0');
	if (value >= UINT32_MAX) /* there must be a next one */
		return false;
	*number = (uint32_t)value;
	return true;
}

int
volumes_enumerate(struct volumes *volumes, uint32_t **numbers, size_t *count)
{
	int fd = openat(volumes->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	uint32_t *list = NULL;
	size_t used = 0, size = 0;
	struct dirent *entry;
	int err = 0;

	if (dir == NULL) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (errno = 0, (entry = readdir(dir)) != NULL) {
		const char *suffix = strstr(entry->d_name, ".vol.new");
		uint32_t number;

		if (suffix != NULL && suffix[8] == '\0')
			unlinkat(volumes->dirfd, entry->d_name, 0);
		if (!parse_name(entry->d_name, &number))
			continue;
		if (used == size) {
			uint32_t *more;

			size = size > 0 ? 2 * size : 64;
			more = realloc(list, size * sizeof(*list));
			if (more == NULL) {
				err = -ENOMEM;
				goto out;
			}
			list = more;
		}
		list[used++] = number;
	}
	err = -errno;
out:
	closedir(dir);
	if (err != 0) {
		free(list);
		return err;
	}
	if (used > 0) {
		qsort(list, used, sizeof(*list), compare_numbers);
		volumes->next = list[used - 1] + 1;
	}
	*numbers = list;
	*count = used;
	return 0;
}

/* Puts VOLUME into the set. The lock is held. */
static int
insert(struct volumes *volumes, struct volume *volume)
{
	struct volumes_slot *slot = calloc(1, sizeof(*slot));

	if (slot == NULL)
		return -ENOMEM;
	slot->number = volume_number(volume);
	HASH_ADD(hh, volumes->table, number, sizeof(slot->number), slot);
	if (slot->hh.tbl == NULL) {
		free(slot);
		return -ENOMEM;
	}
	slot->volume = volume_get(volume);
	return 0;
}

int
volumes_open(struct volumes *volumes, uint32_t number, struct volume **out)
{
	struct volumes_slot *slot;
	struct volume *volume;
	int err = 0;

	pthread_mutex_lock(&volumes->lock);
	HASH_FIND(hh, volumes->table, &number, sizeof(number), slot);
	if (slot != NULL)
		*out = volume_get(slot->volume);
	pthread_mutex_unlock(&volumes->lock);
	if (slot != NULL)
		return 0;

	err = volume_open(volumes->dirfd, number, &volume);
	if (err != 0)
		return err;
	pthread_mutex_lock(&volumes->lock);
	HASH_FIND(hh, volumes->table, &number, sizeof(number), slot);
	if (slot != NULL) { /* another thread was faster */
		volume_put(&volume);
		volume = volume_get(slot->volume);
	} else {
		err = insert(volumes, volume);
	}
	pthread_mutex_unlock(&volumes->lock);
	if (err != 0)
		volume_put(&volume);
	else
		*out = volume;
	return err;
}

int
volumes_create(struct volumes *volumes, struct volume **out)
{
	struct volume *volume;
	uint32_t number;
	int err;

	pthread_mutex_lock(&volumes->lock);
	number = volumes->next++;
	pthread_mutex_unlock(&volumes->lock);
	err = volume_create(volumes->dirfd, number, volumes->volume_size, volumes->sync, &volume);
	if (err != 0)
		return err;
	pthread_mutex_lock(&volumes->lock);
	err = insert(volumes, volume);
	pthread_mutex_unlock(&volumes->lock);
	if (err != 0)
		volume_put(&volume);
	else
		*out = volume;
	return err;
}
