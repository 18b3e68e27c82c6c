/* media.h - what an object is, by the extension of its path.
 *
 * Threads  any; pure functions of their arguments. The strings are constants.
 */
#ifndef SPILLWAY_HTTP_MEDIA_H
#define SPILLWAY_HTTP_MEDIA_H

#include "http/slice.h"

/* The media type of PATH, "application/octet-stream" when its extension is not known. */
const char *media_type(const char *path);

/* Whether a Content-Type that a sender gave says anything: it is neither empty nor
 * application/octet-stream, which packagers send for want of knowledge. */
bool media_type_informs(struct slice type);

/* The Cache-Control of PATH when no rule gives one, for a whole object and for one that grows. */
const char *media_cache_whole(const char *path);
const char *media_cache_growing(const char *path);

#endif
