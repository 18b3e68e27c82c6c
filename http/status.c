#include "http/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "http/history.h"
#include "http/json.h"
#include "http/reply.h"
#include "http/utf8.h"
#include "storage/store.h"
#include "storage/streams.h"

/* The page is a part of the program: it is there whatever is installed. */
__asm__(".section .rodata\n"
	".global status_html\n"
	".global status_html_end\n"
	"status_html:\n"
	".incbin \"" STATUS_PAGE "\"\n"
	"status_html_end:\n"
	".byte 0\n"
	".previous\n");
extern const char status_html[], status_html_end[];

static const char *const script_names[] = {"hls.min.js", "dash.all.min.js"};

#define SCRIPTS (sizeof(script_names) / sizeof(script_names[0]))
#define SCRIPT_MAX ((off_t)8 << 20)

struct script {
	char *text;
	size_t length;
};

struct status {
	struct history *history;
	int64_t started_ms, due_ms; /* mono */
	json_t *listeners;          /* read only once the workers run */
	struct script scripts[SCRIPTS];
};

/* A player that is not there, or can't be read, is left out. */
static void
load_script(const char *dir, const char *name, struct script *script)
{
	char path[4096];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= SCRIPT_MAX)
		script->text = malloc((size_t)st.st_size);
	if (script->text != NULL && read(fd, script->text, (size_t)st.st_size) == st.st_size) {
		script->length = (size_t)st.st_size;
	} else {
		log_warning("can't read the player file=%s", path);
		free(script->text);
		script->text = NULL;
	}
	close(fd);
}

struct status *
status_new(const char *player_dir)
{
	struct status *status = calloc(1, sizeof(*status));

	if (status == NULL)
		return NULL;
	status->started_ms = clock_mono_ms();
	status->history = history_new();
	status->listeners = json_array();
	if (status->history == NULL || status->listeners == NULL) {
		status_free(&status);
		return NULL;
	}
	for (size_t i = 0; i < SCRIPTS && player_dir != NULL; i++)
		load_script(player_dir, script_names[i], &status->scripts[i]);
	return status;
}

void
status_free(struct status **statusp)
{
	struct status *status = *statusp;

	*statusp = NULL;
	if (status == NULL)
		return;
	history_free(&status->history);
	json_decref(status->listeners);
	for (size_t i = 0; i < SCRIPTS; i++)
		free(status->scripts[i].text);
	free(status);
}

int
status_add_listener(struct status *status, const char *scheme, const char *address)
{
	json_t *listener = json_pack("{s:s, s:s}", "scheme", scheme, "address", address);

	return json_array_append_new(status->listeners, listener) == 0 ? 0 : -ENOMEM;
}

void
status_tick(struct status *status, struct store *store, int64_t now_ms)
{
	if (now_ms < status->due_ms)
		return;
	status->due_ms = now_ms + HISTORY_EVERY_MS;
	history_sample(status->history);
	streams_sample(store_streams(store));
}

/* ---- what is shown ---- */

/* Milliseconds since THEN, or null if that was never. */
static json_t *
json_age(int64_t then_ms)
{
	return then_ms != 0 ? json_integer(clock_mono_ms() - then_ms) : json_null();
}

static void
add_stream(void *arg, const struct stream_figures *f)
{
	json_t *stream = json_object();

	json_object_set_new(stream, "path", json_bytes(f->path));
	json_object_set_new(stream, "writers", json_integer(f->counts[STREAM_WRITERS]));
	json_object_set_new(stream, "readers", json_integer(f->counts[STREAM_READERS]));
	json_object_set_new(stream, "received", json_integer(f->counts[STREAM_RECEIVED]));
	json_object_set_new(stream, "sent", json_integer(f->counts[STREAM_SENT]));
	json_object_set_new(stream, "received_rate", json_integer(f->received_rate));
	json_object_set_new(stream, "sent_rate", json_integer(f->sent_rate));
	json_object_set_new(stream, "finished", json_integer(f->counts[STREAM_FINISHED]));
	json_object_set_new(stream, "aborted", json_integer(f->counts[STREAM_ABORTED]));
	json_object_set_new(stream, "received_ms", json_age(f->received_ms));
	json_object_set_new(stream, "playlist_ms", json_age(f->playlist_ms));
	json_object_set_new(stream, "aborted_ms", json_age(f->aborted_ms));
	json_array_append_new(arg, stream);
}

static void
add_recent(void *arg, const struct stream_recent *recent)
{
	json_t *object = json_object();

	json_object_set_new(object, "path", json_bytes(recent->path));
	json_object_set_new(object, "size", json_integer((json_int_t)recent->size));
	json_object_set_new(object, "took_ms", json_integer(recent->took_ms));
	json_object_set_new(object, "ended_ms", json_age(recent->ended_ms));
	json_array_append_new(arg, object);
}

/* One array a figure: shorter than an object a sample. */
static json_t *
history_json(struct history *history)
{
	struct history_sample *samples = calloc(HISTORY_SAMPLES, sizeof(*samples));
	size_t count = samples != NULL ? history_read(history, samples) : 0;
	json_t *json = json_object(), *time = json_array(), *received = json_array(),
	       *sent = json_array(), *readers = json_array(), *p50 = json_array(),
	       *p99 = json_array(), *disk = json_array();

	for (size_t i = 0; i < count; i++) {
		json_array_append_new(time, json_integer(samples[i].time_ms));
		json_array_append_new(received, json_integer(samples[i].received_rate));
		json_array_append_new(sent, json_integer(samples[i].sent_rate));
		json_array_append_new(readers, json_integer(samples[i].readers));
		json_array_append_new(p50, json_integer(samples[i].p50_us));
		json_array_append_new(p99, json_integer(samples[i].p99_us));
		json_array_append_new(disk, json_integer(samples[i].disk_used_bytes));
	}
	free(samples);
	json_object_set_new(json, "time", time);
	json_object_set_new(json, "received_rate", received);
	json_object_set_new(json, "sent_rate", sent);
	json_object_set_new(json, "readers", readers);
	json_object_set_new(json, "p50_us", p50);
	json_object_set_new(json, "p99_us", p99);
	json_object_set_new(json, "disk_used", disk);
	return json;
}

static json_t *
players_json(const struct status *status)
{
	json_t *players = json_array();

	for (size_t i = 0; i < SCRIPTS; i++)
		if (status->scripts[i].text != NULL)
			json_array_append_new(players, json_string(script_names[i]));
	return players;
}

static json_t *
make_json(const struct status *status, struct worker *worker)
{
	struct streams *all = store_streams(worker->store);
	json_t *json = json_object(), *streams = json_array(), *recent = json_array();
	char why[256] = "";
	bool ready = !worker->draining && store_ready(worker->store, why, sizeof(why)) == 0;

	if (worker->draining)
		snprintf(why, sizeof(why), "the server is stopping");
	streams_visit(all, add_stream, streams);
	streams_visit_recent(all, add_recent, recent);
	json_object_set_new(json, "version", json_string(PACKAGE_VERSION));
	json_object_set_new(json, "uptime_ms", json_age(status->started_ms));
	json_object_set_new(json, "now", json_time(clock_wall_ms()));
	json_object_set_new(json, "ready", json_boolean(ready));
	json_object_set_new(json, "reason", ready ? json_null() : json_string(why));
	json_object_set(json, "listeners", status->listeners);
	json_object_set_new(json, "players", players_json(status));
	json_object_set_new(json, "disk_used", json_integer(metric_value(METRIC_disk_used_bytes)));
	json_object_set_new(json, "disk_free", json_integer(metric_value(METRIC_disk_free_bytes)));
	json_object_set_new(json, "volumes", json_integer(metric_value(METRIC_volumes)));
	json_object_set_new(json, "tail", json_integer(metric_value(METRIC_tail_bytes)));
	json_object_set_new(json, "resident", json_integer(metric_value(METRIC_resident_bytes)));
	json_object_set_new(json, "failed", json_integer(metric_value(METRIC_ingest_failed_total)));
	json_object_set_new(json, "streams", streams);
	json_object_set_new(json, "recent", recent);
	json_object_set_new(json, "history", history_json(status->history));
	return json;
}

void
status_json(struct conn *conn)
{
	struct evbuffer *out = evbuffer_new();
	json_t *json = make_json(conn->worker->status, conn->worker);

	if (out == NULL || json == NULL || json_add(json, out) != 0) {
		reply_text(conn, 503, "out of memory");
	} else {
		reply_header(conn, "Content-Type", "application/json");
		reply_header(conn, "Cache-Control", "no-store");
		reply_buffer(conn, 200, out);
	}
	json_decref(json);
	if (out != NULL)
		evbuffer_free(out);
}

/* LENGTH bytes of TEXT, which stays where it is as long as the server runs. */
static void
reply_constant(struct conn *conn, const char *type, const char *text, size_t length)
{
	struct evbuffer *out = evbuffer_new();

	if (out == NULL || evbuffer_add_reference(out, text, length, NULL, NULL) != 0) {
		reply_text(conn, 503, "out of memory");
	} else {
		reply_header(conn, "Content-Type", type);
		reply_header(conn, "Cache-Control", "no-cache");
		reply_buffer(conn, 200, out);
	}
	if (out != NULL)
		evbuffer_free(out);
}

void
status_page(struct conn *conn)
{
	/* Its own text only, the players, and what is stored here: a path can't become a script. */
	reply_header(
		conn, "Content-Security-Policy",
		"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; "
		"connect-src *; media-src * blob:; worker-src blob:; img-src data:; base-uri 'none'; "
		"form-action 'none'; frame-ancestors 'none'");
	reply_header(conn, "X-Content-Type-Options", "nosniff");
	reply_constant(conn, "text/html; charset=utf-8", status_html,
		       (size_t)(status_html_end - status_html));
}

void
status_script(struct conn *conn, const char *name)
{
	const struct status *status = conn->worker->status;

	for (size_t i = 0; i < SCRIPTS; i++) {
		if (strcmp(script_names[i], name) != 0 || status->scripts[i].text == NULL)
			continue;
		reply_constant(conn, "text/javascript; charset=utf-8", status->scripts[i].text,
			       status->scripts[i].length);
		return;
	}
	reply_text(conn, 404, "this player is not installed");
}

/* ---- /metrics ---- */

static const struct {
	enum stream_count count;
	const char *family, *kind, *help;
} families[] = {
	{STREAM_WRITERS, "spillway_stream_writers", "gauge", "Uploads under way, by stream."},
	{STREAM_READERS, "spillway_stream_readers", "gauge",
	 "Readers that follow a growing object, by stream."},
	{STREAM_RECEIVED, "spillway_stream_received_bytes_total", "counter",
	 "Bytes of request bodies, by stream."},
	{STREAM_SENT, "spillway_stream_sent_bytes_total", "counter",
	 "Bytes of object bodies handed to the network, by stream."},
	{STREAM_FINISHED, "spillway_stream_uploads_total", "counter",
	 "Uploads that were complete, by stream."},
	{STREAM_ABORTED, "spillway_stream_aborted_total", "counter",
	 "Uploads that ended before their end, by stream."},
};

struct family_output {
	struct evbuffer *out;
	size_t family;
};

/* VALUE as the value of a label. */
static void
add_label(struct evbuffer *out, const char *value)
{
	while (*value != '\0') {
		size_t length = utf8_length((const unsigned char *)value);

		if (*value == '\\' || *value == '"')
			evbuffer_add(out, "\\", 1); /* paths hold no control bytes */
		if (length > 0)
			evbuffer_add(out, value, length);
		else
			evbuffer_add(out, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT));
		value += length > 0 ? length : 1;
	}
}

static void
add_stream_value(void *arg, const struct stream_figures *figures)
{
	const struct family_output *output = arg;

	evbuffer_add_printf(output->out, "%s{stream=\"", families[output->family].family);
	add_label(output->out, figures->path);
	evbuffer_add_printf(output->out, "\"} %lld\n",
			    (long long)figures->counts[families[output->family].count]);
}

void
status_add_metrics(struct store *store, struct evbuffer *out)
{
	struct family_output output = {.out = out};

	for (; output.family < sizeof(families) / sizeof(families[0]); output.family++) {
		evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n",
				    families[output.family].family, families[output.family].help,
				    families[output.family].family, families[output.family].kind);
		streams_visit(store_streams(store), add_stream_value, &output);
	}
}
