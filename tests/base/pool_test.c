/* pool_test.c - jobs run once each, several at a time, and all before the stop. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/pool.h"

#define JOBS 1000

struct job {
	struct pool_job job; /* first, so that a pool_job is its job */
	unsigned number;
	_Atomic unsigned *done;
	unsigned *order;
	pthread_barrier_t *meet;
};

static void
note_order(struct pool_job *pool_job)
{
	struct job *job = (struct job *)pool_job;

	job->order[atomic_fetch_add(job->done, 1)] = job->number;
}

static void
meet_others(struct pool_job *pool_job)
{
	struct job *job = (struct job *)pool_job;

	pthread_barrier_wait(job->meet);
	atomic_fetch_add(job->done, 1);
}

static void
one_thread_runs_jobs_in_the_order_of_submission(void **state)
{
	static struct job jobs[JOBS];
	static unsigned order[JOBS];
	_Atomic unsigned done = 0;
	struct pool *pool = NULL;

	(void)state;
	assert_int_equal(pool_start(1, &pool), 0);
	for (unsigned i = 0; i < JOBS; i++) {
		jobs[i] = (struct job){
			.job.run = note_order, .number = i, .done = &done, .order = order};
		pool_submit(pool, &jobs[i].job);
	}
	pool_stop(&pool);
	assert_null(pool);
	assert_int_equal(done, JOBS); /* what was queued ran before the stop returned */
	for (unsigned i = 0; i < JOBS; i++)
		assert_int_equal(order[i], i);
}

static void
as_many_jobs_as_threads_run_at_once(void **state)
{
	struct job jobs[4];
	_Atomic unsigned done = 0;
	pthread_barrier_t meet;
	struct pool *pool = NULL;

	(void)state;
	assert_int_equal(pthread_barrier_init(&meet, NULL, 4), 0);
	assert_int_equal(pool_start(4, &pool), 0);
	/* None of them can end before all four have begun. */
	for (unsigned i = 0; i < 4; i++) {
		jobs[i] = (struct job){.job.run = meet_others, .done = &done, .meet = &meet};
		pool_submit(pool, &jobs[i].job);
	}
	pool_stop(&pool);
	assert_int_equal(done, 4);
	pthread_barrier_destroy(&meet);
}

static void
stopping_nothing_is_allowed(void **state)
{
	struct pool *pool = NULL;

	(void)state;
	pool_stop(&pool);
	assert_int_equal(pool_start(2, &pool), 0);
	pool_stop(&pool);
	assert_null(pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread_runs_jobs_in_the_order_of_submission),
		cmocka_unit_test(as_many_jobs_as_threads_run_at_once),
		cmocka_unit_test(stopping_nothing_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
