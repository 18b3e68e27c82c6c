/* datadir.h - what `spillway -t` can say about a data directory without touching it. */
#ifndef SPILLWAY_DAEMON_DATADIR_H
#define SPILLWAY_DAEMON_DATADIR_H

#include <stddef.h>

/* 0 if a server of this user could use PATH, or create it; else -errno with a sentence that names
 * it. Opens nothing: whether a server uses it now, or what is in it, is not looked at. */
int datadir_check(const char *path, char *why, size_t why_size);

#endif
