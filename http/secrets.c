#include "http/secrets.h"

#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/check.h"

#define DIGEST_SIZE 32

struct secret {
	UT_hash_handle hh;
	char name[SECRETS_NAME_MAX + 1];
	unsigned char digest[DIGEST_SIZE]; /* of a token */
	char hash[CRYPT_OUTPUT_SIZE];      /* of a password */
};

struct secrets {
	enum secrets_kind kind;
	struct secret *table; /* by name */
};

/* What is taken for a password's hash: nothing that a modern guesser laughs at. */
static const struct {
	const char *prefix;
	size_t length; /* of what stands behind the last '$' */
} formats[] = {
	{"$y$", 43},  {"$gy$", 43}, {"$7$", 43}, {"$2b$", 53},
	{"$2y$", 53}, {"$2a$", 53}, {"$6$", 86}, {"$5$", 43},
};

/* NULL, or what is wrong with HASH. */
static const char *
judge_hash(const char *hash)
{
	static const char unknown[] =
		"not a strong hash of crypt(5); mkpasswd and htpasswd -B make one";
	const char *last = strrchr(hash, '$');
	int rc;

	if (last == NULL || strlen(hash) >= CRYPT_OUTPUT_SIZE)
		return unknown;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (strncmp(hash, formats[i].prefix, strlen(formats[i].prefix)) != 0)
			continue;
		if (strlen(last + 1) != formats[i].length)
			return "a hash that is cut or too long";
		rc = crypt_checksalt(hash);
		return rc != CRYPT_SALT_INVALID && rc != CRYPT_SALT_METHOD_DISABLED ? NULL
										    : unknown;
	}
	return unknown;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *
read_digest(const char *text, unsigned char digest[DIGEST_SIZE])
{
	static const char wrong[] = "not a SHA-256 of 64 hexadecimal digits";

	if (strlen(text) != (size_t)2 * DIGEST_SIZE)
		return wrong;
	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return wrong;
		digest[i] = (unsigned char)(high << 4 | low);
	}
	return NULL;
}

/* NULL, or what is wrong with NAME. */
static const char *
judge_name(const char *name)
{
	if (*name == '\0')
		return "no name before the colon";
	if (strlen(name) > SECRETS_NAME_MAX)
		return "a name of more than 255 bytes";
	if (strcmp(name, "any") == 0 || strcmp(name, "off") == 0)
		return "any and off mean something else in rules, no name";
	for (; *name != '\0'; name++)
		if ((unsigned char)*name <= 0x20 || *name == 0x7f)
			return "a blank or control byte in a name";
	return NULL;
}

/* Takes LINE, which it may write to. NULL, or what is wrong with it. */
static const char *
take_line(struct secrets *secrets, char *line)
{
	char *colon = strchr(line, ':');
	struct secret *secret;
	const char *wrong;

	if (colon == NULL)
		return "expected name:hash";
	*colon = '\0';
	wrong = judge_name(line);
	if (wrong != NULL)
		return wrong;
	if (secrets_have(secrets, line))
		return "this name stands above already";
	secret = calloc(1, sizeof(*secret));
	if (secret == NULL)
		return "out of memory";
	wrong = secrets->kind == SECRETS_TOKENS ? read_digest(colon + 1, secret->digest)
						: judge_hash(colon + 1);
	if (wrong != NULL) {
		free(secret);
		return wrong;
	}
	stpcpy(secret->name, line);
	if (secrets->kind == SECRETS_PASSWORDS)
		stpcpy(secret->hash, colon + 1);
	HASH_ADD_STR(secrets->table, name, secret);
	return NULL;
}

int
secrets_parse(enum secrets_kind kind, const char *file, const char *text, size_t length,
	      struct secrets **out, char *why, size_t why_size)
{
	struct secrets *secrets = calloc(1, sizeof(*secrets));
	const char *end = text + length, *wrong = secrets == NULL ? "out of memory" : NULL;
	unsigned number = 0;

	if (secrets != NULL)
		secrets->kind = kind;
	while (text < end && wrong == NULL) {
		const char *lf = memchr(text, '\n', (size_t)(end - text));
		size_t size = (size_t)((lf != NULL ? lf : end) - text);
		char line[1024];

		number++;
		if (size > 0 && text[size - 1] == '\r')
			size--;
		if (size >= sizeof(line) || memchr(text, '\0', size) != NULL) {
			wrong = "a line that is too long, or has a zero byte";
		} else if (size > 0 && text[0] != '#') {
			memcpy(line, text, size);
			line[size] = '\0';
			wrong = take_line(secrets, line);
			OPENSSL_cleanse(line, sizeof(line));
		}
		text = lf != NULL ? lf + 1 : end;
	}
	if (wrong != NULL) {
		snprintf(why, why_size, "%s:%u: %s", file, number, wrong);
		secrets_free(&secrets);
		return -EINVAL;
	}
	*out = secrets;
	return 0;
}

void
secrets_free(struct secrets **secretsp)
{
	struct secrets *secrets = *secretsp;
	struct secret *secret, *next;

	*secretsp = NULL;
	if (secrets == NULL)
		return;
	HASH_ITER (hh, secrets->table, secret, next) {
		HASH_DEL(secrets->table, secret);
		OPENSSL_cleanse(secret, sizeof(*secret));
		free(secret);
	}
	free(secrets);
}

static struct secret *
find(const struct secrets *secrets, const char *name)
{
	struct secret *secret;

	HASH_FIND_STR(secrets->table, name, secret);
	return secret;
}

bool
secrets_have(const struct secrets *secrets, const char *name)
{
	return find(secrets, name) != NULL;
}

bool
secrets_password(const struct secrets *secrets, const char *name, const char *password)
{
	const struct secret *secret = find(secrets, name);
	bool known = secret != NULL, good = false;
	struct crypt_data *data;
	const char *made;

	CHECK(secrets->kind == SECRETS_PASSWORDS);
	/* A name that is not there must not be told from one that is: somebody else's hash takes as long. */
	if (!known)
		secret = secrets->table;
	data = secret != NULL ? calloc(1, sizeof(*data)) : NULL;
	if (data == NULL)
		return false;
	made = crypt_rn(password, secret->hash, data, (int)sizeof(*data));
	if (made != NULL && strlen(made) == strlen(secret->hash))
		good = CRYPTO_memcmp(made, secret->hash, strlen(made)) == 0;
	OPENSSL_cleanse(data, sizeof(*data));
	free(data);
	return known && good;
}

const char *
secrets_token(const struct secrets *secrets, struct slice token)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	const char *name = NULL;

	CHECK(secrets->kind == SECRETS_TOKENS);
	if (EVP_Digest(token.data, token.length, digest, NULL, EVP_sha256(), NULL) != 1)
		return NULL;
	for (const struct secret *s = secrets->table; s != NULL; s = s->hh.next)
		if (CRYPTO_memcmp(digest, s->digest, DIGEST_SIZE) == 0)
			name = s->name;
	return name;
}
