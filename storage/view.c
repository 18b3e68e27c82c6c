/* view.c - reading a version: from its tail while that is there, from its volumes otherwise. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/metrics.h"
#include "storage/object_internal.h"
#include "storage/store_internal.h"

#define PAGE 4096
#define VIEW_MAX ((size_t)1 << 20)  /* of one view, and so of what mincore is asked for */
#define WARM_SPAN ((size_t)1 << 18) /* read ahead of a reader */

/* The index of the extent that holds OFFSET, or nextents; HINT is tried first. Locked. */
static unsigned
extent_find(const struct object *object, uint64_t offset, unsigned hint)
{
	unsigned low = 0, high = object->nextents;

	if (hint < high && offset >= object->extents[hint].at.offset)
		low = hint; /* readers go forwards: mostly the hint or its neighbour */
	while (low < high) {
		unsigned middle = low == hint ? low : low + (high - low) / 2;
		const struct extent *at = &object->extents[middle].at;

		if (offset >= at->offset + at->length)
			low = middle + 1;
		else if (offset < at->offset)
			high = middle;
		else
			return middle;
	}
	return object->nextents;
}

/* Bytes from DATA on, at most LENGTH, whose pages are in memory (invariant 9). */
static size_t
resident(const unsigned char *data, size_t length)
{
	unsigned char pages[VIEW_MAX / PAGE + 1];
	size_t lead = (uintptr_t)data % PAGE, n = (lead + length + PAGE - 1) / PAGE, i = 0;

	if (mincore((void *)(data - lead), lead + length, pages) != 0)
		/* Who may not ask would warm them for ever: see object_knows_residency. */
		return errno == EPERM || errno == ENOSYS ? length : 0;
	while (i < n && (pages[i] & 1) != 0)
		i++;
	if (i == 0)
		return 0;
	return i == n ? length : i * PAGE - lead;
}

/* The same for the bytes of STORED from SKIP on. What was in memory as a whole within this second still is: it
 * is mapped and was just used, so it goes last; and mincore is a tenth of a small GET. */
static size_t
resident_part(struct stored_extent *stored, uint64_t skip, const unsigned char *data, size_t length,
	      int64_t now_s)
{
	if (stored->resident_s == (uint32_t)now_s)
		return length;
	length = resident(data, length);
	if (skip == 0 && length == stored->at.length)
		stored->resident_s = (uint32_t)now_s;
	return length;
}

bool
object_knows_residency(void)
{
	static const unsigned char data[1];
	unsigned char page;

	return mincore((void *)((uintptr_t)data & ~(uintptr_t)(PAGE - 1)), 1, &page) == 0 ||
	       (errno != EPERM && errno != ENOSYS);
}

/* Lends bytes of the volume that STORED, of OBJECT, lies in. */
static int
view_extent(struct object *object, struct stored_extent *stored, uint64_t offset, size_t max,
	    struct object_view *view)
{
	uint64_t skip = offset - stored->at.offset;
	uint64_t length = stored->at.length - skip;
	const unsigned char *data;
	int64_t now_s;

	if (stored->trust == EXTENT_DAMAGED)
		return -EIO;
	if (stored->trust == EXTENT_UNVERIFIED)
		return -EINPROGRESS;
	data = volume_map(stored->volume, stored->at.position + skip);
	if (data == NULL)
		return -EIO;
	if (length > max)
		length = max;
	now_s = volume_touch(stored->volume);
	*view = (struct object_view){
		.data = data,
		.length = resident_part(stored, skip, data, (size_t)length, now_s),
	};
	if (view->length == 0)
		return -EINPROGRESS;
	if (atomic_load_explicit(&object->read_s, memory_order_relaxed) != now_s)
		atomic_store_explicit(&object->read_s, now_s, memory_order_relaxed);
	view->volume = volume_get(stored->volume);
	return 0;
}

static void
view_block(struct object *object, struct tail_block *block, uint64_t offset, size_t max,
	   struct object_view *view)
{
	unsigned char *data;

	view->length = tail_bytes(&object->tail, block, offset, max, &data);
	view->data = data;
	view->block = tail_block_get(block);
	view->volume = NULL;
}

int
object_view(struct object *object, struct object_cursor *cursor, uint64_t offset, size_t max,
	    struct object_view *view)
{
	struct tail *tail = &object->tail;
	struct tail_block *block, *old = cursor->block;
	int err = 0;

	if (offset >= atomic_load(&tail->length))
		return -EAGAIN;
	if (max > VIEW_MAX)
		max = VIEW_MAX;
	/* The live edge: the same block as last time, without a lock. */
	if (old != NULL && (offset - tail->base) / TAIL_BLOCK_SIZE == old->index) {
		view_block(object, old, offset, max, view);
		return 0;
	}
	pthread_mutex_lock(&object->lock);
	block = tail_find(tail, offset, old);
	if (block != NULL) {
		cursor->block = tail_block_get(block);
		view_block(object, block, offset, max, view);
	} else {
		unsigned i = extent_find(object, offset, cursor->extent);

		cursor->block = NULL;
		cursor->extent = i;
		err = i < object->nextents
			      ? view_extent(object, &object->extents[i], offset, max, view)
			      : -EIO;
	}
	pthread_mutex_unlock(&object->lock);
	if (old != NULL)
		tail_block_put(old);
	return err;
}

int
object_view_file(const struct object_view *view, off_t *offset)
{
	if (view->volume == NULL)
		return -1;
	*offset = (off_t)volume_offset(view->volume, view->data);
	return volume_fd(view->volume);
}

void
object_view_release(struct object_view *view)
{
	if (view->block != NULL)
		tail_block_put(view->block);
	view->block = NULL;
	volume_put(&view->volume);
}

void
object_cursor_reset(struct object_cursor *cursor)
{
	if (cursor->block != NULL)
		tail_block_put(cursor->block);
	cursor->block = NULL;
}

/* Reads all of an extent and compares its hash. */
static int
verify(const struct stored_extent *stored)
{
	unsigned char *bytes = malloc(stored->at.length);
	int err;

	if (bytes == NULL)
		return -ENOMEM;
	err = volume_read(stored->volume, stored->at.position, bytes, stored->at.length);
	if (err == 0 && XXH3_64bits(bytes, stored->at.length) != stored->at.hash)
		err = -EBADMSG;
	free(bytes);
	return err;
}

/* Reads what a reader at OFFSET will want next, so that it is in the page cache. */
static int
read_ahead(const struct stored_extent *stored, uint64_t offset)
{
	unsigned char *bytes = malloc(WARM_SPAN);
	uint64_t skip = offset - stored->at.offset;
	uint64_t left = stored->at.length - skip;
	int err;

	if (bytes == NULL)
		return -ENOMEM;
	err = volume_read(stored->volume, stored->at.position + skip, bytes,
			  left < WARM_SPAN ? (size_t)left : WARM_SPAN);
	free(bytes);
	return err;
}

static int
warm(struct object *object, uint64_t offset)
{
	struct stored_extent stored;
	bool found;
	unsigned i;
	int err;

	pthread_mutex_lock(&object->lock);
	i = extent_find(object, offset, 0);
	found = i < object->nextents;
	if (found) {
		stored = object->extents[i];
		volume_get(stored.volume);
	}
	pthread_mutex_unlock(&object->lock);
	if (!found)
		return 0; /* still in the tail */
	if (stored.trust == EXTENT_DAMAGED)
		err = -EIO;
	else if (stored.trust == EXTENT_GOOD)
		err = read_ahead(&stored, offset);
	else
		err = verify(&stored);
	if (err != 0 && err != -ENOMEM) {
		metric_add(METRIC_errors_read, 1);
		log_error("bytes on disk are damaged or unreadable path=%s volume=%u offset=%llu "
			  "error=\"%s\"",
			  object->path, (unsigned)stored.at.volume,
			  (unsigned long long)stored.at.position, strerror(-err));
	}
	pthread_mutex_lock(&object->lock);
	if (i >= object->nextents || object->extents[i].volume != stored.volume ||
	    object->extents[i].at.position != stored.at.position)
		; /* moved meanwhile: it was verified on the way */
	else if (err == 0)
		object->extents[i].trust = EXTENT_GOOD;
	else if (err == -EBADMSG)
		object->extents[i].trust = EXTENT_DAMAGED;
	pthread_mutex_unlock(&object->lock);
	volume_put(&stored.volume);
	return err == 0 ? 0 : -EIO;
}

int
object_hash(struct object *object, XXH3_state_t *hash)
{
	uint64_t length = object_status(object).length, offset = 0;
	struct object_cursor cursor = {0};
	int err = 0;

	while (err == 0 && offset < length) {
		struct object_view view;

		err = object_view(object, &cursor, offset, VIEW_MAX, &view);
		if (err == 0) {
			XXH3_128bits_update(hash, view.data, view.length);
			offset += view.length;
			object_view_release(&view);
		} else if (err == -EINPROGRESS) {
			err = warm(object, offset);
		}
	}
	object_cursor_reset(&cursor);
	return err;
}

static void
warm_run(struct pool_job *job)
{
	struct object_warm *request = (struct object_warm *)job;

	request->result = warm(request->object, request->offset);
	mailbox_post(request->mailbox, &request->letter);
}

void
object_warm(struct object_warm *request)
{
	request->job.run = warm_run;
	pool_submit(request->object->store->pool, &request->job);
}
