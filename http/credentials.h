/* credentials.h - what a request's Authorization field says (RFC 7617, RFC 6750).
 *
 * Threads  any; pure functions of their arguments.
 */
#ifndef SPILLWAY_HTTP_CREDENTIALS_H
#define SPILLWAY_HTTP_CREDENTIALS_H

#include "http/head.h"
#include "http/secrets.h"

enum credentials_kind {
	CREDENTIALS_NONE, /* none that are understood */
	CREDENTIALS_BASIC,
	CREDENTIALS_BEARER,
};

struct credentials {
	enum credentials_kind kind;
	char user[SECRETS_NAME_MAX + 1];         /* BASIC */
	char password[SECRETS_PASSWORD_MAX + 1]; /* BASIC */
	struct slice token;                      /* BEARER; in the head's memory */
};

/* Reads them. What is malformed, too long or comes twice is no credential. */
void credentials_read(const struct head *head, struct credentials *out);

/* Leaves nothing of them in memory. */
void credentials_forget(struct credentials *credentials);

#endif
