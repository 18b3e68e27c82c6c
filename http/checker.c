#include "http/checker.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/metrics.h"

#define THREADS 2       /* guesses never take more of the machine than this */
#define WAITING_MAX 256 /* checks; some seconds of work */

struct checker {
	struct pool *pool;
	_Atomic unsigned waiting;
};

static void
run(struct pool_job *job)
{
	struct check *check = (struct check *)((char *)job - offsetof(struct check, job));
	struct settings *settings = check->settings;
	enum verdict verdict = verdicts_find(settings->verdicts, check->key, clock_mono_ms());

	/* Connections of one encoder that come together wait for the first one's check. */
	check->good = verdict == VERDICT_GOOD;
	if (verdict == VERDICT_UNKNOWN && !atomic_load(&check->unwanted)) {
		metric_add(METRIC_password_checks_total, 1);
		check->good = secrets_password(settings->users, check->credentials.user,
					       check->credentials.password);
		verdicts_keep(settings->verdicts, check->key, check->good, clock_mono_ms());
	}
	OPENSSL_cleanse(check->credentials.password, sizeof(check->credentials.password));
	atomic_fetch_sub(&check->checker->waiting, 1);
	mailbox_post(check->mailbox, &check->letter);
}

int
checker_start(struct checker **out)
{
	struct checker *checker = calloc(1, sizeof(*checker));
	int err;

	if (checker == NULL)
		return -ENOMEM;
	atomic_init(&checker->waiting, 0);
	err = pool_start(THREADS, &checker->pool);
	if (err != 0) {
		free(checker);
		return err;
	}
	*out = checker;
	return 0;
}

void
checker_stop(struct checker **checkerp)
{
	struct checker *checker = *checkerp;

	*checkerp = NULL;
	if (checker == NULL)
		return;
	pool_stop(&checker->pool);
	free(checker);
}

int
checker_submit(struct checker *checker, struct check *check)
{
	if (atomic_fetch_add(&checker->waiting, 1) >= WAITING_MAX) {
		atomic_fetch_sub(&checker->waiting, 1);
		return -EAGAIN;
	}
	check->checker = checker;
	check->job.run = run;
	pool_submit(checker->pool, &check->job);
	return 0;
}
