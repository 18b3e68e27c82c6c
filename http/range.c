#include "http/range.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A position; what no 64 bits hold (and the last that they do) is beyond the end of any object. */
static int
parse_position(struct slice s, uint64_t *out)
{
	int rc = slice_decimal(s, out);

	if (rc == -EINVAL)
		return rc;
	if (rc == -ERANGE || *out == RANGE_OPEN)
		*out = RANGE_OPEN - 1;
	return 0;
}

static int
parse_spec(struct slice s, struct range_spec *spec)
{
	const char *dash = memchr(s.data, '-', s.length);
	struct slice first, last;

	if (dash == NULL)
		return -EINVAL;
	first = (struct slice){s.data, (size_t)(dash - s.data)};
	last = (struct slice){dash + 1, s.length - first.length - 1};
	*spec = (struct range_spec){
		.suffix = first.length == 0, .last = RANGE_OPEN, .last_text = last};
	if (spec->suffix)
		return parse_position(last, &spec->last);
	if (parse_position(first, &spec->first) != 0)
		return -EINVAL;
	if (last.length > 0 && parse_position(last, &spec->last) != 0)
		return -EINVAL;
	return spec->last < spec->first ? -EINVAL : 0;
}

int
range_parse(struct slice value, struct range_spec *specs, size_t max, size_t *count)
{
	struct slice element;
	size_t n = 0;

	if (value.length < 6 || strncasecmp(value.data, "bytes=", 6) != 0)
		return -EINVAL;
	value.data += 6;
	value.length -= 6;
	while (slice_element(&value, &element)) {
		if (n == max)
			return -E2BIG;
		if (parse_spec(element, &specs[n]) != 0)
			return -EINVAL;
		n++;
	}
	if (n == 0)
		return -EINVAL;
	*count = n;
	return 0;
}

int
range_resolve(const struct range_spec *spec, uint64_t length, uint64_t *first, uint64_t *last)
{
	uint64_t from = spec->first;

	if (spec->suffix) {
		if (spec->last == 0)
			return -ERANGE;
		from = spec->last < length ? length - spec->last : 0;
	}
	if (from >= length)
		return -ERANGE;
	*first = from;
	*last = spec->suffix || spec->last >= length ? length - 1 : spec->last;
	return 0;
}

int
range_resolve_set(const struct range_spec *specs, size_t count, uint64_t length,
		  struct range_bytes *bytes)
{
	int n = 0;

	for (size_t i = 0; i < count; i++) {
		struct range_bytes *now = &bytes[n];
		uint64_t last;

		if (range_resolve(&specs[i], length, &now->first, &last) != 0)
			continue;
		now->end = last + 1;
		for (const struct range_bytes *b = bytes; b < now; b++) {
			if (b->first < now->end && now->first < b->end)
				return -EINVAL;
		}
		n++;
	}
	return n > 0 ? n : -ERANGE;
}

/* The last position that says "as far as there will ever be" (RFC 8673 2.2). */
#define VERY_LARGE ((UINT64_C(1) << 53) - 1)

int
range_resolve_growing(const struct range_spec *spec, uint64_t length, uint64_t *first,
		      uint64_t *end, char *positions)
{
	char last[RANGE_POSITIONS_SIZE / 2];
	size_t digits = spec->last_text.length;

	if (spec->suffix || digits >= sizeof(last))
		return -EINVAL;
	if (spec->first > length)
		return -ERANGE;
	if (spec->first >= VERY_LARGE)
		return -EINVAL; /* what is behind it has no last position that could be told */
	if (spec->last == RANGE_OPEN) {
		snprintf(last, sizeof(last), "%llu", (unsigned long long)VERY_LARGE);
	} else if (spec->last >= VERY_LARGE) {
		memcpy(last, spec->last_text.data, digits);
		last[digits] = '\0';
	} else {
		snprintf(last, sizeof(last), "%llu", (unsigned long long)spec->last);
	}
	snprintf(positions, RANGE_POSITIONS_SIZE, "bytes %llu-%s/*",
		 (unsigned long long)spec->first, last);
	*first = spec->first;
	*end = spec->last >= VERY_LARGE ? RANGE_OPEN : spec->last + 1;
	return 0;
}

int
range_parse_content(struct slice value, struct range_content *out)
{
	struct range_content got = {.last = RANGE_OPEN, .total = RANGE_OPEN};
	struct slice first, last, total;
	const char *dash, *slash;

	if (value.length < 6 || strncasecmp(value.data, "bytes", 5) != 0 || value.data[5] != ' ')
		return -EINVAL;
	value = slice_trim((struct slice){value.data + 6, value.length - 6});
	dash = memchr(value.data, '-', value.length);
	slash = memchr(value.data, '/', value.length);
	if (dash == NULL || slash == NULL || slash < dash)
		return -EINVAL;
	first = (struct slice){value.data, (size_t)(dash - value.data)};
	last = (struct slice){dash + 1, (size_t)(slash - dash - 1)};
	total = (struct slice){slash + 1, value.length - (size_t)(slash + 1 - value.data)};
	if (slice_decimal(first, &got.first) != 0)
		return -EINVAL;
	if (!slice_is(last, "*") && (slice_decimal(last, &got.last) != 0 || got.last == RANGE_OPEN))
		return -EINVAL;
	if (!slice_is(total, "*") &&
	    (slice_decimal(total, &got.total) != 0 || got.total == RANGE_OPEN))
		return -EINVAL;
	if (got.last != RANGE_OPEN && (got.last < got.first || got.last >= got.total))
		return -EINVAL;
	if (got.first > got.total)
		return -EINVAL;
	*out = got;
	return 0;
}
