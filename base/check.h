/* check.h - assertions that stay on in release builds.
 *
 * CHECK is for our own mistakes only: never for client input, bytes from disk
 * or the result of a system call. It prints where it failed and aborts.
 */
#ifndef SPILLWAY_BASE_CHECK_H
#define SPILLWAY_BASE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (__builtin_expect(!(cond), 0)) {                                                \
			fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #cond);   \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#endif
