/* range_fuzz.c - what a range means lies inside the object; what a Content-Range says can be written again. */
#include <stdio.h>

#include "http/multipart.h"
#include "http/range.h"
#include "tests/fuzz/fuzz.h"

static void
check_one(const struct range_spec *spec, uint64_t length)
{
	uint64_t first, last;

	CHECK(spec->suffix || spec->first <= spec->last);
	if (range_resolve(spec, length, &first, &last) != 0) {
		CHECK(length == 0 || (spec->suffix ? spec->last == 0 : spec->first >= length));
		return;
	}
	CHECK(first <= last && last < length);
	if (spec->suffix)
		CHECK(last == length - 1 && (first == 0 || last - first + 1 == spec->last));
	else
		CHECK(first == spec->first && last <= spec->last);
}

static void
check_set(const struct range_spec *specs, size_t count, uint64_t length)
{
	struct range_bytes bytes[MULTIPART_MAX];
	int n = range_resolve_set(specs, count, length, bytes);

	CHECK(n <= (int)count && n != 0);
	for (int i = 0; i < n; i++) {
		CHECK(bytes[i].first < bytes[i].end && bytes[i].end <= length);
		for (int j = 0; j < i; j++)
			CHECK(bytes[i].end <= bytes[j].first || bytes[j].end <= bytes[i].first);
	}
}

/* The body of several ranges is as long as it is said to be. */
static void
check_multipart(const struct range_spec *specs, size_t count, uint64_t length)
{
	struct multipart multi = {.length = length, .type = "video/mp4"};
	int n = range_resolve_set(specs, count, length, multi.parts);
	char text[MULTIPART_TEXT_MAX];
	uint64_t sum = 0;

	if (n < 2)
		return;
	multi.count = (size_t)n;
	multipart_boundary(&multi);
	for (size_t i = 0; i <= multi.count; i++) {
		sum += multipart_text(&multi, i, text);
		CHECK(strlen(text) < sizeof(text));
		if (i < multi.count)
			sum += multi.parts[i].end - multi.parts[i].first;
	}
	CHECK(multipart_length(&multi) == sum);
}

static void
check_growing(const struct range_spec *spec, uint64_t length)
{
	char positions[RANGE_POSITIONS_SIZE];
	uint64_t first, end;
	struct range_content content;
	int rc = range_resolve_growing(spec, length, &first, &end, positions);

	if (rc != 0) {
		CHECK(spec->suffix || spec->first > length || spec->last_text.length > 70 ||
		      spec->first >= (UINT64_C(1) << 53) - 1);
		return;
	}
	CHECK(first == spec->first && first <= length && end > first);
	/* A last position is echoed as it was written, and may be more than 64 bits hold. */
	if (spec->last_text.length < 16) {
		CHECK(range_parse_content(slice_of(positions), &content) == 0);
		CHECK(content.first == first && content.total == RANGE_OPEN);
		CHECK(end == RANGE_OPEN || content.last == end - 1);
	}
}

static void
check_content(struct slice value)
{
	struct range_content got, again;
	char text[100], last[24] = "*", total[24] = "*";

	if (range_parse_content(value, &got) != 0)
		return;
	CHECK(got.last == RANGE_OPEN || (got.first <= got.last && got.last < got.total));
	CHECK(got.first <= got.total);
	if (got.last != RANGE_OPEN)
		snprintf(last, sizeof(last), "%llu", (unsigned long long)got.last);
	if (got.total != RANGE_OPEN)
		snprintf(total, sizeof(total), "%llu", (unsigned long long)got.total);
	snprintf(text, sizeof(text), "bytes %llu-%s/%s", (unsigned long long)got.first, last,
		 total);
	CHECK(range_parse_content(slice_of(text), &again) == 0);
	CHECK(again.first == got.first && again.last == got.last && again.total == got.total);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz fuzz = {data, size};
	/* From an empty object to 2^62 bytes, small ones more often. */
	uint8_t shift = fuzz_byte(&fuzz) % 63;
	uint64_t length = shift > 0 ? fuzz_byte(&fuzz) * (UINT64_C(1) << shift) / 256 : 0;
	struct slice value = {(const char *)fuzz.data, fuzz.length};
	struct range_spec specs[MULTIPART_MAX];
	size_t count = 0;

	check_content(value);
	if (range_parse(value, specs, MULTIPART_MAX, &count) != 0)
		return 0;
	CHECK(count > 0 && count <= MULTIPART_MAX);
	for (size_t i = 0; i < count; i++) {
		check_one(&specs[i], length);
		check_growing(&specs[i], length);
	}
	check_set(specs, count, length);
	check_multipart(specs, count, length);
	return 0;
}
