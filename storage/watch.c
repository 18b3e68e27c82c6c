/* watch.c - fan-out: one wake-up per worker and change, whatever the number of its readers.
 *
 * Invariant 10: no wake-up is lost; at most one letter per worker is on its way. A slot is
 *
 *     IDLE --watch--> ARMED --notify--> POSTED --deliver--> ARMED or IDLE
 *
 * A reader arms, then looks at the length; the writer moves the length, then looks for armed
 * slots. All four are sequentially consistent, so one of the two sees the other. (Release and
 * acquire alone lost about 7,000 wake-ups in a million.)
 */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/metrics.h"
#include "storage/object_internal.h"
#include "storage/store_internal.h"

enum slot_state { SLOT_IDLE, SLOT_ARMED, SLOT_POSTED };

/* One worker's readers of one object. Everything but state belongs to that worker. */
struct fanout_slot {
	_Alignas(64) _Atomic int state; /* enum slot_state; a cache line per worker */
	unsigned worker;
	struct letter letter;
	struct object *object; /* the one it belongs to; a reference only while POSTED */
	struct object_watcher *watchers;
	struct object_watcher *next; /* to be woken next, during deliver */
};

struct fanout {
	unsigned count;
	struct fanout_slot slots[];
};

/* Posts SLOT's letter if it is armed. */
static void
ring(struct object *object, struct fanout_slot *slot)
{
	int armed = SLOT_ARMED;

	if (atomic_load(&slot->state) != SLOT_ARMED ||
	    !atomic_compare_exchange_strong(&slot->state, &armed, SLOT_POSTED))
		return;
	object_get(object);
	metric_add(METRIC_wakeups_total, 1);
	mailbox_post(object->store->mailboxes[slot->worker], &slot->letter);
}

void
object_notify(struct object *object)
{
	struct fanout *fanout = atomic_load(&object->fanout);

	if (fanout == NULL)
		return;
	for (unsigned i = 0; i < fanout->count; i++)
		ring(object, &fanout->slots[i]);
}

static bool
same_status(struct object_status a, struct object_status b)
{
	return a.state == b.state && a.length == b.length;
}

static void
deliver(struct letter *letter)
{
	struct fanout_slot *slot =
		(struct fanout_slot *)((char *)letter - offsetof(struct fanout_slot, letter));
	struct object *object = slot->object;
	struct object_status seen = object_status(object);

	slot->next = slot->watchers;
	while (slot->next != NULL) {
		struct object_watcher *watcher = slot->next;

		slot->next = watcher->next;
		/* Its neighbour's memory comes while it is at work, which mostly is a system call. */
		if (slot->next != NULL) {
			__builtin_prefetch(slot->next);
			__builtin_prefetch((const char *)slot->next + 64);
		}
		watcher->wake(watcher);
	}
	if (slot->watchers == NULL) {
		atomic_store(&slot->state, SLOT_IDLE);
	} else {
		atomic_store(&slot->state, SLOT_ARMED);
		/* What changed during the wake-ups was seen by some of them only. */
		if (!same_status(seen, object_status(object)))
			ring(object, slot);
	}
	object_put(&object);
}

/* The object's fan-out, made now if there is none. */
static struct fanout *
fanout_of(struct object *object)
{
	struct fanout *fanout = atomic_load(&object->fanout), *none = NULL;
	unsigned count = object->store->config.workers;
	size_t size = sizeof(*fanout) + count * sizeof(fanout->slots[0]);

	if (fanout != NULL)
		return fanout;
	fanout = aligned_alloc(64, (size + 63) / 64 * 64);
	if (fanout == NULL)
		return NULL;
	fanout->count = count;
	for (unsigned i = 0; i < count; i++) {
		struct fanout_slot *slot = &fanout->slots[i];

		atomic_init(&slot->state, SLOT_IDLE);
		slot->worker = i;
		slot->letter.deliver = deliver;
		slot->object = object;
		slot->watchers = NULL;
		slot->next = NULL;
	}
	if (!atomic_compare_exchange_strong(&object->fanout, &none, fanout)) {
		free(fanout);
		fanout = none;
	}
	return fanout;
}

int
object_watch(struct object *object, unsigned worker, struct object_watcher *watcher)
{
	struct fanout *fanout = fanout_of(object);
	struct fanout_slot *slot;
	int idle = SLOT_IDLE;

	CHECK(watcher->object == NULL && worker < object->store->config.workers);
	if (fanout == NULL)
		return -ENOMEM;
	slot = &fanout->slots[worker];
	watcher->object = object_get(object);
	watcher->worker = worker;
	watcher->prev = NULL;
	watcher->next = slot->watchers;
	if (slot->watchers != NULL)
		slot->watchers->prev = watcher;
	slot->watchers = watcher;
	/* A letter that is on its way will arm the slot again. */
	atomic_compare_exchange_strong(&slot->state, &idle, SLOT_ARMED);
	return 0;
}

void
object_unwatch(struct object_watcher *watcher)
{
	struct fanout_slot *slot;
	int armed = SLOT_ARMED;

	if (watcher->object == NULL)
		return;
	slot = &atomic_load(&watcher->object->fanout)->slots[watcher->worker];
	if (slot->next == watcher)
		slot->next = watcher->next;
	if (watcher->next != NULL)
		watcher->next->prev = watcher->prev;
	if (watcher->prev != NULL)
		watcher->prev->next = watcher->next;
	else
		slot->watchers = watcher->next;
	if (slot->watchers == NULL)
		atomic_compare_exchange_strong(&slot->state, &armed, SLOT_IDLE);
	object_put(&watcher->object);
}

size_t
fanout_cost(const struct object *object)
{
	const struct fanout *fanout = atomic_load(&object->fanout);

	return fanout == NULL ? 0 : sizeof(*fanout) + fanout->count * sizeof(fanout->slots[0]);
}

void
fanout_free(struct fanout *fanout)
{
	free(fanout);
}
