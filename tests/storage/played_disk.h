/* played_disk.h - a disk that waits, fails or is full when a test wants it: a program that links it stands
 * before the C library's fdatasync and fallocate of volume files.
 *
 * Threads  any. A test sets the fields and reads them.
 */
#ifndef SPILLWAY_TESTS_STORAGE_PLAYED_DISK_H
#define SPILLWAY_TESTS_STORAGE_PLAYED_DISK_H

struct fixture;

struct played_disk {
	_Atomic int gate_closed;     /* syncs wait */
	_Atomic int passes;          /* but so many go through the closed gate */
	_Atomic int waiting;         /* syncs that do */
	_Atomic int failing_syncs;   /* so many fail with EIO; -1: all */
	_Atomic int full;            /* fallocate says ENOSPC */
	_Atomic int syncs;           /* of volumes */
	_Atomic int syncs_of_failed; /* of a file whose sync failed before */
	char failed_file[256];
};

extern struct played_disk disk;

/* Nothing waits, fails or is full any more. */
void disk_heal(void);
/* The same, until F's store has seen it. */
void disk_heal_and_wait(struct fixture *f);

/* With the gate closed: waits until a sync stands before it. */
void disk_await_sync(void);

/* cmocka's setup and teardown: a fixture whose store syncs to a disk that is well, and counts from zero. */
int disk_setup(void **state);
int disk_teardown(void **state);

#endif
