/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox as a cloud would: finds the key a request claims, checks the signature, and says in
 * the clouds' error codes what is wrong. Never shows a secret key. */
#include "cli/sandbox.h"

static void refuse(struct sandbox_result *r, const char *code, const char *why)
{
    r->status = 403;
    r->code = code;
    (void)err_set(&r->why, ERR_CLIENT_NOT_ALLOWED, "%s", why);
}

static const struct cred *find_key(const struct sandbox *s, struct str access_key)
{
    for (size_t i = 0; i < s->nkeys; i++)
        if (str_eq(str_of(s->keys[i]->access_key), access_key))
            return s->keys[i];
    return NULL;
}

/* The scope of a presigned query; false when there is none. Views into the arena. */
static bool presigned_scope(struct str query, struct arena *a, struct verify_scope *out)
{
    struct uri_query q;
    struct err_detail why;
    struct str credential = {NULL, 0};
    if (uri_query_parse(query, a, &q, &why) != ERR_OK)
        return false;
    for (size_t i = 0; i < q.n; i++)
        if (str_eq(q.v[i].name, STR("X-Credential")) &&
            uri_decode(q.v[i].value, true, a, &credential) != ERR_OK)
            return false;
    if (!credential.p)
        return false;
    *out = (struct verify_scope){.access_key = str_cut(&credential, '/')};
    out->date = str_cut(&credential, '/');
    out->region = str_cut(&credential, '/');
    out->service = str_cut(&credential, '/');
    return str_eq(credential, STR("request"));
}

static bool has_parameter(struct str query, struct str name)
{
    while (query.p) {
        struct str pair = str_cut(&query, '&'), key = str_cut(&pair, '=');
        if (str_eq(key, name))
            return true;
    }
    return false;
}

/* Our verify_result in the clouds' words. */
static const char *cloud_code(enum verify_result v)
{
    switch (v) {
    case VERIFY_DATE:
        return "RequestExpired";
    case VERIFY_TOKEN:
        return "InvalidSecurityToken";
    case VERIFY_MALFORMED:
        return "InvalidAuthorization";
    default:
        return "SignatureDoesNotMatch";
    }
}

static void judge(struct sandbox *s, const struct verify_input *in, const struct cred *key,
                  struct sandbox_result *out)
{
    struct sign_cred cred = cred_for_signing(key);
    struct verify_output vo = {.why = NULL};
    enum verify_result v = out->presigned ? verify_presigned(s->signer, in, &cred, &vo)
                                          : verify_request(s->signer, in, &cred, &vo);
    out->canonical_request = vo.canonical_request;
    out->string_to_sign = vo.string_to_sign;
    out->verified = v == VERIFY_OK;
    if (!out->verified)
        refuse(out, cloud_code(v), vo.why && *vo.why ? vo.why : "the signature does not match");
}

/* The key the request claims to be signed with; NULL with the refusal in *out. */
static const struct cred *identify(struct sandbox *s, const struct gate_head *head,
                                   const struct gate_verdict *v, struct sandbox_result *out)
{
    const struct hdr *auth = hdrs_find(&head->hdrs, STR("Authorization"));
    out->presigned = !auth && has_parameter(v->target.query, STR("X-Signature"));
    if (!auth && !out->presigned) {
        refuse(out, "MissingAuthenticationToken",
               "the request is not signed: no Authorization field, no X-Signature in the query");
        return NULL;
    }
    if (out->presigned ? !presigned_scope(v->target.query, &s->scratch, &out->scope)
                       : !verify_parse(auth->value, &out->scope)) {
        out->scope = (struct verify_scope){.signature = {NULL, 0}};
        refuse(out, "InvalidAuthorization",
               out->presigned ? "X-Credential is not of the form AK/DATE/REGION/SERVICE/request"
                              : "Authorization is not \"HMAC-SHA256 Credential=AK/DATE/REGION/"
                                "SERVICE/request, SignedHeaders=..., Signature=...\"");
        return NULL;
    }
    const struct cred *key = find_key(s, out->scope.access_key);
    if (!key)
        refuse(out, "InvalidAccessKey",
               "the access key is none of those the sandbox was configured with");
    return key;
}

void sandbox_verify(struct sandbox *s, const struct gate_head *head, const struct gate_verdict *v,
                    struct str body_sha256, int64_t now_s, struct sandbox_result *out)
{
    *out = (struct sandbox_result){.status = 200};
    arena_reset(&s->scratch);
    const struct cred *key = identify(s, head, v, out);
    if (!key)
        return;
    struct verify_input in = {.method = head->method,
                              .path = v->target.path,
                              .query = v->target.query,
                              .hdrs = &head->hdrs,
                              .body_sha256 = body_sha256,
                              .time_s = now_s,
                              .window_s = SANDBOX_WINDOW_S,
                              .sdk_made = true /* as the clouds do */};
    judge(s, &in, key, out);
}
