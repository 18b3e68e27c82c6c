/* list.h - LIST, and GET /list on the admin listener: every path that begins with a prefix.
 *
 *   PAGING --letter--> SENDING --drained--> PAGING ... until the last page
 *
 * One page of rows is in memory at a time, whatever the length of the list.
 *
 * Deadlines: the store answers letters; SENDING has the bufferevent's send_timeout.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_LIST_H
#define SPILLWAY_HTTP_LIST_H

#include "http/conn.h"

/* Answers with the list of PREFIX. QUERY may hold format=text|ndjson, limit=N, after=PATH. */
void list_start(struct conn *conn, const char *prefix, struct slice query);

#endif
