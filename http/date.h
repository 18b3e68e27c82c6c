/* date.h - HTTP dates (RFC 9110 5.6.7).
 *
 * Threads  any; pure functions of their arguments, whatever the locale.
 * Units    seconds since the epoch, UTC.
 */
#ifndef SPILLWAY_HTTP_DATE_H
#define SPILLWAY_HTTP_DATE_H

#include "http/slice.h"

#define DATE_SIZE 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL */

/* Writes SECONDS as an IMF-fixdate. Years outside 0 to 9999 are clamped. */
void date_format(int64_t seconds, char out[DATE_SIZE]);

/* Reads any of the three forms. Two-digit years follow NOW (seconds): the century that is at most 50
 * years ahead. 0 or -EINVAL. */
int date_parse(struct slice text, int64_t now, int64_t *out);

#endif
