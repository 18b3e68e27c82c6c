/* verdicts.h - passwords that were checked lately, so that each costs crypt(3) only once in a while.
 *
 * Kept is a keyed hash of name and password with the verdict, never either of them. Good and bad ones have
 * tables of their own: guesses, however many, push nothing out that was right. Each is bounded, and forgets
 * after some minutes; a reload makes new ones.
 *
 * Threads  any; one mutex, held for some instructions.
 */
#ifndef SPILLWAY_HTTP_VERDICTS_H
#define SPILLWAY_HTTP_VERDICTS_H

#include <stdbool.h>
#include <stdint.h>

#define VERDICTS_KEY_SIZE 32

#define VERDICTS_GOOD_MS 600000
#define VERDICTS_BAD_MS 60000

struct verdicts;

enum verdict { VERDICT_UNKNOWN, VERDICT_GOOD, VERDICT_BAD };

/* With a secret of its own. NULL when there is no memory, or no randomness. */
struct verdicts *verdicts_new(void);
void verdicts_free(struct verdicts **verdicts);

/* The key of NAME and PASSWORD. False if it can't be made. */
bool verdicts_key(const struct verdicts *verdicts, const char *name, const char *password,
		  uint8_t key[VERDICTS_KEY_SIZE]);

/* NOW_MS of base/clock.h, mono. */
enum verdict verdicts_find(struct verdicts *verdicts, const uint8_t key[VERDICTS_KEY_SIZE],
			   int64_t now_ms);
void verdicts_keep(struct verdicts *verdicts, const uint8_t key[VERDICTS_KEY_SIZE], bool good,
		   int64_t now_ms);

#endif
