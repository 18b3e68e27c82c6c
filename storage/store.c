#include "storage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/handover.h"
#include "storage/hold.h"
#include "storage/object_internal.h"
#include "storage/replay.h"
#include "storage/store_internal.h"

#define POOL_THREADS 4
#define LOAD_TRIES 3
#define COPY_POLL_MS 2

void
store_config_defaults(struct store_config *config)
{
	*config = (struct store_config){
		.sync = true,
		.volume_size = (uint64_t)256 << 20,
		.memory_max = (uint64_t)256 << 20,
		.tail_max = (uint64_t)128 << 20,
		.resume_window_ms = 10000,
		.writer_takeover_ms = 5000,
		.disk_percent = 90,
		.evict = true,
	};
}

uint64_t
store_next_number(struct store *store)
{
	return atomic_fetch_add(&store->last_number, 1) + 1;
}

/* The name of the data directory: without it, all that is in it is lost. Who may not read the folder that it is
 * in did not make it. */
static int
sync_own_name(struct store *store, char *why, size_t why_size)
{
	int fd = openat(store->dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return 0;
	if (fd < 0 || fsync(fd) != 0) {
		err = -errno;
		snprintf(why, why_size, "cannot sync the name of the data directory %s: %s",
			 store->config.data_dir, strerror(-err));
	}
	if (fd >= 0)
		close(fd);
	return err;
}

/* Creates the data directory if it is missing, and locks it against other processes. */
static int
lock_dir(struct store *store, char *why, size_t why_size)
{
	const char *dir = store->config.data_dir;

	if (mkdir(dir, 0750) != 0 && errno != EEXIST) {
		int err = -errno;

		snprintf(why, why_size, "cannot create the data directory %s: %s", dir,
			 strerror(-err));
		return err;
	}
	store->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dirfd >= 0)
		store->lockfd = openat(store->dirfd, "LOCK", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (store->dirfd < 0 || store->lockfd < 0) {
		int err = -errno;

		snprintf(why, why_size, "cannot open the data directory %s: %s", dir,
			 strerror(-err));
		return err;
	}
	if (flock(store->lockfd, LOCK_EX | LOCK_NB) != 0) {
		snprintf(why, why_size, "another process serves the data directory %s", dir);
		return -EBUSY;
	}
	return store->config.sync ? sync_own_name(store, why, why_size) : 0;
}

static int
start(struct store *store, char *why, size_t why_size)
{
	int err = lock_dir(store, why, why_size);

	if (err != 0)
		return err;
	err = evict_init(store);
	if (err != 0) {
		snprintf(why, why_size, "cannot look at the file system of %s: %s",
			 store->config.data_dir, strerror(-err));
		return err;
	}
	err = volumes_init(&store->volumes, store->dirfd, store->config.volume_size,
			   store->config.sync);
	if (err != 0) {
		snprintf(why, why_size, "cannot open %s/volumes: %s", store->config.data_dir,
			 strerror(-err));
		return err;
	}
	store->volumes_ready = true;
	err = replay(store, why, why_size);
	if (err != 0)
		return err;
	err = doubt_watch(store);
	if (err == 0)
		err = pool_start(POOL_THREADS, &store->pool);
	if (err == 0)
		err = indexer_start(store, &store->indexer);
	if (err == 0)
		err = persister_start(store, &store->persister);
	if (err == 0)
		err = reclaim_start(store, &store->reclaim);
	if (err != 0)
		snprintf(why, why_size, "cannot start the store's threads: %s", strerror(-err));
	return err;
}

void
store_adjust(struct store *store, const struct store_config *config)
{
	struct store_limits *limits = &store->limits;

	atomic_store(&limits->disk_max, config->disk_max);
	atomic_store(&limits->disk_percent, config->disk_percent);
	atomic_store(&limits->evict, config->evict);
	atomic_store(&limits->resume_window_ms, config->resume_window_ms);
	atomic_store(&limits->writer_takeover_ms, config->writer_takeover_ms);
	table_set_max(&store->table, config->memory_max);
}

static void
announce_room(void *arg)
{
	store_announce_room(arg);
}

int
store_open(const struct store_config *config, char *why, size_t why_size, struct store **out)
{
	struct store *store = calloc(1, sizeof(*store));
	int err;

	if (store == NULL) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	CHECK(config->workers <= STORE_WORKERS_MAX);
	store->config = *config;
	store->config.data_dir = strdup(config->data_dir);
	store->config.mailboxes = NULL;
	if (store->config.volume_size < VOLUME_SIZE_MIN)
		store->config.volume_size = VOLUME_SIZE_MIN;
	store->config.volume_size -= store->config.volume_size % RECORD_BATCH;
	for (unsigned i = 0; i < config->workers; i++)
		store->mailboxes[i] = config->mailboxes[i];
	store->dirfd = store->lockfd = -1;
	blocks_init(&store->blocks, config->tail_max, announce_room, store);
	table_init(&store->table, config->memory_max);
	store_adjust(store, config);
	store->streams = streams_new();
	pthread_mutex_init(&store->room_lock, NULL);
	if (!object_knows_residency())
		log_warning(
			"mincore(2) is forbidden: what is read from the disk delays other readers");
	err = start(store, why, why_size);
	if (err != 0)
		store_close(&store);
	else
		*out = store;
	return err;
}

void
store_close(struct store **storep)
{
	struct store *store = *storep;

	*storep = NULL;
	if (store == NULL)
		return;
	if (store->persister != NULL)
		handover_close(store);
	/* Backwards through the flow of bytes: nothing is submitted to what stopped. */
	reclaim_stop(store->reclaim);
	pool_stop(&store->pool);
	persister_stop(&store->persister);
	reclaim_free(&store->reclaim);
	indexer_stop(&store->indexer);
	doubt_end(store);
	table_destroy(&store->table);
	blocks_destroy(&store->blocks);
	streams_free(&store->streams);
	catalog_close(&store->catalog);
	if (store->volumes_ready)
		volumes_destroy(&store->volumes);
	if (store->lockfd >= 0)
		close(store->lockfd);
	if (store->dirfd >= 0)
		close(store->dirfd);
	pthread_mutex_destroy(&store->room_lock);
	free((char *)store->config.data_dir);
	free(store);
}

struct streams *
store_streams(struct store *store)
{
	return store->streams;
}

int
store_ready(struct store *store, char *why, size_t why_size)
{
	int err = persister_health(store->persister);

	if (err != 0) {
		snprintf(why, why_size, "cannot write to the volumes: %s", strerror(-err));
		return err;
	}
	if (atomic_load(&store->full)) {
		snprintf(why, why_size, "the disk is full and nothing may go");
		return -ENOSPC;
	}
	err = indexer_health(store->indexer);
	if (err != 0) {
		snprintf(why, why_size, "cannot write to the catalog: %s", strerror(-err));
		return err;
	}
	if (store_is_in_doubt(store)) {
		snprintf(why, why_size, "the catalog is damaged: a restart rebuilds it");
		return -EBADMSG;
	}
	return 0;
}

bool
store_is_in_doubt(const struct store *store)
{
	return doubt_is_held(&store->doubt);
}

bool
store_moved(struct store *store)
{
	return persister_moved(store->persister);
}

/* What the table says of PATH; its shard is locked. */
static int
find_locked(struct table_shard *shard, struct table_entry *entry, struct object **out)
{
	if (entry == NULL || !entry->known)
		return -EAGAIN;
	if (entry->current == NULL)
		return -ENOENT;
	table_touch(shard, entry);
	*out = object_get(entry->current);
	return 0;
}

/* What is over is not there for anybody, even before it is removed. */
static int
leave_expired(struct store *store, struct object **out)
{
	if (object_status(*out).state == OBJECT_LIVE ||
	    !expiry_is_over(&store->expiry, (*out)->expires_ms))
		return 0;
	object_put(out);
	return -ENOENT;
}

int
store_find(struct store *store, const char *path, struct object **out)
{
	unsigned hash;
	struct table_shard *shard = table_lock(&store->table, path, &hash);
	int err = find_locked(shard, table_lookup(shard, path, hash), out);

	table_unlock(shard);
	return err == 0 ? leave_expired(store, out) : err;
}

struct from_catalog {
	struct store *store;
	struct object *object;
};

static int
visit_found(void *arg, const struct catalog_row *row)
{
	struct from_catalog *from = arg;

	return object_from_row(from->store, row, &from->object);
}

/* Puts what the catalog said of PATH (OBJECT, or NULL for nothing) into the table, unless that knows
 * better by now. -ESTALE: an entry was taken out since EVICTIONS, ask the catalog again. */
static int
adopt(struct store *store, const char *path, uint64_t evictions, struct object *object,
      struct object **out)
{
	unsigned hash;
	struct table_shard *shard = table_lock(&store->table, path, &hash);
	struct table_entry *entry = table_lookup(shard, path, hash);
	int err = find_locked(shard, entry, out);

	if (err != -EAGAIN)
		goto out;
	err = -ESTALE;
	if (shard->evictions != evictions)
		goto out;
	err = -ENOENT;
	if (object == NULL)
		goto out;
	if (entry == NULL)
		entry = table_add(&store->table, shard, path, hash);
	err = -ENOMEM;
	if (entry == NULL)
		goto out;
	table_set_current(entry, object);
	*out = object_get(object);
	if (entry->pending == 0)
		table_idle(&store->table, shard, entry);
	err = 0;
out:
	table_unlock(shard);
	return err;
}

int
store_load_now(struct store *store, const char *path, struct object **out, uint64_t *news)
{
	int err;

	for (unsigned tries = 0;; tries++) {
		struct from_catalog from = {.store = store};
		struct table_shard *shard;
		uint64_t evictions;
		unsigned hash;

		shard = table_lock(&store->table, path, &hash);
		evictions = shard->evictions;
		table_unlock(shard);
		err = catalog_find(store->catalog, path, visit_found, &from);
		doubt_note(store, err);
		/* A volume that the row named may have been given up since: then there is another row
		 * now, or none. If it just isn't there, neither is the object. */
		if (err == -ESTALE && tries < LOAD_TRIES)
			continue;
		if (err == 0 || err == -ENOENT || err == -ESTALE)
			err = adopt(store, path, evictions, from.object, out);
		object_put(&from.object);
		*news = evictions;
		if (err != -ESTALE)
			return err;
	}
}

/* Until OBJECT is not being copied any more; its shard is locked. A pool thread may wait for the disk. */
static void
await_copy(struct table_shard *shard, const struct object *object)
{
	while (object->copying) {
		table_unlock(shard);
		usleep(COPY_POLL_MS * 1000);
		pthread_mutex_lock(&shard->lock);
	}
}

/* Hashes the bytes that OBJECT has, so that a writer can go on with them. */
static int
prepare_extension(struct store *store, struct object *object)
{
	XXH3_state_t *hash = XXH3_createState();
	struct table_shard *shard;
	unsigned key;
	int err;

	if (hash == NULL)
		return -ENOMEM;
	XXH3_128bits_reset(hash);
	err = object_hash(object, hash);
	shard = table_lock(&store->table, object->path, &key);
	await_copy(shard, object);
	if (err == 0 && object->hash == NULL) {
		object->hash = hash;
		hash = NULL;
	}
	table_unlock(shard);
	XXH3_freeState(hash);
	return err;
}

/* Complete or incomplete: the hash is not its writer's any more. One that is GONE may have one still. */
static bool
has_ended(const struct object *object)
{
	enum object_state state = object_status(object).state;

	return state == OBJECT_COMPLETE || state == OBJECT_INCOMPLETE;
}

static void
load_run(struct pool_job *job)
{
	struct store_load *request = (struct store_load *)job;
	struct object *object = NULL;
	int err = store_load_now(request->store, request->path, &object, &request->news);

	if (err == 0)
		err = leave_expired(request->store, &object);

	if (err == 0 && request->to_extend && has_ended(object))
		err = prepare_extension(request->store, object);
	if (err != 0)
		object_put(&object);
	request->object = object;
	request->result = err == 0 || err == -ENOENT || err == -ENOMEM ? err : -EIO;
	mailbox_post(request->mailbox, &request->letter);
}

void
store_load(struct store_load *request)
{
	request->job.run = load_run;
	pool_submit(request->store->pool, &request->job);
}

int
store_delete(struct store *store, struct object *object, struct store_delete *del)
{
	unsigned hash;
	struct table_shard *shard = table_lock(&store->table, object->path, &hash);
	struct table_entry *entry = table_lookup(shard, object->path, hash);
	int err = -ENOENT;

	if (entry != NULL && entry->current == object) {
		table_hold(shard, entry);
		del->store = store;
		del->entry = entry;
		del->seq = store_next_number(store);
		object_set_state(object, OBJECT_GONE);
		handover_discard(shard, entry);
		entry->writer = NULL;
		table_set_current(entry, NULL);
		hold_wake(shard, entry);
		err = 0;
	}
	table_unlock(shard);
	if (err == 0)
		persister_delete(store->persister, del);
	return err;
}
