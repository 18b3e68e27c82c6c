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
#include "storage/batch.h"
#include "storage/handover.h"
#include "storage/store_internal.h"

#define SAVE_WITHIN_MS 1000 /* a byte is in a volume at the latest after this */
#define SAVE_SHARE ((uint64_t)4 << 20) /* of one object in one batch: others want their turn */
#define TICK_MS 500 /* of handover_tick */
#define DELETE_SHARE (BATCH_ITEMS / 2) /* a prefix of a million objects must not stop the rest */
#define PIECE_IOVS ((unsigned)(RECORD_BODY_MAX / TAIL_BLOCK_SIZE + 2))

TAILQ_HEAD(save_list, save);
STAILQ_HEAD(delete_list, store_delete);

struct persister {
	struct store *store;
	pthread_t thread;
	struct mailbox mailbox;
	struct letter stop;
	bool stopping;
	struct save_list growing; /* by due_ms */
	struct save_list ready;   /* have something to write, or ended */
	struct save_list ending;  /* whose end is in the batch that is being made */
	struct delete_list deletes;
	struct delete_list deleting; /* whose tombstone is in the batch */
	struct volume *active;
	struct batch batch;
	XXH3_state_t *hash;
	_Atomic int health; /* 0 or -errno; the persister's */
};

static struct persister *
persister_of(const struct save *save)
{
	return save->object->store->persister;
}

/* Puts SAVE where its next due time says. */
static void
enqueue_growing(struct persister *p, struct save *save)
{
	save->due_ms = clock_mono_ms() + SAVE_WITHIN_MS;
	TAILQ_INSERT_TAIL(&p->growing, save, link);
}

static void
make_ready(struct persister *p, struct save *save)
{
	if (save->is_ready)
		return;
	if (save->due_ms != 0)
		TAILQ_REMOVE(&p->growing, save, link);
	save->due_ms = 0;
	save->is_ready = true;
	TAILQ_INSERT_TAIL(&p->ready, save, link);
}

static uint64_t
unsaved(const struct save *save)
{
	return object_status(save->object).length - save->taken;
}

static void
deliver_grown(struct letter *letter)
{
	struct save *save = (struct save *)((char *)letter - offsetof(struct save, grown));
	struct persister *p = persister_of(save);

	/* Cleared before the length is read: a writer that comes later posts again. */
	atomic_store(&save->queued, false);
	if (unsaved(save) >= PERSIST_PIECE ||
	    (atomic_exchange(&save->urgent, false) && unsaved(save) > 0))
		make_ready(p, save);
	else if (!save->is_ready && save->due_ms == 0)
		enqueue_growing(p, save);
}

static void
deliver_ended(struct letter *letter)
{
	struct save *save = (struct save *)((char *)letter - offsetof(struct save, ended));

	save->is_ended = true;
	make_ready(persister_of(save), save);
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

static int
row_exists(void *arg, const struct catalog_row *row)
{
	(void)arg;
	(void)row;
	return 0;
}

/* Whether the PUT makes a new object: only the catalog knows of paths that are not resident. Asked
 * before the first record that makes this version current can get there. */
static void
settle_created(struct persister *p, struct save *save)
{
	/* What the question is shows when it becomes current. */
	if (atomic_load(&save->object->seq) == 0 || !save->ask_catalog)
		return;
	save->ask_catalog = false;
	save->created = catalog_find(p->store->catalog, save->object->path, row_exists, NULL) ==
			-ENOENT;
}

static struct index_op *
new_op(struct object *object, struct table_entry *settle)
{
	struct index_op *op = calloc(1, sizeof(*op));

	CHECK(op != NULL); /* a few hundred bytes: without them nothing can be kept */
	op->object = object != NULL ? object_get(object) : NULL;
	op->settle = settle;
	return op;
}

/* What RECORD, whose kind and flags are set, says of OBJECT. The etag, and the time of a hidden version,
 * are its writer's to set until it ends. */
static void
name_of(const struct object *object, struct record *record)
{
	struct record_name *name = &record->name;

	name->path = object->path;
	name->path_length = (uint16_t)strlen(object->path);
	name->type = object->type;
	name->type_length = (uint16_t)strlen(object->type);
	name->size = object_status(object).length;
	if (!(record->flags & RECORD_HIDDEN))
		name->mtime_ms = object->mtime_ms;
	name->expires_ms = object->expires_ms;
	if (record->kind == RECORD_FINAL)
		memcpy(name->etag, object->etag, sizeof(name->etag));
}

/* Refers to LENGTH bytes of the tail behind save->taken. Returns the number of iovecs, and the
 * bytes' hash. */
static unsigned
collect_body(struct persister *p, struct save *save, uint64_t length, struct iovec *iov,
	     uint64_t *hash)
{
	struct object *object = save->object;
	uint64_t offset = save->taken, end = offset + length;
	unsigned n = 0;

	XXH3_64bits_reset(p->hash);
	while (offset < end) {
		unsigned char *bytes;
		size_t size;

		pthread_mutex_lock(&object->lock);
		save->block = tail_find(&object->tail, offset, save->block);
		pthread_mutex_unlock(&object->lock);
		CHECK(save->block != NULL);
		size = tail_bytes(&object->tail, save->block, offset, (size_t)(end - offset), &bytes);
		XXH3_64bits_update(p->hash, bytes, size);
		iov[n++] = (struct iovec){bytes, size};
		offset += size;
	}
	*hash = XXH3_64bits_digest(p->hash);
	return n;
}

/* Moves the entry's newest logged sequence number; batch_rollback can move it back. */
static void
log_seq(struct batch_item *item, struct table_entry *entry, uint64_t seq)
{
	if (seq <= entry->logged_seq)
		return;
	item->entry = entry;
	item->former_seq = entry->logged_seq;
	entry->logged_seq = seq;
}

static void
add_record(struct persister *p, struct save *save, enum record_kind kind, uint64_t length)
{
	struct object *object = save->object;
	struct index_op *op = new_op(object, NULL);
	struct record *record = &op->record;
	struct batch_item *item;
	unsigned iovs;

	record->kind = kind;
	record->id = object->id;
	record->body_offset = save->taken;
	record->body_length = (uint32_t)length;
	if (kind != RECORD_DATA)
		record->seq = atomic_load(&object->seq);
	if (kind == RECORD_OPEN && record->seq == 0)
		record->flags = RECORD_HIDDEN;
	if (kind != RECORD_DATA)
		name_of(object, record);
	iovs = collect_body(p, save, length, &p->batch.bodies[p->batch.nbodies], &record->body_hash);
	item = batch_add(&p->batch, op, iovs);
	item->save = save;
	log_seq(item, save->entry, record->seq);
	save->taken += length;
	if (kind == RECORD_OPEN) {
		item->was_opened = save->opened;
		item->was_hidden = save->hidden;
		save->opened = true;
		save->hidden = record->flags & RECORD_HIDDEN;
	}
	if (kind == RECORD_FINAL)
		save->finaled = true;
}

/* Something newer of this path is in the log: no record with this version's number may follow. Asked
 * each time: a batch that could not be written is taken back. */
static bool
check_superseded(struct save *save)
{
	uint64_t seq = atomic_load(&save->object->seq);

	save->superseded = seq != 0 && save->entry->logged_seq > seq;
	return save->superseded;
}

/* Puts what SAVE has into the batch. False when the batch is full. */
static bool
take(struct persister *p, struct save *save)
{
	struct object *object = save->object;
	bool finished = save->is_ended && save->end == SAVE_FINISHED;
	uint64_t start = save->taken;

	if (object_status(object).state == OBJECT_GONE)
		return true;
	settle_created(p, save);
	for (;;) {
		uint64_t left = unsaved(save);
		uint64_t length = left < RECORD_BODY_MAX ? left : RECORD_BODY_MAX;
		bool final = finished && length == left;
		bool unseen = save->opened && save->hidden && atomic_load(&object->seq) != 0;
		bool extends = !save->opened && object->tail.base > 0;

		if (left == 0 && !final && ((save->opened && !unseen) || !save->is_ended))
			return true;
		if (save->taken - start >= SAVE_SHARE ||
		    !batch_fits(&p->batch, length, PIECE_IOVS))
			return false;
		if (check_superseded(save)) {
			if (left == 0)
				return true;
			add_record(p, save, RECORD_DATA, length); /* for readers it still has */
		} else if (final ? extends : !save->opened || unseen) {
			/* Unseen: it was hidden when it was opened, and took over from another. */
			add_record(p, save, RECORD_OPEN, final ? 0 : length);
		} else if (final) {
			add_record(p, save, RECORD_FINAL, length);
			return true;
		} else {
			add_record(p, save, RECORD_DATA, length);
		}
	}
}

static bool
take_delete(struct persister *p, struct store_delete *del)
{
	struct index_op *op;
	struct batch_item *item;

	if (!batch_fits(&p->batch, 0, 0))
		return false;
	op = new_op(NULL, NULL);
	op->record.kind = RECORD_TOMBSTONE;
	op->record.seq = del->seq;
	op->record.name.path = del->entry->path;
	op->record.name.path_length = (uint16_t)strlen(del->entry->path);
	op->record.name.type = "";
	op->record.name.mtime_ms = clock_wall_ms();
	item = batch_add(&p->batch, op, 0);
	log_seq(item, del->entry, del->seq);
	return true;
}

/* Where SAVE belongs after it was asked for its bytes, and whether that was ALL it had. */
static void
requeue(struct persister *p, struct save *save, bool all)
{
	save->is_ready = !all;
	if (!all)
		TAILQ_INSERT_TAIL(&p->ready, save, link); /* behind those who had no turn yet */
	else if (save->is_ended)
		TAILQ_INSERT_TAIL(&p->ending, save, link);
	else
		enqueue_growing(p, save);
}

/* Fills the batch: deletions first, they are small and somebody waits. */
static void
make_batch(struct persister *p)
{
	struct save_list turn = TAILQ_HEAD_INITIALIZER(turn);
	struct store_delete *del;
	struct save *save;

	batch_clear(&p->batch);
	while ((del = STAILQ_FIRST(&p->deletes)) != NULL && p->batch.count < DELETE_SHARE &&
	       take_delete(p, del)) {
		STAILQ_REMOVE_HEAD(&p->deletes, link);
		STAILQ_INSERT_TAIL(&p->deleting, del, link);
	}
	TAILQ_CONCAT(&turn, &p->ready, link);
	while ((save = TAILQ_FIRST(&turn)) != NULL &&
	       batch_fits(&p->batch, RECORD_BODY_MAX, PIECE_IOVS)) {
		TAILQ_REMOVE(&turn, save, link);
		requeue(p, save, take(p, save));
	}
	TAILQ_CONCAT(&turn, &p->ready, link);
	TAILQ_CONCAT(&p->ready, &turn, link);
}

/* A volume with room for the batch, which is allocated. */
static int
ensure_volume(struct persister *p)
{
	uint64_t bytes = batch_bytes(&p->batch);
	int err = 0;

	if (p->active != NULL && volume_room(p->active) < bytes)
		volume_put(&p->active);
	if (p->active == NULL)
		err = volumes_create(&p->store->volumes, &p->active);
	return err == 0 ? volume_reserve(p->active, bytes) : err;
}

/* Writes the batch, in a fresh volume if the active one fails: what was not synced is written again
 * from memory, and no fdatasync is repeated on a file that failed one. */
static int
write_batch(struct persister *p)
{
	int err = 0;

	for (int attempt = 0; attempt < 2; attempt++) {
		err = ensure_volume(p);
		/* Nothing was written, and another volume would not get more: a full disk must
		 * not be littered with one for every attempt. */
		if (err == -ENOSPC || err == -EDQUOT)
			break;
		if (err == 0)
			err = batch_write(&p->batch, p->active, p->store->config.sync);
		if (err == 0)
			break;
		volume_put(&p->active);
	}
	if (atomic_exchange(&p->health, err) != err && err != 0)
		log_error("can't write to the volumes error=\"%s\"", strerror(-err));
	return err;
}

/* After the sync: the bytes are readable from the volume, their blocks may go. */
static void
keep_batch(struct persister *p, struct index_queue *queue)
{
	for (unsigned i = 0; i < p->batch.count; i++) {
		struct batch_item *item = &p->batch.items[i];
		struct index_op *op = item->op;
		struct record *record = &op->record;
		struct save *save = item->save;

		if (record->body_length > 0) {
			struct extent at = {
				.offset = record->body_offset,
				.position = op->body,
				.hash = record->body_hash,
				.length = record->body_length,
				.volume = op->volume,
			};
			int err = object_add_extent(save->object, &at, volume_get(p->active),
						    EXTENT_GOOD);

			CHECK(err == 0);
			save->saved += record->body_length;
			if (save->saved == save->taken) {
				save->block = NULL;
				object_trim(save->object, save->saved, false);
			}
		}
		STAILQ_INSERT_TAIL(queue, op, link);
	}
}

/* The batch is not on disk: what it moved is moved back. */
static void
rollback_batch(struct persister *p)
{
	for (unsigned i = p->batch.count; i-- > 0;) {
		struct batch_item *item = &p->batch.items[i];

		if (item->entry != NULL)
			item->entry->logged_seq = item->former_seq;
		if (item->save != NULL) {
			item->save->taken = item->save->saved;
			if (item->op->record.kind == RECORD_OPEN) {
				item->save->opened = item->was_opened;
				item->save->hidden = item->was_hidden;
			}
			if (item->op->record.kind == RECORD_FINAL)
				item->save->finaled = false;
		}
		object_put(&item->op->object);
		free(item->op);
	}
}

/* What a restart would find of SAVE, which is in the log without its end. NULL without memory. */
static struct object *
stored_part(const struct save *save)
{
	struct object *from = save->object;
	struct object *part = object_new(from->store, from->path, from->type, save->saved);
	int err = 0;

	if (part == NULL)
		return NULL;
	part->id = from->id;
	part->seq = from->seq;
	part->mtime_ms = from->mtime_ms;
	part->expires_ms = from->expires_ms;
	object_set_state(part, OBJECT_INCOMPLETE);
	/* Nobody but the persister adds extents. */
	for (unsigned i = 0; i < from->nextents && err == 0; i++)
		err = object_add_extent(part, &from->extents[i].at,
					volume_get(from->extents[i].volume), EXTENT_UNVERIFIED);
	if (err != 0)
		object_put(&part);
	return part;
}

/* What is at the path of SAVE, which is lost, as far as the log goes. A reference, or NULL. */
static struct object *
what_remains(const struct save *save)
{
	struct object *former = save->former;

	if (save->opened && !save->hidden)
		return stored_part(save);
	if (former == NULL || object_status(former).state == OBJECT_GONE)
		return NULL;
	return object_get(former);
}

/* A version that could not be stored must not be served. */
static void
lose(struct persister *p, struct save *save)
{
	struct table_entry *entry = save->entry;
	struct object *remains = NULL;
	struct table_shard *shard;
	unsigned hash;

	shard = table_lock(&p->store->table, save->object->path, &hash);
	object_set_state(save->object, OBJECT_GONE);
	if (entry->current == save->object) {
		remains = what_remains(save);
		table_set_current(entry, remains);
		/* Else the next lookup asks the catalog. */
		entry->known = remains != NULL || (save->former == NULL && save->former_known &&
						   !save->opened);
	}
	table_unlock(shard);
	object_put(&remains);
}

/* Whether every record that SAVE, which ended, was to get is in the log. */
static bool
is_stored(const struct save *save)
{
	return save->saved == object_status(save->object).length &&
	       (save->finaled || save->superseded ||
		(save->opened && save->end == SAVE_ABORTED));
}

/* The last of SAVE: answers its sender, and lets the indexer settle its entry. */
static void
end_save(struct persister *p, struct save *save, int err, struct index_queue *queue)
{
	struct writer_receipt *receipt = save->receipt;
	bool gone = object_status(save->object).state == OBJECT_GONE;
	struct index_op *op;

	if (is_stored(save))
		err = 0; /* it had no part in what failed */
	else
		CHECK(gone || err != 0);
	if (gone)
		;
	else if (err != 0)
		lose(p, save);
	else
		object_trim(save->object, save->saved, true);
	/* Before the records of this batch: a new version may go on with the same id there. */
	if (save->hidden && save->opened && !save->finaled) {
		op = new_op(NULL, NULL);
		op->record.id = save->object->id;
		STAILQ_INSERT_HEAD(queue, op, link);
	}
	op = new_op(save->object, save->entry);
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
	struct index_op *op = new_op(NULL, del->entry);

	STAILQ_INSERT_TAIL(queue, op, link);
	del->result = err;
	mailbox_post(del->mailbox, &del->letter);
}

/* After a failure nothing is retried at once: who waits for an answer gets it, what still grows has
 * its next turn when it is due. */
static void
give_up_ready(struct persister *p)
{
	struct save *save;

	while ((save = TAILQ_FIRST(&p->ready)) != NULL) {
		TAILQ_REMOVE(&p->ready, save, link);
		requeue(p, save, true);
	}
}

/* One batch from what is waiting to all that follows from it. */
static void
run_batch(struct persister *p)
{
	struct index_queue queue = STAILQ_HEAD_INITIALIZER(queue);
	struct store_delete *del;
	struct save *save;
	int err = 0;

	make_batch(p);
	if (p->batch.count > 0) {
		err = write_batch(p);
		if (err == 0)
			keep_batch(p, &queue);
		else {
			rollback_batch(p);
			give_up_ready(p);
		}
	}
	while ((del = STAILQ_FIRST(&p->deleting)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->deleting, link);
		end_delete(del, err, &queue);
	}
	while ((save = TAILQ_FIRST(&p->ending)) != NULL) {
		TAILQ_REMOVE(&p->ending, save, link);
		end_save(p, save, err, &queue);
	}
	if (!STAILQ_EMPTY(&queue))
		indexer_submit(p->store->indexer, &queue);
	store_announce_room(p->store);
}

/* Moves what is due from growing to ready; returns the milliseconds until the next, or -1. */
static int
collect_due(struct persister *p)
{
	int64_t now = clock_mono_ms();
	struct save *save;

	while ((save = TAILQ_FIRST(&p->growing)) != NULL) {
		if (save->due_ms > now)
			return (int)(save->due_ms - now);
		if (unsaved(save) > 0) {
			make_ready(p, save);
		} else {
			TAILQ_REMOVE(&p->growing, save, link);
			enqueue_growing(p, save);
		}
	}
	return -1;
}

static bool
has_work(const struct persister *p)
{
	return !TAILQ_EMPTY(&p->ready) || !STAILQ_EMPTY(&p->deletes);
}

static void *
persister_main(void *arg)
{
	struct persister *p = arg;

	int64_t tick_ms = 0;

	for (;;) {
		int timeout = collect_due(p);
		struct pollfd pfd = {.fd = p->mailbox.fd, .events = POLLIN};

		if (clock_mono_ms() >= tick_ms) {
			handover_tick(p->store);
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
	CHECK(TAILQ_EMPTY(&p->growing)); /* no writer is open */
	return NULL;
}

static void
deliver_stop(struct letter *letter)
{
	struct persister *p =
		(struct persister *)((char *)letter - offsetof(struct persister, stop));

	p->stopping = true;
}

int
persister_start(struct store *store, struct persister **out)
{
	struct persister *p = calloc(1, sizeof(*p));
	int err;

	if (p == NULL)
		return -ENOMEM;
	p->store = store;
	TAILQ_INIT(&p->growing);
	TAILQ_INIT(&p->ready);
	TAILQ_INIT(&p->ending);
	STAILQ_INIT(&p->deletes);
	STAILQ_INIT(&p->deleting);
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
	volume_put(&p->active);
	XXH3_freeState(p->hash);
	free(p);
	*pp = NULL;
}

int
persister_health(const struct persister *p)
{
	return atomic_load(&p->health);
}
