/* path_fuzz.c - a name has no byte that could be taken for something else, and is found again by its
 * encoded form.
 */
#include <stdio.h>
#include <stdlib.h>

#include "http/path.h"
#include "tests/fuzz/fuzz.h"

static void
check_plain(const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	CHECK(length < size);
	for (size_t i = 0; i < length; i++)
		CHECK((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

/* Every byte of NAME escaped leads to NAME. */
static void
check_escaped(const char *name)
{
	char *target = malloc(3 * PATH_NAME_MAX + 2), again[PATH_NAME_MAX + 1];
	struct slice path, query;
	size_t n = 1;

	CHECK(target != NULL);
	target[0] = '/';
	for (const char *c = name + 1; *c != '\0'; c++)
		n += (size_t)sprintf(target + n, "%%%02x", (unsigned)(unsigned char)*c);
	CHECK(path_split((struct slice){target, n}, &path, &query) == 0 && query.length == 0);
	CHECK(path_decode(path, again) == 0 && strcmp(name, again) == 0);
	free(target);
}

static void
check_name(const char *name)
{
	char padded[PATH_NAME_MAX + 2];

	CHECK(name[0] == '/');
	check_plain(name, PATH_NAME_MAX + 1);
	snprintf(padded, sizeof(padded), "%s/", name);
	CHECK(strstr(padded, "/../") == NULL && strstr(padded, "/./") == NULL);
	check_escaped(name);
}

static void
check_query(struct slice query)
{
	static const char *const keys[] = {"prefix", "limit", "after", "_HLS_msn"};
	char *value = malloc(64); /* on the heap: a byte beyond it is found */

	CHECK(value != NULL);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (path_query(query, keys[i], value, 64) == 0) {
			check_plain(value, 64);
			CHECK(memmem(query.data, query.length, keys[i], strlen(keys[i])) != NULL);
		}
	}
	free(value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct slice target = {(const char *)data, length}, path, query;
	char *name;

	if (path_split(target, &path, &query) != 0)
		return 0;
	CHECK(path.length > 0 && memchr(path.data, '?', path.length) == NULL);
	CHECK(path.length + query.length <= length + 1);
	name = malloc(PATH_NAME_MAX + 1);
	CHECK(name != NULL);
	if (path_decode(path, name) == 0)
		check_name(name);
	check_query(query);
	free(name);
	return 0;
}
