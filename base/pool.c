#include "base/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"

struct pool {
	pthread_mutex_t lock; /* guards first, last, stopping */
	pthread_cond_t work;
	struct pool_job *first, *last;
	bool stopping;
	unsigned nthreads;
	pthread_t threads[];
};

static void *
pool_main(void *arg)
{
	struct pool *pool = arg;

	pthread_setname_np(pthread_self(), "pool");
	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct pool_job *job = pool->first;

		if (job == NULL) {
			if (pool->stopping)
				break;
			pthread_cond_wait(&pool->work, &pool->lock);
			continue;
		}
		pool->first = job->next;
		pthread_mutex_unlock(&pool->lock);
		job->run(job);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

int
pool_start(unsigned threads, struct pool **out)
{
	struct pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));

	if (pool == NULL)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	for (; pool->nthreads < threads; pool->nthreads++) {
		int err = pthread_create(&pool->threads[pool->nthreads], NULL, pool_main, pool);

		if (err != 0) {
			pool_stop(&pool);
			return -err;
		}
	}
	*out = pool;
	return 0;
}

void
pool_submit(struct pool *pool, struct pool_job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&pool->lock);
	CHECK(!pool->stopping);
	if (pool->first == NULL)
		pool->first = job;
	else
		pool->last->next = job;
	pool->last = job;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
}

void
pool_stop(struct pool **poolp)
{
	struct pool *pool = *poolp;

	if (pool == NULL)
		return;
	*poolp = NULL;
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->nthreads; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}
