/* units.h - sizes and durations as people write them. Pure; any thread.
 *
 * A size is a whole number and B, KiB, MiB, GiB, TiB (powers of 1024) or KB, MB, GB, TB (of
 * 1000); without a unit it is bytes. A duration is a whole number and ms, s, m, h or d; only 0
 * may stand without a unit.
 */
#ifndef SPILLWAY_BASE_UNITS_H
#define SPILLWAY_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* Enough for whatever the format functions write, with the NUL. */
#define UNITS_TEXT_MAX 32

/* Parse all of TEXT. 0; -EINVAL if it is not of the form above; -ERANGE if it does not fit. */
int units_parse_size(const char *text, uint64_t *bytes);
int units_parse_duration(const char *text, int64_t *ms);

/* Write the same value in its largest whole unit: 262144 becomes "256KiB", 90000 "90s". */
void units_format_size(uint64_t bytes, char text[UNITS_TEXT_MAX]);
void units_format_duration(int64_t ms, char text[UNITS_TEXT_MAX]);

#endif
