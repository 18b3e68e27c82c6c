#include "storage/hold.h"

#include <errno.h>
#include <string.h>

#include "storage/store_internal.h"

int
hold_begin(struct store *store, struct hold *hold)
{
	struct table_shard *shard = table_lock(&store->table, hold->path, &hold->hash);
	struct table_entry *entry = table_lookup(shard, hold->path, hold->hash);
	struct object *current = entry != NULL ? entry->current : NULL;
	int err = 0;

	/* What began and left memory again since the load is in the catalog only. */
	if (current != hold->present || (current == NULL && shard->evictions != hold->news))
		err = -EAGAIN;
	else if (shard->hold_count >= HOLD_SHARD_MAX)
		err = -ENOBUFS;
	hold->waiting = err == 0;
	if (err == 0) {
		TAILQ_INSERT_TAIL(&shard->holds, hold, link);
		shard->hold_count++;
	}
	table_unlock(shard);
	return err;
}

static void
unlist(struct table_shard *shard, struct hold *hold)
{
	TAILQ_REMOVE(&shard->holds, hold, link);
	shard->hold_count--;
	hold->waiting = false;
}

bool
hold_end(struct store *store, struct hold *hold)
{
	unsigned hash;
	struct table_shard *shard = table_lock(&store->table, hold->path, &hash);
	bool waiting = hold->waiting;

	if (waiting)
		unlist(shard, hold);
	table_unlock(shard);
	return waiting;
}

void
hold_wake(struct table_shard *shard, const struct table_entry *entry)
{
	struct hold *hold, *next;

	for (hold = TAILQ_FIRST(&shard->holds); hold != NULL; hold = next) {
		next = TAILQ_NEXT(hold, link);
		if (hold->hash != entry->hh.hashv || strcmp(hold->path, entry->path) != 0)
			continue;
		unlist(shard, hold);
		mailbox_post(hold->mailbox, &hold->letter); /* its owner's again */
	}
}
