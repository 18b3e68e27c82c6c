/* supervisor.h - what systemd says to a service, and is told by it (sd-daemon(3)).
 *
 * Without libsystemd, or when nobody supervises the process, nothing is inherited and nothing told.
 *
 * Threads  the main thread.
 * Owns     the sockets, until supervisor_close.
 */
#ifndef SPILLWAY_DAEMON_SUPERVISOR_H
#define SPILLWAY_DAEMON_SUPERVISOR_H

#include <stddef.h>
#include <stdint.h>

#include "http/server.h"

/* The listening sockets that the process was started with (socket activation), each of the kind that its
 * name says: "admin" is the admin listener, everything else is for media. 0 or -errno. */
int supervisor_sockets(struct server_socket **sockets, size_t *count);
void supervisor_close(struct server_socket **sockets, size_t *count);

/* How often supervisor_alive is to be called, in milliseconds; -1: nobody waits for it. */
int64_t supervisor_watchdog_ms(void);

void supervisor_alive(void);
void supervisor_ready(void);
void supervisor_reloading(void);
void supervisor_stopping(void);

#endif
