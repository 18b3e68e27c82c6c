/* settings.h - what requests go by, and a reload replaces: one snapshot, shared by reference.
 *
 * A snapshot is filled by settings_new's caller and never changes once it was given to a server. Each
 * worker holds a reference to the present one (worker->settings), so that a request reads it without a
 * lock; a request that needs it for longer than the turn of the loop holds one of its own.
 *
 * Threads  settings_get and settings_put any; the rest is read only.
 * Owns     everything in it.
 * Units    bytes, milliseconds.
 */
#ifndef SPILLWAY_HTTP_SETTINGS_H
#define SPILLWAY_HTTP_SETTINGS_H

#include <stdatomic.h>
#include <stdint.h>

#include "http/rules.h"
#include "http/secrets.h"
#include "http/verdicts.h"

struct settings {
	struct rules *rules;
	struct secrets *users, *tokens; /* NULL without a file: then no rule asks for one */
	struct verdicts *verdicts;      /* on passwords of users; it alone changes, and knows how */
	uint64_t object_max;            /* of one object; 0: no limit */
	unsigned connections_max;       /* 0: as many as the descriptors allow */
	unsigned connections_per_address; /* 0: no limit */
	int64_t head_timeout_ms;          /* a request head must be whole within this */
	int64_t ingest_idle_ms; /* a PUT, or a kept-alive connection, may be silent for this long */
	int64_t send_timeout_ms; /* a reader may take nothing for this long */
	int64_t drain_ms;        /* server_stop waits this long for replies in flight */

	_Atomic unsigned references; /* private */
};

/* All zeros, with the built-in rules, no verdict yet and one reference. NULL when there is no memory. */
struct settings *settings_new(void);

/* One more reference. */
struct settings *settings_get(struct settings *settings);

/* Gives a reference back, the last one frees all, and leaves NULL. Accepts a pointer to NULL. */
void settings_put(struct settings **settings);

#endif
