/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a received signature by making it again from what arrived. Refuses anything that could be
 * read in two ways (a field twice, names out of order). Must never say which byte of a signature
 * was wrong: the comparison takes the same time wherever it fails. */
#include "sign/verify.h"
#include "sign/sign_int.h"

#include "base/secret.h"

#define ALGORITHM "HMAC-SHA256"

static bool is_lower_hex(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.n == DIGEST_HEX_LEN;
}

/* Removes a prefix from *s; false when it is not there. */
static bool skip(struct str *s, struct str prefix)
{
    if (!str_starts(*s, prefix))
        return false;
    *s = str_n(s->p + prefix.n, s->n - prefix.n);
    return true;
}

/* AK/DATE/REGION/SERVICE/request */
static bool parse_credential(struct str c, struct verify_scope *out)
{
    uint64_t day;
    out->access_key = str_cut(&c, '/');
    out->date = str_cut(&c, '/');
    out->region = str_cut(&c, '/');
    out->service = str_cut(&c, '/');
    return c.p && str_eq(c, STR("request")) && out->access_key.n && out->region.n &&
           out->service.n && out->date.n == SIGNKEY_DAY_LEN && str_u64(out->date, 99999999, &day);
}

bool verify_parse(struct str authorization, struct verify_scope *out)
{
    *out = (struct verify_scope){.signature = {NULL, 0}};
    struct str rest = authorization;
    if (!skip(&rest, STR(ALGORITHM " Credential=")))
        return false;
    struct str credential = str_cut(&rest, ',');
    if (!rest.p || !parse_credential(credential, out) || !skip(&rest, STR(" SignedHeaders=")))
        return false;
    out->signed_headers = str_cut(&rest, ',');
    if (!rest.p || !out->signed_headers.n || !skip(&rest, STR(" Signature=")))
        return false;
    out->signature = rest;
    return is_lower_hex(rest);
}

static enum verify_result fail(struct verify_output *out, enum verify_result r, const char *why)
{
    out->why = why;
    return r;
}

static enum verify_result check_date(struct str x_date, const struct verify_input *in,
                                     struct verify_output *out)
{
    int64_t then;
    if (!sign_date_parse(x_date, &then))
        return fail(out, VERIFY_DATE, "X-Date is not of the form YYYYMMDDTHHMMSSZ");
    if (!str_eq(str_n(x_date.p, SIGNKEY_DAY_LEN), out->scope.date))
        return fail(out, VERIFY_DATE, "X-Date is of another day than the credential scope");
    if (in->window_s > 0 && (then < in->time_s - in->window_s || then > in->time_s + in->window_s))
        return fail(out, VERIFY_DATE, "X-Date is too far from this machine's time");
    return VERIFY_OK;
}

/* The only field of that name, or NULL. */
static const struct hdr *single(const struct hdrs *h, struct str name)
{
    return hdrs_count(h, name) == 1 ? hdrs_find(h, name) : NULL;
}

/* All values of a field, joined with ',' as they are signed; {NULL,0} when absent or too large. */
static struct str joined(struct signer *s, const struct hdrs *h, struct str name)
{
    const struct hdr *first = hdrs_find(h, name);
    if (!first)
        return (struct str){NULL, 0};
    struct str value = str_trim(first->value);
    if (hdrs_count(h, name) == 1)
        return value.p ? value : STR("");
    buf_reset(&s->form);
    for (size_t i = 0, seen = 0; i < h->n; i++) {
        if (!str_ieq(h->v[i].name, name))
            continue;
        if (seen++)
            buf_putc(&s->form, ',');
        buf_puts(&s->form, str_trim(h->v[i].value));
    }
    return s->form.failed ? (struct str){NULL, 0} : arena_dup(&s->arena, buf_str(&s->form));
}

static bool is_lower_token(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] >= 'A' && name.p[i] <= 'Z')
            return false;
    return hdr_is_token(name);
}

/* Fills the signer's set from the list of signed headers, which must be lower-case and sorted. */
static enum verify_result collect(struct signer *s, const struct hdrs *h, struct str list,
                                  struct verify_output *out)
{
    sign_set_begin(s);
    while (list.p && (list.n || s->nset)) {
        struct str name = str_cut(&list, ';');
        if (!is_lower_token(name))
            return fail(out, VERIFY_MALFORMED, "SignedHeaders holds what is no lower-case name");
        struct str value = joined(s, h, name);
        if (!value.p)
            return fail(out, VERIFY_MISMATCH, "a signed header did not arrive");
        if (str_eq(name, STR("host")))
            value = sign_host(value);
        if (!sign_set_add(s, name, value))
            return fail(out, VERIFY_MALFORMED, "SignedHeaders holds too many names");
        if (s->nset > 1 && str_cmp(s->set[s->nset - 2].name, name) >= 0)
            return fail(out, VERIFY_MALFORMED, "SignedHeaders is not sorted");
    }
    return VERIFY_OK;
}

static bool in_set(const struct signer *s, struct str name)
{
    for (size_t i = 0; i < s->nset; i++)
        if (str_eq(s->set[i].name, name))
            return true;
    return false;
}

/* Makes the signature of the collected set again and compares. */
static enum verify_result compare(struct signer *s, const struct verify_input *in, struct str query,
                                  struct str x_date, struct str body_sha256,
                                  const struct sign_cred *cred, struct verify_output *out)
{
    struct str path;
    char hex[DIGEST_HEX_LEN];
    const struct verify_scope *scope = &out->scope;
    if (uri_path(in->path, &s->arena, &path, NULL) != ERR_OK)
        return fail(out, VERIFY_MALFORMED, "the path is malformed");
    if (sign_canonical(s, in->method, path, query, body_sha256) != ERR_OK ||
        sign_string(s, x_date, scope->region, scope->service) != ERR_OK ||
        sign_mac(s, cred, scope->date, scope->region, scope->service, hex) != ERR_OK)
        return fail(out, VERIFY_MALFORMED, "the request is too large to verify");
    out->canonical_request = buf_str(&s->canon);
    out->string_to_sign = buf_str(&s->string);
    if (!secret_eq(scope->signature, str_n(hex, sizeof hex)))
        return fail(out, VERIFY_MISMATCH, "the signature does not match");
    out->why = "";
    return VERIFY_OK;
}

static enum verify_result check_token(const struct hdr *token, size_t count,
                                      const struct sign_cred *cred, struct verify_output *out)
{
    if (!cred->session_token.n)
        return count ? fail(out, VERIFY_TOKEN, "a session token came with a key that has none")
                     : VERIFY_OK;
    if (!token)
        return fail(out, VERIFY_TOKEN,
                    count ? "there is more than one session token"
                          : "the key's session token is missing");
    if (!secret_eq(str_trim(token->value), cred->session_token))
        return fail(out, VERIFY_TOKEN, "the session token is not the key's");
    return VERIFY_OK;
}

/* The fields that must be there once, and in the signed set. */
static enum verify_result check_fields(const struct signer *s, const struct verify_input *in,
                                       const struct sign_cred *cred, struct verify_output *out)
{
    const struct hdr *hash = single(in->hdrs, STR("x-content-sha256"));
    const struct hdr *date = single(in->hdrs, STR("x-date"));
    if (!single(in->hdrs, STR("host")))
        return fail(out, VERIFY_MALFORMED, "there is not exactly one Host");
    if (!date)
        return fail(out, VERIFY_DATE, "there is not exactly one X-Date");
    bool hash_left_out = in->sdk_made && !hdrs_count(in->hdrs, STR("x-content-sha256"));
    if (!hash && !hash_left_out)
        return fail(out, VERIFY_BODY_HASH, "there is not exactly one X-Content-Sha256");
    if (!(in_set(s, STR("host")) || in->sdk_made) || !in_set(s, STR("x-date")) ||
        !(in_set(s, STR("x-content-sha256")) || hash_left_out))
        return fail(out, VERIFY_MALFORMED,
                    "host, x-date and x-content-sha256 are not all among the signed headers");
    enum verify_result r = check_token(single(in->hdrs, STR("x-security-token")),
                                       hdrs_count(in->hdrs, STR("x-security-token")), cred, out);
    if (r)
        return r;
    if (cred->session_token.n && !in_set(s, STR("x-security-token")))
        return fail(out, VERIFY_TOKEN, "the session token is not signed");
    if (hash && !str_eq(str_trim(hash->value), in->body_sha256))
        return fail(out, VERIFY_BODY_HASH, "X-Content-Sha256 is not the body's hash");
    return check_date(str_trim(date->value), in, out);
}

enum verify_result verify_request(struct signer *s, const struct verify_input *in,
                                  const struct sign_cred *cred, struct verify_output *out)
{
    *out = (struct verify_output){.why = ""};
    arena_reset(&s->arena);
    const struct hdr *auth = single(in->hdrs, STR("authorization"));
    if (!auth)
        return fail(out, VERIFY_MALFORMED, "there is not exactly one Authorization");
    if (!verify_parse(str_trim(auth->value), &out->scope))
        return fail(out, VERIFY_MALFORMED,
                    "Authorization is not of the form " ALGORITHM
                    " Credential=…, SignedHeaders=…, Signature=…");
    if (!str_eq(out->scope.access_key, cred->access_key))
        return fail(out, VERIFY_MISMATCH, "the access key is another");
    enum verify_result r = collect(s, in->hdrs, out->scope.signed_headers, out);
    if (!r)
        r = check_fields(s, in, cred, out);
    if (r)
        return r;
    struct uri_query q;
    if (uri_query_parse(in->query, &s->arena, &q, NULL) != ERR_OK)
        return fail(out, VERIFY_MALFORMED, "the query is malformed");
    struct str query = uri_query_write(&q, &s->arena);
    if (!query.p)
        return fail(out, VERIFY_MALFORMED, "the query is too large to verify");
    struct str x_date = str_trim(hdrs_find(in->hdrs, STR("x-date"))->value);
    return compare(s, in, query, x_date, in->body_sha256, cred, out);
}

/* The parameters that carry a presigned query's authentication. */
enum param {
    P_ALGORITHM,
    P_CREDENTIAL,
    P_DATE,
    P_NOT_SIGN_BODY,
    P_SIGNATURE,
    P_SIGNED_HEADERS,
    P_SIGNED_QUERIES,
    P_REQUIRED, /* all above must be there */
    P_TOKEN = P_REQUIRED,
    P_EXPIRES,
    P_COUNT
};

static const char *const param_names[P_COUNT] = {
    "X-Algorithm",     "X-Credential",    "X-Date",           "X-NotSignBody", "X-Signature",
    "X-SignedHeaders", "X-SignedQueries", "X-Security-Token", "X-Expires",
};

/* Decodes the authentication parameters into value and leaves in q what was signed. */
static enum verify_result split_query(struct signer *s, struct uri_query *q,
                                      struct str value[P_COUNT], struct verify_output *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < q->n; i++) {
        size_t k = 0;
        while (k < P_COUNT && !str_ieq(q->v[i].name, str_of(param_names[k])))
            k++;
        if (k < P_COUNT) {
            if (value[k].p || !str_eq(q->v[i].name, str_of(param_names[k])))
                return fail(out, VERIFY_MALFORMED,
                            "an authentication parameter occurs twice or in another case");
            if (uri_decode(q->v[i].value, false, &s->arena, &value[k]) != ERR_OK)
                return fail(out, VERIFY_MALFORMED, "the query is too large to verify");
        }
        if (k != P_SIGNATURE && k != P_TOKEN)
            q->v[kept++] = q->v[i];
    }
    q->n = kept;
    for (size_t k = 0; k < P_REQUIRED; k++)
        if (!value[k].p)
            return fail(out, VERIFY_MALFORMED, "an authentication parameter is missing");
    return VERIFY_OK;
}

static enum verify_result check_validity(struct str x_date, struct str expires,
                                         const struct verify_input *in, struct verify_output *out)
{
    if (!expires.p)
        return check_date(x_date, in, out);
    uint64_t seconds;
    int64_t then;
    if (!str_u64(expires, INT32_MAX, &seconds))
        return fail(out, VERIFY_DATE, "X-Expires is not a number of seconds");
    if (!sign_date_parse(x_date, &then))
        return fail(out, VERIFY_DATE, "X-Date is not of the form YYYYMMDDTHHMMSSZ");
    if (!str_eq(str_n(x_date.p, SIGNKEY_DAY_LEN), out->scope.date))
        return fail(out, VERIFY_DATE, "X-Date is of another day than the credential scope");
    if (in->time_s > then + (int64_t)seconds)
        return fail(out, VERIFY_DATE, "the link has expired");
    if (in->window_s > 0 && then > in->time_s + in->window_s)
        return fail(out, VERIFY_DATE, "X-Date is too far in the future");
    return VERIFY_OK;
}

static enum verify_result check_params(struct signer *s, const struct uri_query *signed_pairs,
                                       const struct str value[P_COUNT],
                                       const struct sign_cred *cred, struct verify_output *out)
{
    if (!str_eq(value[P_ALGORITHM], STR(ALGORITHM)))
        return fail(out, VERIFY_MALFORMED, "X-Algorithm is not " ALGORITHM);
    if (!parse_credential(value[P_CREDENTIAL], &out->scope))
        return fail(out, VERIFY_MALFORMED,
                    "X-Credential is not of the form KEY/DATE/REGION/SERVICE/request");
    out->scope.signed_headers = value[P_SIGNED_HEADERS];
    out->scope.signature = value[P_SIGNATURE];
    if (!is_lower_hex(out->scope.signature))
        return fail(out, VERIFY_MALFORMED, "X-Signature is not 64 lower-case hex digits");
    if (!str_eq(out->scope.access_key, cred->access_key))
        return fail(out, VERIFY_MISMATCH, "the access key is another");
    struct str names;
    if (sign_query_names(s, signed_pairs, &names) != ERR_OK)
        return fail(out, VERIFY_MALFORMED, "a parameter's name cannot be signed");
    if (!str_eq(names, value[P_SIGNED_QUERIES]))
        return fail(out, VERIFY_MISMATCH, "X-SignedQueries does not name what is in the query");
    const struct hdr token = {.value = value[P_TOKEN]};
    return check_token(token.value.p ? &token : NULL, token.value.p ? 1 : 0, cred, out);
}

enum verify_result verify_presigned(struct signer *s, const struct verify_input *in,
                                    const struct sign_cred *cred, struct verify_output *out)
{
    *out = (struct verify_output){.why = ""};
    arena_reset(&s->arena);
    struct uri_query q;
    struct str value[P_COUNT] = {{NULL, 0}};
    if (uri_query_parse(in->query, &s->arena, &q, NULL) != ERR_OK)
        return fail(out, VERIFY_MALFORMED, "the query is malformed");
    enum verify_result r = split_query(s, &q, value, out);
    if (!r)
        r = check_params(s, &q, value, cred, out);
    if (!r)
        r = collect(s, in->hdrs, value[P_SIGNED_HEADERS], out);
    if (!r && s->nset && !single(in->hdrs, STR("host")))
        r = fail(out, VERIFY_MALFORMED, "there is not exactly one Host");
    if (!r)
        r = check_validity(value[P_DATE], value[P_EXPIRES], in, out);
    if (r)
        return r;
    struct str query = uri_query_write(&q, &s->arena);
    if (!query.p)
        return fail(out, VERIFY_MALFORMED, "the query is too large to verify");
    return compare(s, in, query, value[P_DATE], str_of(digest_empty_hex), cred, out);
}
