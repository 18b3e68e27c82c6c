#include "storage/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "storage/entry.h"
#include "storage/store_internal.h"

/* A path whose state the catalog may not have yet, as it was when the listing began. */
struct change {
	struct listing_row row; /* its strings are in the same allocation */
	bool present;
	char text[];
};

struct listing {
	struct store *store;
	char *prefix;
	struct change **changes; /* by path */
	size_t nchanges, next_change;
	bool begun;
	char position[ENTRY_STRINGS_MAX + 1]; /* the last path that was dealt with; empty: none */
	/* the strings of the present page; rows hold offsets until it is complete */
	char *text;
	size_t text_used, text_size;
	struct listing_page *page;
	int err;
};

/* Remembers that everything up to PATH was dealt with. */
static void
advance(struct listing *listing, const char *path, size_t length)
{
	CHECK(length < sizeof(listing->position));
	memcpy(listing->position, path, length);
	listing->position[length] = '\0';
}

int
listing_open(struct store *store, const char *prefix, const char *after, struct listing **out)
{
	struct listing *listing = calloc(1, sizeof(*listing));

	if (listing == NULL)
		return -ENOMEM;
	listing->store = store;
	listing->prefix = strdup(prefix);
	if (listing->prefix == NULL) {
		listing_close(&listing);
		return -ENOMEM;
	}
	if (after != NULL)
		advance(listing, after, strlen(after));
	*out = listing;
	return 0;
}

void
listing_close(struct listing **listingp)
{
	struct listing *listing = *listingp;

	*listingp = NULL;
	if (listing == NULL)
		return;
	for (size_t i = 0; i < listing->nchanges; i++)
		free(listing->changes[i]);
	free(listing->changes);
	free(listing->prefix);
	free(listing->text);
	free(listing);
}

static struct change *
change_of(const struct table_entry *entry)
{
	const struct object *object = entry->current;
	const char *type = object != NULL ? object->type : "";
	size_t path_size = strlen(entry->path) + 1, type_size = strlen(type) + 1;
	struct change *change = calloc(1, sizeof(*change) + path_size + type_size);

	if (change == NULL)
		return NULL;
	change->row.path = memcpy(change->text, entry->path, path_size);
	change->row.type = memcpy(change->text + path_size, type, type_size);
	change->present = object != NULL;
	if (object != NULL) {
		struct object_status status = object_status(object);

		change->row.size = status.length;
		change->row.state = status.state;
		change->row.mtime_ms = object->mtime_ms;
		change->row.expires_ms = object->expires_ms;
		change->row.has_etag = object_etag(object, change->row.etag);
	}
	return change;
}

static int
add_change(struct listing *listing, size_t *size, struct change *change)
{
	if (change == NULL)
		return -ENOMEM;
	if (listing->nchanges == *size) {
		size_t more = *size > 0 ? 2 * *size : 64;
		struct change **changes = realloc(listing->changes, more * sizeof(struct change *));

		if (changes == NULL) {
			free(change);
			return -ENOMEM;
		}
		listing->changes = changes;
		*size = more;
	}
	listing->changes[listing->nchanges++] = change;
	return 0;
}

static bool
wanted(const struct listing *listing, const char *path)
{
	return strncmp(path, listing->prefix, strlen(listing->prefix)) == 0 &&
	       strcmp(path, listing->position) > 0;
}

static int
compare_changes(const void *a, const void *b)
{
	return strcmp((*(struct change *const *)a)->row.path,
		      (*(struct change *const *)b)->row.path);
}

/* Notes what the catalog may lack. Whatever changed before this is either noted, or was
 * committed to the catalog before any page reads it. */
static int
note_changes(struct listing *listing)
{
	struct table *table = &listing->store->table;
	size_t size = 0;
	int err = 0;

	for (unsigned i = 0; i < TABLE_SHARDS && err == 0; i++) {
		struct table_shard *shard = &table->shards[i];
		struct table_entry *entry;

		pthread_mutex_lock(&shard->lock);
		TAILQ_FOREACH(entry, &shard->changed, link)
		{
			if (!entry->known || !wanted(listing, entry->path))
				continue;
			err = add_change(listing, &size, change_of(entry));
			if (err != 0)
				break;
		}
		pthread_mutex_unlock(&shard->lock);
	}
	if (listing->nchanges > 0)
		qsort(listing->changes, listing->nchanges, sizeof(struct change *),
		      compare_changes);
	return err;
}

/* Copies LENGTH bytes of TEXT and a NUL; returns their offset as a pointer, see relocate. */
static const char *
keep_text(struct listing *listing, const char *text, size_t length)
{
	size_t at = listing->text_used;

	if (at + length + 1 > listing->text_size) {
		size_t size = 2 * (at + length + 1) + 4096;
		char *more = realloc(listing->text, size);

		if (more == NULL) {
			listing->err = -ENOMEM;
			return NULL;
		}
		listing->text = more;
		listing->text_size = size;
	}
	memcpy(listing->text + at, text, length);
	listing->text[at + length] = '\0';
	listing->text_used = at + length + 1;
	return (const char *)(uintptr_t)at;
}

static void
relocate(struct listing *listing)
{
	for (size_t i = 0; i < listing->page->count; i++) {
		struct listing_row *row = &listing->page->rows[i];

		row->path = listing->text + (uintptr_t)row->path;
		row->type = listing->text + (uintptr_t)row->type;
	}
}

/* Puts a change into the page, unless it is a deletion. */
static void
emit_change(struct listing *listing, const struct change *change)
{
	struct listing_row *row = &listing->page->rows[listing->page->count];

	advance(listing, change->row.path, strlen(change->row.path));
	if (!change->present)
		return;
	*row = change->row;
	row->path = keep_text(listing, change->row.path, strlen(change->row.path));
	row->type = keep_text(listing, change->row.type, strlen(change->row.type));
	listing->page->count++;
}

static void
emit_row(struct listing *listing, const struct catalog_row *from)
{
	const struct record_name *name = &from->name;
	struct listing_row *row = &listing->page->rows[listing->page->count];

	advance(listing, name->path, name->path_length);
	*row = (struct listing_row){
		.size = name->size,
		.mtime_ms = name->mtime_ms,
		.expires_ms = name->expires_ms,
		.state = from->open ? OBJECT_INCOMPLETE : OBJECT_COMPLETE,
		.has_etag = !from->open,
	};
	memcpy(row->etag, name->etag, sizeof(row->etag));
	row->path = keep_text(listing, name->path, name->path_length);
	row->type = keep_text(listing, name->type, name->type_length);
	listing->page->count++;
}

static bool
is_full(const struct listing *listing)
{
	return listing->page->count == LISTING_PAGE || listing->err != 0;
}

/* Emits changes that sort before the LENGTH bytes of PATH (NULL: all). True if one is PATH itself;
 * it was emitted then. */
static bool
emit_changes_before(struct listing *listing, const char *path, size_t length)
{
	while (listing->next_change < listing->nchanges && !is_full(listing)) {
		const struct change *change = listing->changes[listing->next_change];
		int order = -1;

		if (path != NULL) {
			order = strncmp(change->row.path, path, length);
			if (order == 0 && change->row.path[length] != '\0')
				order = 1;
		}
		if (order > 0)
			return false;
		listing->next_change++;
		emit_change(listing, change);
		if (order == 0)
			return true;
	}
	return false;
}

static int
visit_row(void *arg, const struct catalog_row *row)
{
	struct listing *listing = arg;

	if (emit_changes_before(listing, row->name.path, row->name.path_length))
		return is_full(listing);
	if (is_full(listing))
		return 1;
	emit_row(listing, row);
	return is_full(listing);
}

/* One look at the catalog, from the position on. The rows move the position, so the walk gets a copy. */
static int
walk_catalog(struct listing *listing, bool *more)
{
	char after[sizeof(listing->position)];
	int err;

	memcpy(after, listing->position, strlen(listing->position) + 1);
	err = catalog_list(listing->store->catalog, listing->prefix, after, LISTING_PAGE, visit_row,
			   listing, more);
	doubt_note(listing->store, err);
	return err;
}

static int
make_page(struct listing *listing)
{
	bool more = true;
	int err = 0;

	if (!listing->begun) {
		listing->begun = true;
		err = note_changes(listing);
	}
	while (err == 0 && more && listing->page->count == 0)
		err = walk_catalog(listing, &more);
	if (err > 0) { /* the page is full before the catalog's end */
		err = 0;
		more = true;
	}
	if (err == 0 && !more)
		emit_changes_before(listing, NULL, 0);
	listing->page->last = !more && listing->next_change == listing->nchanges;
	return err != 0 ? err : listing->err;
}

static void
page_run(struct pool_job *job)
{
	struct listing_page *page = (struct listing_page *)job;
	struct listing *listing = page->listing;

	listing->page = page;
	listing->text_used = 0;
	page->count = 0;
	page->last = false;
	page->result = make_page(listing);
	if (page->result == 0)
		relocate(listing);
	else
		page->count = 0;
	mailbox_post(page->mailbox, &page->letter);
}

void
listing_next(struct listing *listing, struct listing_page *page)
{
	page->listing = listing;
	page->job.run = page_run;
	pool_submit(listing->store->pool, &page->job);
}
