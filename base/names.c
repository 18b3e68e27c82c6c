#include "base/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
names_add(struct names *names, const char *name)
{
	char **items = realloc(names->items, (names->count + 1) * sizeof(*items));

	if (items == NULL)
		return -ENOMEM;
	names->items = items;
	items[names->count] = strdup(name);
	if (items[names->count] == NULL)
		return -ENOMEM;
	names->count++;
	return 0;
}

int
names_copy(const struct names *names, struct names *out)
{
	*out = (struct names){.line = names->line};
	for (size_t i = 0; i < names->count; i++) {
		if (names_add(out, names->items[i]) != 0) {
			names_clear(out);
			return -ENOMEM;
		}
	}
	return 0;
}

void
names_clear(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	free(names->items);
	*names = (struct names){NULL, 0, 0};
}

bool
names_have(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->items[i], name) == 0)
			return true;
	return false;
}

bool
names_equal(const struct names *a, const struct names *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}
