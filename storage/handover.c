#include "storage/handover.h"

#include "base/check.h"
#include "base/clock.h"
#include "storage/save.h"
#include "storage/store_internal.h"
#include "storage/writer_internal.h"

static bool
is_silent(const struct store *store, const struct writer *writer, int64_t now_ms)
{
	return now_ms - atomic_load(&writer->active_ms) >=
	       atomic_load(&store->limits.writer_takeover_ms);
}

bool
handover_is_written(const struct store *store, const struct table_entry *entry, int64_t now_ms)
{
	const struct writer *writer = entry->writer;

	return writer != NULL && writer->role == WRITER_CURRENT &&
	       !is_silent(store, writer, now_ms);
}

bool
handover_is_parked(const struct table_entry *entry)
{
	return entry->writer != NULL && entry->writer->role == WRITER_PARKED;
}

static void
unlist(struct table_shard *shard, struct writer *writer)
{
	switch (writer->role) {
	case WRITER_RIVAL:
		TAILQ_REMOVE(&shard->rivals, writer, link);
		break;
	case WRITER_PARKED:
		TAILQ_REMOVE(&shard->parked, writer, link);
		break;
	case WRITER_CURRENT:
	case WRITER_WHOLE:
		break;
	}
}

/* The first rival for ENTRY, or NULL. */
static struct writer *
rival_of(struct table_shard *shard, const struct table_entry *entry)
{
	struct writer *rival;

	TAILQ_FOREACH(rival, &shard->rivals, link)
	{
		if (rival->save->entry == entry)
			return rival;
	}
	return NULL;
}

/* RIVAL's version becomes current and live as it is. */
static void
take_over(struct table_shard *shard, struct writer *rival)
{
	struct table_entry *entry = rival->save->entry;

	handover_discard(shard, entry);
	unlist(shard, rival);
	writer_make_current(rival);
}

void
handover_vanished(struct table_shard *shard, struct writer *writer, bool may_return)
{
	struct table_entry *entry = writer->save->entry;
	int64_t window = atomic_load(&writer->store->limits.resume_window_ms);
	bool is_waited_for =
		entry->writer == writer && object_status(writer->object).state == OBJECT_LIVE;
	struct writer *rival = is_waited_for ? rival_of(shard, entry) : NULL;

	if (is_waited_for && may_return && window > 0 && rival == NULL) {
		writer->role = WRITER_PARKED;
		writer->deadline_ms = clock_mono_ms() + window;
		TAILQ_INSERT_TAIL(&shard->parked, writer, link);
		return;
	}
	handover_remove(shard, writer);
	writer_lose(writer);
	if (rival != NULL)
		take_over(shard, rival);
}

void
handover_add_rival(struct table_shard *shard, struct writer *writer)
{
	writer->role = WRITER_RIVAL;
	TAILQ_INSERT_TAIL(&shard->rivals, writer, link);
}

void
handover_remove(struct table_shard *shard, struct writer *writer)
{
	struct table_entry *entry = writer->save->entry;

	unlist(shard, writer);
	if (entry->writer == writer)
		entry->writer = NULL;
}

struct writer *
handover_resume(struct table_shard *shard, struct table_entry *entry)
{
	struct writer *writer = entry->writer;

	CHECK(handover_is_parked(entry));
	unlist(shard, writer);
	writer->role = WRITER_CURRENT;
	atomic_store(&writer->active_ms, clock_mono_ms());
	return writer;
}

void
handover_discard(struct table_shard *shard, struct table_entry *entry)
{
	struct writer *writer = entry->writer;

	if (!handover_is_parked(entry))
		return;
	handover_remove(shard, writer);
	writer_lose(writer);
}

static void
tick_shard(struct store *store, struct table_shard *shard, int64_t now)
{
	struct writer *writer, *next;

	while ((writer = TAILQ_FIRST(&shard->parked)) != NULL && writer->deadline_ms <= now)
		handover_discard(shard, writer->save->entry);
	for (writer = TAILQ_FIRST(&shard->rivals); writer != NULL; writer = next) {
		const struct table_entry *entry = writer->save->entry;

		next = TAILQ_NEXT(writer, link);
		/* Of a current version that is finished there is no writer to be replaced; and
		 * nothing is won by one that is silent itself. */
		if (entry->writer != NULL && !handover_is_written(store, entry, now) &&
		    !is_silent(store, writer, now))
			take_over(shard, writer);
	}
}

void
handover_tick(struct store *store)
{
	int64_t now = clock_mono_ms();

	for (unsigned i = 0; i < TABLE_SHARDS; i++) {
		struct table_shard *shard = &store->table.shards[i];

		pthread_mutex_lock(&shard->lock);
		tick_shard(store, shard, now);
		pthread_mutex_unlock(&shard->lock);
	}
}

void
handover_close(struct store *store)
{
	for (unsigned i = 0; i < TABLE_SHARDS; i++) {
		struct table_shard *shard = &store->table.shards[i];
		struct writer *writer;

		pthread_mutex_lock(&shard->lock);
		while ((writer = TAILQ_FIRST(&shard->parked)) != NULL)
			handover_discard(shard, writer->save->entry);
		pthread_mutex_unlock(&shard->lock);
	}
}
