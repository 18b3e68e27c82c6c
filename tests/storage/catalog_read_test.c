/* catalog_read_test.c - lists: prefix, pages, and byte order also of paths longer than a key. */
#include <stdbool.h>

#include "tests/storage/catalog_rig.h"

static int
set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	rig_open(rig);
	*state = rig;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *rig = *state;

	rig_close(rig);
	free(rig);
	return 0;
}

static int
write_path(void *arg, const struct catalog_row *row)
{
	assert_null(row->extents);
	fprintf(arg, "%.*s%s\n", (int)row->name.path_length, row->name.path,
		row->open ? " (open)" : "");
	return 0;
}

/* A page as text, with "..." when more may follow. The caller frees it. */
static char *
list(struct rig *rig, const char *prefix, const char *after, size_t limit)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	bool more;

	assert_int_equal(catalog_list(rig->catalog, prefix, after, limit, write_path, out, &more),
			 0);
	if (more)
		fprintf(out, "...");
	fclose(out);
	return text;
}

static void
expect_list(struct rig *rig, const char *prefix, const char *after, size_t limit,
	    const char *expected)
{
	char *text = list(rig, prefix, after, limit);

	assert_string_equal(text, expected);
	free(text);
}

static void
put(struct rig *rig, uint64_t id, const char *path)
{
	apply_final_record(rig, id, id, path, 0, 10, 1);
}

static void
lists_are_by_prefix_in_byte_order(void **state)
{
	struct rig *rig = *state;

	expect_list(rig, "/", NULL, 10, "");
	put(rig, 1, "/b/2");
	put(rig, 2, "/a");
	put(rig, 3, "/b");
	put(rig, 4, "/b/1");
	put(rig, 5, "/b\xff");
	put(rig, 6, "/b\x01");
	apply_open_record(rig, 7, 7, "/c", 0, 10, 1);
	apply_hidden_record(rig, 8, "/b/hidden", 10, 1);
	expect_list(rig, "/", NULL, 10, "/a\n/b\n/b\x01\n/b/1\n/b/2\n/b\xff\n/c (open)\n");
	expect_list(rig, "", NULL, 2, "/a\n/b\n...");
	expect_list(rig, "/b", NULL, 10, "/b\n/b\x01\n/b/1\n/b/2\n/b\xff\n");
	expect_list(rig, "/b/", NULL, 10, "/b/1\n/b/2\n");
	expect_list(rig, "/b/", NULL, 2, "/b/1\n/b/2\n");
	expect_list(rig, "/b/", NULL, 1, "/b/1\n...");
	expect_list(rig, "/b/", NULL, 0, "...");
	expect_list(rig, "/b/", "/b/1", 10, "/b/2\n");
	expect_list(rig, "/b/", "/b/10", 10, "/b/2\n");
	expect_list(rig, "/b/", "/b/2", 10, "");
	expect_list(rig, "/b/", "/a", 10, "/b/1\n/b/2\n");
	expect_list(rig, "/b/", "/c", 10, "");
	expect_list(rig, "/d", NULL, 10, "");
	expect_list(rig, "/", "/c", 10, "");
}

static int
stop_at_second(void *arg, const struct catalog_row *row)
{
	(void)row;
	return ++*(int *)arg == 2 ? -123 : 0;
}

static void
a_visitor_may_stop_the_list(void **state)
{
	struct rig *rig = *state;
	bool more;
	int seen = 0;

	put(rig, 1, "/a");
	put(rig, 2, "/b");
	put(rig, 3, "/c");
	assert_int_equal(catalog_list(rig->catalog, "/", NULL, 10, stop_at_second, &seen, &more),
			 -123);
	assert_int_equal(seen, 2);
}

static int
note_size(void *arg, const struct catalog_row *row)
{
	*(uint64_t *)arg = row->name.size;
	return 0;
}

static void
an_open_row_is_listed_with_what_is_stored(void **state)
{
	struct rig *rig = *state;
	uint64_t size = 99;
	bool more;

	apply_open_record(rig, 5, 5, "/a", 0, 0, 1);
	assert_int_equal(catalog_list(rig->catalog, "/", NULL, 1, note_size, &size, &more), 0);
	assert_int_equal(size, 0);
	apply_open_record(rig, 6, 6, "/z", 0, 7, 1); /* its extents sort behind those of /a */
	apply_data_record(rig, 5, 0, 10, 1);
	apply_data_record(rig, 5, 10, 11, 1);
	assert_int_equal(catalog_list(rig->catalog, "/a", NULL, 1, note_size, &size, &more), 0);
	assert_int_equal(size, 21);
	assert_int_equal(catalog_list(rig->catalog, "/z", NULL, 1, note_size, &size, &more), 0);
	assert_int_equal(size, 7);
}

static void
an_object_with_lost_bytes_is_listed_as_open(void **state)
{
	struct rig *rig = *state;
	uint64_t size = 99;
	bool more;

	apply_open_record(rig, 1, 1, "/a", 0, 10, 1);
	apply_final_record(rig, 1, 1, "/a", 20, 10, 1);
	expect_list(rig, "/", NULL, 1, "/a (open)\n");
	assert_int_equal(catalog_list(rig->catalog, "/", NULL, 1, note_size, &size, &more), 0);
	assert_int_equal(size, 10);
}

/* ---- long paths ------------------------------------------------------------------ */

enum { LONG_PATHS = 400, PATH_BYTES = 1025 };

static int
compare_paths(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Paths around the length where keys are cut, many with a common beginning. */
static void
make_path(unsigned i, char *path)
{
	static const size_t lengths[] = {2, 479, 480, 481, 482, 487, 488, 489, 511, 512, 1024};
	size_t length = lengths[i % (sizeof(lengths) / sizeof(lengths[0]))];

	memset(path, 'm', length);
	path[0] = '/';
	path[length] = '\0';
	path[length - 1] = (char)('a' + rand() % 26);
	if (rand() % 3 == 0) /* another common beginning */
		path[1] = (char)('l' + rand() % 3);
	if (rand() % 4 == 0 && length > 480)
		path[470 + rand() % 20 % (int)(length - 470)] = (char)('a' + rand() % 26);
}

static void
check_pages(struct rig *rig, char (*paths)[PATH_BYTES], size_t count, const char *prefix,
	    const char *start, size_t limit)
{
	char after[PATH_BYTES];
	size_t next = 0, prefix_length = strlen(prefix);
	bool have_after = start != NULL, last = false;

	if (have_after)
		strcpy(after, start);
	while (!last) {
		char *text = list(rig, prefix, have_after ? after : NULL, limit), *line = text;
		size_t rows = 0;

		for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1, rows++) {
			*end = '\0';
			while (next < count && (strncmp(paths[next], prefix, prefix_length) != 0 ||
						(start != NULL && strcmp(paths[next], start) <= 0)))
				next++;
			assert_true(next < count);
			assert_string_equal(line, paths[next++]);
			strcpy(after, line);
			have_after = true;
		}
		assert_true(rows <= limit);
		last = strcmp(line, "...") != 0;
		assert_true(last || rows == limit);
		free(text);
	}
	while (next < count && (strncmp(paths[next], prefix, prefix_length) != 0 ||
				(start != NULL && strcmp(paths[next], start) <= 0)))
		next++;
	assert_int_equal(next, count);
}

static void
long_paths_are_found_and_listed_in_order(void **state)
{
	struct rig *rig = *state;
	char(*paths)[PATH_BYTES] = calloc(LONG_PATHS, sizeof(*paths));
	size_t count = 0;

	srand(1);
	for (unsigned i = 0; i < LONG_PATHS; i++)
		make_path(i, paths[i]);
	qsort(paths, LONG_PATHS, sizeof(*paths), compare_paths);
	for (unsigned i = 0; i < LONG_PATHS; i++) /* without twins */
		if (count == 0 || strcmp(paths[count - 1], paths[i]) != 0)
			memmove(paths[count++], paths[i], PATH_BYTES);
	assert_true(count > LONG_PATHS / 3);

	assert_int_equal(catalog_begin(rig->catalog), 0);
	for (size_t i = 0; i < count; i++) {
		size_t which = i * 7919 % count; /* a prime: each once */
		struct record record =
			make_record(RECORD_FINAL, which + 1, which + 1, paths[which], 0, 5, 5);

		assert_int_equal(catalog_apply(rig->catalog, &record, 1, 0), 0);
	}
	assert_int_equal(catalog_commit(rig->catalog), 0);
	for (size_t i = 0; i < count; i++) {
		char expected[64];

		snprintf(expected, sizeof(expected), "id=%zu seq=%zu size=5: 0+5@1", i + 1, i + 1);
		expect(rig, paths[i], expected);
	}

	check_pages(rig, paths, count, "/", NULL, 1000);
	check_pages(rig, paths, count, "/", NULL, 1);
	check_pages(rig, paths, count, "/", NULL, 7);
	for (size_t i = 0; i < count; i += 9) {
		char prefix[PATH_BYTES];

		check_pages(rig, paths, count, paths[i], NULL, 3);
		check_pages(rig, paths, count, "/", paths[i], 50);
		strcpy(prefix, paths[i]);
		prefix[strlen(prefix) - 1] = '\0';
		check_pages(rig, paths, count, prefix, NULL, 5);
		check_pages(rig, paths, count, prefix, paths[i], 5);
		check_pages(rig, paths, count, prefix, paths[0], 5);
		prefix[strlen(prefix) / 2] = '\0';
		check_pages(rig, paths, count, prefix, paths[count / 2], 20);
	}
	free(paths);
}

static void
a_page_ends_inside_a_run_of_long_paths(void **state)
{
	struct rig *rig = *state;
	char path[502], expected[520];

	memset(path, 'p', sizeof(path));
	path[0] = '/';
	path[501] = '\0';
	for (unsigned i = 0; i < 5; i++) {
		path[500] = (char)('e' - i);
		put(rig, i + 1, path);
	}
	path[500] = 'b';
	apply_tombstone_record(rig, 99, path);
	expect(rig, path, "-");
	path[500] = 'c';
	snprintf(expected, sizeof(expected), "%s\n...", path);
	path[500] = 'a';
	expect_list(rig, "/p", path, 1, expected);
}

int
main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		RULE(lists_are_by_prefix_in_byte_order),
		RULE(a_visitor_may_stop_the_list),
		RULE(an_open_row_is_listed_with_what_is_stored),
		RULE(an_object_with_lost_bytes_is_listed_as_open),
		RULE(long_paths_are_found_and_listed_in_order),
		RULE(a_page_ends_inside_a_run_of_long_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
