#include "tests/crash/disk_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "storage/reclaim_internal.h"

#define LANES 6
#define TELLING 64 /* bytes that tell whose they are */
#define KIB 1024u
#define MIB (1024u * KIB)
#define LIFE_BYTES (18u * MIB) /* of one process: a volume and a bit */
#define LIFE_OPS 60            /* at the least */

enum lane_state { LANE_FREE, LANE_WRITES, LANE_WAITS, LANE_DELETES };

struct lane {
	enum lane_state state;
	struct op *op;
	struct writer *writer;
	struct writer_receipt receipt;
	struct store_delete del;
	uint64_t written;
};

struct load {
	struct plan *plan;
	struct simdisk *disk;
	struct fixture *f;
	uint64_t seed; /* moves on */
	struct lane lanes[LANES];
};

/* Paths of a kind: objects that grow, small and large, and others that are replaced in one step. */
static const struct family {
	const char *format;
	unsigned count;
	enum publish publish;
	unsigned least, most;         /* bytes */
	unsigned weight, bulk_weight; /* how often it is chosen */
} families[] = {
	{"/small/%02u.m4s", 24, PUBLISH_LIVE, 0, 6000, 50, 6},
	{"/medium/%02u.m4s", 8, PUBLISH_LIVE, 20 * KIB, 100 * KIB, 12, 3},
	{"/list/%02u.m3u8", 4, PUBLISH_WHOLE, 50, 3000, 20, 4},
	{"/large/%02u.mp4", 3, PUBLISH_LIVE, 512 * KIB, 3 * MIB / 2, 1, 12},
	{"/bulk/%02u.mpd", 2, PUBLISH_WHOLE, 50 * KIB, 1 * MIB, 1, 4},
};
#define FAMILIES (sizeof(families) / sizeof(families[0]))

static const struct family *
family_of(unsigned path, unsigned *within)
{
	const struct family *family = families;

	while (path >= family->count)
		path -= family++->count;
	*within = path;
	return family;
}

unsigned
plan_paths(void)
{
	unsigned sum = 0;

	for (size_t i = 0; i < FAMILIES; i++)
		sum += families[i].count;
	return sum;
}

const char *
plan_path(unsigned path)
{
	static char text[64];
	unsigned within;
	const struct family *family = family_of(path, &within);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), family->format, within);
#pragma GCC diagnostic pop
	return text;
}

struct plan *
plan_new(void)
{
	struct plan *plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (plan == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return plan;
}

/* ---- the load -------------------------------------------------------------------- */

static unsigned
choose_path(struct load *load)
{
	unsigned sum = 0, first = 0, at;
	size_t i;

	for (i = 0; i < FAMILIES; i++)
		sum += load->plan->is_bulky ? families[i].bulk_weight : families[i].weight;
	at = (unsigned)(simdisk_random(&load->seed) % sum);
	for (i = 0;; first += families[i++].count) {
		unsigned weight =
			load->plan->is_bulky ? families[i].bulk_weight : families[i].weight;

		if (at < weight)
			break;
		at -= weight;
	}
	return first + (unsigned)(simdisk_random(&load->seed) % families[i].count);
}

static bool
is_taken(const struct load *load, unsigned path)
{
	for (unsigned i = 0; i < LANES; i++)
		if (load->lanes[i].state != LANE_FREE && load->lanes[i].op->path == path)
			return true;
	return false;
}

static struct op *
new_op(struct load *load, unsigned path)
{
	struct plan *plan = load->plan;
	unsigned within;
	const struct family *family = family_of(path, &within);
	struct op *op = &plan->ops[plan->count];
	unsigned dice = (unsigned)(simdisk_random(&load->seed) % 100);

	*op = (struct op){.path = path, .end = UINT32_MAX};
	op->kind = dice < 14 ? OP_DELETE : dice < 22 ? OP_CUT : dice < 34 ? OP_APPEND : OP_PUT;
	op->first = plan->count;
	op->length =
		family->least + simdisk_random(&load->seed) % (family->most - family->least + 1);
	return op;
}

/* Counted only once its begin is known: a process may die in between. */
static void
begin_op(struct load *load, struct op *op)
{
	op->begin = simdisk_note(load->disk);
	load->plan->count++;
}

static void
end_op(struct load *load, struct lane *lane, bool is_acknowledged)
{
	lane->op->is_acknowledged = is_acknowledged;
	lane->op->end = simdisk_note(load->disk);
	lane->state = LANE_FREE;
}

/* The operation whose bytes the LENGTH of OBJECT are, or -1. */
static int
find_first(struct load *load, struct object *object, unsigned path, uint64_t length)
{
	const struct plan *plan = load->plan;

	for (unsigned i = plan->count; i-- > 0;) {
		const struct op *op = &plan->ops[i];

		if (op->path == path && op->kind != OP_DELETE && op->length >= length &&
		    fixture_holds(load->f, object, op->first + 1, length))
			return (int)op->first;
	}
	return -1;
}

/* Makes OP an append to what is there, or, where nothing is, an upload. */
static void
aim_append(struct load *load, struct op *op)
{
	unsigned within;
	const struct family *family = family_of(op->path, &within);
	struct object *object = NULL;
	struct object_status status;
	int first = -1;

	op->kind = OP_PUT;
	if (family->publish != PUBLISH_LIVE ||
	    fixture_find(load->f, plan_path(op->path), &object) != 0)
		return;
	status = object_status(object);
	if (status.length >= TELLING && status.length <= family->most)
		first = find_first(load, object, op->path, status.length);
	object_put(&object);
	if (first < 0)
		return;
	op->kind = OP_APPEND;
	op->first = (unsigned)first;
	op->length += status.length;
	/* What is incomplete may be in memory only, as far as it is known here. */
	op->base = status.state == OBJECT_COMPLETE ? status.length : 0;
}

static void
begin(struct load *load, struct lane *lane)
{
	unsigned path = choose_path(load), within;
	struct object *object = NULL;

	if (is_taken(load, path))
		return;
	lane->op = new_op(load, path);
	if (lane->op->kind == OP_DELETE) {
		if (fixture_find(load->f, plan_path(path), &object) != 0)
			return;
		begin_op(load, lane->op);
		lane->del = (struct store_delete){.mailbox = &load->f->mailbox,
						  .letter.deliver = fixture_came};
		lane->state = LANE_DELETES;
		if (store_delete(load->f->store, object, &lane->del) != 0)
			end_op(load, lane, false);
		object_put(&object);
		return;
	}
	if (lane->op->kind == OP_APPEND)
		aim_append(load, lane->op);
	begin_op(load, lane->op);
	lane->state = LANE_WRITES;
	if (fixture_try_begin(load->f, plan_path(path), family_of(path, &within)->publish,
			      lane->op->kind == OP_APPEND ? EXISTING_APPEND : EXISTING_REPLACE,
			      &lane->writer) != 0)
		end_op(load, lane, false);
	else
		lane->written = object_status(writer_object(lane->writer)).length;
}

static void
write_some(struct load *load, struct lane *lane)
{
	uint64_t left = lane->op->length - lane->written;
	uint64_t piece = lane->op->length / (1 + simdisk_random(&load->seed) % 5) + 1;

	if (piece > left)
		piece = left;
	fixture_write(load->f, lane->writer, lane->op->first + 1, lane->written, piece);
	lane->written += piece;
	if (lane->written < lane->op->length)
		return;
	if (lane->op->kind == OP_CUT) {
		writer_abort(&lane->writer);
		end_op(load, lane, false);
	} else {
		fixture_finish(load->f, &lane->writer, &lane->receipt);
		lane->state = LANE_WAITS;
	}
}

static void
step(struct load *load, struct lane *lane)
{
	int answer;

	/* clang-format off */
	switch (lane->state) {
	case LANE_FREE:
		break;
	case LANE_WRITES:
		write_some(load, lane);
		break;
	case LANE_WAITS:
		if (lane->receipt.letter.deliver != NULL)
			break;
		answer = fixture_answer(load->f, &lane->receipt);
		end_op(load, lane, answer == 201 || answer == 204);
		break;
	case LANE_DELETES:
		if (lane->del.letter.deliver == NULL)
			end_op(load, lane, lane->del.result == 0);
		break;
	}
	/* clang-format on */
}

/* Notes that the store has copied something since BEFORE, which moves on. */
static void
watch_copying(struct load *load, int64_t *before)
{
	struct plan *plan = load->plan;
	int64_t now = metric_value(METRIC_copied_bytes_total);

	if (now == *before)
		return;
	plan->copied += (uint64_t)(now - *before);
	*before = now;
	if (plan->ncopyings < PLAN_COPYINGS)
		plan->copying[plan->ncopyings++] = load->disk->count;
}

void
plan_work(struct plan *plan, struct simdisk *disk, struct fixture *f, uint64_t seed, int64_t ms)
{
	static struct load load;
	int64_t end = clock_mono_ms() + ms;
	uint64_t most = disk->used + LIFE_BYTES;
	unsigned enough = plan->count + LIFE_OPS;
	int64_t copied = metric_value(METRIC_copied_bytes_total);
	bool busy = true;

	/* A volume that is mostly dead is emptied at once, or a history would have to last for minutes. */
	if (plan->is_bulky)
		atomic_store(&f->store->reclaim->compact.quiet_ms, 0);
	load = (struct load){.plan = plan, .disk = disk, .f = f, .seed = seed};
	while (busy) {
		bool is_fed = disk->used < most;
		/* On a busy machine time is over before much was done. */
		bool is_over = (clock_mono_ms() >= end && (plan->count >= enough || !is_fed)) ||
			       plan->count == PLAN_OPS;

		busy = !is_over;
		for (unsigned i = 0; i < LANES; i++) {
			struct lane *lane = &load.lanes[i];

			if (lane->state == LANE_FREE && !is_over && is_fed &&
			    simdisk_random(&load.seed) % 3 == 0)
				begin(&load, lane);
			else
				step(&load, lane);
			busy |= lane->state != LANE_FREE;
		}
		watch_copying(&load, &copied);
		if (plan->is_bulky && simdisk_random(&load.seed) % 32 == 0)
			reclaim_wake(f->store->reclaim);
		/* Mostly the disk is the slower one: several records share a batch. */
		fixture_pump(f, !is_fed || simdisk_random(&load.seed) % 8 == 0);
	}
}

/* ---- the judgement --------------------------------------------------------------- */

static bool
matches(const struct op *op, uint32_t moment, const struct finding *found)
{
	bool is_acknowledged = op->is_acknowledged && op->end < moment;
	unsigned within;

	if (op->kind == OP_DELETE)
		return found->state == OBJECT_GONE;
	if (found->state == OBJECT_COMPLETE && (op->kind == OP_CUT || found->length != op->length))
		return false;
	if (found->state == OBJECT_INCOMPLETE &&
	    (is_acknowledged || family_of(op->path, &within)->publish != PUBLISH_LIVE ||
	     found->length < op->base || found->length > op->length))
		return false;
	return (found->state == OBJECT_COMPLETE || found->state == OBJECT_INCOMPLETE) &&
	       fixture_same(op->first + 1, 0, found->bytes, (size_t)found->length);
}

/* The first operation that may still be seen: the last one that was acknowledged. -1: none was. */
static int
find_newest(const struct plan *plan, unsigned path, uint32_t moment)
{
	int newest = -1;

	for (unsigned i = 0; i < plan->count && plan->ops[i].begin < moment; i++)
		if (plan->ops[i].path == path && plan->ops[i].is_acknowledged &&
		    plan->ops[i].end < moment)
			newest = (int)i;
	return newest;
}

bool
plan_allows(const struct plan *plan, unsigned path, uint32_t moment, const struct finding *found,
	    bool *certain)
{
	int newest = find_newest(plan, path, moment);
	bool is_allowed = newest < 0 && found->state == OBJECT_GONE;
	unsigned choices = newest < 0;

	for (unsigned i = newest < 0 ? 0 : (unsigned)newest;
	     i < plan->count && plan->ops[i].begin < moment; i++) {
		if (plan->ops[i].path != path)
			continue;
		choices++;
		is_allowed = is_allowed || matches(&plan->ops[i], moment, found);
	}
	*certain = choices == 1;
	return is_allowed;
}

void
plan_explain(const struct plan *plan, unsigned path, uint32_t moment, const struct finding *found)
{
	static const char *const kinds[] = {"put", "cut", "append", "delete"};
	int newest = find_newest(plan, path, moment);
	bool is_old = newest >= 0 && found->state == OBJECT_GONE;

	for (int i = 0; i < newest; i++)
		is_old |= plan->ops[i].path == path && matches(&plan->ops[i], moment, found);
	printf("  %s: %s, %llu bytes%s; it might be", plan_path(path),
	       fixture_wanted(found->state, found->length), (unsigned long long)found->length,
	       found->state == OBJECT_GONE ? ": LOST"
	       : is_old                    ? ": CAME BACK"
					   : ": WRONG");
	for (unsigned i = newest < 0 ? 0 : (unsigned)newest;
	     i < plan->count && plan->ops[i].begin < moment; i++)
		if (plan->ops[i].path == path)
			printf(" #%u %s of %llu bytes at %u to %d%s;", i, kinds[plan->ops[i].kind],
			       (unsigned long long)plan->ops[i].length, plan->ops[i].begin,
			       (int)plan->ops[i].end,
			       plan->ops[i].is_acknowledged && plan->ops[i].end < moment
				       ? ", acknowledged"
				       : "");
	printf("\n");
}
