#include "storage/table.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/metrics.h"

void
table_set_max(struct table *table, uint64_t memory_max)
{
	atomic_store(&table->shard_max, (size_t)(memory_max / TABLE_SHARDS));
}

void
table_init(struct table *table, uint64_t memory_max)
{
	table_set_max(table, memory_max);
	for (unsigned i = 0; i < TABLE_SHARDS; i++) {
		struct table_shard *shard = &table->shards[i];

		pthread_mutex_init(&shard->lock, NULL);
		shard->entries = NULL;
		TAILQ_INIT(&shard->changed);
		TAILQ_INIT(&shard->idle);
		TAILQ_INIT(&shard->parked);
		TAILQ_INIT(&shard->rivals);
		TAILQ_INIT(&shard->holds);
		shard->hold_count = 0;
		shard->resident = 0;
		shard->evictions = 0;
	}
}

/* Takes ENTRY, which is in no list, out of the table. */
static void
discard(struct table_shard *shard, struct table_entry *entry)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an entry in a table has a table */
	HASH_DEL(shard->entries, entry);
	object_put(&entry->current);
	free(entry);
	shard->evictions++;
}

void
table_destroy(struct table *table)
{
	for (unsigned i = 0; i < TABLE_SHARDS; i++) {
		struct table_shard *shard = &table->shards[i];
		struct table_entry *entry, *tmp;

		HASH_ITER (hh, shard->entries, entry, tmp)
			discard(shard, entry);
		pthread_mutex_destroy(&shard->lock);
	}
}

struct table_shard *
table_lock(struct table *table, const char *path, unsigned *hash)
{
	uint64_t h = XXH3_64bits(path, strlen(path));
	struct table_shard *shard = &table->shards[h >> 32 & (TABLE_SHARDS - 1)];

	*hash = (unsigned)h;
	pthread_mutex_lock(&shard->lock);
	return shard;
}

void
table_unlock(struct table_shard *shard)
{
	pthread_mutex_unlock(&shard->lock);
}

struct table_entry *
table_lookup(struct table_shard *shard, const char *path, unsigned hash)
{
	struct table_entry *entry;

	HASH_FIND_BYHASHVALUE(hh, shard->entries, path, strlen(path), hash, entry);
	return entry;
}

struct table_entry *
table_add(struct table *table, struct table_shard *shard, const char *path, unsigned hash)
{
	size_t length = strlen(path);
	struct table_entry *entry = calloc(1, sizeof(*entry) + length + 1);

	if (entry == NULL)
		return NULL;
	memcpy(entry->path, path, length + 1);
	entry->shard = (unsigned)(shard - table->shards);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, shard->entries, entry->path, length, hash, entry);
	if (entry->hh.tbl == NULL) { /* no memory for a larger index */
		free(entry);
		return NULL;
	}
	return entry;
}

static bool
is_idle(const struct table_entry *entry)
{
	return entry->cost > 0;
}

static void
leave_idle(struct table_shard *shard, struct table_entry *entry)
{
	TAILQ_REMOVE(&shard->idle, entry, link);
	shard->resident -= entry->cost;
	metric_add(METRIC_resident_bytes, -(int64_t)entry->cost);
	entry->cost = 0;
}

void
table_hold(struct table_shard *shard, struct table_entry *entry)
{
	if (is_idle(entry))
		leave_idle(shard, entry);
	if (entry->pending++ == 0)
		TAILQ_INSERT_TAIL(&shard->changed, entry, link);
}

void
table_set_current(struct table_entry *entry, struct object *object)
{
	struct object *former = entry->current;

	entry->current = object != NULL ? object_get(object) : NULL;
	entry->known = true;
	object_put(&former);
}

void
table_touch(struct table_shard *shard, struct table_entry *entry)
{
	if (!is_idle(entry))
		return;
	TAILQ_REMOVE(&shard->idle, entry, link);
	TAILQ_INSERT_HEAD(&shard->idle, entry, link);
}

/* Spills idle entries until the shard is within its bound. One that is being read stays: a deletion
 * must find the very version that its readers have. */
static void
spill(struct table *table, struct table_shard *shard)
{
	struct table_entry *entry = TAILQ_LAST(&shard->idle, table_list);

	while (entry != NULL &&
	       shard->resident > atomic_load_explicit(&table->shard_max, memory_order_relaxed)) {
		struct table_entry *newer = TAILQ_PREV(entry, table_list, link);

		/* Others get a reference only from us, under this lock, or from one they have. */
		if (atomic_load(&entry->current->refs) == 1) {
			metric_add(METRIC_spilled_total, 1);
			leave_idle(shard, entry);
			discard(shard, entry);
		}
		entry = newer;
	}
}

void
table_idle(struct table *table, struct table_shard *shard, struct table_entry *entry)
{
	CHECK(entry->pending == 0 && entry->current != NULL && !is_idle(entry));
	entry->cost = sizeof(*entry) + strlen(entry->path) + 1 + object_cost(entry->current);
	shard->resident += entry->cost;
	metric_add(METRIC_resident_bytes, (int64_t)entry->cost);
	TAILQ_INSERT_HEAD(&shard->idle, entry, link);
	spill(table, shard);
}

void
table_settle(struct table *table, struct table_entry *entry)
{
	struct table_shard *shard = &table->shards[entry->shard];

	pthread_mutex_lock(&shard->lock);
	CHECK(entry->pending > 0);
	if (--entry->pending == 0) {
		TAILQ_REMOVE(&shard->changed, entry, link);
		if (entry->current != NULL)
			table_idle(table, shard, entry);
		else
			discard(shard, entry);
	}
	pthread_mutex_unlock(&shard->lock);
}
