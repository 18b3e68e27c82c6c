#include "storage/relog.h"

#include <errno.h>

#include "storage/batch.h"
#include "storage/store_internal.h"

bool
relog_take(struct relog *relog, struct batch *batch)
{
	const struct record *record = &relog->op->record;
	unsigned iovs = record->body_length > 0 ? 1 : 0;

	relog->result = 0;
	if (relog->entry != NULL && relog->entry->logged_seq > relog->seq) {
		relog->result = -ESTALE;
		return true;
	}
	if (!batch_fits(batch, record->body_length, iovs))
		return false;
	if (iovs > 0)
		batch->bodies[batch->nbodies] = (struct iovec){
			.iov_base = (void *)(uintptr_t)relog->body,
			.iov_len = record->body_length,
		};
	batch_add(batch, relog->op, iovs)->relog = relog;
	return true;
}

void
relog_keep(struct batch_item *item, struct volume *volume)
{
	const struct record *record = &item->op->record;
	struct extent at = {
		.offset = record->body_offset,
		.position = item->op->body,
		.hash = record->body_hash,
		.length = record->body_length,
		.volume = item->op->volume,
	};

	if (at.length > 0 && item->relog->object != NULL)
		object_move_extent(item->relog->object, &at, volume_get(volume));
	item->relog->op = NULL; /* the indexer's now */
}

void
relog_end(struct relog *relog, int err)
{
	if (relog->op != NULL) { /* not written */
		if (relog->result == 0)
			relog->result = err;
		indexer_free_op(relog->op);
		relog->op = NULL;
	}
	mailbox_post(relog->mailbox, &relog->letter);
}
