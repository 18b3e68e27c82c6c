#include "daemon/value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "http/cidr.h"

/* "1.2.3.4:80" or "[::1]:80". Names are not looked up: what a server binds must be certain. */
static bool
is_address(const char *text)
{
	const char *colon = strrchr(text, ':');
	unsigned char binary[sizeof(struct in6_addr)];
	char host[INET6_ADDRSTRLEN];
	size_t length;
	unsigned port = 0;

	if (colon == NULL || colon[1] == '\0')
		return false;
	for (const char *p = colon + 1; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			return false;
		port = port * 10 + (unsigned)(*p - '0');
		if (port > 65535)
			return false;
	}
	length = (size_t)(colon - text);
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		if (length - 2 >= sizeof(host))
			return false;
		memcpy(host, text + 1, length - 2);
		host[length - 2] = '\0';
		return inet_pton(AF_INET6, host, binary) == 1;
	}
	if (length >= sizeof(host))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	return inet_pton(AF_INET, host, binary) == 1;
}

/* These strings end up in reply heads and log lines. */
static bool
is_printable(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

static bool
is_media_type(const char *text)
{
	const char *slash = strchr(text, '/');

	return is_printable(text) && slash != NULL && slash != text && slash[1] != '\0' &&
	       slash[1] != ';' && text[strcspn(text, " ;")] != ' ';
}

static int
check_range(const char *text)
{
	struct cidr_set set = {NULL, 0};
	int err = cidr_set_add(&set, text);

	cidr_set_clear(&set);
	return err;
}

int
value_switch(const char *text, bool *value)
{
	if (strcmp(text, "on") == 0)
		*value = true;
	else if (strcmp(text, "off") == 0)
		*value = false;
	else
		return -EINVAL;
	return 0;
}

int
value_share(const struct option_key *key, const char *text, struct option_share *share)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t number;
	int err;

	*share = (struct option_share){0, 0};
	if (digits > 0 && strcmp(text + digits, "%") == 0) {
		number = strtoul(text, NULL, 10);
		if (digits > 3 || number < 1 || number > 100)
			return -ERANGE;
		share->percent = (unsigned)number;
		return 0;
	}
	err = units_parse_size(text, &share->bytes);
	return err == 0 && share->bytes < key->min ? -ERANGE : err;
}

int
value_choice(const char *const *choices, const char *text, int *value)
{
	for (int i = 0; choices[i] != NULL; i++) {
		if (strcmp(choices[i], text) == 0) {
			*value = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int
parse_count(const char *text, uint64_t *value)
{
	/* A size without its unit; a letter at the end is refused. */
	if (*text == '\0' || text[strspn(text, "0123456789")] != '\0')
		return -EINVAL;
	return units_parse_size(text, value);
}

int
value_number(const struct option_key *key, const char *text, uint64_t *value)
{
	int64_t ms = 0;
	int err;

	if (key->kind == OPTION_DURATION) {
		err = units_parse_duration(text, &ms);
		*value = (uint64_t)ms;
	} else if (key->kind == OPTION_SIZE) {
		err = units_parse_size(text, value);
	} else {
		err = parse_count(text, value);
	}
	if (err != 0)
		return err;
	return *value < key->min || (key->max != 0 && *value > key->max) ? -ERANGE : 0;
}

static void
format_number(enum option_kind kind, uint64_t value, char text[UNITS_TEXT_MAX])
{
	if (kind == OPTION_DURATION)
		units_format_duration((int64_t)value, text);
	else if (kind == OPTION_SIZE)
		units_format_size(value, text);
	else
		snprintf(text, UNITS_TEXT_MAX, "%" PRIu64, value);
}

static void
explain_number(const struct option_key *key, const char *value, int err, char *why, size_t why_size)
{
	static const char *const form[] = {
		[OPTION_SIZE] = "a size such as 64KiB, 1GiB or 2TB",
		[OPTION_DURATION] = "a duration such as 500ms, 2s, 5m, 1h or 7d",
		[OPTION_COUNT] = "a whole number",
	};
	char least[UNITS_TEXT_MAX], most[UNITS_TEXT_MAX];

	if (err == -EINVAL) {
		snprintf(why, why_size, "%s: '%s' is not %s", key->name, value, form[key->kind]);
		return;
	}
	format_number(key->kind, key->min, least);
	format_number(key->kind, key->max, most);
	if (key->max == 0)
		snprintf(why, why_size, "%s: %s is out of range (at least %s)", key->name, value,
			 least);
	else
		snprintf(why, why_size, "%s: %s is out of range (%s to %s)", key->name, value,
			 least, most);
}

static void
explain_choice(const struct option_key *key, const char *value, char *why, size_t why_size)
{
	size_t length = (size_t)snprintf(why, why_size, "%s: '%s' is not one of", key->name, value);

	for (unsigned i = 0; key->choices[i] != NULL && length < why_size; i++)
		length += (size_t)snprintf(why + length, why_size - length, "%s %s",
					   i > 0 ? "," : "", key->choices[i]);
}

int
value_check(const struct option_key *key, const char *value, char *why, size_t why_size)
{
	const char *expected = NULL;
	struct option_share share;
	uint64_t number;
	bool on;
	int choice, err;

	switch (key->kind) {
	case OPTION_TEXT:
		if (*value == '\0' || !is_printable(value))
			expected = "printable text";
		break;
	case OPTION_PATTERN:
		if ((*value != '/' && *value != '*') || !is_printable(value))
			expected = "a pattern that begins with '/' or '*'";
		break;
	case OPTION_MEDIA:
		if (!is_media_type(value))
			expected = "a media type such as video/mp4";
		break;
	case OPTION_ADDRESS:
		if (strcmp(value, "none") != 0 && !is_address(value))
			expected = "ADDR:PORT (127.0.0.1:3001, [::1]:3001) or none";
		break;
	case OPTION_ADDRESSES:
		if (!is_address(value))
			expected = "ADDR:PORT (0.0.0.0:3000, [::]:3000)";
		break;
	case OPTION_RANGES:
		err = check_range(value);
		if (err == -ERANGE)
			expected = "a range: bits behind its prefix are set";
		else if (err != 0)
			expected = "an address (192.0.2.1), a range (10.0.0.0/8, 2001:db8::/32), "
				   "any, loopback or none";
		break;
	case OPTION_NAMES:
		if (*value == '\0' || !is_printable(value) || strchr(value, ':') != NULL)
			expected = "a name";
		break;
	case OPTION_SUBJECTS:
		if (*value == '\0' || !is_printable(value))
			expected = "a name in a certificate";
		break;
	case OPTION_SIZE:
	case OPTION_DURATION:
	case OPTION_COUNT:
		err = value_number(key, value, &number);
		if (err == 0)
			return 0;
		explain_number(key, value, err, why, why_size);
		return -EINVAL;
	case OPTION_SHARE:
		if (value_share(key, value, &share) != 0)
			expected = "a size of at least 64MiB, such as 200GiB, or 1% to 100%";
		break;
	case OPTION_SWITCH:
		if (value_switch(value, &on) != 0)
			expected = "on or off";
		break;
	case OPTION_CHOICE:
		if (value_choice(key->choices, value, &choice) == 0)
			return 0;
		explain_choice(key, value, why, why_size);
		return -EINVAL;
	}
	if (expected == NULL)
		return 0;
	snprintf(why, why_size, "%s: '%s' is not %s", key->name, value, expected);
	return -EINVAL;
}
