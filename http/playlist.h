/* playlist.h - what a blocking reload must know of an HLS media playlist (RFC 8216bis 4.4, 6.2.5.2).
 *
 * Threads  any; pure functions of their arguments.
 * Units    milliseconds; segments by media sequence number, parts by index in their segment.
 */
#ifndef SPILLWAY_HTTP_PLAYLIST_H
#define SPILLWAY_HTTP_PLAYLIST_H

#include "http/slice.h"

#define PLAYLIST_NO_PART UINT64_MAX

struct playlist {
	bool is_media;       /* it has a target duration */
	bool has_ended;      /* nothing follows */
	uint64_t next;       /* number of the segment behind the last complete one */
	uint64_t parts;      /* of that one, so far */
	uint64_t last_parts; /* of the last complete one */
	int64_t target_ms;
	int64_t part_target_ms; /* 0: none */
};

/* Reads TEXT. What it does not understand it skips. */
void playlist_read(struct slice text, struct playlist *out);

/* What a client asks for by _HLS_msn and _HLS_part. */
struct playlist_wish {
	uint64_t msn;
	uint64_t part; /* or PLAYLIST_NO_PART */
};

enum playlist_verdict {
	PLAYLIST_SERVE,  /* it is there, or this playlist will never have it */
	PLAYLIST_WAIT,   /* a later version will have it */
	PLAYLIST_REFUSE, /* it is too far in the future */
};

enum playlist_verdict playlist_judge(const struct playlist *playlist,
				     const struct playlist_wish *wish);

#endif
