/* turns.h - whose bytes are in the next batch, when more wait than it takes.
 *
 * Who waits for an answer or for room goes before what grows, which has a small share of each batch meanwhile, and
 * half of it when it is late: 500 streams of 256 KiB/s are no reason for a playlist to wait.
 *
 * Threads  the persister's only.
 * Owns     no save: each is in one list at most.
 */
#ifndef SPILLWAY_STORAGE_TURNS_H
#define SPILLWAY_STORAGE_TURNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <xxhash.h>

#include "storage/save.h"

struct batch;

TAILQ_HEAD(save_list, save);

struct turns {
	/* By place. Those in SAVE_WAITS by due_ms, or behind others that are due later. */
	struct save_list lists[SAVE_PLACES];
	int64_t awaited_ms; /* mono; when somebody was last waited for */
};

void turns_init(struct turns *turns);

/* SAVE has more than when it was last looked at. */
void turns_grown(struct turns *turns, struct save *save);

/* SAVE has all it will have, and its end is known. */
void turns_ended(struct turns *turns, struct save *save);

/* Makes ready what is due; the milliseconds until the next is, or -1. */
int turns_collect(struct turns *turns);

/* Whether somebody has something for a batch. */
bool turns_are_wanted(const struct turns *turns);

/* Whether nothing grows any more. */
bool turns_are_over(const struct turns *turns);

/* Fills what is left of BATCH. STATE is for hashing. */
void turns_take(struct turns *turns, struct batch *batch, XXH3_state_t *state);

/* One of those whose end is in the batch, which leaves; NULL behind the last. */
struct save *turns_next_ending(struct turns *turns);

/* The batch was rolled back, and is to be made again: those whose end was in it wait as before. */
void turns_take_back(struct turns *turns);

/* After a failure nothing is retried at once: who ended is ending and gets an answer, what still grows has its next
 * turn when it is due. */
void turns_give_up(struct turns *turns);

#endif
