/* head_fuzz.c - a head is found and refused in the same place however it arrives, and what was accepted
 * says the same when it is written anew.
 */
#include <stdio.h>
#include <stdlib.h>

#include "http/etag.h"
#include "http/head.h"
#include "http/path.h"
#include "http/upload.h"
#include "tests/fuzz/fuzz.h"

static const char *const methods[] = {
	[METHOD_GET] = "GET",         [METHOD_HEAD] = "HEAD", [METHOD_PUT] = "PUT",
	[METHOD_POST] = "POST",       [METHOD_LIST] = "LIST", [METHOD_DELETE] = "DELETE",
	[METHOD_OPTIONS] = "OPTIONS",
};

/* Scans TEXT as it would be if it came STRIDE bytes at a time. */
static enum head_verdict
scan(const char *text, size_t length, size_t stride, size_t *end)
{
	enum head_verdict verdict = HEAD_MORE;
	size_t at = 0;

	for (size_t here = 0; verdict == HEAD_MORE && here < length;) {
		here = length - here > stride ? here + stride : length;
		verdict = head_scan(text, here, &at, end);
		CHECK(at <= here);
	}
	return verdict;
}

static void
check_inside(const struct head *head, struct slice s)
{
	CHECK(s.data >= head->text.data && s.length <= head->text.length &&
	      s.data + s.length <= head->text.data + head->text.length);
}

/* Writes what HEAD says, in the plainest form. */
static char *
write_anew(const struct head *head, size_t *length)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, length);
	const char *line = head->text.data + head->fields;

	CHECK(out != NULL);
	fprintf(out, "%s ", methods[head->method]);
	fwrite(head->target.data, 1, head->target.length, out);
	fprintf(out, " HTTP/1.%u\r\n", head->minor);
	while (line[0] != '\r') {
		const char *colon = strchr(line, ':');
		struct slice value = {colon + 1, (size_t)(strchr(line, '\r') - colon - 1)};

		fwrite(line, 1, (size_t)(colon - line), out);
		fputs(": ", out);
		value = slice_trim(value);
		fwrite(value.data, 1, value.length, out);
		fputs("\r\n", out);
		line = strchr(line, '\n') + 1;
	}
	fputs("\r\n", out);
	CHECK(fclose(out) == 0);
	return text;
}

static void
check_same(const struct head *a, const struct head *b)
{
	CHECK(a->target.length == b->target.length &&
	      memcmp(a->target.data, b->target.data, a->target.length) == 0);
	CHECK(a->method == b->method && a->minor == b->minor);
	CHECK(a->body == b->body && a->content_length == b->content_length);
	CHECK(a->keep_alive == b->keep_alive && a->expect_continue == b->expect_continue);
}

static void
check_framing(const struct head *head)
{
	struct slice value;
	uint64_t length;
	size_t at = 0;
	unsigned count = 0;

	while (head_next(head, "CONTENT-LENGTH", &at, &value)) {
		check_inside(head, value);
		CHECK(slice_decimal(value, &length) == 0 && length == head->content_length);
		count++;
	}
	CHECK(count == (head->body == HEAD_BODY_LENGTH));
	CHECK(head_find(head, "transfer-encoding", &value) == (head->body == HEAD_BODY_CHUNKED));
	CHECK(head->minor == 0 || head_find(head, "host", &value));
}

/* What an upload makes of it: offsets in order, and a body that fits between them. */
static void
check_upload(const struct head *head)
{
	const struct policy policy = {.hold_ms = 0};
	struct upload upload;
	struct upload_refusal refusal;

	if (upload_read(head, "/a.m4s", &policy, UINT64_C(1) << 40, &upload, &refusal)) {
		CHECK(refusal.code >= 400 && refusal.code < 500 && refusal.reason != NULL);
		return;
	}
	CHECK(upload.offset <= upload.end && strlen(upload.type) > 0);
	CHECK(!upload.exact || upload.end <= UINT64_C(1) << 40);
	CHECK(head->body != HEAD_BODY_LENGTH || upload.end == UPLOAD_OPEN ||
	      head->content_length <= upload.end - upload.offset);
}

/* Weak comparison accepts what strong comparison does, and nothing is both changed and unchanged. */
static void
check_preconditions(const struct head *head)
{
	static const char tag[] = "\"0123456789abcdef0123456789abcdef\"";
	struct slice value;

	if (head_find(head, "if-none-match", &value))
		CHECK(!etag_listed(value, tag, false) || etag_listed(value, tag, true));
	else if (!head_find(head, "if-modified-since", &value))
		CHECK(etag_evaluate(head, tag, 784111777, 1700000000) != ETAG_NOT_MODIFIED);
	if (!etag_has_preconditions(head))
		CHECK(etag_write_allowed(head, true, tag, 784111777, 1700000000));
	(void)etag_range_applies(head, tag, 784111777, 1700000000);
}

static void
check_accepted(const char *text, size_t length)
{
	struct head head, again;
	struct slice path, query;
	enum head_verdict verdict = head_parse(text, length, &head);
	size_t at = 0, end = 0, anew_length;
	char *anew;

	if (verdict != HEAD_OK) {
		CHECK(head_refusal(verdict).code >= 400);
		return;
	}
	check_inside(&head, head.target);
	CHECK(head.target.length > 0 && memchr(head.target.data, ' ', head.target.length) == NULL);
	check_framing(&head);
	check_upload(&head);
	check_preconditions(&head);
	(void)path_split(head.target, &path, &query);

	anew = write_anew(&head, &anew_length);
	if (anew_length <= HEAD_MAX) { /* a space more a line */
		CHECK(head_scan(anew, anew_length, &at, &end) == HEAD_OK && end == anew_length);
		CHECK(head_parse(anew, anew_length, &again) == HEAD_OK);
		check_same(&head, &again);
	}
	free(anew);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	static const size_t strides[] = {1, 2, 3, 7, 64, 1000};
	const char *text = (const char *)data;
	size_t end = 0, whole_end = 0;
	enum head_verdict verdict;

	if (length > HEAD_MAX) /* the framer keeps no more */
		length = HEAD_MAX;
	if (length == 0)
		return 0;
	verdict = scan(text, length, length, &whole_end);
	for (size_t i = 0; i < sizeof(strides) / sizeof(strides[0]); i++) {
		CHECK(scan(text, length, strides[i], &end) == verdict);
		CHECK(verdict != HEAD_OK || end == whole_end);
	}
	if (verdict == HEAD_OK) {
		/* An exact copy: nothing may look at what comes behind the head. */
		char *head = malloc(whole_end);

		CHECK(head != NULL);
		memcpy(head, text, whole_end);
		check_accepted(head, whole_end);
		free(head);
	} else if (verdict != HEAD_MORE) {
		CHECK(head_refusal(verdict).code >= 400);
	}
	return 0;
}
