/* status.h - /status: what an operator sees. The page asks for /status.json every two seconds.
 *
 *   /status           the page, one file, which needs nothing from elsewhere
 *   /status.json      streams, newest segments, the last ten minutes
 *   /status/NAME.js   the players, if they were installed; else the page plays what the browser can
 *
 * Threads  made on the main thread before the workers run; status_tick on one worker; the rest on any.
 * Owns     the history, and copies of everything else.
 */
#ifndef SPILLWAY_HTTP_STATUS_H
#define SPILLWAY_HTTP_STATUS_H

#include "http/conn.h"

struct status;
struct store;

/* PLAYER_DIR has hls.min.js and dash.all.min.js, or not; NULL for none. NULL without memory. */
struct status *status_new(const char *player_dir);
void status_free(struct status **status);

/* A media listener has ADDRESS, "ADDR:PORT"; SCHEME is "http" or "https". 0 or -ENOMEM. */
int status_add_listener(struct status *status, const char *scheme, const char *address);

/* Takes a sample, if it is time. */
void status_tick(struct status *status, struct store *store, int64_t now_ms);

/* Answer requests on the admin listener. */
void status_page(struct conn *conn);
void status_json(struct conn *conn);
void status_script(struct conn *conn, const char *name);

/* Appends the figures of each stream in Prometheus' text format. */
void status_add_metrics(struct store *store, struct evbuffer *out);

#endif
