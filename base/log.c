#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_MAX_BYTES 2048

/* Of one kind. */
#define BURST 20
#define WINDOW_MS 10000
#define KINDS 128 /* a power of two; more than there are warnings and errors in the program */

static _Atomic(enum log_level) threshold = LOG_LEVEL_NOTICE;

struct kind {
	const char *format;
	int64_t since_ms; /* mono */
	unsigned lines;   /* written since then */
	unsigned dropped;
};

static pthread_mutex_t kinds_lock = PTHREAD_MUTEX_INITIALIZER; /* guards kinds */
static struct kind kinds[KINDS];

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

static struct kind *
find_kind(const char *format)
{
	size_t start = ((uintptr_t)format >> 3) % KINDS;

	for (size_t i = 0; i < KINDS; i++) {
		struct kind *kind = &kinds[(start + i) % KINDS];

		if (kind->format == NULL || kind->format == format) {
			kind->format = format;
			return kind;
		}
	}
	return NULL;
}

/* Whether a line of this kind may be written; *DROPPED of them were not. */
static bool
may_write(const char *format, unsigned *dropped)
{
	int64_t now = clock_mono_ms();
	struct kind *kind;
	bool may;

	pthread_mutex_lock(&kinds_lock);
	kind = find_kind(format);
	may = kind == NULL || kind->lines < BURST || now - kind->since_ms >= WINDOW_MS;
	*dropped = 0;
	if (kind != NULL && may) {
		if (now - kind->since_ms >= WINDOW_MS) {
			kind->since_ms = now;
			kind->lines = 0;
		}
		kind->lines++;
		*dropped = kind->dropped;
		kind->dropped = 0;
	} else if (kind != NULL) {
		kind->dropped++;
	}
	pthread_mutex_unlock(&kinds_lock);
	return may;
}

void
log_line(enum log_level level, const char *format, ...)
{
	char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 1];
	int saved = errno;
	unsigned dropped = 0;
	size_t length;
	ssize_t n;
	va_list args;

	if (level > atomic_load_explicit(&threshold, memory_order_relaxed))
		return;
	if (level <= LOG_LEVEL_WARNING && !may_write(format, &dropped)) {
		errno = saved;
		return;
	}
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (dropped > 0) {
		length = strlen(text);
		snprintf(text + length, sizeof(text) - length, " dropped_before=%u", dropped);
	}
	length = format_prefix(level, line, sizeof(line));
	length += escape(text, line + length, LINE_MAX_BYTES - length);
	line[length++] = '\n';
	/* A full or closed standard error must not stop a server. */
	n = write(STDERR_FILENO, line, length);
	(void)n;
	errno = saved;
}

bool
log_may_repeat(_Atomic int64_t *next_s)
{
	int64_t now_s = clock_mono_ms() / 1000, due_s = atomic_load(next_s);

	/* Of several threads one says it. */
	return now_s >= due_s && atomic_compare_exchange_strong(next_s, &due_s, now_s + 60);
}
