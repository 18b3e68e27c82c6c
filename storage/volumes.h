/* volumes.h - the set of volume files of a data directory.
 *
 * Threads  any; one short mutex, but volumes_open may read a header from disk.
 * Owns     a reference to every volume it has opened, until volumes_destroy.
 */
#ifndef SPILLWAY_STORAGE_VOLUMES_H
#define SPILLWAY_STORAGE_VOLUMES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/volume.h"

struct volumes {
	int dirfd;            /* of DIR/volumes */
	uint64_t volume_size; /* of new ones */
	bool sync;
	pthread_mutex_t lock; /* guards table and next */
	struct volumes_slot *table;
	uint32_t next; /* number of the next new volume */
};

/* Opens (or creates) the folder "volumes" under DIRFD. 0 or -errno. */
int volumes_init(struct volumes *volumes, int dirfd, uint64_t volume_size, bool sync);
void volumes_destroy(struct volumes *volumes);

/* The numbers of all volume files, ascending; the caller frees *NUMBERS. Removes drafts that a crash
 * left behind. Also sets the next number behind the highest. 0 or -errno. */
int volumes_enumerate(struct volumes *volumes, uint32_t **numbers, size_t *count);

/* A reference to volume NUMBER. Errors of volume_open. */
int volumes_open(struct volumes *volumes, uint32_t number, struct volume **out);

/* A new, empty volume, known to the set. Errors of volume_create. */
int volumes_create(struct volumes *volumes, struct volume **out);

#endif
