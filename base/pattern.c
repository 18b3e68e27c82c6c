#include "base/pattern.h"

#include <string.h>

bool
pattern_match(const char *pattern, const char *text)
{
	const char *star = strchr(pattern, '*');
	size_t left = strlen(text), head, tail;

	if (star == NULL)
		return strcmp(pattern, text) == 0;
	head = (size_t)(star - pattern);
	if (head > left || memcmp(pattern, text, head) != 0)
		return false;
	text += head;
	left -= head;

	/* Parts in the middle: taking the leftmost place leaves the most for the rest. */
	pattern = star + 1;
	while ((star = strchr(pattern, '*')) != NULL) {
		size_t part = (size_t)(star - pattern);
		const char *found = memmem(text, left, pattern, part);

		if (found == NULL)
			return false;
		left -= (size_t)(found - text) + part;
		text = found + part;
		pattern = star + 1;
	}
	tail = strlen(pattern);
	return tail <= left && memcmp(pattern, text + left - tail, tail) == 0;
}
