#include "storage/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "storage/inspect.h"
#include "storage/replay.h"
#include "storage/store_internal.h"

#define PAGE_ROWS 1000 /* of one transaction */
#define PIECE_MAX ((size_t)RECORD_BODY_MAX)

/* Damage of a volume, until it is known whether it is merely the torn end of the log. */
struct finding {
	uint32_t volume;
	uint64_t from;
	char *line;
};

struct audit {
	struct store
		store; /* what of it a replay needs: directory, volumes, and the catalog that was made */
	bool volumes_open;
	struct audit_witness witness;
	struct audit_counts counts;
	char scratch[PATH_MAX]; /* our own folder */
	uint32_t torn_volume;   /* 0: the log ends with a whole batch */
	uint64_t torn_start;
	struct finding *findings;
	size_t nfindings;
	bool short_of_memory;
	unsigned char *buffer; /* PIECE_MAX */
};

/* To one of the witness's two ears: damage, note. */
__attribute__((format(printf, 3, 4))) static void
say(const struct audit *audit, void (*ear)(void *, const char *), const char *format, ...)
{
	char line[STORE_PATH_MAX + 512];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	ear(audit->witness.arg, line);
}

static void
scratch_file(const struct audit *audit, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%.*s/%s", PATH_MAX - 64, audit->scratch, name);
}

static void
own_file(const struct audit *audit, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", audit->store.config.data_dir, name);
}

/* ---- opening --------------------------------------------------------------------- */

/* A directory without a lock file was never served, or is a copy. */
static int
lock_dir(struct store *store)
{
	store->lockfd = openat(store->dirfd, "LOCK", O_RDONLY | O_CLOEXEC);
	if (store->lockfd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (flock(store->lockfd, LOCK_EX | LOCK_NB) != 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

static int
start(struct audit *audit, const char *scratch, bool lock, char *why, size_t why_size)
{
	struct store *store = &audit->store;
	const char *dir = store->config.data_dir;
	int err;

	store->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dirfd < 0) {
		err = -errno;
		snprintf(why, why_size, "cannot open %s: %s", dir, strerror(-err));
		return err;
	}
	err = lock ? lock_dir(store) : 0;
	if (err == -EBUSY)
		snprintf(why, why_size, "a server uses %s: stop it, or look at a copy", dir);
	else if (err != 0)
		snprintf(why, why_size, "cannot lock %s/LOCK: %s", dir, strerror(-err));
	if (err != 0)
		return err;
	err = volumes_init_to_read(&store->volumes, store->dirfd);
	if (err != 0) {
		snprintf(why, why_size, "%s is no data directory: cannot open %s/volumes: %s", dir,
			 dir, strerror(-err));
		return err;
	}
	audit->volumes_open = true;
	snprintf(audit->scratch, sizeof(audit->scratch), "%s/spillway-check-XXXXXX", scratch);
	if (mkdtemp(audit->scratch) == NULL) {
		err = -errno;
		snprintf(why, why_size, "cannot make a folder in %s: %s", scratch, strerror(-err));
		audit->scratch[0] = '\0';
	}
	return err;
}

int
audit_open(const char *dir, const char *scratch, bool lock, const struct audit_witness *witness,
	   char *why, size_t why_size, struct audit **out)
{
	struct audit *audit = calloc(1, sizeof(*audit));
	int err = -ENOMEM;

	snprintf(why, why_size, "out of memory");
	if (audit == NULL)
		return err;
	audit->witness = *witness;
	audit->store.dirfd = audit->store.lockfd = -1;
	audit->store.config.data_dir = strdup(dir);
	audit->buffer = malloc(PIECE_MAX);
	if (audit->store.config.data_dir != NULL && audit->buffer != NULL)
		err = start(audit, scratch, lock, why, why_size);
	if (err != 0)
		audit_close(&audit);
	else
		*out = audit;
	return err;
}

void
audit_close(struct audit **auditp)
{
	static const char *const files[] = {"made.mdb", "made.mdb-lock", "copy.mdb",
					    "copy.mdb-lock"};
	struct audit *audit = *auditp;
	struct store *store;

	*auditp = NULL;
	if (audit == NULL)
		return;
	store = &audit->store;
	catalog_close(&store->catalog);
	if (audit->volumes_open)
		volumes_destroy(&store->volumes);
	if (audit->scratch[0] != '\0') {
		for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
			char path[PATH_MAX];

			scratch_file(audit, files[i], path);
			unlink(path);
		}
		rmdir(audit->scratch);
	}
	if (store->lockfd >= 0)
		close(store->lockfd);
	if (store->dirfd >= 0)
		close(store->dirfd);
	for (size_t i = 0; i < audit->nfindings; i++)
		free(audit->findings[i].line);
	free(audit->findings);
	free((char *)store->config.data_dir);
	free(audit->buffer);
	free(audit);
}

const struct audit_counts *
audit_counts(const struct audit *audit)
{
	return &audit->counts;
}

/* ---- volumes --------------------------------------------------------------------- */

static int
note_applied(void *arg, const struct catalog_volume *volume)
{
	struct audit *audit = arg;

	if (volume->number == audit->torn_volume && volume->applied > audit->torn_start)
		return 1;
	return 0;
}

/* Whether the batch that the log ends with was whole once: then the directory's own catalog has applied it. */
static bool
was_synced(struct audit *audit)
{
	struct catalog *catalog;
	char path[PATH_MAX];
	int synced;

	own_file(audit, "catalog.mdb", path);
	if (catalog_open_to_read(path, true, &catalog) != 0)
		return false;
	synced = catalog_volumes(catalog, note_applied, audit);
	catalog_close(&catalog);
	return synced == 1;
}

static void
on_damaged(void *arg, uint32_t volume, uint64_t from, uint64_t to, const struct record *record)
{
	static const char *const kinds[] = {
		[RECORD_OPEN] = "OPEN",
		[RECORD_DATA] = "DATA",
		[RECORD_FINAL] = "FINAL",
		[RECORD_TOMBSTONE] = "TOMBSTONE",
	};
	struct audit *audit = arg;
	struct finding *findings =
		realloc(audit->findings, (audit->nfindings + 1) * sizeof(*findings));
	char *line = NULL;

	audit->short_of_memory = true; /* until it is noted */
	if (findings == NULL)
		return;
	audit->findings = findings;
	if (record == NULL) {
		if (asprintf(&line, "volume %010u: bytes %llu to %llu are no records",
			     (unsigned)volume, (unsigned long long)from,
			     (unsigned long long)to - 1) < 0)
			return;
	} else if (asprintf(
			   &line,
			   "volume %010u: bytes %llu to %llu are damaged: %s of version %llu%s%.*s",
			   (unsigned)volume, (unsigned long long)from, (unsigned long long)to - 1,
			   kinds[record->kind], (unsigned long long)record->id,
			   record->name.path_length > 0 ? ", " : "", (int)record->name.path_length,
			   record->name.path_length > 0 ? record->name.path : "") < 0) {
		return;
	}
	findings[audit->nfindings++] = (struct finding){volume, from, line};
	audit->short_of_memory = false;
}

/* Says what was found, but for what the next start will cut off. */
static void
say_findings(struct audit *audit)
{
	bool torn = audit->torn_volume != 0 && !was_synced(audit);

	for (size_t i = 0; i < audit->nfindings; i++) {
		struct finding *finding = &audit->findings[i];

		if (torn && finding->volume == audit->torn_volume &&
		    finding->from >= audit->torn_start)
			continue;
		audit->counts.records_damaged++;
		audit->witness.damage(audit->witness.arg, finding->line);
	}
	if (torn)
		say(audit, audit->witness.note,
		    "volume %010u: the batch at %llu, the last of all, is not whole, as a crash leaves "
		    "it: it was never acknowledged, and the next start takes it off",
		    (unsigned)audit->torn_volume, (unsigned long long)audit->torn_start);
	else if (audit->torn_volume != 0)
		say(audit, audit->witness.damage,
		    "volume %010u: the batch at %llu, the last of all, is not whole",
		    (unsigned)audit->torn_volume, (unsigned long long)audit->torn_start);
}

static void
on_torn(void *arg, uint32_t volume, uint64_t start)
{
	struct audit *audit = arg;

	audit->torn_volume = volume;
	audit->torn_start = start;
}

static void
on_missing(void *arg, uint32_t volume, int err)
{
	struct audit *audit = arg;

	say(audit, audit->witness.damage, "volume %010u %s", (unsigned)volume,
	    err == -ENOENT ? "is missing" : "has a damaged header");
}

static void
on_progress(void *arg, uint32_t volume, uint64_t position, uint64_t size)
{
	struct audit *audit = arg;
	char what[32];

	snprintf(what, sizeof(what), "volume %010u", (unsigned)volume);
	audit->witness.progress(audit->witness.arg, what, position, size);
}

int
audit_volumes(struct audit *audit, char *why, size_t why_size)
{
	struct replay_witness witness = {on_damaged, on_torn, on_missing, on_progress, audit};
	char path[PATH_MAX];
	size_t count;
	int err;

	scratch_file(audit, "made.mdb", path);
	err = replay_into(&audit->store, path, &witness, why, why_size);
	if (err == 0 && audit->short_of_memory) {
		snprintf(why, why_size, "out of memory");
		err = -ENOMEM;
	}
	if (err == 0)
		say_findings(audit);
	volumes_bytes(&audit->store.volumes, &count);
	audit->counts.volumes = count;
	return err;
}

/* ---- objects --------------------------------------------------------------------- */

struct page {
	char *paths[PAGE_ROWS];
	size_t count;
};

static int
note_path(void *arg, const struct catalog_row *row)
{
	struct page *page = arg;

	page->paths[page->count] = strndup(row->name.path, row->name.path_length);
	return page->paths[page->count] != NULL ? (page->count++, 0) : -ENOMEM;
}

int
audit_each(struct audit *audit, const char *prefix,
	   int (*visit)(void *arg, const struct catalog_row *row), void *arg)
{
	struct page *page = calloc(1, sizeof(*page));
	char *after = NULL;
	bool more = true;
	int err = page != NULL ? 0 : -ENOMEM;

	while (err == 0 && more) {
		err = catalog_list(audit->store.catalog, prefix, after, PAGE_ROWS, note_path, page,
				   &more);
		for (size_t i = 0; i < page->count && err == 0; i++)
			err = catalog_find(audit->store.catalog, page->paths[i], visit, arg);
		free(after);
		after = page->count > 0 ? page->paths[--page->count] : NULL;
		more = more && after != NULL;
		while (page->count > 0)
			free(page->paths[--page->count]);
	}
	free(after);
	free(page);
	return err;
}

/* A piece of an object, LENGTH bytes that begin SKIP behind the start of EXTENT. */
static int
read_extent(struct audit *audit, const struct extent *extent)
{
	struct volume *volume;
	int err = extent->length <= PIECE_MAX
			  ? volumes_open(&audit->store.volumes, extent->volume, &volume)
			  : -EBADMSG;

	if (err != 0)
		return err;
	err = volume_read(volume, extent->position, audit->buffer, extent->length);
	volume_put(&volume);
	if (err == 0 && XXH3_64bits(audit->buffer, extent->length) != extent->hash)
		err = -EBADMSG;
	return err;
}

static bool
has_etag(const struct catalog_row *row)
{
	static const uint8_t none[16];

	return memcmp(row->name.etag, none, sizeof(none)) != 0;
}

int
audit_read(struct audit *audit, const struct catalog_row *row,
	   int (*sink)(void *arg, const void *bytes, size_t length), void *arg)
{
	XXH3_state_t *state = XXH3_createState();
	XXH128_canonical_t etag;
	uint64_t length = 0;
	int err = 0;

	if (state == NULL)
		return -ENOMEM;
	XXH3_128bits_reset(state);
	for (size_t i = 0; i < row->nextents && err == 0; i++) {
		const struct extent *extent = &row->extents[i];

		err = read_extent(audit, extent);
		if (err != 0)
			break;
		XXH3_128bits_update(state, audit->buffer, extent->length);
		length += extent->length;
		if (sink != NULL)
			err = sink(arg, audit->buffer, extent->length);
	}
	XXH128_canonicalFromHash(&etag, XXH3_128bits_digest(state));
	XXH3_freeState(state);
	if (err == 0 &&
	    (length != row->name.size ||
	     (!row->open && memcmp(etag.digest, row->name.etag, sizeof(etag.digest)) != 0)))
		err = -EBADMSG;
	return err;
}

static int
check_object(void *arg, const struct catalog_row *row)
{
	struct audit *audit = arg;
	int err = audit_read(audit, row, NULL, NULL);

	audit->counts.objects++;
	audit->counts.bytes += row->name.size;
	if (row->open && !has_etag(row))
		audit->counts.incomplete++;
	if (audit->counts.objects % 64 == 0)
		audit->witness.progress(audit->witness.arg, "objects", audit->counts.objects, 0);
	if (err == 0 && (!row->open || !has_etag(row)))
		return 0;
	if (err == -ENOMEM)
		return err;
	audit->counts.objects_harmed++;
	say(audit, audit->witness.damage, "object %.*s: %s", (int)row->name.path_length,
	    row->name.path,
	    err == 0          ? "a part of it is missing"
	    : err == -EBADMSG ? "its bytes are not those that were uploaded"
			      : strerror(-err));
	return 0;
}

int
audit_objects(struct audit *audit, char *why, size_t why_size)
{
	int err = audit_each(audit, "/", check_object, audit);

	if (err != 0)
		snprintf(why, why_size, "cannot read the objects: %s", strerror(-err));
	return err;
}

/* ---- the catalog ----------------------------------------------------------------- */

static int
copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out = -1, err = 0;
	char buffer[65536];
	ssize_t n = 0;

	if (in >= 0)
		out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (in < 0 || out < 0)
		err = -errno;
	while (err == 0 && (n = read(in, buffer, sizeof(buffer))) != 0)
		if (n < 0 || write(out, buffer, (size_t)n) != n)
			err = n < 0 ? -errno : -ENOSPC;
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return err;
}

static int
on_difference(void *arg, enum catalog_difference difference, const char *what, bool is_path)
{
	struct audit *audit = arg;

	switch (difference) {
	case CATALOG_DIFFERS:
		say(audit, audit->witness.damage, "catalog: %s is not as the volumes say", what);
		return 0;
	case CATALOG_ONLY_FIRST:
		say(audit, audit->witness.damage, "catalog: %s is in the volumes only", what);
		return 0;
	case CATALOG_ONLY_SECOND:
		say(audit, audit->witness.damage, "catalog: %s is in the catalog only", what);
		audit->counts.objects_harmed += is_path;
		return 0;
	}
	return -EINVAL;
}

static void
ignore_damage(void *arg, uint32_t volume, uint64_t from, uint64_t to, const struct record *record)
{
	(void)arg;
	(void)volume;
	(void)from;
	(void)to;
	(void)record;
}

static void
ignore_torn(void *arg, uint32_t volume, uint64_t start)
{
	(void)arg;
	(void)volume;
	(void)start;
}

/* Brings the copy at PATH up to date, and compares it with what the volumes made. */
static int
compare_copy(struct audit *audit, const char *path, char *why, size_t why_size)
{
	struct replay_witness witness = {ignore_damage, ignore_torn, on_missing, on_progress,
					 audit};
	struct catalog *made = audit->store.catalog, *own;
	int err;

	audit->store.catalog = NULL;
	err = replay_into(&audit->store, path, &witness, why, why_size);
	own = audit->store.catalog;
	audit->store.catalog = made;
	if (err == 0) {
		err = catalog_compare(made, own, on_difference, audit);
		if (err != 0)
			snprintf(why, why_size, "cannot compare the catalogs: %s", strerror(-err));
	}
	catalog_close(&own);
	return err;
}

int
audit_catalog(struct audit *audit, char *why, size_t why_size)
{
	char path[PATH_MAX], copy[PATH_MAX], how[200];
	struct inspect *inspect;
	int err;

	own_file(audit, "catalog.mdb", path);
	scratch_file(audit, "copy.mdb", copy);
	if (access(path, F_OK) != 0) {
		say(audit, audit->witness.note, "there is no catalog: the next start makes it");
		return 0;
	}
	err = copy_file(path, copy);
	if (err != 0) {
		snprintf(why, why_size, "cannot copy %s to %s: %s", path, copy, strerror(-err));
		return err;
	}
	audit->witness.progress(audit->witness.arg, "catalog", 0, 0);
	err = inspect_start(copy, true, &inspect);
	if (err != 0) {
		snprintf(why, why_size, "cannot begin a process: %s", strerror(-err));
		return err;
	}
	do
		err = inspect_wait(inspect, -1, how, sizeof(how));
	while (err == -EAGAIN);
	inspect_stop(&inspect);
	if (err == -EBADMSG) {
		say(audit, audit->witness.damage, "catalog: damaged: %s", how);
		return 0;
	}
	if (err == -EPROTO)
		snprintf(why, why_size, "%s was written by a newer spillway", path);
	else if (err != 0)
		snprintf(why, why_size, "cannot read %s: %s", path, strerror(-err));
	return err != 0 ? err : compare_copy(audit, copy, why, why_size);
}

int
audit_replace_catalog(struct audit *audit, char *why, size_t why_size)
{
	char made[PATH_MAX], path[PATH_MAX];
	int fd, err = 0;

	scratch_file(audit, "made.mdb", made);
	own_file(audit, "catalog.mdb", path);
	catalog_close(&audit->store.catalog);
	fd = open(made, O_RDONLY | O_CLOEXEC);
	/* Also what a killed server wrote and did not sync: the catalog says now that it is there (invariant 8). */
	if (fd < 0 || syncfs(audit->store.dirfd) != 0 || fsync(fd) != 0 ||
	    rename(made, path) != 0 || fsync(audit->store.dirfd) != 0)
		err = -errno;
	if (fd >= 0)
		close(fd);
	if (err != 0) {
		snprintf(why, why_size, "cannot put %s in place: %s", path, strerror(-err));
		return err;
	}
	unlinkat(audit->store.dirfd, "catalog.mdb-lock", 0);
	doubt_clear_marks(audit->store.dirfd);
	return 0;
}
