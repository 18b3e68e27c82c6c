/* export.h - objects as files of a tree.
 *
 * Paths are opaque names, files are not. So: each segment of a path is a folder or file of that name, in which
 * control bytes, '%', bytes above 126, and a dot at the beginning are %XX; an empty one is "%"; one longer than
 * 200 bytes goes on in a folder, and ends in "%-" where it was cut. A path that is also the beginning of others
 * (/a beside /a/b) is the file "%self" in the folder of its name. No two paths give one file.
 */
#ifndef SPILLWAY_CHECK_EXPORT_H
#define SPILLWAY_CHECK_EXPORT_H

#include <stddef.h>

struct audit;
struct catalog_row;

#define EXPORT_NAME_MAX 8192

/* The name, relative to the tree, of the file for a PATH of LENGTH bytes, which begins with '/'. */
void export_name(const char *path, size_t length, char out[EXPORT_NAME_MAX]);

/* Writes the object of ROW below DIRFD. No file that is there is written over. 0; -EBADMSG: its bytes are damaged,
 * and nothing stays; -errno. */
int export_object(struct audit *audit, int dirfd, const struct catalog_row *row);

#endif
