#include "http/intake.h"

#include <errno.h>
#include <string.h>

#include "http/transport.h"
#include "storage/writer.h"

#define TURN_MAX ((size_t)1 << 20) /* bytes of one call, more or less */

/* What the functions below work on together. */
struct move {
	struct intake *intake;
	struct conn *conn;
	struct writer *writer;
};

/* Whether MORE bytes, of which none was taken yet, are too many: 0, -ERANGE or -EFBIG. */
static int
check_length(const struct move *move, uint64_t more)
{
	const struct intake *intake = move->intake;

	if (more > intake->end - intake->length)
		return -ERANGE;
	if (intake->max == 0)
		return 0;
	return intake->length > intake->max || more > intake->max - intake->length ? -EFBIG : 0;
}

static void
took(struct move *move, size_t length)
{
	writer_commit(move->writer, length);
	body_took(&move->conn->body, length);
	move->intake->length += length;
}

/* Takes the body's share of DATA. *USED is less than LENGTH when the rest is the next request's, when
 * there is no room, or after an error. 0, -EPROTO, -EFBIG or -ERANGE. */
static int
take(struct move *move, const char *data, size_t length, size_t *used)
{
	struct body *body = &move->conn->body;

	*used = 0;
	while (*used < length && !body_done(body)) {
		uint64_t part = body_payload(body);
		void *space;
		size_t room;
		int rc;

		if (part == 0) {
			ssize_t n = body_framing(body, data + *used, length - *used);

			if (n < 0)
				return -EPROTO;
			*used += (size_t)n;
			continue;
		}
		rc = check_length(move, part);
		if (rc != 0)
			return rc;
		room = writer_reserve(move->writer, &space);
		if (room == 0)
			return 0;
		if (part > length - *used)
			part = length - *used;
		if (part > room)
			part = room;
		memcpy(space, data + *used, (size_t)part);
		took(move, (size_t)part);
		*used += (size_t)part;
	}
	return 0;
}

/* Takes what the bufferevent had read already, or what was put back. As intake_read. */
static int
take_input(struct move *move)
{
	struct evbuffer *input = bufferevent_get_input(move->conn->bev);
	struct body *body = &move->conn->body;
	struct evbuffer_iovec run;

	while (!body_done(body) && evbuffer_get_length(input) > 0 &&
	       evbuffer_peek(input, -1, NULL, &run, 1) > 0) {
		size_t used;
		int rc = take(move, run.iov_base, run.iov_len, &used);

		evbuffer_drain(input, used);
		if (rc != 0)
			return rc;
		if (used < run.iov_len && !body_done(body))
			return -ENOBUFS;
	}
	return 0;
}

/* Takes the body's share of what landed in the scratch, and puts the rest into the empty input. */
static int
take_scratch(struct move *move, size_t length)
{
	const char *scratch = (const char *)move->conn->worker->scratch;
	size_t used;
	int rc = take(move, scratch, length, &used);

	if (used == length || rc == -EPROTO)
		return rc;
	if (evbuffer_prepend(bufferevent_get_input(move->conn->bev), scratch + used,
			     length - used) != 0)
		return -EPIPE;
	return rc == 0 && !body_done(&move->conn->body) ? -ENOBUFS : rc;
}

/* One read. *GOT is what arrived; *DRAINED when the socket had no more. As intake_read. */
static int
read_once(struct move *move, size_t *got, bool *drained)
{
	struct body *body = &move->conn->body;
	uint64_t payload = body_payload(body);
	struct iovec iov[2];
	size_t direct = 0, asked = 0;
	int count = 0, rc;
	ssize_t n;

	if (payload > 0) {
		rc = check_length(move, payload);
		if (rc != 0)
			return rc;
		direct = writer_reserve(move->writer, &iov[0].iov_base);
		if (direct == 0)
			return -ENOBUFS;
		if (direct > payload)
			direct = (size_t)payload;
		iov[count++].iov_len = direct;
		asked = direct;
	}
	if (body->chunked && direct == payload) {
		iov[count++] = (struct iovec){move->conn->worker->scratch, WORKER_SCRATCH};
		asked += WORKER_SCRATCH;
	}
	n = transport_read(move->conn, iov, count);
	*got = n > 0 ? (size_t)n : 0;
	*drained = *got < asked;
	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	if (direct > *got)
		direct = *got;
	if (direct > 0)
		took(move, direct);
	return *got > direct ? take_scratch(move, *got - direct) : 0;
}

int
intake_read(struct intake *intake, struct conn *conn, struct writer *writer)
{
	struct move move = {.intake = intake, .conn = conn, .writer = writer};
	size_t sum = 0;
	bool drained = false;
	int rc = take_input(&move);

	while (rc == 0 && !body_done(&conn->body) && !drained && sum < TURN_MAX) {
		size_t got = 0;

		rc = read_once(&move, &got, &drained);
		sum += got;
	}
	return rc;
}
