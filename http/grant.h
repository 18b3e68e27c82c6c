/* grant.h - who may do what: the judgement.
 *
 * A request must come from an address that may, and, if users, tokens or certificates are named, show that it
 * is one of them. Where nothing is said, everybody may read, and only this machine may do anything else.
 *
 * Threads  any; pure functions of their arguments.
 */
#ifndef SPILLWAY_HTTP_GRANT_H
#define SPILLWAY_HTTP_GRANT_H

#include <stdbool.h>

#include "base/names.h"
#include "http/cidr.h"

enum grant_op {
	GRANT_READ,   /* GET, HEAD */
	GRANT_WRITE,  /* PUT, POST */
	GRANT_DELETE, /* as WRITE, if nothing else is said */
	GRANT_LIST,
	GRANT_ADMIN, /* everything on the admin listener */
};

#define GRANT_OPS 5

/* As the operator writes it; an empty list says nothing. */
struct grant_words {
	struct names from;                     /* addresses, "any", "loopback", "none" */
	struct names user, token, certificate; /* names, "any", "off" */
};

/* What holds; NULL where nothing was said. */
struct grant_terms {
	const struct cidr_set *from;
	const struct names *user, *token, *certificate;
};

/* Who a request was shown to come from; NULL for what was not shown. */
struct grant_who {
	const char *user, *token, *certificate;
};

enum grant_verdict {
	GRANT_GIVEN,
	GRANT_UNSAID,  /* refused because nothing was said and the address is not this machine's */
	GRANT_PLACE,   /* refused because of the address */
	GRANT_PERSON,  /* refused because somebody else is named */
	GRANT_UNKNOWN, /* it must show who it is, by a user's password or a token */
	GRANT_NO_CERTIFICATE, /* refused because only certificates are named, and none was shown */
};

/* Whether who it is must be shown, and by what. */
bool grant_asks(const struct grant_terms *terms);
bool grant_asks_user(const struct grant_terms *terms);
bool grant_asks_token(const struct grant_terms *terms);
bool grant_asks_certificate(const struct grant_terms *terms);

/* ADDRESS is NULL for a local socket, which counts as this machine. */
enum grant_verdict grant_judge(enum grant_op op, const struct grant_terms *terms,
			       const struct cidr_address *address, const struct grant_who *who);

#endif
