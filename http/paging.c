#include "http/paging.h"

#include <errno.h>
#include <string.h>

static int
read_format(const struct head *head, struct slice query, bool *ndjson)
{
	char text[8];
	struct slice accept;
	int rc = path_query(query, "format", text, sizeof(text));

	if (rc == -ENOENT) {
		*ndjson = head_find(head, "accept", &accept) &&
			  memmem(accept.data, accept.length, "application/x-ndjson", 20) != NULL;
		return 0;
	}
	if (rc != 0 || (strcmp(text, "ndjson") != 0 && strcmp(text, "text") != 0))
		return -EINVAL;
	*ndjson = text[0] == 'n';
	return 0;
}

int
paging_read(const struct head *head, struct slice query, struct paging *out, const char **why)
{
	char text[32];
	int rc;

	out->limit = UINT64_MAX;
	if (read_format(head, query, &out->ndjson) != 0) {
		*why = "format is text or ndjson";
		return -EINVAL;
	}
	rc = path_query(query, "limit", text, sizeof(text));
	if (rc != -ENOENT && (rc != 0 || slice_decimal(slice_of(text), &out->limit) != 0)) {
		*why = "limit is a number of paths";
		return -EINVAL;
	}
	rc = path_query(query, "after", out->after, sizeof(out->after));
	if (rc != 0 && rc != -ENOENT) {
		*why = "after is a path";
		return -EINVAL;
	}
	out->has_after = rc == 0;
	return 0;
}
