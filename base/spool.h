/* spool.h - lines on their way to a file, written by a thread of their own that may wait for the disk.
 *
 * Who has a line copies it into a buffer of its own, which is swapped and written some ten times a
 * second. When that is full, because the disk does not answer, lines are dropped and counted
 * (spillway_access_log_dropped_total): nothing waits.
 *
 * Threads  spool_put from any thread, each with a slot of its own; the rest from the main thread.
 * Owns     the file, SPOOL_BYTES twice for each slot, and the thread.
 */
#ifndef SPILLWAY_BASE_SPOOL_H
#define SPILLWAY_BASE_SPOOL_H

#include <stddef.h>

struct spool;

#define SPOOL_BYTES ((size_t)256 << 10)

/* Appends to the file PATH, which is created if missing, or writes to standard error if that is NULL.
 * 0 or -errno. */
int spool_open(const char *path, unsigned slots, struct spool **out);

/* Adds LINE, which ends in a newline. */
void spool_put(struct spool *spool, unsigned slot, const char *line, size_t length);

/* Goes on in a new file of the same name; the old one may have been renamed. No line is lost. If it can't be
 * opened, the old one is used on, and the log says why. */
void spool_reopen(struct spool *spool);

/* Writes what is there, joins the thread, closes. Accepts a pointer to NULL. */
void spool_close(struct spool **spool);

#endif
