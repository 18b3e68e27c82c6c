#include "http/head.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"

static const struct head_refusal refusals[] = {
	[HEAD_SLOW] = {408, "the request head did not arrive in time"},
	[HEAD_NO_MEMORY] = {503, "out of memory"},
	[HEAD_CROWDED] = {503, "too many connections from this address"},
	[HEAD_TOO_LONG] = {431, "the request head is over 16 KiB"},
	[HEAD_TARGET_TOO_LONG] = {414, "the request target is too long"},
	[HEAD_BARE_LF] = {400, "a line of the head ends in LF without CR"},
	[HEAD_BARE_CR] = {400, "a CR in the head without LF"},
	[HEAD_CONTROL_BYTE] = {400, "a control byte in the head"},
	[HEAD_REQUEST_LINE] = {400, "malformed request line"},
	[HEAD_VERSION_FORM] = {400, "malformed HTTP version"},
	[HEAD_VERSION] = {505, "only HTTP/1.0 and HTTP/1.1 are spoken here"},
	[HEAD_METHOD] = {501, "unknown method"},
	[HEAD_FOLDED] = {400, "a field line begins with white space"},
	[HEAD_FIELD_NAME] = {400, "malformed field name"},
	[HEAD_NO_HOST] = {400, "no Host field"},
	[HEAD_MANY_HOSTS] = {400, "more than one Host field"},
	[HEAD_LENGTH_FORM] = {400, "malformed Content-Length"},
	[HEAD_MANY_LENGTHS] = {400, "more than one Content-Length"},
	[HEAD_LENGTH_AND_CHUNKED] = {400, "both Content-Length and Transfer-Encoding"},
	[HEAD_CODING] = {501, "the only transfer coding understood is chunked"},
	[HEAD_MANY_CODINGS] = {400, "more than one Transfer-Encoding"},
	[HEAD_CODING_IN_1_0] = {400, "Transfer-Encoding in an HTTP/1.0 request"},
	[HEAD_EXPECTATION] = {417, "the only expectation understood is 100-continue"},
	[HEAD_BODY_FRAMING] = {400, "malformed chunk in the request body"},
	[HEAD_BODY_TOO_LONG] = {413, "more request body than is worth reading"},
};

static const struct {
	const char *name;
	enum method method;
} methods[] = {
	{"GET", METHOD_GET},         {"HEAD", METHOD_HEAD}, {"PUT", METHOD_PUT},
	{"POST", METHOD_POST},       {"LIST", METHOD_LIST}, {"DELETE", METHOD_DELETE},
	{"OPTIONS", METHOD_OPTIONS},
};

struct head_refusal
head_refusal(enum head_verdict verdict)
{
	CHECK(verdict < sizeof(refusals) / sizeof(refusals[0]) && refusals[verdict].code != 0);
	return refusals[verdict];
}

enum head_verdict
head_scan(const char *text, size_t length, size_t *at, size_t *end)
{
	size_t limit = length < HEAD_MAX ? length : HEAD_MAX;

	while (*at < limit) {
		const char *lf = memchr(text + *at, '\n', limit - *at);
		size_t i;

		if (lf == NULL) {
			*at = limit;
			break;
		}
		i = (size_t)(lf - text);
		if (i == 0 || text[i - 1] != '\r')
			return HEAD_BARE_LF;
		*at = i + 1;
		if (i >= 3 && text[i - 2] == '\n') {
			*end = i + 1;
			return HEAD_OK;
		}
	}
	if (length < HEAD_MAX)
		return HEAD_MORE;
	return memchr(text, '\n', HEAD_MAX) != NULL ? HEAD_TOO_LONG : HEAD_TARGET_TOO_LONG;
}

/* RFC 9110 5.6.2: the characters of methods and field names. */
static bool
is_token(struct slice s)
{
	for (size_t i = 0; i < s.length; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
			continue;
		if (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)
			return false;
	}
	return s.length > 0;
}

static enum head_verdict
check_bytes(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c != 0x7f)
			continue;
		if (c == '\t' || c == '\n')
			continue;
		if (c != '\r')
			return HEAD_CONTROL_BYTE;
		if (text[i + 1] != '\n') /* the text ends in CRLF */
			return HEAD_BARE_CR;
	}
	return HEAD_OK;
}

static enum head_verdict
parse_version(struct slice version, struct head *head)
{
	const char *v = version.data;

	if (version.length != 8 || memcmp(v, "HTTP/", 5) != 0 || v[6] != '.' || v[5] < '0' ||
	    v[5] > '9' || v[7] < '0' || v[7] > '9')
		return HEAD_VERSION_FORM;
	if (v[5] != '1')
		return HEAD_VERSION;
	head->minor = v[7] == '0' ? 0 : 1;
	return HEAD_OK;
}

static enum head_verdict
parse_method(struct slice name, struct head *head)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		/* Methods are case-sensitive (RFC 9110 9.1). */
		if (strlen(methods[i].name) == name.length &&
		    memcmp(methods[i].name, name.data, name.length) == 0) {
			head->method = methods[i].method;
			return HEAD_OK;
		}
	}
	return HEAD_METHOD;
}

static enum head_verdict
parse_request_line(struct slice line, struct head *head)
{
	const char *end = line.data + line.length;
	const char *first = memchr(line.data, ' ', line.length);
	const char *second;
	struct slice method;
	enum head_verdict verdict;

	if (first == NULL)
		return HEAD_REQUEST_LINE;
	second = memchr(first + 1, ' ', (size_t)(end - first - 1));
	if (second == NULL)
		return HEAD_REQUEST_LINE;
	method = (struct slice){line.data, (size_t)(first - line.data)};
	head->target = (struct slice){first + 1, (size_t)(second - first - 1)};
	if (!is_token(method) || head->target.length == 0 ||
	    memchr(head->target.data, '\t', head->target.length) != NULL)
		return HEAD_REQUEST_LINE;
	verdict = parse_version((struct slice){second + 1, (size_t)(end - second - 1)}, head);
	if (verdict != HEAD_OK)
		return verdict;
	return parse_method(method, head);
}

/* The field line at AT: its name and trimmed value. Returns where the next one begins, or 0 at
 * the empty line. The line has a colon: parse_fields saw to that. */
static size_t
field_at(const struct head *head, size_t at, struct slice *name, struct slice *value)
{
	const char *line = head->text.data + at;
	const char *lf = memchr(line, '\n', head->text.length - at);
	const char *colon;

	if (line[0] == '\r')
		return 0;
	colon = memchr(line, ':', (size_t)(lf - line));
	*name = (struct slice){line, (size_t)(colon - line)};
	*value = slice_trim((struct slice){colon + 1, (size_t)(lf - 1 - colon - 1)});
	return (size_t)(lf + 1 - head->text.data);
}

static void
parse_connection(struct head *head, struct slice list, bool *asked_close)
{
	struct slice option;

	while (slice_element(&list, &option)) {
		if (slice_is(option, "close"))
			*asked_close = true;
		else if (slice_is(option, "keep-alive"))
			head->keep_alive = true;
	}
}

static enum head_verdict
parse_field(struct head *head, struct slice name, struct slice value, unsigned *hosts,
	    unsigned *codings, bool *asked_close)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): a line of the head sets both */
	if (slice_is(name, "host")) {
		if (++*hosts > 1)
			return HEAD_MANY_HOSTS;
	} else if (slice_is(name, "content-length")) {
		if (head->body == HEAD_BODY_LENGTH)
			return HEAD_MANY_LENGTHS;
		/* 2^62: far from where sums of offsets and lengths could wrap */
		if (slice_decimal(value, &head->content_length) != 0 ||
		    head->content_length > UINT64_C(1) << 62)
			return HEAD_LENGTH_FORM;
		if (head->body == HEAD_BODY_CHUNKED)
			return HEAD_LENGTH_AND_CHUNKED;
		head->body = HEAD_BODY_LENGTH;
	} else if (slice_is(name, "transfer-encoding")) {
		if (++*codings > 1)
			return HEAD_MANY_CODINGS;
		if (head->minor == 0)
			return HEAD_CODING_IN_1_0;
		if (!slice_is(value, "chunked"))
			return HEAD_CODING;
		if (head->body == HEAD_BODY_LENGTH)
			return HEAD_LENGTH_AND_CHUNKED;
		head->body = HEAD_BODY_CHUNKED;
	} else if (slice_is(name, "connection")) {
		parse_connection(head, value, asked_close);
	} else if (slice_is(name, "expect") && head->minor > 0) {
		if (!slice_is(value, "100-continue"))
			return HEAD_EXPECTATION;
		head->expect_continue = true;
	}
	return HEAD_OK;
}

static enum head_verdict
parse_fields(struct head *head)
{
	unsigned hosts = 0, codings = 0;
	bool asked_close = false;
	size_t at = head->fields;

	for (;;) {
		const char *line = head->text.data + at;
		const char *lf = memchr(line, '\n', head->text.length - at);
		const char *colon = memchr(line, ':', (size_t)(lf - line));
		struct slice name, value;
		enum head_verdict verdict;

		if (line[0] == '\r')
			break;
		if (line[0] == ' ' || line[0] == '\t')
			return HEAD_FOLDED;
		if (colon == NULL || !is_token((struct slice){line, (size_t)(colon - line)}))
			return HEAD_FIELD_NAME;
		at = field_at(head, at, &name, &value);
		verdict = parse_field(head, name, value, &hosts, &codings, &asked_close);
		if (verdict != HEAD_OK)
			return verdict;
	}
	if (hosts == 0 && head->minor > 0)
		return HEAD_NO_HOST;
	if (asked_close)
		head->keep_alive = false;
	return HEAD_OK;
}

enum head_verdict
head_parse(const char *text, size_t length, struct head *head)
{
	const char *lf = memchr(text, '\n', length);
	enum head_verdict verdict;

	CHECK(length >= 4 && memcmp(text + length - 4, "\r\n\r\n", 4) == 0);
	verdict = check_bytes(text, length);
	if (verdict != HEAD_OK)
		return verdict;
	memset(head, 0, sizeof(*head));
	head->text = (struct slice){text, length};
	head->fields = (size_t)(lf + 1 - text);
	verdict = parse_request_line((struct slice){text, head->fields - 2}, head);
	if (verdict != HEAD_OK)
		return verdict;
	head->keep_alive = head->minor > 0;
	return parse_fields(head);
}

bool
head_next(const struct head *head, const char *name, size_t *at, struct slice *value)
{
	size_t next = *at == 0 ? head->fields : *at;
	struct slice found_name, found_value;

	while ((next = field_at(head, next, &found_name, &found_value)) != 0) {
		if (slice_is(found_name, name)) {
			*at = next;
			*value = found_value;
			return true;
		}
	}
	return false;
}

bool
head_find(const struct head *head, const char *name, struct slice *value)
{
	size_t at = 0;

	return head_next(head, name, &at, value);
}
