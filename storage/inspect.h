/* inspect.h - reads a whole catalog in a child process.
 *
 * LMDB has no checksums and trusts what it reads: a damaged file may crash it. A child may crash.
 *
 * Threads  inspect_start: one that lives as long as the child should, for the child dies with it. The rest: any,
 *          one at a time, but inspect_kill.
 */
#ifndef SPILLWAY_STORAGE_INSPECT_H
#define SPILLWAY_STORAGE_INSPECT_H

#include <stdbool.h>
#include <stddef.h>

struct inspect;

/* Begins to read the catalog in file PATH; ALONE as in catalog.h. 0 or -errno: there is no child. */
int inspect_start(const char *path, bool alone, struct inspect **out);

/* Waits for the result, MS milliseconds (-1: until it comes).
 *   0         it is sound
 *   -EAGAIN   not known yet
 *   -ECANCELED  not known: the child was killed
 *   -EBADMSG  it is damaged, or LMDB crashed: WHY says what is wrong
 *   others    of catalog_open_to_read
 */
int inspect_wait(struct inspect *inspect, int ms, char *why, size_t why_size);

/* From now on it gives way to everything else. */
void inspect_yield(struct inspect *inspect);

/* Ends the child; who waits is told -ECANCELED. */
void inspect_kill(struct inspect *inspect);

/* The same, and frees it. Accepts a pointer to NULL. */
void inspect_stop(struct inspect **inspect);

#endif
