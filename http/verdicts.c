#include "http/verdicts.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SETS 256 /* of WAYS places each, in either table */
#define WAYS 4
#define SECRET_SIZE 32

struct place {
	uint8_t key[VERDICTS_KEY_SIZE];
	int64_t until_ms; /* 0: empty */
};

struct verdicts {
	pthread_mutex_t lock; /* guards good and bad */
	struct place good[SETS][WAYS], bad[SETS][WAYS];
	uint8_t secret[SECRET_SIZE];
};

struct verdicts *
verdicts_new(void)
{
	struct verdicts *verdicts = calloc(1, sizeof(*verdicts));

	if (verdicts == NULL)
		return NULL;
	if (getrandom(verdicts->secret, SECRET_SIZE, 0) != SECRET_SIZE) {
		free(verdicts);
		return NULL;
	}
	pthread_mutex_init(&verdicts->lock, NULL);
	return verdicts;
}

void
verdicts_free(struct verdicts **verdictsp)
{
	struct verdicts *verdicts = *verdictsp;

	*verdictsp = NULL;
	if (verdicts == NULL)
		return;
	pthread_mutex_destroy(&verdicts->lock);
	OPENSSL_cleanse(verdicts, sizeof(*verdicts));
	free(verdicts);
}

bool
verdicts_key(const struct verdicts *verdicts, const char *name, const char *password,
	     uint8_t key[VERDICTS_KEY_SIZE])
{
	/* A name has no NUL inside: the pair can be read in one way only. */
	size_t head = strlen(name) + 1, length = head + strlen(password);
	uint8_t *text = malloc(length);
	bool made;

	if (text == NULL)
		return false;
	memcpy(text, name, head);
	memcpy(text + head, password, length - head);
	made = HMAC(EVP_sha256(), verdicts->secret, SECRET_SIZE, text, length, key, NULL) != NULL;
	OPENSSL_cleanse(text, length);
	free(text);
	return made;
}

/* The place of KEY in SET, or NULL. */
static struct place *
place_of(struct place set[WAYS], const uint8_t *key, int64_t now_ms)
{
	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].until_ms > now_ms &&
		    CRYPTO_memcmp(set[i].key, key, VERDICTS_KEY_SIZE) == 0)
			return &set[i];
	return NULL;
}

enum verdict
verdicts_find(struct verdicts *verdicts, const uint8_t key[VERDICTS_KEY_SIZE], int64_t now_ms)
{
	enum verdict verdict = VERDICT_UNKNOWN;

	pthread_mutex_lock(&verdicts->lock);
	if (place_of(verdicts->good[key[0]], key, now_ms) != NULL)
		verdict = VERDICT_GOOD;
	else if (place_of(verdicts->bad[key[0]], key, now_ms) != NULL)
		verdict = VERDICT_BAD;
	pthread_mutex_unlock(&verdicts->lock);
	return verdict;
}

void
verdicts_keep(struct verdicts *verdicts, const uint8_t key[VERDICTS_KEY_SIZE], bool good,
	      int64_t now_ms)
{
	struct place *set = good ? verdicts->good[key[0]] : verdicts->bad[key[0]];
	struct place *place;

	pthread_mutex_lock(&verdicts->lock);
	place = place_of(set, key, now_ms);
	if (place == NULL) {
		place = &set[0];
		for (unsigned i = 1; i < WAYS; i++)
			if (set[i].until_ms < place->until_ms)
				place = &set[i];
	}
	memcpy(place->key, key, VERDICTS_KEY_SIZE);
	place->until_ms = now_ms + (good ? VERDICTS_GOOD_MS : VERDICTS_BAD_MS);
	pthread_mutex_unlock(&verdicts->lock);
}
