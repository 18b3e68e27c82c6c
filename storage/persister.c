#include "storage/persister.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "storage/batch.h"
#include "storage/handover.h"
#include "storage/relog.h"
#include "storage/save.h"
#include "storage/store_internal.h"
#include "storage/turns.h"

#define TICK_MS 500                      /* of handover_tick and pack_tombstones */
#define COPY_SHARE ((uint64_t)1 << 20)   /* of a batch: bytes that are copied are in nobody's way */
#define DELETE_SHARE (BATCH_ITEMS / 2)   /* a prefix of a million objects must not stop the rest */
#define WASTE 4                          /* a part of a volume that is one in this */
#define SPARE_AHEAD ((uint64_t)16 << 20) /* thousands of deletions, one by one */

STAILQ_HEAD(delete_list, store_delete);
STAILQ_HEAD(relog_list, relog);

struct persister {
	struct store *store;
	pthread_t thread;
	struct mailbox mailbox;
	struct letter stop;
	struct letter room; /* answers one reclaim_need */
	bool stopping;
	struct turns turns; /* of the saves */
	struct delete_list deletes;
	struct delete_list deleting; /* whose tombstone is in the batch */
	struct relog_list relogs;
	struct relog_list relogging; /* those in the batch, or that are done for */
	bool is_starved;             /* waits for persister_answer_room, and writes no objects */
	struct volume *active;
	bool is_spare;   /* no objects were written to the active volume, only what makes room */
	uint64_t wasted; /* bytes of it that fill up the pages of batches */
	struct batch batch;
	XXH3_state_t *hash;
	_Atomic int health;      /* 0 or -errno; the persister's */
	_Atomic uint64_t rounds; /* of its loop; the persister's */
	uint64_t rounds_seen;    /* by persister_moved; the main thread's */
};

static struct persister *
persister_of(const struct save *save)
{
	return save->object->store->persister;
}

static void
deliver_grown(struct letter *letter)
{
	struct save *save = (struct save *)((char *)letter - offsetof(struct save, grown));
	struct persister *p = persister_of(save);

	/* Cleared before the length is read: a writer that comes later posts again. */
	atomic_store(&save->queued, false);
	turns_grown(&p->turns, save);
}

static void
deliver_ended(struct letter *letter)
{
	struct save *save = (struct save *)((char *)letter - offsetof(struct save, ended));

	turns_ended(&persister_of(save)->turns, save);
}

void
persister_grown(struct persister *p, struct save *save)
{
	if (atomic_exchange(&save->queued, true))
		return;
	save->grown.deliver = deliver_grown;
	mailbox_post(&p->mailbox, &save->grown);
}

void
persister_ended(struct persister *p, struct save *save)
{
	save->ended.deliver = deliver_ended;
	mailbox_post(&p->mailbox, &save->ended);
}

static void
deliver_delete(struct letter *letter)
{
	struct store_delete *del =
		(struct store_delete *)((char *)letter - offsetof(struct store_delete, work));
	struct persister *p = del->store->persister;

	STAILQ_INSERT_TAIL(&p->deletes, del, link);
}

void
persister_delete(struct persister *p, struct store_delete *del)
{
	del->work.deliver = deliver_delete;
	mailbox_post(&p->mailbox, &del->work);
}

static void
deliver_relog(struct letter *letter)
{
	struct relog *relog = (struct relog *)((char *)letter - offsetof(struct relog, work));
	struct persister *p = relog->store->persister;

	STAILQ_INSERT_TAIL(&p->relogs, relog, link);
}

void
persister_relog(struct persister *p, struct relog *relog)
{
	relog->work.deliver = deliver_relog;
	mailbox_post(&p->mailbox, &relog->work);
}

/* Fills the batch: deletions first, they are small and somebody waits. Of what is written again, no more
 * is submitted at a time than leaves room for the rest. */
static void
make_batch(struct persister *p)
{
	bool no_room = p->is_starved || atomic_load(&p->store->full);
	uint64_t copied = 0;
	struct store_delete *del;
	struct relog *relog;

	batch_clear(&p->batch);
	while ((del = STAILQ_FIRST(&p->deletes)) != NULL && p->batch.count < DELETE_SHARE &&
	       save_take_delete(del, &p->batch)) {
		STAILQ_REMOVE_HEAD(&p->deletes, link);
		STAILQ_INSERT_TAIL(&p->deleting, del, link);
	}
	while ((relog = STAILQ_FIRST(&p->relogs)) != NULL && copied < COPY_SHARE &&
	       relog_take(relog, &p->batch, no_room)) {
		copied += relog->op->record.body_length;
		STAILQ_REMOVE_HEAD(&p->relogs, link);
		STAILQ_INSERT_TAIL(&p->relogging, relog, link);
	}
	/* What makes room is not to fail together with what needs it. */
	if (p->is_starved || (atomic_load(&p->store->full) && p->batch.count > 0))
		return;
	turns_take(&p->turns, &p->batch, p->hash);
}

/* No more is written to the active volume. */
static void
seal(struct persister *p)
{
	if (p->active != NULL)
		volumes_seal(&p->store->volumes, p->active);
	volume_put(&p->active);
	reclaim_wake(p->store->reclaim);
}

/* Whether the batch has bytes of objects, and not only what makes room. */
static bool
has_objects(const struct persister *p)
{
	for (unsigned i = 0; i < p->batch.count; i++) {
		const struct batch_item *item = &p->batch.items[i];
		const struct relog *relog = item->relog;

		if (item->save != NULL || (relog != NULL && relog->copy != NULL && !relog->in_need))
			return true;
	}
	return false;
}

/* Deletions that come one by one take a page each: when much of the volume that is held back went for that, and copies
 * may need it, it is sealed and buried, which puts its tombstones together. */
static void
pack_tombstones(struct persister *p)
{
	uint64_t share = p->store->config.volume_size / WASTE;

	if (p->active != NULL && p->is_spare && p->wasted >= share &&
	    !atomic_load(&p->store->limits.evict) && !evict_may_copy(p->store) &&
	    evict_has_free(p->store, share))
		seal(p);
}

/* Allocates what deletions may need of a volume that they have begun, or else who takes the rest of the disk meanwhile
 * could stop them. */
static void
reserve_ahead(struct persister *p)
{
	uint64_t bytes = evict_room(p->store);

	if (bytes > SPARE_AHEAD)
		bytes = SPARE_AHEAD;
	if (bytes > volume_room(p->active))
		bytes = volume_room(p->active);
	(void)volume_reserve(p->active, bytes);
}

/* At the end nobody is left to make room, and what was received is to be kept. */
static bool
may_store(const struct persister *p)
{
	return p->stopping || evict_may_store(p->store);
}

/* A volume with room for the batch, which is allocated. */
static int
ensure_volume(struct persister *p)
{
	uint64_t bytes = batch_bytes(&p->batch);
	bool objects = has_objects(p);
	int err = 0;

	/* Freeing space needs no space: what is held back is for records that no save is waiting for. */
	if (objects && !p->stopping &&
	    (atomic_load(&p->store->full) || (p->is_spare && !may_store(p))))
		return -ENOSPC;
	if (p->active != NULL && volume_room(p->active) < bytes)
		seal(p);
	if (objects && !may_store(p)) {
		seal(p); /* else what is dead in there could not be given back */
		return -ENOSPC;
	}
	if (p->active == NULL) {
		err = volumes_create(&p->store->volumes, &p->active);
		p->is_spare = true;
		p->wasted = 0;
		if (err == 0 && !objects)
			reserve_ahead(p);
	}
	if (err == 0)
		err = volume_reserve(p->active, bytes);
	if (err == 0 && objects)
		p->is_spare = false;
	return err;
}

/* Writes the batch, in a fresh volume if the active one fails: what was not synced is written again
 * from memory, and no fdatasync is repeated on a file that failed one. */
static int
write_batch(struct persister *p)
{
	uint64_t begin;
	int err = 0;

	for (int attempt = 0; attempt < 2; attempt++) {
		err = ensure_volume(p);
		/* Nothing was written, and another volume would not get more: a full disk must
		 * not be littered with one for every attempt. */
		if (err == -ENOSPC || err == -EDQUOT)
			break;
		begin = err == 0 ? volume_end(p->active) : 0;
		if (err == 0)
			err = batch_write(&p->batch, p->active, p->store->config.sync);
		if (err == 0) {
			if (STAILQ_EMPTY(&p->relogging)) /* else they are being put together */
				p->wasted += volume_end(p->active) - begin - p->batch.head_bytes -
					     p->batch.body_bytes;
			volumes_grown(&p->store->volumes, p->active);
			break;
		}
		seal(p);
	}
	return err;
}

/* After the sync. */
static void
keep_batch(struct persister *p, struct index_queue *queue)
{
	for (unsigned i = 0; i < p->batch.count; i++) {
		struct batch_item *item = &p->batch.items[i];

		if (item->relog != NULL)
			relog_keep(item, p->active);
		else
			save_keep(item, p->active);
		STAILQ_INSERT_TAIL(queue, item->op, link);
	}
}

static void
rollback_batch(struct persister *p)
{
	for (unsigned i = p->batch.count; i-- > 0;) {
		struct batch_item *item = &p->batch.items[i];

		if (item->relog != NULL) { /* it keeps its op for another attempt */
			relog_roll_back(item);
		} else {
			save_roll_back(item);
			indexer_free_op(item->op);
		}
	}
}

/* The last of SAVE: answers its sender, and lets the indexer settle its entry. */
static void
end_save(struct save *save, int err, struct index_queue *queue)
{
	struct writer_receipt *receipt = save->receipt;
	bool gone = object_status(save->object).state == OBJECT_GONE;
	struct index_op *op;

	if (save_is_stored(save))
		err = 0; /* it had no part in what failed */
	else
		CHECK(gone || err != 0);
	if (gone)
		;
	else if (err != 0)
		save_lose(save);
	else
		object_trim(save->object, save->saved, true);
	/* Before the records of this batch: a new version may go on with the same id there. */
	if (save->hidden && save->opened && !save->finaled) {
		op = indexer_new_op(NULL, NULL);
		op->record.id = save->object->id;
		STAILQ_INSERT_HEAD(queue, op, link);
	}
	op = indexer_new_op(save->object, save->entry);
	STAILQ_INSERT_TAIL(queue, op, link);
	if (receipt != NULL) {
		receipt->result = gone ? 0 : err;
		receipt->created = save->created && !save->overtaken && !save->resumed;
		receipt->cancelled = gone;
		mailbox_post(receipt->mailbox, &receipt->letter);
	}
	object_put(&save->former);
	object_put(&save->object);
	free(save);
}

static void
end_delete(struct store_delete *del, int err, struct index_queue *queue)
{
	struct index_op *op = indexer_new_op(NULL, del->entry);

	STAILQ_INSERT_TAIL(queue, op, link);
	del->result = err;
	mailbox_post(del->mailbox, &del->letter);
}

/* The reclaimer may make room: nothing has failed until it says that it can't. The batch is dissolved into
 * what it was made of. */
static bool
wait_for_room(struct persister *p, int err)
{
	if ((err != -ENOSPC && err != -EDQUOT) || p->is_starved || p->stopping ||
	    atomic_load(&p->store->full))
		return false;
	rollback_batch(p);
	STAILQ_CONCAT(&p->deleting, &p->deletes);
	STAILQ_CONCAT(&p->deletes, &p->deleting);
	STAILQ_CONCAT(&p->relogging, &p->relogs);
	STAILQ_CONCAT(&p->relogs, &p->relogging);
	turns_take_back(&p->turns);
	p->is_starved = true;
	reclaim_need(p->store->reclaim);
	return true;
}

/* One batch from what is waiting to all that follows from it. */
static void
run_batch(struct persister *p)
{
	struct index_queue queue = STAILQ_HEAD_INITIALIZER(queue);
	struct store_delete *del;
	struct relog *relog;
	struct save *save;
	bool news;
	int err = 0;

	make_batch(p);
	if (p->batch.count > 0) {
		err = write_batch(p);
		if (wait_for_room(p, err))
			return;
		if (err != 0)
			metric_add(METRIC_errors_write, 1);
		if (atomic_exchange(&p->health, err) != err && err != 0)
			log_error("can't write to the volumes error=\"%s\"", strerror(-err));
		if (err == 0)
			keep_batch(p, &queue);
		else {
			rollback_batch(p);
			turns_give_up(&p->turns);
			/* What did not fit together with what is written again may do so alone. */
			if (!STAILQ_EMPTY(&p->relogging)) {
				STAILQ_CONCAT(&p->deleting, &p->deletes);
				STAILQ_CONCAT(&p->deletes, &p->deleting);
			}
		}
	}
	while ((del = STAILQ_FIRST(&p->deleting)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->deleting, link);
		end_delete(del, err, &queue);
	}
	while ((relog = STAILQ_FIRST(&p->relogging)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->relogging, link);
		relog_end(relog, err);
	}
	/* A failure alone gives no room back: a writer that is told so would only ask again, at once. */
	news = err == 0;
	while ((save = turns_next_ending(&p->turns)) != NULL) {
		end_save(save, err, &queue);
		news = true;
	}
	if (!STAILQ_EMPTY(&queue))
		indexer_submit(p->store->indexer, &queue);
	if (news)
		store_announce_room(p->store);
}

static bool
has_work(const struct persister *p)
{
	return (turns_are_wanted(&p->turns) && !p->is_starved) || !STAILQ_EMPTY(&p->deletes) ||
	       !STAILQ_EMPTY(&p->relogs);
}

static void *
persister_main(void *arg)
{
	struct persister *p = arg;
	int64_t tick_ms = 0;

	pthread_setname_np(pthread_self(), "persister");
	for (;;) {
		int timeout = turns_collect(&p->turns);
		struct pollfd pfd = {.fd = p->mailbox.fd, .events = POLLIN};

		atomic_fetch_add_explicit(&p->rounds, 1, memory_order_relaxed);
		if (clock_mono_ms() >= tick_ms) {
			handover_tick(p->store);
			pack_tombstones(p);
			tick_ms = clock_mono_ms() + TICK_MS;
		}
		if (timeout < 0 || timeout > TICK_MS)
			timeout = TICK_MS;
		if (!has_work(p) && !p->stopping)
			poll(&pfd, 1, timeout);
		mailbox_deliver(&p->mailbox);
		if (has_work(p))
			run_batch(p);
		else if (p->stopping)
			break;
	}
	CHECK(turns_are_over(&p->turns)); /* no writer is open */
	return NULL;
}

static void
deliver_stop(struct letter *letter)
{
	struct persister *p =
		(struct persister *)((char *)letter - offsetof(struct persister, stop));

	p->stopping = true;
	p->is_starved = false; /* nobody is left to make room */
}

static void
deliver_room(struct letter *letter)
{
	struct persister *p =
		(struct persister *)((char *)letter - offsetof(struct persister, room));

	p->is_starved = false;
}

void
persister_answer_room(struct persister *p)
{
	p->room.deliver = deliver_room;
	mailbox_post(&p->mailbox, &p->room);
}

int
persister_start(struct store *store, struct persister **out)
{
	struct persister *p = calloc(1, sizeof(*p));
	int err;

	if (p == NULL)
		return -ENOMEM;
	p->store = store;
	turns_init(&p->turns);
	STAILQ_INIT(&p->deletes);
	STAILQ_INIT(&p->deleting);
	STAILQ_INIT(&p->relogs);
	STAILQ_INIT(&p->relogging);
	p->hash = XXH3_createState();
	err = p->hash != NULL ? mailbox_init(&p->mailbox) : -ENOMEM;
	if (err != 0)
		goto fail_memory;
	err = -pthread_create(&p->thread, NULL, persister_main, p);
	if (err != 0)
		goto fail_mailbox;
	*out = p;
	return 0;
fail_mailbox:
	mailbox_close(&p->mailbox);
fail_memory:
	XXH3_freeState(p->hash);
	free(p);
	return err;
}

void
persister_stop(struct persister **pp)
{
	struct persister *p = *pp;

	if (p == NULL)
		return;
	p->stop.deliver = deliver_stop;
	mailbox_post(&p->mailbox, &p->stop);
	pthread_join(p->thread, NULL);
	mailbox_close(&p->mailbox);
	seal(p);
	XXH3_freeState(p->hash);
	free(p);
	*pp = NULL;
}

int
persister_health(const struct persister *p)
{
	return atomic_load(&p->health);
}

bool
persister_moved(struct persister *p)
{
	uint64_t rounds = atomic_load_explicit(&p->rounds, memory_order_relaxed);
	bool moved = rounds != p->rounds_seen;

	p->rounds_seen = rounds;
	return moved;
}
