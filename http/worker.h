/* worker.h - one event loop: its thread, its evhttp faces, its connections.
 *
 * Threads  everything in a worker belongs to its thread; worker_new, worker_listen and worker_free
 *          run on the main thread before it starts or after it ended. No libevent object is
 *          shared between workers, hence no evthread locks.
 * Owns     its connections (conn.h) and, counted in letters, what waits for the store.
 */
#ifndef SPILLWAY_HTTP_WORKER_H
#define SPILLWAY_HTTP_WORKER_H

#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/mailbox.h"
#include "http/date.h"
#include "http/server.h"

struct checker;
struct conn;
struct crowd;
struct evhttp;
struct listener;
struct status;
struct store;
struct tls;
struct worker;

TAILQ_HEAD(conn_list, conn);

enum face_kind { FACE_MEDIA, FACE_TLS, FACE_ADMIN };
#define FACE_KINDS 3

/* What is behind one kind of listener. */
struct face {
	enum face_kind kind;
	struct worker *worker;
	struct evhttp *http;
};

#define WORKER_SCRATCH 65536 /* bytes */
#define WORKER_FIELDS 4096   /* bytes */

struct worker {
	unsigned index;            /* its slot for object_watch */
	struct settings *settings; /* what requests that begin now go by */
	struct crowd *crowd;       /* of all workers */
	struct store *store;       /* set before the thread starts */
	struct checker *checker;   /* of passwords; the same */
	struct tls *tls;           /* NULL without listeners of TLS */
	struct status *status;     /* of the server; NULL in tests of parts */
	struct event_base *base;
	struct mailbox mailbox;
	struct event *mail;  /* readable mailbox */
	struct event *tick;  /* deadlines, every WORKER_TICK_MS */
	struct event *reap;  /* made active when a connection is dead */
	struct event *greet; /* made active when there are newcomers */
	struct face faces[FACE_KINDS];
	struct spool *access_log; /* NULL for none; set before the thread starts, not its own */
	enum access_format access_format;
	struct listener *listeners;
	struct conn *newcomers; /* accepted, and not counted for their addresses yet */
	struct conn **by_fd;    /* connections with a request, by descriptor */
	size_t by_fd_size;
	struct conn_list heads;   /* a head is awaited; by deadline, soonest first */
	struct conn_list open;    /* idle, or busy with a request */
	struct conn_list lingers; /* see conn.h; by deadline, soonest first */
	struct conn_list dead;    /* to be freed by reap */
	unsigned busy;            /* connections whose request or reply is not finished */
	unsigned letters;         /* lent to the store and not delivered yet */
	unsigned char *scratch;   /* WORKER_SCRATCH bytes for whoever runs right now */
	size_t fields_length;     /* of fields: of the direct reply that is being made */
	char fields[WORKER_FIELDS];
	int64_t date_s; /* what date says, since the epoch */
	char date[DATE_SIZE];
	bool draining;
	int64_t drain_until_ms; /* base/clock.h, mono */
	struct letter stop;
	struct letter news;     /* fresh has come */
	struct settings *fresh; /* with its reference */
	sem_t applied;          /* posted when it was taken over */
	_Atomic uint64_t ticks; /* counted by the worker */
	uint64_t ticks_seen;    /* by worker_moved; the main thread's */
	pthread_t thread;
	bool running;
};

#define WORKER_TICK_MS 100

/* Makes worker INDEX with its mailbox and event base; it takes a reference to SETTINGS. CROWD and TLS, which
 * may be NULL, outlive it. 0 or -errno. */
int worker_new(unsigned index, struct settings *settings, struct tls *tls, struct crowd *crowd,
	       struct worker **out);

/* Accepts connections from FD, a listening socket that now belongs to the worker. 0 or -errno. */
int worker_listen(struct worker *worker, int fd, enum face_kind kind);

/* Accepts nothing more on the media listeners: as many are here as there may be. */
void worker_pause(struct worker *worker);

/* Accepts again, if there is room. */
void worker_resume(struct worker *worker);

/* Runs the thread. 0 or -errno. */
int worker_start(struct worker *worker, struct store *store, struct checker *checker);

/* Tells the thread (the main one calls) to go by SETTINGS from now on; and waits until it does. */
void worker_apply(struct worker *worker, struct settings *settings);
void worker_applied(struct worker *worker);

/* Whether its loop has turned since this was last asked. The main thread. */
bool worker_moved(struct worker *worker);

/* Tells the thread to drain and end (any thread), and waits for that. */
void worker_stop(struct worker *worker);
void worker_join(struct worker *worker);

/* After worker_join, or instead of worker_start. Closes the mailbox. Accepts a pointer to NULL. */
void worker_free(struct worker **worker);

/* The connection that was registered for FD, or NULL. */
struct conn *worker_conn(const struct worker *worker, int fd);

/* Registers CONN (or NULL) for FD. 0 or -ENOMEM. */
int worker_set_conn(struct worker *worker, int fd, struct conn *conn);

/* MS as libevent wants it. */
struct timeval worker_timeval(int64_t ms);

#endif
