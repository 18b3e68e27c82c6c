/* replay.h - brings the catalog up to date with the volumes, at the start.
 *
 * The volumes are the truth: what the catalog has not applied yet is read from them; a catalog that is
 * missing or damaged is made anew from all of them (invariant 8). Bodies in the part that is read are
 * verified: a record whose body is torn is no record.
 *
 * Threads  before any other thread of the store runs.
 */
#ifndef SPILLWAY_STORAGE_REPLAY_H
#define SPILLWAY_STORAGE_REPLAY_H

#include <stddef.h>
#include <stdint.h>

struct record;
struct store;

/* Who is told what a replay meets. */
struct replay_witness {
	/* Bytes [FROM, TO) of a volume are not what they should be: no record, or the body of RECORD. */
	void (*damaged)(void *arg, uint32_t volume, uint64_t from, uint64_t to,
			const struct record *record);
	/* The last batch of all, which begins there, is not whole. */
	void (*torn)(void *arg, uint32_t volume, uint64_t start);
	/* The catalog needs a volume that has no file, or one whose header is damaged. */
	void (*missing)(void *arg, uint32_t volume, int err);
	/* It has come so far in a volume of SIZE bytes. */
	void (*progress)(void *arg, uint32_t volume, uint64_t position, uint64_t size);
	void *arg;
};

/* Opens store->catalog, with store->volumes open already, and applies what it lacks. Also sets
 * store->last_number. 0, or -errno with a sentence in WHY. */
int replay(struct store *store, char *why, size_t why_size);

/* The same for who only looks: brings the catalog in file PATH, which may be new, up to date with
 * STORE->volumes, and changes nothing but that file. Opens store->catalog. Other threads don't matter. */
int replay_into(struct store *store, const char *path, const struct replay_witness *witness,
		char *why, size_t why_size);

#endif
