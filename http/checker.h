/* checker.h - the threads on which passwords are checked: crypt(3) takes its time on purpose.
 *
 * Threads  checker_submit from any worker.
 * Owns     its threads. A check is its caller's.
 */
#ifndef SPILLWAY_HTTP_CHECKER_H
#define SPILLWAY_HTTP_CHECKER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/mailbox.h"
#include "base/pool.h"
#include "http/credentials.h"
#include "http/settings.h"
#include "http/verdicts.h"

struct checker;

/* One question. The caller keeps it until LETTER is delivered. */
struct check {
	struct pool_job job; /* private */
	struct checker *checker;
	struct settings *settings;      /* in: its users and verdicts are asked; a reference */
	struct credentials credentials; /* in: BASIC; the password is forgotten */
	uint8_t key[VERDICTS_KEY_SIZE]; /* in: theirs */
	struct mailbox *mailbox;        /* in */
	struct letter letter;           /* in: deliver is set */
	_Atomic bool unwanted;          /* set when nobody waits for the answer any more */
	bool good;                      /* out */
};

/* 0 or -errno. */
int checker_start(struct checker **out);

/* After the last letter was delivered. Accepts a pointer to NULL. */
void checker_stop(struct checker **checker);

/* 0, or -EAGAIN if too many wait already. */
int checker_submit(struct checker *checker, struct check *check);

#endif
