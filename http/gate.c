#include "http/gate.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/clock.h"
#include "http/checker.h"
#include "http/reply.h"

enum gate_state {
	GATE_CHECKING,
	GATE_ORPHAN, /* the connection is gone; waits for the letter */
};

enum gate_event { GATE_CHECKED, GATE_GONE };

struct gate {
	struct conn *conn; /* NULL when ORPHAN */
	struct worker *worker;
	enum gate_state state;
	enum grant_op op;
	struct slice query; /* in the head's memory */
	gate_go_on *go_on;
	struct check check;
	char name[];
};

/* The address of the client, NULL for a local socket. It is remembered: a client may leave while its last request
 * is still here, and then the socket knows nothing of it any more. */
static const struct cidr_address *
find_address(struct conn *conn)
{
	static const struct cidr_address nobody; /* "::" */
	struct sockaddr_storage sa;
	socklen_t size = sizeof(sa);

	if (!conn->address_known) {
		if (getpeername(conn_fd(conn), (struct sockaddr *)&sa, &size) != 0)
			return &nobody;
		conn->has_address = cidr_of((const struct sockaddr *)&sa, &conn->address);
		conn->address_known = true;
	}
	return conn->has_address ? &conn->address : NULL;
}

/* Says in one line which key refused it. */
static void
forbid(struct conn *conn, enum grant_op op, enum grant_verdict verdict)
{
	static const char *const unsaid[] = {
		[GRANT_READ] = "",
		[GRANT_WRITE] = "only this machine may write until a rule has write_from or "
				"write_user: see spillway.conf(5)",
		[GRANT_DELETE] = "only this machine may delete until a rule has write_from or "
				 "delete_from: see spillway.conf(5)",
		[GRANT_LIST] = "only this machine may list until a rule has list_from or "
			       "list_user: see spillway.conf(5)",
		[GRANT_ADMIN] = "",
	};
	static const char *const place[] = {
		[GRANT_READ] = "this address may not read here (read_from)",
		[GRANT_WRITE] = "this address may not write here (write_from)",
		[GRANT_DELETE] = "this address may not delete here (delete_from or write_from)",
		[GRANT_LIST] = "this address may not list here (list_from)",
		[GRANT_ADMIN] = "this address may not use this listener (admin_from)",
	};
	static const char *const plain[] = {
		[GRANT_READ] = "reading here needs TLS and a client certificate (read_certificate)",
		[GRANT_WRITE] =
			"writing here needs TLS and a client certificate (write_certificate)",
		[GRANT_DELETE] = ("deleting here needs TLS and a client certificate "
				  "(delete_certificate or write_certificate)"),
		[GRANT_LIST] = "listing here needs TLS and a client certificate (list_certificate)",
		[GRANT_ADMIN] = "",
	};
	static const char *const bare[] = {
		[GRANT_READ] = "reading here needs a client certificate that tls_client_ca vouches "
			       "for (read_certificate)",
		[GRANT_WRITE] = "writing here needs a client certificate that tls_client_ca "
				"vouches for (write_certificate)",
		[GRANT_DELETE] = "deleting here needs a client certificate that tls_client_ca "
				 "vouches for (delete_certificate or write_certificate)",
		[GRANT_LIST] = "listing here needs a client certificate that tls_client_ca vouches "
			       "for (list_certificate)",
		[GRANT_ADMIN] = "",
	};

	switch (verdict) {
	case GRANT_GIVEN:
	case GRANT_UNKNOWN:
		break;
	case GRANT_UNSAID:
		reply_text(conn, 403, unsaid[op]);
		return;
	case GRANT_PLACE:
		reply_text(conn, 403, place[op]);
		return;
	case GRANT_PERSON:
		reply_text(conn, 403, "these credentials are good, but not for this");
		return;
	case GRANT_NO_CERTIFICATE:
		/* An encoder that keeps its connection would be refused for as long as it does. */
		if (conn->ssl != NULL && tls_should_ask_again(conn->worker->tls, conn->ssl))
			conn->close_after = true;
		reply_text(conn, 403, conn->ssl == NULL ? plain[op] : bare[op]);
		return;
	}
}

static void
challenge(struct conn *conn, const struct grant_terms *terms)
{
	static const char basic[] = "Basic realm=\"spillway\", charset=\"UTF-8\"";
	static const char bearer[] = "Bearer realm=\"spillway\"";

	if (grant_asks_user(terms) && grant_asks_token(terms))
		reply_header_format(conn, "WWW-Authenticate", "%s, %s", basic, bearer);
	else
		reply_header(conn, "WWW-Authenticate", grant_asks_user(terms) ? basic : bearer);
	reply_text(conn, 401, "credentials are needed, or these are wrong");
}

/* Answers by what WHO may do. True if the request may go on instead. */
static bool
is_granted(struct conn *conn, enum grant_op op, const struct grant_terms *terms,
	   const struct grant_who *who)
{
	enum grant_verdict verdict = grant_judge(op, terms, find_address(conn), who);

	if (who->user != NULL)
		access_user(conn, who->user);
	else
		access_user(conn, who->token != NULL ? who->token : who->certificate);
	switch (verdict) {
	case GRANT_GIVEN:
		conn->for_one = grant_asks(terms);
		return true;
	case GRANT_UNSAID:
	case GRANT_PLACE:
	case GRANT_PERSON:
	case GRANT_NO_CERTIFICATE:
		forbid(conn, op, verdict);
		return false;
	case GRANT_UNKNOWN:
		challenge(conn, terms);
		return false;
	}
	return false;
}

/* The check is done: judges again, now that it is known who asks. */
static void
checked(struct gate *gate)
{
	struct conn *conn = gate->conn;
	struct settings *settings = gate->check.settings;
	struct grant_terms terms = rules_terms(settings->rules, gate->name, gate->op);
	struct grant_who who = {.user = gate->check.good ? gate->check.credentials.user : NULL};

	conn_detach(conn);
	if (is_granted(conn, gate->op, &terms, &who))
		gate->go_on(conn, gate->name, gate->query);
}

static void
step(struct gate *gate, enum gate_event event)
{
	if (event == GATE_GONE) {
		CHECK(gate->state == GATE_CHECKING);
		gate->state = GATE_ORPHAN;
		atomic_store(&gate->check.unwanted, true);
		gate->conn = NULL;
		return;
	}
	if (gate->state == GATE_CHECKING)
		checked(gate);
	settings_put(&gate->check.settings);
	credentials_forget(&gate->check.credentials);
	free(gate);
}

static void
on_checked(struct letter *letter)
{
	struct gate *gate = (struct gate *)((char *)letter - offsetof(struct gate, check.letter));

	gate->worker->letters--;
	step(gate, GATE_CHECKED);
}

static void
on_gone(void *handler)
{
	step(handler, GATE_GONE);
}

/* Has the password of CREDENTIALS, whose key is KEY, checked. */
static void
check_later(struct conn *conn, enum grant_op op, const char *name, struct slice query,
	    gate_go_on *go_on, const struct credentials *credentials,
	    const uint8_t key[VERDICTS_KEY_SIZE])
{
	struct worker *worker = conn->worker;
	size_t size = strlen(name) + 1;
	struct gate *gate = calloc(1, sizeof(*gate) + size);

	if (gate == NULL) {
		reply_text(conn, 503, "out of memory");
		return;
	}
	memcpy(gate->name, name, size);
	gate->conn = conn;
	gate->worker = worker;
	gate->state = GATE_CHECKING;
	gate->op = op;
	gate->query = query;
	gate->go_on = go_on;
	gate->check.settings = settings_get(worker->settings);
	gate->check.credentials = *credentials;
	memcpy(gate->check.key, key, VERDICTS_KEY_SIZE);
	gate->check.mailbox = &worker->mailbox;
	gate->check.letter.deliver = on_checked;
	conn_attach(conn, on_gone, gate);
	worker->letters++;
	if (checker_submit(worker->checker, &gate->check) == 0)
		return;
	worker->letters--;
	conn_detach(conn);
	settings_put(&gate->check.settings);
	credentials_forget(&gate->check.credentials);
	free(gate);
	reply_header(conn, "Retry-After", "2");
	reply_text(conn, 503, "too many passwords wait to be checked");
}

/* What a request shows without delay. VERDICT_UNKNOWN: its password, whose key is in KEY, must be checked. */
static enum verdict
look(const struct settings *settings, const struct grant_terms *terms,
     const struct credentials *credentials, struct grant_who *who, uint8_t key[VERDICTS_KEY_SIZE])
{
	enum verdict verdict = VERDICT_BAD;

	switch (credentials->kind) {
	case CREDENTIALS_NONE:
		break;
	case CREDENTIALS_BEARER:
		if (grant_asks_token(terms))
			who->token = secrets_token(settings->tokens, credentials->token);
		break;
	case CREDENTIALS_BASIC:
		if (grant_asks_user(terms) &&
		    verdicts_key(settings->verdicts, credentials->user, credentials->password, key))
			verdict = verdicts_find(settings->verdicts, key, clock_mono_ms());
		if (verdict == VERDICT_GOOD)
			who->user = credentials->user;
		break;
	}
	return verdict;
}

void
gate_pass(struct conn *conn, enum grant_op op, const char *name, struct slice query,
	  gate_go_on *go_on)
{
	const struct settings *settings = conn->worker->settings;
	struct credentials credentials;
	struct grant_terms terms;
	struct grant_who who = {.user = NULL};
	uint8_t key[VERDICTS_KEY_SIZE];
	bool granted;

	if (op == GRANT_READ && !rules_limit_reads(settings->rules)) {
		go_on(conn, name, query);
		return;
	}
	terms = rules_terms(settings->rules, name, op);
	if (grant_asks_certificate(&terms))
		who.certificate = conn_client_certificate(conn);
	if (grant_judge(op, &terms, find_address(conn), &who) == GRANT_UNKNOWN) {
		credentials_read(&conn->head, &credentials);
		if (look(settings, &terms, &credentials, &who, key) == VERDICT_UNKNOWN) {
			check_later(conn, op, name, query, go_on, &credentials, key);
			credentials_forget(&credentials);
			return;
		}
	}
	granted = is_granted(conn, op, &terms, &who);
	credentials_forget(&credentials);
	if (granted)
		go_on(conn, name, query);
}
