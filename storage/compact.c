#include "storage/compact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/reclaim_internal.h"
#include "storage/transfer.h"

#define SHARE ((uint64_t)1 << 20)    /* bytes on their way to disk together */
#define RECORD_COST ((uint64_t)4096) /* what the smallest one counts for in a share */
#define PAUSE 3                      /* times what the share took */
#define PAUSE_MAX_MS 2000
#define WORTH 4        /* a part of one in this may live */
#define WORTH_URGENT 2 /* the same when the disk is full */
#define QUIET_MS 2000
#define SOON_MS 600000    /* what expires so soon is left to do that */
#define LATER_MS 600000   /* before a volume that was tried is tried again */
#define UNDERWAY_MS 60000 /* the same if something in it was not complete yet */
#define NO_ROOM_MS 10000  /* the same if it was given up for want of room */
#define BURIED_MS 5000    /* a volume without survivors is gone after this, or something is wrong */
#define READ_LATELY_S 300

/* What is known of a volume that may be worth it. */
struct compact_note {
	uint32_t number;
	uint64_t live;         /* when it was last looked at */
	int64_t since_ms;      /* it has been that much since then */
	int64_t not_before_ms; /* it was tried */
	bool was_emptied;
};

void
compact_init(struct compact *c)
{
	atomic_init(&c->quiet_ms, QUIET_MS);
}

/* Whether a spare volume's room is there for BYTES that are to be copied. */
static bool
has_room(struct reclaim *r, uint64_t bytes)
{
	return !atomic_load(&r->store->full) && !atomic_load(&r->needed) &&
	       evict_may_copy(r->store) && persister_health(r->store->persister) == 0 &&
	       reclaim_is_room(r, bytes);
}

static struct compact_note *
note_of(struct compact *c, uint32_t number)
{
	for (size_t i = 0; i < c->nnotes; i++)
		if (c->notes[i].number == number)
			return &c->notes[i];
	return NULL;
}

static void
put_off(struct compact *c, uint32_t number, int64_t ms)
{
	struct compact_note *note = note_of(c, number);

	if (note != NULL)
		note->not_before_ms = ms == INT64_MAX ? ms : clock_mono_ms() + ms;
}

/* Ends the work on the present volume, which is tried again after MS. */
static void
leave(struct compact *c, int64_t ms)
{
	transfer_abandon(&c->transfer);
	put_off(c, c->volume, ms);
	survivors_free(&c->left);
	c->volume = 0;
	c->next = 0;
}

/* ---- which ----------------------------------------------------------------------- */

static bool
is_worth(const struct reclaim *r, const struct reclaim_volume *volume, unsigned worth)
{
	return reclaim_is_settled(volume) && !reclaim_is_shunned(r, volume) &&
	       (volume->at.live > 0 || volume->at.heads > 0) &&
	       volume->at.live <= volume->file.bytes / worth;
}

/* Looks at every volume of SURVEY, and forgets what is noted of others. */
static void
take_notes(struct reclaim *r, const struct reclaim_survey *survey)
{
	struct compact *c = &r->compact;
	struct compact_note *notes = calloc(survey->count + 1, sizeof(*notes));
	int64_t now = clock_mono_ms();
	size_t count = 0;

	if (notes == NULL)
		return;
	for (size_t i = 0; i < survey->count; i++) {
		const struct reclaim_volume *volume = &survey->volumes[i];
		struct compact_note *note = note_of(c, volume->file.number);

		if (!is_worth(r, volume, WORTH_URGENT))
			continue;
		notes[count] = note != NULL ? *note
					    : (struct compact_note){.number = volume->file.number,
								    .since_ms = now};
		if (note == NULL || note->live != volume->at.live) {
			notes[count].live = volume->at.live;
			notes[count].since_ms = now;
		}
		count++;
	}
	free(c->notes);
	c->notes = notes;
	c->nnotes = count;
}

/* The one with the least that lives, or NULL. */
static const struct reclaim_volume *
choose(struct reclaim *r, const struct reclaim_survey *survey, bool urgent)
{
	const struct reclaim_volume *best = NULL;
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < survey->count; i++) {
		const struct reclaim_volume *volume = &survey->volumes[i];
		const struct compact_note *note = note_of(&r->compact, volume->file.number);

		if (note == NULL || note->not_before_ms > now ||
		    !is_worth(r, volume, urgent ? WORTH_URGENT : WORTH) ||
		    (!urgent && now - note->since_ms < atomic_load(&r->compact.quiet_ms)))
			continue;
		if (best == NULL || volume->at.live < best->at.live)
			best = volume;
	}
	return best;
}

/* Whether it is right to copy what was found in a volume of BYTES; else *LATER_MS is when to ask again. */
static bool
judge(struct reclaim *r, const struct survivors *left, uint64_t bytes, bool urgent, uint64_t *due,
      int64_t *later_ms)
{
	int64_t soon = expiry_now_ms(&r->store->expiry) + SOON_MS;
	bool lasts = urgent;

	*due = 0;
	*later_ms = LATER_MS;
	for (size_t i = 0; i < left->count; i++) {
		const struct survivor *survivor = &left->list[i];

		*due += survivor->size + RECORD_COST;
		lasts |= survivor->expires_ms == 0 || survivor->expires_ms > soon;
		if (survivor->underway) {
			*later_ms = UNDERWAY_MS;
			return false;
		}
	}
	/* A version that is mostly elsewhere may be large. */
	return left->count > 0 && lasts && *due <= bytes / WORTH_URGENT && has_room(r, *due);
}

static bool
begin(struct reclaim *r, const struct reclaim_volume *chosen, bool urgent)
{
	struct compact *c = &r->compact;
	struct volume *volume;
	struct compact_note *note = note_of(c, chosen->file.number);
	int64_t later_ms = LATER_MS;
	int err = volumes_open(&r->store->volumes, chosen->file.number, &volume);

	if (note != NULL)
		note->was_emptied = false; /* else it would not be chosen again */
	c->volume = chosen->file.number;
	c->bytes = chosen->file.bytes;
	if (err == 0) {
		err = survivors_find(r, volume, &c->left);
		volume_put(&volume);
	}
	if (err == 0 && judge(r, &c->left, c->bytes, urgent, &c->due, &later_ms))
		return true;
	if (err != 0 && err != -EINTR)
		log_error(
			"can't read a volume that is mostly dead: it stays volume=%u error=\"%s\"",
			(unsigned)c->volume, strerror(-err));
	leave(c, later_ms);
	return false;
}

/* ---- the work -------------------------------------------------------------------- */

/* Hands over the next bytes of a version, that at PATH if none is begun. Their number, or -errno; *TRANSFER is
 * NULL when it is complete. */
static int64_t
copy_some(struct reclaim *r, struct transfer **transfer, const struct survivor *survivor)
{
	bool ends = false;
	int64_t n = 0;

	if (*transfer == NULL)
		n = transfer_begin(r, survivor->path, survivor->id, transfer);
	if (n == 0)
		n = transfer_step(*transfer, &ends);
	if (ends)
		*transfer = NULL;
	return n;
}

static void
report(const struct survivor *survivor, uint32_t number, int64_t err)
{
	log_error("an object in a volume that is mostly dead can't be copied: both stay path=%s "
		  "volume=%u error=\"%s\"",
		  survivor->path, (unsigned)number, strerror((int)-err));
}

/* Copies a share of what is left in the present volume. */
static void
work(struct reclaim *r)
{
	struct compact *c = &r->compact;
	uint64_t share = 0;
	int64_t n = 0;

	r->transfers = 0;
	while (share < SHARE && n >= 0 && !r->stopping &&
	       (c->transfer != NULL || c->next < c->left.count)) {
		const struct survivor *survivor =
			&c->left.list[c->transfer != NULL ? c->next - 1 : c->next++];

		n = copy_some(r, &c->transfer, survivor);
		if (n >= 0)
			share += (uint64_t)n + RECORD_COST;
		else if (c->transfer == NULL && (n == -ENOENT || n == -EBUSY))
			n = 0; /* it does not live here any more, or somebody is at it now */
		else
			report(survivor, c->volume, n);
	}
	c->due -= share < c->due ? share : c->due;
	reclaim_await(r, 0);
	if (n < 0)
		leave(c, n == -ENOMEM ? LATER_MS : INT64_MAX);
	else if (r->transfers != 0 && r->transfers != -ESTALE)
		leave(c, NO_ROOM_MS);
	else if (c->transfer == NULL && c->next == c->left.count) {
		struct compact_note *note = note_of(c, c->volume);

		if (note != NULL)
			note->was_emptied = true;
		log_debug("volume emptied volume=%u bytes=%llu objects=%zu", (unsigned)c->volume,
			  (unsigned long long)c->bytes, c->left.count);
		leave(c, BURIED_MS);
	}
}

static bool
find_work(struct reclaim *r, bool urgent)
{
	struct compact *c = &r->compact;
	struct reclaim_survey survey;
	const struct reclaim_volume *chosen;
	bool found = false;

	if (c->volume != 0)
		return true;
	if (reclaim_look(r, &survey) != 0)
		return false;
	take_notes(r, &survey);
	chosen = choose(r, &survey, urgent);
	if (chosen != NULL)
		found = begin(r, chosen, urgent);
	free(survey.volumes);
	return found;
}

int
compact_run(struct reclaim *r)
{
	struct compact *c = &r->compact;
	int64_t begun = clock_mono_ms(), pause;

	if (!find_work(r, false))
		return -1;
	if (!has_room(r, c->due)) {
		leave(c, NO_ROOM_MS);
		return -1;
	}
	work(r);
	pause = (clock_mono_ms() - begun) * PAUSE;
	return pause < PAUSE_MAX_MS ? (int)pause : PAUSE_MAX_MS;
}

/* Whether a volume was just emptied, and will soon be gone. */
static bool
is_burial_near(const struct compact *c)
{
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < c->nnotes; i++)
		if (c->notes[i].was_emptied && c->notes[i].not_before_ms > now)
			return true;
	return false;
}

bool
compact_urgently(struct reclaim *r)
{
	struct compact *c = &r->compact;

	if (!find_work(r, true))
		return is_burial_near(c);
	while (c->volume != 0 && !r->stopping) {
		if (!has_room(r, c->due)) {
			leave(c, NO_ROOM_MS);
			return false;
		}
		work(r);
	}
	return true;
}

/* ---- what is read in a volume that is to go -------------------------------------- */

static bool
was_read_lately(struct reclaim *r, const struct survivor *survivor)
{
	unsigned hash;
	struct table_shard *shard = table_lock(&r->store->table, survivor->path, &hash);
	const struct table_entry *entry = table_lookup(shard, survivor->path, hash);
	int64_t read_s = 0;

	if (entry != NULL && entry->current != NULL && entry->current->id == survivor->id)
		read_s = atomic_load(&entry->current->read_s);
	table_unlock(shard);
	return read_s > 0 && clock_mono_ms() / 1000 - read_s <= READ_LATELY_S;
}

void
compact_keep_read(struct reclaim *r, const struct reclaim_volume *victim,
		  const struct survivors *survivors)
{
	uint64_t left = victim->file.bytes / WORTH, share = 0;

	for (size_t i = 0; i < survivors->count && !r->stopping; i++) {
		const struct survivor *survivor = &survivors->list[i];
		struct transfer *transfer = NULL;
		uint64_t cost = survivor->size + RECORD_COST;
		int64_t n;

		if (cost > left || !was_read_lately(r, survivor) || !has_room(r, cost))
			continue;
		left -= cost;
		do {
			n = copy_some(r, &transfer, survivor);
			share += (n > 0 ? (uint64_t)n : 0) + RECORD_COST;
			if (share >= SHARE) { /* all of it is in memory */
				reclaim_await(r, 0);
				share = 0;
			}
		} while (n >= 0 && transfer != NULL);
		transfer_abandon(&transfer);
	}
	reclaim_await(r, 0);
}

void
compact_stop(struct reclaim *r)
{
	struct compact *c = &r->compact;

	leave(c, 0);
	free(c->notes);
	c->notes = NULL;
	c->nnotes = 0;
}
