/* survivors.h - the versions that need a volume, found by a walk over its records.
 *
 * Threads  the reclaimer.
 */
#ifndef SPILLWAY_STORAGE_SURVIVORS_H
#define SPILLWAY_STORAGE_SURVIVORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reclaim;
struct volume;

struct survivor {
	uint64_t id;
	uint64_t size;      /* of all its bytes, wherever they are; 0 while it is under way */
	int64_t expires_ms; /* 0: never */
	bool underway;      /* somebody writes it, or goes on with it */
	char *path;
};

struct survivors {
	struct survivor *list; /* by id: the oldest first */
	size_t count, size;
};

/* Finds those that are current or under way and have a record in VOLUME, which is settled. End it with
 * survivors_free, also after an error. 0, -EINTR when the reclaimer is to stop, -errno. */
int survivors_find(struct reclaim *r, struct volume *volume, struct survivors *out);
void survivors_free(struct survivors *survivors);

#endif
