#include "daemon/datadir.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int
datadir_check(const char *path, char *why, size_t why_size)
{
	struct stat st;
	char *copy;
	int err = 0;

	if (stat(path, &st) == 0) {
		if (!S_ISDIR(st.st_mode)) {
			snprintf(why, why_size, "%s: not a directory", path);
			return -ENOTDIR;
		}
		if (access(path, R_OK | W_OK | X_OK) != 0) {
			err = -errno;
			snprintf(why, why_size, "%s: %s", path, strerror(-err));
		}
		return err;
	}
	if (errno != ENOENT) {
		err = -errno;
		snprintf(why, why_size, "%s: %s", path, strerror(-err));
		return err;
	}
	copy = strdup(path);
	if (copy == NULL) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	if (access(dirname(copy), W_OK | X_OK) != 0) {
		err = -errno;
		snprintf(why, why_size, "%s: can't be created: %s", path, strerror(-err));
	}
	free(copy);
	return err;
}
