/* conn.h - one client's connection, from accept to close.
 *
 * evhttp owns the protocol of replies and tells us little about a connection: nothing before its first
 * request, and then only that it closes. So each connection has this struct, found by descriptor,
 * with a reference of its own on the bufferevent. That reference keeps the descriptor open, and
 * so its number unique, until evhttp has let go (evhttp_connection_free shuts the number down
 * after it freed the bufferevent) and until what the client still sends was read: closing with
 * unread bytes would reset the connection and eat the reply (RFC 9112 9.6).
 *
 *   HEAD --head complete--> BUSY --reply sent--> HEAD, or SKIP while unread body is left
 *   any --evhttp closes--> LINGER (read and drop for a while) --> DEAD --> freed
 *
 * Threads  the worker's.
 * Owns     the head's text; the request's handler owns itself and gives a function to call
 *          when the connection ends under it.
 */
#ifndef SPILLWAY_HTTP_CONN_H
#define SPILLWAY_HTTP_CONN_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>

#include "http/access.h"
#include "http/body.h"
#include "http/cidr.h"
#include "http/head.h"
#include "http/tls.h"
#include "http/worker.h"

enum conn_state {
	CONN_HEAD,   /* the next head is awaited */
	CONN_BUSY,   /* a request is being answered; what arrives stays in the input */
	CONN_SKIP,   /* answered; the rest of its body is read and dropped */
	CONN_LINGER, /* evhttp let go; reading and dropping what comes, not for long */
	CONN_DEAD,   /* waits to be freed, when nobody up the stack can hold it */
};

struct crowd_peer;

struct conn {
	TAILQ_ENTRY(conn) link; /* in the list of its state */
	struct conn_list *list;
	struct worker *worker;
	struct conn *next_newcomer; /* in worker->newcomers */
	struct crowd_peer *peer;    /* counted for its address */
	bool address_known,
		has_address; /* gate.c's, once it asked for the address; a local socket has none */
	struct cidr_address address;
	enum conn_state state;
	int64_t deadline_ms; /* mono: of the head, or of lingering */
	struct bufferevent *bev;
	int fd; /* conn_fd's: bev's, which is far away; negative before that was asked */
	bool admin;
	bool has_ticket;                 /* to resume its session of TLS with */
	struct ssl_st *ssl;              /* transport.c's: bev's, or NULL for a plain socket */
	struct tls_client client;        /* of conn_client_certificate */
	struct evhttp_connection *evcon; /* from its first request on */
	struct evhttp_request *evreq;    /* while BUSY, unless the reply is direct */
	struct event *heads;  /* reads them instead of bev, if the last reply was direct */
	struct event *linger; /* while LINGER */
	uint64_t dropped;     /* bytes read for nothing: this body, or lingering */

	/* The request; the framer fills it in. */
	char *text;         /* the head, or what there is of it */
	size_t text_length; /* bytes */
	size_t scanned;     /* of them, by head_scan */
	struct head head;   /* points into text */
	int64_t begun_us;   /* mono; when the head was complete */
	enum head_verdict verdict;
	bool framing;    /* the framer is at work on the input */
	bool completing; /* evhttp ends a reply: it takes the next request when it is done with that */
	struct body body;

	struct access access;

	/* The reply. */
	bool direct;          /* made at once, without evhttp so far; see direct.h */
	bool continue_due;    /* the client waits for 100 Continue */
	bool body_broken;     /* nobody can tell where the next request begins */
	bool close_after;     /* decided when the reply's head is made */
	bool for_one;         /* who asks was shown: it is not for a cache that others share */
	bool replied;         /* evhttp has all of the reply and will free the request */
	bool no_read_timeout; /* switched off for this reply */
	bool lingering_close; /* the client may still be sending when we close */
	bool paused; /* a direct reply waits for the socket; evhttp's callback is put by: */
	bufferevent_data_cb paused_readcb;
	void (*drained)(void *handler); /* of the last reply_chunk */

	void (*gone)(void *handler); /* NULL when nobody is to be told */
	void *handler;
};

/* A connection that evhttp is about to accept. NULL without memory. */
struct conn *conn_new(struct face *face);

/* Counts the connections that were accepted just now for their addresses, and refuses those of addresses that have
 * too many. */
void conn_greet(struct worker *worker);

/* The reply to a new request begins. */
void conn_begin_reply(struct conn *conn);

/* The reply is out; looks for the next request. */
void conn_next(struct conn *conn);

/* evhttp handed out EVREQ for the head that the framer completed. */
void conn_begin(struct conn *conn, struct evhttp_request *evreq);

/* The handler is going to wait. From now on GONE is called with HANDLER when the connection ends before the reply was complete.
 * It must not touch the connection afterwards. */
void conn_attach(struct conn *conn, void (*gone)(void *), void *handler);

/* The handler has given everything to evhttp, or gives up: it is not told any more. */
void conn_detach(struct conn *conn);

/* The handler waits for long before it replies: silence is no fault, but that the client leaves is told. */
void conn_watch(struct conn *conn);

/* The text of the head is not needed any more, except for the access log: a reader may wait for long. */
void conn_drop_head(struct conn *conn);

/* Ends the connection now. The handler is not told. */
void conn_cut(struct conn *conn);

/* The same, but so that an HTTP/1.0 client can tell it from the end of a body: with a reset. */
void conn_cut_reader(struct conn *conn);

/* Moves to STATE and into its list. */
void conn_set_state(struct conn *conn, enum conn_state state);

/* The first byte of a head arrived: its deadline runs. */
void conn_expect_head(struct conn *conn);

/* Ends what is past its deadline, and notices what evhttp let go without a word. Every tick. */
void conn_sweep(struct worker *worker, int64_t now_ms);

/* Closes what is idle; for draining. */
void conn_close_idle(struct worker *worker);

/* Closes everything that evhttp still holds or that lingers; frees what is dead. */
void conn_close_all(struct worker *worker);

/* Frees the dead. */
void conn_reap(struct worker *worker);

int conn_fd(struct conn *conn);

/* The name in the certificate that the client proved to have, and that tls_client_ca vouches for now; NULL if none. */
const char *conn_client_certificate(struct conn *conn);

#endif
