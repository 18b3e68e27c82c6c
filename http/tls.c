#include "http/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

struct tls {
	pthread_mutex_t lock;
	SSL_CTX *current;
	_Atomic unsigned generation; /* of current, from 1; written under lock */
};

/* ---- loading ---- */

/* Keys with a passphrase are not for servers that start by themselves. */
static int
refuse_passphrase(char *text, int size, int writing, void *arg)
{
	bool *asked = arg;

	(void)text;
	(void)size;
	(void)writing;
	*asked = true;
	return -1;
}

/* Why there is no THING to be had from FILE: what OpenSSL said first is the cause of the rest. */
static int
explain(const char *file, const char *thing, char *why, size_t why_size)
{
	unsigned long error = ERR_get_error();
	const char *reason = ERR_reason_error_string(error);
	int library = ERR_GET_LIB(error);

	if (library == ERR_LIB_SYS) /* errno */
		snprintf(why, why_size, "%s: %s", file, strerror(ERR_GET_REASON(error)));
	else if ((library == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE) ||
		 library == ERR_LIB_OSSL_DECODER)
		snprintf(why, why_size, "%s: it has no %s in PEM form", file, thing);
	else
		snprintf(why, why_size, "%s: its %s can't be used: %s", file, thing,
			 reason != NULL ? reason : "unknown error");
	return -EINVAL;
}

static int
load_key(SSL_CTX *context, const struct tls_config *config, char *why, size_t why_size)
{
	const char *file = config->key != NULL ? config->key : config->certificate;
	bool asked = false;
	int ok;

	SSL_CTX_set_default_passwd_cb(context, refuse_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(context, &asked);
	ok = SSL_CTX_use_PrivateKey_file(context, file, SSL_FILETYPE_PEM);
	SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
	if (ok == 1)
		return 0;
	if (asked) {
		snprintf(why, why_size,
			 "%s: the key is encrypted; store it without a passphrase, readable only "
			 "by the server (openssl pkey -in %s -out NEW)",
			 file, file);
		return -EINVAL;
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH ||
	    ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_TYPE_MISMATCH) {
		snprintf(why, why_size, "%s: the key is not that of the certificate in %s", file,
			 config->certificate);
		return -EINVAL;
	}
	return explain(file, "private key", why, why_size);
}

/* The lists of revoked certificates that stand in the file must not be there for nothing. */
static void
heed_revocations(X509_STORE *store)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);

	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++)
		if (X509_OBJECT_get_type(sk_X509_OBJECT_value(objects, i)) == X509_LU_CRL)
			X509_STORE_set_flags(store,
					     X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
}

/* Clients may send a certificate; one that is not good ends the handshake. */
static int
load_client_ca(SSL_CTX *context, const char *file, char *why, size_t why_size)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);

	if (names == NULL || SSL_CTX_load_verify_file(context, file) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return explain(file, "certificate", why, why_size);
	}
	heed_revocations(SSL_CTX_get_cert_store(context));
	SSL_CTX_set_client_CA_list(context, names);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	return 0;
}

/* RFC 7301: HTTP/1.1 is all we speak; who insists on something else is told so. */
static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length,
		const unsigned char *offered, unsigned offered_length, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_length, ours, sizeof(ours) - 1, offered,
				  offered_length) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static void
configure(SSL_CTX *context, enum tls_version min_version)
{
	static const unsigned char name[] = "spillway";

	SSL_CTX_set_min_proto_version(context, min_version == TLS_VERSION_1_3 ? TLS1_3_VERSION
									      : TLS1_2_VERSION);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					     SSL_OP_CIPHER_SERVER_PREFERENCE |
					     SSL_OP_PRIORITIZE_CHACHA);
	/* Thousands of readers wait: no 32 KiB of buffers for each. */
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	/* See tls_give_ticket. */
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_session_id_context(context, name, sizeof(name) - 1);
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
}

static void
log_loaded(SSL_CTX *context, const char *file)
{
	const X509 *certificate = SSL_CTX_get0_certificate(context);
	const ASN1_TIME *end = X509_get0_notAfter(certificate);
	char subject[256] = "";
	struct tm tm;
	char date[32] = "unknown";

	X509_NAME_oneline(X509_get_subject_name(certificate), subject, sizeof(subject));
	if (ASN1_TIME_to_tm(end, &tm) == 1)
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (X509_cmp_current_time(end) < 0)
		log_warning("certificate has expired file=%s subject=\"%s\" expired=%s", file,
			    subject, date);
	else
		log_notice("certificate loaded file=%s subject=\"%s\" expires=%s", file, subject,
			   date);
}

static int
load(const struct tls_config *config, SSL_CTX **out, char *why, size_t why_size)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	int rc = 0;

	if (context == NULL) {
		snprintf(why, why_size, "TLS: out of memory");
		return -ENOMEM;
	}
	ERR_clear_error();
	configure(context, config->min_version);
	if (SSL_CTX_use_certificate_chain_file(context, config->certificate) != 1)
		rc = explain(config->certificate, "certificate", why, why_size);
	if (rc == 0)
		rc = load_key(context, config, why, why_size);
	if (rc == 0 && config->client_ca != NULL)
		rc = load_client_ca(context, config->client_ca, why, why_size);
	ERR_clear_error();
	if (rc != 0) {
		SSL_CTX_free(context);
		return rc;
	}
	log_loaded(context, config->certificate);
	*out = context;
	return 0;
}

/* ---- life ---- */

int
tls_new(const struct tls_config *config, struct tls **out, char *why, size_t why_size)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	int rc;

	if (tls == NULL) {
		snprintf(why, why_size, "TLS: out of memory");
		return -ENOMEM;
	}
	rc = load(config, &tls->current, why, why_size);
	if (rc != 0) {
		free(tls);
		return rc;
	}
	pthread_mutex_init(&tls->lock, NULL);
	atomic_init(&tls->generation, 1);
	*out = tls;
	return 0;
}

int
tls_reload(struct tls *tls, const struct tls_config *config, char *why, size_t why_size)
{
	SSL_CTX *fresh, *old;
	int rc = load(config, &fresh, why, why_size);

	if (rc != 0)
		return rc;
	pthread_mutex_lock(&tls->lock);
	old = tls->current;
	tls->current = fresh;
	atomic_fetch_add(&tls->generation, 1);
	pthread_mutex_unlock(&tls->lock);
	SSL_CTX_free(old); /* its connections have references */
	return 0;
}

void
tls_free(struct tls **tlsp)
{
	struct tls *tls = *tlsp;

	if (tls == NULL)
		return;
	*tlsp = NULL;
	SSL_CTX_free(tls->current);
	pthread_mutex_destroy(&tls->lock);
	free(tls);
}

SSL *
tls_accept(struct tls *tls)
{
	SSL *ssl;

	/* For some instructions: SSL_new takes its reference on the context. */
	pthread_mutex_lock(&tls->lock);
	ssl = SSL_new(tls->current);
	pthread_mutex_unlock(&tls->lock);
	return ssl;
}

void
tls_give_ticket(SSL *ssl)
{
	SSL_new_session_ticket(ssl); /* fails before TLS 1.3, whose handshake has given one */
	ERR_clear_error();
}

/* ---- clients ---- */

/* TEXT as a string of ours. NULL if a reader could take it for another name, or without memory. */
static char *
printable(const ASN1_STRING *text)
{
	unsigned char *utf8 = NULL;
	int length = ASN1_STRING_to_UTF8(&utf8, text);
	char *name = NULL;
	bool good = length > 0;

	for (int i = 0; good && i < length; i++)
		good = utf8[i] >= 0x20 && utf8[i] != 0x7f;
	if (good)
		name = strndup((const char *)utf8, (size_t)length);
	OPENSSL_free(utf8);
	return name;
}

static char *
common_name(X509 *certificate)
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	if (at < 0)
		return NULL;
	return printable(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

static char *
alternative_name(X509 *certificate)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	char *name = NULL;

	for (int i = 0; name == NULL && i < sk_GENERAL_NAME_num(names); i++) {
		int type;
		const void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

		if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI)
			name = printable(value);
	}
	GENERAL_NAMES_free(names);
	return name;
}

/* Whether CONTEXT vouches for CERTIFICATE, which the client of SSL showed to another one. */
static bool
vouches(SSL_CTX *context, const SSL *ssl, X509 *certificate)
{
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	bool good = false;

	ERR_clear_error();
	if (check != NULL &&
	    X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(context), certificate,
				SSL_get_peer_cert_chain(ssl)) == 1 &&
	    X509_STORE_CTX_set_default(check, "ssl_client") == 1) {
		X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(check),
						 SSL_CTX_get_security_level(context));
		good = X509_verify_cert(check) == 1;
	}
	X509_STORE_CTX_free(check);
	ERR_clear_error();
	return good;
}

static void
look(SSL_CTX *context, const SSL *ssl, struct tls_client *client)
{
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	struct tm tm;

	if (certificate == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1)
		return;
	if (SSL_get_SSL_CTX(ssl) == context ? SSL_get_verify_result(ssl) != X509_V_OK
					    : !vouches(context, ssl, certificate))
		return;
	client->until_ms = (int64_t)timegm(&tm) * 1000;
	client->name = common_name(certificate);
	if (client->name == NULL)
		client->name = alternative_name(certificate);
}

const char *
tls_identify(struct tls *tls, const SSL *ssl, struct tls_client *client)
{
	SSL_CTX *context;

	if (client->generation != atomic_load(&tls->generation)) {
		tls_client_clear(client);
		pthread_mutex_lock(&tls->lock);
		context = tls->current;
		SSL_CTX_up_ref(context);
		client->generation = atomic_load(&tls->generation);
		pthread_mutex_unlock(&tls->lock);
		look(context, ssl, client);
		SSL_CTX_free(context);
	}
	return client->until_ms >= clock_wall_ms() ? client->name : NULL;
}

bool
tls_should_ask_again(struct tls *tls, const SSL *ssl)
{
	bool is_old;

	pthread_mutex_lock(&tls->lock);
	is_old = SSL_get_SSL_CTX(ssl) != tls->current;
	pthread_mutex_unlock(&tls->lock);
	return is_old && (SSL_session_reused(ssl) == 1 || SSL_get0_peer_certificate(ssl) == NULL);
}

void
tls_client_clear(struct tls_client *client)
{
	free(client->name);
	*client = (struct tls_client){NULL, 0, 0};
}
