/* setup.h - from a configuration to what the server and the store are given, at the start and at a reload.
 *
 * Threads  the main thread.
 */
#ifndef SPILLWAY_DAEMON_SETUP_H
#define SPILLWAY_DAEMON_SETUP_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/config.h"
#include "http/settings.h"
#include "http/tls.h"
#include "storage/store.h"

/* What requests go by. 0 with a reference in *OUT, or -errno with the reason in WHY. */
int setup_settings(const struct config *config, struct settings **out, char *why, size_t why_size);

/* All but the workers and their mailboxes; its strings are CONFIG's. */
void setup_store(const struct config *config, struct store_config *out);

/* 0 with no certificate in OUT if no TLS is wanted; its strings are CONFIG's. -EINVAL with the reason in WHY. */
int setup_tls(const struct config *config, struct tls_config *out, char *why, size_t why_size);

/* Whether KEY, one of options_keys, means the same for a server that runs and one that is started anew. */
bool setup_is_live(const struct option_key *key);

#endif
