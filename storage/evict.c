#include "storage/evict.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "storage/reclaim_internal.h"
#include "storage/survivors.h"

#define BALLAST_NAME "BALLAST"
#define BALLAST_SHARE 16 /* of a volume; a tombstone is a hundredth of what a small segment takes */
#define DELETION_SHARE 8 /* of a volume, that copies leave */
#define VOLUMES_LEAST 16 /* that the limit has room for: a victim is at most this part of it */
#define VICTIM_MS 5000   /* after this another one may be chosen */
#define BURY_TRIES 200
#define VICTIM_TRIES 100 /* of these, before another one is to go */
#define BURY_PAUSE_MS 25 /* between looks whether the catalog has the deletions */

/* ---- how much there may be ------------------------------------------------------- */

static int
find_limit(const struct store *store, uint64_t *limit, uint64_t *disk)
{
	uint64_t bytes = atomic_load(&store->limits.disk_max);
	unsigned percent = atomic_load(&store->limits.disk_percent);
	struct statvfs st;

	if (fstatvfs(store->dirfd, &st) != 0)
		return -errno;
	*disk = (uint64_t)st.f_blocks * st.f_frsize;
	*limit = UINT64_MAX;
	if (bytes != 0)
		*limit = bytes;
	else if (percent != 0)
		*limit = *disk / 100 * percent;
	return 0;
}

int
evict_init(struct store *store)
{
	uint64_t limit = 0, disk = 0, size;
	int err = find_limit(store, &limit, &disk);

	if (err != 0)
		return err;
	atomic_init(&store->evict.limit, limit);
	size = (limit < disk ? limit : disk) / VOLUMES_LEAST / RECORD_BATCH * RECORD_BATCH;
	if (size < VOLUME_SIZE_MIN)
		size = VOLUME_SIZE_MIN;
	/* Whatever was asked for, it is a whole number of batches. */
	store->config.volume_size -= store->config.volume_size % RECORD_BATCH;
	if (store->config.volume_size < VOLUME_SIZE_MIN)
		store->config.volume_size = VOLUME_SIZE_MIN;
	if (size < store->config.volume_size) {
		log_notice("volumes are made smaller, for there is room for few volume_size=%llu",
			   (unsigned long long)size);
		store->config.volume_size = size;
	}
	return 0;
}

bool
evict_may_store(struct store *store)
{
	uint64_t limit = atomic_load(&store->evict.limit), sealed;
	size_t count;

	sealed = volumes_sealed_bytes(&store->volumes, &count);
	return sealed + 2 * store->config.volume_size <= limit || count < 2;
}

/* Whether there would be too much when the active volume is full, the one after it too, and that held back begun. */
static bool
is_room_short(struct store *store)
{
	size_t count;

	return volumes_sealed_bytes(&store->volumes, &count) + 3 * store->config.volume_size >
	       atomic_load(&store->evict.limit);
}

bool
evict_may_copy(struct store *store)
{
	return atomic_load(&store->limits.evict) ? evict_may_store(store) : !is_room_short(store);
}

bool
evict_may_copy_in_need(struct store *store, uint64_t alive, uint64_t bytes)
{
	uint64_t size = store->config.volume_size, left = size / DELETION_SHARE;
	uint64_t limit = atomic_load(&store->evict.limit);

	if (alive + size / 2 > limit)
		return evict_has_free(store, bytes + left);
	return volumes_written_bytes(&store->volumes) + bytes + left <= limit &&
	       evict_has_free(store, bytes + left);
}

uint64_t
evict_room(struct store *store)
{
	uint64_t limit = atomic_load(&store->evict.limit), used;
	size_t count;

	used = volumes_bytes(&store->volumes, &count);
	return used < limit ? limit - used : 0;
}

bool
evict_has_free(const struct store *store, uint64_t bytes)
{
	struct statvfs st;

	return fstatvfs(store->dirfd, &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize >= bytes;
}

/* ---- ballast --------------------------------------------------------------------- */

void
evict_load_ballast(struct reclaim *r)
{
	struct evict *evict = &r->store->evict;
	off_t size = (off_t)(r->store->config.volume_size / BALLAST_SHARE);
	int fd, err;

	if (evict->has_ballast || atomic_load(&r->store->full) ||
	    indexer_health(r->store->indexer) != 0)
		return; /* or what it was dropped for is still to come */
	fd = openat(r->store->dirfd, BALLAST_NAME, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		return;
	err = posix_fallocate(fd, 0, size);
	close(fd);
	if (err != 0)
		unlinkat(r->store->dirfd, BALLAST_NAME, 0);
	evict->has_ballast = err == 0;
}

static void
drop_ballast(struct reclaim *r)
{
	unlinkat(r->store->dirfd, BALLAST_NAME, 0);
	r->store->evict.has_ballast = false;
}

/* ---- one victim ------------------------------------------------------------------ */

/* Removes the object at a survivor's path. */
static int
remove_version(struct reclaim *r, const struct survivor *survivor)
{
	int err = reclaim_remove(r, survivor->path, survivor->id);

	if (err == 0)
		metric_add(METRIC_evicted_total, 1);
	return err == -ENOENT ? 0 : err;
}

/* Whether something newer than SURVIVOR is on its way to disk: until it is there, which may need room, the version
 * keeps its volume. */
static bool
is_replaced(struct reclaim *r, const struct survivor *survivor)
{
	uint64_t current = reclaim_busy_id(r, survivor->path);

	return current != 0 && current != survivor->id;
}

/* -EBUSY if one of SURVIVORS is being written. */
static int
refuse_underway(struct reclaim *r, const struct survivors *survivors)
{
	for (size_t i = 0; i < survivors->count; i++)
		if (survivors->list[i].underway || is_replaced(r, &survivors->list[i]))
			return -EBUSY;
	return 0;
}

/* Removes every object that has bytes in the volume; with MAY_COPY those that were read lately are copied
 * first, as far as there is room. 0, -EBUSY if one of them is being written, -errno. */
static int
empty(struct reclaim *r, const struct reclaim_volume *victim, bool may_copy)
{
	struct survivors survivors = {0};
	struct volume *volume;
	int err = volumes_open(&r->store->volumes, victim->file.number, &volume);

	if (err != 0)
		return err;
	err = survivors_find(r, volume, &survivors);
	if (err == 0)
		err = refuse_underway(r, &survivors);
	if (err == 0 && may_copy)
		compact_keep_read(r, victim, &survivors);
	r->failure = 0;
	for (size_t i = 0; i < survivors.count && err == 0; i++)
		err = r->stopping ? -EINTR : remove_version(r, &survivors.list[i]);
	reclaim_await(r, 0);
	if (err == -EBUSY) /* what is finished next must not go at once */
		(void)volume_touch(volume);
	survivors_free(&survivors);
	volume_put(&volume);
	return err != 0 ? err : r->failure;
}

/* Puts the last victim behind all others: what is still there is empty, unless an old version came back. */
static void
put_victim_last(const struct store *store, struct reclaim_volume **order, size_t count)
{
	for (size_t i = 0; i + 1 < count; i++) {
		struct reclaim_volume *volume = order[i];

		if (volume->file.number == store->evict.victim) {
			order[i] = order[i + 1];
			order[i + 1] = volume;
		}
	}
}

static int
compare_used(const void *a, const void *b)
{
	const struct volumes_info *x = &(*(struct reclaim_volume *const *)a)->file;
	const struct volumes_info *y = &(*(struct reclaim_volume *const *)b)->file;

	if (x->used_ms != y->used_ms)
		return x->used_ms < y->used_ms ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* Empties the volume that was not used for longest and can be. Whether there was one. */
static bool
empty_coldest(struct reclaim *r, struct reclaim_survey *survey, bool may_copy)
{
	struct reclaim_volume **order = calloc(survey->count + 1, sizeof(struct reclaim_volume *));
	bool found = false;
	size_t count = 0;

	if (order == NULL)
		return false;
	for (size_t i = 0; i < survey->count; i++)
		if (reclaim_is_settled(&survey->volumes[i]) &&
		    !reclaim_is_shunned(r, &survey->volumes[i]))
			order[count++] = &survey->volumes[i];
	qsort(order, count, sizeof(struct reclaim_volume *), compare_used);
	put_victim_last(r->store, order, count);
	for (size_t i = 0; i < count && !found && !r->stopping; i++) {
		int err = empty(r, order[i], may_copy);

		found = err == 0;
		if (found) {
			r->store->evict.victim = order[i]->file.number;
			r->store->evict.chosen_ms = clock_mono_ms();
			log_notice("volume evicted volume=%u bytes=%llu idle_s=%lld",
				   (unsigned)order[i]->file.number,
				   (unsigned long long)order[i]->file.bytes,
				   (long long)(clock_mono_ms() - order[i]->file.used_ms) / 1000);
		} else if (err == -EBADMSG || err == -EIO || err == -EPROTO) {
			reclaim_shun(r, order[i], "can't read a volume to evict it", err);
		}
	}
	free(order);
	return found;
}

/* Whether another victim would be unlinked sooner than the last one: not while the catalog takes no deletions. */
static bool
may_take_another(const struct store *store)
{
	return indexer_health(store->indexer) == 0;
}

/* Whether the last victim has yet to be unlinked. */
static bool
victim_waits(const struct store *store, const struct reclaim_survey *survey)
{
	if (clock_mono_ms() - store->evict.chosen_ms > VICTIM_MS && may_take_another(store))
		return false;
	for (size_t i = 0; i < survey->count; i++)
		if (survey->volumes[i].file.number == store->evict.victim)
			return true;
	return false;
}

bool
evict_run(struct reclaim *r)
{
	struct store *store = r->store;
	struct reclaim_survey survey;
	uint64_t limit, disk;
	bool over = true;

	evict_load_ballast(r);
	if (find_limit(store, &limit, &disk) == 0)
		atomic_store(&store->evict.limit, limit);
	if (!atomic_load(&store->limits.evict) || !is_room_short(store) ||
	    reclaim_look(r, &survey) != 0)
		return false;
	/* Dead bytes before living ones. */
	if (!victim_waits(store, &survey) && !compact_urgently(r))
		over = empty_coldest(r, &survey, true);
	free(survey.volumes);
	return over;
}

bool
evict_now(struct reclaim *r)
{
	struct reclaim_survey survey;
	uint64_t buried = r->buried, before;
	bool found = false, evicts = atomic_load(&r->store->limits.evict);
	size_t count;

	before = volumes_bytes(&r->store->volumes, &count);
	drop_ballast(r);
	for (unsigned tries = 0; tries < BURY_TRIES && !r->stopping; tries++) {
		bool more = reclaim_bury_dead(r);
		bool another = tries == VICTIM_TRIES && may_take_another(r->store);

		/* One that had only tombstones may come back as another one. */
		if (r->buried > buried && ((found && evicts) || evict_may_store(r->store) ||
					   volumes_bytes(&r->store->volumes, &count) < before)) {
			evict_load_ballast(r);
			return true;
		}
		/* What was buried was not enough, or something keeps the victim: another one. */
		if (r->buried > buried || another)
			found = false;
		buried = r->buried;
		if (!found && !evicts) {
			found = compact_in_need(r);
		} else if (!found && reclaim_look(r, &survey) == 0) {
			found = (!another && victim_waits(r->store, &survey)) ||
				empty_coldest(r, &survey, false);
			free(survey.volumes);
		}
		if (!found && !more)
			break;
		usleep(BURY_PAUSE_MS * 1000);
	}
	return false;
}
