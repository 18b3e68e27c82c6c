#include "tests/storage/fixture.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/listing.h"
#include "storage/store_internal.h"

#define PERIOD 1000003 /* a prime: no piece size repeats it */

static unsigned char pattern[PERIOD];

static void
make_pattern(void)
{
	uint64_t x = 88172645463325252u;

	for (size_t i = 0; i < PERIOD; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		pattern[i] = (unsigned char)(x >> 32);
	}
}

int
fixture_setup_closed(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (pattern[0] == 0 && pattern[1] == 0)
		make_pattern();
	strcpy(f->dir, P_tmpdir "/spillway-store-test-XXXXXX");
	if (mkdtemp(f->dir) == NULL || mailbox_init(&f->mailbox) != 0)
		return -1;
	snprintf(f->data, sizeof(f->data), "%s/data", f->dir);
	store_config_defaults(&f->config);
	f->config.sync = false;
	f->config.resume_window_ms = 0; /* who vanishes is gone, unless a test says otherwise */
	f->config.volume_size = (uint64_t)32 << 20;
	f->config.workers = 1;
	f->boxes[0] = &f->mailbox;
	*state = f;
	return 0;
}

int
fixture_setup(void **state)
{
	int rc = fixture_setup_closed(state);

	if (rc == 0)
		fixture_open(*state);
	return rc;
}

static void
remove_tree(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char name[512];

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (unlink(name) != 0)
			remove_tree(name);
	}
	if (dir != NULL)
		closedir(dir);
	rmdir(path);
}

int
fixture_teardown(void **state)
{
	struct fixture *f = *state;

	if (f->store != NULL)
		fixture_close(f);
	mailbox_close(&f->mailbox);
	remove_tree(f->dir);
	free(f);
	return 0;
}

void
fixture_open(struct fixture *f)
{
	char why[512] = "";

	f->config.data_dir = f->data;
	f->config.mailboxes = f->boxes;
	if (store_open(&f->config, why, sizeof(why), &f->store) != 0)
		fail_msg("%s", why);
}

void
fixture_close(struct fixture *f)
{
	fixture_pump(f, 0);
	store_close(&f->store);
	fixture_pump(f, 0);
}

void
fixture_reopen(struct fixture *f)
{
	fixture_close(f);
	fixture_open(f);
}

void
fixture_remove(struct fixture *f, const char *file)
{
	char path[256];

	assert_null(f->store);
	snprintf(path, sizeof(path), "%s/%s", f->data, file);
	assert_int_equal(unlink(path), 0);
}

void
fixture_came(struct letter *letter)
{
	letter->deliver = NULL;
}

void
fixture_pump(struct fixture *f, int ms)
{
	struct pollfd pfd = {.fd = f->mailbox.fd, .events = POLLIN};

	if (poll(&pfd, 1, ms) > 0)
		mailbox_deliver(&f->mailbox);
}

void
fixture_await(struct fixture *f, struct letter *letter)
{
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;

	while (letter->deliver != NULL) {
		if (clock_mono_ms() > end)
			fail_msg("a letter did not come");
		fixture_pump(f, 100);
	}
}

void
fixture_bytes(unsigned seed, uint64_t offset, void *out, size_t length)
{
	size_t at = (size_t)((seed * (uint64_t)7919 + offset) % PERIOD);
	unsigned char *to = out;

	while (length > 0) {
		size_t n = length < PERIOD - at ? length : PERIOD - at;

		memcpy(to, pattern + at, n);
		to += n;
		length -= n;
		at = 0;
	}
}

bool
fixture_same(unsigned seed, uint64_t offset, const void *bytes, size_t length)
{
	size_t at = (size_t)((seed * (uint64_t)7919 + offset) % PERIOD);
	const unsigned char *from = bytes;

	while (length > 0) {
		size_t n = length < PERIOD - at ? length : PERIOD - at;

		if (memcmp(from, pattern + at, n) != 0)
			return false;
		from += n;
		length -= n;
		at = 0;
	}
	return true;
}

static int
load(struct fixture *f, const char *path, bool to_extend, struct object **out)
{
	struct store_load request = {
		.store = f->store,
		.path = path,
		.to_extend = to_extend,
		.mailbox = &f->mailbox,
		.letter.deliver = fixture_came,
	};

	store_load(&request);
	fixture_await(f, &request.letter);
	if (request.result == 0)
		*out = request.object;
	else
		assert_null(request.object);
	return request.result;
}

int
fixture_try_begin(struct fixture *f, const char *path, enum publish publish, enum existing existing,
		  struct writer **out)
{
	struct writer_config config = {
		.path = path,
		.content_type = "video/mp4",
		.publish = publish,
		.existing = existing,
	};
	int err = writer_open(f->store, &config, out);

	if (err == -EAGAIN) {
		struct object *object = NULL;

		err = load(f, path, existing == EXISTING_APPEND, &object);
		config.absent = err == -ENOENT;
		if (err == 0 || err == -ENOENT)
			err = writer_open(f->store, &config, out);
		object_put(&object);
	}
	return err;
}

struct writer *
fixture_begin(struct fixture *f, const char *path, enum publish publish)
{
	struct writer *writer = NULL;

	assert_int_equal(fixture_try_begin(f, path, publish, EXISTING_REPLACE, &writer), 0);
	return writer;
}

static void
await_room(struct fixture *f, struct writer *writer)
{
	struct writer_room room = {.mailbox = &f->mailbox, .letter.deliver = fixture_came};

	writer_await_room(writer, &room);
	fixture_await(f, &room.letter);
}

void
fixture_write(struct fixture *f, struct writer *writer, unsigned seed, uint64_t from,
	      uint64_t length)
{
	while (length > 0) {
		void *space;
		size_t size = writer_reserve(writer, &space);

		if (size == 0) {
			if (writer_cancelled(writer))
				return;
			await_room(f, writer);
			continue;
		}
		if (size > length)
			size = (size_t)length;
		fixture_bytes(seed, from, space, size);
		writer_commit(writer, size);
		from += size;
		length -= size;
	}
}

void
fixture_finish(struct fixture *f, struct writer **writer, struct writer_receipt *receipt)
{
	*receipt = (struct writer_receipt){
		.mailbox = &f->mailbox,
		.letter.deliver = fixture_came,
	};
	writer_finish(writer, receipt);
	assert_null(*writer);
}

int
fixture_answer(struct fixture *f, struct writer_receipt *receipt)
{
	fixture_await(f, &receipt->letter);
	if (receipt->cancelled)
		return 410;
	if (receipt->result != 0)
		return receipt->result;
	return receipt->created ? 201 : 204;
}

int
fixture_put(struct fixture *f, const char *path, enum publish publish, unsigned seed,
	    uint64_t length)
{
	struct writer_receipt receipt;
	struct writer *writer;
	int err = fixture_try_begin(f, path, publish, EXISTING_REPLACE, &writer);

	if (err != 0)
		return err;
	fixture_write(f, writer, seed, 0, length);
	fixture_finish(f, &writer, &receipt);
	return fixture_answer(f, &receipt);
}

int
fixture_append(struct fixture *f, const char *path, unsigned seed, uint64_t from, uint64_t length)
{
	struct writer_receipt receipt;
	struct writer *writer;
	int err = fixture_try_begin(f, path, PUBLISH_LIVE, EXISTING_APPEND, &writer);

	if (err != 0)
		return err;
	assert_int_equal(object_status(writer_object(writer)).length, from);
	fixture_write(f, writer, seed, from, length);
	fixture_finish(f, &writer, &receipt);
	return fixture_answer(f, &receipt);
}

int
fixture_find(struct fixture *f, const char *path, struct object **out)
{
	int err = store_find(f->store, path, out);

	return err == -EAGAIN ? load(f, path, false, out) : err;
}

int64_t
fixture_read(struct fixture *f, struct object *object, struct object_cursor *cursor,
	     uint64_t offset, void *out, size_t max)
{
	struct object_view view;
	int err;

	while ((err = object_view(object, cursor, offset, max, &view)) == -EINPROGRESS) {
		struct object_warm warm = {
			.object = object,
			.offset = offset,
			.mailbox = &f->mailbox,
			.letter.deliver = fixture_came,
		};

		object_warm(&warm);
		fixture_await(f, &warm.letter);
		if (warm.result != 0)
			return warm.result;
	}
	if (err != 0)
		return err;
	memcpy(out, view.data, view.length);
	object_view_release(&view);
	return (int64_t)view.length;
}

bool
fixture_holds(struct fixture *f, struct object *object, unsigned seed, uint64_t length)
{
	static unsigned char buffer[1 << 20];
	struct object_cursor cursor = {0};
	uint64_t offset = 0;

	while (offset < length) {
		int64_t n = fixture_read(f, object, &cursor, offset, buffer, sizeof(buffer));

		if (n <= 0 || !fixture_same(seed, offset, buffer, (size_t)n))
			break;
		offset += (uint64_t)n;
	}
	object_cursor_reset(&cursor);
	return offset == length && object_status(object).length == length;
}

static const char *
state_name(enum object_state state)
{
	switch (state) {
	case OBJECT_LIVE:
		return "live";
	case OBJECT_COMPLETE:
		return "complete";
	case OBJECT_INCOMPLETE:
		return "incomplete";
	case OBJECT_GONE:
		return "gone";
	}
	return "?";
}

const char *
fixture_wanted(enum object_state state, uint64_t length)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s %llu", state_name(state),
		 state == OBJECT_GONE ? 0 : (unsigned long long)length);
	return text;
}

const char *
fixture_describe(struct fixture *f, const char *path, unsigned seed, uint64_t length)
{
	static char text[128];
	struct object *object = NULL;
	struct object_status status;
	int err = fixture_find(f, path, &object);

	if (err == -ENOENT)
		return "gone 0";
	if (err != 0) {
		snprintf(text, sizeof(text), "%s", strerror(-err));
		return text;
	}
	status = object_status(object);
	snprintf(text, sizeof(text), "%s %llu%s", state_name(status.state),
		 (unsigned long long)status.length,
		 status.length != length || fixture_holds(f, object, seed, length)
			 ? ""
			 : " with wrong bytes");
	object_put(&object);
	return text;
}

void
fixture_begin_delete(struct fixture *f, const char *path, struct store_delete *del)
{
	struct object *object = NULL;

	assert_int_equal(fixture_find(f, path, &object), 0);
	*del = (struct store_delete){.mailbox = &f->mailbox, .letter.deliver = fixture_came};
	assert_int_equal(store_delete(f->store, object, del), 0);
	object_put(&object);
}

int
fixture_delete(struct fixture *f, const char *path)
{
	struct store_delete del = {.mailbox = &f->mailbox, .letter.deliver = fixture_came};
	struct object *object = NULL;
	int err = fixture_find(f, path, &object);

	if (err == 0)
		err = store_delete(f->store, object, &del);
	object_put(&object);
	if (err != 0)
		return err;
	fixture_await(f, &del.letter);
	return del.result;
}

void
fixture_settle(struct fixture *f)
{
	int64_t end = clock_mono_ms() + FIXTURE_PATIENCE_MS;

	for (unsigned i = 0; i < TABLE_SHARDS; i++) {
		struct table_shard *shard = &f->store->table.shards[i];
		bool settled;

		do {
			pthread_mutex_lock(&shard->lock);
			settled = TAILQ_EMPTY(&shard->changed);
			pthread_mutex_unlock(&shard->lock);
			if (!settled) {
				assert_true(clock_mono_ms() < end);
				usleep(2000);
			}
		} while (!settled);
	}
}

unsigned
fixture_resident(struct fixture *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < TABLE_SHARDS; i++) {
		struct table_shard *shard = &f->store->table.shards[i];

		pthread_mutex_lock(&shard->lock);
		n += HASH_COUNT(shard->entries);
		pthread_mutex_unlock(&shard->lock);
	}
	return n;
}

char *
fixture_list(struct fixture *f, const char *prefix)
{
	static struct listing_page page;
	struct listing *listing;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(listing_open(f->store, prefix, NULL, &listing), 0);
	do {
		page.mailbox = &f->mailbox;
		page.letter.deliver = fixture_came;
		listing_next(listing, &page);
		fixture_await(f, &page.letter);
		assert_int_equal(page.result, 0);
		assert_true(page.count > 0 || page.last);
		for (size_t i = 0; i < page.count; i++)
			fprintf(out, "%s %llu %s %s\n", page.rows[i].path,
				(unsigned long long)page.rows[i].size,
				state_name(page.rows[i].state), page.rows[i].type);
	} while (!page.last);
	listing_close(&listing);
	fclose(out);
	return text;
}

const char *
fixture_numbered(unsigned i)
{
	static char path[32];

	snprintf(path, sizeof(path), "/o/%05u", i);
	return path;
}

uint64_t
fixture_disk_used(struct fixture *f)
{
	size_t count;

	return volumes_bytes(&f->store->volumes, &count);
}
