#include "base/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

#define SHARDS 16 /* more threads than this share, which costs time but no counts */

struct shard {
	_Alignas(64) _Atomic int64_t values[METRIC_COUNT];
};

struct description {
	const char *kind, *family, *labels, *help;
};

static const struct description descriptions[METRIC_COUNT] = {
#define METRICS_DESCRIBE(id, kind, family, labels, help) {#kind, family, labels, help},
	METRICS(METRICS_DESCRIBE)
#undef METRICS_DESCRIBE
};

/* The only writable statics of base: counting must be possible everywhere. */
static struct shard shards[SHARDS];
static _Atomic unsigned threads_seen;

static struct shard *
own_shard(void)
{
	static _Thread_local struct shard *own;

	if (own == NULL)
		own = &shards[atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed) %
			      SHARDS];
	return own;
}

void
metric_add(enum metric metric, int64_t n)
{
	atomic_fetch_add_explicit(&own_shard()->values[metric], n, memory_order_relaxed);
}

int64_t
metric_value(enum metric metric)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < SHARDS; i++)
		sum += atomic_load_explicit(&shards[i].values[metric], memory_order_relaxed);
	return sum;
}

void
metrics_print(void (*write)(void *arg, const char *text, size_t length), void *arg)
{
	const char *family = "";
	char text[512];

	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		const struct description *d = &descriptions[i];
		int n;

		if (strcmp(d->family, family) != 0) {
			family = d->family;
			n = snprintf(text, sizeof(text), "# HELP %s %s\n# TYPE %s %s\n", family,
				     d->help, family, d->kind);
			CHECK((size_t)n < sizeof(text)); /* the table's own strings */
			write(arg, text, (size_t)n);
		}
		n = snprintf(text, sizeof(text), "%s%s%s%s %" PRId64 "\n", family,
			     *d->labels != '\0' ? "{" : "", d->labels,
			     *d->labels != '\0' ? "}" : "", metric_value((enum metric)i));
		CHECK((size_t)n < sizeof(text));
		write(arg, text, (size_t)n);
	}
}
