/* date_fuzz.c - a date that is understood is the same second after it was written in the usual form. */
#include <stdlib.h>

#include "http/date.h"
#include "tests/fuzz/fuzz.h"

#define NOW INT64_C(1700000000)
#define FIRST INT64_C(-62167219200) /* of the year 0 */
#define LAST INT64_C(253402300799)  /* of the year 9999 */

static void
check_text(struct slice text)
{
	char *written = malloc(DATE_SIZE);
	int64_t seconds, again;

	CHECK(written != NULL);
	if (date_parse(text, NOW, &seconds) == 0) {
		date_format(seconds, written);
		CHECK(strlen(written) == DATE_SIZE - 1);
		CHECK(date_parse(slice_of(written), NOW, &again) == 0);
		/* The leap second at the end of the year 9999 has no form. */
		CHECK(again == seconds || seconds > LAST);
	}
	free(written);
}

static void
check_second(int64_t seconds)
{
	char written[DATE_SIZE];
	int64_t again;

	date_format(seconds, written);
	CHECK(strlen(written) == DATE_SIZE - 1);
	CHECK(date_parse(slice_of(written), NOW, &again) == 0);
	CHECK(again == (seconds < FIRST ? FIRST : seconds > LAST ? LAST : seconds));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct fuzz fuzz = {data, length};

	check_text((struct slice){(const char *)data, length});
	if (length == 8)
		check_second((int64_t)fuzz_number(&fuzz));
	return 0;
}
