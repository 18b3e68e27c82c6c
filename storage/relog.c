#include "storage/relog.h"

#include <errno.h>

#include "storage/batch.h"
#include "storage/copy.h"
#include "storage/store_internal.h"

bool
relog_take(struct relog *relog, struct batch *batch, bool no_room)
{
	const struct record *record = &relog->op->record;
	struct copy *copy = relog->copy;
	unsigned iovs = record->body_length > 0 ? 1 : 0;

	relog->result = 0;
	if (!batch_fits(batch, record->body_length, iovs))
		return false;
	if (copy != NULL && copy->err != 0)
		relog->result = copy->err;
	else if (copy != NULL && no_room && !relog->in_need)
		relog->result = -ENOSPC;
	else if (relog->ends && !copy_may_end(copy))
		relog->result = -ESTALE;
	if (relog->result != 0)
		return true;
	if (iovs > 0)
		batch->bodies[batch->nbodies] = (struct iovec){relog->body, record->body_length};
	batch_add(batch, relog->op, iovs)->relog = relog;
	return true;
}

void
relog_keep(struct batch_item *item, struct volume *volume)
{
	const struct record *record = &item->op->record;
	struct copy *copy = item->relog->copy;
	struct extent at = {
		.offset = record->body_offset,
		.position = item->op->body,
		.hash = record->body_hash,
		.length = record->body_length,
		.volume = item->op->volume,
	};

	if (copy != NULL && at.length > 0)
		copy_add(copy, &at, volume);
	if (item->relog->ends)
		copy_install(copy);
	item->relog->op = NULL; /* the indexer's now */
}

void
relog_roll_back(struct batch_item *item)
{
	if (item->relog->ends)
		copy_roll_back(item->relog->copy);
}

void
relog_end(struct relog *relog, int err)
{
	if (relog->op != NULL) { /* not written */
		if (relog->result == 0)
			relog->result = err;
		if (relog->copy != NULL && relog->copy->err == 0)
			relog->copy->err = relog->result;
		indexer_free_op(relog->op);
		relog->op = NULL;
	}
	mailbox_post(relog->mailbox, &relog->letter);
}
