#include "http/media.h"

#include <string.h>
#include <strings.h>

enum kind {
	KIND_OTHER,
	KIND_PLAYLIST, /* rewritten all the time under one name */
	KIND_SEGMENT,  /* written once, under a name that is not used again */
};

struct media {
	const char *extension;
	const char *type;
	enum kind kind;
};

static const struct media table[] = {
	{"m3u8", "application/vnd.apple.mpegurl", KIND_PLAYLIST},
	{"mpd", "application/dash+xml", KIND_PLAYLIST},
	{"m4s", "video/iso.segment", KIND_SEGMENT},
	{"cmfv", "video/mp4", KIND_SEGMENT},
	{"cmfa", "audio/mp4", KIND_SEGMENT},
	{"cmft", "application/mp4", KIND_SEGMENT},
	{"cmfm", "application/mp4", KIND_SEGMENT},
	{"ts", "video/mp2t", KIND_SEGMENT},
	{"aac", "audio/aac", KIND_SEGMENT},
	{"ac3", "audio/ac3", KIND_SEGMENT},
	{"ec3", "audio/eac3", KIND_SEGMENT},
	{"vtt", "text/vtt", KIND_SEGMENT},
	{"mp4", "video/mp4", KIND_OTHER}, /* also init segments, which restarts rewrite */
	{"m4v", "video/mp4", KIND_OTHER},
	{"m4a", "audio/mp4", KIND_OTHER},
	{"mp3", "audio/mpeg", KIND_OTHER},
	{"ttml", "application/ttml+xml", KIND_OTHER},
	{"webm", "video/webm", KIND_OTHER},
	{"key", "application/octet-stream", KIND_OTHER},
	{"jpg", "image/jpeg", KIND_OTHER},
	{"jpeg", "image/jpeg", KIND_OTHER},
	{"png", "image/png", KIND_OTHER},
	{"webp", "image/webp", KIND_OTHER},
	{"svg", "image/svg+xml", KIND_OTHER},
	{"ico", "image/x-icon", KIND_OTHER},
	{"json", "application/json", KIND_OTHER},
	{"xml", "application/xml", KIND_OTHER},
	{"html", "text/html; charset=utf-8", KIND_OTHER},
	{"js", "text/javascript; charset=utf-8", KIND_OTHER},
	{"css", "text/css; charset=utf-8", KIND_OTHER},
	{"txt", "text/plain; charset=utf-8", KIND_OTHER},
};

static const struct media *
find(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(slash != NULL ? slash : path, '.');

	if (dot == NULL)
		return NULL;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcasecmp(table[i].extension, dot + 1) == 0)
			return &table[i];
	}
	return NULL;
}

const char *
media_type(const char *path)
{
	const struct media *media = find(path);

	return media != NULL ? media->type : "application/octet-stream";
}

bool
media_type_informs(struct slice type)
{
	type = slice_trim(type);
	return type.length > 0 && !slice_is(type, "application/octet-stream");
}

static enum kind
kind_of(const char *path)
{
	const struct media *media = find(path);

	return media != NULL ? media->kind : KIND_OTHER;
}

const char *
media_cache_whole(const char *path)
{
	switch (kind_of(path)) {
	case KIND_PLAYLIST:
		return "max-age=1";
	case KIND_SEGMENT:
		return "max-age=31536000, immutable";
	case KIND_OTHER:
		break;
	}
	return "max-age=60";
}

/* A cache serves a crowd from the fetch that is in flight only while it takes it for fresh: for a segment that
 * must outlast its growing. What is cut later no cache may keep (RFC 9111 3.3). A playlist that grows has a
 * rule of the operator to thank. */
const char *
media_cache_growing(const char *path)
{
	switch (kind_of(path)) {
	case KIND_PLAYLIST:
		return "no-cache";
	case KIND_SEGMENT:
		return "max-age=60";
	case KIND_OTHER:
		break;
	}
	return "max-age=1";
}
