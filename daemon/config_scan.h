/* config_scan.h - what libconfuse would let pass without a word.
 *
 * Its scanner skips characters that it does not know, takes a comment without an end for the end
 * of the file, closes open braces there, and stays inside an unfinished string for the next file
 * that it reads. Each of them is found here first. Pure; any thread.
 */
#ifndef SPILLWAY_DAEMON_CONFIG_SCAN_H
#define SPILLWAY_DAEMON_CONFIG_SCAN_H

#include <stddef.h>

/* 0, or -EINVAL with the line (from 1) and the reason. */
int config_scan(const char *text, size_t length, unsigned *line, const char **reason);

#endif
