/* cidr.h - sets of addresses, as operators write them.
 *
 * An IPv4 address and the IPv6 address that it is mapped to (::ffff:192.0.2.1, RFC 4291 2.5.5.2) are the same
 * here; no other range of IPv6 has an IPv4 address in it, not even ::/0.
 *
 * Threads  any; pure functions of their arguments.
 */
#ifndef SPILLWAY_HTTP_CIDR_H
#define SPILLWAY_HTTP_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* An address, IPv4 as mapped. */
struct cidr_address {
	uint8_t bytes[16];
};

struct cidr {
	struct cidr_address prefix;
	unsigned bits; /* of the mapped form */
	bool v4;
};

/* All zeros is an empty set, in which no address is. */
struct cidr_set {
	struct cidr *ranges;
	size_t count;
};

/* Reads "192.0.2.1", "10.0.0.0/8", "2001:db8::/32". 0; -EINVAL for anything else; -ERANGE when bits behind the
 * prefix are set, which is a mistake more often than not. */
int cidr_parse(const char *text, struct cidr *out);

/* The address of a socket. False if it has none, as that of a local socket. */
bool cidr_of(const struct sockaddr *sa, struct cidr_address *out);

bool cidr_match(const struct cidr *range, const struct cidr_address *address);

/* Adds what TEXT says: a range, "any", "loopback", or "none", which adds nothing. 0, -EINVAL, -ERANGE, -ENOMEM. */
int cidr_set_add(struct cidr_set *set, const char *text);
void cidr_set_clear(struct cidr_set *set);

bool cidr_set_has(const struct cidr_set *set, const struct cidr_address *address);

/* Whether ADDRESS is one of this machine talking to itself. */
bool cidr_is_loopback(const struct cidr_address *address);

#endif
