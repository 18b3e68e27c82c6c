#include "http/upload.h"

#include <string.h>

#include "http/etag.h"
#include "http/media.h"
#include "http/range.h"

static bool
refuse(struct upload_refusal *refusal, int code, const char *reason)
{
	*refusal = (struct upload_refusal){code, reason};
	return true;
}

/* The media type to be stored: the rule's, the request's if it says anything, or by extension. */
static void
choose_type(const struct head *head, const char *name, struct upload *upload)
{
	struct slice value, type = slice_of(media_type(name));

	if (upload->policy.content_type != NULL)
		type = slice_of(upload->policy.content_type);
	else if (head_find(head, "content-type", &value) && media_type_informs(value))
		type = value;
	if (type.length > UPLOAD_TYPE_MAX)
		type = slice_of(media_type(name));
	memcpy(upload->type, type.data, type.length);
	upload->type[type.length] = '\0';
}

/* A Content-Range on an upload (RFC 9110 14.5). Each such upload completes the object as it is then: TOTAL,
 * where it is known, is only a bound. */
static bool
read_range(const struct head *head, struct slice value, struct upload *upload,
	   struct upload_refusal *refusal)
{
	struct range_content range;
	struct slice second;
	size_t at = 0;

	if (range_parse_content(value, &range) != 0 ||
	    (head_next(head, "content-range", &at, &second) &&
	     head_next(head, "content-range", &at, &second)))
		return refuse(refusal, 400, "malformed Content-Range");
	upload->continues = true;
	upload->offset = range.first;
	upload->exact = range.last != RANGE_OPEN;
	if (upload->exact)
		upload->end = range.last + 1;
	else if (range.total != RANGE_OPEN)
		upload->end = range.total;
	return false;
}

/* Whether a body of a declared length does not fit what else the head says. */
static bool
judge_length(const struct head *head, uint64_t max, const struct upload *upload,
	     struct upload_refusal *refusal)
{
	bool declared = head->body != HEAD_BODY_CHUNKED;
	uint64_t length = head->body == HEAD_BODY_LENGTH ? head->content_length : 0;
	uint64_t room = upload->end - upload->offset;

	if (declared && upload->end != UPLOAD_OPEN &&
	    (length > room || (upload->exact && length < room)))
		return refuse(refusal, 400, "the body is not as long as Content-Range says");
	if (max == 0)
		return false;
	if (upload->offset > max || (declared && length > max - upload->offset) ||
	    (upload->exact && upload->end > max))
		return refuse(refusal, 413, "the object is larger than object_max");
	return false;
}

bool
upload_read(const struct head *head, const char *name, const struct policy *policy, uint64_t max,
	    struct upload *upload, struct upload_refusal *refusal)
{
	struct slice value;

	*upload = (struct upload){.policy = *policy, .end = UPLOAD_OPEN};
	if (head_find(head, "content-encoding", &value) && !slice_is(value, "identity"))
		return refuse(refusal, 415, "objects are stored without content coding");
	if (head_find(head, "content-range", &value) && read_range(head, value, upload, refusal))
		return true;
	if (judge_length(head, max, upload, refusal))
		return true;
	upload->conditional = etag_has_preconditions(head);
	choose_type(head, name, upload);
	return false;
}
