/* mailbox_test.c - letters arrive once, in order, and wake their owner. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mailbox.h"

struct note {
	struct letter letter; /* first, so that a letter is its note */
	unsigned sender, number;
	unsigned *log;
	unsigned *logged;
	struct mailbox *again; /* posted once more from deliver */
};

static void
note_deliver(struct letter *letter)
{
	struct note *note = (struct note *)letter;

	note->log[(*note->logged)++] = note->number;
	if (note->again != NULL) {
		struct mailbox *mb = note->again;

		note->again = NULL;
		mailbox_post(mb, letter);
	}
}

static int
readable(const struct mailbox *mb, int timeout_ms)
{
	struct pollfd pfd = {.fd = mb->fd, .events = POLLIN};

	return poll(&pfd, 1, timeout_ms);
}

static void
letters_arrive_in_the_order_of_posting(void **state)
{
	struct note notes[5];
	unsigned log[5], logged = 0;
	struct mailbox mb;

	(void)state;
	assert_int_equal(mailbox_init(&mb), 0);
	assert_int_equal(readable(&mb, 0), 0);
	for (unsigned i = 0; i < 5; i++) {
		notes[i] = (struct note){
			.letter.deliver = note_deliver, .number = i, .log = log, .logged = &logged};
		mailbox_post(&mb, &notes[i].letter);
	}
	assert_int_equal(readable(&mb, 0), 1);
	mailbox_deliver(&mb);
	assert_int_equal(logged, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(log[i], i);
	assert_int_equal(readable(&mb, 0), 0);
	mailbox_deliver(&mb);
	assert_int_equal(logged, 5);
	mailbox_close(&mb);
}

static void
a_letter_may_be_posted_again_while_it_is_delivered(void **state)
{
	unsigned log[2], logged = 0;
	struct mailbox mb;
	struct note note = {.letter.deliver = note_deliver,
			    .number = 7,
			    .log = log,
			    .logged = &logged,
			    .again = &mb};

	(void)state;
	assert_int_equal(mailbox_init(&mb), 0);
	mailbox_post(&mb, &note.letter);
	mailbox_deliver(&mb);
	assert_int_equal(logged, 1); /* the second is a delivery of its own */
	assert_int_equal(readable(&mb, 0), 1);
	mailbox_deliver(&mb);
	assert_int_equal(logged, 2);
	mailbox_close(&mb);
}

#define SENDERS 4
#define LETTERS 20000

struct sender {
	struct mailbox *mb;
	struct note notes[LETTERS];
};

struct tally {
	unsigned next[SENDERS]; /* the number that must come next from each */
	unsigned total, wrong;
};

static struct tally tally;

static void
tally_deliver(struct letter *letter)
{
	struct note *note = (struct note *)letter;

	if (tally.next[note->sender]++ != note->number)
		tally.wrong++;
	tally.total++;
}

static void *
send_all(void *arg)
{
	struct sender *sender = arg;

	for (unsigned i = 0; i < LETTERS; i++)
		mailbox_post(sender->mb, &sender->notes[i].letter);
	return NULL;
}

static void
no_letter_and_no_wake_up_is_lost_between_threads(void **state)
{
	static struct sender senders[SENDERS];
	pthread_t threads[SENDERS];
	struct mailbox mb;

	(void)state;
	assert_int_equal(mailbox_init(&mb), 0);
	for (unsigned s = 0; s < SENDERS; s++) {
		senders[s].mb = &mb;
		for (unsigned i = 0; i < LETTERS; i++) {
			senders[s].notes[i].letter.deliver = tally_deliver;
			senders[s].notes[i].sender = s;
			senders[s].notes[i].number = i;
		}
	}
	for (unsigned s = 0; s < SENDERS; s++)
		assert_int_equal(pthread_create(&threads[s], NULL, send_all, &senders[s]), 0);
	/* Only ever woken by the eventfd: a lost wake-up ends the poll by its timeout. */
	while (tally.total < SENDERS * LETTERS) {
		assert_int_equal(readable(&mb, 20000), 1);
		mailbox_deliver(&mb);
	}
	for (unsigned s = 0; s < SENDERS; s++)
		pthread_join(threads[s], NULL);
	assert_int_equal(tally.wrong, 0);
	mailbox_deliver(&mb);
	assert_int_equal(tally.total, SENDERS * LETTERS);
	mailbox_close(&mb);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_arrive_in_the_order_of_posting),
		cmocka_unit_test(a_letter_may_be_posted_again_while_it_is_delivered),
		cmocka_unit_test(no_letter_and_no_wake_up_is_lost_between_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
