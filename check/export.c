#include "check/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/audit.h"
#include "storage/catalog.h"

#define SEGMENT_MAX 200
#define SELF "%self"

void
export_name(const char *path, size_t length, char out[EXPORT_NAME_MAX])
{
	static const char digits[] = "0123456789ABCDEF";
	char *o = out;
	size_t segment = 0; /* bytes of this one, in this folder */

	for (size_t i = 1; i < length; i++) {
		unsigned char c = (unsigned char)path[i];

		if (c == '/') {
			if (segment == 0)
				*o++ = '%';
			*o++ = '/';
			segment = 0;
			continue;
		}
		if (segment >= SEGMENT_MAX) {
			memcpy(o, "%-/", 3);
			o += 3;
			segment = 0;
		}
		if (c <= ' ' || c > '~' || c == '%' || (c == '.' && segment == 0)) {
			*o++ = '%';
			*o++ = digits[c >> 4];
			*o++ = digits[c & 15];
			segment += 3;
		} else {
			*o++ = (char)c;
			segment++;
		}
	}
	if (segment == 0)
		*o++ = '%';
	*o = '\0';
}

/* What was the file NAME becomes NAME/%self. */
static int
make_folder_of(int dirfd, const char *name)
{
	static const char aside[] = "%aside";
	char *self;
	int err = 0;

	if (asprintf(&self, "%s/%s", name, SELF) < 0)
		return -ENOMEM;
	if (renameat(dirfd, name, dirfd, aside) != 0 || mkdirat(dirfd, name, 0750) != 0 ||
	    renameat(dirfd, aside, dirfd, self) != 0)
		err = -errno;
	free(self);
	return err;
}

/* Makes the folders that NAME is in. */
static int
make_folders(int dirfd, char *name)
{
	for (char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		struct stat st;
		int err = 0;

		*slash = '\0';
		if (mkdirat(dirfd, name, 0750) != 0)
			err = -errno;
		if (err == -EEXIST)
			err = fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ? -errno
			      : S_ISREG(st.st_mode) ? make_folder_of(dirfd, name)
			      : S_ISDIR(st.st_mode) ? 0
						    : -ENOTDIR;
		*slash = '/';
		if (err != 0)
			return err;
	}
	return 0;
}

static int
write_bytes(void *arg, const void *bytes, size_t length)
{
	int fd = *(int *)arg;

	while (length > 0) {
		ssize_t n = write(fd, bytes, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes = (const char *)bytes + n;
		length -= (size_t)n;
	}
	return 0;
}

int
export_object(struct audit *audit, int dirfd, const struct catalog_row *row)
{
	char name[EXPORT_NAME_MAX + sizeof(SELF) + 1];
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{row->name.mtime_ms / 1000, row->name.mtime_ms % 1000 * 1000000}};
	struct stat st;
	int fd, err;

	export_name(row->name.path, row->name.path_length, name);
	err = make_folders(dirfd, name);
	if (err != 0)
		return err;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		memcpy(name + strlen(name), "/" SELF, sizeof("/" SELF));
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	err = audit_read(audit, row, write_bytes, &fd);
	if (err == 0)
		futimens(fd, times);
	if (close(fd) != 0 && err == 0)
		err = -errno;
	if (err != 0)
		unlinkat(dirfd, name, 0);
	return err;
}
