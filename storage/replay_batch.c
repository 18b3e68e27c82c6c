#include "storage/replay_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/catalog.h"

bool
replay_batch_holds(const struct replay_batch *batch, uint32_t number, const struct record *record)
{
	return batch->volume == number && batch->start == record->batch;
}

static int
keep(struct replay_batch *batch, const struct record *record, uint64_t body)
{
	const struct record_name *name = &record->name;
	size_t length = (size_t)name->path_length + name->type_length;
	struct replay_item *item;

	if (batch->count == batch->size) {
		size_t size = batch->size > 0 ? 2 * batch->size : 64;
		struct replay_item *more = realloc(batch->items, size * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		batch->items = more;
		batch->size = size;
	}
	item = &batch->items[batch->count];
	*item = (struct replay_item){.record = *record, .body = body};
	if (length > 0) {
		item->strings = malloc(length);
		if (item->strings == NULL)
			return -ENOMEM;
		memcpy(item->strings, name->path, name->path_length);
		memcpy(item->strings + name->path_length, name->type, name->type_length);
		item->record.name.path = item->strings;
		item->record.name.type = item->strings + name->path_length;
	}
	batch->count++;
	return 0;
}

int
replay_batch_add(struct replay_batch *batch, uint32_t number, const struct record *record,
		 uint64_t position, uint64_t body, bool intact)
{
	if (batch->volume == 0) {
		batch->volume = number;
		batch->start = batch->next = record->batch;
		batch->end = record->batch + record->batch_length;
		batch->damaged = false;
		batch->sound = 0;
	}
	if (!intact || position != batch->next)
		batch->damaged = true;
	batch->next = position + record_span(record->name_length, record->body_length);
	if (!batch->damaged)
		batch->sound++;
	return keep(batch, record, body);
}

bool
replay_batch_is_whole(const struct replay_batch *batch)
{
	return !batch->damaged && batch->next == batch->end;
}

static void
drop_from(struct replay_batch *batch, size_t first)
{
	for (size_t i = first; i < batch->count; i++)
		free(batch->items[i].strings);
	batch->count = first;
}

void
replay_batch_keep_sound(struct replay_batch *batch)
{
	drop_from(batch, batch->sound);
}

int
replay_batch_apply(struct replay_batch *batch, struct catalog *catalog)
{
	int err = 0;

	for (size_t i = 0; i < batch->count && err == 0; i++)
		err = catalog_apply(catalog, &batch->items[i].record, batch->volume,
				    batch->items[i].body);
	replay_batch_clear(batch);
	return err;
}

void
replay_batch_clear(struct replay_batch *batch)
{
	drop_from(batch, 0);
	batch->volume = 0;
}

void
replay_batch_free(struct replay_batch *batch)
{
	replay_batch_clear(batch);
	free(batch->items);
	batch->items = NULL;
	batch->size = 0;
}
