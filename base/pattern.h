/* pattern.h - path patterns: '*' matches any bytes, '/' too, also none; every other byte
 * matches itself. Pure; any thread.
 */
#ifndef SPILLWAY_BASE_PATTERN_H
#define SPILLWAY_BASE_PATTERN_H

#include <stdbool.h>

/* Whether PATTERN matches all of TEXT. Never backtracks: each part between two stars is
 * searched once, so that no pattern makes this slow. */
bool pattern_match(const char *pattern, const char *text);

#endif
