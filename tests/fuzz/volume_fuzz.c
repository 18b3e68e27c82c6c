/* volume_fuzz.c - a walk over a volume finds exactly the records that are intact, whatever lies between them.
 *
 * The input is a list of orders: write a record, write rubbish, begin a batch, leave a hole, damage a byte.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "storage/volume.h"
#include "tests/fuzz/fuzz.h"

#define BYTES_MAX (64 * 1024)
#define RECORDS_MAX 256

/* What was written, and where. */
struct written {
	uint64_t start, head_end, span_end;
	struct record record;
};

struct log {
	unsigned char bytes[BYTES_MAX];
	size_t end;
	struct written records[RECORDS_MAX];
	size_t count;
	uint8_t secret[RECORD_SECRET_SIZE];
};

static size_t
round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

static void
begin(struct log *log)
{
	for (size_t i = 0; i < sizeof(log->secret); i++)
		log->secret[i] = (uint8_t)(i * 31 + 5);
	memcpy(log->bytes, "SPWLVOL\n", 8);
	put_le32(log->bytes + 8, VOLUME_FORMAT);
	put_le64(log->bytes + 16, 1);
	memcpy(log->bytes + 32, log->secret, RECORD_SECRET_SIZE);
	put_le64(log->bytes + 32 + RECORD_SECRET_SIZE,
		 XXH3_64bits(log->bytes, 32 + RECORD_SECRET_SIZE));
	log->end = VOLUME_HEADER_SIZE;
}

/* A record, whose body is whatever comes next in the input: perhaps the bytes of another record. */
static void
write_record(struct log *log, struct fuzz *fuzz)
{
	uint8_t kind = fuzz_byte(fuzz);
	struct fuzz path = fuzz_take(fuzz, kind / 4);
	struct fuzz body = fuzz_take(fuzz, fuzz_byte(fuzz) * (kind % 2 != 0 ? 64u : 1u));
	struct written *written = &log->records[log->count];
	struct record *record = &written->record;
	size_t head;

	if (log->count == RECORDS_MAX)
		return;
	*record = (struct record){
		.kind = (enum record_kind)(RECORD_OPEN + kind % 4),
		.id = log->count + 1,
		.body_length = (uint32_t)body.length,
		.body_hash = XXH3_64bits(body.data, body.length),
	};
	if (record->kind != RECORD_DATA) {
		record->name.path = (const char *)path.data;
		record->name.path_length = (uint16_t)path.length;
	}
	head = record_head_size(record);
	log->end = round_up(log->end, RECORD_ALIGN);
	if (log->end + head + body.length > BYTES_MAX)
		return;
	record_encode(record, log->secret, log->end, log->bytes + log->end);
	memcpy(log->bytes + log->end + head, body.data, body.length);
	written->start = log->end;
	written->head_end = log->end + head;
	log->end += head + body.length;
	written->span_end = round_up(log->end, RECORD_ALIGN);
	log->count++;
}

static void
damage(struct log *log, uint64_t at, uint8_t change)
{
	if (at < VOLUME_HEADER_SIZE || at >= log->end || change == 0)
		return;
	log->bytes[at] ^= change;
}

static void
follow(struct log *log, struct fuzz *fuzz)
{
	struct fuzz rubbish;
	uint64_t at;

	while (fuzz->length > 0) {
		switch (fuzz_byte(fuzz) % 8) {
		case 0:
			log->end = round_up(log->end, RECORD_BATCH);
			break;
		case 1:
			log->end += fuzz_byte(fuzz) * (size_t)RECORD_BATCH;
			break;
		case 2:
			rubbish = fuzz_take(fuzz, fuzz_byte(fuzz));
			if (log->end + rubbish.length > BYTES_MAX)
				break;
			memcpy(log->bytes + log->end, rubbish.data, rubbish.length);
			log->end += rubbish.length;
			break;
		case 3:
			at = fuzz_number(fuzz) % BYTES_MAX;
			damage(log, at, fuzz_byte(fuzz));
			break;
		default:
			write_record(log, fuzz);
			break;
		}
		if (log->end > BYTES_MAX)
			log->end = BYTES_MAX;
	}
}

/* Whether header and name of the record are as they were written: damage may also undo damage. */
static bool
is_intact(const struct log *log, const struct written *written)
{
	unsigned char head[RECORD_HEADER_SIZE + RECORD_NAME_MAX];
	size_t length = record_encode(&written->record, log->secret, written->start, head);

	return memcmp(head, log->bytes + written->start, length) == 0;
}

/* The record that begins at POSITION, or NULL. */
static const struct written *
record_at(const struct log *log, uint64_t position)
{
	for (size_t i = 0; i < log->count; i++) {
		const struct written *written = &log->records[i];

		if (written->start == position && is_intact(log, written) &&
		    written->head_end + written->record.body_length <= log->end)
			return written;
	}
	return NULL;
}

static void
check_found(const struct log *log, const struct written *written, const struct record *record,
	    uint64_t body)
{
	const struct record *wrote = &written->record;

	CHECK(record->id == wrote->id && record->kind == wrote->kind);
	CHECK(body == written->head_end && record->body_length == wrote->body_length);
	CHECK(record->body_hash == wrote->body_hash);
	CHECK(record->name.path_length == wrote->name.path_length);
	CHECK(record->kind == RECORD_DATA ||
	      memcmp(record->name.path, wrote->name.path, record->name.path_length) == 0);
	CHECK(body + record->body_length <= log->end);
}

static void
check_walk(const struct log *log, struct volume *volume)
{
	struct volume_scan scan;
	struct record record;
	uint64_t position = VOLUME_HEADER_SIZE, body;

	CHECK(volume_scan_begin(volume, 0, &scan) == 0 && scan.size == log->end);
	while (position < log->end) {
		const struct written *written = record_at(log, position);

		if (written == NULL) {
			position = round_up(position + 1, RECORD_ALIGN);
			continue;
		}
		CHECK(volume_scan_next(&scan, &record, &body) == 1);
		check_found(log, written, &record, body);
		position = written->span_end;
	}
	CHECK(volume_scan_next(&scan, &record, &body) == 0);
	CHECK(scan.valid % RECORD_BATCH == 0);
	volume_scan_end(&scan);
}

static struct volume *
open_bytes(const struct log *log, int folder)
{
	int fd = openat(folder, "0000000001.vol", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct volume *volume = NULL;

	CHECK(fd >= 0 && write(fd, log->bytes, log->end) == (ssize_t)log->end);
	close(fd);
	CHECK(volume_open(folder, 1, &volume) == 0);
	return volume;
}

/* One folder for all runs. */
static char folder_name[] = "/tmp/spillway-fuzz-XXXXXX";

static void
remove_folder(void)
{
	(void)rmdir(folder_name);
}

static int
make_folder(void)
{
	int folder;

	CHECK(mkdtemp(folder_name) != NULL && atexit(remove_folder) == 0);
	folder = open(folder_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(folder >= 0);
	return folder;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	static int folder = -1;
	struct fuzz fuzz = {data, length};
	struct log *log = calloc(1, sizeof(*log));
	struct volume *volume;

	CHECK(log != NULL);
	if (folder < 0)
		folder = make_folder();
	begin(log);
	follow(log, &fuzz);
	volume = open_bytes(log, folder);
	check_walk(log, volume);
	volume_put(&volume);
	CHECK(unlinkat(folder, "0000000001.vol", 0) == 0);
	free(log);
	return 0;
}
