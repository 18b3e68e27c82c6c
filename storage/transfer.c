#include "storage/transfer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/metrics.h"
#include "storage/copy.h"
#include "storage/reclaim_internal.h"
#include "storage/relog.h"

struct transfer {
	struct reclaim *reclaim;
	struct copy *copy;
	unsigned next; /* of copy->from */
	bool opened;   /* a hidden OPEN was handed over */
};

/* One record on its way to disk. */
struct piece {
	struct relog relog;
	struct transfer *transfer;
};

int
transfer_begin(struct reclaim *r, const char *path, uint64_t id, struct transfer **out)
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));
	int err = transfer == NULL ? -ENOMEM : copy_open(r->store, path, id, &transfer->copy);

	if (err != 0) {
		free(transfer);
		return err;
	}
	transfer->reclaim = r;
	*out = transfer;
	return 0;
}

/* Ends it. WRITTEN: the copy has taken the version's place. */
static void
end(struct transfer *transfer, bool written)
{
	struct copy *copy = transfer->copy;

	if (written) {
		metric_add(METRIC_copied_bytes_total, (int64_t)copy->name.size);
	} else if (transfer->opened) {
		struct index_op *op = indexer_new_op(NULL, NULL);

		op->record.id = copy->id; /* a hidden version that will never be current */
		reclaim_submit(transfer->reclaim, op);
	}
	copy_close(&transfer->copy, written);
	free(transfer);
}

static void
deliver_piece(struct letter *letter)
{
	struct piece *piece =
		(struct piece *)((char *)letter - offsetof(struct piece, relog.letter));
	struct reclaim *r = piece->transfer->reclaim;
	int result = piece->relog.result;

	reclaim_answered(r, 0);
	if (piece->relog.ends) {
		if (result != 0 && r->transfers == 0)
			r->transfers = result;
		end(piece->transfer, result == 0);
	}
	free(piece->relog.body);
	free(piece);
}

/* Reads extent AT to BYTES and compares its hash. */
static int
read_extent(struct reclaim *r, const struct extent *at, unsigned char *bytes)
{
	struct volume *volume;
	int err = volumes_open(&r->store->volumes, at->volume, &volume);

	if (err != 0)
		return err;
	err = volume_read(volume, at->position, bytes, at->length);
	if (err == 0 && XXH3_64bits(bytes, at->length) != at->hash)
		err = -EBADMSG;
	volume_put(&volume);
	return err;
}

/* Reads the next extents that fit in one record. */
static int
read_body(struct transfer *transfer, unsigned char *bytes, uint32_t *length)
{
	const struct copy *copy = transfer->copy;
	uint32_t used = 0;

	while (transfer->next < copy->nfrom) {
		const struct extent *at = &copy->from[transfer->next];
		int err;

		if (at->length > RECORD_BODY_MAX)
			return -EBADMSG;
		if (at->length > RECORD_BODY_MAX - used)
			break;
		err = read_extent(transfer->reclaim, at, bytes + used);
		if (err != 0)
			return err;
		used += at->length;
		transfer->next++;
	}
	*length = used;
	return 0;
}

/* What the next record says, its body apart. */
static struct index_op *
describe(struct transfer *transfer, uint64_t offset, bool last)
{
	struct copy *copy = transfer->copy;
	struct index_op *op = indexer_new_op(copy->object, last ? copy->entry : NULL);
	struct record *record = &op->record;

	record->id = copy->id;
	record->body_offset = offset;
	if (last) {
		record->kind = copy->open ? RECORD_OPEN : RECORD_FINAL;
		record->seq = copy->seq;
	} else if (transfer->opened) {
		record->kind = RECORD_DATA;
	} else {
		record->kind = RECORD_OPEN;
		record->flags = RECORD_HIDDEN;
	}
	if (record->kind != RECORD_DATA)
		record->name = copy->name;
	if (record->flags & RECORD_HIDDEN)
		record->name.mtime_ms = 0;
	transfer->opened |= !last;
	return op;
}

int64_t
transfer_step(struct transfer *transfer, bool *ends)
{
	struct reclaim *r = transfer->reclaim;
	struct copy *copy = transfer->copy;
	uint64_t offset = transfer->next < copy->nfrom ? copy->from[transfer->next].offset : 0;
	struct piece *piece = calloc(1, sizeof(*piece));
	unsigned char *body = malloc(RECORD_BODY_MAX);
	struct index_op *op;
	uint32_t length = 0;
	int err = piece == NULL || body == NULL ? -ENOMEM : read_body(transfer, body, &length);

	if (err != 0) {
		free(piece);
		free(body);
		return err;
	}
	*ends = transfer->next == copy->nfrom;
	op = describe(transfer, offset, *ends);
	op->record.body_length = length;
	op->record.body_hash = XXH3_64bits(body, length);
	piece->transfer = transfer;
	piece->relog = (struct relog){
		.store = r->store,
		.op = op,
		.copy = copy,
		.ends = *ends,
		.in_need = r->compact.in_need,
		.body = body,
		.mailbox = &r->mailbox,
		.letter.deliver = deliver_piece,
	};
	r->outstanding++;
	persister_relog(r->store->persister, &piece->relog);
	return length;
}

void
transfer_abandon(struct transfer **transferp)
{
	struct transfer *transfer = *transferp;

	*transferp = NULL;
	if (transfer == NULL)
		return;
	reclaim_await(transfer->reclaim, 0);
	end(transfer, false);
}
