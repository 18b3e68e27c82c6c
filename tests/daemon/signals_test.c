/* signals_test.c - signals arrive as events, also those that came early. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/signals.h"

/* The status of a child that ran BODY. */
static int
in_child(void (*body)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		body();
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
signal_then_wait(void)
{
	signals_block();
	raise(SIGPIPE);
	raise(SIGHUP);
	if (signals_wait(-1) != SIGNALS_RELOAD)
		_exit(1);
	raise(SIGUSR1);
	if (signals_wait(-1) != SIGNALS_REOPEN)
		_exit(5);
	raise(SIGTERM);
	if (signals_wait(-1) != SIGNALS_STOP)
		_exit(2);
	raise(SIGINT);
	if (signals_wait(-1) != SIGNALS_STOP)
		_exit(3);
	if (signals_wait(0) != SIGNALS_TICK || signals_wait(20) != SIGNALS_TICK)
		_exit(4);
	_exit(0);
}

static void
hurry_then_signal(void)
{
	signals_block();
	signals_hurry();
	raise(SIGHUP); /* still kept */
	raise(SIGTERM);
}

static void
stop_reload_and_nothing_are_told_apart(void **state)
{
	(void)state;
	assert_int_equal(in_child(signal_then_wait), 0);
}

static void
a_second_stop_ends_the_process_at_once(void **state)
{
	int status = in_child(hurry_then_signal);

	(void)state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EXIT_FAILURE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stop_reload_and_nothing_are_told_apart),
		cmocka_unit_test(a_second_stop_ends_the_process_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
