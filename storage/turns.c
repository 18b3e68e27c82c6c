#include "storage/turns.h"

#include "base/clock.h"
#include "storage/batch.h"
#include "storage/persister.h"

#define SAVE_WITHIN_MS 750                /* a byte is due to be written after this */
#define SAVE_EARLY_MS 500                 /* what is due so soon may come along with a batch */
#define SAVE_SHARE ((uint64_t)4 << 20)    /* of a batch: one of several in a list */
#define GROW_SHARE ((uint64_t)512 * 1024) /* of a batch: what nobody waits for, while others do */
#define GROW_ITEMS (BATCH_ITEMS / 4)      /* the same */
#define GROW_LATE_MS 250 /* what has been due for so long goes first: a second in all */
#define AWAITED_MS 1000  /* who came so lately is not the last to wait */

void
turns_init(struct turns *turns)
{
	*turns = (struct turns){.awaited_ms = 0};
	for (unsigned i = 0; i < SAVE_PLACES; i++)
		TAILQ_INIT(&turns->lists[i]);
}

/* Puts SAVE behind the others of PLACE. */
static void
move_to(struct turns *turns, struct save *save, enum save_place place)
{
	if (save->place != SAVE_NOWHERE)
		TAILQ_REMOVE(&turns->lists[save->place], save, link);
	save->place = place;
	if (place != SAVE_NOWHERE)
		TAILQ_INSERT_TAIL(&turns->lists[place], save, link);
}

/* Puts SAVE, which has nothing to be written at once, where its next due time says. */
static void
wait_until_due(struct turns *turns, struct save *save)
{
	save->due_ms = clock_mono_ms() + SAVE_WITHIN_MS;
	move_to(turns, save, SAVE_WAITS);
}

/* SAVE has a piece to be written, due since DUE_MS. */
static void
make_ready(struct turns *turns, struct save *save, int64_t due_ms)
{
	save->due_ms = due_ms;
	move_to(turns, save, SAVE_IS_READY);
}

void
turns_grown(struct turns *turns, struct save *save)
{
	if (save->place == SAVE_IS_AWAITED)
		return;
	if (atomic_exchange(&save->urgent, false) && save_unsaved(save) > 0)
		move_to(turns, save, SAVE_IS_AWAITED);
	else if (save->place == SAVE_IS_READY)
		return;
	else if (save_unsaved(save) >= PERSIST_PIECE)
		make_ready(turns, save, clock_mono_ms());
	else if (save->place == SAVE_NOWHERE)
		wait_until_due(turns, save);
}

void
turns_ended(struct turns *turns, struct save *save)
{
	save->is_ended = true;
	move_to(turns, save, SAVE_IS_AWAITED);
}

int
turns_collect(struct turns *turns)
{
	int64_t now = clock_mono_ms();
	struct save *save;

	while ((save = TAILQ_FIRST(&turns->lists[SAVE_WAITS])) != NULL) {
		if (save->due_ms > now)
			return (int)(save->due_ms - now);
		if (save_unsaved(save) > 0)
			make_ready(turns, save, save->due_ms);
		else
			wait_until_due(turns, save);
	}
	return -1;
}

bool
turns_are_wanted(const struct turns *turns)
{
	return !TAILQ_EMPTY(&turns->lists[SAVE_IS_READY]) ||
	       !TAILQ_EMPTY(&turns->lists[SAVE_IS_AWAITED]);
}

bool
turns_are_over(const struct turns *turns)
{
	return TAILQ_EMPTY(&turns->lists[SAVE_WAITS]);
}

/* SAVE gave all the bytes it had. */
static void
leave_turn(struct turns *turns, struct save *save)
{
	if (save->is_ended)
		move_to(turns, save, SAVE_IS_ENDING);
	else
		wait_until_due(turns, save);
}

/* What a list may take of a batch, which has less than this before each turn. */
struct share {
	uint64_t bytes;
	unsigned items;
	int64_t until_ms; /* what is due later has no turn */
};

/* Each in PLACE has one turn. Who did not give all waits behind those who had none. */
static void
take_turns(struct turns *turns, enum save_place place, struct share share, struct batch *batch,
	   XXH3_state_t *state)
{
	struct save_list *list = &turns->lists[place];
	struct save *last = TAILQ_LAST(list, save_list), *save, *next;
	bool more = last != NULL, alone = last == TAILQ_FIRST(list);
	uint64_t most;

	for (save = TAILQ_FIRST(list); more; save = next) {
		next = TAILQ_NEXT(save, link);
		more = save != last && next != NULL;
		if (batch->body_bytes >= share.bytes || batch->count >= share.items ||
		    save->due_ms > share.until_ms || !batch_fits(batch, RECORD_BODY_MAX, SAVE_IOVS))
			return;
		most = share.bytes - batch->body_bytes;
		if (!alone && most > SAVE_SHARE)
			most = SAVE_SHARE;
		if (save_take(save, batch, state, most))
			leave_turn(turns, save);
		else
			move_to(turns, save, place);
	}
}

/* Those who are waited for can't take all of it either: an upload that outruns the disk always waits for room. What is
 * due soon comes along with a sync that is paid for already; so streams that began together do not stay together. */
void
turns_take(struct turns *turns, struct batch *batch, XXH3_state_t *state)
{
	int64_t now = clock_mono_ms();
	struct save *first = TAILQ_FIRST(&turns->lists[SAVE_IS_READY]);
	struct share late = {BATCH_BODIES / 2, BATCH_ITEMS / 2, now};
	/* One more MiB is left, for the last of them may give a record too much. */
	struct share awaited = {BATCH_BODIES - GROW_SHARE - RECORD_BODY_MAX,
				BATCH_ITEMS - GROW_ITEMS, INT64_MAX};
	struct share rest = {BATCH_BODIES, BATCH_ITEMS, now};

	if (!TAILQ_EMPTY(&turns->lists[SAVE_IS_AWAITED]))
		turns->awaited_ms = now;
	if (first != NULL && now - first->due_ms > GROW_LATE_MS)
		take_turns(turns, SAVE_IS_READY, late, batch, state);
	take_turns(turns, SAVE_IS_AWAITED, awaited, batch, state);
	if (now - turns->awaited_ms < AWAITED_MS)
		rest.bytes = batch->body_bytes + GROW_SHARE;
	take_turns(turns, SAVE_IS_READY, rest, batch, state);
	rest.until_ms = now + SAVE_EARLY_MS;
	take_turns(turns, SAVE_WAITS, rest, batch, state);
}

struct save *
turns_next_ending(struct turns *turns)
{
	struct save *save = TAILQ_FIRST(&turns->lists[SAVE_IS_ENDING]);

	if (save != NULL)
		move_to(turns, save, SAVE_NOWHERE);
	return save;
}

void
turns_take_back(struct turns *turns)
{
	struct save *save;

	while ((save = TAILQ_FIRST(&turns->lists[SAVE_IS_ENDING])) != NULL)
		move_to(turns, save, SAVE_IS_AWAITED);
}

void
turns_give_up(struct turns *turns)
{
	struct save *save;

	while ((save = TAILQ_FIRST(&turns->lists[SAVE_IS_READY])) != NULL ||
	       (save = TAILQ_FIRST(&turns->lists[SAVE_IS_AWAITED])) != NULL)
		leave_turn(turns, save);
}
