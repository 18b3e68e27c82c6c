#include "http/path.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* The "http://authority" or "https://authority" at the front of an absolute-form target, cut off. */
static int
skip_authority(struct slice *target)
{
	size_t scheme = 0, end;

	if (target->length > 7 && strncasecmp(target->data, "http://", 7) == 0)
		scheme = 7;
	else if (target->length > 8 && strncasecmp(target->data, "https://", 8) == 0)
		scheme = 8;
	else
		return -EINVAL;
	for (end = scheme; end < target->length; end++) {
		if (target->data[end] == '/' || target->data[end] == '?')
			break;
	}
	if (end == scheme)
		return -EINVAL;
	target->data += end;
	target->length -= end;
	return 0;
}

int
path_split(struct slice target, struct slice *path, struct slice *query)
{
	const char *mark;

	if (target.length == 0)
		return -EINVAL;
	if (target.data[0] != '/' && skip_authority(&target) != 0)
		return -EINVAL;
	mark = target.length > 0 ? memchr(target.data, '?', target.length) : NULL;
	*path = target;
	*query = (struct slice){"", 0};
	if (mark != NULL) {
		path->length = (size_t)(mark - target.data);
		*query = (struct slice){mark + 1, target.length - path->length - 1};
	}
	if (path->length == 0)
		*path = (struct slice){"/", 1};
	return 0;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

static int
decode(struct slice in, bool plus_is_space, char *out, size_t out_size)
{
	size_t n = 0;

	for (size_t i = 0; i < in.length; i++) {
		unsigned char c = (unsigned char)in.data[i];

		if (c == '%') {
			int high = in.length - i > 2 ? hex_digit(in.data[i + 1]) : -1;
			int low = in.length - i > 2 ? hex_digit(in.data[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -EINVAL;
			c = (unsigned char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (c < 0x20 || c == 0x7f)
			return -EINVAL;
		if (n + 1 >= out_size)
			return -ENAMETOOLONG;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return 0;
}

/* RFC 3986 5.2.4 would resolve them; a client that sends one means some other path than it says. */
static bool
has_dot_segment(const char *name)
{
	while (*name == '/') {
		size_t length = strcspn(name + 1, "/");

		if ((length == 1 && name[1] == '.') ||
		    (length == 2 && name[1] == '.' && name[2] == '.'))
			return true;
		name += 1 + length;
	}
	return false;
}

int
path_decode(struct slice path, char name[PATH_NAME_MAX + 1])
{
	int rc;

	if (path.length == 0 || path.data[0] != '/' || memchr(path.data, '#', path.length) != NULL)
		return -EINVAL;
	rc = decode(path, false, name, PATH_NAME_MAX + 1);
	if (rc != 0)
		return rc;
	return has_dot_segment(name) ? -EINVAL : 0;
}

int
path_query(struct slice query, const char *key, char *out, size_t out_size)
{
	size_t key_length = strlen(key);

	while (query.length > 0) {
		const char *amp = memchr(query.data, '&', query.length);
		size_t length = amp != NULL ? (size_t)(amp - query.data) : query.length;

		if (length > key_length && memcmp(query.data, key, key_length) == 0 &&
		    query.data[key_length] == '=') {
			struct slice value = {query.data + key_length + 1, length - key_length - 1};

			return decode(value, true, out, out_size);
		}
		if (amp != NULL)
			length++;
		query.data += length;
		query.length -= length;
	}
	return -ENOENT;
}
