#include "http/server.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "http/checker.h"
#include "http/listen.h"
#include "http/worker.h"

struct server {
	struct server_config config; /* listen and admin point to copies of our own */
	char **listen;
	char *admin;
	struct worker **workers;
	struct mailbox **mailboxes;
	struct checker *checker;
};

static void
log_libevent(int severity, const char *message)
{
	if (severity == EVENT_LOG_ERR)
		log_error("libevent: %s", message);
	else if (severity == EVENT_LOG_WARN)
		log_warning("libevent: %s", message);
}

static int
copy_addresses(struct server *server, const struct server_config *config)
{
	server->listen = calloc(config->listen_count + 1, sizeof(*server->listen));
	if (server->listen == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < config->listen_count; i++) {
		server->listen[i] = strdup(config->listen[i]);
		if (server->listen[i] == NULL)
			return -ENOMEM;
	}
	if (config->admin != NULL) {
		server->admin = strdup(config->admin);
		if (server->admin == NULL)
			return -ENOMEM;
	}
	server->config.listen = (const char *const *)server->listen;
	server->config.admin = server->admin;
	return 0;
}

int
server_new(const struct server_config *config, struct server **out)
{
	struct server *server = calloc(1, sizeof(*server));
	int rc = -ENOMEM;

	if (server == NULL)
		return -ENOMEM;
	event_set_log_callback(log_libevent);
	server->config = *config;
	server->config.settings = NULL; /* each worker has its reference */
	if (copy_addresses(server, config) != 0)
		goto fail;
	server->workers = calloc(config->workers, sizeof(struct worker *));
	server->mailboxes = calloc(config->workers, sizeof(struct mailbox *));
	if (server->workers == NULL || server->mailboxes == NULL)
		goto fail;
	for (unsigned i = 0; i < config->workers; i++) {
		rc = worker_new(i, config->settings, &server->workers[i]);
		if (rc != 0)
			goto fail;
		server->workers[i]->access_log = config->access_log;
		server->workers[i]->access_format = config->access_format;
		server->mailboxes[i] = &server->workers[i]->mailbox;
	}
	*out = server;
	return 0;
fail:
	server_free(&server);
	return rc;
}

struct mailbox *const *
server_mailboxes(const struct server *server)
{
	return server->mailboxes;
}

/* One socket per worker on the address TEXT; *ADDRESS gets the real port. */
static int
bind_all(struct server *server, const char *text, bool admin, struct listen_address *address,
	 char *why, size_t why_size)
{
	int rc = listen_parse(text, address);

	if (rc != 0) {
		snprintf(why, why_size, "can't listen on %s: it is not ADDR:PORT or [V6]:PORT",
			 text);
		return rc;
	}
	for (unsigned i = 0; i < server->config.workers; i++) {
		int fd;

		rc = listen_open(address, i == 0, &fd);
		if (rc == 0)
			rc = worker_listen(server->workers[i], fd, admin);
		if (rc != 0) {
			snprintf(why, why_size, "can't listen on %s: %s", text, strerror(-rc));
			return rc;
		}
	}
	return 0;
}

/* Every worker accepts from SOCKET; *ADDRESS gets where that is bound. */
static int
share(struct server *server, const struct server_socket *socket, struct listen_address *address,
      char *why, size_t why_size)
{
	int rc = listen_adopt(socket->fd, address);

	for (unsigned i = 0; i < server->config.workers && rc == 0; i++) {
		int fd = fcntl(socket->fd, F_DUPFD_CLOEXEC, 0);

		rc = fd < 0 ? -errno : worker_listen(server->workers[i], fd, socket->admin);
	}
	if (rc != 0)
		snprintf(why, why_size, "can't listen on descriptor %d, which was inherited: %s",
			 socket->fd,
			 rc == -EINVAL ? "it is not a TCP socket that listens" : strerror(-rc));
	return rc;
}

static bool
inherits(const struct server_config *config, bool admin)
{
	for (size_t i = 0; i < config->socket_count; i++)
		if (config->sockets[i].admin == admin)
			return true;
	return false;
}

struct bound {
	struct listen_address address;
	bool admin;
};

/* Binds everything first, so that a port that is taken shows before anything is served. */
static int
bind_listeners(struct server *server, struct bound *bound, size_t *count, char *why,
	       size_t why_size)
{
	const struct server_config *config = &server->config;
	bool media = !inherits(config, false);
	bool admin = config->admin != NULL && !inherits(config, true);
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < config->socket_count && rc == 0; i++, n++) {
		bound[n].admin = config->sockets[i].admin;
		rc = share(server, &config->sockets[i], &bound[n].address, why, why_size);
	}
	for (size_t i = 0; media && i < config->listen_count && rc == 0; i++, n++)
		rc = bind_all(server, config->listen[i], false, &bound[n].address, why, why_size);
	if (admin && rc == 0) {
		bound[n].admin = true;
		rc = bind_all(server, config->admin, true, &bound[n++].address, why, why_size);
	}
	*count = n;
	return rc;
}

/* Media first. */
static void
log_listeners(const struct bound *bound, size_t count)
{
	for (int admin = 0; admin <= 1; admin++) {
		for (size_t i = 0; i < count; i++) {
			char text[LISTEN_TEXT_MAX];

			if (bound[i].admin != admin)
				continue;
			listen_format(&bound[i].address, text);
			log_notice(admin ? "admin listening on %s" : "listening on %s", text);
		}
	}
}

int
server_start(struct server *server, struct store *store, char *why, size_t why_size)
{
	struct bound *bound = calloc(server->config.listen_count + server->config.socket_count + 1,
				     sizeof(*bound));
	size_t count = 0;
	int rc = -ENOMEM;

	if (bound == NULL)
		snprintf(why, why_size, "can't listen: out of memory");
	else
		rc = bind_listeners(server, bound, &count, why, why_size);
	if (rc == 0) {
		rc = checker_start(&server->checker);
		if (rc != 0)
			snprintf(why, why_size, "can't start a thread: %s", strerror(-rc));
	}
	for (unsigned i = 0; i < server->config.workers && rc == 0; i++) {
		rc = worker_start(server->workers[i], store, server->checker);
		if (rc != 0)
			snprintf(why, why_size, "can't start a worker: %s", strerror(-rc));
	}
	if (rc == 0)
		log_listeners(bound, count);
	else
		server_stop(server);
	free(bound);
	return rc;
}

bool
server_moved(struct server *server)
{
	bool moved = true;

	for (unsigned i = 0; i < server->config.workers; i++)
		moved = worker_moved(server->workers[i]) && moved;
	return moved;
}

void
server_apply(struct server *server, struct settings *settings)
{
	for (unsigned i = 0; i < server->config.workers; i++)
		worker_apply(server->workers[i], settings);
	for (unsigned i = 0; i < server->config.workers; i++)
		worker_applied(server->workers[i]);
}

void
server_stop(struct server *server)
{
	for (unsigned i = 0; i < server->config.workers; i++)
		worker_stop(server->workers[i]);
	for (unsigned i = 0; i < server->config.workers; i++)
		worker_join(server->workers[i]);
	checker_stop(&server->checker);
}

void
server_free(struct server **serverp)
{
	struct server *server = *serverp;

	if (server == NULL)
		return;
	*serverp = NULL;
	for (unsigned i = 0; server->workers != NULL && i < server->config.workers; i++)
		worker_free(&server->workers[i]);
	for (size_t i = 0; server->listen != NULL && i < server->config.listen_count; i++)
		free(server->listen[i]);
	free(server->listen);
	free(server->admin);
	free(server->workers);
	free(server->mailboxes);
	free(server);
}
