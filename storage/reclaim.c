#include "storage/reclaim.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "storage/reclaim_internal.h"

#define TICK_MS 1000
#define SOON_MS 300  /* when there is more to do than was done: after the indexer's next commit */
#define REMOVALS 512 /* deletions on their way to disk together */

/* ---- answers --------------------------------------------------------------------- */

void
reclaim_await(struct reclaim *r, unsigned most)
{
	struct pollfd pfd = {.fd = r->mailbox.fd, .events = POLLIN};

	while (r->outstanding > most) {
		poll(&pfd, 1, -1);
		mailbox_deliver(&r->mailbox);
	}
}

void
reclaim_answered(struct reclaim *r, int result)
{
	r->outstanding--;
	if (result != 0 && r->failure == 0)
		r->failure = result;
}

void
reclaim_submit(struct reclaim *r, struct index_op *op)
{
	struct index_queue queue = STAILQ_HEAD_INITIALIZER(queue);

	STAILQ_INSERT_TAIL(&queue, op, link);
	indexer_submit(r->store->indexer, &queue);
}

/* ---- removing one object --------------------------------------------------------- */

struct removal {
	struct store_delete del;
	struct reclaim *reclaim;
};

static void
deliver_removed(struct letter *letter)
{
	struct removal *removal =
		(struct removal *)((char *)letter - offsetof(struct removal, del.letter));

	reclaim_answered(removal->reclaim, removal->del.result);
	free(removal);
}

uint64_t
reclaim_busy_id(struct reclaim *r, const char *path)
{
	unsigned hash;
	struct table_shard *shard = table_lock(&r->store->table, path, &hash);
	struct table_entry *entry = table_lookup(shard, path, hash);
	bool busy = entry != NULL && entry->pending > 0 && entry->current != NULL;
	uint64_t id = busy ? entry->current->id : 0;

	table_unlock(shard);
	return id;
}

int
reclaim_remove(struct reclaim *r, const char *path, uint64_t id)
{
	struct removal *removal;
	struct object *object = NULL;
	uint64_t ignored;
	int err = store_load_now(r->store, path, &object, &ignored);

	if (err != 0)
		return err;
	removal = calloc(1, sizeof(*removal));
	if (object->id != id)
		err = -ENOENT;
	else if (reclaim_busy_id(r, path) == id)
		err = -EBUSY;
	else if (removal == NULL)
		err = -ENOMEM;
	if (err == 0) {
		removal->reclaim = r;
		removal->del.mailbox = &r->mailbox;
		removal->del.letter.deliver = deliver_removed;
		err = store_delete(r->store, object, &removal->del);
	}
	object_put(&object);
	if (err != 0) {
		free(removal);
		return err;
	}
	r->outstanding++;
	reclaim_await(r, REMOVALS);
	return 0;
}

/* ---- what is there --------------------------------------------------------------- */

static int
note_catalog(void *arg, const struct catalog_volume *at)
{
	struct reclaim_survey *survey = arg;

	for (size_t low = 0, high = survey->count; low < high;) {
		size_t middle = low + (high - low) / 2;
		struct reclaim_volume *volume = &survey->volumes[middle];

		if (volume->file.number == at->number) {
			volume->at = *at;
			return 0;
		}
		if (volume->file.number < at->number)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

int
reclaim_look(struct reclaim *r, struct reclaim_survey *survey)
{
	struct volumes_info *files;
	int err = volumes_list(&r->store->volumes, &files, &survey->count);

	survey->volumes = NULL;
	if (err != 0)
		return err;
	survey->volumes = calloc(survey->count + 1, sizeof(*survey->volumes));
	for (size_t i = 0; survey->volumes != NULL && i < survey->count; i++)
		survey->volumes[i].file = files[i];
	free(files);
	/* The catalog after the files: what was written to one of them is in there if it says so. */
	err = survey->volumes == NULL ? -ENOMEM
				      : catalog_volumes(r->store->catalog, note_catalog, survey);
	if (err != 0) {
		free(survey->volumes);
		survey->volumes = NULL;
	}
	return err;
}

bool
reclaim_is_room(const struct reclaim *r, uint64_t bytes)
{
	return evict_may_store(r->store) &&
	       evict_has_free(r->store, r->store->config.volume_size + bytes);
}

bool
reclaim_is_settled(const struct reclaim_volume *volume)
{
	return !volume->gone && !volume->file.active && volume->at.applied >= volume->file.end;
}

void
reclaim_shun(struct reclaim *r, const struct reclaim_volume *volume, const char *what, int err)
{
	uint32_t *more = realloc(r->shunned, (r->nshunned + 1) * sizeof(*more));

	log_error("%s volume=%u error=\"%s\"", what, (unsigned)volume->file.number, strerror(-err));
	if (more == NULL)
		return;
	r->shunned = more;
	more[r->nshunned++] = volume->file.number;
}

bool
reclaim_is_shunned(const struct reclaim *r, const struct reclaim_volume *volume)
{
	for (size_t i = 0; i < r->nshunned; i++)
		if (r->shunned[i] == volume->file.number)
			return true;
	return false;
}

/* ---- the thread ------------------------------------------------------------------ */

static void
show_metrics(struct reclaim *r)
{
	size_t count;
	uint64_t bytes = volumes_bytes(&r->store->volumes, &count);
	struct statvfs st;

	metric_set(METRIC_volumes, (int64_t)count);
	metric_set(METRIC_disk_used_bytes, (int64_t)bytes);
	if (fstatvfs(r->store->dirfd, &st) == 0)
		metric_set(METRIC_disk_free_bytes, (int64_t)(st.f_bavail * st.f_frsize));
}

/* When the persister waits for room, the catalog has none, or there was none to be had before. FREED: a volume went
 * just now. */
static void
make_room(struct reclaim *r, bool freed)
{
	bool needed = atomic_exchange(&r->needed, false);
	bool was_full = atomic_load(&r->store->full), full;

	if (!needed && !was_full && indexer_health(r->store->indexer) != -ENOSPC)
		return;
	/* What was freed in this round may be all that is needed; if it is not, the persister asks again. */
	full = !(was_full ? reclaim_is_room(r, 0) : freed) && !evict_now(r) && !r->stopping;
	atomic_store(&r->store->full, full);
	if (full && !was_full)
		log_error("the disk is full and nothing may go: new objects are refused");
	if (!full && was_full)
		log_notice("the disk has room again");
	if (needed)
		persister_answer_room(r->store->persister);
}

static void *
reclaim_main(void *arg)
{
	struct reclaim *r = arg;
	struct pollfd pfd = {.fd = r->mailbox.fd, .events = POLLIN};
	int timeout = 0;

	pthread_setname_np(pthread_self(), "reclaimer");
	while (!r->stopping) {
		uint64_t buried = r->buried;
		bool more;
		int pause;

		poll(&pfd, 1, timeout);
		mailbox_deliver(&r->mailbox);
		if (r->stopping)
			break;
		more = expiry_run(r);
		more |= reclaim_bury_dead(r);
		more |= evict_run(r);
		make_room(r, r->buried > buried);
		pause = compact_run(r);
		show_metrics(r);
		timeout = more ? SOON_MS : TICK_MS;
		if (pause >= 0 && pause < timeout)
			timeout = pause;
	}
	compact_stop(r);
	reclaim_await(r, 0);
	if (atomic_load(&r->needed))
		persister_answer_room(r->store->persister);
	return NULL;
}

void
reclaim_need(struct reclaim *r)
{
	atomic_store(&r->needed, true);
	reclaim_wake(r);
}

static void
deliver_wake(struct letter *letter)
{
	struct reclaim *r = (struct reclaim *)((char *)letter - offsetof(struct reclaim, wake));

	atomic_store(&r->woken, false);
}

static void
deliver_stop(struct letter *letter)
{
	struct reclaim *r = (struct reclaim *)((char *)letter - offsetof(struct reclaim, stop));

	r->stopping = true;
}

void
reclaim_wake(struct reclaim *r)
{
	if (r == NULL || atomic_exchange(&r->woken, true))
		return;
	r->wake.deliver = deliver_wake;
	mailbox_post(&r->mailbox, &r->wake);
}

int
reclaim_start(struct store *store, struct reclaim **out)
{
	struct reclaim *r = calloc(1, sizeof(*r));
	int64_t newest;
	int err = r == NULL ? -ENOMEM : catalog_newest(store->catalog, &newest);

	if (err != 0) {
		free(r);
		return err;
	}
	r->store = store;
	compact_init(&r->compact);
	expiry_init(&store->expiry, newest, clock_wall_ms(), clock_boot_ms());
	err = mailbox_init(&r->mailbox);
	if (err == 0) {
		err = -pthread_create(&r->thread, NULL, reclaim_main, r);
		if (err != 0)
			mailbox_close(&r->mailbox);
	}
	if (err != 0)
		free(r);
	else
		*out = r;
	return err;
}

void
reclaim_stop(struct reclaim *r)
{
	if (r == NULL)
		return;
	r->stop.deliver = deliver_stop;
	mailbox_post(&r->mailbox, &r->stop);
	pthread_join(r->thread, NULL);
}

void
reclaim_free(struct reclaim **rp)
{
	struct reclaim *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	mailbox_deliver(&r->mailbox); /* a wake that came last */
	mailbox_close(&r->mailbox);
	free(r->shunned);
	free(r);
}
