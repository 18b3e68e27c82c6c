/* signals.h - signals as events of the main thread.
 *
 * Threads  the main thread; signals_block before any other thread is started, so that all
 *          inherit the mask and none is interrupted.
 */
#ifndef SPILLWAY_DAEMON_SIGNALS_H
#define SPILLWAY_DAEMON_SIGNALS_H

#include <stdint.h>

enum signals_event {
	SIGNALS_STOP,   /* SIGTERM or SIGINT */
	SIGNALS_RELOAD, /* SIGHUP */
	SIGNALS_REOPEN, /* SIGUSR1 */
	SIGNALS_TICK,   /* none: the time is over */
};

/* Keeps SIGTERM, SIGINT, SIGHUP and SIGUSR1 for signals_wait and ignores SIGPIPE. */
void signals_block(void);

/* Sleeps until one of them comes, or came since signals_block; for at most TIMEOUT_MS, unless that is
 * negative. */
enum signals_event signals_wait(int64_t timeout_ms);

/* From now on SIGTERM and SIGINT end the process at once: the operator asked twice. What was
 * acknowledged is on disk already. */
void signals_hurry(void);

#endif
