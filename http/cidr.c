#include "http/cidr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define MAPPED_BITS 96 /* of ::ffff:0:0/96 */

static const uint8_t mapped[MAPPED_BITS / 8] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool
is_v4(const struct cidr_address *address)
{
	return memcmp(address->bytes, mapped, sizeof(mapped)) == 0;
}

static void
map(const void *v4, struct cidr_address *out)
{
	memcpy(out->bytes, mapped, sizeof(mapped));
	memcpy(out->bytes + sizeof(mapped), v4, 4);
}

/* Whether the first BITS of A and B are the same. */
static bool
same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned rest = bits % 8;

	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return rest == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0;
}

/* A number of at most three digits, and nothing else. */
static bool
parse_bits(const char *text, unsigned max, unsigned *bits)
{
	size_t length = strspn(text, "0123456789");

	if (length == 0 || length > 3 || text[length] != '\0')
		return false;
	*bits = (unsigned)strtoul(text, NULL, 10);
	return *bits <= max;
}

/* Whether every bit behind the prefix is zero. */
static bool
ends_in_zeros(const struct cidr *range)
{
	struct cidr_address zeros = range->prefix;

	for (unsigned i = range->bits; i < 128; i++)
		zeros.bytes[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
	return memcmp(&zeros, &range->prefix, sizeof(zeros)) == 0;
}

int
cidr_parse(const char *text, struct cidr *out)
{
	char host[INET6_ADDRSTRLEN];
	size_t length = strcspn(text, "/");
	struct cidr range;
	struct in_addr v4;
	unsigned max = 128;

	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (inet_pton(AF_INET, host, &v4) == 1) {
		map(&v4, &range.prefix);
		max = 32;
	} else if (inet_pton(AF_INET6, host, range.prefix.bytes) != 1) {
		return -EINVAL;
	}
	range.bits = max;
	if (text[length] == '/' && !parse_bits(text + length + 1, max, &range.bits))
		return -EINVAL;
	range.bits += 128 - max;
	range.v4 = is_v4(&range.prefix) && range.bits >= MAPPED_BITS;
	if (!ends_in_zeros(&range))
		return -ERANGE;
	*out = range;
	return 0;
}

bool
cidr_of(const struct sockaddr *sa, struct cidr_address *out)
{
	if (sa->sa_family == AF_INET) {
		map(&((const struct sockaddr_in *)(const void *)sa)->sin_addr, out);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		memcpy(out->bytes, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
		return true;
	}
	return false;
}

bool
cidr_match(const struct cidr *range, const struct cidr_address *address)
{
	return range->v4 == is_v4(address) &&
	       same_bits(range->prefix.bytes, address->bytes, range->bits);
}

static int
add_range(struct cidr_set *set, const char *text)
{
	struct cidr range, *ranges;
	int err = cidr_parse(text, &range);

	if (err != 0)
		return err;
	ranges = realloc(set->ranges, (set->count + 1) * sizeof(*ranges));
	if (ranges == NULL)
		return -ENOMEM;
	set->ranges = ranges;
	ranges[set->count++] = range;
	return 0;
}

int
cidr_set_add(struct cidr_set *set, const char *text)
{
	static const struct {
		const char *word, *v4, *v6;
	} words[] = {
		{"any", "0.0.0.0/0", "::/0"},
		{"loopback", "127.0.0.0/8", "::1"},
	};
	int err;

	if (strcmp(text, "none") == 0)
		return 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i].word) != 0)
			continue;
		err = add_range(set, words[i].v4);
		return err == 0 ? add_range(set, words[i].v6) : err;
	}
	return add_range(set, text);
}

void
cidr_set_clear(struct cidr_set *set)
{
	free(set->ranges);
	*set = (struct cidr_set){NULL, 0};
}

bool
cidr_set_has(const struct cidr_set *set, const struct cidr_address *address)
{
	for (size_t i = 0; i < set->count; i++)
		if (cidr_match(&set->ranges[i], address))
			return true;
	return false;
}

bool
cidr_is_loopback(const struct cidr_address *address)
{
	return is_v4(address) ? address->bytes[sizeof(mapped)] == 127
			      : memcmp(address, &in6addr_loopback, sizeof(*address)) == 0;
}
