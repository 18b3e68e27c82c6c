/* hash.h - XXH3, with the widest vectors that the processor has: for whom hashes bodies.
 *
 * The library's plain functions use what every amd64 has, which takes twice as long. Both give the same.
 *
 * Threads  any.
 */
#ifndef SPILLWAY_BASE_HASH_H
#define SPILLWAY_BASE_HASH_H

#include <xxhash.h>

#ifdef HAVE_XXH_X86DISPATCH
#include <xxh_x86dispatch.h> /* renames them */
#endif

#endif
