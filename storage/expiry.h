/* expiry.h - objects whose time is over, by a clock that a step of the wall clock cannot move.
 *
 * Invariant 16. The clock is the wall clock as it was at the start, driven on by the clock that counts
 * since boot (also through a suspend), and led back slowly when the two drift apart. If they are further apart than
 * EXPIRY_STEP_MS, the wall clock was set: nothing expires then, until it is set back or the server is
 * started again, by which the operator says that it is right now. The same while the wall clock is
 * behind the newest object, which it was at the start then.
 *
 * Threads  expiry_run: the reclaimer. expiry_now_ms: any.
 */
#ifndef SPILLWAY_STORAGE_EXPIRY_H
#define SPILLWAY_STORAGE_EXPIRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define EXPIRY_STEP_MS 60000
#define EXPIRY_SLEW 20 /* the clock is led by at most one part in this of what has passed */

struct reclaim;

struct expiry {
	_Atomic int64_t offset_ms; /* our clock is boot + offset; the reclaimer's */
	_Atomic bool paused;       /* the reclaimer's */
	int64_t seen_ms;           /* boot time of the last look */
	int64_t not_before_ms;     /* the wall clock is wrong while it is before this */
};

/* Begins at the wall clock. NEWEST_MS is the time of the newest object, or 0. Says so if nothing can expire. */
void expiry_init(struct expiry *expiry, int64_t newest_ms, int64_t wall_ms, int64_t boot_ms);

/* Looks at both clocks. Says when it pauses and when it goes on. */
void expiry_look(struct expiry *expiry, int64_t wall_ms, int64_t boot_ms);

/* The time by which objects expire. */
int64_t expiry_now_ms(const struct expiry *expiry);

/* Whether EXPIRES_MS (0: never) is over. Never while paused. */
bool expiry_is_over(const struct expiry *expiry, int64_t expires_ms);

/* Removes what is due, up to a bound; true if there was more. */
bool expiry_run(struct reclaim *r);

#endif
