#include "http/row.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdbool.h>
#include <string.h>

#include "http/etag.h"
#include "http/json.h"
#include "storage/listing.h"

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
json_etag(const struct listing_row *row)
{
	char etag[ETAG_SIZE];

	if (!row->has_etag)
		return json_null();
	etag_format(row->etag, etag);
	return json_string(etag);
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
		rc = json_add(json, out);
	if (rc == 0)
		rc = evbuffer_add(out, "\n", 1);
	json_decref(json);
	return rc == 0 ? 0 : -ENOMEM;
}
