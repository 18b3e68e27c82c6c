/* live.h - a reader of an object that grows, or that stopped growing before its end.
 *
 *   SENDING --nothing more yet--> WAITING --grown--> SENDING
 *   SENDING --socket full--> BLOCKED --writable--> SENDING
 *   SENDING --bytes on disk only--> WARMING --read--> SENDING
 *   any --all that was asked for sent, or object complete--> final chunk; --incomplete, deleted, damaged--> cut
 *
 * Each part goes straight to the socket, size line, bytes and CRLF in one sendmsg; nothing is queued
 * anywhere and nothing is pinned while the socket is full: the reader remembers how much of the
 * chunk is out, and reads the rest again from the object.
 *
 * Deadlines: BLOCKED has send_timeout. WAITING ends with the writer, whose silence is bounded by
 * ingest_idle, or with the client leaving. WARMING is one job of the store's pool.
 *
 * Threads  the worker's.
 */
#ifndef SPILLWAY_HTTP_LIVE_H
#define SPILLWAY_HTTP_LIVE_H

#include "http/conn.h"

struct object;

#define LIVE_OPEN UINT64_MAX

/* Serves the bytes of OBJECT from FIRST, which is not beyond its present end, up to END (or LIVE_OPEN),
 * taking over the reference. CODE is 200 or 206; headers of the representation were added. */
void live_start(struct conn *conn, struct object *object, int code, uint64_t first, uint64_t end);

#endif
