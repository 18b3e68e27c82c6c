/* catalog_replay_test.c - random logs, against a model that knows no tables; and again from the
 * middle. The seed of a failure is printed. */
#include <stdbool.h>

#include "tests/storage/catalog_rig.h"

enum {
	PATHS = 7,
	VOLUMES = 5,
	LOG_MAX = 160,
	LOG_ROOM = LOG_MAX + 3,
	PIECES_MAX = LOG_ROOM,
	ACTIVE_MAX = 6,
	RUNS = 250
};

/* One version, as whoever wrote the log would describe it. */
struct version {
	uint64_t id, seq;
	unsigned path;
	bool hidden, open;
	unsigned npieces;
	struct extent pieces[PIECES_MAX];
	uint64_t size;
};

struct entry {
	struct record record;
	uint32_t volume;
	uint64_t position;
	uint64_t forget; /* instead of a record: the id of a hidden version that was given up */
};

struct model {
	uint64_t random;
	uint64_t number; /* of the newest id or seq */
	uint64_t position;
	struct version versions[LOG_MAX];
	unsigned nversions;
	struct version *current[PATHS];
	struct version *active[ACTIVE_MAX];
	unsigned nactive;
	struct entry log[LOG_ROOM]; /* a copy may be more than one */
	unsigned nlog;
};

static char paths[PATHS][1025];

static void
make_paths(void)
{
	for (unsigned i = 0; i < PATHS; i++) {
		/* Some long enough to share the cut beginning, one just not. */
		size_t length = i < 3 ? 2 + i : i == 3 ? 480 : 500 + i;

		memset(paths[i], 'x', length);
		paths[i][0] = '/';
		paths[i][length] = '\0';
		if (i > 3)
			paths[i][length - 1] = (char)('z' - i);
	}
}

static unsigned
pick(struct model *m, unsigned n)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(m->random >> 33) % n;
}

/* Appends a record of V to the log; its body counts if it is KEPT. */
static void
log_record(struct model *m, struct version *v, enum record_kind kind, uint32_t length, bool kept)
{
	struct entry *entry = &m->log[m->nlog++];
	uint32_t volume = 1 + (m->nlog - 1) * VOLUMES / LOG_ROOM;

	*entry = (struct entry){
		.record = make_record(kind, v->id, kind == RECORD_DATA || v->hidden ? 0 : v->seq,
				      paths[v->path], v->size, length, v->size + length),
		.volume = volume,
		.position = m->position,
	};
	if (kind == RECORD_OPEN && v->hidden)
		entry->record.flags = RECORD_HIDDEN;
	if (length > 0 && kept)
		v->pieces[v->npieces++] = (struct extent){
			.offset = v->size,
			.position = m->position,
			.hash = entry->record.body_hash,
			.length = length,
			.volume = volume,
		};
	v->size += length;
	m->position += 4096;
}

static struct version *
new_version(struct model *m, unsigned path, bool hidden)
{
	struct version *v = &m->versions[m->nversions++];

	memset(v, 0, sizeof(*v));
	v->id = ++m->number;
	v->seq = hidden ? 0 : ++m->number;
	v->path = path;
	v->hidden = hidden;
	return v;
}

static bool
is_active(const struct model *m, const struct version *v)
{
	for (unsigned i = 0; i < m->nactive; i++)
		if (m->active[i] == v)
			return true;
	return false;
}

static void
put_whole(struct model *m, unsigned path)
{
	struct version *v = new_version(m, path, false);

	log_record(m, v, RECORD_FINAL, pick(m, 3) * 10, true);
	m->current[path] = v;
}

static void
begin(struct model *m, unsigned path, bool hidden)
{
	struct version *v = new_version(m, path, hidden);

	v->open = true;
	log_record(m, v, RECORD_OPEN, pick(m, 3) * 10, true);
	if (!hidden)
		m->current[path] = v;
	m->active[m->nactive++] = v;
}

static void
extend(struct model *m, unsigned path)
{
	struct version *v = m->current[path];

	if (v == NULL || is_active(m, v))
		return;
	v->seq = ++m->number;
	if (pick(m, 2) == 0 && !v->open) {
		log_record(m, v, RECORD_FINAL, 10, true);
		return;
	}
	v->open = true;
	log_record(m, v, RECORD_OPEN, pick(m, 3) * 10, true);
	m->active[m->nactive++] = v;
}

/* The current version is written again under a new id, in one record or in several. */
static void
copy(struct model *m, unsigned path)
{
	struct version *v = m->current[path], *c;
	uint32_t left;

	if (v == NULL || is_active(m, v))
		return;
	c = new_version(m, path, true);
	left = (uint32_t)v->size;
	if (left > 0 && pick(m, 2) == 0) {
		uint32_t part = pick(m, left);

		log_record(m, c, RECORD_OPEN, part, true);
		left -= part;
		if (pick(m, 4) == 0) { /* something newer came, or the bytes are damaged */
			m->log[m->nlog++].forget = c->id;
			return;
		}
		part = pick(m, left);
		if (part > 0)
			log_record(m, c, RECORD_DATA, part, true);
		left -= part;
	}
	c->seq = v->seq;
	c->hidden = false;
	c->open = v->open;
	log_record(m, c, v->open ? RECORD_OPEN : RECORD_FINAL, left, true);
	m->current[path] = c;
}

static void delete (struct model *m, unsigned path)
{
	struct version grave = {.path = path, .seq = ++m->number};

	log_record(m, &grave, RECORD_TOMBSTONE, 0, false);
	m->current[path] = NULL;
}

static void
write_more(struct model *m, struct version *v)
{
	log_record(m, v, RECORD_DATA, 1 + pick(m, 20), v->hidden || m->current[v->path] == v);
}

static void
end(struct model *m, unsigned which)
{
	struct version *v = m->active[which];
	bool shown = v->hidden || m->current[v->path] == v;

	m->active[which] = m->active[--m->nactive];
	if (pick(m, 4) == 0) { /* its sender vanished */
		if (v->hidden)
			m->log[m->nlog++].forget = v->id;
		return;
	}
	if (!shown && v->size == 0)
		return; /* as a whole record it would be a new put */
	if (v->hidden)
		v->seq = ++m->number;
	v->hidden = false;
	log_record(m, v, RECORD_FINAL, pick(m, 3) * 10, shown);
	v->open = false;
	if (shown)
		m->current[v->path] = v;
}

static void
generate(struct model *m, uint64_t seed)
{
	memset(m, 0, sizeof(*m));
	m->random = seed;
	while (m->nlog < LOG_MAX) {
		unsigned path = pick(m, PATHS), what = pick(m, 11);

		if (what == 10) {
			copy(m, path);
		} else if (what >= 5 && m->nactive > 0) {
			unsigned which = pick(m, m->nactive);

			if (what == 9)
				end(m, which);
			else
				write_more(m, m->active[which]);
		} else if (what == 0) {
			put_whole(m, path);
		} else if (what == 1) {
			delete (m, path);
		} else if (what == 2 && m->nactive < ACTIVE_MAX) {
			extend(m, path);
		} else if (what <= 4 && m->nactive < ACTIVE_MAX) {
			begin(m, path, what == 4);
		}
	}
}

/* ---- the catalog's side ---------------------------------------------------------- */

static void
apply_entry(struct rig *rig, const struct entry *entry)
{
	if (entry->forget != 0)
		assert_int_equal(catalog_forget(rig->catalog, entry->forget), 0);
	else
		assert_int_equal(
			catalog_apply(rig->catalog, &entry->record, entry->volume, entry->position),
			0);
}

/* Applies the log from FROM on, in transactions of any size, some of which fail at first. */
static void
apply_log(struct rig *rig, struct model *m, unsigned from, bool forget)
{
	unsigned i = from, first, last;

	while (i < m->nlog) {
		first = i;
		last = first + 1 + pick(m, 20);
		if (last > m->nlog)
			last = m->nlog;
		assert_int_equal(catalog_begin(rig->catalog), 0);
		for (; i < last; i++)
			if (forget || m->log[i].forget == 0)
				apply_entry(rig, &m->log[i]);
		if (pick(m, 5) == 0) {
			catalog_abort(rig->catalog);
			i = first;
		} else {
			assert_int_equal(catalog_commit(rig->catalog), 0);
		}
	}
	assert_int_equal(catalog_begin(rig->catalog), 0);
	assert_int_equal(catalog_forget_hidden(rig->catalog), 0);
	assert_int_equal(catalog_commit(rig->catalog), 0);
}

static void
write_row(FILE *out, unsigned path, const struct catalog_row *row)
{
	fprintf(out, "%u: id %ju seq %ju size %ju open %d\n", path, (uintmax_t)row->id,
		(uintmax_t)row->seq, (uintmax_t)row->name.size, row->open);
	for (size_t i = 0; i < row->nextents; i++)
		fprintf(out, "  %ju+%u at %u:%ju hash %ju\n", (uintmax_t)row->extents[i].offset,
			(unsigned)row->extents[i].length, (unsigned)row->extents[i].volume,
			(uintmax_t)row->extents[i].position, (uintmax_t)row->extents[i].hash);
}

struct dump {
	FILE *out;
	unsigned path;
};

static int
dump_found(void *arg, const struct catalog_row *row)
{
	struct dump *dump = arg;

	write_row(dump->out, dump->path, row);
	return 0;
}

static int
dump_listed(void *arg, const struct catalog_row *row)
{
	struct dump *dump = arg;

	fprintf(dump->out, "listed %.*s size %ju\n", (int)row->name.path_length, row->name.path,
		(uintmax_t)row->name.size);
	return 0;
}

static char *
dump_catalog(struct rig *rig)
{
	char *text = NULL;
	size_t size = 0;
	struct dump dump = {.out = open_memstream(&text, &size)};
	bool more;

	for (dump.path = 0; dump.path < PATHS; dump.path++) {
		int err = catalog_find(rig->catalog, paths[dump.path], dump_found, &dump);

		assert_true(err == 0 || err == -ENOENT);
	}
	assert_int_equal(catalog_list(rig->catalog, "/", NULL, 1000, dump_listed, &dump, &more), 0);
	for (uint32_t volume = 1; volume <= VOLUMES; volume++)
		fprintf(dump.out, "live %u %ju\n", (unsigned)volume, (uintmax_t)live(rig, volume));
	fclose(dump.out);
	return text;
}

static int
compare_paths(const void *a, const void *b)
{
	return strcmp(paths[*(const unsigned *)a], paths[*(const unsigned *)b]);
}

static char *
dump_model(struct model *m)
{
	unsigned order[PATHS];
	uint64_t live_bytes[VOLUMES + 1] = {0};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	for (unsigned path = 0; path < PATHS; path++) {
		const struct version *v = m->current[path];

		order[path] = path;
		if (v == NULL)
			continue;
		write_row(out, path,
			  &(struct catalog_row){
				  .id = v->id,
				  .seq = v->seq,
				  .name.size = v->size,
				  .open = v->open,
				  .extents = v->pieces,
				  .nextents = v->npieces,
			  });
		for (unsigned i = 0; i < v->npieces; i++)
			live_bytes[v->pieces[i].volume] += v->pieces[i].length;
	}
	qsort(order, PATHS, sizeof(order[0]), compare_paths);
	for (unsigned i = 0; i < PATHS; i++)
		if (m->current[order[i]] != NULL)
			fprintf(out, "listed %s size %ju\n", paths[order[i]],
				(uintmax_t)m->current[order[i]]->size);
	for (unsigned volume = 1; volume <= VOLUMES; volume++)
		fprintf(out, "live %u %ju\n", volume, (uintmax_t)live_bytes[volume]);
	fclose(out);
	return text;
}

static void
compare(uint64_t seed, int from, char *got, char *expected)
{
	if (strcmp(got, expected) != 0)
		fail_msg("seed %ju, replayed from %d, has:\n%s\ninstead of:\n%s", (uintmax_t)seed,
			 from, got, expected);
	free(got);
}

static void
any_log_ends_in_the_model_s_rows_and_so_does_its_replay(void **state)
{
	struct model *m = malloc(sizeof(*m));
	struct rig rig;

	(void)state;
	make_paths();
	for (uint64_t seed = 1; seed <= RUNS; seed++) {
		char *expected;

		generate(m, seed);
		expected = dump_model(m);
		rig_open(&rig);
		apply_log(&rig, m, 0, true);
		compare(seed, 0, dump_catalog(&rig), expected);
		for (int again = 0; again < 4; again++) {
			unsigned from = pick(m, m->nlog);

			apply_log(&rig, m, from, false);
			compare(seed, (int)from, dump_catalog(&rig), expected);
		}
		rig_close(&rig);
		free(expected);
	}
	free(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_log_ends_in_the_model_s_rows_and_so_does_its_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
