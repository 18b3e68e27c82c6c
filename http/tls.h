/* tls.h - the server's certificate, and what TLS is spoken with.
 *
 * What was loaded is a context that every handshake takes as it begins. Another one can be put in its
 * place while connections live on with theirs. Sessions are resumed by tickets, of any worker; a new
 * context has new ticket keys, so that nobody resumes what another client CA allowed.
 *
 * Threads  tls_new, tls_reload and tls_free on the main thread, the rest on any.
 * Owns     the context. lock: current.
 */
#ifndef SPILLWAY_HTTP_TLS_H
#define SPILLWAY_HTTP_TLS_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct tls_config {
	const char *certificate; /* PEM file: ours, and those between it and the root */
	const char *key;         /* PEM file, not encrypted; NULL: it is in certificate too */
	const char *
		client_ca; /* PEM file: who signs clients' certificates, and which they revoked; NULL: none is asked for */
	enum tls_version min_version;
};

struct tls;

/* Loads what CONFIG names. 0; -EINVAL with the file and the reason in WHY; -ENOMEM. */
int tls_new(const struct tls_config *config, struct tls **out, char *why, size_t why_size);

/* The same for handshakes from now on. After an error everything is as it was. */
int tls_reload(struct tls *tls, const struct tls_config *config, char *why, size_t why_size);

/* Accepts a pointer to NULL. Connections may outlive it. */
void tls_free(struct tls **tls);

/* The server's side of a new connection. NULL without memory. */
SSL *tls_accept(struct tls *tls);

/* A ticket of TLS 1.3 goes out before what is written next: a reply to a request that was received whole. Behind the
 * handshake it would stay unread with senders that never read, as ffmpeg, whose close would then reset the connection and
 * lose the end of their upload. */
void tls_give_ticket(SSL *ssl);

/* Who a client is by its certificate, as far as it was looked at. All zeros to begin with. */
struct tls_client {
	char *name;          /* NULL: nobody */
	unsigned generation; /* of the context that vouches for it; 0: not looked at yet */
	int64_t until_ms;    /* wall; the end of the certificate */
};

/* The name in the certificate that the client proved to have, and that the present client_ca vouches for: its
 * common name, else its first alternative name (host, mail address or URI). CLIENT remembers it, and is looked at again
 * after a reload: who has a connection is not trusted for longer than its authority. NULL if there is none,
 * also when it has expired by now. */
const char *tls_identify(struct tls *tls, const SSL *ssl, struct tls_client *client);

/* Whether another connection might show a certificate that counts where this one did not: it was asked by what held
 * before a reload, and sent none, or not the chain that belongs to it (a resumed session has none). */
bool tls_should_ask_again(struct tls *tls, const SSL *ssl);

/* Frees what is in CLIENT. */
void tls_client_clear(struct tls_client *client);

#endif
