#include "storage/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/catalog.h"

#define NICE_LEAST 19

struct inspect {
	pid_t pid;
	int pipe;
	bool ended; /* the result is known: */
	int result;
	char why[200];
};

/* What the child says before it ends. */
struct report {
	int result;
	char why[200];
};

/* Leaves nothing of the parent's open, above all not its lock on the directory. */
static void
let_go(int keep)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Neither LMDB nor a sanitizer is to complain of what we are here to find. */
	for (int fd = 0; fd <= STDERR_FILENO && null >= 0; fd++)
		dup2(null, fd);
	if (keep > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned)keep - 1, 0);
	close_range((unsigned)keep + 1, ~0u, 0);
}

static _Noreturn void
child(const char *path, bool alone, pid_t parent, int pipe)
{
	static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
	struct report report = {0};
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	prctl(PR_SET_DUMPABLE, 0); /* a crash is an answer, not a fault of ours: no core file */
	for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		signal(crashes[i], SIG_DFL);
	let_go(pipe);
	report.result = catalog_check(path, alone, report.why, sizeof(report.why));
	n = write(pipe, &report, sizeof(report));
	_exit(n == sizeof(report) ? 0 : 1);
}

int
inspect_start(const char *path, bool alone, struct inspect **out)
{
	struct inspect *inspect = calloc(1, sizeof(*inspect));
	pid_t parent = getpid();
	int fds[2], err;

	if (inspect == NULL)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC) != 0) {
		err = -errno;
		free(inspect);
		return err;
	}
	inspect->pid = fork();
	if (inspect->pid == 0)
		child(path, alone, parent, fds[1]);
	err = inspect->pid < 0 ? -errno : 0;
	close(fds[1]);
	inspect->pipe = fds[0];
	if (err != 0) {
		close(fds[0]);
		free(inspect);
		return err;
	}
	*out = inspect;
	return 0;
}

/* The child has spoken or ended. It stays a zombie until inspect_stop, so that its number stays its own. */
static void
learn(struct inspect *inspect)
{
	struct report report;
	siginfo_t info = {0};
	ssize_t n;

	do
		n = read(inspect->pipe, &report, sizeof(report));
	while (n < 0 && errno == EINTR);
	while (waitid(P_PID, (id_t)inspect->pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
		;
	inspect->ended = true;
	inspect->result = -EBADMSG;
	if (n == sizeof(report)) {
		inspect->result = report.result;
		memcpy(inspect->why, report.why, sizeof(inspect->why));
	} else if (info.si_code == CLD_EXITED) { /* a sanitizer's way to crash */
		snprintf(inspect->why, sizeof(inspect->why), "reading it ended with status %d",
			 info.si_status);
	} else if (info.si_status != SIGKILL) {
		snprintf(inspect->why, sizeof(inspect->why), "reading it ended with signal %d",
			 info.si_status);
	} else {
		inspect->result = -ECANCELED;
	}
}

int
inspect_wait(struct inspect *inspect, int ms, char *why, size_t why_size)
{
	struct pollfd pollfd = {.fd = inspect->pipe, .events = POLLIN};

	if (!inspect->ended) {
		int n = poll(&pollfd, 1, ms);

		if (n == 0 || (n < 0 && errno == EINTR))
			return -EAGAIN;
		learn(inspect);
	}
	snprintf(why, why_size, "%s", inspect->why);
	return inspect->result;
}

void
inspect_yield(struct inspect *inspect)
{
	setpriority(PRIO_PROCESS, (id_t)inspect->pid, NICE_LEAST);
}

void
inspect_kill(struct inspect *inspect)
{
	kill(inspect->pid, SIGKILL);
}

void
inspect_stop(struct inspect **inspectp)
{
	struct inspect *inspect = *inspectp;

	*inspectp = NULL;
	if (inspect == NULL)
		return;
	inspect_kill(inspect);
	while (waitpid(inspect->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(inspect->pipe);
	free(inspect);
}
