/* server.h - the HTTP face: workers, listeners and everything behind them.
 *
 * Life     server_new, store_open with server_mailboxes, server_start, server_stop, store_close,
 *          server_free.
 * Threads  all calls from the main thread.
 */
#ifndef SPILLWAY_HTTP_SERVER_H
#define SPILLWAY_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "http/access_line.h"
#include "http/settings.h"

struct server;
struct spool;
struct store;
struct tls;

/* A listening socket that the process was started with. */
struct server_socket {
	int fd;
	bool admin;
};

struct server_config {
	const char *const *listen; /* "ADDR:PORT", "[V6]:PORT"; port 0 picks a free one */
	size_t listen_count;
	const char *const *listen_tls; /* the same, where clients speak TLS */
	size_t listen_tls_count;
	struct tls *tls;   /* outlives the server; NULL without listen_tls */
	const char *admin; /* as listen, or NULL for no admin listener */
	/* Used instead of listen, or of admin; kept open by the caller until server_stop. */
	const struct server_socket *sockets;
	size_t socket_count;
	unsigned workers;
	struct settings *settings; /* to begin with; the caller keeps its reference */
	struct spool *
		access_log; /* NULL for none; outlives the server, and has a slot for each worker */
	enum access_format access_format;
	const char
		*player_dir; /* of the status page's players, which may be missing; NULL for none */
};

/* Copies what it needs of CONFIG. 0 or -errno. */
int server_new(const struct server_config *config, struct server **out);

/* One mailbox per worker, for struct store_config. */
struct mailbox *const *server_mailboxes(const struct server *server);

/* Binds every listener (SO_REUSEPORT, one socket per worker; one that was inherited is shared by all), logs
 * "listening on ADDR:PORT", "listening on ADDR:PORT with TLS" and "admin listening on ADDR:PORT" with the
 * real ports, runs the workers. 0, or -errno with a whole sentence in WHY that names the address. */
int server_start(struct server *server, struct store *store, char *why, size_t why_size);

/* From when this returns, every request that begins goes by SETTINGS; the caller keeps its reference.
 * Between server_start and server_stop. */
void server_apply(struct server *server, struct settings *settings);

/* Whether every worker's loop has turned since this was last asked, or since the start. */
bool server_moved(struct server *server);

/* Stops accepting, lets replies in flight finish within drain_ms, aborts the rest, joins the workers.
 * Afterwards no writer is open and nothing watches an object. */
void server_stop(struct server *server);

/* Frees it, after store_close. Accepts a pointer to NULL. */
void server_free(struct server **server);

#endif
