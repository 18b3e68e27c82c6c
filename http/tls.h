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
#include <stddef.h>

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct tls_config {
	const char *certificate; /* PEM file: ours, and those between it and the root */
	const char *key;         /* PEM file, not encrypted; NULL: it is in certificate too */
	const char
		*client_ca; /* PEM file: who signs clients' certificates; NULL: none is asked for */
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

/* The name in the certificate of a client, which one of client_ca signed: its common name, else its first
 * alternative name (host, mail address or URI). To be freed; NULL if it sent none. */
char *tls_client_name(const SSL *ssl);

#endif
