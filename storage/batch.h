/* batch.h - the records that are written and synced together.
 *
 * Threads  the persister's only.
 * Owns     its buffers and the index operations of its items, until batch_clear or
 *          somebody takes them. Bodies are referred to, not copied.
 */
#ifndef SPILLWAY_STORAGE_BATCH_H
#define SPILLWAY_STORAGE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "storage/indexer.h"
#include "storage/record.h"

#define BATCH_ITEMS 1024
#define BATCH_IOVS 4096
#define BATCH_HEADS ((size_t)512 * 1024)
#define BATCH_BODIES ((uint64_t)8 << 20)

struct save;
struct relog;
struct volume;
struct table_entry;

struct batch_item {
	struct index_op *op;         /* with the record */
	struct save *save;           /* whose bytes these are; NULL for a tombstone */
	struct relog *relog;         /* what is written again; or NULL */
	struct table_entry *entry;   /* whose logged_seq this moved; or NULL */
	uint64_t former_seq;         /* what it was before */
	bool was_opened, was_hidden; /* an OPEN's save, before */
	unsigned body_iov;           /* of the batch's body iovecs */
	unsigned body_iovs;
};

struct batch {
	struct batch_item items[BATCH_ITEMS];
	unsigned count;
	struct iovec bodies[BATCH_IOVS];
	unsigned nbodies;
	uint64_t body_bytes;
	size_t head_bytes; /* at most, when encoded */

	/* of batch_write */
	unsigned char heads[BATCH_HEADS];
	struct iovec iov[2 * BATCH_ITEMS + BATCH_IOVS];
};

/* Bytes that the batch will take in a volume, at most. */
uint64_t batch_bytes(const struct batch *batch);

/* Room for one more record with a body of BODY bytes in up to IOVS pieces. */
bool batch_fits(const struct batch *batch, uint64_t body, unsigned iovs);

/* Appends an item for OP; its body, op->record.body_length bytes, was put at the end of the body iovecs
 * as IOVS pieces by the caller (batch->bodies[batch->nbodies]...). batch_fits was true. */
struct batch_item *batch_add(struct batch *batch, struct index_op *op, unsigned iovs);

/* Encodes and appends everything to VOLUME, and syncs it if SYNC. Sets volume, body and applied in the
 * items' operations. 0 or -errno; after an error VOLUME, which ends before the batch again, is not to be
 * written to any more. */
int batch_write(struct batch *batch, struct volume *volume, bool sync);

/* Forgets the items. */
void batch_clear(struct batch *batch);

#endif
