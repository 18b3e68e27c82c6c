#include "base/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

#define SHARDS 16 /* more threads than this share, which costs time but no counts */

/* Upper ends of the buckets; one more is open. */
static const int64_t bounds_us[] = {100,     250,     500,     1000,    2500,   5000,
				    10000,   25000,   50000,   100000,  250000, 500000,
				    1000000, 2500000, 5000000, 10000000};

#define BOUNDS (sizeof(bounds_us) / sizeof(bounds_us[0]))

struct times {
	_Atomic int64_t counts[BOUNDS + 1];
	_Atomic int64_t sum_us;
};

struct shard {
	_Alignas(64) _Atomic int64_t values[METRIC_COUNT];
	struct times times[HISTOGRAM_COUNT];
};

struct description {
	const char *kind, *family, *labels, *help;
};

static const struct description descriptions[METRIC_COUNT] = {
#define METRICS_DESCRIBE(id, kind, family, labels, help) {#kind, family, labels, help},
	METRICS(METRICS_DESCRIBE)
#undef METRICS_DESCRIBE
};

static const struct {
	const char *family, *help;
} histograms[HISTOGRAM_COUNT] = {
#define HISTOGRAMS_DESCRIBE(id, family, help) {family, help},
	HISTOGRAMS(HISTOGRAMS_DESCRIBE)
#undef HISTOGRAMS_DESCRIBE
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

void
metric_set(enum metric metric, int64_t value)
{
	metric_add(metric, value - metric_value(metric));
}

void
metric_observe(enum histogram histogram, int64_t us)
{
	struct times *times = &own_shard()->times[histogram];
	size_t i = 0;

	while (i < BOUNDS && us > bounds_us[i])
		i++;
	atomic_fetch_add_explicit(&times->counts[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&times->sum_us, us, memory_order_relaxed);
}

static int64_t
bucket(enum histogram histogram, size_t i)
{
	int64_t sum = 0;

	for (unsigned s = 0; s < SHARDS; s++)
		sum += atomic_load_explicit(&shards[s].times[histogram].counts[i],
					    memory_order_relaxed);
	return sum;
}

int64_t
metric_observations(enum histogram histogram)
{
	int64_t sum = 0;

	for (size_t i = 0; i <= BOUNDS; i++)
		sum += bucket(histogram, i);
	return sum;
}

_Static_assert(METRIC_BUCKETS == BOUNDS + 1, "as the header says");

void
metric_buckets(enum histogram histogram, int64_t counts[METRIC_BUCKETS])
{
	for (size_t i = 0; i < METRIC_BUCKETS; i++)
		counts[i] = bucket(histogram, i);
}

int64_t
metric_quantile(const int64_t counts[METRIC_BUCKETS], double q)
{
	double rank = 0;

	for (size_t i = 0; i < METRIC_BUCKETS; i++)
		rank += (double)counts[i];
	rank *= q;
	for (size_t i = 0; i < BOUNDS; i++) {
		int64_t low = i > 0 ? bounds_us[i - 1] : 0;

		if (counts[i] > 0 && rank <= (double)counts[i])
			return low +
			       (int64_t)((double)(bounds_us[i] - low) * rank / (double)counts[i]);
		rank -= (double)counts[i];
	}
	return rank > 0 ? bounds_us[BOUNDS - 1] : 0;
}

int64_t
metric_rate(int64_t value, int64_t *before, int64_t ms)
{
	int64_t grown = value - *before;

	*before = value;
	return grown * 1000 / ms;
}

int64_t
metric_value(enum metric metric)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < SHARDS; i++)
		sum += atomic_load_explicit(&shards[i].values[metric], memory_order_relaxed);
	return sum;
}

struct output {
	void (*write)(void *arg, const char *text, size_t length);
	void *arg;
};

static void print(const struct output *out, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void
print(const struct output *out, const char *format, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	CHECK((size_t)n < sizeof(text)); /* the tables' own strings */
	out->write(out->arg, text, (size_t)n);
}

static void
print_head(const struct output *out, const char *family, const char *kind, const char *help)
{
	print(out, "# HELP %s %s\n# TYPE %s %s\n", family, help, family, kind);
}

static void
print_values(const struct output *out)
{
	const char *family = "";

	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		const struct description *d = &descriptions[i];
		int64_t value = metric_value((enum metric)i);

		if (strcmp(d->family, family) != 0) {
			family = d->family;
			print_head(out, family, d->kind, d->help);
		}
		if (*d->labels == '\0')
			print(out, "%s %" PRId64 "\n", family, value);
		else if (value != 0 || strstr(d->labels, "code=") == NULL)
			print(out, "%s{%s} %" PRId64 "\n", family, d->labels, value);
	}
}

static void
print_histogram(const struct output *out, enum histogram histogram)
{
	const char *family = histograms[histogram].family;
	int64_t count = 0, sum_us = 0;

	print_head(out, family, "histogram", histograms[histogram].help);
	for (size_t i = 0; i < BOUNDS; i++) {
		count += bucket(histogram, i);
		print(out, "%s_bucket{le=\"%g\"} %" PRId64 "\n", family, (double)bounds_us[i] / 1e6,
		      count);
	}
	count += bucket(histogram, BOUNDS);
	for (unsigned s = 0; s < SHARDS; s++)
		sum_us += atomic_load_explicit(&shards[s].times[histogram].sum_us,
					       memory_order_relaxed);
	print(out, "%s_bucket{le=\"+Inf\"} %" PRId64 "\n%s_sum %.6f\n%s_count %" PRId64 "\n",
	      family, count, family, (double)sum_us / 1e6, family, count);
}

void
metrics_print(void (*write)(void *arg, const char *text, size_t length), void *arg)
{
	const struct output out = {write, arg};

	print_values(&out);
	for (unsigned i = 0; i < HISTOGRAM_COUNT; i++)
		print_histogram(&out, (enum histogram)i);
}
