#include "http/json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "http/utf8.h"

#define TIME_SIZE 32

json_t *
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

json_t *
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
			memcpy(clean + n, UTF8_REPLACEMENT, 3);
			n += 3;
			s++;
		}
	}
	return json_stringn(clean, n);
}

static int
append(const char *text, size_t length, void *arg)
{
	return evbuffer_add(arg, text, length);
}

int
json_add(json_t *json, struct evbuffer *out)
{
	return json_dump_callback(json, append, out, JSON_COMPACT);
}
