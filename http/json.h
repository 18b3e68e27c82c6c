/* json.h - what jansson does not know of our values.
 *
 * Threads  any; pure functions of their arguments.
 * Owns     the caller owns what is returned; NULL without memory, which jansson's functions take.
 */
#ifndef SPILLWAY_HTTP_JSON_H
#define SPILLWAY_HTTP_JSON_H

#include <event2/buffer.h>
#include <jansson.h>
#include <stdint.h>

/* TEXT, of any bytes, a path at most, as a string: bytes that are no UTF-8 become U+FFFD. */
json_t *json_bytes(const char *text);

/* MS since the epoch as RFC 3339 has it, in UTC. */
json_t *json_time(int64_t ms);

/* Appends the text of JSON. 0, or -1 without memory. */
int json_add(json_t *json, struct evbuffer *out);

#endif
