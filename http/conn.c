#include "http/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "http/crowd.h"
#include "http/direct.h"
#include "http/framer.h"
#include "http/transport.h"

#define LINGER_MS 2000
#define LINGER_BYTES ((uint64_t)4 << 20)

static struct conn_list *
list_of(struct conn *conn, enum conn_state state)
{
	switch (state) {
	case CONN_HEAD:
		return conn->deadline_ms != 0 ? &conn->worker->heads : &conn->worker->open;
	case CONN_BUSY:
	case CONN_SKIP:
		return &conn->worker->open;
	case CONN_LINGER:
		return &conn->worker->lingers;
	case CONN_DEAD:
		break;
	}
	return &conn->worker->dead;
}

static bool
counts_as_busy(enum conn_state state)
{
	return state == CONN_BUSY || state == CONN_LINGER;
}

void
conn_set_state(struct conn *conn, enum conn_state state)
{
	struct worker *worker = conn->worker;

	if (conn->list != NULL) {
		TAILQ_REMOVE(conn->list, conn, link);
		worker->busy -= counts_as_busy(conn->state);
	}
	conn->state = state;
	conn->list = list_of(conn, state);
	TAILQ_INSERT_TAIL(conn->list, conn, link);
	worker->busy += counts_as_busy(state);
	if (state == CONN_DEAD)
		event_active(worker->reap, EV_TIMEOUT, 0);
}

void
conn_expect_head(struct conn *conn)
{
	CHECK(conn->state == CONN_HEAD);
	conn->deadline_ms = clock_mono_ms() + conn->worker->settings->head_timeout_ms;
	conn_set_state(conn, CONN_HEAD);
}

/* Its address is known when evhttp has given it the socket, which it does next. */
static void
enter_crowd(struct conn *conn)
{
	struct worker *worker = conn->worker;

	crowd_enter(worker->crowd);
	if (!crowd_has_room(worker->crowd, worker->settings->connections_max))
		worker_pause(worker);
	if (worker->settings->connections_per_address == 0)
		return;
	conn->next_newcomer = worker->newcomers;
	worker->newcomers = conn;
	event_active(worker->greet, EV_TIMEOUT, 0);
}

struct conn *
conn_new(struct face *face)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL)
		return NULL;
	conn->bev = transport_open(conn, face);
	if (conn->bev == NULL ||
	    evbuffer_add_cb(bufferevent_get_input(conn->bev), framer_input, conn) == NULL) {
		if (conn->bev != NULL)
			bufferevent_free(conn->bev);
		free(conn);
		return NULL;
	}
	bufferevent_incref(conn->bev);
	conn->worker = face->worker;
	conn->admin = face->kind == FACE_ADMIN;
	conn->fd = -1;
	conn->state = CONN_HEAD;
	conn_expect_head(conn);
	metric_add(METRIC_connections_total, 1);
	metric_add(METRIC_connections, 1);
	if (!conn->admin)
		enter_crowd(conn);
	return conn;
}

int
conn_fd(struct conn *conn)
{
	if (conn->fd < 0)
		conn->fd = bufferevent_getfd(conn->bev); /* evhttp gives it one after conn_new */
	return conn->fd;
}

static void
restore_timeouts(struct conn *conn)
{
	struct timeval idle = worker_timeval(conn->worker->settings->ingest_idle_ms);
	struct timeval send = worker_timeval(conn->worker->settings->send_timeout_ms);

	bufferevent_set_timeouts(conn->bev, &idle, &send);
	conn->no_read_timeout = false;
}

void
conn_watch(struct conn *conn)
{
	struct timeval send = worker_timeval(conn->worker->settings->send_timeout_ms);

	bufferevent_set_timeouts(conn->bev, NULL, &send);
	conn->no_read_timeout = true;
	bufferevent_enable(conn->bev, EV_READ);
}

static void
free_head(struct conn *conn)
{
	free(conn->text);
	conn->text = NULL;
	conn->text_length = conn->scanned = 0;
}

void
conn_drop_head(struct conn *conn)
{
	if (conn->worker->access_log == NULL)
		free_head(conn);
}

/* WHOLE: its reply is. */
static void
forget_request(struct conn *conn, bool whole)
{
	access_end(conn, whole);
	free_head(conn);
	conn->evreq = NULL;
}

void
conn_next(struct conn *conn)
{
	forget_request(conn, true);
	transport_resume_input(conn);
	if (conn->no_read_timeout)
		restore_timeouts(conn);
	conn->deadline_ms = 0;
	conn->dropped = 0;
	conn_set_state(conn, body_done(&conn->body) ? CONN_HEAD : CONN_SKIP);
	framer_run(conn);
}

/* The last byte of the reply is on its way; evhttp looks for the next request when this returns, or
 * closes. The connection must not be freed in here. */
static void
on_complete(struct evhttp_request *evreq, void *arg)
{
	struct conn *conn = arg;

	CHECK(conn->evreq == evreq && conn->gone == NULL);
	if (conn->close_after) {
		forget_request(conn, true);
		return;
	}
	conn->completing = true;
	conn_next(conn);
	conn->completing = false;
}

static void
drop_input(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	ssize_t n;

	(void)what;
	while ((n = recv(fd, conn->worker->scratch, WORKER_SCRATCH, MSG_DONTWAIT)) > 0) {
		conn->dropped += (uint64_t)n;
		if (conn->dropped > LINGER_BYTES)
			break;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	event_free(conn->linger);
	conn->linger = NULL;
	conn_set_state(conn, CONN_DEAD);
}

static void
start_linger(struct conn *conn)
{
	conn->dropped = 0;
	conn->deadline_ms = clock_mono_ms() + LINGER_MS;
	conn->linger = event_new(conn->worker->base, conn_fd(conn), EV_READ | EV_PERSIST,
				 drop_input, conn);
	if (conn->linger == NULL || event_add(conn->linger, NULL) != 0) {
		if (conn->linger != NULL)
			event_free(conn->linger);
		conn->linger = NULL;
		conn_set_state(conn, CONN_DEAD);
		return;
	}
	conn_set_state(conn, CONN_LINGER);
}

/* evhttp frees its side of the connection when this returns. */
static void
on_close(struct evhttp_connection *evcon, void *arg)
{
	struct conn *conn = arg;
	void (*gone)(void *) = conn->gone;

	CHECK(conn->evcon == evcon);
	conn->gone = NULL;
	if (gone != NULL)
		gone(conn->handler);
	/* A request that evhttp took off the connection is ours to free; otherwise evhttp does. */
	if (conn->evreq != NULL && !conn->replied &&
	    evhttp_request_get_connection(conn->evreq) == NULL)
		evhttp_request_free(conn->evreq);
	forget_request(conn, false);
	conn->evcon = NULL;
	if (conn->state == CONN_BUSY && (gone != NULL || !conn->replied))
		transport_cut(conn);
	transport_close(conn);
	direct_stop_reading(conn);
	bufferevent_disable(conn->bev, EV_READ | EV_WRITE);
	if (conn->lingering_close)
		start_linger(conn);
	else
		conn_set_state(conn, CONN_DEAD);
}

void
conn_begin_reply(struct conn *conn)
{
	conn->replied = conn->close_after = conn->lingering_close = false;
	conn->for_one = false;
	conn->body_broken = false;
	conn->continue_due = conn->head.expect_continue;
	access_begin(conn);
}

void
conn_begin(struct conn *conn, struct evhttp_request *evreq)
{
	bufferevent_event_cb eventcb;
	void *arg;

	CHECK(conn->state == CONN_BUSY && conn->evreq == NULL);
	conn->evreq = evreq;
	if (!conn->direct)
		conn_begin_reply(conn);
	/* Without this, evhttp's read callback would end the process ("illegal connection state")
	 * when bytes arrive before the reply, and its write callback would act on an old completion. */
	bufferevent_getcb(conn->bev, NULL, NULL, &eventcb, &arg);
	bufferevent_setcb(conn->bev, NULL, NULL, eventcb, arg);
	evhttp_request_set_on_complete_cb(evreq, on_complete, conn);
	if (conn->evcon == NULL) {
		conn->evcon = evhttp_request_get_connection(evreq);
		evhttp_connection_set_closecb(conn->evcon, on_close, conn);
		restore_timeouts(conn);
	}
}

const char *
conn_client_certificate(struct conn *conn)
{
	if (conn->ssl == NULL)
		return NULL;
	return tls_identify(conn->worker->tls, conn->ssl, &conn->client);
}

void
conn_attach(struct conn *conn, void (*gone)(void *), void *handler)
{
	CHECK(conn->gone == NULL);
	if (conn->direct)
		direct_hand_over(conn);
	else if (conn->evreq == NULL)
		direct_pause(conn);
	conn->gone = gone;
	conn->handler = handler;
}

void
conn_detach(struct conn *conn)
{
	conn->gone = NULL;
	conn->handler = NULL;
}

void
conn_cut(struct conn *conn)
{
	conn_detach(conn);
	if (conn->state == CONN_BUSY)
		transport_cut(conn);
	evhttp_connection_free(conn->evcon);
}

void
conn_cut_reader(struct conn *conn)
{
	metric_add(METRIC_readers_cut_total, 1);
	if (conn->head.minor == 0)
		transport_reset(conn);
	conn_cut(conn);
}

void
conn_reap(struct worker *worker)
{
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&worker->dead)) != NULL) {
		int fd = conn_fd(conn);

		TAILQ_REMOVE(&worker->dead, conn, link);
		if (worker_conn(worker, fd) == conn)
			worker_set_conn(worker, fd, NULL);
		evbuffer_remove_cb(bufferevent_get_input(conn->bev), framer_input, conn);
		bufferevent_decref(conn->bev);
		if (!conn->admin) {
			crowd_dismiss(worker->crowd, conn->peer);
			crowd_leave(worker->crowd);
		}
		free(conn->text);
		free(conn->access.user);
		tls_client_clear(&conn->client);
		free(conn);
		metric_add(METRIC_connections, -1);
	}
	worker_resume(worker);
}

/* Before its first request evhttp frees a connection silently; all that shows is that the
 * bufferevent has lost its callbacks. */
static bool
was_let_go(struct conn *conn)
{
	bufferevent_event_cb eventcb;

	if (conn->evcon != NULL)
		return false;
	bufferevent_getcb(conn->bev, NULL, NULL, &eventcb, NULL);
	return eventcb == NULL;
}

void
conn_greet(struct worker *worker)
{
	struct conn *conn;

	while ((conn = worker->newcomers) != NULL) {
		struct sockaddr_storage address;
		socklen_t length = sizeof(address);
		int rc;

		worker->newcomers = conn->next_newcomer;
		if (getpeername(conn_fd(conn), (struct sockaddr *)&address, &length) != 0)
			continue; /* it is gone already */
		rc = crowd_admit(worker->crowd, worker->settings->connections_per_address,
				 (struct sockaddr *)&address, &conn->peer);
		if (rc == 0 || conn->state != CONN_HEAD || was_let_go(conn))
			continue;
		metric_add(METRIC_connections_refused_total, 1);
		framer_refuse(conn, rc == -ENOMEM ? HEAD_NO_MEMORY : HEAD_CROWDED);
	}
}

void
conn_sweep(struct worker *worker, int64_t now_ms)
{
	struct conn *conn, *next;

	for (conn = TAILQ_FIRST(&worker->heads); conn != NULL; conn = next) {
		next = TAILQ_NEXT(conn, link);
		if (was_let_go(conn)) {
			bufferevent_disable(conn->bev, EV_READ | EV_WRITE);
			transport_lost(conn);
			start_linger(conn);
		} else if (conn->deadline_ms <= now_ms) {
			if (transport_is_open(conn))
				framer_refuse(conn, HEAD_SLOW);
			else
				transport_give_up(conn);
		}
	}
	while ((conn = TAILQ_FIRST(&worker->lingers)) != NULL && conn->deadline_ms <= now_ms) {
		event_free(conn->linger);
		conn->linger = NULL;
		conn_set_state(conn, CONN_DEAD);
	}
}

void
conn_close_idle(struct worker *worker)
{
	struct conn *conn, *next;

	for (conn = TAILQ_FIRST(&worker->open); conn != NULL; conn = next) {
		next = TAILQ_NEXT(conn, link);
		if (conn->state == CONN_HEAD)
			conn_cut(conn);
	}
}

void
conn_close_all(struct worker *worker)
{
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&worker->open)) != NULL) {
		conn->lingering_close = false;
		if (conn->evcon != NULL)
			evhttp_connection_free(conn->evcon); /* which tells the handler */
		else /* not dispatched yet: evhttp_free will get it */
			conn_set_state(conn, CONN_DEAD);
	}
	while ((conn = TAILQ_FIRST(&worker->lingers)) != NULL) {
		event_free(conn->linger);
		conn->linger = NULL;
		conn_set_state(conn, CONN_DEAD);
	}
}
