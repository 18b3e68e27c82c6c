/* list_fuzz.c - what a LIST asks for is understood or refused, and each row is one line: of text, or of JSON
 * that says what the row says.
 */
#include <event2/buffer.h>
#include <jansson.h>
#include <stdlib.h>

#include "http/paging.h"
#include "http/row.h"
#include "storage/listing.h"
#include "tests/fuzz/fuzz.h"

#define MAX_MS (INT64_C(253402300799) * 1000) /* the end of the year 9999 */

static void
check_paging(struct slice query, struct slice accept)
{
	static const char begin[] = "LIST / HTTP/1.0\r\nAccept: ";
	size_t length = sizeof(begin) - 1 + accept.length + 4;
	char *text = malloc(length);
	struct head head;
	struct paging *paging = malloc(sizeof(*paging));
	const char *why = NULL;
	size_t at = 0, end = 0;

	CHECK(text != NULL && paging != NULL);
	memcpy(text, begin, sizeof(begin) - 1);
	memcpy(text + sizeof(begin) - 1, accept.data, accept.length);
	memcpy(text + length - 4, "\r\n\r\n", 4);
	if (head_scan(text, length, &at, &end) == HEAD_OK && end == length &&
	    head_parse(text, length, &head) == HEAD_OK) {
		if (paging_read(&head, query, paging, &why) != 0)
			CHECK(why != NULL);
		else if (paging->has_after)
			CHECK(strlen(paging->after) <= PATH_NAME_MAX);
		else if (query.length == 0)
			CHECK(paging->limit == UINT64_MAX);
	}
	free(paging);
	free(text);
}

/* The row as FORMAT writes it, without its newline, which must be the only one. */
static char *
line_of(int (*format)(const struct listing_row *, struct evbuffer *), const struct listing_row *row)
{
	struct evbuffer *out = evbuffer_new();
	size_t length;
	char *text;

	CHECK(out != NULL && format(row, out) == 0);
	length = evbuffer_get_length(out);
	text = malloc(length + 1);
	CHECK(text != NULL && evbuffer_remove(out, text, length) == (int)length);
	text[length] = '\0';
	CHECK(length > 1 && strchr(text, '\n') == text + length - 1 && strlen(text) == length);
	text[length - 1] = '\0';
	evbuffer_free(out);
	return text;
}

static void
check_row(const struct listing_row *row)
{
	char *text = line_of(row_text, row), *line = line_of(row_ndjson, row);
	json_error_t error;
	json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, &error);
	json_t *path = json_object_get(json, "path"), *expires = json_object_get(json, "expires");

	CHECK(strcmp(text, row->path) == 0);
	CHECK(json_is_object(json) && json_object_size(json) == 7);
	CHECK(json_integer_value(json_object_get(json, "size")) == (json_int_t)row->size);
	CHECK(json_is_string(path) && json_is_string(json_object_get(json, "type")));
	/* What is no UTF-8 is replaced; then the JSON has more bytes, never fewer. */
	CHECK(json_string_length(path) >= strlen(row->path));
	CHECK(strstr(json_string_value(path), "\xef\xbf\xbd") != NULL ||
	      strcmp(json_string_value(path), row->path) == 0);
	CHECK(json_string_length(json_object_get(json, "mtime")) == 24);
	CHECK(row->expires_ms == 0 ? json_is_null(expires) : json_string_length(expires) == 24);
	CHECK(json_is_string(json_object_get(json, "etag")) == row->has_etag);
	json_decref(json);
	free(line);
	free(text);
}

/* A path as the store would have it: no control bytes, not too long. */
static void
make_path(struct fuzz bytes, char path[PATH_NAME_MAX + 1])
{
	size_t n = 0;

	path[n++] = '/';
	for (size_t i = 0; i < bytes.length && n < PATH_NAME_MAX; i++) {
		if (bytes.data[i] >= 0x20 && bytes.data[i] != 0x7f)
			path[n++] = (char)bytes.data[i];
	}
	path[n] = '\0';
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct fuzz fuzz = {data, length};
	struct fuzz query = fuzz_field(&fuzz), accept = fuzz_field(&fuzz);
	struct fuzz name = fuzz_field(&fuzz), type = fuzz_field(&fuzz);
	char path[PATH_NAME_MAX + 1], media[256] = "";
	struct listing_row row = {.path = path, .type = media};

	check_paging((struct slice){(const char *)query.data, query.length},
		     (struct slice){(const char *)accept.data, accept.length});
	make_path(name, path);
	memcpy(media, type.data, type.length < sizeof(media) ? type.length : sizeof(media) - 1);
	row.size = fuzz_number(&fuzz) & INT64_MAX;
	row.mtime_ms = (int64_t)(fuzz_number(&fuzz) % MAX_MS);
	row.expires_ms = (int64_t)(fuzz_number(&fuzz) % MAX_MS);
	row.state = (enum object_state)(fuzz_byte(&fuzz) % (OBJECT_GONE + 1));
	row.has_etag = fuzz_byte(&fuzz) % 2 != 0;
	memcpy(row.etag, fuzz.data,
	       fuzz.length < sizeof(row.etag) ? fuzz.length : sizeof(row.etag));
	check_row(&row);
	return 0;
}
