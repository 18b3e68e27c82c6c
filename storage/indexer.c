#include "storage/indexer.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "storage/store_internal.h"

#define COMMIT_EVERY_MS 250 /* a commit syncs a file: gather what comes meanwhile */
#define COMMIT_OPS 20000    /* of one transaction */
#define RETRY_MS 1000       /* after a failed commit */

struct indexer {
	struct store *store;
	pthread_t thread;
	pthread_mutex_t lock; /* guards queue, stopping */
	pthread_cond_t work;
	struct index_queue queue;
	bool stopping;
	bool gave_up;       /* the thread's own: what comes now must not be applied either */
	_Atomic int health; /* 0 or -errno; the indexer's */
};

struct index_op *
indexer_new_op(struct object *object, struct table_entry *settle)
{
	struct index_op *op = calloc(1, sizeof(*op));

	CHECK(op != NULL); /* a few hundred bytes: without them nothing can be kept */
	op->object = object != NULL ? object_get(object) : NULL;
	op->settle = settle;
	return op;
}

void
indexer_free_op(struct index_op *op)
{
	object_put(&op->object);
	free(op->text);
	free(op);
}

static int
apply_op(struct catalog *catalog, const struct index_op *op)
{
	const struct record *record = &op->record;
	int err = 0;

	if (record->kind != 0)
		err = catalog_apply(catalog, record, op->volume, op->body);
	else if (op->drop_grave)
		err = catalog_drop_grave(catalog, record->name.path, record->name.path_length,
					 record->seq);
	else if (record->id != 0)
		err = catalog_forget(catalog, record->id);
	if (err == 0 && op->drop_volume != 0)
		err = catalog_drop_volume(catalog, op->drop_volume);
	if (err == 0 && op->applied != 0)
		err = catalog_set_applied(catalog, op->volume, op->applied);
	return err;
}

/* Applies OPS in one transaction. */
static int
apply(struct catalog *catalog, struct index_queue *ops)
{
	struct index_op *op;
	int err = catalog_begin(catalog);

	if (err != 0)
		return err;
	STAILQ_FOREACH(op, ops, link)
	{
		err = apply_op(catalog, op);
		if (err != 0) {
			catalog_abort(catalog);
			return err;
		}
	}
	return catalog_commit(catalog);
}

/* Moves up to COMMIT_OPS from the queue to OPS. Whether more are left. Locked. */
static bool
collect(struct indexer *indexer, struct index_queue *ops)
{
	struct index_op *op;

	for (unsigned n = 0; n < COMMIT_OPS && (op = STAILQ_FIRST(&indexer->queue)) != NULL; n++) {
		STAILQ_REMOVE_HEAD(&indexer->queue, link);
		STAILQ_INSERT_TAIL(ops, op, link);
	}
	return !STAILQ_EMPTY(&indexer->queue);
}

static void
wait_ms(struct indexer *indexer, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (!indexer->stopping &&
	       pthread_cond_timedwait(&indexer->work, &indexer->lock, &until) != ETIMEDOUT)
		;
}

/* Commits OPS, again and again while that fails; the volumes hold the truth meanwhile. Gives up
 * only when the process stops: the next start applies them. */
static void
commit(struct indexer *indexer, struct index_queue *ops)
{
	struct index_op *op;
	int err = 0;

	while (!indexer->gave_up && (err = apply(indexer->store->catalog, ops)) != 0) {
		bool stopping;

		metric_add(METRIC_errors_catalog, 1);
		doubt_note(indexer->store, err);
		if (atomic_exchange(&indexer->health, err) != err)
			log_error("can't write the catalog error=\"%s\"", strerror(-err));
		pthread_mutex_lock(&indexer->lock);
		wait_ms(indexer, RETRY_MS);
		stopping = indexer->stopping;
		pthread_mutex_unlock(&indexer->lock);
		/* The log position may not pass what was left out (invariant 8). */
		indexer->gave_up = stopping;
	}
	if (!indexer->gave_up)
		atomic_store(&indexer->health, 0);
	while ((op = STAILQ_FIRST(ops)) != NULL) {
		STAILQ_REMOVE_HEAD(ops, link);
		if (op->settle != NULL)
			table_settle(&indexer->store->table, op->settle);
		indexer_free_op(op);
		metric_add(METRIC_catalog_waiting, -1);
	}
}

static void *
indexer_main(void *arg)
{
	struct indexer *indexer = arg;
	struct index_queue ops = STAILQ_HEAD_INITIALIZER(ops);
	bool more = false;

	pthread_setname_np(pthread_self(), "indexer");
	pthread_mutex_lock(&indexer->lock);
	for (;;) {
		while (STAILQ_EMPTY(&indexer->queue) && !indexer->stopping)
			pthread_cond_wait(&indexer->work, &indexer->lock);
		if (STAILQ_EMPTY(&indexer->queue))
			break;
		if (!more)
			wait_ms(indexer, COMMIT_EVERY_MS);
		more = collect(indexer, &ops);
		pthread_mutex_unlock(&indexer->lock);
		commit(indexer, &ops);
		pthread_mutex_lock(&indexer->lock);
	}
	pthread_mutex_unlock(&indexer->lock);
	return NULL;
}

int
indexer_start(struct store *store, struct indexer **out)
{
	struct indexer *indexer = calloc(1, sizeof(*indexer));
	pthread_condattr_t attr;
	int err;

	if (indexer == NULL)
		return -ENOMEM;
	indexer->store = store;
	STAILQ_INIT(&indexer->queue);
	pthread_mutex_init(&indexer->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&indexer->work, &attr);
	pthread_condattr_destroy(&attr);
	err = -pthread_create(&indexer->thread, NULL, indexer_main, indexer);
	if (err != 0) {
		pthread_cond_destroy(&indexer->work);
		pthread_mutex_destroy(&indexer->lock);
		free(indexer);
		return err;
	}
	*out = indexer;
	return 0;
}

void
indexer_stop(struct indexer **indexerp)
{
	struct indexer *indexer = *indexerp;

	if (indexer == NULL)
		return;
	pthread_mutex_lock(&indexer->lock);
	indexer->stopping = true;
	pthread_cond_signal(&indexer->work);
	pthread_mutex_unlock(&indexer->lock);
	pthread_join(indexer->thread, NULL);
	pthread_cond_destroy(&indexer->work);
	pthread_mutex_destroy(&indexer->lock);
	free(indexer);
	*indexerp = NULL;
}

void
indexer_submit(struct indexer *indexer, struct index_queue *queue)
{
	const struct index_op *op;

	STAILQ_FOREACH(op, queue, link)
	{
		metric_add(METRIC_catalog_waiting, 1);
	}
	pthread_mutex_lock(&indexer->lock);
	STAILQ_CONCAT(&indexer->queue, queue);
	pthread_cond_signal(&indexer->work);
	pthread_mutex_unlock(&indexer->lock);
}

int
indexer_health(const struct indexer *indexer)
{
	return atomic_load(&indexer->health);
}
