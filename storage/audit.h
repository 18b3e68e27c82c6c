/* audit.h - looks at a data directory that no server uses, and says what is damaged in it.
 *
 * Makes a catalog of all its volumes in a scratch file, verifying every record on the way; then reads every
 * object by that catalog; then brings a copy of the directory's own catalog up to date and compares the two. The
 * format is read by the code that serves (replay.h, catalog.h). Nothing in the directory is changed.
 *
 * Threads  one.
 * Owns     scratch files in a folder of its own, until audit_close.
 */
#ifndef SPILLWAY_STORAGE_AUDIT_H
#define SPILLWAY_STORAGE_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audit;
struct catalog_row;

/* Called while it works; LINE has no newline. */
struct audit_witness {
	void (*damage)(void *arg, const char *line);
	void (*note)(void *arg, const char *line); /* worth a line, but no damage */
	void (*progress)(void *arg, const char *what, uint64_t done, uint64_t of);
	void *arg;
};

struct audit_counts {
	uint64_t volumes, records_damaged, objects, bytes, incomplete, objects_harmed;
};

/* Opens DIR. LOCK: refuses one that is in use, and keeps a server from starting. SCRATCH is a folder for
 * temporary files. 0, or -errno with a sentence in WHY; -EBUSY: a server uses it. */
int audit_open(const char *dir, const char *scratch, bool lock, const struct audit_witness *witness,
	       char *why, size_t why_size, struct audit **out);
void audit_close(struct audit **audit);

/* Reads all volumes. First of all. Errors as above: damage is none. */
int audit_volumes(struct audit *audit, char *why, size_t why_size);

/* Reads every object, and compares it with its ETag. */
int audit_objects(struct audit *audit, char *why, size_t why_size);

/* Compares the directory's catalog with what the volumes say. */
int audit_catalog(struct audit *audit, char *why, size_t why_size);

/* Puts the catalog that audit_volumes made in the place of the directory's own. */
int audit_replace_catalog(struct audit *audit, char *why, size_t why_size);

/* Calls VISIT for each object whose path begins with PREFIX, in byte order, until it returns other than 0, which is
 * returned. Rows have extents. */
int audit_each(struct audit *audit, const char *prefix,
	       int (*visit)(void *arg, const struct catalog_row *row), void *arg);

/* The bytes of ROW, a piece at a time, to SINK. 0; -EBADMSG: they are not those of the upload; -EIO, -ENOENT,
 * or what SINK returned. */
int audit_read(struct audit *audit, const struct catalog_row *row,
	       int (*sink)(void *arg, const void *bytes, size_t length), void *arg);

/* What was found so far. */
const struct audit_counts *audit_counts(const struct audit *audit);

#endif
