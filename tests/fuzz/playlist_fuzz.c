/* playlist_fuzz.c - the ends of lines mean nothing, more segments never take anything away, and what is served
 * for one segment is served for those before it.
 */
#include <stdlib.h>

#include "http/playlist.h"
#include "tests/fuzz/fuzz.h"

#define NUMBER_MAX UINT64_C(1000000000000000) /* what playlist_read takes for one number */

static bool
same(const struct playlist *a, const struct playlist *b)
{
	return a->is_media == b->is_media && a->has_ended == b->has_ended && a->next == b->next &&
	       a->parts == b->parts && a->last_parts == b->last_parts &&
	       a->target_ms == b->target_ms && a->part_target_ms == b->part_target_ms;
}

/* TEXT with CRLF for each LF that has no CR yet, and TAIL behind it. */
static struct slice
rewrite(struct slice text, const char *tail)
{
	char *out = malloc(2 * text.length + strlen(tail) + 1);
	size_t n = 0;

	CHECK(out != NULL);
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] == '\n' && (i == 0 || text.data[i - 1] != '\r'))
			out[n++] = '\r';
		out[n++] = text.data[i];
	}
	memcpy(out + n, tail, strlen(tail));
	return (struct slice){out, n + strlen(tail)};
}

static void
check_bounds(const struct playlist *playlist, size_t length)
{
	CHECK(playlist->next <= (length / 4 + 1) * NUMBER_MAX);
	CHECK(playlist->parts + playlist->last_parts <= length);
	CHECK(playlist->target_ms >= 0 && playlist->target_ms <= 86400 * INT64_C(1000) + 999);
	CHECK(playlist->part_target_ms >= 0 &&
	      playlist->part_target_ms <= 86400 * INT64_C(1000) + 999);
}

static void
check_rewritten(struct slice text, const struct playlist *playlist)
{
	struct slice crlf = rewrite(text, ""), longer = rewrite(text, "\nsegment.m4s\n");
	struct playlist got;

	playlist_read(crlf, &got);
	CHECK(same(playlist, &got));
	playlist_read(longer, &got);
	CHECK(got.next > playlist->next && got.has_ended >= playlist->has_ended);
	free((char *)longer.data);
	free((char *)crlf.data);
}

static void
check_wishes(const struct playlist *playlist, uint64_t msn, uint64_t part)
{
	const struct playlist_wish wish = {msn, part}, whole = {msn, PLAYLIST_NO_PART};
	const struct playlist_wish before = {msn - 1, PLAYLIST_NO_PART}, next = {msn, part + 1};
	enum playlist_verdict verdict = playlist_judge(playlist, &wish);

	if (!playlist->is_media || playlist->has_ended)
		CHECK(verdict == PLAYLIST_SERVE);
	if (verdict == PLAYLIST_SERVE && msn > 0)
		CHECK(playlist_judge(playlist, &before) == PLAYLIST_SERVE);
	if (playlist_judge(playlist, &whole) == PLAYLIST_SERVE)
		CHECK(msn < playlist->next || verdict == PLAYLIST_SERVE);
	/* The further away, the stricter. */
	CHECK(part >= PLAYLIST_NO_PART - 1 || playlist_judge(playlist, &next) >= verdict);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct fuzz fuzz = {data, length};
	int8_t ahead = (int8_t)fuzz_byte(&fuzz);
	uint64_t part = fuzz_byte(&fuzz);
	struct slice text = {(const char *)fuzz.data, fuzz.length};
	struct playlist playlist;

	playlist_read(text, &playlist);
	check_bounds(&playlist, text.length);
	check_rewritten(text, &playlist);
	check_wishes(&playlist, playlist.next + (uint64_t)(int64_t)ahead, part);
	check_wishes(&playlist, playlist.next, playlist.parts + part % 8);
	check_wishes(&playlist, playlist.next + (uint64_t)(int64_t)ahead, PLAYLIST_NO_PART);
	return 0;
}
