#include "http/slice.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

struct slice
slice_of(const char *text)
{
	return (struct slice){text, strlen(text)};
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct slice
slice_trim(struct slice s)
{
	while (s.length > 0 && is_blank(s.data[0])) {
		s.data++;
		s.length--;
	}
	while (s.length > 0 && is_blank(s.data[s.length - 1]))
		s.length--;
	return s;
}

bool
slice_is(struct slice s, const char *text)
{
	return strlen(text) == s.length && strncasecmp(s.data, text, s.length) == 0;
}

bool
slice_element(struct slice *list, struct slice *element)
{
	while (list->length > 0) {
		size_t n = 0;
		bool quoted = false;

		for (; n < list->length && (quoted || list->data[n] != ','); n++) {
			if (list->data[n] == '"')
				quoted = !quoted;
		}
		*element = slice_trim((struct slice){list->data, n});
		if (n < list->length)
			n++;
		list->data += n;
		list->length -= n;
		if (element->length > 0)
			return true;
	}
	return false;
}

int
slice_decimal(struct slice s, uint64_t *out)
{
	uint64_t value = 0;
	bool over = false;

	if (s.length == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.length; i++) {
		unsigned digit = (unsigned)((unsigned char)s.data[i] - '0');

		if (digit > 9)
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			over = true;
	}
	if (over)
		return -ERANGE;
	*out = value;
	return 0;
}
