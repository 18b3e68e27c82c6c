#include "storage/doubt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/inspect.h"
#include "storage/store_internal.h"

#define MARK_NAME "catalog.suspect"
#define PATIENCE_MS 250 /* of a start that has no reason to doubt */

static void
set_mark(struct store *store)
{
	int fd = openat(store->dirfd, MARK_NAME, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	if (fd >= 0)
		close(fd);
}

static void
clear_mark(struct store *store)
{
	unlinkat(store->dirfd, MARK_NAME, 0);
}

int
doubt_begin(struct store *store, const char *path, char *why, size_t why_size)
{
	struct doubt *doubt = &store->doubt;
	bool marked = faccessat(store->dirfd, MARK_NAME, F_OK, 0) == 0;
	int err;

	if (access(path, F_OK) != 0)
		return 0;
	err = inspect_start(path, false, &doubt->inspect);
	if (err != 0) {
		log_warning("can't look whether the catalog is sound error=\"%s\"", strerror(-err));
		return 0;
	}
	if (marked)
		log_notice("looking whether the catalog is sound before it is used");
	do
		err = inspect_wait(doubt->inspect, marked ? -1 : PATIENCE_MS, why, why_size);
	while (err == -EAGAIN && marked);
	if (err == -EAGAIN) {
		set_mark(store);
		inspect_yield(doubt->inspect);
		return 0;
	}
	inspect_stop(&doubt->inspect);
	if (err == 0)
		clear_mark(store);
	return err == -EBADMSG ? err : 0; /* whatever else it is, catalog_open finds it as well */
}

void
doubt_dispel(struct store *store)
{
	inspect_stop(&store->doubt.inspect);
	clear_mark(store);
}

static void
hold(struct store *store, const char *why)
{
	if (atomic_exchange(&store->doubt.held, true))
		return;
	set_mark(store);
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
		clear_mark(store);
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

	if (doubt->inspect == NULL)
		return;
	inspect_kill(doubt->inspect);
	if (doubt->watching)
		pthread_join(doubt->thread, NULL);
	doubt->watching = false;
	/* An end that was asked for is no reason to make the next start wait. */
	if (!doubt_is_held(doubt))
		clear_mark(store);
	inspect_stop(&doubt->inspect);
}
