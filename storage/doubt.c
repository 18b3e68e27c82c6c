#include "storage/doubt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/inspect.h"
#include "storage/store_internal.h"

#define SUSPECT_NAME "catalog.suspect"
#define UNREAD_NAME "catalog.unread"
#define SOON_BYTES ((off_t)16 << 20) /* of a catalog that is read in some 50 ms, */
#define PATIENCE_MS 2000             /* or longer where others are at work, too */

static bool
has_mark(const struct store *store, const char *name)
{
	return faccessat(store->dirfd, name, F_OK, 0) == 0;
}

static bool
set_mark(struct store *store, const char *name)
{
	int fd = openat(store->dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

void
doubt_clear_marks(int dirfd)
{
	unlinkat(dirfd, SUSPECT_NAME, 0);
	unlinkat(dirfd, UNREAD_NAME, 0);
}

/* The result for a catalog of BYTES, as far as it is worth to wait for it. */
static int
await(struct inspect *inspect, bool suspect, off_t bytes, char *why, size_t why_size)
{
	int err;

	if (!suspect && bytes > SOON_BYTES)
		return -EAGAIN;
	do
		err = inspect_wait(inspect, suspect ? -1 : PATIENCE_MS, why, why_size);
	while (err == -EAGAIN && suspect);
	return err;
}

int
doubt_begin(struct store *store, const char *path, char *why, size_t why_size)
{
	struct doubt *doubt = &store->doubt;
	bool suspect = has_mark(store, SUSPECT_NAME);
	struct stat st;
	int err;

	if (stat(path, &st) != 0)
		return 0;
	err = inspect_start(path, false, &doubt->inspect);
	if (err != 0) {
		log_warning("can't look whether the catalog is sound error=\"%s\"", strerror(-err));
		return 0;
	}
	if (suspect)
		log_notice("looking whether the catalog is sound before it is used");
	err = await(doubt->inspect, suspect, st.st_size, why, why_size);
	/* One end before it was read is an accident, two may be its fault. */
	if (err == -EAGAIN &&
	    set_mark(store, has_mark(store, UNREAD_NAME) ? SUSPECT_NAME : UNREAD_NAME)) {
		inspect_yield(doubt->inspect);
		return 0;
	}
	if (err == -EAGAIN) /* there is no room even for a mark: nobody would know next time */
		err = await(doubt->inspect, true, st.st_size, why, why_size);
	inspect_stop(&doubt->inspect);
	if (err == 0)
		doubt_clear_marks(store->dirfd);
	return err == -EBADMSG ? err : 0; /* whatever else it is, catalog_open finds it as well */
}

void
doubt_dispel(struct store *store)
{
	inspect_stop(&store->doubt.inspect);
	doubt_clear_marks(store->dirfd);
}

static void
hold(struct store *store, const char *why)
{
	if (atomic_exchange(&store->doubt.held, true))
		return;
	set_mark(store, SUSPECT_NAME);
	log_error("the catalog is damaged: %s; restart to rebuild it", why);
}

static void *
watch(void *arg)
{
	struct store *store = arg;
	struct inspect *inspect = store->doubt.inspect;
	char why[200];
	int err;

	pthread_setname_np(pthread_self(), "doubt");
	do
		err = inspect_wait(inspect, -1, why, sizeof(why));
	while (err == -EAGAIN);
	if (err == -EBADMSG) {
		hold(store, why);
		(void)catalog_clear_readers(store->catalog);
	} else if (err == 0 && !doubt_is_held(&store->doubt)) {
		doubt_clear_marks(store->dirfd);
		log_notice("the catalog is sound");
	}
	return NULL;
}

int
doubt_watch(struct store *store)
{
	struct doubt *doubt = &store->doubt;
	int err;

	if (doubt->inspect == NULL)
		return 0;
	err = -pthread_create(&doubt->thread, NULL, watch, store);
	doubt->watching = err == 0;
	return err;
}

void
doubt_note(struct store *store, int err)
{
	if (err == -EBADMSG)
		hold(store, "a row has a wrong checksum, or a page makes no sense");
}

bool
doubt_is_held(const struct doubt *doubt)
{
	return atomic_load_explicit(&doubt->held, memory_order_relaxed);
}

void
doubt_end(struct store *store)
{
	struct doubt *doubt = &store->doubt;
	bool has_started = doubt->watching;

	if (doubt->inspect == NULL)
		return;
	inspect_kill(doubt->inspect);
	if (doubt->watching)
		pthread_join(doubt->thread, NULL);
	doubt->watching = false;
	/* An end that was asked for is no reason to make the next start wait. A start that failed is one: it may have
	 * failed for what the catalog is like. */
	if (has_started && !doubt_is_held(doubt))
		doubt_clear_marks(store->dirfd);
	inspect_stop(&doubt->inspect);
}
