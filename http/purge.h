/* purge.h - DELETE /list?prefix=... on the admin listener: deletes every object under a prefix.
 *
 *   PAGING --letter--> DELETING --all rows of the page deleted--> PAGING ... until the last page
 *
 * One page of rows is in memory, and PURGE_SLOTS deletions are under way at a time. What begins under the prefix
 * meanwhile may escape. Once begun it goes on to its end, also when the client leaves, unless the
 * server stops.
 *
 * Deadlines: the store answers letters.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_PURGE_H
#define SPILLWAY_HTTP_PURGE_H

#include "http/conn.h"

#define PURGE_SLOTS 64

/* Deletes what is under PREFIX, which is copied, and answers with the number of the objects. */
void purge_start(struct conn *conn, const char *prefix);

#endif
