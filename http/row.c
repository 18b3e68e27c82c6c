#include "http/row.h"

#include <errno.h>
#include <event2/buffer.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "http/etag.h"
#include "storage/listing.h"

#define TIME_SIZE 32

int
row_text(const struct listing_row *row, struct evbuffer *out)
{
	if (evbuffer_add(out, row->path, strlen(row->path)) != 0 || evbuffer_add(out, "\n", 1) != 0)
		return -ENOMEM;
	return 0;
}

static const char *
state_name(enum object_state state)
{
	switch (state) {
	case OBJECT_LIVE:
		return "live";
	case OBJECT_COMPLETE:
		return "complete";
	case OBJECT_INCOMPLETE:
		return "incomplete";
	case OBJECT_GONE:
		break;
	}
	return "gone"; /* deleted since the page was made */
}

static json_t *
json_time(int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	char text[TIME_SIZE], date[TIME_SIZE];
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL)
		return json_null();
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%.24s.%03dZ", date, (int)(ms % 1000));
	return json_string(text);
}

/* Bytes of the UTF-8 sequence at S, which ends in NUL; 0 if it is none (Unicode 15, table 3-7). */
static size_t
utf8_length(const unsigned char *s)
{
	size_t length = s[0] < 0x80   ? 1
			: s[0] < 0xc2 ? 0
			: s[0] < 0xe0 ? 2
			: s[0] < 0xf0 ? 3
			: s[0] < 0xf5 ? 4
				      : 0;

	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return length;
}

/* TEXT, of any bytes, as a JSON string. */
static json_t *
json_bytes(const char *text)
{
	char clean[3 * 1024 + 1]; /* a path at its longest, each byte replaced */
	size_t n = 0;

	for (const unsigned char *s = (const unsigned char *)text;
	     *s != '\0' && n + 4 < sizeof(clean);) {
		size_t length = utf8_length(s);

		if (length > 0) {
			memcpy(clean + n, s, length);
			n += length;
			s += length;
		} else {
			memcpy(clean + n, "\xef\xbf\xbd", 3);
			n += 3;
			s++;
		}
	}
	return json_stringn(clean, n);
}

static json_t *
json_etag(const struct listing_row *row)
{
	char etag[ETAG_SIZE];

	if (!row->has_etag)
		return json_null();
	etag_format(row->etag, etag);
	return json_string(etag);
}

static int
append(const char *text, size_t length, void *arg)
{
	return evbuffer_add(arg, text, length);
}

int
row_ndjson(const struct listing_row *row, struct evbuffer *out)
{
	json_t *json = json_object();
	int rc = json == NULL;

	/* json_object_set_new takes the value over, and fails for NULL. */
	rc |= json_object_set_new(json, "path", json_bytes(row->path));
	rc |= json_object_set_new(json, "size", json_integer((json_int_t)row->size));
	rc |= json_object_set_new(json, "type", json_bytes(row->type));
	rc |= json_object_set_new(json, "mtime", json_time(row->mtime_ms));
	rc |= json_object_set_new(json, "etag", json_etag(row));
	rc |= json_object_set_new(json, "state", json_string(state_name(row->state)));
	rc |= json_object_set_new(json, "expires",
				  row->expires_ms != 0 ? json_time(row->expires_ms) : json_null());
	if (rc == 0)
		rc = json_dump_callback(json, append, out, JSON_COMPACT);
	if (rc == 0)
		rc = evbuffer_add(out, "\n", 1);
	json_decref(json);
	return rc == 0 ? 0 : -ENOMEM;
}
