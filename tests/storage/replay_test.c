/* replay_test.c - what was acknowledged is there after any stop; what was not is never taken for whole. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/store_internal.h"
#include "tests/storage/fixture.h"

static void
remove_catalog(struct fixture *f)
{
	fixture_close(f);
	fixture_remove(f, "catalog.mdb");
	fixture_open(f);
}

static void
what_the_catalog_lacks_is_replayed(void **state)
{
	struct fixture *f = *state;
	struct writer *writer, *hidden;

	assert_int_equal(fixture_put(f, "/old", PUBLISH_LIVE, 1, 100), 201);
	assert_int_equal(fixture_put(f, "/deleted", PUBLISH_LIVE, 1, 100), 201);
	fixture_settle(f);
	writer = fixture_begin(f, "/unfinished", PUBLISH_LIVE);
	fixture_write(f, writer, 4, 0, 600000);
	hidden = fixture_begin(f, "/hidden", PUBLISH_WHOLE);
	fixture_write(f, hidden, 4, 0, 600000);
	/* Acknowledged, and the copy is made before the catalog has it. */
	assert_int_equal(fixture_put(f, "/big", PUBLISH_LIVE, 2, 5000000), 201);
	assert_int_equal(fixture_put(f, "/old", PUBLISH_LIVE, 3, 70000), 204);
	assert_int_equal(fixture_put(f, "/empty", PUBLISH_WHOLE, 3, 0), 201);
	assert_int_equal(fixture_delete(f, "/deleted"), 0);
	while (atomic_load(&writer_object(writer)->tail.kept_from) == 0)
		usleep(1000);
	writer_abort(&hidden);
	writer_abort(&writer);
	fixture_crash_to(f, "crash");
	for (unsigned round = 0; round < 3; round++) {
		struct object *object = NULL;

		fixture_open(f);
		fixture_expect(f, "/big", OBJECT_COMPLETE, 2, 5000000);
		fixture_expect(f, "/old", OBJECT_COMPLETE, 3, 70000);
		fixture_expect(f, "/empty", OBJECT_COMPLETE, 3, 0);
		fixture_expect(f, "/deleted", OBJECT_GONE, 0, 0);
		fixture_expect(f, "/hidden", OBJECT_GONE, 0, 0);
		assert_int_equal(fixture_find(f, "/unfinished", &object), 0);
		assert_int_equal(object_status(object).state, OBJECT_INCOMPLETE);
		assert_true(object_status(object).length >= PERSIST_PIECE);
		assert_true(fixture_holds(f, object, 4, object_status(object).length));
		object_put(&object);
		fixture_close(f);
		if (round == 1)
			fixture_remove(f, "catalog.mdb");
	}
}

/* ---- a rebuilt catalog -------------------------------------------------------------- */

struct text {
	char *bytes;
	size_t size;
	FILE *out;
};

static int
print_row(void *arg, const struct catalog_row *row)
{
	struct text *text = arg;

	fprintf(text->out, "%.*s id=%llu seq=%llu size=%llu mtime=%lld open=%d type=%.*s",
		(int)row->name.path_length, row->name.path, (unsigned long long)row->id,
		(unsigned long long)row->seq, (unsigned long long)row->name.size,
		(long long)row->name.mtime_ms, row->open, (int)row->name.type_length,
		row->name.type);
	for (unsigned i = 0; i < 16 && !row->open; i++)
		fprintf(text->out, "%02x", row->name.etag[i]);
	for (size_t i = 0; i < row->nextents; i++)
		fprintf(text->out, " [%llu+%u %u:%llu]", (unsigned long long)row->extents[i].offset,
			row->extents[i].length, row->extents[i].volume,
			(unsigned long long)row->extents[i].position);
	fputc('\n', text->out);
	return 0;
}

static int
print_path(void *arg, const struct catalog_row *row)
{
	char path[STORE_PATH_MAX + 1];
	struct text *text = ((void **)arg)[0];
	struct fixture *f = ((void **)arg)[1];

	snprintf(path, sizeof(path), "%.*s", (int)row->name.path_length, row->name.path);
	return catalog_find(f->store->catalog, path, print_row, text);
}

static int
print_volume(void *arg, const struct catalog_volume *volume)
{
	struct text *text = arg;

	if (volume->live > 0) /* else it may be gone by now */
		fprintf(text->out, "volume %u live=%llu\n", volume->number,
			(unsigned long long)volume->live);
	return 0;
}

/* Everything the catalog says, but where it stands in the log. */
static char *
print_catalog(struct fixture *f)
{
	struct text text;
	void *arg[2] = {&text, f};
	bool more = false;

	text.out = open_memstream(&text.bytes, &text.size);
	assert_int_equal(
		catalog_list(f->store->catalog, "/", NULL, SIZE_MAX, print_path, arg, &more), 0);
	assert_int_equal(catalog_volumes(f->store->catalog, print_volume, &text), 0);
	fclose(text.out);
	return text.bytes;
}

/* Uploads of every kind, also several at once on one path, and deletions. */
static void
live_through_a_day(struct fixture *f, unsigned seed, unsigned steps)
{
	struct writer *open[4] = {NULL};
	uint64_t length[4] = {0};
	unsigned random = seed;

	for (unsigned i = 0; i < steps; i++) {
		unsigned slot = (random = random * 1103515245 + 12345) >> 30;
		unsigned dice = (random >> 16) % 16;
		struct writer_receipt receipt;
		char path[16];

		snprintf(path, sizeof(path), "/%u", (random >> 20) % 8);
		if (open[slot] == NULL && dice < 13) {
			int err = fixture_try_begin(
				f, path, dice % 2 ? PUBLISH_LIVE : PUBLISH_WHOLE,
				dice < 3 ? EXISTING_APPEND : EXISTING_REPLACE, &open[slot]);

			assert_true(err == 0 || err == -EBUSY);
			if (err == 0)
				length[slot] = object_status(writer_object(open[slot])).length;
		} else if (open[slot] == NULL) {
			fixture_delete(f, path);
		} else if (dice < 10) {
			uint64_t size = dice < 2 ? 300000 : random % 3000;

			fixture_write(f, open[slot], 1, length[slot], size);
			length[slot] += size;
		} else if (dice < 14) {
			fixture_finish(f, &open[slot], &receipt);
			assert_true(fixture_answer(f, &receipt) > 0);
		} else {
			writer_abort(&open[slot]);
		}
	}
	for (unsigned i = 0; i < 4; i++)
		writer_abort(&open[i]);
}

static void
a_rebuilt_catalog_equals_the_live_one(void **state)
{
	struct fixture *f = *state;

	for (unsigned seed = 1; seed <= 2; seed++) {
		char *live, *replayed, *rebuilt, *list, *relist;

		live_through_a_day(f, seed, 1500);
		fixture_crash_to(f, seed % 2 ? "odd" : "even");
		fixture_open(f); /* a part of the log is replayed */
		replayed = print_catalog(f);
		list = fixture_list(f, "/");
		fixture_reopen(f);
		live = print_catalog(f);
		assert_string_equal(live, replayed);
		remove_catalog(f);
		rebuilt = print_catalog(f);
		relist = fixture_list(f, "/");
		assert_string_equal(live, rebuilt);
		assert_string_equal(list, relist);
		free(live);
		free(replayed);
		free(rebuilt);
		free(list);
		free(relist);
	}
}

/* What the table answers for a path is what a restart will answer. */
static void
memory_and_log_agree(void **state)
{
	struct fixture *f = *state;

	for (unsigned seed = 11; seed < 19; seed++) {
		char *before, *after, *rebuilt;

		live_through_a_day(f, seed, 800);
		fixture_settle(f);
		before = fixture_list(f, "/");
		for (char path[] = "/0"; path[1] < '8'; path[1]++) {
			struct object *object = NULL;

			if (fixture_find(f, path, &object) == 0)
				assert_true(
					fixture_holds(f, object, 1, object_status(object).length));
			object_put(&object);
		}
		fixture_reopen(f);
		after = fixture_list(f, "/");
		assert_string_equal(before, after);
		remove_catalog(f);
		rebuilt = fixture_list(f, "/");
		assert_string_equal(before, rebuilt);
		for (char path[] = "/0"; path[1] < '8'; path[1]++) {
			struct object *object = NULL;

			if (fixture_find(f, path, &object) == 0)
				assert_true(
					fixture_holds(f, object, 1, object_status(object).length));
			object_put(&object);
		}
		free(before);
		free(after);
		free(rebuilt);
	}
}

/* ---- kill -9 ------------------------------------------------------------------------- */

#define PATHS 64

/* What the child tells before it may do something, and after it was acknowledged. */
struct line {
	char what; /* 'b': a PUT begins, 'p': it was answered, 'd' and 'D': the same of a DELETE */
	unsigned char path;
	unsigned seed;
	unsigned length;
};

static void
tell(int fd, char what, unsigned path, unsigned seed, unsigned length)
{
	struct line line = {what, (unsigned char)path, seed, length};

	if (write(fd, &line, sizeof(line)) != sizeof(line))
		_exit(2);
}

/* The child: uploads and deletes until it is killed, always some uploads under way. */
static void
work(struct fixture *f, int fd, unsigned random)
{
	struct writer *unfinished[4];

	fixture_open(f);
	for (unsigned i = 0; i < 4; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/u%u", i);
		unfinished[i] = fixture_begin(f, path, PUBLISH_LIVE);
	}
	for (unsigned n = 0;; n++) {
		unsigned path = (random = random * 1103515245 + 12345) / 65536 % PATHS;
		unsigned length = random >> 28 == 0 ? 700000 : random / 256 % 5000;
		char name[16];

		snprintf(name, sizeof(name), "/%u", path);
		fixture_write(f, unfinished[n % 4], n % 4,
			      object_status(writer_object(unfinished[n % 4])).length, 3000);
		if (random >> 29 == 1) {
			tell(fd, 'd', path, 0, 0);
			fixture_delete(f, name);
			tell(fd, 'D', path, 0, 0);
		} else {
			tell(fd, 'b', path, random, length);
			if (fixture_put(f, name, random & 1024 ? PUBLISH_LIVE : PUBLISH_WHOLE,
					random, length) < 0)
				_exit(3);
			tell(fd, 'p', path, random, length);
		}
	}
}

struct fate {
	bool exists; /* as acknowledged, or as the last restart found it */
	bool incomplete;
	unsigned seed, length;
	bool pending; /* a change was not answered */
	struct line change;
};

static void
read_log(int fd, struct fate *fates)
{
	struct line line;

	while (read(fd, &line, sizeof(line)) == sizeof(line)) {
		struct fate *fate = &fates[line.path];

		fate->pending = line.what == 'b' || line.what == 'd';
		fate->change = line;
		if (line.what == 'p' || line.what == 'D') {
			fate->exists = line.what == 'p';
			fate->incomplete = false;
			fate->seed = line.seed;
			fate->length = line.length;
		}
	}
}

static void
expect_fate(struct fixture *f, unsigned path, struct fate *fate)
{
	struct object *object = NULL;
	struct object_status status;
	char name[16];
	bool old, new;
	int err;

	snprintf(name, sizeof(name), "/%u", path);
	err = fixture_find(f, name, &object);
	if (err != 0) {
		assert_int_equal(err, -ENOENT);
		assert_true(!fate->exists || (fate->pending && fate->change.what == 'd'));
		fate->exists = fate->pending = false;
		return;
	}
	status = object_status(object);
	old = fate->exists && status.length == fate->length &&
	      fixture_holds(f, object, fate->seed, status.length);
	new = fate->pending && fate->change.what == 'b' &&
	      status.length <= fate->change.length &&fixture_holds(f, object, fate->change.seed,
								   status.length);
	assert_true(old || new);
	if (status.state == OBJECT_COMPLETE) {
		assert_true(old || status.length == fate->change.length);
	} else {
		/* A live one, of now or of an earlier round. */
		assert_true((old && fate->incomplete) || (new && (fate->change.seed & 1024)));
		fate->length = (unsigned)status.length;
	}
	fate->incomplete = status.state == OBJECT_INCOMPLETE;
	if (!old) {
		fate->exists = true;
		fate->seed = fate->change.seed;
		fate->length = (unsigned)status.length;
	}
	fate->pending = false;
	object_put(&object);
}

/* The process dies in the middle of everything, again and again, in one directory. */
static void
whatever_was_acknowledged_survives_kill_9(void **state)
{
	struct fixture *f = *state;
	struct fate fates[PATHS];

	memset(fates, 0, sizeof(fates));
	for (unsigned round = 0; round < 6; round++) {
		int log[2], status;
		pid_t child;

		assert_int_equal(pipe(log), 0);
		fcntl(log[1], F_SETPIPE_SZ, 1 << 20);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			close(log[0]);
			work(f, log[1], round * 7919 + 5);
		}
		close(log[1]);
		usleep(300000 + round * 137000);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		read_log(log[0], fates);
		close(log[0]);

		if (round == 4)
			fixture_remove(f, "catalog.mdb");
		fixture_open(f);
		for (unsigned i = 0; i < PATHS; i++)
			expect_fate(f, i, &fates[i]);
		for (unsigned i = 0; i < 4; i++) {
			struct object *object = NULL;
			char path[16];

			snprintf(path, sizeof(path), "/u%u", i);
			if (fixture_find(f, path, &object) == 0) {
				assert_int_equal(object_status(object).state, OBJECT_INCOMPLETE);
				assert_true(
					fixture_holds(f, object, i, object_status(object).length));
			}
			object_put(&object);
		}
		fixture_close(f);
	}
}

/* ---- damaged and foreign files -------------------------------------------------------- */

static int
open_volume(struct fixture *f, unsigned number)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/volumes/%010u.vol", f->data, number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void
a_torn_batch_takes_nothing_else_with_it(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	off_t end;
	int fd;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 100000), 201);
	fixture_settle(f);
	fixture_crash_to(f, "before");
	fixture_open(f);
	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 2, 100000), 201);
	fixture_close(f);

	/* The last page of the last batch never got to disk; the catalog has not seen it. */
	fd = open_volume(f, 2);
	end = 4096 + (100000 + 8191) / 4096 * 4096;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pwrite(fd, "torn", 4, end - 8192), 4);
	close(fd);
	fixture_remove(f, "catalog.mdb");
	fixture_open(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 100000);
	fixture_expect(f, "/b", OBJECT_GONE, 0, 0);
	assert_int_equal(fixture_put(f, "/b", PUBLISH_LIVE, 3, 100000), 201);
	remove_catalog(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 100000);
	fixture_expect(f, "/b", OBJECT_COMPLETE, 3, 100000);
}

static void
a_damaged_catalog_is_rebuilt(void **state)
{
	struct fixture *f = *state;
	char path[256];
	int fd;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 100000), 201);
	fixture_close(f);
	snprintf(path, sizeof(path), "%s/catalog.mdb", f->data);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "garbage", 7), 7);
	close(fd);
	fixture_open(f);
	fixture_expect(f, "/a", OBJECT_COMPLETE, 1, 100000);
}

static void
a_newer_format_is_refused_with_a_sentence(void **state)
{
	struct fixture *f = *state;
	const unsigned char newer[4] = {VOLUME_FORMAT + 1};
	char why[512] = "", file[64];
	int fd;

	assert_int_equal(fixture_put(f, "/a", PUBLISH_LIVE, 1, 100000), 201);
	fixture_close(f);
	fd = open_volume(f, 1);
	assert_int_equal(pwrite(fd, newer, 4, 8), 4);
	close(fd);
	assert_int_equal(store_open(&f->config, why, sizeof(why), &f->store), -EPROTO);
	assert_null(f->store);
	snprintf(file, sizeof(file), "%010u.vol", 1);
	assert_non_null(strstr(why, file));
	assert_non_null(strstr(why, "newer"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
#define CLOSED(test) cmocka_unit_test_setup_teardown(test, fixture_setup_closed, fixture_teardown)
		CLOSED(whatever_was_acknowledged_survives_kill_9),
		PLAIN(what_the_catalog_lacks_is_replayed),
		PLAIN(a_rebuilt_catalog_equals_the_live_one),
		PLAIN(memory_and_log_agree),
		PLAIN(a_torn_batch_takes_nothing_else_with_it),
		PLAIN(a_damaged_catalog_is_rebuilt),
		PLAIN(a_newer_format_is_refused_with_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
