#include "http/grant.h"

#include <stddef.h>
#include <string.h>

/* Whether a list asks for one of its names. */
static bool
asks(const struct names *names)
{
	return names != NULL && names->count > 0 && strcmp(names->items[0], "off") != 0;
}

bool
grant_asks_user(const struct grant_terms *terms)
{
	return asks(terms->user);
}

bool
grant_asks_token(const struct grant_terms *terms)
{
	return asks(terms->token);
}

bool
grant_asks_certificate(const struct grant_terms *terms)
{
	return asks(terms->certificate);
}

bool
grant_asks(const struct grant_terms *terms)
{
	return grant_asks_user(terms) || grant_asks_token(terms) || grant_asks_certificate(terms);
}

static bool
is_named(const struct names *names, const char *who)
{
	return who != NULL && asks(names) && (names_have(names, "any") || names_have(names, who));
}

/* Whether nothing was said; "off" alone does not open anything. */
static bool
is_unsaid(const struct grant_terms *terms)
{
	return terms->from == NULL && !grant_asks(terms);
}

enum grant_verdict
grant_judge(enum grant_op op, const struct grant_terms *terms, const struct cidr_address *address,
	    const struct grant_who *who)
{
	static const struct cidr_address this_machine = {
		{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}};

	if (address == NULL)
		address = &this_machine;
	if (is_unsaid(terms) && op != GRANT_READ && op != GRANT_ADMIN)
		return cidr_is_loopback(address) ? GRANT_GIVEN : GRANT_UNSAID;
	if (terms->from != NULL && !cidr_set_has(terms->from, address))
		return GRANT_PLACE;
	if (!grant_asks(terms) || is_named(terms->user, who->user) ||
	    is_named(terms->token, who->token) || is_named(terms->certificate, who->certificate))
		return GRANT_GIVEN;
	if (who->user != NULL || who->token != NULL)
		return GRANT_PERSON;
	/* Whoever has the wrong certificate may still have the right password. */
	if (grant_asks_user(terms) || grant_asks_token(terms))
		return GRANT_UNKNOWN;
	return who->certificate != NULL ? GRANT_PERSON : GRANT_NO_CERTIFICATE;
}
