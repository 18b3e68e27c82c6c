#include "http/date.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char days[][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
				"Thursday", "Friday", "Saturday"};
static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
				 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

#define YEAR_0 INT64_C(-62167219200)
#define YEAR_9999_END INT64_C(253402300799)

static char *
two_digits(char *at, int value)
{
	at[0] = (char)('0' + value / 10 % 10);
	at[1] = (char)('0' + value % 10);
	return at + 2;
}

/* Without printf: nearly every reply has one. */
void
date_format(int64_t seconds, char out[DATE_SIZE])
{
	struct tm tm;
	time_t t;

	if (seconds < YEAR_0)
		seconds = YEAR_0;
	if (seconds > YEAR_9999_END)
		seconds = YEAR_9999_END;
	t = (time_t)seconds;
	gmtime_r(&t, &tm);
	out = mempcpy(out, days[tm.tm_wday], 3);
	out = mempcpy(out, ", ", 2);
	out = two_digits(out, tm.tm_mday);
	*out++ = ' ';
	out = mempcpy(out, months[tm.tm_mon], 3);
	*out++ = ' ';
	out = two_digits(out, (tm.tm_year + 1900) / 100);
	out = two_digits(out, (tm.tm_year + 1900) % 100);
	*out++ = ' ';
	out = two_digits(out, tm.tm_hour);
	*out++ = ':';
	out = two_digits(out, tm.tm_min);
	*out++ = ':';
	out = two_digits(out, tm.tm_sec);
	memcpy(out, " GMT", sizeof(" GMT"));
}

/* What a pattern leaves behind. */
struct parts {
	int day, month, year, hour, minute, second, year_digits;
};

static int
take_number(struct slice *s, size_t digits, int *out)
{
	int value = 0;

	if (s->length < digits)
		return -EINVAL;
	for (size_t i = 0; i < digits; i++) {
		char c = s->data[i];

		if (c == ' ' && i == 0 && digits == 2) /* asctime pads its day */
			c = '0';
		if (c < '0' || c > '9')
			return -EINVAL;
		value = value * 10 + (c - '0');
	}
	s->data += digits;
	s->length -= digits;
	*out = value;
	return 0;
}

static int
take_name(struct slice *s, char kind, int *out)
{
	int count = kind == 'b' ? 12 : 7;

	for (int i = 0; i < count; i++) {
		const char *name = kind == 'b' ? months[i] : days[i];
		size_t length = kind == 'A' ? strlen(name) : 3;

		if (s->length >= length && memcmp(s->data, name, length) == 0) {
			s->data += length;
			s->length -= length;
			*out = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Reads TEXT by PATTERN: a short and A long day names, b month, d H M S y numbers of two digits, Y of
 * four; everything else stands for itself. */
static int
match(struct slice s, const char *pattern, struct parts *p)
{
	int ignored = 0, rc = 0;

	for (; *pattern != '\0' && rc == 0; pattern++) {
		switch (*pattern) {
		case 'a':
		case 'A':
			rc = take_name(&s, *pattern, &ignored);
			break;
		case 'b':
			rc = take_name(&s, 'b', &p->month);
			break;
		case 'd':
			rc = take_number(&s, 2, &p->day);
			break;
		case 'H':
			rc = take_number(&s, 2, &p->hour);
			break;
		case 'M':
			rc = take_number(&s, 2, &p->minute);
			break;
		case 'S':
			rc = take_number(&s, 2, &p->second);
			break;
		case 'y':
			p->year_digits = 2;
			rc = take_number(&s, 2, &p->year);
			break;
		case 'Y':
			p->year_digits = 4;
			rc = take_number(&s, 4, &p->year);
			break;
		default: /* a literal byte, not an enum: nothing to miss */
			if (s.length == 0 || s.data[0] != *pattern)
				return -EINVAL;
			s.data++;
			s.length--;
		}
	}
	return rc == 0 && s.length == 0 ? 0 : -EINVAL;
}

static int
full_year(const struct parts *p, int64_t now)
{
	struct tm tm;
	time_t t = (time_t)now;
	int this_year, year;

	if (p->year_digits == 4)
		return p->year;
	gmtime_r(&t, &tm);
	this_year = tm.tm_year + 1900;
	year = this_year - this_year % 100 + p->year;
	return year > this_year + 50 ? year - 100 : year;
}

int
date_parse(struct slice text, int64_t now, int64_t *out)
{
	/* The letters of the patterns may not be literals: "GMT" is compared apart. */
	static const struct {
		const char *pattern;
		bool gmt;
	} forms[] = {
		{"a, d b Y H:M:S ", true},
		{"A, d-b-y H:M:S ", true},
		{"a b d H:M:S Y", false},
	};

	text = slice_trim(text);
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct slice s = text;
		struct parts p = {0};
		struct tm tm = {0};

		if (forms[i].gmt) {
			if (s.length < 3 || memcmp(s.data + s.length - 3, "GMT", 3) != 0)
				continue;
			s.length -= 3;
		}
		if (match(s, forms[i].pattern, &p) != 0)
			continue;
		if (p.day < 1 || p.day > 31 || p.hour > 23 || p.minute > 59 || p.second > 60)
			return -EINVAL;
		tm.tm_mday = p.day;
		tm.tm_mon = p.month;
		tm.tm_year = full_year(&p, now) - 1900;
		tm.tm_hour = p.hour;
		tm.tm_min = p.minute;
		tm.tm_sec = p.second;
		*out = (int64_t)timegm(&tm);
		return 0;
	}
	return -EINVAL;
}
