/* utf8.h - paths and types are bytes; what is printed as text must be UTF-8.
 *
 * Threads  any; pure.
 */
#ifndef SPILLWAY_HTTP_UTF8_H
#define SPILLWAY_HTTP_UTF8_H

#include <stddef.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, for a byte that is none */

/* Bytes of the UTF-8 sequence at S, which ends in NUL; 0 if it is none (Unicode 15, table 3-7). */
size_t utf8_length(const unsigned char *s);

#endif
