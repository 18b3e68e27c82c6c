/* disk_load.h - a load on a store, every step of which is known, and what may be seen of it later.
 *
 * One thread has several uploads and deletions under way; two never of one path. What began, and what was
 * acknowledged, stands in the disk's journal at its moment, so that a picture of any moment can be judged.
 *
 * Threads  one.
 * Owns     a plan is shared memory, as the disk is.
 */
#ifndef SPILLWAY_TESTS_CRASH_DISK_LOAD_H
#define SPILLWAY_TESTS_CRASH_DISK_LOAD_H

#include "tests/crash/simdisk.h"
#include "tests/storage/fixture.h"

#define PLAN_OPS 16384
#define PLAN_COPYINGS 256

enum op_kind { OP_PUT, OP_CUT, OP_APPEND, OP_DELETE }; /* an upload, one that is abandoned, ... */

struct op {
	enum op_kind kind;
	unsigned path;
	uint64_t length; /* of its bytes, or those that are sent of one that is abandoned */
	uint64_t base;   /* of an append: bytes that were safe before it began */
	unsigned first;  /* the operation that it goes on with; else itself */
	uint32_t begin;  /* moments */
	uint32_t end;    /* UINT32_MAX: it did not */
	bool is_acknowledged;
};

struct plan {
	unsigned count;
	bool is_bulky;      /* fills volumes, and empties them */
	uint64_t copied;    /* bytes that the store copied out of dying volumes */
	unsigned ncopyings; /* moments at which it was seen that it did */
	uint32_t copying[PLAN_COPYINGS];
	struct op ops[PLAN_OPS];
};

struct plan *plan_new(void);
unsigned plan_paths(void);
const char *plan_path(unsigned path);

/* Works on the store of F for MS milliseconds, then finishes what is under way. A bulky plan lets the store copy
 * what lives in dying volumes, meanwhile. */
void plan_work(struct plan *plan, struct simdisk *disk, struct fixture *f, uint64_t seed,
	       int64_t ms);

/* What was found of a path. */
struct finding {
	enum object_state state; /* OBJECT_GONE: nothing */
	uint64_t length;
	const unsigned char *bytes;
};

/* Whether that may be after a power cut at MOMENT. *CERTAIN: nothing else might be. */
bool plan_allows(const struct plan *plan, unsigned path, uint32_t moment,
		 const struct finding *found, bool *certain);

/* What might be, and what it is, for people. */
void plan_explain(const struct plan *plan, unsigned path, uint32_t moment,
		  const struct finding *found);

#endif
