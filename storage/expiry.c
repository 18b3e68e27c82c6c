#include "storage/expiry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "storage/reclaim_internal.h"

#define DUE_AT_ONCE 4096 /* looked up in one catalog transaction */

void
expiry_init(struct expiry *expiry, int64_t newest_ms, int64_t wall_ms, int64_t boot_ms)
{
	expiry->not_before_ms = newest_ms - EXPIRY_STEP_MS;
	expiry->seen_ms = boot_ms;
	atomic_init(&expiry->offset_ms, wall_ms - boot_ms);
	atomic_init(&expiry->paused, wall_ms < expiry->not_before_ms);
	if (atomic_load(&expiry->paused))
		log_warning("expiry pauses: the wall clock is %lld s behind the newest object",
			    (long long)((newest_ms - wall_ms) / 1000));
}

void
expiry_look(struct expiry *expiry, int64_t wall_ms, int64_t boot_ms)
{
	int64_t offset = atomic_load(&expiry->offset_ms);
	int64_t off = wall_ms - boot_ms - offset;
	int64_t most = (boot_ms - expiry->seen_ms) / EXPIRY_SLEW;
	bool was_paused = atomic_load(&expiry->paused), paused;

	if (was_paused && expiry->not_before_ms > boot_ms + offset &&
	    wall_ms >= expiry->not_before_ms) {
		/* It was wrong from the start, and is not any more. */
		off = 0;
		offset = wall_ms - boot_ms;
		atomic_store(&expiry->offset_ms, offset);
	}
	paused = off > EXPIRY_STEP_MS || off < -EXPIRY_STEP_MS || wall_ms < expiry->not_before_ms;
	if (paused && !was_paused)
		log_warning(
			"expiry pauses: the wall clock was set by %lld s; set it back, or restart if it "
			"is right now",
			(long long)(off / 1000));
	if (!paused && was_paused)
		log_notice("expiry goes on: the wall clock is right again");
	atomic_store(&expiry->paused, paused);
	if (most <= 0)
		return; /* the part of a short time is not lost: seen_ms stays */
	expiry->seen_ms = boot_ms;
	if (!paused)
		atomic_store(&expiry->offset_ms, offset + (off > most    ? most
							   : off < -most ? -most
									 : off));
}

int64_t
expiry_now_ms(const struct expiry *expiry)
{
	return clock_boot_ms() + atomic_load_explicit(&expiry->offset_ms, memory_order_relaxed);
}

bool
expiry_is_over(const struct expiry *expiry, int64_t expires_ms)
{
	return expires_ms != 0 && !atomic_load_explicit(&expiry->paused, memory_order_relaxed) &&
	       expires_ms <= expiry_now_ms(expiry);
}

struct due {
	struct store *store;
	size_t count;
	struct {
		uint64_t id;
		char path[STORE_PATH_MAX + 1];
	} items[DUE_AT_ONCE];
};

static int
note_due(void *arg, const char *path, uint64_t id)
{
	struct due *due = arg;
	struct object *object = NULL;
	size_t length = strlen(path);
	bool live;

	if (length > STORE_PATH_MAX)
		return -EBADMSG;
	/* What is being written has its time when it ended. */
	live = store_find(due->store, path, &object) == 0 &&
	       object_status(object).state == OBJECT_LIVE;
	object_put(&object);
	if (live)
		return 0;
	memcpy(due->items[due->count].path, path, length + 1);
	due->items[due->count++].id = id;
	return due->count == DUE_AT_ONCE;
}

bool
expiry_run(struct reclaim *r)
{
	struct catalog *catalog = r->store->catalog;
	struct due *due;
	bool more;
	int err;

	expiry_look(&r->store->expiry, clock_wall_ms(), clock_boot_ms());
	if (atomic_load(&r->store->expiry.paused))
		return false;
	due = malloc(sizeof(*due));
	if (due == NULL)
		return false;
	due->store = r->store;
	due->count = 0;
	/* What is removed here leaves the catalog with its next commits; the rest has its turn then. */
	err = catalog_expired(catalog, expiry_now_ms(&r->store->expiry), SIZE_MAX, note_due, due);
	if (err < 0 && err != -ENOMEM)
		log_error("can't read what expires error=\"%s\"", strerror(-err));
	for (size_t i = 0; i < due->count && !r->stopping; i++)
		if (reclaim_remove(r, due->items[i].path, due->items[i].id) == 0)
			metric_add(METRIC_expired_total, 1);
	reclaim_await(r, 0);
	more = due->count == DUE_AT_ONCE;
	free(due);
	return more;
}
