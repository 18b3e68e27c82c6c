/* simdisk.h - a simulated disk: what a power cut may leave of everything a program did to its files.
 *
 * Calls that change files below one directory are noted in a journal, in their order, with their bytes
 * (simdisk_calls.c stands in front of the C library for them, also for LMDB's), and then done. A sync is
 * only noted. From the journal simdisk_image makes, for any moment and any seed, a directory as a disk could
 * show it after the power went at that moment: all that was synced, and of the rest any part. Sectors are
 * lost and written in any order, sizes and names lag behind, and a lost sector may hold noise.
 *
 * The journal is shared memory: processes may write it one after the other, each of which may die.
 *
 * Threads  recording: any. Everything else: one.
 * Units    moments count events: an image at moment N knows events 0 to N - 1.
 */
#ifndef SPILLWAY_TESTS_CRASH_SIMDISK_H
#define SPILLWAY_TESTS_CRASH_SIMDISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define SIMDISK_EVENTS (1u << 17)
#define SIMDISK_NODES (1u << 12)
#define SIMDISK_NAME 32
#define SIMDISK_SECTOR 512u

enum simdisk_kind {
	SIMDISK_WRITE,    /* of node: length bytes at offset */
	SIMDISK_SIZE,     /* of node: it is cut or extended to offset */
	SIMDISK_ALLOCATE, /* of node: it is at least offset long */
	SIMDISK_CREATE,   /* in directory: name is node */
	SIMDISK_RENAME,   /* in directory: name becomes to, which is node */
	SIMDISK_UNLINK,   /* in directory: name, which was node, is no more */
	SIMDISK_SYNC,     /* of node: what was done to it before event `since` is on disk */
	SIMDISK_SYNC_ONE, /* of node: event `since` is on disk */
	SIMDISK_NOTE,     /* the program says something */
};

struct simdisk_event {
	enum simdisk_kind kind;
	uint32_t node;
	uint32_t directory;
	uint32_t since;
	uint64_t offset;
	uint64_t length;
	uint64_t bytes; /* where they are in the arena */
	char name[SIMDISK_NAME];
	char to[SIMDISK_NAME];
};

/* Node 0 is the directory that is recorded. */
struct simdisk_node {
	bool is_directory;
	bool is_volume;     /* its lost sectors may hold noise */
	uint32_t directory; /* where its name is now, as programs see it; node 0 for none */
	char name[SIMDISK_NAME];
};

struct simdisk {
	_Atomic uint32_t count; /* of events */
	uint32_t nodes;
	uint64_t used; /* of the arena */
	uint64_t room;
	uint32_t deadline; /* the process is killed when this many events have happened */
	unsigned sync_us;  /* how long a sync takes */
	struct simdisk_node node[SIMDISK_NODES];
	struct simdisk_event event[SIMDISK_EVENTS];
	unsigned char arena[];
};

/* An empty disk with ROOM for the bytes of all writes. Exits if there is no memory. */
struct simdisk *simdisk_new(uint64_t room);

/* From now on this process's calls below ROOT, an absolute path that exists, are recorded. A process that comes
 * after another one goes on where that one died. */
void simdisk_record(struct simdisk *disk, const char *root);

/* Adds a note; its moment is one more than what is returned. */
uint32_t simdisk_note(struct simdisk *disk);

/* How sectors, sizes and names fare. */
struct simdisk_fate {
	uint64_t seed;
	unsigned kept;  /* of 100 pieces that were not synced, this many are there */
	unsigned piece; /* sectors that share a fate */
	bool ordered; /* names and sizes change in the order they were changed in, as with a journal */
	bool noise; /* a lost sector of a volume may hold anything */
};

struct simdisk_fate simdisk_choose_fate(uint64_t seed);

/* Makes TARGET, which must not exist, as the disk may be at MOMENT. 0 or -errno. */
int simdisk_image(const struct simdisk *disk, uint32_t moment, const struct simdisk_fate *fate,
		  const char *target);

/* A number from SEED, which moves on. */
uint64_t simdisk_random(uint64_t *seed);

#endif
