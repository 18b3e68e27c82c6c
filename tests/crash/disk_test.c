/* disk_test - a store on a simulated disk, and what it makes of every picture that a power cut may leave.
 *
 * A store works under load in a process that is killed at some event, and is started again there, some times;
 * all of it on one simulated disk. Then hundreds of images are made of moments in that history, each by
 * dice of its own (simdisk.h), and a store is opened on each: all that was acknowledged before the moment must be
 * there, nothing that was deleted or replaced by then, and nothing with a wrong byte. Some images lose their
 * catalog, and each is read a second time with a catalog that was rebuilt: it must tell the same.
 *
 *   SECONDS=N  goes on with further histories until then (a few: one short and one with many bytes)
 *   IMAGES=N   of each history, and a third of that for one with many bytes
 *   SEED=N     the first history's
 *   KEEP=DIR   images that broke a promise are kept there
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/store_internal.h"
#include "tests/crash/disk_load.h"

#define LIVES 4
#define NEAR 80             /* events: about what is written while a volume is emptied */
#define MOST_WITHOUT_COPY 8 /* histories */
#define JOBS 2
#define ROOM ((uint64_t)1 << 30) /* more than a history and the images of it at a time */
#define OBJECT_MAX ((size_t)4 << 20)

/* Shared with the processes that look at images. */
struct counts {
	_Atomic unsigned images, rebuilt, certain, deleted, unsure, broken;
	uint64_t copied;
};

struct history {
	struct simdisk *disk;
	struct plan *plan;
	uint64_t seed;
	char folder[64];
};

static struct counts *counts;

static unsigned long
number_from(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text != NULL && *text != '\0' ? strtoul(text, NULL, 10) : otherwise;
}

static void
run_rm(const char *path)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", path, (char *)NULL);
		_exit(2);
	}
	waitpid(pid, NULL, 0);
}

/* ---- a history ------------------------------------------------------------------- */

static struct fixture *
fixture_at(const char *data, bool sync)
{
	void *state;
	struct fixture *f;

	if (fixture_setup_closed(&state) != 0)
		exit(2);
	f = state;
	rmdir(f->dir); /* not used, and this process may be killed */
	snprintf(f->data, sizeof(f->data), "%s", data);
	f->config.sync = sync;
	f->config.volume_size = VOLUME_SIZE_MIN;
	f->config.evict = false;
	return f;
}

/* One process: opens the store, works, and closes it, or is killed at the disk's deadline. */
static void
live(struct history *history, const char *data, uint64_t seed, int64_t ms)
{
	void *state;
	struct fixture *f;

	simdisk_record(history->disk, data);
	state = f = fixture_at(data, true);
	fixture_open(f);
	plan_work(history->plan, history->disk, f, seed, ms);
	fixture_close(f);
	fixture_teardown(&state);
	exit(0);
}

static bool
make_history(struct history *history)
{
	char data[96];
	uint64_t seed = history->seed;

	snprintf(data, sizeof(data), "%s/data", history->folder);
	if (mkdir(data, 0750) != 0)
		return false;
	for (unsigned i = 0; i < LIVES; i++) {
		static const unsigned spans[] = {8, 40, 150, 600};
		int64_t ms = history->plan->is_bulky ? 1800 : 300 + (int64_t)(seed % 500);
		uint64_t life = simdisk_random(&seed);
		int status;
		pid_t pid;

		/* Early in the start, later in it, under load; the last one ends in good order. */
		history->disk->deadline = UINT32_MAX;
		if (i < LIVES - 1 && simdisk_random(&seed) % 5 != 0)
			history->disk->deadline = history->disk->count + 2 +
						  (uint32_t)(simdisk_random(&seed) %
							     (spans[simdisk_random(&seed) % 4] *
							      (history->plan->is_bulky ? 3u : 1u)));
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			live(history, data, life, ms);
		waitpid(pid, &status, 0);
		if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) {
			printf("BROKEN: the store ended with status %x in life %u of history %llu\n",
			       (unsigned)status, i, (unsigned long long)history->seed);
			return false;
		}
	}
	return true;
}

/* ---- an image -------------------------------------------------------------------- */

/* What is asked for one path. All are asked at once: the pool's threads and this one would only wait for each
 * other. */
struct question {
	struct store_load load;
	struct object_warm warm;
	char path[64];
};

static struct question *
ask(struct fixture *f)
{
	struct question *all = calloc(plan_paths(), sizeof(*all));

	if (all == NULL)
		exit(2);
	for (unsigned i = 0; i < plan_paths(); i++) {
		snprintf(all[i].path, sizeof(all[i].path), "%s", plan_path(i));
		all[i].load = (struct store_load){.store = f->store,
						  .path = all[i].path,
						  .mailbox = &f->mailbox,
						  .letter.deliver = fixture_came};
		store_load(&all[i].load);
	}
	for (unsigned i = 0; i < plan_paths(); i++) {
		fixture_await(f, &all[i].load.letter);
		if (all[i].load.object == NULL)
			continue;
		all[i].warm = (struct object_warm){.object = all[i].load.object,
						   .mailbox = &f->mailbox,
						   .letter.deliver = fixture_came};
		object_warm(&all[i].warm);
	}
	for (unsigned i = 0; i < plan_paths(); i++)
		if (all[i].load.object != NULL)
			fixture_await(f, &all[i].warm.letter);
	return all;
}

/* What the answer is; false: it can't be read. The object is given back. */
static bool
look(struct fixture *f, struct question *question, struct finding *found)
{
	static unsigned char buffer[OBJECT_MAX];
	struct object *object = question->load.object;
	struct object_cursor cursor = {0};
	struct object_status status;
	uint64_t offset = 0;

	*found = (struct finding){.state = OBJECT_GONE, .bytes = buffer};
	if (object == NULL)
		return question->load.result == -ENOENT;
	status = object_status(object);
	found->state = status.state;
	found->length = status.length;
	while (offset < status.length && status.length <= OBJECT_MAX) {
		int64_t n = fixture_read(f, object, &cursor, offset, buffer + offset,
					 (size_t)(status.length - offset));

		if (n <= 0)
			break;
		offset += (uint64_t)n;
	}
	object_cursor_reset(&cursor);
	object_put(&object);
	return offset == status.length;
}

static unsigned
judge(const struct history *history, uint32_t moment, struct fixture *f)
{
	struct question *all = ask(f);
	unsigned broken = 0;

	for (unsigned i = 0; i < plan_paths(); i++) {
		struct finding found;
		bool certain;

		if (!look(f, &all[i], &found)) {
			printf("  %s can't be read\n", plan_path(i));
			broken++;
		} else if (!plan_allows(history->plan, i, moment, &found, &certain)) {
			plan_explain(history->plan, i, moment, &found);
			broken++;
		} else if (!certain) {
			counts->unsure++;
		} else if (found.state == OBJECT_GONE) {
			counts->deleted++;
		} else {
			counts->certain++;
		}
	}
	free(all);
	return broken;
}

static void
remove_catalog(const char *data)
{
	char name[160];

	snprintf(name, sizeof(name), "%s/catalog.mdb", data);
	unlink(name);
	snprintf(name, sizeof(name), "%s/catalog.mdb-lock", data);
	unlink(name);
}

static bool
has_folder(const char *data)
{
	char name[160];

	snprintf(name, sizeof(name), "%s/volumes", data);
	return access(name, F_OK) == 0;
}

/* The first row that is not the same in both lists. */
static void
print_difference(const char *before, const char *after)
{
	while (*before != '\0' && strncmp(before, after, strcspn(before, "\n") + 1) == 0) {
		size_t line = strcspn(before, "\n") + 1;

		before += line;
		after += line;
	}
	printf("  a rebuilt catalog lists \"%.*s\", it was \"%.*s\"\n", (int)strcspn(after, "\n"),
	       after, (int)strcspn(before, "\n"), before);
}

/* The number of promises that the image of MOMENT in DATA breaks. */
static unsigned
examine(const struct history *history, uint32_t moment, const char *data, bool is_bare)
{
	struct fixture *f = fixture_at(data, false);
	char *before, *after;
	unsigned broken;
	void *state = f;

	if (is_bare)
		remove_catalog(data);
	fixture_open(f);
	broken = judge(history, moment, f);
	before = fixture_list(f, "/");
	fixture_close(f);
	if (!is_bare && has_folder(data)) {
		remove_catalog(data);
		fixture_open(f);
		broken += judge(history, moment, f);
		after = fixture_list(f, "/");
		if (strcmp(before, after) != 0) {
			print_difference(before, after);
			broken++;
		}
		free(after);
		fixture_close(f);
		counts->rebuilt++;
	}
	free(before);
	fixture_teardown(&state);
	return broken;
}

static void
keep(const char *data, uint32_t moment)
{
	const char *target = getenv("KEEP");
	char command[512];

	if (target == NULL || *target == '\0')
		return;
	snprintf(command, sizeof(command),
		 "mkdir -p '%s' && cp -r --sparse=always '%s' '%s/moment-%u'", target, data, target,
		 moment);
	if (system(command) != 0)
		perror(target);
}

/* In a process of its own: whatever the store does with it, the others go on. */
static void
try_image(const struct history *history, unsigned number, uint32_t moment, uint64_t seed)
{
	struct simdisk_fate fate = simdisk_choose_fate(seed);
	bool is_bare = simdisk_random(&seed) % 3 == 0;
	char data[96];
	pid_t pid;
	int status, err;

	snprintf(data, sizeof(data), "%s/image-%u", history->folder, number);
	err = simdisk_image(history->disk, moment, &fate, data);
	if (err != 0) {
		fprintf(stderr, "%s: %s\n", data, strerror(-err));
		_exit(2);
	}
	pid = fork();
	if (pid == 0)
		exit(examine(history, moment, data, is_bare) > 0);
	waitpid(pid, &status, 0);
	if (status != 0) {
		printf("BROKEN: SEED=%llu image %u of moment %u, %u%% of pieces of %u sectors kept%s%s%s: "
		       "status %x\n",
		       (unsigned long long)history->seed, number, moment, fate.kept, fate.piece,
		       fate.ordered ? ", in order" : "", fate.noise ? ", noise" : "",
		       is_bare ? ", without its catalog" : "", (unsigned)status);
		keep(data, moment);
		counts->broken++;
	}
	counts->images++;
	run_rm(data);
	fflush(stdout);
	_exit(0);
}

/* Half of them anywhere, the others where something was just synced, renamed, unlinked or acknowledged; where a
 * volume was emptied, half of all near that. */
static uint32_t
choose_moment(const struct history *history, uint64_t *seed)
{
	const struct plan *plan = history->plan;
	uint32_t count = history->disk->count, at = (uint32_t)(simdisk_random(seed) % count);

	if (plan->ncopyings > 0 && simdisk_random(seed) % 2 == 0) {
		at = plan->copying[simdisk_random(seed) % plan->ncopyings] + NEAR / 4 -
		     (uint32_t)(simdisk_random(seed) % NEAR);
		at = at < count ? at : count - 1; /* also if it is less than none */
	}
	if (simdisk_random(seed) % 2 == 0)
		return at + 1;
	while (at < count && (history->disk->event[at].kind == SIMDISK_WRITE ||
			      history->disk->event[at].kind == SIMDISK_SIZE ||
			      history->disk->event[at].kind == SIMDISK_ALLOCATE))
		at++;
	return at + (uint32_t)(simdisk_random(seed) % 2);
}

static void
try_images(const struct history *history, unsigned images)
{
	uint64_t seed = ~history->seed;
	unsigned running = 0;

	for (unsigned i = 0; i < images && counts->broken < 10; i++) {
		uint32_t moment = choose_moment(history, &seed);
		uint64_t fate = simdisk_random(&seed);

		if (running == JOBS) {
			wait(NULL);
			running--;
		}
		fflush(stdout);
		if (fork() == 0)
			try_image(history, i, moment, fate);
		running++;
	}
	while (wait(NULL) > 0)
		;
}

static void
report(const struct history *history)
{
	unsigned kinds[SIMDISK_NOTE + 1] = {0}, acknowledged = 0, appends = 0;

	for (uint32_t i = 0; i < history->disk->count; i++)
		kinds[history->disk->event[i].kind]++;
	for (unsigned i = 0; i < history->plan->count; i++) {
		const struct op *op = &history->plan->ops[i];

		acknowledged += op->is_acknowledged;
		appends += op->is_acknowledged && op->kind == OP_APPEND;
	}
	printf("history %llu%s: %u operations, %u acknowledged, %u of them appends; %u writes, %u syncs, %u names made, "
	       "%u removed, %u MiB, %u KiB copied\n",
	       (unsigned long long)history->seed, history->plan->is_bulky ? " (bulky)" : "",
	       history->plan->count, acknowledged, appends, kinds[SIMDISK_WRITE],
	       kinds[SIMDISK_SYNC] + kinds[SIMDISK_SYNC_ONE], kinds[SIMDISK_CREATE],
	       kinds[SIMDISK_UNLINK], (unsigned)(history->disk->used >> 20),
	       (unsigned)(history->plan->copied >> 10));
}

static bool
has_room(const char *folder)
{
	struct statvfs st;

	return access(folder, W_OK) == 0 && statvfs(folder, &st) == 0 &&
	       (uint64_t)st.f_bavail * st.f_frsize > ROOM;
}

static void
run_history(uint64_t seed, bool is_bulky, unsigned images)
{
	struct history history = {.seed = seed};

	history.disk = simdisk_new((uint64_t)2 << 30);
	history.plan = plan_new();
	history.plan->is_bulky = is_bulky;
	history.disk->sync_us = 300;
	/* In memory if there is room: the disk is a simulated one, after all. */
	strcpy(history.folder, has_room("/dev/shm") ? "/dev/shm/spillway-disk-test-XXXXXX"
						    : P_tmpdir "/spillway-disk-test-XXXXXX");
	if (mkdtemp(history.folder) == NULL) {
		perror(history.folder);
		exit(2);
	}
	if (make_history(&history)) {
		report(&history);
		counts->copied += history.plan->copied;
		try_images(&history, is_bulky ? images / 3 : images);
	} else {
		counts->broken++;
	}
	run_rm(history.folder);
	munmap(history.disk, sizeof(*history.disk) + history.disk->room);
	munmap(history.plan, sizeof(*history.plan));
}

int
main(void)
{
	int64_t end = clock_mono_ms() + (int64_t)number_from("SECONDS", 0) * 1000;
	unsigned images = (unsigned)number_from("IMAGES", 90);
	uint64_t seed = number_from("SEED", (unsigned long)clock_wall_ms() % 1000000000);
	unsigned histories = 0;

	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (counts == MAP_FAILED)
		return 2;
	log_set_level(LOG_LEVEL_ERROR);
	do {
		run_history(seed + histories, histories % 2 == 1, images);
		histories++;
	} while ((histories < 2 || clock_mono_ms() < end ||
		  (counts->copied == 0 && histories < MOST_WITHOUT_COPY)) &&
		 counts->broken == 0);
	if (counts->copied == 0 && counts->broken == 0) {
		printf("BROKEN: no volume was emptied: this run says nothing of copies\n");
		counts->broken++;
	}
	printf("disk: SEED=%llu %u histories, %u images, %u of them rebuilt as well, %u objects verified, "
	       "%u absences verified, %u unsure ones verified, %u KiB copied out of dying volumes, "
	       "%u broken promises\n",
	       (unsigned long long)seed, histories, counts->images, counts->rebuilt,
	       counts->certain, counts->deleted, counts->unsure, (unsigned)(counts->copied >> 10),
	       counts->broken);
	return counts->broken > 0;
}
