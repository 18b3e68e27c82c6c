/* handover.h - who goes on with a path when its writer vanishes or falls silent.
 *
 * A live version whose sender vanished is parked for the resume window: its readers go on waiting, and
 * another sender may go on with it. A second writer that came while the first was at work (a rival) takes
 * over at once when the first one vanishes, or says nothing for the takeover time. So two
 * redundant encoders never stop each other, and no reader waits for a dead one.
 *
 * Threads  handover_tick: the persister. The rest: any, with the entry's shard locked.
 */
#ifndef SPILLWAY_STORAGE_HANDOVER_H
#define SPILLWAY_STORAGE_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

struct store;
struct table_entry;
struct table_shard;
struct writer;

/* Whether somebody is writing ENTRY's current version, and not silent. */
bool handover_is_written(const struct store *store, const struct table_entry *entry,
			 int64_t now_ms);

/* Whether ENTRY's current version waits for a sender that goes on with it. */
bool handover_is_parked(const struct table_entry *entry);

/* WRITER lost its sender, which MAY_RETURN or not. The writer is the store's now. */
void handover_vanished(struct table_shard *shard, struct writer *writer, bool may_return);

/* WRITER becomes one that takes over when the present one fails. */
void handover_add_rival(struct table_shard *shard, struct writer *writer);

/* WRITER ends: it is no rival and not the entry's writer any more. */
void handover_remove(struct table_shard *shard, struct writer *writer);

/* The parked writer of ENTRY, for a sender that goes on with it. There must be one. */
struct writer *handover_resume(struct table_shard *shard, struct table_entry *entry);

/* Nobody will go on with what is parked at ENTRY: its readers are cut. */
void handover_discard(struct table_shard *shard, struct table_entry *entry);

/* Ends the resume windows that are over, and lets rivals take over from the silent. About once a second. */
void handover_tick(struct store *store);

/* Discards everything that is parked. Before the persister stops. */
void handover_close(struct store *store);

#endif
