#include "storage/relog.h"

#include "storage/batch.h"
#include "storage/store_internal.h"

bool
relog_take(struct relog *relog, struct batch *batch)
{
	relog->result = 0;
	if (!batch_fits(batch, 0, 0))
		return false;
	batch_add(batch, relog->op, 0)->relog = relog;
	return true;
}

void
relog_keep(struct batch_item *item)
{
	item->relog->op = NULL; /* the indexer's now */
}

void
relog_end(struct relog *relog, int err)
{
	if (relog->op != NULL) { /* not written */
		relog->result = err;
		indexer_free_op(relog->op);
		relog->op = NULL;
	}
	mailbox_post(relog->mailbox, &relog->letter);
}
