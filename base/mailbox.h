/* mailbox.h - hand work to a thread that sleeps in epoll or poll.
 *
 * Threads  any thread posts, without a lock; one thread, the owner, delivers.
 * Owns     nothing: a letter is embedded in what it is about, and belongs to
 *          the mailbox from mailbox_post until its deliver function is called.
 */
#ifndef SPILLWAY_BASE_MAILBOX_H
#define SPILLWAY_BASE_MAILBOX_H

#include <stdatomic.h>

struct letter {
	struct letter *next;
	void (*deliver)(struct letter *);
};

struct mailbox {
	_Atomic(struct letter *) head; /* newest first; reversed on delivery */
	int fd;                        /* eventfd, readable while letters wait */
};

/* Prepares MB. 0 or -errno of eventfd(2). */
int mailbox_init(struct mailbox *mb);

/* Closes the descriptor. No letter may be inside and nobody may post any more. */
void mailbox_close(struct mailbox *mb);

/* Posts LETTER, whose deliver function is set. Writes the eventfd only if the box
 * was empty, so that a burst costs one system call. Never blocks, never fails. */
void mailbox_post(struct mailbox *mb, struct letter *letter);

/* Owner: calls deliver for every letter that was inside on entry, oldest first.
 * A deliver function may post, also the letter that it was called for. */
void mailbox_deliver(struct mailbox *mb);

#endif
