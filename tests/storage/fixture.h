/* fixture.h - a store in a directory of its own, one mailbox that is pumped by hand, and short words
 * for what tests do with objects.
 *
 * Threads  the main one. A test that has workers gives them mailboxes before fixture_open.
 */
#ifndef SPILLWAY_TESTS_STORAGE_FIXTURE_H
#define SPILLWAY_TESTS_STORAGE_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "storage/store.h"

#define FIXTURE_PATIENCE_MS 60000 /* of a letter; sanitizers are slow */

struct fixture {
	char dir[96]; /* of the test; the data directory is in it */
	char data[128];
	struct store_config config;
	struct mailbox mailbox; /* slot 0 */
	struct mailbox *boxes[STORE_WORKERS_MAX];
	struct store *store;
};

/* cmocka's setup and teardown: *STATE is a struct fixture. The first also opens the store, with small
 * volumes and without syncs; the second closes it, if it is open, and removes the directory. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Everything but the opening, for a test that wants a configuration of its own. */
int fixture_setup_closed(void **state);

void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);
void fixture_reopen(struct fixture *f);

/* store_close without the wait for the indexer is not to be had: copies the data directory as
 * it is now to NAME in the test's directory, and makes that the one that is opened next. */
void fixture_crash_to(struct fixture *f, const char *name);

/* Removes FILE of the closed store's data directory. */
void fixture_remove(struct fixture *f, const char *file);

/* The deliver function of a letter that fixture_await waits for: sets it to NULL. */
void fixture_came(struct letter *letter);
/* Delivers letters until LETTER came. */
void fixture_await(struct fixture *f, struct letter *letter);
/* Delivers what is in the mailbox, after waiting up to MS for it. */
void fixture_pump(struct fixture *f, int ms);

/* The bytes of upload SEED. */
void fixture_bytes(unsigned seed, uint64_t offset, void *out, size_t length);
bool fixture_same(unsigned seed, uint64_t offset, const void *bytes, size_t length);

/* writer_open, after a load if it wants one. */
int fixture_try_begin(struct fixture *f, const char *path, enum publish publish,
		      enum existing existing, struct writer **out);
struct writer *fixture_begin(struct fixture *f, const char *path, enum publish publish);

/* Writes bytes [FROM, FROM + LENGTH) of upload SEED, waiting for room. */
void fixture_write(struct fixture *f, struct writer *writer, unsigned seed, uint64_t from,
		   uint64_t length);

/* writer_finish; RECEIPT is awaited by fixture_answer, which makes 201, 204, 410 or -errno of it. */
void fixture_finish(struct fixture *f, struct writer **writer, struct writer_receipt *receipt);
int fixture_answer(struct fixture *f, struct writer_receipt *receipt);

/* A whole upload, and the answer to it, or -errno of writer_open. */
int fixture_put(struct fixture *f, const char *path, enum publish publish, unsigned seed,
		uint64_t length);
/* The same for more bytes of SEED behind those that are there, -EBUSY and so on. */
int fixture_append(struct fixture *f, const char *path, unsigned seed, uint64_t from,
		   uint64_t length);

/* The current version, by store_find or store_load. */
int fixture_find(struct fixture *f, const char *path, struct object **out);

/* Reads up to MAX bytes at OFFSET, warming as needed, into OUT. The number, or -errno. */
int64_t fixture_read(struct fixture *f, struct object *object, struct object_cursor *cursor,
		     uint64_t offset, void *out, size_t max);

/* Whether OBJECT has LENGTH bytes, those of SEED. */
bool fixture_holds(struct fixture *f, struct object *object, unsigned seed, uint64_t length);

/* Fails unless PATH is in STATE with LENGTH bytes of SEED, or, for OBJECT_GONE, not there. */
#define fixture_expect(f, path, state, seed, length)                                               \
	assert_string_equal(fixture_describe(f, path, seed, length), fixture_wanted(state, length))
const char *fixture_describe(struct fixture *f, const char *path, unsigned seed, uint64_t length);
const char *fixture_wanted(enum object_state state, uint64_t length);

/* The result of the deletion, or -ENOENT. */
int fixture_delete(struct fixture *f, const char *path);
/* Begins one of what must be there; DEL is awaited by the caller. */
void fixture_begin_delete(struct fixture *f, const char *path, struct store_delete *del);

/* Waits until the catalog has everything. */
void fixture_settle(struct fixture *f);

/* All rows below PREFIX, "path size state type" a line; the caller frees it. */
char *fixture_list(struct fixture *f, const char *prefix);

/* The path of object I of many. It lives until the next call. */
const char *fixture_numbered(unsigned i);

/* Bytes that all volumes take. */
uint64_t fixture_disk_used(struct fixture *f);

/* Entries in the table. */
unsigned fixture_resident(struct fixture *f);

#endif
