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

struct volumes_sum {
	uint64_t bytes; /* on disk */
	size_t count;
};

struct volumes {
	int dirfd;            /* of DIR/volumes */
	uint64_t volume_size; /* of new ones */
	bool sync;
	bool read_only;       /* nothing is tidied up */
	pthread_mutex_t lock; /* guards the rest */
	struct volumes_slot *table;
	uint32_t next;                  /* number of the next new volume */
	struct volumes_sum all, sealed; /* sealed: those that are not active */
	uint64_t ahead; /* bytes that are allocated to the active one, and not written */
};

/* What is known of one volume file. */
struct volumes_info {
	uint32_t number;
	bool active;    /* records are still appended to it */
	uint64_t bytes; /* that it takes on disk */
	uint64_t end;   /* what was appended in this run lies before this; 0: nothing was */
	int64_t used_ms; /* last written or read, by the monotonic clock; below 0: before that began */
};

/* Opens (or creates) the folder "volumes" under DIRFD. 0 or -errno. */
int volumes_init(struct volumes *volumes, int dirfd, uint64_t volume_size, bool sync);

/* Opens the one that is there, to read. 0 or -errno. */
int volumes_init_to_read(struct volumes *volumes, int dirfd);

void volumes_destroy(struct volumes *volumes);

/* Finds all volume files. Their numbers, ascending, in *NUMBERS, which the caller frees. Removes drafts that a
 * crash left behind. Also sets the next number behind the highest. 0 or -errno. */
int volumes_enumerate(struct volumes *volumes, uint32_t **numbers, size_t *count);

/* A reference to volume NUMBER. Errors of volume_open; -ENOENT also for one that was removed. */
int volumes_open(struct volumes *volumes, uint32_t number, struct volume **out);

/* A new, empty, active volume, known to the set. Errors of volume_create. */
int volumes_create(struct volumes *volumes, struct volume **out);

/* No new volume will have NUMBER, or a lower one. */
void volumes_reserve(struct volumes *volumes, uint32_t number);

/* Its appender: VOLUME has grown; everything before volume_end is synced. */
void volumes_grown(struct volumes *volumes, const struct volume *volume);

/* Its appender: nothing is written to VOLUME any more. */
void volumes_seal(struct volumes *volumes, struct volume *volume);

/* All volume files, ascending by number; the caller frees *LIST. 0 or -ENOMEM. */
int volumes_list(struct volumes *volumes, struct volumes_info **list, size_t *count);

/* Bytes that all volumes take on disk, and their number. */
uint64_t volumes_bytes(struct volumes *volumes, size_t *count);

/* The same without what is only allocated. */
uint64_t volumes_written_bytes(struct volumes *volumes);

/* Bytes and number of those that are not active. */
uint64_t volumes_sealed_bytes(struct volumes *volumes, size_t *count);

/* Unlinks volume NUMBER, which is not active, durably. Who has it open may go on reading; the disk has
 * its space back when the last of them let go. 0 or -errno: then it is still there. */
int volumes_remove(struct volumes *volumes, uint32_t number);

/* Takes what is at END and behind it off volume NUMBER: a batch that was never synced, or nothing at all. At the
 * start only, before anybody reads it. 0 or -errno. */
int volumes_cut(struct volumes *volumes, uint32_t number, uint64_t end);

#endif
