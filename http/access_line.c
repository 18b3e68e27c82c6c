#include "http/access_line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TARGET_MAX 4096 /* bytes of each text as it is written */
#define FIELD_MAX 1536
#define USER_MAX 384

#define CLIENT_LEFT 499 /* as nginx says it */

struct line {
	char *text;
	size_t length;
	bool json;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
add(struct line *line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	line->length += (size_t)vsnprintf(line->text + line->length, ACCESS_LINE_MAX - line->length,
					  format, args);
	va_end(args);
}

static void
add_text(struct line *line, struct slice text, size_t max)
{
	static const char digits[] = "0123456789abcdef";
	char *at = line->text + line->length;
	const char *end = at + max;

	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (end - at < 6)
			break;
		if (c == '"' || c == '\\') {
			*at++ = '\\';
			*at++ = (char)c;
		} else if (c >= 0x20 && c < 0x7f) {
			*at++ = (char)c;
		} else {
			at = stpcpy(at, line->json ? "\\u00" : "\\x");
			*at++ = digits[c >> 4];
			*at++ = digits[c & 15];
		}
	}
	line->length = (size_t)(at - line->text);
}

static struct slice
without_query(struct slice target)
{
	const char *mark = target.length > 0 ? memchr(target.data, '?', target.length) : NULL;

	if (mark != NULL)
		target.length = (size_t)(mark - target.data);
	return target;
}

static struct slice
or_dash(struct slice text)
{
	return text.length > 0 ? text : slice_of("-");
}

/* Between two blanks, so with none inside. */
static void
add_user(struct line *line, struct slice user)
{
	size_t begin = line->length;

	for (size_t i = 0; i < user.length && line->length - begin < USER_MAX; i++) {
		if (user.data[i] == ' ')
			add(line, "\\x20");
		else
			add_text(line, (struct slice){user.data + i, 1}, 6);
	}
	if (line->length == begin)
		add(line, "-");
}

static void
combined(struct line *line, const struct access_entry *e, const struct tm *tm)
{
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

	add(line, "%.64s - ", e->peer);
	add_user(line, e->user);
	add(line, " [%02d/%s/%d:%02d:%02d:%02d +0000] \"%s ", tm->tm_mday, months[tm->tm_mon],
	    tm->tm_year + 1900, tm->tm_hour, tm->tm_min, tm->tm_sec, e->method);
	add_text(line, or_dash(without_query(e->target)), TARGET_MAX);
	add(line, " HTTP/1.%u\" %d %" PRIu64 " \"", e->minor,
	    e->status != 0 ? e->status : CLIENT_LEFT, e->sent);
	add_text(line, or_dash(without_query(e->referer)), FIELD_MAX);
	add(line, "\" \"");
	add_text(line, or_dash(e->agent), FIELD_MAX);
	add(line, "\" in=%" PRIu64 " time=%.6f first=%.6f object=%s end=%s\n", e->received,
	    (double)e->duration_us / 1e6, (double)e->first_us / 1e6, e->object,
	    e->whole ? "whole" : "cut");
}

static void
json(struct line *line, const struct access_entry *e, const struct tm *tm)
{
	add(line,
	    "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\",\"peer\":\"%.64s\",\"user\":\"",
	    tm->tm_year + 1900, tm->tm_mon + 1, tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec,
	    (int)(e->time_ms % 1000), e->peer);
	add_text(line, or_dash(e->user), USER_MAX);
	add(line, "\",\"method\":\"%s\",\"path\":\"", e->method);
	add_text(line, or_dash(without_query(e->target)), TARGET_MAX);
	add(line,
	    "\",\"protocol\":\"HTTP/1.%u\",\"status\":%d,\"sent\":%" PRIu64 ",\"received\":%" PRIu64
	    ",\"seconds\":%.6f,\"first_byte\":%.6f,\"object\":\"%s\",\"end\":\"%s\",\"referer\":\"",
	    e->minor, e->status != 0 ? e->status : CLIENT_LEFT, e->sent, e->received,
	    (double)e->duration_us / 1e6, (double)e->first_us / 1e6, e->object,
	    e->whole ? "whole" : "cut");
	add_text(line, or_dash(without_query(e->referer)), FIELD_MAX);
	add(line, "\",\"agent\":\"");
	add_text(line, or_dash(e->agent), FIELD_MAX);
	add(line, "\"}\n");
}

size_t
access_line(enum access_format format, const struct access_entry *entry, char out[ACCESS_LINE_MAX])
{
	struct line line = {.text = out, .json = format == ACCESS_JSON};
	time_t seconds = (time_t)(entry->time_ms / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	if (line.json)
		json(&line, entry, &tm);
	else
		combined(&line, entry, &tm);
	return line.length;
}
