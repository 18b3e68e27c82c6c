#include "daemon/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static sigset_t
expected(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	return set;
}

void
signals_block(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set = expected();

	sigaction(SIGPIPE, &ignore, NULL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

enum signals_event
signals_wait(int64_t timeout_ms)
{
	const struct timespec timeout = {.tv_sec = timeout_ms / 1000,
					 .tv_nsec = timeout_ms % 1000 * 1000000};
	sigset_t set = expected();
	int number;

	/* It is interrupted by a debugger, too. */
	do
		number = sigtimedwait(&set, NULL, timeout_ms >= 0 ? &timeout : NULL);
	while (number < 0 && errno != EAGAIN);
	switch (number) {
	case SIGHUP:
		return SIGNALS_RELOAD;
	case SIGUSR1:
		return SIGNALS_REOPEN;
	case SIGTERM:
	case SIGINT:
		return SIGNALS_STOP;
	default:
		return SIGNALS_TICK;
	}
}

static void
leave(int number)
{
	(void)number;
	_exit(EXIT_FAILURE);
}

void
signals_hurry(void)
{
	const struct sigaction action = {.sa_handler = leave};
	sigset_t set;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
