/* replay.h - brings the catalog up to date with the volumes, at the start.
 *
 * The volumes are the truth: what the catalog has not applied yet is read from them; a catalog that is
 * missing or damaged is made anew from all of them (invariant 8). Bodies in the part that is read are
 * verified: a record whose body is torn is no record.
 *
 * Threads  before any other thread of the store runs.
 */
#ifndef SPILLWAY_STORAGE_REPLAY_H
#define SPILLWAY_STORAGE_REPLAY_H

#include <stddef.h>

struct store;

/* Opens store->catalog, with store->volumes open already, and applies what it lacks. Also sets
 * store->last_number. 0, or -errno with a sentence in WHY. */
int replay(struct store *store, char *why, size_t why_size);

#endif
