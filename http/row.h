/* row.h - one object of a list, as a line of text or of JSON.
 *
 * Threads  any; pure functions of their arguments.
 */
#ifndef SPILLWAY_HTTP_ROW_H
#define SPILLWAY_HTTP_ROW_H

struct evbuffer;
struct listing_row;

/* Appends the path and a newline; paths hold no control bytes. 0 or -ENOMEM. */
int row_text(const struct listing_row *row, struct evbuffer *out);

/* Appends {"path":...,"size":...,"type":...,"mtime":...,"etag":...,"state":...,"expires":...} and a
 * newline. Times are RFC 3339 in UTC; etag is as in the ETag header; what there is not is null.
 * Bytes that are no UTF-8 become U+FFFD. 0 or -ENOMEM. */
int row_ndjson(const struct listing_row *row, struct evbuffer *out);

#endif
