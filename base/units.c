#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
	bool shown; /* used when formatting */
};

/* Largest first. */
static const struct unit size_units[] = {
	{"TiB", UINT64_C(1) << 40, true},
	{"TB", UINT64_C(1000000000000), false},
	{"GiB", UINT64_C(1) << 30, true},
	{"GB", UINT64_C(1000000000), false},
	{"MiB", UINT64_C(1) << 20, true},
	{"MB", UINT64_C(1000000), false},
	{"KiB", UINT64_C(1) << 10, true},
	{"KB", UINT64_C(1000), false},
	{"B", 1, true},
	{NULL, 0, false},
};

static const struct unit duration_units[] = {
	{"d", UINT64_C(24) * 60 * 60 * 1000, true},
	{"h", UINT64_C(60) * 60 * 1000, true},
	{"m", UINT64_C(60) * 1000, true},
	{"s", 1000, true},
	{"ms", 1, true},
	{NULL, 0, false},
};

/* Digits, then one of UNITS; *BARE says that the unit was missing. */
static int
parse(const char *text, const struct unit *units, uint64_t *value, bool *bare)
{
	uint64_t n = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return -ERANGE;
	}
	if (p == text)
		return -EINVAL;
	*bare = *p == '\0';
	if (*bare) {
		*value = n;
		return 0;
	}
	for (; units->name != NULL; units++) {
		if (strcmp(p, units->name) != 0)
			continue;
		return __builtin_mul_overflow(n, units->factor, value) ? -ERANGE : 0;
	}
	return -EINVAL;
}

int
units_parse_size(const char *text, uint64_t *bytes)
{
	uint64_t value;
	bool bare;
	int err = parse(text, size_units, &value, &bare);

	if (err != 0)
		return err;
	*bytes = value;
	return 0;
}

int
units_parse_duration(const char *text, int64_t *ms)
{
	uint64_t value;
	bool bare;
	int err = parse(text, duration_units, &value, &bare);

	if (err != 0)
		return err;
	if (bare && value != 0)
		return -EINVAL;
	if (value > INT64_MAX)
		return -ERANGE;
	*ms = (int64_t)value;
	return 0;
}

static void
format(uint64_t value, const struct unit *units, char text[UNITS_TEXT_MAX])
{
	/* The last unit has factor 1 and divides everything. */
	while (!units->shown || value % units->factor != 0 || (value == 0 && units->factor > 1))
		units++;
	snprintf(text, UNITS_TEXT_MAX, "%" PRIu64 "%s", value / units->factor, units->name);
}

void
units_format_size(uint64_t bytes, char text[UNITS_TEXT_MAX])
{
	format(bytes, size_units, text);
}

void
units_format_duration(int64_t ms, char text[UNITS_TEXT_MAX])
{
	format(ms < 0 ? 0 : (uint64_t)ms, duration_units, text);
}
