/* units_fuzz.c - what is written of a size or duration is read as the same one; patterns match as the plainest
 * matcher has it; every option takes a value, or says why not.
 */
#include <stdlib.h>

#include "base/pattern.h"
#include "base/units.h"
#include "daemon/options.h"
#include "daemon/value.h"
#include "tests/fuzz/fuzz.h"

static char *
string_of(struct fuzz bytes)
{
	char *text = malloc(bytes.length + 1);

	CHECK(text != NULL);
	if (bytes.length > 0)
		memcpy(text, bytes.data, bytes.length);
	text[bytes.length] = '\0';
	return text;
}

static void
check_numbers(const char *text)
{
	char written[UNITS_TEXT_MAX];
	uint64_t bytes, bytes_again;
	int64_t ms, ms_again;

	if (units_parse_size(text, &bytes) == 0) {
		units_format_size(bytes, written);
		CHECK(units_parse_size(written, &bytes_again) == 0 && bytes_again == bytes);
	}
	if (units_parse_duration(text, &ms) == 0) {
		CHECK(ms >= 0);
		units_format_duration(ms, written);
		CHECK(units_parse_duration(written, &ms_again) == 0 && ms_again == ms);
	}
}

/* Row by row of the usual table: slow, and nothing in it can be wrong. */
static bool
matches(const char *pattern, const char *text)
{
	size_t length = strlen(text);
	bool *row = calloc(length + 1, sizeof(*row)), matched;

	CHECK(row != NULL);
	row[0] = true;
	for (; *pattern != '\0'; pattern++) {
		if (*pattern == '*') {
			for (size_t i = 1; i <= length; i++)
				row[i] = row[i] || row[i - 1];
			continue;
		}
		for (size_t i = length; i > 0; i--)
			row[i] = row[i - 1] && text[i - 1] == *pattern;
		row[0] = false;
	}
	matched = row[length];
	free(row);
	return matched;
}

static void
check_option(const struct option_key *key, const char *value)
{
	struct options options;
	char why[256] = "";

	CHECK(options_init(&options) == 0);
	if (value_check(key, value, why, sizeof(why)) != 0) {
		CHECK(strlen(why) > 0);
		CHECK(options_set(key, &options, value, why, sizeof(why)) != 0);
	} else {
		CHECK(options_set(key, &options, value, why, sizeof(why)) == 0);
	}
	options_free(&options);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct fuzz fuzz = {data, length};
	uint8_t choice = fuzz_byte(&fuzz);
	const struct option_key *key = options_keys;
	char *pattern = string_of(fuzz_take(&fuzz, fuzz_byte(&fuzz)));
	char *text = string_of(fuzz_take(&fuzz, 1024));

	while (choice-- > 0)
		key = key[1].name != NULL ? key + 1 : options_keys;
	check_numbers(pattern);
	check_numbers(text);
	CHECK(pattern_match(pattern, text) == matches(pattern, text));
	check_option(key, text);
	free(text);
	free(pattern);
	return 0;
}
