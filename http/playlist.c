#include "http/playlist.h"

#include <string.h>

/* Cuts the next line, without its end, off *TEXT. False at the end. */
static bool
next_line(struct slice *text, struct slice *line)
{
	const char *end;
	size_t length;

	if (text->length == 0)
		return false;
	end = memchr(text->data, '\n', text->length);
	length = end != NULL ? (size_t)(end - text->data) : text->length;
	*line = (struct slice){text->data, length};
	if (end != NULL)
		length++;
	text->data += length;
	text->length -= length;
	if (line->length > 0 && line->data[line->length - 1] == '\r')
		line->length--;
	return true;
}

/* Whether LINE is tag NAME, which includes the colon if there is one; *REST is what follows. */
static bool
is_tag(struct slice line, const char *name, struct slice *rest)
{
	size_t length = strlen(name);

	if (line.length < length || memcmp(line.data, name, length) != 0)
		return false;
	*rest = (struct slice){line.data + length, line.length - length};
	return true;
}

/* The value of attribute NAME of an attribute list (4.2); commas in quoted strings separate nothing. */
static bool
find_attribute(struct slice list, const char *name, struct slice *value)
{
	size_t length = strlen(name);
	struct slice element;

	while (slice_element(&list, &element)) {
		if (element.length > length && element.data[length] == '=' &&
		    memcmp(element.data, name, length) == 0) {
			*value = (struct slice){element.data + length + 1,
						element.length - length - 1};
			return true;
		}
	}
	return false;
}

/* The digits at the start of TEXT as a number, 0 if there are none; *REST is behind them. */
static uint64_t
leading_number(struct slice text, struct slice *rest)
{
	uint64_t value = 0;
	size_t n = 0;

	while (n < text.length && text.data[n] >= '0' && text.data[n] <= '9')
		n++;
	if (n > 15) /* beyond any that makes sense, and so that sums can't overflow */
		n = 0;
	if (n > 0)
		(void)slice_decimal((struct slice){text.data, n}, &value);
	*rest = (struct slice){text.data + n, text.length - n};
	return value;
}

/* Decimal seconds; at most a day. */
static int64_t
read_seconds(struct slice text)
{
	struct slice rest;
	int64_t ms = (int64_t)leading_number(text, &rest), scale = 100;

	if (ms > 86400)
		ms = 86400;
	ms *= 1000;
	if (rest.length > 0 && rest.data[0] == '.') {
		for (size_t i = 1; i < rest.length && i <= 3; i++, scale /= 10) {
			if (rest.data[i] < '0' || rest.data[i] > '9')
				break;
			ms += (rest.data[i] - '0') * scale;
		}
	}
	return ms;
}

static void
read_tag(struct slice line, struct playlist *out)
{
	struct slice rest, value;

	if (is_tag(line, "#EXT-X-PART:", &rest)) {
		out->parts++;
	} else if (is_tag(line, "#EXT-X-TARGETDURATION:", &rest)) {
		out->is_media = true;
		out->target_ms = read_seconds(rest);
	} else if (is_tag(line, "#EXT-X-MEDIA-SEQUENCE:", &rest)) {
		out->next += leading_number(rest, &rest);
	} else if (is_tag(line, "#EXT-X-PART-INF:", &rest)) {
		if (find_attribute(rest, "PART-TARGET", &value))
			out->part_target_ms = read_seconds(value);
	} else if (is_tag(line, "#EXT-X-SKIP:", &rest)) {
		if (find_attribute(rest, "SKIPPED-SEGMENTS", &value))
			out->next += leading_number(value, &rest);
	} else if (is_tag(line, "#EXT-X-ENDLIST", &rest)) {
		out->has_ended = true;
	}
}

void
playlist_read(struct slice text, struct playlist *out)
{
	struct slice line;

	*out = (struct playlist){0};
	while (next_line(&text, &line)) {
		if (line.length == 0)
			continue;
		if (line.data[0] == '#') {
			read_tag(line, out);
			continue;
		}
		/* The URI of a segment, which is complete with it. */
		out->next++;
		out->last_parts = out->parts;
		out->parts = 0;
	}
}

/* How many parts ahead of the last one a client may ask (6.2.5.2). */
static uint64_t
advance_limit(const struct playlist *playlist)
{
	int64_t target = playlist->part_target_ms;

	if (target < 1000)
		return 3;
	return (uint64_t)((3000 + target - 1) / target);
}

enum playlist_verdict
playlist_judge(const struct playlist *playlist, const struct playlist_wish *wish)
{
	uint64_t msn = wish->msn, part = wish->part;

	if (!playlist->is_media || playlist->has_ended)
		return PLAYLIST_SERVE;
	/* A part behind the last one of a complete segment is the first one of the next. */
	if (part != PLAYLIST_NO_PART && playlist->last_parts > 0 && msn + 1 == playlist->next &&
	    part >= playlist->last_parts) {
		msn++;
		part = 0;
	}
	if (msn < playlist->next)
		return PLAYLIST_SERVE;
	/* The last segment is the one before next, or next itself when it has parts. */
	if (msn > playlist->next + 1 + (playlist->parts > 0))
		return PLAYLIST_REFUSE;
	if (part == PLAYLIST_NO_PART || msn > playlist->next)
		return PLAYLIST_WAIT;
	if (part < playlist->parts)
		return PLAYLIST_SERVE;
	return part - playlist->parts >= advance_limit(playlist) ? PLAYLIST_REFUSE : PLAYLIST_WAIT;
}
