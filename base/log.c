#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static _Atomic(enum log_level) threshold = LOG_LEVEL_NOTICE;

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&threshold, level, memory_order_relaxed);
}

/* Whether standard error is the journal's own stream. JOURNAL_STREAM is inherited by everything a
 * unit starts, so that its numbers are compared as systemd.exec(5) says. */
static bool
to_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return text != NULL && sscanf(text, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* What stands before the text. Returns its length. */
static size_t
format_prefix(enum log_level level, char *out, size_t size)
{
	static const struct {
		int priority; /* of sd-daemon(3) */
		const char *name;
	} levels[] = {
		[LOG_LEVEL_ERROR] = {3, "error"},
		[LOG_LEVEL_WARNING] = {4, "warning"},
		[LOG_LEVEL_NOTICE] = {5, "notice"},
		[LOG_LEVEL_DEBUG] = {7, "debug"},
	};
	struct timespec now;
	struct tm tm;
	size_t length;

	if (to_journal())
		return (size_t)snprintf(out, size, "<%d>", levels[level].priority);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	length = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	return length + (size_t)snprintf(out + length, size - length, ".%03dZ %s ",
					 (int)(now.tv_nsec / 1000000), levels[level].name);
}

/* Copies TEXT with control bytes as \xNN, as much as fits. Returns the length. */
static size_t
escape(const char *text, char *out, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c != 0x7f) {
			if (n + 1 > size)
				break;
			out[n++] = (char)c;
		} else {
			if (n + 4 > size)
				break;
			out[n++] = '\\';
			out[n++] = 'x';
			out[n++] = digits[c >> 4];
			out[n++] = digits[c & 15];
		}
	}
	return n;
}

void
log_line(enum log_level level, const char *format, ...)
{
	char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 1];
	int saved = errno;
	size_t length;
	ssize_t n;
	va_list args;

	if (level > atomic_load_explicit(&threshold, memory_order_relaxed))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	length = format_prefix(level, line, sizeof(line));
	length += escape(text, line + length, LINE_MAX_BYTES - length);
	line[length++] = '\n';
	/* A full or closed standard error must not stop a server. */
	n = write(STDERR_FILENO, line, length);
	(void)n;
	errno = saved;
}
