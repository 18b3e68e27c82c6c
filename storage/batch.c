#include "storage/batch.h"

#include <string.h>

#include "base/check.h"
#include "storage/volume.h"

uint64_t
batch_bytes(const struct batch *batch)
{
	return batch->body_bytes + batch->head_bytes + batch->count * (uint64_t)RECORD_ALIGN;
}

bool
batch_fits(const struct batch *batch, uint64_t body, unsigned iovs)
{
	return batch->count < BATCH_ITEMS && batch->nbodies + iovs <= BATCH_IOVS &&
	       batch->body_bytes + body <= BATCH_BODIES &&
	       batch->head_bytes + RECORD_HEADER_SIZE + RECORD_NAME_MAX <= BATCH_HEADS;
}

struct batch_item *
batch_add(struct batch *batch, struct index_op *op, unsigned iovs)
{
	struct batch_item *item = &batch->items[batch->count++];

	CHECK(batch->nbodies + iovs <= BATCH_IOVS);
	*item = (struct batch_item){.op = op, .body_iov = batch->nbodies, .body_iovs = iovs};
	batch->nbodies += iovs;
	batch->body_bytes += op->record.body_length;
	batch->head_bytes += record_head_size(&op->record);
	return item;
}

/* Bytes from the first record to the end of the last. */
static uint64_t
span(const struct batch *batch)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < batch->count; i++) {
		const struct record *record = &batch->items[i].op->record;

		bytes += record_span((uint32_t)(record_head_size(record) - RECORD_HEADER_SIZE),
				     record->body_length);
	}
	return bytes;
}

int
batch_write(struct batch *batch, struct volume *volume, bool sync)
{
	static const unsigned char padding[RECORD_ALIGN];
	const uint8_t *secret = volume_secret(volume);
	uint64_t start = volume_end(volume), position = start, bytes = span(batch);
	unsigned char *head = batch->heads;
	struct iovec *iov = batch->iov;
	int err;

	for (unsigned i = 0; i < batch->count; i++) {
		struct batch_item *item = &batch->items[i];
		struct record *record = &item->op->record;
		size_t length;
		uint64_t end;
		size_t pad;

		record->batch = start;
		record->batch_length = (uint32_t)bytes;
		length = record_encode(record, secret, position, head);
		end = position + length + record->body_length;
		pad = (size_t)(-end & (RECORD_ALIGN - 1));

		item->op->volume = volume_number(volume);
		item->op->body = position + length;
		item->op->applied = 0;
		*iov++ = (struct iovec){head, length};
		memcpy(iov, &batch->bodies[item->body_iov], item->body_iovs * sizeof(*iov));
		iov += item->body_iovs;
		if (pad > 0)
			*iov++ = (struct iovec){(void *)padding, pad};
		head += length;
		position = end + pad;
	}
	err = volume_append(volume, batch->iov, (int)(iov - batch->iov), position - start, sync);
	if (err == 0 && sync)
		err = volume_sync(volume);
	if (err == 0)
		batch->items[batch->count - 1].op->applied = volume_end(volume);
	else
		volume_cut(volume, start);
	return err;
}

void
batch_clear(struct batch *batch)
{
	batch->count = batch->nbodies = 0;
	batch->body_bytes = 0;
	batch->head_bytes = 0;
}
