#include "http/body.h"

#include "base/check.h"

void
body_init(struct body *body, const struct head *head)
{
	body_init_empty(body);
	switch (head->body) {
	case HEAD_BODY_NONE:
		break;
	case HEAD_BODY_LENGTH:
		body->left = head->content_length;
		break;
	case HEAD_BODY_CHUNKED:
		body->chunked = true;
		break;
	}
}

void
body_init_empty(struct body *body)
{
	body->chunked = false;
	body->left = 0;
	chunk_init(&body->chunk);
}

ssize_t
body_framing(struct body *body, const char *data, size_t length)
{
	return body->chunked ? chunk_framing(&body->chunk, data, length) : 0;
}

uint64_t
body_payload(const struct body *body)
{
	return body->chunked ? chunk_payload(&body->chunk) : body->left;
}

void
body_took(struct body *body, uint64_t length)
{
	if (body->chunked) {
		chunk_took(&body->chunk, length);
		return;
	}
	CHECK(length <= body->left);
	body->left -= length;
}

bool
body_done(const struct body *body)
{
	return body->chunked ? chunk_done(&body->chunk) : body->left == 0;
}

ssize_t
body_skip(struct body *body, const char *data, size_t length)
{
	size_t n = 0;

	while (n < length && !body_done(body)) {
		uint64_t payload = body_payload(body);
		ssize_t eaten;

		if (payload > length - n)
			payload = length - n;
		if (payload > 0) {
			body_took(body, payload);
			n += (size_t)payload;
			continue;
		}
		eaten = body_framing(body, data + n, length - n);
		if (eaten < 0)
			return eaten;
		n += (size_t)eaten;
	}
	return (ssize_t)n;
}
