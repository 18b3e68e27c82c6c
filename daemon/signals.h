/* signals.h - signals as events of the main thread.
 *
 * Threads  the main thread; signals_block before any other thread is started, so that all
 *          inherit the mask and none is interrupted.
 */
#ifndef SPILLWAY_DAEMON_SIGNALS_H
#define SPILLWAY_DAEMON_SIGNALS_H

enum signals_event {
	SIGNALS_STOP,   /* SIGTERM or SIGINT */
	SIGNALS_RELOAD, /* SIGHUP */
};

/* Keeps SIGTERM, SIGINT and SIGHUP for signals_wait and ignores SIGPIPE. */
void signals_block(void);

/* Sleeps until one of them comes, or came since signals_block. */
enum signals_event signals_wait(void);

/* From now on SIGTERM and SIGINT end the process at once: the operator asked twice. What was
 * acknowledged is on disk already. */
void signals_hurry(void);

#endif
