/* pool.h - a few threads for whatever may wait for the disk.
 *
 * Threads  any thread submits; jobs run in order of submission, several at once.
 * Owns     nothing: a job is embedded in what it is about. A job that has
 *          something to report posts a letter to its client's mailbox.
 */
#ifndef SPILLWAY_BASE_POOL_H
#define SPILLWAY_BASE_POOL_H

struct pool;

struct pool_job {
	struct pool_job *next;
	void (*run)(struct pool_job *);
};

/* Starts THREADS threads. 0 or -errno. */
int pool_start(unsigned threads, struct pool **out);

/* Queues JOB, whose run function is set; it belongs to the pool until run is called. */
void pool_submit(struct pool *pool, struct pool_job *job);

/* Runs what is queued, joins the threads, frees the pool. Accepts NULL. */
void pool_stop(struct pool **pool);

#endif
