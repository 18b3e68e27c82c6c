/* main.c - spillway-check: looks after a data directory while no server uses it.
 *
 * Every run reads all volumes first (storage/audit.h); the options say what is done with what they hold.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "check/export.h"
#include "storage/audit.h"
#include "storage/catalog.h"

enum status { STATUS_WHOLE = 0, STATUS_DAMAGED = 1, STATUS_USAGE = 2, STATUS_FAILED = 3 };

static const struct flag {
	char letter;
	const char *name, *argument, *help;
} flags[] = {
	{'l', "list", NULL, "print the paths of all objects instead"},
	{'e', "export", "DIR", "write every complete object to a file below DIR, which is created"},
	{'p', "prefix", "PATH", "list or export only what begins like this (/)"},
	{'r', "rebuild-catalog", NULL, "make the catalog anew from the volumes"},
	{'n', "no-lock", NULL,
	 "don't ask whether a server uses the directory: what it writes looks torn"},
	{'q', "quiet", NULL, "no progress, and no summary"},
	{'V', "version", NULL, "print the version, then exit"},
	{'h', "help", NULL, "print this, then exit"},
};

#define FLAGS (sizeof(flags) / sizeof(flags[0]))

struct options {
	const char *dir, *prefix, *export;
	bool list, rebuild, no_lock, quiet, help, version;
};

struct run {
	struct options options;
	struct audit *audit;
	bool shows_progress; /* on a terminal */
	bool has_progress;   /* the cursor stands behind some */
	long progress_ms;    /* when it was shown last */
	unsigned long damages;
	unsigned long exported, skipped;
	int export_fd;
	int err; /* why exporting ended */
	char why[1024];
};

/* ---- words ----------------------------------------------------------------------- */

static void
clear_progress(struct run *run)
{
	if (run->has_progress)
		fputs("\r\033[K", stderr);
	run->has_progress = false;
}

/* A path is any bytes, and a terminal obeys some. */
static void
print_line(FILE *to, const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			fprintf(to, "\\x%02x", c);
		else
			fputc(c, to);
	}
	fputc('\n', to);
}

static void
on_damage(void *arg, const char *line)
{
	struct run *run = arg;

	clear_progress(run);
	run->damages++;
	print_line(stdout, line);
}

static void
on_note(void *arg, const char *line)
{
	struct run *run = arg;

	clear_progress(run);
	if (!run->options.quiet)
		print_line(stderr, line);
}

static void
on_progress(void *arg, const char *what, uint64_t done, uint64_t of)
{
	struct run *run = arg;
	struct timespec now;
	long ms;

	if (!run->shows_progress)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (run->has_progress && ms - run->progress_ms < 100)
		return;
	run->progress_ms = ms;
	clear_progress(run);
	if (of > 0)
		fprintf(stderr, "%s: %u%%", what, (unsigned)(done * 100 / of));
	else if (done > 0)
		fprintf(stderr, "%s: %llu", what, (unsigned long long)done);
	else
		fputs(what, stderr);
	run->has_progress = true;
}

/* ---- command line ---------------------------------------------------------------- */

static void
take_flag(struct options *options, char letter, const char *argument)
{
	switch (letter) {
	case 'l':
		options->list = true;
		break;
	case 'e':
		options->export = argument;
		break;
	case 'p':
		options->prefix = argument;
		break;
	case 'r':
		options->rebuild = true;
		break;
	case 'n':
		options->no_lock = true;
		break;
	case 'q':
		options->quiet = true;
		break;
	case 'V':
		options->version = true;
		break;
	default:
		options->help = true;
	}
}

/* Whether the command line makes sense; else says why not. */
static bool
parse(int argc, char **argv, struct options *options)
{
	struct option longs[FLAGS + 1] = {{0}};
	char shorts[2 * FLAGS + 1], *s = shorts;
	int c;

	for (size_t i = 0; i < FLAGS; i++) {
		longs[i].name = flags[i].name;
		longs[i].has_arg = flags[i].argument != NULL ? required_argument : no_argument;
		longs[i].val = (unsigned char)flags[i].letter;
		*s++ = flags[i].letter;
		if (flags[i].argument != NULL)
			*s++ = ':';
	}
	*s = '\0';
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == '?')
			return false; /* getopt has said it */
		take_flag(options, (char)c, optarg);
	}
	if (options->help || options->version)
		return true;
	if (optind + 1 != argc)
		fputs("spillway-check: one data directory is to be named (-h tells more)\n",
		      stderr);
	else if (options->prefix != NULL && options->prefix[0] != '/')
		fputs("spillway-check: a prefix begins with /\n", stderr);
	else if (options->prefix != NULL && !options->list && options->export == NULL)
		fputs("spillway-check: a prefix is for --list and --export\n", stderr);
	else if (options->rebuild && (options->no_lock || options->list || options->export != NULL))
		fputs("spillway-check: --rebuild-catalog stands alone\n", stderr);
	else {
		options->dir = argv[optind];
		if (options->prefix == NULL)
			options->prefix = "/";
		return true;
	}
	return false;
}

static void
print_help(void)
{
	puts("usage: spillway-check [-nq] DIR\n"
	     "       spillway-check [-nq] [-l] [-e DIR] [-p PATH] DIR\n"
	     "       spillway-check [-q] -r DIR\n\n"
	     "Verifies a data directory of spillway that no server uses, and says what is damaged.\n");
	for (size_t i = 0; i < FLAGS; i++) {
		char text[64];

		snprintf(text, sizeof(text), "--%s%s%s", flags[i].name,
			 flags[i].argument != NULL ? " " : "",
			 flags[i].argument != NULL ? flags[i].argument : "");
		printf("  -%c, %-20s %s\n", flags[i].letter, text, flags[i].help);
	}
	puts("\nIt ends with 0 if all is whole, 1 if something is damaged, 2 if the command line makes\n"
	     "no sense, 3 if it could not do what it was asked for.");
}

/* ---- work ------------------------------------------------------------------------ */

static int
list_one(void *arg, const struct catalog_row *row)
{
	char path[2048];

	(void)arg;
	snprintf(path, sizeof(path), "%.*s", (int)row->name.path_length, row->name.path);
	print_line(stdout, path);
	return 0;
}

static int
export_one(void *arg, const struct catalog_row *row)
{
	struct run *run = arg;
	char line[2048];
	int err;

	if (row->open) {
		run->skipped++;
		return 0;
	}
	err = export_object(run->audit, run->export_fd, row);
	if (err == 0) {
		run->exported++;
		on_progress(run, "exported", run->exported, 0);
		return 0;
	}
	if (err == -EBADMSG || err == -EIO || err == -ENOENT) {
		snprintf(line, sizeof(line), "object %.*s: not exported: its bytes are damaged",
			 (int)row->name.path_length, row->name.path);
		on_damage(run, line);
		return 0;
	}
	snprintf(run->why, sizeof(run->why), "cannot write %.*s below %s: %s",
		 (int)row->name.path_length, row->name.path, run->options.export, strerror(-err));
	return err;
}

static int
export_all(struct run *run)
{
	const char *dir = run->options.export;
	int err = 0;

	if (mkdir(dir, 0750) != 0 && errno != EEXIST)
		err = -errno;
	else
		run->export_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (err == 0 && run->export_fd < 0)
		err = -errno;
	if (err != 0) {
		snprintf(run->why, sizeof(run->why), "cannot open %s: %s", dir, strerror(-err));
		return err;
	}
	err = audit_each(run->audit, run->options.prefix, export_one, run);
	close(run->export_fd);
	clear_progress(run);
	if (err == 0 && !run->options.quiet)
		fprintf(stderr, "exported %lu objects; %lu incomplete ones were left out\n",
			run->exported, run->skipped);
	return err;
}

static int
verify(struct run *run)
{
	int err = audit_objects(run->audit, run->why, sizeof(run->why));

	return err != 0 ? err : audit_catalog(run->audit, run->why, sizeof(run->why));
}

static void
summarize(struct run *run)
{
	const struct audit_counts *counts = audit_counts(run->audit);

	clear_progress(run);
	if (run->options.quiet || run->options.list || run->options.export != NULL)
		return;
	printf("%llu volumes, %llu objects (%llu incomplete), %llu bytes: ",
	       (unsigned long long)counts->volumes, (unsigned long long)counts->objects,
	       (unsigned long long)counts->incomplete, (unsigned long long)counts->bytes);
	if (run->damages == 0)
		puts("whole");
	else
		printf("damaged, %llu objects are affected\n",
		       (unsigned long long)counts->objects_harmed);
}

static int
work(struct run *run)
{
	const struct options *options = &run->options;
	int err = audit_volumes(run->audit, run->why, sizeof(run->why));

	if (err != 0)
		return err;
	if (options->rebuild)
		return audit_replace_catalog(run->audit, run->why, sizeof(run->why));
	if (options->list)
		err = audit_each(run->audit, options->prefix, list_one, run);
	if (err == 0 && options->export != NULL)
		err = export_all(run);
	if (err == 0 && !options->list && options->export == NULL)
		err = verify(run);
	if (err != 0 && run->why[0] == '\0')
		snprintf(run->why, sizeof(run->why), "%s", strerror(-err));
	return err;
}

static int
run_check(struct run *run)
{
	struct audit_witness witness = {on_damage, on_note, on_progress, run};
	const char *tmp = getenv("TMPDIR");
	int err;

	/* What becomes the catalog must be on its file system; else nothing is written there. */
	err = audit_open(run->options.dir,
			 run->options.rebuild          ? run->options.dir
			 : tmp != NULL && *tmp != '\0' ? tmp
						       : "/tmp",
			 !run->options.no_lock, &witness, run->why, sizeof(run->why), &run->audit);
	if (err == 0) {
		run->why[0] = '\0';
		err = work(run);
	}
	if (err == 0)
		summarize(run);
	clear_progress(run);
	if (run->audit != NULL)
		audit_close(&run->audit);
	if (fflush(stdout) != 0 && err == 0) {
		err = -errno;
		snprintf(run->why, sizeof(run->why), "standard output: %s", strerror(-err));
	}
	if (err != 0) {
		fprintf(stderr, "spillway-check: %s\n", run->why);
		return STATUS_FAILED;
	}
	return run->damages > 0 ? STATUS_DAMAGED : STATUS_WHOLE;
}

int
main(int argc, char **argv)
{
	struct run run = {0};

	if (!parse(argc, argv, &run.options))
		return STATUS_USAGE;
	if (run.options.help) {
		print_help();
		return 0;
	}
	if (run.options.version) {
		puts("spillway-check " PACKAGE_VERSION);
		return 0;
	}
	log_set_level(LOG_LEVEL_ERROR);
	run.shows_progress = !run.options.quiet && isatty(STDERR_FILENO);
	return run_check(&run);
}
