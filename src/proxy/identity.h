/* SPDX-License-Identifier: Apache-2.0 */
/* Who is asking? Tokens, peer uids and gids, local keys. Pure: what the caller knows about the peer
 * and the header fields are arguments. Tokens never appear in errors. */
#ifndef SIGFERRY_PROXY_IDENTITY_H
#define SIGFERRY_PROXY_IDENTITY_H

#include "conf/conf.h"
#include "http/gate.h"
#include "sign/verify.h"

/* uid and gid 65534: what foreign users look like inside a user namespace; never accepted. */
enum { IDENTITY_NOBODY = 65534, IDENTITY_WINDOW_S = 900 };

/* What the kernel says about the peer (SO_PEERCRED, sock_diag). */
struct identity_peer {
    bool has_uid, has_gid;
    uint32_t uid, gid;
};

/* What the request says about itself: trimmed values of the fields, empty when absent. */
struct identity_claim {
    struct str authorization, proxy_authorization, token;
    unsigned nauthorization, nproxy_authorization; /* how many of these fields there are */
};

/* True when the listener accepts identified clients only: clients, client_tokens, allowed_uids or
 * allowed_gids are configured for it (its own lists, else those of `security`). */
bool identity_required(const struct conf *c, const struct conf_listener *l);

/* True when one of them can be shown over a network: clients or client_tokens. */
bool identity_travels(const struct conf *c, const struct conf_listener *l);

/* True when the peer's uid matters for the listener, so that a TCP peer is worth looking up. */
bool identity_wants_uid(const struct conf *c, const struct conf_listener *l);

/* Accepts or refuses. On ERR_OK *client is the local key the request claims, which identity_verify
 * has to confirm once the body is known, or NULL. ERR_CLIENT_NOT_ALLOWED, ERR_INTERNAL. Source:
 * a local key, a token or a uid is enough; a wrong token is refused even with a right uid. */
NODISCARD enum err identity_check(const struct conf *c, const struct conf_listener *l,
                                  const struct identity_claim *claim,
                                  const struct identity_peer *peer,
                                  const struct conf_client **client, struct err_detail *why);

/* Verifies the signature a local key's request came with: path, query and headers as received,
 * body_sha256 of the body really received (64 lower-case hex digits). ERR_CLIENT_NOT_ALLOWED. */
NODISCARD enum err identity_verify(struct signer *s, const struct conf_client *client,
                                   const struct gate_head *head, const struct gate_verdict *v,
                                   struct str body_sha256, int64_t now_s, struct err_detail *why);

/* The credential scope of "HMAC-SHA256 Credential=AK/DATE/REGION/SERVICE/request, …": how an SDK
 * names service and region. Views into the value; false when there is none. Lenient about what
 * follows, since only local keys are verified. */
bool identity_scope(struct str authorization, struct verify_scope *out);

/* A verified signature that leaves out Host (some SDKs' do) holds for the service and region it was
 * made for only: otherwise who sees such a request could send it to another endpoint by changing
 * its Host. ERR_CLIENT_NOT_ALLOWED. */
NODISCARD enum err identity_covers(struct str authorization, struct str service, struct str region,
                                   struct err_detail *why);

/* True for "HMAC-SHA256 …", well-formed or not. */
bool identity_is_signed(struct str authorization);

#endif
