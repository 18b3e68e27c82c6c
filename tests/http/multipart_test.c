/* multipart_test.c - the texts between the parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/multipart.h"

static void
texts_stand_between_the_parts(void **state)
{
	struct multipart multi = {.count = 2,
				  .parts = {{0, 5}, {90, 100}},
				  .length = 100,
				  .type = "video/mp4",
				  .boundary = "b"};
	char text[MULTIPART_TEXT_MAX];
	uint64_t length = 15;

	(void)state;
	length += multipart_text(&multi, 0, text);
	assert_string_equal(text, "--b\r\nContent-Type: video/mp4\r\n"
				  "Content-Range: bytes 0-4/100\r\n\r\n");
	length += multipart_text(&multi, 1, text);
	assert_string_equal(text, "\r\n--b\r\nContent-Type: video/mp4\r\n"
				  "Content-Range: bytes 90-99/100\r\n\r\n");
	length += multipart_text(&multi, 2, text);
	assert_string_equal(text, "\r\n--b--\r\n");
	assert_int_equal(multipart_length(&multi), length);
}

static void
the_longest_type_fits(void **state)
{
	static char type[256];
	struct multipart multi = {.count = 1,
				  .parts = {{UINT64_MAX - 2, UINT64_MAX - 1}},
				  .length = UINT64_MAX,
				  .type = type};
	char text[MULTIPART_TEXT_MAX];

	(void)state;
	memset(type, 'x', sizeof(type) - 1);
	multipart_boundary(&multi);
	assert_true(multipart_text(&multi, 0, text) > 255);
}

static void
boundaries_differ(void **state)
{
	struct multipart one = {0}, two = {0};

	(void)state;
	multipart_boundary(&one);
	multipart_boundary(&two);
	assert_int_equal(strlen(one.boundary), 32);
	assert_string_not_equal(one.boundary, two.boundary);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_stand_between_the_parts),
		cmocka_unit_test(the_longest_type_fits),
		cmocka_unit_test(boundaries_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
