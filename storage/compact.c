#include "storage/compact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/reclaim_internal.h"
#include "storage/transfer.h"

#define SHARE ((uint64_t)1 << 20)    /* bytes on their way to disk together */
#define RECORD_COST ((uint64_t)4096) /* the work of one, as a part of a share */
#define PAUSE 3                      /* times what the share took */
#define PAUSE_MAX_MS 2000
#define WORTH 4        /* a part of one in this may live */
#define WORTH_URGENT 2 /* the same when the disk is full */
#define SMALL 16       /* a part of a volume, so many times: a file with less is one too many */
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
	int64_t not_before_ms; /* it was tried, when TRIED bytes lived in it */
	uint64_t tried;
	bool was_emptied;
};

void
compact_init(struct compact *c)
{
	atomic_init(&c->quiet_ms, QUIET_MS);
}

/* Whether there is room for BYTES that are to be copied: a spare volume's, or what is held back. */
static bool
has_room(struct reclaim *r, uint64_t bytes)
{
	int health = persister_health(r->store->persister);

	if (atomic_load(&r->needed))
		return false;
	if (r->compact.in_need)
		return (health == 0 || health == -ENOSPC || health == -EDQUOT) &&
		       indexer_health(r->store->indexer) == 0 &&
		       evict_may_copy_in_need(r->store, r->compact.alive, bytes);
	return health == 0 && !atomic_load(&r->store->full) && evict_may_copy(r->store) &&
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

	if (note == NULL)
		return;
	note->not_before_ms = ms == INT64_MAX ? ms : clock_mono_ms() + ms;
	note->tried = note->live;
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

/* What goes with VOLUME. Every start begins one, so several small ones are put together; but when there is no room, only
 * what a copy gives back counts. */
static uint64_t
weight(const struct reclaim *r, const struct reclaim_volume *volume, bool urgent)
{
	uint64_t least = urgent ? 0 : r->compact.least;

	return volume->file.bytes > least ? volume->file.bytes : least;
}

static bool
is_worth(const struct reclaim *r, const struct reclaim_volume *volume, bool urgent)
{
	return reclaim_is_settled(volume) && !reclaim_is_shunned(r, volume) &&
	       (volume->at.live > 0 || volume->at.heads > 0) &&
	       volume->at.live <= weight(r, volume, urgent) / (urgent ? WORTH_URGENT : WORTH);
}

/* The most that may be copied out of VOLUME. A version that is mostly elsewhere may be large: in need it will do
 * if less is copied than goes. */
static uint64_t
most_due(const struct reclaim *r, const struct reclaim_volume *volume, bool urgent)
{
	uint64_t bytes = weight(r, volume, urgent);

	return r->compact.in_need ? bytes / 8 * 7 : bytes / WORTH_URGENT;
}

static void
weigh(struct reclaim *r, const struct reclaim_survey *survey)
{
	uint64_t small = r->store->config.volume_size / SMALL, alive = 0;
	unsigned count = 0;

	for (size_t i = 0; i < survey->count; i++) {
		const struct reclaim_volume *volume = &survey->volumes[i];

		if (!reclaim_is_settled(volume) || (volume->at.live == 0 && volume->at.heads == 0))
			continue;
		alive += volume->file.bytes;
		count += volume->file.bytes <= small;
	}
	r->compact.alive = alive;
	/* One small volume is as good as another one. */
	r->compact.least = count > 1 ? small : 0;
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
	weigh(r, survey);
	for (size_t i = 0; i < survey->count; i++) {
		const struct reclaim_volume *volume = &survey->volumes[i];
		struct compact_note *note = note_of(c, volume->file.number);

		if (!is_worth(r, volume, false) && !is_worth(r, volume, true))
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

/* Whether it was tried and is not to be tried again yet: in need, until more of it is dead. */
static bool
is_put_off(const struct reclaim *r, const struct compact_note *note, int64_t now)
{
	if (note->not_before_ms <= now)
		return false;
	return !r->compact.in_need || note->was_emptied || note->not_before_ms == INT64_MAX ||
	       note->live >= note->tried;
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

		if (note == NULL || is_put_off(r, note, now) || !is_worth(r, volume, urgent) ||
		    (!urgent && now - note->since_ms < atomic_load(&r->compact.quiet_ms)))
			continue;
		if (best == NULL || volume->at.live < best->at.live)
			best = volume;
	}
	return best;
}

/* Bytes that a copy takes, at most but for the pages that its batches fill up. */
static uint64_t
cost_of(const struct survivor *survivor)
{
	/* An extent is not split, so that a record may be half full. */
	uint64_t records = 1 + 2 * (survivor->size / RECORD_BODY_MAX);

	return survivor->size + records * record_span(RECORD_NAME_MAX - STORE_PATH_MAX +
							      (uint32_t)strlen(survivor->path),
						      0);
}

/* Whether it is right to copy what was found in a volume, at most MOST; else *LATER_MS is when to ask again. */
static bool
judge(struct reclaim *r, const struct survivors *left, uint64_t most, bool urgent, uint64_t *due,
      int64_t *later_ms)
{
	int64_t soon = expiry_now_ms(&r->store->expiry) + SOON_MS;
	bool lasts = urgent;

	*due = 0;
	*later_ms = LATER_MS;
	for (size_t i = 0; i < left->count; i++) {
		const struct survivor *survivor = &left->list[i];

		*due += cost_of(survivor);
		lasts |= survivor->expires_ms == 0 || survivor->expires_ms > soon;
		if (survivor->underway) {
			*later_ms = UNDERWAY_MS;
			return false;
		}
	}
	if (left->count == 0 || !lasts || *due > most)
		return false;
	*later_ms = NO_ROOM_MS;
	return has_room(r, *due);
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
	if (err == 0 && judge(r, &c->left, most_due(r, chosen, urgent), urgent, &c->due, &later_ms))
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
	uint64_t share = 0, done = 0;
	int64_t n = 0;

	r->transfers = 0;
	while (share < SHARE && n >= 0 && !r->stopping &&
	       (c->transfer != NULL || c->next < c->left.count)) {
		const struct survivor *survivor =
			&c->left.list[c->transfer != NULL ? c->next - 1 : c->next++];

		n = copy_some(r, &c->transfer, survivor);
		if (n >= 0) {
			share += (uint64_t)n + RECORD_COST;
			done += (uint64_t)n;
		} else if (c->transfer == NULL && (n == -ENOENT || n == -EBUSY)) {
			n = 0; /* it does not live here any more, or somebody is at it now */
			done += survivor->size;
		} else {
			report(survivor, c->volume, n);
		}
		if (c->transfer == NULL)
			done += cost_of(survivor) - survivor->size;
	}
	c->due -= done < c->due ? done : c->due;
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
	/* What is found in it may be more, but not less. */
	if (chosen != NULL && has_room(r, chosen->at.live))
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

bool
compact_in_need(struct reclaim *r)
{
	bool found;

	r->compact.in_need = true;
	found = compact_urgently(r);
	r->compact.in_need = false;
	return found;
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
		uint64_t cost = cost_of(survivor);
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
