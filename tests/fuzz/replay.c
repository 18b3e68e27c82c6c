/* replay.c - runs a fuzz target over the files of its corpus, or over those that are named.
 *
 * Any compiler will do: with the sanitizers, each file is an exact block of the heap, so that a
 * byte read beyond it is found.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

static bool
replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	bool ok;

	if (file == NULL || fstat(fileno(file), &st) != 0) {
		perror(path);
		return false;
	}
	/* No byte more than there is; malloc(0) may be NULL. */
	data = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
	ok = data != NULL && fread(data, 1, (size_t)st.st_size, file) == (size_t)st.st_size;
	fclose(file);
	if (ok) {
		/* What fails is named by the last line. */
		printf("%s\n", path);
		fflush(stdout);
		LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
	}
	free(data);
	return ok;
}

/* The number of files that were replayed, or -1. */
static int
replay_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int count = 0;

	if (dir == NULL || chdir(folder) != 0) {
		perror(folder);
		return -1;
	}
	while (count >= 0 && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			count = replay_file(entry->d_name) ? count + 1 : -1;
	}
	closedir(dir);
	return count;
}

int
main(int argc, char **argv)
{
	const char *corpus = getenv("FUZZ_CORPUS"), *name = strrchr(argv[0], '/');
	char folder[4096];
	int count;

	for (int i = 1; i < argc; i++) {
		if (!replay_file(argv[i]))
			return 1;
	}
	if (argc > 1)
		return 0;
	snprintf(folder, sizeof(folder), "%s/%s", corpus != NULL ? corpus : "tests/fuzz/corpus",
		 name != NULL ? name + 1 : argv[0]);
	count = replay_folder(folder);
	printf("%d inputs\n", count);
	return count > 0 ? 0 : 1;
}
