/* bury.c - volumes that nothing needs any more are unlinked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "storage/reclaim_internal.h"
#include "storage/relog.h"

#define CARRIED 1024 /* tombstones on their way to disk together */

/* A tombstone on its way into another volume. */
struct carried {
	struct relog relog;
	struct reclaim *reclaim;
};

static void
deliver_carried(struct letter *letter)
{
	struct carried *carried =
		(struct carried *)((char *)letter - offsetof(struct carried, relog.letter));

	reclaim_answered(carried->reclaim, carried->relog.result);
	free(carried);
}

/* An operation with RECORD's path in memory of its own; NULL without memory. */
static struct index_op *
op_with_path(const struct record *record)
{
	struct index_op *op = calloc(1, sizeof(*op));

	if (op == NULL)
		return NULL;
	op->record = *record;
	op->text = strndup(record->name.path, record->name.path_length);
	if (op->text == NULL) {
		free(op);
		return NULL;
	}
	op->record.name.path = op->text;
	op->record.name.type = "";
	op->record.name.type_length = 0;
	return op;
}

static int
carry(struct reclaim *r, const struct record *record)
{
	struct carried *carried = calloc(1, sizeof(*carried));
	struct index_op *op = op_with_path(record);

	if (carried == NULL || op == NULL) {
		free(carried);
		if (op != NULL)
			indexer_free_op(op);
		return -ENOMEM;
	}
	carried->reclaim = r;
	carried->relog = (struct relog){
		.store = r->store,
		.op = op,
		.mailbox = &r->mailbox,
		.letter.deliver = deliver_carried,
	};
	r->outstanding++;
	persister_relog(r->store->persister, &carried->relog);
	reclaim_await(r, CARRIED);
	return 0;
}

static int
drop_grave(struct reclaim *r, const struct record *record)
{
	struct index_op *op = op_with_path(record);

	if (op == NULL)
		return -ENOMEM;
	op->record.kind = 0;
	op->drop_grave = true;
	reclaim_submit(r, op);
	return 0;
}

/* Whether a volume besides DYING may have what GRAVE hides. */
static bool
is_needed(const struct reclaim_survey *survey, const struct reclaim_volume *dying,
	  const struct catalog_grave *grave)
{
	for (size_t i = 0; i < survey->count; i++) {
		const struct reclaim_volume *volume = &survey->volumes[i];

		if (volume != dying && !volume->gone && volume->file.number >= grave->since &&
		    volume->file.number <= grave->until)
			return true;
	}
	return false;
}

static int
carry_if_needed(struct reclaim *r, const struct reclaim_survey *survey,
		const struct reclaim_volume *dying, const struct record *record)
{
	struct catalog_grave grave;
	int err = catalog_find_grave(r->store->catalog, record->name.path, record->name.path_length,
				     &grave);

	/* Without a grave there is a newer version, or nothing left to hide. */
	if (err == -ENOENT || (err == 0 && grave.seq != record->seq))
		return 0;
	if (err != 0)
		return err;
	return is_needed(survey, dying, &grave) ? carry(r, record) : drop_grave(r, record);
}

/* Writes VOLUME's tombstones again, as far as they hide something in other volumes. 0 when they are on disk. */
static int
carry_tombstones(struct reclaim *r, const struct reclaim_survey *survey,
		 const struct reclaim_volume *dying, struct volume *volume)
{
	struct volume_scan scan = {0};
	struct record record;
	uint64_t body;
	int err = volume_scan_begin(volume, 0, &scan);

	r->failure = 0;
	while (err == 0 && (err = volume_scan_next(&scan, &record, &body)) == 1) {
		err = 0;
		if (record.kind == RECORD_TOMBSTONE)
			err = carry_if_needed(r, survey, dying, &record);
	}
	volume_scan_end(&scan);
	reclaim_await(r, 0);
	return err != 0 ? err : r->failure;
}

int
reclaim_bury(struct reclaim *r, struct reclaim_survey *survey, struct reclaim_volume *dying)
{
	struct index_op *op = calloc(1, sizeof(*op));
	struct volume *volume = NULL;
	int err = op == NULL ? -ENOMEM
			     : volumes_open(&r->store->volumes, dying->file.number, &volume);

	if (err == 0)
		err = carry_tombstones(r, survey, dying, volume);
	volume_put(&volume);
	if (err == 0)
		err = volumes_remove(&r->store->volumes, dying->file.number);
	if (err != 0) {
		free(op);
		return err;
	}
	log_debug("volume unlinked volume=%u bytes=%llu", (unsigned)dying->file.number,
		  (unsigned long long)dying->file.bytes);
	dying->gone = true;
	r->buried++;
	op->drop_volume = dying->file.number;
	reclaim_submit(r, op);
	return 0;
}

bool
reclaim_bury_dead(struct reclaim *r)
{
	struct reclaim_survey survey;
	bool more = false;

	if (reclaim_look(r, &survey) != 0)
		return false;
	for (size_t i = 0; i < survey.count && !r->stopping; i++) {
		struct reclaim_volume *volume = &survey.volumes[i];
		int err;

		more |= !volume->file.active && !reclaim_is_settled(volume);
		if (!reclaim_is_settled(volume) || volume->at.live > 0 || volume->at.heads > 0 ||
		    reclaim_is_shunned(r, volume))
			continue;
		err = reclaim_bury(r, &survey, volume);
		/* Without space or memory it may go better next time; a damaged one is kept for its owner. */
		if (err == -EBADMSG || err == -EIO || err == -EPROTO)
			reclaim_shun(r, volume, "can't read a volume that is not needed: it stays",
				     err);
	}
	free(survey.volumes);
	return more;
}
