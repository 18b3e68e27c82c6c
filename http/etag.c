#include "http/etag.h"

#include <string.h>

#include "http/date.h"

void
etag_format(const uint8_t hash[16], char out[ETAG_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	out[n++] = '"';
	for (unsigned i = 0; i < 16; i++) {
		out[n++] = digits[hash[i] >> 4];
		out[n++] = digits[hash[i] & 15];
	}
	out[n++] = '"';
	out[n] = '\0';
}

/* One element against ETAG, which is strong. Tags are compared byte by byte. */
static bool
is_tag(struct slice element, const char *etag, bool weak)
{
	if (element.length > 2 && element.data[0] == 'W' && element.data[1] == '/') {
		if (!weak)
			return false;
		element.data += 2;
		element.length -= 2;
	}
	return etag != NULL && strlen(etag) == element.length &&
	       memcmp(etag, element.data, element.length) == 0;
}

bool
etag_listed(struct slice list, const char *etag, bool weak)
{
	struct slice element;

	while (slice_element(&list, &element)) {
		if (slice_is(element, "*") || is_tag(element, etag, weak))
			return true;
	}
	return false;
}

/* Whether any of the fields NAME lists ETAG; *PRESENT when there is one. */
static bool
field_lists(const struct head *head, const char *name, const char *etag, bool weak, bool *present)
{
	struct slice value;
	size_t at = 0;

	*present = false;
	while (head_next(head, name, &at, &value)) {
		*present = true;
		if (etag_listed(value, etag, weak))
			return true;
	}
	return false;
}

static bool
find_date(const struct head *head, const char *name, int64_t now, int64_t *date)
{
	struct slice value;

	return head_find(head, name, &value) && date_parse(value, now, date) == 0;
}

enum etag_outcome
etag_evaluate(const struct head *head, const char *etag, int64_t mtime, int64_t now)
{
	bool present, listed;
	int64_t date;

	/* The order is RFC 9110 13.2.2. */
	listed = field_lists(head, "if-match", etag, false, &present);
	if (present && !listed)
		return ETAG_FAILED;
	if (!present && mtime >= 0 && find_date(head, "if-unmodified-since", now, &date) &&
	    mtime > date)
		return ETAG_FAILED;
	listed = field_lists(head, "if-none-match", etag, true, &present);
	if (present)
		return listed ? ETAG_NOT_MODIFIED : ETAG_PROCEED;
	if (mtime >= 0 && find_date(head, "if-modified-since", now, &date) && mtime <= date)
		return ETAG_NOT_MODIFIED;
	return ETAG_PROCEED;
}

bool
etag_has_preconditions(const struct head *head)
{
	struct slice value;

	return head_find(head, "if-match", &value) || head_find(head, "if-none-match", &value) ||
	       head_find(head, "if-unmodified-since", &value);
}

bool
etag_write_allowed(const struct head *head, bool exists, const char *etag, int64_t mtime,
		   int64_t now)
{
	bool present, listed;
	int64_t date;

	listed = field_lists(head, "if-match", etag, false, &present);
	if (present && !(exists && listed))
		return false;
	if (!present && exists && mtime >= 0 &&
	    find_date(head, "if-unmodified-since", now, &date) && mtime > date)
		return false;
	listed = field_lists(head, "if-none-match", etag, true, &present);
	return !(present && exists && listed);
}

bool
etag_range_applies(const struct head *head, const char *etag, int64_t mtime, int64_t now)
{
	struct slice value;
	int64_t date;

	if (!head_find(head, "if-range", &value))
		return true;
	if (memchr(value.data, '"', value.length) != NULL)
		return is_tag(value, etag, false); /* a weak one never is */
	return date_parse(value, now, &date) == 0 && date == mtime;
}
