/* secrets.h - who has which password or token: the files that user_file and token_file name.
 *
 *     # a comment
 *     name:$y$j9T$...            a password's hash, as crypt(5) writes it
 *     name:9f86d081884c7d65...   a token's SHA-256, in hexadecimal
 *
 * Neither a password nor a token is in memory, only hashes are. A token is found by its hash, so it must be long
 * and random: nothing makes guesses slow.
 *
 * Threads  built by one thread; then read by all, never changed.
 */
#ifndef SPILLWAY_HTTP_SECRETS_H
#define SPILLWAY_HTTP_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

#include "http/slice.h"

#define SECRETS_NAME_MAX 255     /* bytes */
#define SECRETS_PASSWORD_MAX 511 /* bytes; crypt(3) takes no more */

struct secrets;

enum secrets_kind { SECRETS_PASSWORDS, SECRETS_TOKENS };

/* Reads TEXT, which is the file FILE's. 0, or -EINVAL or -ENOMEM with "FILE:LINE: reason" in WHY, which
 * never has a hash in it. */
int secrets_parse(enum secrets_kind kind, const char *file, const char *text, size_t length,
		  struct secrets **out, char *why, size_t why_size);
void secrets_free(struct secrets **secrets);

bool secrets_have(const struct secrets *secrets, const char *name);

/* Whether PASSWORD is NAME's. Takes as long as crypt(3) does, a tenth of a second perhaps, also for a name
 * that is not there. */
bool secrets_password(const struct secrets *secrets, const char *name, const char *password);

/* The name of TOKEN, or NULL. Takes the same time for every token of a length. */
const char *secrets_token(const struct secrets *secrets, struct slice token);

#endif
