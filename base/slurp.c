#include "base/slurp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static int
read_all(FILE *file, size_t max, char **text, size_t *length)
{
	char *buffer;
	struct stat st;
	size_t n;
	int err = 0;

	if (fstat(fileno(file), &st) != 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	buffer = malloc(max + 1);
	if (buffer == NULL)
		return -ENOMEM;
	n = fread(buffer, 1, max + 1, file);
	if (ferror(file))
		err = -EIO;
	else if (n > max)
		err = -EFBIG;
	if (err != 0) {
		free(buffer);
		return err;
	}
	buffer[n] = '\0';
	*text = buffer;
	*length = n;
	return 0;
}

int
slurp(const char *name, size_t max, char **text, size_t *length)
{
	FILE *file = fopen(name, "re");
	int err = file != NULL ? read_all(file, max, text, length) : -errno;

	if (file != NULL)
		fclose(file);
	return err;
}
