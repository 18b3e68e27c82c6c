#include "http/server.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "http/checker.h"
#include "http/crowd.h"
#include "http/listen.h"
#include "http/status.h"
#include "http/worker.h"

/* Where one kind of client is served. */
struct door {
	enum face_kind kind;
	char *text;                    /* the address, as it was configured; or NULL and */
	int inherited;                 /* a socket, not ours */
	struct listen_address address; /* with the real port, once it is open */
};

struct server {
	struct server_config config; /* without addresses and sockets, which are doors */
	struct door *doors;
	size_t door_count;
	struct worker **workers;
	struct mailbox **mailboxes;
	struct checker *checker;
	struct crowd crowd;
	struct status *status;
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
add_doors(struct server *server, enum face_kind kind, const char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct door *door = &server->doors[server->door_count++];

		door->kind = kind;
		door->text = strdup(texts[i]);
		if (door->text == NULL)
			return -ENOMEM;
	}
	return 0;
}

/* Adds what is inherited of KIND. False if there was nothing. */
static bool
inherit_doors(struct server *server, enum face_kind kind, const struct server_config *config)
{
	size_t before = server->door_count;

	for (size_t i = 0; i < config->socket_count; i++) {
		if (config->sockets[i].admin != (kind == FACE_ADMIN))
			continue;
		server->doors[server->door_count++] =
			(struct door){.kind = kind, .inherited = config->sockets[i].fd};
	}
	return server->door_count > before;
}

static int
choose_doors(struct server *server, const struct server_config *config)
{
	int rc = 0;

	server->doors =
		calloc(config->listen_count + config->listen_tls_count + config->socket_count + 1,
		       sizeof(*server->doors));
	if (server->doors == NULL)
		return -ENOMEM;
	if (!inherit_doors(server, FACE_MEDIA, config))
		rc = add_doors(server, FACE_MEDIA, config->listen, config->listen_count);
	if (rc == 0)
		rc = add_doors(server, FACE_TLS, config->listen_tls, config->listen_tls_count);
	if (!inherit_doors(server, FACE_ADMIN, config) && rc == 0)
		rc = add_doors(server, FACE_ADMIN, &config->admin, config->admin != NULL);
	return rc;
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
	crowd_init(&server->crowd);
	server->config.settings = NULL; /* each worker has its reference */
	server->config.listen = server->config.listen_tls = NULL;
	server->config.admin = NULL;
	server->config.sockets = NULL;
	server->status = status_new(config->player_dir);
	if (server->status == NULL || choose_doors(server, config) != 0)
		goto fail;
	server->workers = calloc(config->workers, sizeof(struct worker *));
	server->mailboxes = calloc(config->workers, sizeof(struct mailbox *));
	if (server->workers == NULL || server->mailboxes == NULL)
		goto fail;
	for (unsigned i = 0; i < config->workers; i++) {
		rc = worker_new(i, config->settings, config->tls, &server->crowd,
				&server->workers[i]);
		if (rc != 0)
			goto fail;
		server->workers[i]->access_log = config->access_log;
		server->workers[i]->access_format = config->access_format;
		server->workers[i]->status = server->status;
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

/* One socket per worker on the address of DOOR, which gets the real port. */
static int
bind_all(struct server *server, struct door *door, char *why, size_t why_size)
{
	int rc = listen_parse(door->text, &door->address);

	if (rc != 0) {
		snprintf(why, why_size, "can't listen on %s: it is not ADDR:PORT or [V6]:PORT",
			 door->text);
		return rc;
	}
	for (unsigned i = 0; i < server->config.workers; i++) {
		int fd;

		rc = listen_open(&door->address, i == 0, &fd);
		if (rc == 0)
			rc = worker_listen(server->workers[i], fd, door->kind);
		if (rc != 0) {
			snprintf(why, why_size, "can't listen on %s: %s", door->text,
				 strerror(-rc));
			return rc;
		}
	}
	return 0;
}

/* Every worker accepts from the socket that DOOR was inherited with. */
static int
share(struct server *server, struct door *door, char *why, size_t why_size)
{
	int rc = listen_adopt(door->inherited, &door->address);

	for (unsigned i = 0; i < server->config.workers && rc == 0; i++) {
		int fd = fcntl(door->inherited, F_DUPFD_CLOEXEC, 0);

		rc = fd < 0 ? -errno : worker_listen(server->workers[i], fd, door->kind);
	}
	if (rc != 0)
		snprintf(why, why_size, "can't listen on descriptor %d, which was inherited: %s",
			 door->inherited,
			 rc == -EINVAL ? "it is not a TCP socket that listens" : strerror(-rc));
	return rc;
}

/* Everything but connections and more volumes is open now. */
static void
limit_crowd(struct server *server)
{
	unsigned wanted = server->workers[0]->settings->connections_max, open = 0;
	DIR *dir = opendir("/proc/self/fd");
	struct rlimit limit;

	if (dir == NULL || getrlimit(RLIMIT_NOFILE, &limit) != 0)
		limit.rlim_cur = RLIM_INFINITY;
	while (dir != NULL && readdir(dir) != NULL)
		open++; /* with ".", ".." and the folder itself: close enough */
	if (dir != NULL)
		closedir(dir);
	server->crowd.capacity = crowd_capacity(limit.rlim_cur, open);
	if (wanted > server->crowd.capacity)
		log_warning("connections_max is beyond what the descriptors allow max=%u",
			    server->crowd.capacity);
}

/* Opens everything first, so that a port that is taken shows before anything is served. */
static int
open_doors(struct server *server, char *why, size_t why_size)
{
	int rc = 0;

	for (size_t i = 0; i < server->door_count && rc == 0; i++) {
		struct door *door = &server->doors[i];

		rc = door->text != NULL ? bind_all(server, door, why, why_size)
					: share(server, door, why, why_size);
	}
	return rc;
}

/* Tells the status page where a player finds the media. 0 or -ENOMEM. */
static int
show_doors(struct server *server)
{
	int rc = 0;

	for (size_t i = 0; i < server->door_count && rc == 0; i++) {
		const struct door *door = &server->doors[i];
		char text[LISTEN_TEXT_MAX];

		if (door->kind == FACE_ADMIN)
			continue;
		listen_format(&door->address, text);
		rc = status_add_listener(server->status, door->kind == FACE_TLS ? "https" : "http",
					 text);
	}
	return rc;
}

static void
log_doors(const struct server *server, enum face_kind kind, const char *before, const char *behind)
{
	for (size_t i = 0; i < server->door_count; i++) {
		char text[LISTEN_TEXT_MAX];

		if (server->doors[i].kind != kind)
			continue;
		listen_format(&server->doors[i].address, text);
		log_notice("%slistening on %s%s", before, text, behind);
	}
}

int
server_start(struct server *server, struct store *store, char *why, size_t why_size)
{
	int rc = open_doors(server, why, why_size);

	if (rc == 0)
		rc = show_doors(server);
	limit_crowd(server);
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
	if (rc == 0) {
		log_doors(server, FACE_MEDIA, "", "");
		log_doors(server, FACE_TLS, "", " with TLS");
		log_doors(server, FACE_ADMIN, "admin ", "");
	} else {
		server_stop(server);
	}
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
	for (size_t i = 0; i < server->door_count; i++)
		free(server->doors[i].text);
	free(server->doors);
	status_free(&server->status);
	free(server->workers);
	free(server->mailboxes);
	crowd_destroy(&server->crowd);
	free(server);
}
