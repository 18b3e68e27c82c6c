/* path_test.c - from targets to names. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/path.h"

static void
assert_slice(struct slice s, const char *text)
{
	assert_int_equal(s.length, strlen(text));
	assert_memory_equal(s.data, text, s.length);
}

static void
targets_are_split(void **state)
{
	static const struct {
		const char *target, *path, *query;
	} cases[] = {
		{"/", "/", ""},
		{"/a/b", "/a/b", ""},
		{"/a?b=c", "/a", "b=c"},
		{"/a?b?c", "/a", "b?c"},
		{"/?", "/", ""},
		{"//host/a", "//host/a", ""},
		{"http://host/a?b", "/a", "b"},
		{"HTTPS://host:80/a", "/a", ""},
		{"http://host", "/", ""},
		{"http://host?q", "/", "q"},
		{"/http://host/a", "/http://host/a", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice path, query;

		assert_int_equal(path_split(slice_of(cases[i].target), &path, &query), 0);
		assert_slice(path, cases[i].path);
		assert_slice(query, cases[i].query);
	}
}

static void
other_forms_of_targets_are_refused(void **state)
{
	static const char *const cases[] = {
		"", "*", "a", "host:80", "?a", "http://", "http:///a", "ftp://host/a", "https://"};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice path, query;

		assert_int_equal(path_split(slice_of(cases[i]), &path, &query), -EINVAL);
	}
}

static void
names_are_decoded(void **state)
{
	static const struct {
		const char *path, *name;
	} cases[] = {
		{"/", "/"},
		{"/a%20b", "/a b"},
		{"/a+b", "/a+b"},
		{"/%41%2f%2F", "/A//"},
		{"/%c3%A4\xff", "/\xc3\xa4\xff"},
		{"/...", "/..."},
		{"/.a/..b", "/.a/..b"},
		{"/a./b..", "/a./b.."},
		{"//a//", "//a//"},
		{"/%2525", "/%25"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char name[PATH_NAME_MAX + 1];

		assert_int_equal(path_decode(slice_of(cases[i].path), name), 0);
		assert_string_equal(name, cases[i].name);
	}
}

static void
bad_names_are_refused(void **state)
{
	static const char *const cases[] = {
		"",        "a",     "/%",   "/%4",   "/%4g",   "/%g4",    "/%-1",
		"/%00",    "/%0a",  "/%1F", "/%7f",  "/.",     "/..",     "/./a",
		"/a/../b", "/a/..", "/%2e", "/%2E.", "/a%2f.", "/a%2f..", "/a#b",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char name[PATH_NAME_MAX + 1];

		if (path_decode(slice_of(cases[i]), name) != -EINVAL)
			fail_msg("taken: %s", cases[i]);
	}
}

static void
a_name_may_have_1024_bytes_and_no_more(void **state)
{
	char path[3 * PATH_NAME_MAX + 8], name[PATH_NAME_MAX + 1];

	(void)state;
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	assert_int_equal(path_decode((struct slice){path, PATH_NAME_MAX}, name), 0);
	assert_int_equal(strlen(name), PATH_NAME_MAX);
	assert_int_equal(path_decode((struct slice){path, PATH_NAME_MAX + 1}, name), -ENAMETOOLONG);
	for (size_t i = 1; i + 3 <= sizeof(path); i += 3)
		memcpy(path + i, "%61", 3); /* decoded bytes count, not those on the wire */
	assert_int_equal(path_decode((struct slice){path, 1 + 3 * (PATH_NAME_MAX - 1)}, name), 0);
	assert_int_equal(path_decode((struct slice){path, 1 + 3 * PATH_NAME_MAX}, name),
			 -ENAMETOOLONG);
}

static void
queries_are_read(void **state)
{
	const struct slice query = slice_of("limit=5&a&after=%2Fx+y&limits=6&bad=%0&empty=");
	char out[16], small[4];

	(void)state;
	assert_int_equal(path_query(query, "limit", out, sizeof(out)), 0);
	assert_string_equal(out, "5");
	assert_int_equal(path_query(query, "after", out, sizeof(out)), 0);
	assert_string_equal(out, "/x y");
	assert_int_equal(path_query(query, "after", small, sizeof(small)), -ENAMETOOLONG);
	assert_int_equal(path_query(query, "empty", out, sizeof(out)), 0);
	assert_string_equal(out, "");
	assert_int_equal(path_query(query, "bad", out, sizeof(out)), -EINVAL);
	assert_int_equal(path_query(query, "a", out, sizeof(out)), -ENOENT);
	assert_int_equal(path_query(query, "lim", out, sizeof(out)), -ENOENT);
	assert_int_equal(path_query(slice_of(""), "a", out, sizeof(out)), -ENOENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets_are_split),
		cmocka_unit_test(other_forms_of_targets_are_refused),
		cmocka_unit_test(names_are_decoded),
		cmocka_unit_test(bad_names_are_refused),
		cmocka_unit_test(a_name_may_have_1024_bytes_and_no_more),
		cmocka_unit_test(queries_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
