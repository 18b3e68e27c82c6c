/* log.h - what the process tells its operator, on standard error.
 *
 * Threads  any; a line is written with one write(2) and never torn.
 * Form     "<5>text key=value ..." when standard error is the journal's (JOURNAL_STREAM
 *          says so), else "2026-01-31T12:00:00.123Z notice text key=value ...".
 * Limits   2 KiB a line; what is longer is cut. errno is left alone. Warnings and errors of one kind, which is one
 *          format, are 20 in ten seconds at most; the next one says how many were dropped before it.
 */
#ifndef SPILLWAY_BASE_LOG_H
#define SPILLWAY_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_DEBUG };

/* Lines above LEVEL are dropped. Default: notice. */
void log_set_level(enum log_level level);

/* Writes a line at LEVEL. Control bytes in it are written as \xNN. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether what lasts is to be said again: once a minute. *NEXT_S, 0 at first, is when. */
bool log_may_repeat(_Atomic int64_t *next_s);

/* Writes what this line of the source has to say, but not again for a minute. */
#define log_limited(level, ...)                                                                    \
	do {                                                                                       \
		static _Atomic int64_t next_s;                                                     \
		if (log_may_repeat(&next_s))                                                       \
			log_line(level, __VA_ARGS__);                                              \
	} while (0)

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
