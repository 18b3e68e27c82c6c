#include "http/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "http/conn.h"
#include "http/crowd.h"
#include "http/route.h"
#include "http/status.h"

#define ACCEPT_PAUSE_MS 100 /* after accept(2) failed for want of descriptors or memory */

struct listener {
	struct listener *next;
	struct evhttp *http;
	struct evhttp_bound_socket *bound;
};

struct timeval
worker_timeval(int64_t ms)
{
	return (struct timeval){.tv_sec = (time_t)(ms / 1000),
				.tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

struct conn *
worker_conn(const struct worker *worker, int fd)
{
	return fd >= 0 && (size_t)fd < worker->by_fd_size ? worker->by_fd[fd] : NULL;
}

int
worker_set_conn(struct worker *worker, int fd, struct conn *conn)
{
	size_t index = (size_t)fd;

	CHECK(fd >= 0);
	if (index >= worker->by_fd_size) {
		size_t size = index * 2 + 64;
		struct conn **table = realloc(worker->by_fd, size * sizeof(struct conn *));

		if (table == NULL)
			return -ENOMEM;
		memset(table + worker->by_fd_size, 0,
		       (size - worker->by_fd_size) * sizeof(struct conn *));
		worker->by_fd = table;
		worker->by_fd_size = size;
	}
	worker->by_fd[index] = conn;
	return 0;
}

static struct bufferevent *
make_bufferevent(struct event_base *base, void *arg)
{
	struct conn *conn = conn_new(arg);

	(void)base;
	/* NULL: evhttp makes a plain one, whose bytes it would take for requests; but without memory
	 * for this struct it finds none for that one either, and closes. */
	return conn != NULL ? conn->bev : NULL;
}

static void
on_request(struct evhttp_request *evreq, void *arg)
{
	struct face *face = arg;
	struct evhttp_connection *evcon = evhttp_request_get_connection(evreq);
	struct bufferevent *bev = evhttp_connection_get_bufferevent(evcon);
	struct conn *conn = worker_conn(face->worker, bufferevent_getfd(bev));

	if (conn == NULL || conn->bev != bev) {
		evhttp_connection_free(evcon); /* the plain one of make_bufferevent */
		return;
	}
	conn_begin(conn, evreq);
	if (!conn->direct) /* else it was routed already */
		route_request(conn);
}

static void
on_mail(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;

	(void)fd;
	(void)what;
	mailbox_deliver(&worker->mailbox);
}

static void
on_reap(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	conn_reap(arg);
}

static void
on_greet(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	conn_greet(arg);
}

static bool
is_open_to_all(const struct worker *worker, const struct listener *listener)
{
	return listener->http != worker->faces[FACE_ADMIN].http;
}

void
worker_pause(struct worker *worker)
{
	for (struct listener *l = worker->listeners; l != NULL; l = l->next) {
		if (is_open_to_all(worker, l))
			evconnlistener_disable(evhttp_bound_socket_get_listener(l->bound));
	}
	metric_add(METRIC_accept_pauses_total, 1);
	log_limited(LOG_LEVEL_WARNING,
		    "accepting pauses, there are as many connections as there may be max=%u",
		    crowd_max(worker->crowd, worker->settings->connections_max));
}

void
worker_resume(struct worker *worker)
{
	bool room = crowd_has_room(worker->crowd, worker->settings->connections_max);

	for (struct listener *l = worker->listeners; l != NULL; l = l->next) {
		if (room || !is_open_to_all(worker, l))
			evconnlistener_enable(evhttp_bound_socket_get_listener(l->bound));
		else /* it was another worker that took the last place */
			evconnlistener_disable(evhttp_bound_socket_get_listener(l->bound));
	}
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;
	int64_t now = clock_mono_ms();

	(void)fd;
	(void)what;
	atomic_fetch_add_explicit(&worker->ticks, 1, memory_order_relaxed);
	conn_sweep(worker, now);
	worker_resume(worker);
	if (!worker->draining) {
		if (worker->index == 0 && worker->status != NULL)
			status_tick(worker->status, worker->store, now);
		return;
	}
	conn_close_idle(worker);
	if (worker->busy > 0 && now >= worker->drain_until_ms)
		conn_close_all(worker);
	if (worker->busy == 0 && worker->letters == 0)
		event_base_loopbreak(worker->base);
}

static struct evhttp *
make_face(struct worker *worker, enum face_kind kind)
{
	struct timeval idle = worker_timeval(worker->settings->ingest_idle_ms);
	struct evhttp *http = evhttp_new(worker->base);
	struct face *face = &worker->faces[kind];

	if (http == NULL)
		return NULL;
	*face = (struct face){.kind = kind, .worker = worker, .http = http};
	evhttp_set_bevcb(http, make_bufferevent, face);
	evhttp_set_gencb(http, on_request, face);
	evhttp_set_default_content_type(http, NULL);
	evhttp_set_timeout_tv(http, &idle);
	return http;
}

int
worker_new(unsigned index, struct settings *settings, struct tls *tls, struct crowd *crowd,
	   struct worker **out)
{
	struct timeval tick = worker_timeval(WORKER_TICK_MS);
	struct worker *worker = calloc(1, sizeof(*worker));
	int rc;

	if (worker == NULL)
		return -ENOMEM;
	worker->index = index;
	worker->tls = tls;
	worker->settings = settings_get(settings);
	worker->crowd = crowd;
	sem_init(&worker->applied, 0, 0);
	worker->mailbox.fd = -1;
	TAILQ_INIT(&worker->heads);
	TAILQ_INIT(&worker->open);
	TAILQ_INIT(&worker->lingers);
	TAILQ_INIT(&worker->dead);
	rc = mailbox_init(&worker->mailbox);
	if (rc != 0)
		goto fail;
	rc = -ENOMEM;
	worker->scratch = malloc(WORKER_SCRATCH);
	worker->base = event_base_new();
	if (worker->scratch == NULL || worker->base == NULL)
		goto fail;
	worker->mail =
		event_new(worker->base, worker->mailbox.fd, EV_READ | EV_PERSIST, on_mail, worker);
	worker->tick = event_new(worker->base, -1, EV_PERSIST, on_tick, worker);
	worker->reap = event_new(worker->base, -1, 0, on_reap, worker);
	worker->greet = event_new(worker->base, -1, 0, on_greet, worker);
	if (worker->mail == NULL || worker->tick == NULL || worker->reap == NULL ||
	    worker->greet == NULL || event_add(worker->mail, NULL) != 0 ||
	    event_add(worker->tick, &tick) != 0)
		goto fail;
	for (unsigned kind = 0; kind < FACE_KINDS; kind++)
		if (make_face(worker, (enum face_kind)kind) == NULL)
			goto fail;
	*out = worker;
	return 0;
fail:
	worker_free(&worker);
	return rc;
}

/* Nothing is accepted until the next tick; libevent would try again at once, for ever. */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	int error = errno;

	(void)arg;
	evconnlistener_disable(listener);
	metric_add(METRIC_accept_pauses_total, 1);
	log_limited(LOG_LEVEL_WARNING, "accepting pauses, it failed error=\"%s\"", strerror(error));
}

int
worker_listen(struct worker *worker, int fd, enum face_kind kind)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (listener == NULL) {
		close(fd);
		return -ENOMEM;
	}
	listener->http = worker->faces[kind].http;
	listener->bound = evhttp_accept_socket_with_handle(listener->http, fd);
	if (listener->bound == NULL) {
		close(fd);
		free(listener);
		return -ENOMEM;
	}
	evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(listener->bound),
				    on_accept_error);
	listener->next = worker->listeners;
	worker->listeners = listener;
	return 0;
}

static void
stop_listening(struct worker *worker)
{
	struct listener *listener;

	while ((listener = worker->listeners) != NULL) {
		worker->listeners = listener->next;
		evhttp_del_accept_socket(listener->http, listener->bound);
		free(listener);
	}
}

static void
begin_drain(struct letter *letter)
{
	struct worker *worker = (struct worker *)((char *)letter - offsetof(struct worker, stop));

	worker->draining = true;
	worker->drain_until_ms = clock_mono_ms() + worker->settings->drain_ms;
	stop_listening(worker);
	conn_close_idle(worker);
}

static void
take_settings(struct letter *letter)
{
	struct worker *worker = (struct worker *)((char *)letter - offsetof(struct worker, news));
	struct timeval idle = worker_timeval(worker->fresh->ingest_idle_ms);

	settings_put(&worker->settings);
	worker->settings = worker->fresh;
	worker->fresh = NULL;
	worker_resume(worker); /* there may be more connections now, or fewer */
	/* Of connections that are accepted from now on. */
	for (unsigned kind = 0; kind < FACE_KINDS; kind++)
		evhttp_set_timeout_tv(worker->faces[kind].http, &idle);
	sem_post(&worker->applied);
}

void
worker_apply(struct worker *worker, struct settings *settings)
{
	CHECK(worker->running && worker->fresh == NULL);
	worker->fresh = settings_get(settings);
	worker->news.deliver = take_settings;
	mailbox_post(&worker->mailbox, &worker->news);
}

void
worker_applied(struct worker *worker)
{
	while (sem_wait(&worker->applied) != 0)
		CHECK(errno == EINTR);
}

/* Frees what lives on the base. Runs on the worker's thread, or on the main thread if that never ran. */
static void
tear_down(struct worker *worker)
{
	/* It is due when a start that is refused took long, and then there is no store. */
	if (worker->tick != NULL)
		event_del(worker->tick);
	stop_listening(worker);
	conn_close_all(worker);
	for (unsigned kind = 0; kind < FACE_KINDS; kind++) {
		if (worker->faces[kind].http != NULL)
			evhttp_free(worker->faces[kind].http);
		worker->faces[kind].http = NULL;
	}
	conn_sweep(worker, clock_mono_ms()); /* what had no request yet */
	conn_close_all(worker);
	conn_reap(worker);
	event_base_loop(worker->base, EVLOOP_NONBLOCK); /* bufferevents are freed by the loop */
}

static void *
thread_main(void *arg)
{
	struct worker *worker = arg;
	char name[16];

	snprintf(name, sizeof(name), "worker-%u", worker->index);
	pthread_setname_np(pthread_self(), name);
	event_base_loop(worker->base, EVLOOP_NO_EXIT_ON_EMPTY);
	tear_down(worker);
	/* The loop ended with no letter lent out; what the store posts for its own ends is here now. */
	mailbox_deliver(&worker->mailbox);
	return NULL;
}

int
worker_start(struct worker *worker, struct store *store, struct checker *checker)
{
	sigset_t all, before;
	int err;

	worker->store = store;
	worker->checker = checker;
	/* Signals are for the main thread; a blocked SIGPIPE is an EPIPE. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	err = pthread_create(&worker->thread, NULL, thread_main, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	worker->running = err == 0;
	return -err;
}

bool
worker_moved(struct worker *worker)
{
	uint64_t ticks = atomic_load_explicit(&worker->ticks, memory_order_relaxed);
	bool moved = ticks != worker->ticks_seen;

	worker->ticks_seen = ticks;
	return moved;
}

void
worker_stop(struct worker *worker)
{
	worker->stop.deliver = begin_drain;
	if (worker->running)
		mailbox_post(&worker->mailbox, &worker->stop);
}

void
worker_join(struct worker *worker)
{
	if (worker->running)
		pthread_join(worker->thread, NULL);
	worker->running = false;
}

void
worker_free(struct worker **workerp)
{
	struct worker *worker = *workerp;

	if (worker == NULL)
		return;
	*workerp = NULL;
	CHECK(!worker->running);
	if (worker->base != NULL) {
		tear_down(worker);
		if (worker->mail != NULL)
			event_free(worker->mail);
		if (worker->tick != NULL)
			event_free(worker->tick);
		if (worker->reap != NULL)
			event_free(worker->reap);
		if (worker->greet != NULL)
			event_free(worker->greet);
		event_base_free(worker->base);
	}
	if (worker->mailbox.fd >= 0)
		mailbox_close(&worker->mailbox);
	settings_put(&worker->settings);
	sem_destroy(&worker->applied);
	free(worker->by_fd);
	free(worker->scratch);
	free(worker);
}
