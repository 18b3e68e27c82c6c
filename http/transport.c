#include "http/transport.h"

#include <errno.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "http/listen.h"
#include "http/tls.h"

#define INPUT_MAX 65536             /* bytes that wait in the input of a busy connection */
#define WRITE_MAX ((size_t)1 << 20) /* bytes of one write; libevent's 16 KiB cost half the speed */
#define RECORD_MAX ((size_t)16384)  /* bytes of one record of TLS */
#define PAGE 4096
#define RUNS_MAX 16 /* pieces of a buffer that are looked at at a time */

_Static_assert(RECORD_MAX <= WORKER_SCRATCH, "a record fits into the scratch");

/* ---- opening ---- */

static void
log_failure(struct conn *conn, const char *reason)
{
	struct listen_address peer = {.length = sizeof(peer.sa)};
	char text[LISTEN_TEXT_MAX] = "unknown";

	if (getpeername(conn_fd(conn), (struct sockaddr *)&peer.sa, &peer.length) == 0)
		listen_format(&peer, text);
	log_warning("TLS handshake failed peer=%s reason=\"%s\"", text,
		    reason != NULL ? reason : "unknown");
}

/* OpenSSL's word of how the handshake goes. The connection is its application data until it ended. */
static void
on_handshake(const SSL *ssl, int where, int ok)
{
	struct conn *conn = SSL_get_app_data(ssl);
	unsigned long error = ERR_peek_error(); /* the first, which is the cause of the rest */

	if (conn == NULL)
		return;
	if ((where & SSL_CB_HANDSHAKE_DONE) != 0) {
		metric_add(SSL_session_reused(ssl) ? METRIC_handshakes_resumed
						   : METRIC_handshakes_full,
			   1);
	} else if (where == SSL_CB_ACCEPT_EXIT && ok != 1 && error != 0 &&
		   ERR_GET_REASON(error) != SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		metric_add(METRIC_handshakes_failed, 1);
		log_failure(conn, ERR_reason_error_string(error));
	} else {
		return;
	}
	SSL_set_app_data(conn->ssl, NULL);
}

static struct bufferevent *
open_plain(struct event_base *base)
{
	struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

	if (bev != NULL)
		bufferevent_setwatermark(bev, EV_READ, 0, INPUT_MAX);
	return bev;
}

static struct bufferevent *
open_tls(struct conn *conn, const struct worker *worker)
{
	SSL *ssl = tls_accept(worker->tls);
	struct bufferevent *bev;

	if (ssl == NULL)
		return NULL;
	/* No watermark: libevent would stop in the middle of a record and never look for its rest. */
	bev = bufferevent_openssl_socket_new(worker->base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
					     BEV_OPT_CLOSE_ON_FREE);
	if (bev == NULL)
		return NULL;
	SSL_set_app_data(ssl, conn);
	SSL_set_info_callback(ssl, on_handshake);
	conn->ssl = ssl;
	return bev;
}

struct bufferevent *
transport_open(struct conn *conn, const struct face *face)
{
	struct bufferevent *bev = face->kind == FACE_TLS ? open_tls(conn, face->worker)
							 : open_plain(face->worker->base);

	if (bev != NULL)
		bufferevent_set_max_single_write(bev, WRITE_MAX);
	return bev;
}

bool
transport_is_open(const struct conn *conn)
{
	return conn->ssl == NULL || SSL_is_init_finished(conn->ssl);
}

/* ---- plain sockets ---- */

/* N as recv(2) and send(2) return it, in our terms. */
static ssize_t
result(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? -EAGAIN : -EPIPE;
}

static bool
flush_plain(struct conn *conn, struct evbuffer *output)
{
	/* The bufferevent would do this in the next turn of the loop. */
	evbuffer_unfreeze(output, 1);
	while (evbuffer_get_length(output) > 0) {
		if (evbuffer_write(output, conn_fd(conn)) <= 0)
			break;
	}
	evbuffer_freeze(output, 1);
	if (evbuffer_get_length(output) > 0)
		return false;
	/* Else it would still wait to see that; and its send_timeout, of which only evhttp hears, be over before that
	 * of who waits for the socket from now on. */
	bufferevent_disable(conn->bev, EV_WRITE);
	return true;
}

/* ---- TLS ---- */

/* What a call of OpenSSL that returned N says. */
static ssize_t
tls_result(const SSL *ssl, int n)
{
	int error = SSL_get_error(ssl, n);

	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? -EAGAIN : -EPIPE;
}

static ssize_t
tls_read(SSL *ssl, const struct iovec *iov, int count)
{
	ssize_t sum = 0;

	for (int i = 0; i < count; i++) {
		for (size_t at = 0; at < iov[i].iov_len;) {
			size_t n = 0;
			int ok;

			ERR_clear_error();
			ok = SSL_read_ex(ssl, (char *)iov[i].iov_base + at, iov[i].iov_len - at,
					 &n);
			if (ok != 1)
				return sum > 0 ? sum : tls_result(ssl, ok);
			at += n;
			sum += (ssize_t)n;
		}
	}
	return sum;
}

/* The next record's bytes from IOV, of which AT were sent: as they lie there, or gathered in SCRATCH. */
static const void *
next_record(const struct iovec *iov, int count, size_t at, unsigned char *scratch, size_t *length)
{
	*length = 0;
	for (int i = 0; i < count && *length < RECORD_MAX; i++) {
		size_t n, left = iov[i].iov_len;

		if (at >= left) {
			at -= left;
			continue;
		}
		left -= at;
		n = RECORD_MAX - *length < left ? RECORD_MAX - *length : left;
		if (n == RECORD_MAX) {
			*length = n;
			return (const char *)iov[i].iov_base + at;
		}
		memcpy(scratch + *length, (const char *)iov[i].iov_base + at, n);
		*length += n;
		at = 0;
	}
	return scratch;
}

static void on_written(struct bufferevent *bev, void *arg);

/* OpenSSL has made a record of DATA, and wants to be asked for it again, with the same bytes in one
 * piece: libevent does that when the socket can take it. */
static ssize_t
keep_record(struct conn *conn, const void *data, size_t length)
{
	struct evbuffer *output = bufferevent_get_output(conn->bev);
	bufferevent_data_cb readcb, writecb;
	bufferevent_event_cb eventcb;
	void *arg;

	if (evbuffer_expand(output, length) != 0 || evbuffer_add(output, data, length) != 0)
		return -EPIPE;
	/* Between two requests evhttp's own would act on the end of an old reply. */
	bufferevent_getcb(conn->bev, &readcb, &writecb, &eventcb, &arg);
	if (writecb != on_written)
		bufferevent_setcb(conn->bev, readcb, NULL, eventcb, arg);
	return bufferevent_enable(conn->bev, EV_WRITE) == 0 ? (ssize_t)length : -EPIPE;
}

static ssize_t
tls_send(struct conn *conn, const struct iovec *iov, int count)
{
	unsigned char *scratch = conn->worker->scratch;
	size_t sum = 0, length;
	const void *data;
	ssize_t n;

	/* A record in the output is still to be finished. */
	if (evbuffer_get_length(bufferevent_get_output(conn->bev)) > 0)
		return -EAGAIN;
	while ((data = next_record(iov, count, sum, scratch, &length)), length > 0) {
		int sent;

		ERR_clear_error();
		sent = SSL_write(conn->ssl, data, (int)length);
		if (sent <= 0) {
			n = tls_result(conn->ssl, sent);
			if (n == -EAGAIN)
				n = keep_record(conn, data, length);
			return n < 0 ? n : (ssize_t)sum + n;
		}
		sum += (size_t)sent;
	}
	return (ssize_t)sum;
}

/* What evhttp wants to be called when its output is empty: the same for every connection. */
static _Atomic(bufferevent_data_cb) evhttp_written;

/* libevent calls this a turn of the loop after the output was empty; evhttp would take what was queued
 * since for sent. It is called again for that. */
static void
on_written(struct bufferevent *bev, void *arg)
{
	if (evbuffer_get_length(bufferevent_get_output(bev)) == 0)
		atomic_load_explicit(&evhttp_written, memory_order_relaxed)(bev, arg);
}

void
transport_queued(struct conn *conn)
{
	bufferevent_data_cb readcb, writecb;
	bufferevent_event_cb eventcb;
	void *arg;

	if (conn->ssl == NULL || evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0)
		return;
	bufferevent_getcb(conn->bev, &readcb, &writecb, &eventcb, &arg);
	if (writecb == NULL || writecb == on_written)
		return;
	atomic_store_explicit(&evhttp_written, writecb, memory_order_relaxed);
	bufferevent_setcb(conn->bev, readcb, on_written, eventcb, arg);
}

/* ---- input ---- */

ssize_t
transport_read(struct conn *conn, const struct iovec *iov, int count)
{
	ssize_t n;

	if (conn->ssl != NULL)
		return tls_read(conn->ssl, iov, count);
	n = readv(conn_fd(conn), iov, count);
	return n == 0 ? -EPIPE : result(n);
}

void
transport_await(struct conn *conn, struct event *readable, const struct timeval *timeout)
{
	event_add(readable, timeout);
	if (conn->ssl != NULL && (SSL_pending(conn->ssl) > 0 || SSL_get_shutdown(conn->ssl) != 0))
		event_active(readable, EV_READ, 0);
}

void
transport_resume_input(struct conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	int n;

	while (conn->ssl != NULL && SSL_pending(conn->ssl) > 0) {
		ERR_clear_error();
		n = SSL_read(conn->ssl, conn->worker->scratch, WORKER_SCRATCH);
		if (n <= 0 || evbuffer_add(input, conn->worker->scratch, (size_t)n) != 0)
			break;
	}
}

void
transport_bound_input(struct conn *conn)
{
	/* evhttp reads again when the reply is sent. */
	if (conn->ssl != NULL && evbuffer_get_length(bufferevent_get_input(conn->bev)) >= INPUT_MAX)
		bufferevent_disable(conn->bev, EV_READ);
}

/* ---- output ---- */

int
transport_socket(struct conn *conn)
{
	return conn->ssl == NULL ? conn_fd(conn) : -1;
}

ssize_t
transport_send_plain(int fd, struct iovec *iov, int count)
{
	const struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};

	return result(sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
}

ssize_t
transport_send(struct conn *conn, struct iovec *iov, int count)
{
	return conn->ssl != NULL ? tls_send(conn, iov, count)
				 : transport_send_plain(conn_fd(conn), iov, count);
}

/* Set when it turns out that sendfile can't be had: of the file system, or by a filter of system calls. */
static atomic_bool no_sendfile;

/* LENGTH bytes of FILE from OFFSET on, behind the WANTED bytes of the COUNT pieces of IOV, which may be none. */
static ssize_t
send_file(int fd, struct iovec *iov, int count, size_t wanted, int file, off_t offset,
	  size_t length)
{
	const struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
	ssize_t before = 0, n;

	if (count > 0) {
		before = result(sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE));
		if (before < 0 || (size_t)before < wanted)
			return before;
	}
	n = sendfile(fd, file, &offset, length);
	if (n > 0)
		return before + n;
	if (n < 0 && (errno == EINVAL || errno == ENOSYS || errno == EPERM)) {
		atomic_store_explicit(&no_sendfile, true, memory_order_relaxed);
		errno = EAGAIN;
	}
	if (n == 0 || errno == EIO)
		return -EIO; /* it is shorter than it was, or can't be read */
	n = result(n);
	return n == -EAGAIN && before > 0 ? before : n;
}

ssize_t
transport_send_mapped(struct conn *conn, struct iovec *iov, int count, int file, off_t offset)
{
	size_t before = 0, length, lead;
	struct iovec *last;
	ssize_t n;

	if (file < 0 || conn->ssl != NULL ||
	    atomic_load_explicit(&no_sendfile, memory_order_relaxed))
		return transport_send(conn, iov, count);
	last = &iov[count - 1];
	length = last->iov_len;
	/* What is in front of a page goes with the rest of the head: sendfile moves sixteen pages at a time. */
	lead = count > 1 && length > PAGE ? (size_t)-offset % PAGE : 0;
	last->iov_len = lead;
	for (int i = 0; i < count; i++)
		before += iov[i].iov_len;
	n = send_file(conn_fd(conn), iov, lead > 0 ? count : count - 1, before, file,
		      offset + (off_t)lead, length - lead);
	last->iov_len = length;
	return n;
}

ssize_t
transport_send_buffer(struct conn *conn, struct evbuffer *buffer)
{
	struct iovec iov[RUNS_MAX];
	ssize_t n;
	int runs;

	if (conn->ssl == NULL) {
		n = evbuffer_write(buffer, conn_fd(conn));
		return n == 0 ? -EPIPE : result(n);
	}
	runs = evbuffer_peek(buffer, -1, NULL, iov, RUNS_MAX);
	n = tls_send(conn, iov, runs < RUNS_MAX ? runs : RUNS_MAX);
	if (n > 0)
		evbuffer_drain(buffer, (size_t)n);
	return n;
}

void
transport_say(struct conn *conn, const char *text, size_t length)
{
	struct iovec iov = {(void *)(uintptr_t)text, length};
	ssize_t n = transport_send(conn, &iov, 1);
	size_t sent = n > 0 ? (size_t)n : 0; /* an error shows itself again */

	if (sent == length)
		return;
	evbuffer_add(bufferevent_get_output(conn->bev), text + sent, length - sent);
	bufferevent_enable(conn->bev, EV_WRITE);
}

bool
transport_flush(struct conn *conn)
{
	struct evbuffer *output = bufferevent_get_output(conn->bev);

	if (evbuffer_get_length(output) == 0)
		return true;
	/* What OpenSSL was asked to write before, only libevent can ask again. */
	return conn->ssl == NULL && flush_plain(conn, output);
}

/* ---- the end ---- */

void
transport_cut(struct conn *conn)
{
	if (conn->ssl != NULL)
		SSL_set_quiet_shutdown(conn->ssl, 1);
}

void
transport_reset(struct conn *conn)
{
	/* connect(2) to AF_UNSPEC dissolves the association; evhttp's shutdown would send a FIN. */
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	int rc = connect(conn_fd(conn), &nobody, sizeof(nobody));

	(void)rc; /* it is closed in any case */
}

void
transport_close(struct conn *conn)
{
	if (conn->ssl == NULL || evbuffer_get_length(bufferevent_get_output(conn->bev)) > 0)
		return;
	ERR_clear_error();
	SSL_shutdown(conn->ssl);
	ERR_clear_error();
}

void
transport_give_up(struct conn *conn)
{
	CHECK(conn->ssl != NULL);
	/* The bufferevent sees the end, and tells evhttp, which has given us nothing to tell it by. */
	shutdown(conn_fd(conn), SHUT_RDWR);
}

void
transport_lost(struct conn *conn)
{
	if (conn->ssl != NULL && SSL_get_app_data(conn->ssl) != NULL)
		metric_add(METRIC_handshakes_abandoned, 1);
}
