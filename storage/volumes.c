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
#include "base/clock.h"

struct volumes_slot {
	UT_hash_handle hh;
	struct volumes_info info; /* used_ms: when it was written */
	struct volume *volume;    /* NULL until somebody wants it */
};

int
volumes_init_to_read(struct volumes *volumes, int dirfd)
{
	*volumes = (struct volumes){.next = 1, .read_only = true};
	volumes->dirfd = openat(dirfd, "volumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (volumes->dirfd < 0)
		return -errno;
	pthread_mutex_init(&volumes->lock, NULL);
	return 0;
}

int
volumes_init(struct volumes *volumes, int dirfd, uint64_t volume_size, bool sync)
{
	int err;

	if (mkdirat(dirfd, "volumes", 0750) != 0 && errno != EEXIST)
		return -errno;
	err = volumes_init_to_read(volumes, dirfd);
	if (err != 0)
		return err;
	volumes->volume_size = volume_size;
	volumes->sync = sync;
	volumes->read_only = false;
	/* Also the names that a killed process made or took away and did not sync. */
	if (sync && (fsync(dirfd) != 0 || fsync(volumes->dirfd) != 0))
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

static void
add_to(struct volumes_sum *sum, uint64_t bytes)
{
	sum->bytes += bytes;
	sum->count++;
}

static void
take_from(struct volumes_sum *sum, uint64_t bytes)
{
	sum->bytes -= bytes;
	sum->count--;
}

/* Puts a volume into the set, if it is not there. VOLUME, or NULL, gives no reference away. The lock is held. */
static int
insert(struct volumes *volumes, const struct volumes_info *info, struct volume *volume)
{
	struct volumes_slot *slot;

	HASH_FIND(hh, volumes->table, &info->number, sizeof(info->number), slot);
	if (slot != NULL)
		return 0;
	slot = calloc(1, sizeof(*slot));
	if (slot == NULL)
		return -ENOMEM;
	slot->info = *info;
	HASH_ADD(hh, volumes->table, info.number, sizeof(slot->info.number), slot);
	if (slot->hh.tbl == NULL) {
		free(slot);
		return -ENOMEM;
	}
	if (volume != NULL)
		slot->volume = volume_get(volume);
	add_to(&volumes->all, info->bytes);
	if (!info->active)
		add_to(&volumes->sealed, info->bytes);
	return 0;
}

/* One moment, by both clocks. */
struct moment {
	int64_t wall_ms, mono_ms;
};

/* Notes the volume file NAME, which was written before this run. NOW is the same for all files: they keep the order
 * in which they were written. */
static int
find_file(struct volumes *volumes, const char *name, uint32_t number, const struct moment *now)
{
	struct volumes_info info = {.number = number};
	int64_t age_ms;
	struct stat st;
	int err;

	if (fstatat(volumes->dirfd, name, &st, 0) != 0)
		return -errno;
	info.bytes = (uint64_t)st.st_blocks * 512;
	age_ms = now->wall_ms - (int64_t)st.st_mtim.tv_sec * 1000 - st.st_mtim.tv_nsec / 1000000;
	info.used_ms = now->mono_ms - (age_ms > 0 ? age_ms : 0);
	pthread_mutex_lock(&volumes->lock);
	err = insert(volumes, &info, NULL);
	pthread_mutex_unlock(&volumes->lock);
	return err;
}

int
volumes_enumerate(struct volumes *volumes, uint32_t **numbers, size_t *count)
{
	const struct moment now = {.wall_ms = clock_wall_ms(), .mono_ms = clock_mono_ms()};
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

		if (suffix != NULL && suffix[8] == '\0' && !volumes->read_only)
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
		err = find_file(volumes, entry->d_name, number, &now);
		if (err != 0)
			goto out;
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
		volumes_reserve(volumes, list[used - 1]);
	}
	*numbers = list;
	*count = used;
	return 0;
}

int
volumes_open(struct volumes *volumes, uint32_t number, struct volume **out)
{
	struct volumes_slot *slot;
	struct volume *volume = NULL;
	int err;

	pthread_mutex_lock(&volumes->lock);
	HASH_FIND(hh, volumes->table, &number, sizeof(number), slot);
	if (slot != NULL && slot->volume != NULL)
		volume = volume_get(slot->volume);
	pthread_mutex_unlock(&volumes->lock);
	if (volume != NULL) {
		*out = volume;
		return 0;
	}
	if (slot == NULL)
		return -ENOENT;

	err = volume_open(volumes->dirfd, number, &volume);
	if (err != 0)
		return err;
	pthread_mutex_lock(&volumes->lock);
	HASH_FIND(hh, volumes->table, &number, sizeof(number), slot);
	if (slot == NULL) { /* removed meanwhile */
		err = -ENOENT;
	} else if (slot->volume != NULL) { /* another thread was faster */
		volume_put(&volume);
		volume = volume_get(slot->volume);
	} else {
		slot->volume = volume_get(volume);
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
	struct volumes_info info = {.active = true, .used_ms = clock_mono_ms()};
	struct volume *volume;
	uint32_t number;
	int err;

	pthread_mutex_lock(&volumes->lock);
	number = info.number = volumes->next++;
	pthread_mutex_unlock(&volumes->lock);
	err = volume_create(volumes->dirfd, number, volumes->volume_size, volumes->sync, &volume);
	if (err != 0)
		return err;
	info.bytes = volume_allocated(volume);
	pthread_mutex_lock(&volumes->lock);
	err = insert(volumes, &info, volume);
	pthread_mutex_unlock(&volumes->lock);
	if (err != 0)
		volume_put(&volume);
	else
		*out = volume;
	return err;
}

void
volumes_reserve(struct volumes *volumes, uint32_t number)
{
	pthread_mutex_lock(&volumes->lock);
	if (volumes->next <= number)
		volumes->next = number + 1;
	pthread_mutex_unlock(&volumes->lock);
}

/* SLOT's volume takes BYTES now. The lock is held. */
static void
set_bytes(struct volumes *volumes, struct volumes_slot *slot, uint64_t bytes)
{
	volumes->all.bytes += bytes - slot->info.bytes;
	if (!slot->info.active)
		volumes->sealed.bytes += bytes - slot->info.bytes;
	slot->info.bytes = bytes;
}

void
volumes_grown(struct volumes *volumes, const struct volume *volume)
{
	uint32_t number = volume_number(volume);
	uint64_t bytes = volume_allocated(volume);
	struct volumes_slot *slot;

	pthread_mutex_lock(&volumes->lock);
	HASH_FIND(hh, volumes->table, &number, sizeof(number), slot);
	CHECK(slot != NULL && slot->info.active);
	set_bytes(volumes, slot, bytes);
	slot->info.end = volume_end(volume);
	volumes->ahead = bytes - slot->info.end;
	slot->info.used_ms = clock_mono_ms();
	pthread_mutex_unlock(&volumes->lock);
}

void
volumes_seal(struct volumes *volumes, struct volume *volume)
{
	uint32_t number = volume_number(volume);
	struct volumes_slot *slot;

	volume_trim(volume);
	pthread_mutex_lock(&volumes->lock);
	HASH_FIND(hh, volumes->table, &number, sizeof(number), slot);
	CHECK(slot != NULL && slot->info.active);
	set_bytes(volumes, slot, volume_allocated(volume));
	slot->info.active = false;
	volumes->ahead = 0;
	add_to(&volumes->sealed, slot->info.bytes);
	pthread_mutex_unlock(&volumes->lock);
}

static int
compare_infos(const void *a, const void *b)
{
	return compare_numbers(&((const struct volumes_info *)a)->number,
			       &((const struct volumes_info *)b)->number);
}

int
volumes_list(struct volumes *volumes, struct volumes_info **list, size_t *count)
{
	struct volumes_slot *slot, *tmp;
	size_t n = 0;

	pthread_mutex_lock(&volumes->lock);
	*list = calloc(volumes->all.count + 1, sizeof(**list));
	if (*list != NULL) {
		HASH_ITER (hh, volumes->table, slot, tmp) {
			struct volumes_info *info = &(*list)[n++];
			int64_t read_s = slot->volume == NULL ? 0 : volume_last_read(slot->volume);

			*info = slot->info;
			/* What was written before the machine started has a time below zero. */
			if (read_s > 0 && read_s * 1000 > info->used_ms)
				info->used_ms = read_s * 1000;
		}
	}
	pthread_mutex_unlock(&volumes->lock);
	if (*list == NULL)
		return -ENOMEM;
	qsort(*list, n, sizeof(**list), compare_infos);
	*count = n;
	return 0;
}

static uint64_t
read_sum(struct volumes *volumes, const struct volumes_sum *sum, size_t *count)
{
	uint64_t bytes;

	pthread_mutex_lock(&volumes->lock);
	bytes = sum->bytes;
	*count = sum->count;
	pthread_mutex_unlock(&volumes->lock);
	return bytes;
}

uint64_t
volumes_bytes(struct volumes *volumes, size_t *count)
{
	return read_sum(volumes, &volumes->all, count);
}

uint64_t
volumes_written_bytes(struct volumes *volumes)
{
	uint64_t bytes;

	pthread_mutex_lock(&volumes->lock);
	bytes = volumes->all.bytes - volumes->ahead;
	pthread_mutex_unlock(&volumes->lock);
	return bytes;
}

uint64_t
volumes_sealed_bytes(struct volumes *volumes, size_t *count)
{
	return read_sum(volumes, &volumes->sealed, count);
}

int
volumes_remove(struct volumes *volumes, uint32_t number)
{
	int err = volume_unlink(volumes->dirfd, number, volumes->sync);
	struct volume *volume = NULL;
	struct volumes_slot *slot;

	if (err != 0)
		return err;
	pthread_mutex_lock(&volumes->lock);
	HASH_FIND(hh, volumes->table, &number, sizeof(number), slot);
	if (slot != NULL) {
		CHECK(!slot->info.active);
		take_from(&volumes->all, slot->info.bytes);
		take_from(&volumes->sealed, slot->info.bytes);
		volume = slot->volume;
		HASH_DEL(volumes->table, slot);
		free(slot);
	}
	pthread_mutex_unlock(&volumes->lock);
	volume_put(&volume);
	return 0;
}

int
volumes_cut(struct volumes *volumes, uint32_t number, uint64_t end)
{
	int err = volume_truncate(volumes->dirfd, number, end, volumes->sync);
	struct volumes_slot *slot;

	if (err != 0)
		return err;
	pthread_mutex_lock(&volumes->lock);
	HASH_FIND(hh, volumes->table, &number, sizeof(number), slot);
	if (slot != NULL && slot->info.bytes > end)
		set_bytes(volumes, slot, end);
	pthread_mutex_unlock(&volumes->lock);
	return 0;
}
