#include "http/multipart.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/check.h"

void
multipart_boundary(struct multipart *multi)
{
	unsigned char secret[16];
	size_t n = 0;

	/* Of this size it never comes short, and it waits at boot only. */
	CHECK(getrandom(secret, sizeof(secret), 0) == (ssize_t)sizeof(secret));
	for (size_t i = 0; i < sizeof(secret); i++)
		n += (size_t)snprintf(multi->boundary + n, sizeof(multi->boundary) - n, "%02x",
				      secret[i]);
}

size_t
multipart_text(const struct multipart *multi, size_t index, char *out)
{
	const char *before = index == 0 ? "" : "\r\n";
	int n;

	CHECK(index <= multi->count);
	if (index == multi->count)
		n = snprintf(out, MULTIPART_TEXT_MAX, "%s--%s--\r\n", before, multi->boundary);
	else
		n = snprintf(
			out, MULTIPART_TEXT_MAX,
			"%s--%s\r\nContent-Type: %s\r\nContent-Range: bytes %llu-%llu/%llu\r\n\r\n",
			before, multi->boundary, multi->type,
			(unsigned long long)multi->parts[index].first,
			(unsigned long long)multi->parts[index].end - 1,
			(unsigned long long)multi->length);
	CHECK(n > 0 && n < MULTIPART_TEXT_MAX);
	return (size_t)n;
}

uint64_t
multipart_length(const struct multipart *multi)
{
	char text[MULTIPART_TEXT_MAX];
	uint64_t length = 0;

	for (size_t i = 0; i <= multi->count; i++) {
		length += multipart_text(multi, i, text);
		if (i < multi->count)
			length += multi->parts[i].end - multi->parts[i].first;
	}
	return length;
}
