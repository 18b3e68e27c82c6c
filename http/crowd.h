/* crowd.h - how many connections there are, in all and from one address, and how many there may be.
 *
 * The admin listener's are not counted: an operator comes in however crowded it is.
 *
 * Threads  any. The mutex guards peers, for some instructions; without a limit per address nobody takes it.
 */
#ifndef SPILLWAY_HTTP_CROWD_H
#define SPILLWAY_HTTP_CROWD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>

struct crowd_peer;

struct crowd {
	unsigned capacity;        /* connections; set before the workers run */
	_Atomic unsigned count;   /* workers add and subtract */
	pthread_mutex_t lock;     /* guards peers and what is in them */
	struct crowd_peer *peers; /* by address */
};

/* With a capacity without end. */
void crowd_init(struct crowd *crowd);
void crowd_destroy(struct crowd *crowd);

/* How many connections there can be when LIMIT descriptors may be open and OPEN are already: an eighth of the
 * rest, at least CROWD_RESERVE, is left for volumes. At least 1. */
unsigned crowd_capacity(unsigned long limit, unsigned open);

#define CROWD_RESERVE 16

/* How many there may be when the operator wants at most WANTED; 0: as many as possible. */
unsigned crowd_max(const struct crowd *crowd, unsigned wanted);

/* A connection more, or less. */
void crowd_enter(struct crowd *crowd);
void crowd_leave(struct crowd *crowd);

/* Whether another one may come. */
bool crowd_has_room(const struct crowd *crowd, unsigned wanted);

/* Counts a connection from ADDRESS, which may have PER_ADDRESS of them; of IPv6 the first 64 bits count, which is
 * what one site has. 0 with its peer, for crowd_dismiss; -EUSERS when the address has as many as it may; -ENOMEM. */
int crowd_admit(struct crowd *crowd, unsigned per_address, const struct sockaddr *address,
		struct crowd_peer **peer);

/* A connection that was admitted ends. Accepts NULL. */
void crowd_dismiss(struct crowd *crowd, struct crowd_peer *peer);

#endif
