#include "storage/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "storage/replay_batch.h"
#include "storage/store_internal.h"

#define CATALOG_NAME "catalog.mdb"
#define REBUILD_NAME "catalog.new"
#define RECORDS_PER_COMMIT 50000

struct replay {
	struct store *store;
	uint64_t highest;  /* id or sequence number seen */
	uint64_t *applied; /* of each volume in numbers */
	const uint32_t *numbers;
	size_t count;
	uint32_t *vanished; /* volumes the catalog knows and does not need, without a file */
	size_t nvanished;
	struct replay_batch batch;            /* the newest one, not applied yet */
	bool rebuilding;                      /* what is torn stays in the volumes */
	const struct replay_witness *witness; /* or NULL */
	uint64_t records;
	unsigned torn;
	char *why;
	size_t why_size;
};

/* Whether the bytes that RECORD says follow it are the ones that do. */
static int
check_body(struct volume *volume, const struct record *record, uint64_t body, unsigned char *buffer)
{
	int err;

	if (record->body_length == 0)
		return 0;
	err = volume_read(volume, body, buffer, record->body_length);
	if (err == 0 && XXH3_64bits(buffer, record->body_length) != record->body_hash)
		err = -EBADMSG;
	return err;
}

static void
see_numbers(struct replay *r, const struct record *record)
{
	if (record->id > r->highest)
		r->highest = record->id;
	if (record->seq > r->highest)
		r->highest = record->seq;
}

static int
recommit(struct catalog *catalog)
{
	int err = catalog_commit(catalog);

	return err == 0 ? catalog_begin(catalog) : err;
}

/* There is a later batch, so this one was synced: applies it. What is damaged in it is applied as well,
 * to be found damaged by who reads it: or what it replaced would come back. */
static int
apply_batch(struct replay *r)
{
	uint64_t before = r->records;
	int err;

	r->records += r->batch.count;
	err = replay_batch_apply(&r->batch, r->store->catalog);
	if (err == 0 && before / RECORDS_PER_COMMIT != r->records / RECORDS_PER_COMMIT)
		err = recommit(r->store->catalog);
	return err;
}

/* Nothing follows: if the newest batch is not whole, the power went before it was synced, and nobody was told
 * of anything in it. It is taken off the volume, so that no later rebuild takes it for synced.
 * A rebuild can't tell that from bytes that went bad later: it applies what precedes the damage and
 * leaves the volume as it is. */
static int
end_batch(struct replay *r)
{
	uint32_t number = r->batch.volume;
	uint64_t start = r->batch.start;
	int err;

	if (number == 0 || replay_batch_is_whole(&r->batch))
		return apply_batch(r);
	r->torn++;
	if (r->witness != NULL)
		r->witness->torn(r->witness->arg, number, start);
	if (r->rebuilding) {
		replay_batch_keep_sound(&r->batch);
		return apply_batch(r);
	}
	log_warning("volume %010u: the last batch, at %llu, is torn: taken off", (unsigned)number,
		    (unsigned long long)start);
	replay_batch_clear(&r->batch);
	err = volumes_cut(&r->store->volumes, number, start);
	return err == 0 ? catalog_set_applied(r->store->catalog, number, start) : err;
}

static void
tell_damage(struct replay *r, uint32_t number, uint64_t from, uint64_t to,
	    const struct record *record)
{
	if (r->witness != NULL)
		r->witness->damaged(r->witness->arg, number, from, to, record);
}

static void
tell_progress(struct replay *r, uint32_t number, const struct volume_scan *scan)
{
	if (r->witness != NULL)
		r->witness->progress(r->witness->arg, number, scan->position, scan->size);
}

/* A killed process did not give back what it had allocated to its last volume, which would count as used. If the
 * disk does not obey, it is only room that is lost. */
static void
give_back(struct replay *r, const struct volume *volume, const struct volume_scan *scan,
	  unsigned char *buffer)
{
	uint64_t at = scan->valid;

	if (r->witness != NULL || scan->gap != 0 || scan->unreadable > 0 || at >= scan->size)
		return;
	/* The scan skips what the file system calls a hole; what is cut off was looked at. */
	while (at < scan->size) {
		size_t length = scan->size - at < RECORD_BODY_MAX ? (size_t)(scan->size - at)
								  : RECORD_BODY_MAX;

		if (volume_read(volume, at, buffer, length) != 0 || buffer[0] != 0 ||
		    memcmp(buffer, buffer + 1, length - 1) != 0)
			return;
		at += length;
	}
	(void)volumes_cut(&r->store->volumes, volume_number(volume), scan->valid);
}

/* Applies VOLUME from FROM on, but for its last batch. A write transaction is open, before and after. */
static int
replay_records(struct replay *r, struct volume *volume, uint64_t from)
{
	uint32_t number = volume_number(volume);
	unsigned char *buffer = malloc(RECORD_BODY_MAX);
	struct volume_scan scan = {0};
	struct record record;
	uint64_t body;
	int err = buffer != NULL ? volume_scan_begin(volume, from, &scan) : -ENOMEM;

	while (err == 0 && (err = volume_scan_next(&scan, &record, &body)) == 1) {
		uint64_t position = body - RECORD_HEADER_SIZE - record.name_length;
		bool intact;

		err = check_body(volume, &record, body, buffer);
		if (err != 0 && err != -EBADMSG && err != -EIO)
			break;
		intact = err == 0;
		r->torn += !intact;
		if (scan.gap != 0)
			tell_damage(r, number, scan.gap, position, NULL);
		if (!intact)
			tell_damage(r, number, body, body + record.body_length, &record);
		tell_progress(r, number, &scan);
		see_numbers(r, &record);
		err = 0;
		if (!replay_batch_holds(&r->batch, number, &record))
			err = apply_batch(r);
		if (err == 0)
			err = replay_batch_add(&r->batch, number, &record, position, body, intact);
	}
	if (err == 0 && scan.gap != 0)
		tell_damage(r, number, scan.gap, scan.size, NULL);
	/* It may be readable another time: the catalog's position must not pass it. */
	if (err == 0 && scan.unreadable > 0 && !r->rebuilding)
		err = -EIO;
	if (err == 0)
		err = catalog_set_applied(r->store->catalog, number, scan.valid);
	if (err == 0)
		give_back(r, volume, &scan, buffer);
	r->torn += scan.damaged;
	volume_scan_end(&scan);
	free(buffer);
	return err;
}

static int
replay_volume(struct replay *r, uint32_t number, uint64_t from)
{
	struct volume *volume = NULL;
	int err = volumes_open(&r->store->volumes, number, &volume);

	if (err == -EBADMSG) {
		if (r->witness != NULL)
			r->witness->missing(r->witness->arg, number, err);
		else
			log_error("volume %010u has a damaged header: its objects are not served",
				  (unsigned)number);
		return 0;
	}
	/* A killed process may have written what it did not sync; once it is in the catalog, nobody would write
	 * it again (invariant 8). */
	if (err == 0 && r->store->config.sync)
		err = volume_sync(volume);
	if (err == 0)
		err = replay_records(r, volume, from);
	volume_put(&volume);
	if (err == -EPROTO)
		snprintf(r->why, r->why_size,
			 "%s/volumes/%010u.vol was written by a newer spillway (this one reads "
			 "format %d)",
			 r->store->config.data_dir, (unsigned)number, VOLUME_FORMAT);
	else if (err != 0)
		snprintf(r->why, r->why_size, "cannot replay %s/volumes/%010u.vol: %s",
			 r->store->config.data_dir, (unsigned)number, strerror(-err));
	return err;
}

/* The server was killed between the unlink of a volume and the commit that forgets it. */
static int
note_vanished(struct replay *r, uint32_t number)
{
	uint32_t *more = realloc(r->vanished, (r->nvanished + 1) * sizeof(*more));

	if (more == NULL)
		return -ENOMEM;
	r->vanished = more;
	more[r->nvanished++] = number;
	return 0;
}

static int
note_applied(void *arg, const struct catalog_volume *volume)
{
	struct replay *r = arg;

	for (size_t low = 0, high = r->count; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (r->numbers[middle] == volume->number) {
			r->applied[middle] = volume->applied;
			return 0;
		}
		if (r->numbers[middle] < volume->number)
			low = middle + 1;
		else
			high = middle;
	}
	/* Its number may be in extents: no other volume may have it. */
	volumes_reserve(&r->store->volumes, volume->number);
	if (volume->live == 0 && volume->heads == 0)
		return note_vanished(r, volume->number);
	if (r->witness != NULL)
		r->witness->missing(r->witness->arg, volume->number, -ENOENT);
	else
		log_error("volume %010u is missing: its objects are not served",
			  (unsigned)volume->number);
	return 0;
}

/* Applies what the open catalog lacks. Volumes are written one after the other, so only the newest
 * one the catalog knows, and those after it, can have more. */
static int
catch_up(struct replay *r)
{
	struct catalog *catalog = r->store->catalog;
	size_t first = 0;
	int err = catalog_volumes(catalog, note_applied, r);

	for (size_t i = 0; i < r->count; i++)
		if (r->applied[i] > 0)
			first = i;
	if (err == 0)
		err = catalog_highest(catalog, &r->highest);
	if (err == 0)
		err = catalog_begin(catalog);
	if (err != 0)
		return err;
	for (size_t i = 0; i < r->nvanished && err == 0; i++)
		err = catalog_drop_volume(catalog, r->vanished[i]);
	for (size_t i = first; i < r->count && err == 0; i++)
		err = replay_volume(r, r->numbers[i], r->applied[i]);
	if (err == 0)
		err = end_batch(r);
	if (err == 0)
		err = catalog_forget_hidden(catalog);
	if (err != 0)
		catalog_abort(catalog);
	else
		err = catalog_commit(catalog);
	return err;
}

static void
path_of(const struct store *store, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", store->config.data_dir, name);
}

/* Makes a catalog from all volumes beside the old one, then puts it in its place. */
static int
rebuild(struct replay *r)
{
	struct store *store = r->store;
	char draft[PATH_MAX], path[PATH_MAX];
	int err;

	path_of(store, REBUILD_NAME, draft);
	path_of(store, CATALOG_NAME, path);
	unlinkat(store->dirfd, REBUILD_NAME, 0);
	unlinkat(store->dirfd, REBUILD_NAME "-lock", 0);
	err = catalog_open(draft, true, store->config.sync, &store->catalog);
	if (err == 0)
		err = catch_up(r);
	catalog_close(&store->catalog);
	if (err == 0 && renameat(store->dirfd, REBUILD_NAME, store->dirfd, CATALOG_NAME) != 0)
		err = -errno;
	unlinkat(store->dirfd, REBUILD_NAME "-lock", 0);
	if (err == 0 && store->config.sync && fsync(store->dirfd) != 0)
		err = -errno;
	if (err == 0)
		err = catalog_open(path, false, store->config.sync, &store->catalog);
	return err;
}

static int
open_or_rebuild(struct replay *r)
{
	struct store *store = r->store;
	char path[PATH_MAX], how[200] = "";
	int err;

	path_of(store, CATALOG_NAME, path);
	err = doubt_begin(store, path, how, sizeof(how));
	if (err == 0)
		err = catalog_open(path, false, store->config.sync, &store->catalog);
	if (err == 0)
		err = catch_up(r);
	if (err != -ENOENT && err != -EBADMSG)
		return err;
	catalog_close(&store->catalog);
	if (err == -EBADMSG)
		log_warning("the catalog is damaged (%s): rebuilding it from %zu volumes",
			    how[0] != '\0' ? how : "it can't be read", r->count);
	else if (r->count > 0)
		log_warning("the catalog is missing: rebuilding it from %zu volumes", r->count);
	memset(r->applied, 0, r->count * sizeof(*r->applied));
	r->nvanished = 0;
	replay_batch_clear(&r->batch);
	r->rebuilding = true;
	err = rebuild(r);
	if (err == 0)
		doubt_dispel(store);
	return err;
}

int
replay(struct store *store, char *why, size_t why_size)
{
	struct replay r = {.store = store, .why = why, .why_size = why_size};
	uint32_t *numbers = NULL;
	int err = volumes_enumerate(&store->volumes, &numbers, &r.count);

	why[0] = '\0';
	if (err == 0) {
		r.numbers = numbers;
		r.applied = calloc(r.count + 1, sizeof(*r.applied));
		err = r.applied != NULL ? open_or_rebuild(&r) : -ENOMEM;
	}
	if (err == 0) {
		atomic_store(&store->last_number, r.highest);
		if (r.records > 0 || r.torn > 0)
			log_notice("replayed %llu records torn=%u volumes=%zu",
				   (unsigned long long)r.records, r.torn, r.count);
	} else if (why[0] == '\0') {
		snprintf(why, why_size,
			 err == -EPROTO ? "%s/" CATALOG_NAME " was written by a newer spillway: %s"
					: "cannot open the catalog in %s: %s",
			 store->config.data_dir, strerror(-err));
	}
	replay_batch_free(&r.batch);
	free(r.applied);
	free(r.vanished);
	free(numbers);
	return err;
}

int
replay_into(struct store *store, const char *path, const struct replay_witness *witness, char *why,
	    size_t why_size)
{
	struct replay r = {
		.store = store,
		.rebuilding = true,
		.witness = witness,
		.why = why,
		.why_size = why_size,
	};
	uint32_t *numbers = NULL;
	int err = volumes_enumerate(&store->volumes, &numbers, &r.count);

	why[0] = '\0';
	r.numbers = numbers;
	if (err == 0) {
		r.applied = calloc(r.count + 1, sizeof(*r.applied));
		err = r.applied != NULL ? catalog_open(path, true, false, &store->catalog)
					: -ENOMEM;
	}
	if (err == 0)
		err = catch_up(&r);
	if (err != 0 && why[0] == '\0')
		snprintf(why, why_size, "cannot make a catalog in %s: %s", path, strerror(-err));
	replay_batch_free(&r.batch);
	free(r.applied);
	free(r.vanished);
	free(numbers);
	return err;
}
