/* transfer.h - copies one version: reads its bytes, verifies them, hands their records to the persister.
 *
 * Threads  the reclaimer.
 * Owns     its copy; what the persister has is freed with its answer, reclaim_await waits for these.
 */
#ifndef SPILLWAY_STORAGE_TRANSFER_H
#define SPILLWAY_STORAGE_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

struct reclaim;
struct transfer;

/* Errors of copy_open. */
int transfer_begin(struct reclaim *r, const char *path, uint64_t id, struct transfer **out);

/* Hands over the next bytes, at most RECORD_BODY_MAX. Their number; *ENDS when there are no more: then the
 * transfer is not the caller's any more, and its result is told to r->transfers.
 *   -EBADMSG  the bytes on disk are not what was written
 *   -ENOMEM, -errno of the volume
 */
int64_t transfer_step(struct transfer *transfer, bool *ends);

/* It is not finished; waits for what the persister has of it. Accepts a pointer to NULL. */
void transfer_abandon(struct transfer **transfer);

#endif
