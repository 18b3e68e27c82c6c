#include "daemon/supervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#else
#define SD_LISTEN_FDS_START 3

static int
sd_listen_fds_with_names(int unset, char ***names)
{
	(void)unset;
	*names = NULL;
	return 0;
}

static int
sd_watchdog_enabled(int unset, uint64_t *usec)
{
	(void)unset;
	*usec = 0;
	return 0;
}

static int
sd_notify(int unset, const char *state)
{
	(void)unset;
	(void)state;
	return 0;
}
#endif

int
supervisor_sockets(struct server_socket **sockets, size_t *count)
{
	struct server_socket *got;
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	if (n < 0)
		return n;
	got = calloc((size_t)n + 1, sizeof(*got));
	for (int i = 0; i < n; i++) {
		if (got != NULL) {
			got[i].fd = SD_LISTEN_FDS_START + i;
			got[i].admin = strcmp(names[i], "admin") == 0;
		}
		free(names[i]);
	}
	free(names);
	if (got == NULL)
		return -ENOMEM;
	*sockets = got;
	*count = (size_t)n;
	return 0;
}

void
supervisor_close(struct server_socket **sockets, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		close((*sockets)[i].fd);
	free(*sockets);
	*sockets = NULL;
	*count = 0;
}

int64_t
supervisor_watchdog_ms(void)
{
	uint64_t usec = 0;

	if (sd_watchdog_enabled(1, &usec) <= 0)
		return -1;
	/* Four chances before the time is over. */
	return usec / 4000 > 0 ? (int64_t)(usec / 4000) : 1;
}

void
supervisor_alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}

void
supervisor_ready(void)
{
	sd_notify(0, "READY=1");
}

void
supervisor_reloading(void)
{
	sd_notify(0, "RELOADING=1");
}

void
supervisor_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}
