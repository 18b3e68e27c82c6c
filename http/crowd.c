#include "http/crowd.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/check.h"

#define KEY_SIZE 10 /* family, then an IPv4 address or half an IPv6 one */

struct crowd_peer {
	UT_hash_handle hh;
	unsigned char key[KEY_SIZE];
	unsigned count; /* never 0 */
};

void
crowd_init(struct crowd *crowd)
{
	crowd->capacity = UINT32_MAX;
	atomic_init(&crowd->count, 0);
	pthread_mutex_init(&crowd->lock, NULL);
	crowd->peers = NULL;
}

void
crowd_destroy(struct crowd *crowd)
{
	CHECK(crowd->peers == NULL);
	pthread_mutex_destroy(&crowd->lock);
}

unsigned
crowd_capacity(unsigned long limit, unsigned open)
{
	unsigned long left = limit > open ? limit - open : 0;
	unsigned long reserve = left / 8 > CROWD_RESERVE ? left / 8 : CROWD_RESERVE;

	left = left > reserve ? left - reserve : 1;
	return left < UINT32_MAX ? (unsigned)left : UINT32_MAX;
}

unsigned
crowd_max(const struct crowd *crowd, unsigned wanted)
{
	return wanted > 0 && wanted < crowd->capacity ? wanted : crowd->capacity;
}

void
crowd_enter(struct crowd *crowd)
{
	atomic_fetch_add_explicit(&crowd->count, 1, memory_order_relaxed);
}

void
crowd_leave(struct crowd *crowd)
{
	atomic_fetch_sub_explicit(&crowd->count, 1, memory_order_relaxed);
}

bool
crowd_has_room(const struct crowd *crowd, unsigned wanted)
{
	unsigned count = atomic_load_explicit(&crowd->count, memory_order_relaxed);

	return count < crowd_max(crowd, wanted);
}

static void
make_key(const struct sockaddr *address, unsigned char key[KEY_SIZE])
{
	memset(key, 0, KEY_SIZE);
	memcpy(key, &address->sa_family, sizeof(address->sa_family));
	if (address->sa_family == AF_INET)
		memcpy(key + 2, &((const struct sockaddr_in *)address)->sin_addr, 4);
	else if (address->sa_family == AF_INET6)
		memcpy(key + 2, &((const struct sockaddr_in6 *)address)->sin6_addr, 8);
}

/* The peer of KEY, made if there is none. NULL without memory. The lock is held. */
static struct crowd_peer *
find_peer(struct crowd *crowd, const unsigned char key[KEY_SIZE])
{
	struct crowd_peer *peer;

	HASH_FIND(hh, crowd->peers, key, KEY_SIZE, peer);
	if (peer != NULL)
		return peer;
	peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		return NULL;
	memcpy(peer->key, key, KEY_SIZE);
	HASH_ADD(hh, crowd->peers, key, KEY_SIZE, peer);
	if (peer->hh.tbl == NULL) {
		free(peer);
		return NULL;
	}
	return peer;
}

int
crowd_admit(struct crowd *crowd, unsigned per_address, const struct sockaddr *address,
	    struct crowd_peer **out)
{
	unsigned char key[KEY_SIZE];
	struct crowd_peer *peer;
	int rc = 0;

	make_key(address, key);
	pthread_mutex_lock(&crowd->lock);
	peer = find_peer(crowd, key);
	if (peer == NULL)
		rc = -ENOMEM;
	else if (peer->count >= per_address)
		rc = -EUSERS;
	else
		peer->count++;
	pthread_mutex_unlock(&crowd->lock);
	if (rc == 0)
		*out = peer;
	return rc;
}

void
crowd_dismiss(struct crowd *crowd, struct crowd_peer *peer)
{
	if (peer == NULL)
		return;
	pthread_mutex_lock(&crowd->lock);
	if (--peer->count == 0) {
		HASH_DEL(crowd->peers, peer);
		free(peer);
	}
	pthread_mutex_unlock(&crowd->lock);
}
