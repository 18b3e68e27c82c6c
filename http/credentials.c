#include "http/credentials.h"

#include <openssl/crypto.h>
#include <string.h>

#define PAIR_MAX (SECRETS_NAME_MAX + 1 + SECRETS_PASSWORD_MAX)

static int
base64_digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

/* Decodes TEXT (RFC 4648 4, with its padding) into OUT. The number of bytes, or 0 for a mistake. */
static size_t
decode(struct slice text, char *out, size_t size)
{
	size_t n = 0;

	if (text.length % 4 != 0 || text.length / 4 * 3 > size)
		return 0;
	for (size_t i = 0; i < text.length; i += 4) {
		unsigned sum = 0, padding = 0;

		for (size_t j = i; j < i + 4; j++) {
			int digit = base64_digit(text.data[j]);

			if (digit < 0 || padding > 0) {
				/* at the end only, one or two */
				if (text.data[j] != '=' || i + 4 != text.length || j < i + 2)
					return 0;
				padding++;
				digit = 0;
			}
			sum = sum << 6 | (unsigned)digit;
		}
		for (unsigned k = 0; k < 3 - padding; k++)
			out[n++] = (char)(sum >> (16 - 8 * k) & 0xff);
	}
	return n;
}

static bool
is_plain(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return true;
}

static bool
read_basic(struct slice text, struct credentials *out)
{
	char pair[PAIR_MAX + 4];
	size_t length = decode(text, pair, sizeof(pair)), user = 0;
	const char *colon = memchr(pair, ':', length);
	bool good = false;

	if (colon != NULL) {
		user = (size_t)(colon - pair);
		good = user <= SECRETS_NAME_MAX && length - user - 1 <= SECRETS_PASSWORD_MAX &&
		       is_plain(pair, length);
	}
	if (good) {
		memcpy(out->user, pair, user);
		memcpy(out->password, colon + 1, length - user - 1);
	}
	OPENSSL_cleanse(pair, sizeof(pair));
	return good;
}

void
credentials_read(const struct head *head, struct credentials *out)
{
	struct slice value, second, scheme, rest;
	size_t at = 0;
	const char *blank;

	memset(out, 0, sizeof(*out));
	if (!head_next(head, "authorization", &at, &value) ||
	    head_next(head, "authorization", &at, &second))
		return;
	blank = memchr(value.data, ' ', value.length);
	if (blank == NULL)
		return;
	scheme = (struct slice){value.data, (size_t)(blank - value.data)};
	rest = slice_trim((struct slice){blank, value.length - scheme.length});
	if (slice_is(scheme, "basic") && read_basic(rest, out)) {
		out->kind = CREDENTIALS_BASIC;
	} else if (slice_is(scheme, "bearer") && rest.length > 0) {
		out->kind = CREDENTIALS_BEARER;
		out->token = rest;
	}
}

void
credentials_forget(struct credentials *credentials)
{
	OPENSSL_cleanse(credentials, sizeof(*credentials));
}
