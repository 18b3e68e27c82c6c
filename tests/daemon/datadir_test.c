/* datadir_test.c - what `spillway -t` says about a data directory. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/datadir.h"

static void
usable_directories_pass_and_others_are_named(void **state)
{
	char home[] = "/tmp/spillway-datadir-test-XXXXXX", path[256], why[512];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(home));
	assert_int_equal(datadir_check(home, why, sizeof(why)), 0);

	snprintf(path, sizeof(path), "%s/new", home);
	assert_int_equal(datadir_check(path, why, sizeof(why)), 0);
	assert_int_equal(access(path, F_OK), -1); /* it was only looked at */

	snprintf(path, sizeof(path), "%s/none/new", home);
	assert_int_equal(datadir_check(path, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, path));

	snprintf(path, sizeof(path), "%s/plain", home);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(datadir_check(path, why, sizeof(why)), -ENOTDIR);
	assert_non_null(strstr(why, path));
	snprintf(path, sizeof(path), "%s/plain/new", home);
	assert_int_equal(datadir_check(path, why, sizeof(why)), -ENOTDIR);

	snprintf(path, sizeof(path), "%s/plain", home);
	unlink(path);
	rmdir(home);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usable_directories_pass_and_others_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
