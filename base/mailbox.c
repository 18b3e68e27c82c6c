#include "base/mailbox.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"

int
mailbox_init(struct mailbox *mb)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	atomic_init(&mb->head, NULL);
	mb->fd = fd;
	return 0;
}

void
mailbox_close(struct mailbox *mb)
{
	CHECK(atomic_load(&mb->head) == NULL);
	close(mb->fd);
	mb->fd = -1;
}

void
mailbox_post(struct mailbox *mb, struct letter *letter)
{
	struct letter *head = atomic_load_explicit(&mb->head, memory_order_relaxed);
	const uint64_t one = 1;

	do
		letter->next = head;
	while (!atomic_compare_exchange_weak_explicit(&mb->head, &head, letter,
						      memory_order_release, memory_order_relaxed));
	if (head == NULL) {
		/* EAGAIN means 2^64-2 unread wake-ups: the owner is awake enough. */
		ssize_t n = write(mb->fd, &one, sizeof(one));
		(void)n;
	}
}

void
mailbox_deliver(struct mailbox *mb)
{
	struct letter *stack, *queue = NULL;
	uint64_t count;

	/* The eventfd is emptied before the box: a letter posted in between is
	 * taken now and its wake-up finds the box empty, never the reverse. */
	ssize_t n = read(mb->fd, &count, sizeof(count));
	(void)n;
	stack = atomic_exchange_explicit(&mb->head, NULL, memory_order_acquire);
	while (stack != NULL) {
		struct letter *next = stack->next;

		stack->next = queue;
		queue = stack;
		stack = next;
	}
	while (queue != NULL) {
		struct letter *next = queue->next;

		queue->deliver(queue);
		queue = next;
	}
}
