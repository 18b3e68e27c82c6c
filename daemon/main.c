/* main.c - the process: everything that runs is started and stopped here.
 *
 * Start is the table of steps walked forwards; stop, also that of a failed start, is the same
 * table walked backwards from the last step that succeeded.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/spool.h"
#include "daemon/command.h"
#include "daemon/config.h"
#include "daemon/datadir.h"
#include "daemon/setup.h"
#include "daemon/signals.h"
#include "daemon/supervisor.h"
#include "http/server.h"
#include "http/tls.h"
#include "storage/store.h"

#define EXIT_USAGE 2

struct daemon {
	struct command command;
	struct config config;
	unsigned workers;
	struct settings *settings;     /* what requests go by now */
	struct server_socket *sockets; /* inherited */
	size_t socket_count;
	struct spool *access_log; /* or NULL */
	struct tls *tls;          /* NULL without listen_tls */
	struct server *server;
	struct store *store;
	char why[512]; /* the reason of the step that failed */
};

/* ---- steps ---- */

static int
descriptors_raise(struct daemon *d)
{
	struct rlimit limit;

	/* Every reader is one; a failure leaves us with fewer. */
	(void)d;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			log_warning("descriptor limit not raised error=\"%s\"", strerror(errno));
	}
	return 0;
}

static int
signals_start(struct daemon *d)
{
	(void)d;
	signals_block();
	return 0;
}

static int
settings_start(struct daemon *d)
{
	return setup_settings(&d->config, &d->settings, d->why, sizeof(d->why));
}

static void
settings_stop(struct daemon *d)
{
	settings_put(&d->settings);
}

static int
sockets_take(struct daemon *d)
{
	return supervisor_sockets(&d->sockets, &d->socket_count);
}

static void
sockets_close(struct daemon *d)
{
	supervisor_close(&d->sockets, &d->socket_count);
}

static int
tls_start(struct daemon *d)
{
	struct tls_config config;
	int err = setup_tls(&d->config, &config, d->why, sizeof(d->why));

	return err == 0 && config.certificate != NULL
		       ? tls_new(&config, &d->tls, d->why, sizeof(d->why))
		       : err;
}

static void
tls_stop(struct daemon *d)
{
	tls_free(&d->tls);
}

/* Handshakes from now on use what the files hold now. */
static int
tls_renew(struct daemon *d, const struct config *config, char *why, size_t why_size)
{
	struct tls_config fresh;
	int err = setup_tls(config, &fresh, why, why_size);

	return err == 0 && d->tls != NULL && fresh.certificate != NULL
		       ? tls_reload(d->tls, &fresh, why, why_size)
		       : err;
}

static unsigned
cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n < 1)
		return 1;
	return n < STORE_WORKERS_MAX ? (unsigned)n : STORE_WORKERS_MAX;
}

static int
access_log_open(struct daemon *d)
{
	const struct options *o = &d->config.options;
	const char *path = strcmp(o->access_log, "stderr") != 0 ? o->access_log : NULL;
	int rc = 0;

	d->workers = o->workers != 0 ? o->workers : cores();
	if (strcmp(o->access_log, "off") != 0)
		rc = spool_open(path, d->workers, &d->access_log);
	if (rc != 0)
		snprintf(d->why, sizeof(d->why), "can't open the access log %s: %s", o->access_log,
			 strerror(-rc));
	return rc;
}

static void
access_log_close(struct daemon *d)
{
	spool_close(&d->access_log);
}

static int
server_create(struct daemon *d)
{
	const struct options *o = &d->config.options;

	return server_new(
		&(struct server_config){
			.listen = (const char *const *)o->listen.items,
			.listen_count = o->listen.count,
			.listen_tls = (const char *const *)o->listen_tls.items,
			.listen_tls_count = o->listen_tls.count,
			.tls = d->tls,
			.admin = o->admin,
			.sockets = d->sockets,
			.socket_count = d->socket_count,
			.player_dir = o->player_dir,
			.workers = d->workers,
			.settings = d->settings,
			.access_log = d->access_log,
			.access_format = (enum access_format)o->access_log_format,
		},
		&d->server);
}

static void
server_destroy(struct daemon *d)
{
	server_free(&d->server);
}

static int
store_start(struct daemon *d)
{
	struct store_config config;

	setup_store(&d->config, &config);
	config.workers = d->workers;
	config.mailboxes = server_mailboxes(d->server);
	return store_open(&config, d->why, sizeof(d->why), &d->store);
}

static void
store_stop(struct daemon *d)
{
	store_close(&d->store);
}

static int
listeners_start(struct daemon *d)
{
	return server_start(d->server, d->store, d->why, sizeof(d->why));
}

static void
listeners_stop(struct daemon *d)
{
	server_stop(d->server);
}

static int
readiness_start(struct daemon *d)
{
	(void)d;
	supervisor_ready();
	return 0;
}

static void
readiness_stop(struct daemon *d)
{
	(void)d;
	supervisor_stopping();
}

static const struct step {
	const char *name;
	int (*start)(struct daemon *); /* 0, or -errno with a reason in why */
	void (*stop)(struct daemon *); /* or NULL */
} steps[] = {
	{"descriptors", descriptors_raise, NULL},
	{"signals", signals_start, NULL},
	{"settings", settings_start, settings_stop},
	{"tls", tls_start, tls_stop},
	{"sockets", sockets_take, sockets_close},
	{"access log", access_log_open, access_log_close},
	{"server", server_create, server_destroy},
	{"store", store_start, store_stop},
	{"listeners", listeners_start, listeners_stop},
	{"readiness", readiness_start, readiness_stop},
};

#define STEPS (sizeof(steps) / sizeof(steps[0]))

/* ---- life ---- */

/* Reads the configuration again, into CONFIG and SETTINGS, and certificates, which are used at once. */
static int
load_again(struct daemon *d, struct config *config, struct settings **settings)
{
	char why[512];
	int err = config_load(&d->command, config, why, sizeof(why));

	if (err == 0) {
		err = setup_settings(config, settings, why, sizeof(why));
		if (err == 0) {
			err = tls_renew(d, config, why, sizeof(why));
			if (err != 0)
				settings_put(settings);
		}
		if (err != 0)
			config_free(config);
	}
	if (err != 0)
		log_error("reload refused, running on unchanged: %s", why);
	return err;
}

/* What may change while running does, all of it or, if anything is wrong, nothing. */
static void
reload(struct daemon *d)
{
	struct store_config store;
	struct settings *settings;
	struct config config;

	supervisor_reloading();
	if (load_again(d, &config, &settings) == 0) {
		for (const struct option_key *key = options_keys; key->name != NULL; key++)
			if (!setup_is_live(key) &&
			    !options_equal(key, &d->config.options, &config.options))
				log_warning("unchanged: restart to apply key=%s", key->name);
		server_apply(d->server, settings);
		settings_put(&d->settings);
		d->settings = settings;
		setup_store(&config, &store);
		store_adjust(d->store, &store);
		log_set_level((enum log_level)config.options.log_level);
		log_notice("reloaded file=%s", config.file != NULL ? config.file : "none");
		config_free(&config);
	}
	supervisor_ready();
}

/* The supervisor hears of us only while all that serve and store move: who is stuck is restarted. */
static void
report_alive(struct daemon *d)
{
	bool server = server_moved(d->server), store = store_moved(d->store);

	if (server && store)
		supervisor_alive();
	else
		log_warning("a thread does not move thread=%s", server ? "persister" : "worker");
}

/* Until it is time to stop. */
static void
attend(struct daemon *d)
{
	int64_t watchdog_ms = supervisor_watchdog_ms();

	for (;;) {
		switch (signals_wait(watchdog_ms)) {
		case SIGNALS_RELOAD:
			reload(d);
			break;
		case SIGNALS_REOPEN:
			if (d->access_log != NULL)
				spool_reopen(d->access_log);
			break;
		case SIGNALS_TICK:
			report_alive(d);
			break;
		case SIGNALS_STOP:
			return;
		}
	}
}

static int
run(struct daemon *d)
{
	size_t started = 0;
	int err = 0;

	log_set_level((enum log_level)d->config.options.log_level);
	while (started < STEPS) {
		err = steps[started].start(d);
		if (err != 0)
			break;
		started++;
	}
	if (err == 0) {
		attend(d);
		signals_hurry();
		log_notice("stopping");
	} else if (d->why[0] != '\0') {
		fprintf(stderr, "spillway: %s\n", d->why);
	} else {
		fprintf(stderr, "spillway: %s: %s\n", steps[started].name, strerror(-err));
	}
	while (started > 0)
		if (steps[--started].stop != NULL)
			steps[started].stop(d);
	if (err == 0)
		log_notice("stopped");
	return err == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* -t: everything that can be judged without touching anything. */
static int
check_only(struct daemon *d)
{
	if (setup_settings(&d->config, &d->settings, d->why, sizeof(d->why)) != 0 ||
	    datadir_check(d->config.options.data_dir, d->why, sizeof(d->why)) != 0) {
		settings_put(&d->settings);
		fprintf(stderr, "spillway: %s\n", d->why);
		return EXIT_FAILURE;
	}
	settings_put(&d->settings);
	if (tls_start(d) != 0) {
		fprintf(stderr, "spillway: %s\n", d->why);
		return EXIT_FAILURE;
	}
	tls_stop(d);
	printf("spillway: %s: good\n", d->config.file != NULL ? d->config.file : "configuration");
	return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	struct daemon daemon = {0};
	int status;

	if (command_parse(argc, argv, &daemon.command, daemon.why, sizeof(daemon.why)) != 0) {
		fprintf(stderr, "spillway: %s\n", daemon.why);
		return EXIT_USAGE;
	}
	if (daemon.command.help) {
		command_help(stdout);
		status = EXIT_SUCCESS;
	} else if (daemon.command.version) {
		printf("%s %s\n", PACKAGE_NAME, PACKAGE_VERSION);
		status = EXIT_SUCCESS;
	} else if (config_load(&daemon.command, &daemon.config, daemon.why, sizeof(daemon.why)) !=
		   0) {
		fprintf(stderr, "spillway: %s\n", daemon.why);
		status = EXIT_FAILURE;
	} else {
		status = daemon.command.test ? check_only(&daemon) : run(&daemon);
	}
	config_free(&daemon.config);
	command_free(&daemon.command);
	return status;
}
