#include "base/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"

#define BATCH_MS 100

struct slot {
	pthread_mutex_t lock; /* guards filling and length; never held over a system call */
	char *filling;
	size_t length;
	char *writing; /* the thread's */
};

struct spool {
	char *path; /* NULL: standard error */
	int fd;     /* the thread's */
	pthread_t thread;
	pthread_mutex_t lock; /* guards stopping and reopening */
	pthread_cond_t wake;
	bool stopping;
	bool reopening;
	_Atomic bool pending;  /* some slot has lines, and the thread knows */
	_Atomic bool urgent;   /* some slot is half full */
	_Atomic bool dropping; /* since the last write that went well */
	int error;             /* of the last write; the thread's */
	unsigned slot_count;
	struct slot slots[];
};

static int
open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);

	return fd >= 0 ? fd : -errno;
}

static void
drop(struct spool *spool, int64_t lines)
{
	metric_add(METRIC_access_log_dropped_total, lines);
	if (lines > 0 && !atomic_exchange(&spool->dropping, true))
		log_warning("lines of the access log are dropped: it can't be written fast enough");
}

static int64_t
count_lines(const char *text, size_t length)
{
	const char *end = text + length;
	int64_t lines = 0;

	while (text < end && (text = memchr(text, '\n', (size_t)(end - text))) != NULL) {
		lines++;
		text++;
	}
	return lines;
}

static void
write_all(struct spool *spool, const char *text, size_t length)
{
	int error = 0;

	while (length > 0 && error == 0) {
		ssize_t n = write(spool->fd, text, length);

		if (n >= 0) {
			text += n;
			length -= (size_t)n;
		} else if (errno != EINTR) {
			error = errno;
		}
	}
	if (error != 0) {
		metric_add(METRIC_access_log_dropped_total, count_lines(text, length));
		if (error != spool->error)
			log_error("can't write the access log error=\"%s\"", strerror(error));
	} else if (atomic_exchange(&spool->dropping, false) || spool->error != 0) {
		log_notice("the access log is written again");
	}
	spool->error = error;
}

static void
flush(struct spool *spool)
{
	atomic_store(&spool->pending, false);
	atomic_store(&spool->urgent, false);
	for (unsigned i = 0; i < spool->slot_count; i++) {
		struct slot *slot = &spool->slots[i];
		char *text;
		size_t length;

		pthread_mutex_lock(&slot->lock);
		text = slot->filling;
		length = slot->length;
		slot->filling = slot->writing;
		slot->length = 0;
		pthread_mutex_unlock(&slot->lock);
		slot->writing = text;
		if (length > 0)
			write_all(spool, text, length);
	}
}

static void
reopen(struct spool *spool)
{
	int fd;

	if (spool->path == NULL)
		return;
	fd = open_file(spool->path);
	if (fd < 0) {
		log_error("can't reopen the access log file=%s error=\"%s\"", spool->path,
			  strerror(-fd));
		return;
	}
	close(spool->fd);
	spool->fd = fd;
	log_notice("reopened file=%s", spool->path);
}

/* Collects lines for a while, unless there are many or something is to be done. The lock is held. */
static void
linger(struct spool *spool)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += BATCH_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	while (!spool->stopping && !spool->reopening && !atomic_load(&spool->urgent))
		if (pthread_cond_timedwait(&spool->wake, &spool->lock, &until) != 0)
			break;
}

static void *
spool_main(void *arg)
{
	struct spool *spool = arg;
	bool stopping = false, reopening;

	pthread_setname_np(pthread_self(), "spool");
	while (!stopping) {
		pthread_mutex_lock(&spool->lock);
		while (!spool->stopping && !spool->reopening && !atomic_load(&spool->pending))
			pthread_cond_wait(&spool->wake, &spool->lock);
		linger(spool);
		stopping = spool->stopping;
		reopening = spool->reopening;
		spool->reopening = false;
		pthread_mutex_unlock(&spool->lock);
		flush(spool);
		if (reopening)
			reopen(spool);
	}
	return NULL;
}

static void
wake(struct spool *spool)
{
	pthread_mutex_lock(&spool->lock);
	pthread_cond_signal(&spool->wake);
	pthread_mutex_unlock(&spool->lock);
}

void
spool_put(struct spool *spool, unsigned index, const char *line, size_t length)
{
	struct slot *slot = &spool->slots[index];
	bool fits, half;

	pthread_mutex_lock(&slot->lock);
	fits = length <= SPOOL_BYTES - slot->length;
	if (fits) {
		memcpy(slot->filling + slot->length, line, length);
		slot->length += length;
	}
	half = slot->length > SPOOL_BYTES / 2;
	pthread_mutex_unlock(&slot->lock);
	if (!fits)
		drop(spool, 1);
	if (!atomic_exchange(&spool->pending, true) ||
	    (half && !atomic_exchange(&spool->urgent, true)))
		wake(spool);
}

static void
free_all(struct spool *spool)
{
	for (unsigned i = 0; i < spool->slot_count; i++) {
		pthread_mutex_destroy(&spool->slots[i].lock);
		free(spool->slots[i].filling);
		free(spool->slots[i].writing);
	}
	pthread_cond_destroy(&spool->wake);
	pthread_mutex_destroy(&spool->lock);
	if (spool->path != NULL && spool->fd >= 0)
		close(spool->fd);
	free(spool->path);
	free(spool);
}

int
spool_open(const char *path, unsigned slots, struct spool **out)
{
	struct spool *spool = calloc(1, sizeof(*spool) + slots * sizeof(struct slot));
	pthread_condattr_t attributes;
	int rc = -ENOMEM;

	if (spool == NULL)
		return -ENOMEM;
	pthread_mutex_init(&spool->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&spool->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	for (unsigned i = 0; i < slots; i++)
		pthread_mutex_init(&spool->slots[i].lock, NULL);
	spool->slot_count = slots;
	spool->fd = STDERR_FILENO;
	for (unsigned i = 0; i < slots; i++) {
		spool->slots[i].filling = malloc(SPOOL_BYTES);
		spool->slots[i].writing = malloc(SPOOL_BYTES);
		if (spool->slots[i].filling == NULL || spool->slots[i].writing == NULL)
			goto fail;
	}
	if (path != NULL) {
		spool->path = strdup(path);
		if (spool->path == NULL)
			goto fail;
		spool->fd = rc = open_file(path);
		if (rc < 0)
			goto fail;
	}
	rc = -pthread_create(&spool->thread, NULL, spool_main, spool);
	if (rc != 0)
		goto fail;
	*out = spool;
	return 0;
fail:
	free_all(spool);
	return rc;
}

void
spool_reopen(struct spool *spool)
{
	pthread_mutex_lock(&spool->lock);
	spool->reopening = true;
	pthread_cond_signal(&spool->wake);
	pthread_mutex_unlock(&spool->lock);
}

void
spool_close(struct spool **spoolp)
{
	struct spool *spool = *spoolp;

	if (spool == NULL)
		return;
	*spoolp = NULL;
	pthread_mutex_lock(&spool->lock);
	spool->stopping = true;
	pthread_cond_signal(&spool->wake);
	pthread_mutex_unlock(&spool->lock);
	pthread_join(spool->thread, NULL);
	free_all(spool);
}
