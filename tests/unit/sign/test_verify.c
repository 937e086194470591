/* SPDX-License-Identifier: Apache-2.0 */
/* Verifying accepts what signing made and names what is wrong with everything else. */
#include "sign/verify.h"
#include "vector.h"

/* The one request that is tampered with. */
static const char token[] = "STStoken+/==";

struct received {
    struct signer *signer;
    struct hdr v[16];
    struct hdrs hdrs;
    struct sign_cred cred;
    struct verify_input in;
    char x_date[SIGN_DATE_LEN + 1];
    char auth[SIGN_AUTH_MAX];
};

enum { NOW = 1604400027 };

static struct received got;

static void add(const char *name, const char *value)
{
    ck_assert(hdrs_add(&got.hdrs, str_of(name), str_of(value)));
}

static void setup(void)
{
    memset(&got, 0, sizeof got);
    got.signer = signer_new();
    ck_assert_ptr_nonnull(got.signer);
    got.hdrs = (struct hdrs){got.v, 0, ARRAY_LEN(got.v)};
    got.cred = (struct sign_cred){STR("local-app1"), STR("secret"), str_of(token), 3};
    add("Content-Type", "text/plain");
    add("X-Custom", "one");
    const struct sign_input in = {.method = STR("POST"),
                                  .path = STR("/a%20b"),
                                  .query = STR("Action=A&b="),
                                  .host = STR("ecs.example.com:443"),
                                  .hdrs = &got.hdrs,
                                  .body_sha256 = str_of(digest_empty_hex),
                                  .service = STR("rds_mysql"),
                                  .region = STR("cn-beijing"),
                                  .time_s = NOW,
                                  .cred = &got.cred};
    struct sign_output out;
    ck_assert_int_eq(sign_request(got.signer, &in, &out), ERR_OK);
    memcpy(got.x_date, out.x_date, sizeof got.x_date);
    memcpy(got.auth, out.authorization.p, out.authorization.n);
    add("User-Agent", "test");
    add("host", "ecs.example.com");
    add("X-Date", got.x_date);
    add("X-Content-Sha256", digest_empty_hex);
    add("X-Security-Token", token);
    add("Authorization", got.auth);
    got.in = (struct verify_input){.method = STR("POST"),
                                   .path = STR("/a b"),
                                   .query = STR("b&Action=%41"),
                                   .hdrs = &got.hdrs,
                                   .body_sha256 = str_of(digest_empty_hex),
                                   .time_s = NOW,
                                   .window_s = 900};
}

static void teardown(void)
{
    signer_free(got.signer);
}

static void check(enum verify_result want, const char *why)
{
    struct verify_output out;
    enum verify_result r = verify_request(got.signer, &got.in, &got.cred, &out);
    ck_assert_msg(r == want, "got %d (%s), want %d", r, out.why, want);
    ck_assert_msg(strstr(out.why, why) != NULL, "'%s' lacks '%s'", out.why, why);
}

static struct hdr *field(const char *name)
{
    for (size_t i = 0; i < got.hdrs.n; i++)
        if (str_ieq(got.hdrs.v[i].name, str_of(name)))
            return &got.hdrs.v[i];
    ck_abort_msg("no %s", name);
    return NULL;
}

static void set(const char *name, const char *value)
{
    field(name)->value = str_of(value);
}

static void drop(const char *name)
{
    struct hdr *h = field(name);
    *h = got.hdrs.v[--got.hdrs.n];
}

/* Replaces the first a in Authorization by b of any length. */
static void edit_auth(const char *a, const char *b)
{
    static char text[SIGN_AUTH_MAX * 2];
    char *at = strstr(got.auth, a);
    ck_assert_ptr_nonnull(at);
    int n =
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - got.auth), got.auth, b, at + strlen(a));
    ck_assert(n > 0 && (size_t)n < sizeof got.auth);
    memcpy(got.auth, text, (size_t)n + 1);
    set("Authorization", got.auth);
}

START_TEST(accepts_what_was_signed)
{
    struct verify_output out;
    ck_assert_int_eq(verify_request(got.signer, &got.in, &got.cred, &out), VERIFY_OK);
    assert_str(out.scope.access_key, STR("local-app1"), "access key", "");
    assert_str(out.scope.region, STR("cn-beijing"), "region", "");
    assert_str(out.scope.service, STR("rds_mysql"), "service", "");
    ck_assert(str_starts(out.canonical_request, STR("POST\n/a%20b\nAction=A&b=\n")));
    ck_assert(str_starts(out.string_to_sign, STR("HMAC-SHA256\n20201103T104027Z\n")));
    set("User-Agent", "another"); /* not signed */
    check(VERIFY_OK, "");
    set("Host", "ecs.example.com:443");
    check(VERIFY_OK, "");
    set("X-Custom", " \tone ");
    check(VERIFY_OK, "");
}
END_TEST

START_TEST(refuses_another_request)
{
    got.in.method = STR("GET");
    check(VERIFY_MISMATCH, "signature");
    got.in.method = STR("POST");
    got.in.path = STR("/a%2520b");
    check(VERIFY_MISMATCH, "signature");
    got.in.path = STR("/a b");
    got.in.query = STR("b&Action=B");
    check(VERIFY_MISMATCH, "signature");
    got.in.query = STR("b&Action=A&c");
    check(VERIFY_MISMATCH, "signature");
    got.in.query = STR("b&Action=A");
    check(VERIFY_OK, "");
}
END_TEST

START_TEST(refuses_malformed_targets)
{
    got.in.query = STR("b&Action=%4");
    check(VERIFY_MALFORMED, "query");
    got.in.query = STR("b&Action=A");
    got.in.path = STR("/%zz");
    check(VERIFY_MALFORMED, "path");
}
END_TEST

START_TEST(refuses_changed_headers)
{
    set("X-Custom", "two");
    check(VERIFY_MISMATCH, "signature");
    set("X-Custom", "one");
    set("Content-Type", "text/html");
    check(VERIFY_MISMATCH, "signature");
    set("Content-Type", "text/plain");
    set("Host", "evil.example.com");
    check(VERIFY_MISMATCH, "signature");
    set("Host", "ecs.example.com:8443");
    check(VERIFY_MISMATCH, "signature");
    set("Host", "ecs.example.com");
    add("X-Custom", "two"); /* joined to "one,two" */
    check(VERIFY_MISMATCH, "signature");
    got.hdrs.n--;
    drop("X-Custom");
    check(VERIFY_MISMATCH, "did not arrive");
}
END_TEST

START_TEST(joins_headers_that_occur_twice)
{
    struct sign_output out;
    struct hdr v[] = {{STR("Content-Type"), STR("text/plain,b")},
                      {STR("X-Custom"), STR("one,two")}};
    const struct hdrs signed_hdrs = {v, 2, 2};
    const struct sign_input in = {STR("POST"),  STR("/"),
                                  STR(""),      STR("ecs.example.com"),
                                  &signed_hdrs, str_of(digest_empty_hex),
                                  STR("ecs"),   STR("cn-beijing"),
                                  NOW,          &got.cred};
    ck_assert_int_eq(sign_request(got.signer, &in, &out), ERR_OK);
    memcpy(got.auth, out.authorization.p, out.authorization.n);
    got.auth[out.authorization.n] = '\0';
    set("Authorization", got.auth);
    got.in.path = STR("/");
    got.in.query = STR("");
    add("x-custom", " two");
    add("content-type", "b ");
    check(VERIFY_OK, "");
}
END_TEST

/* What one request needs of the signer's memory is not missing for the next. */
START_TEST(begins_anew_each_time)
{
    static char query[4000];
    memset(query, 'q', sizeof query);
    got.in.query = str_n(query, sizeof query);
    for (int i = 0; i < 2000; i++)
        check(VERIFY_MISMATCH, "signature");
}
END_TEST

START_TEST(refuses_another_body)
{
    got.in.body_sha256 = STR("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check(VERIFY_BODY_HASH, "body's hash");
    set("X-Content-Sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check(VERIFY_MISMATCH, "signature");
    add("X-Content-Sha256", digest_empty_hex);
    check(VERIFY_BODY_HASH, "exactly one");
    got.hdrs.n--;
    drop("X-Content-Sha256");
    check(VERIFY_MISMATCH, "did not arrive");
}
END_TEST

START_TEST(refuses_another_time)
{
    got.in.time_s = NOW + 900;
    check(VERIFY_OK, "");
    got.in.time_s = NOW + 901;
    check(VERIFY_DATE, "too far");
    got.in.time_s = NOW - 900;
    check(VERIFY_OK, "");
    got.in.time_s = NOW - 901;
    check(VERIFY_DATE, "too far");
    got.in.window_s = 0;
    check(VERIFY_OK, "");
    set("X-Date", "20201103T104028Z");
    check(VERIFY_MISMATCH, "signature");
    set("X-Date", "20201104T104027Z");
    check(VERIFY_DATE, "another day");
    set("X-Date", "20201103T104027");
    check(VERIFY_DATE, "form");
    set("X-Date", got.x_date);
    add("X-Date", got.x_date);
    check(VERIFY_DATE, "exactly one");
}
END_TEST

START_TEST(refuses_another_token)
{
    set("X-Security-Token", "STStoken+/=x");
    check(VERIFY_TOKEN, "not the key's");
    set("X-Security-Token", token);
    add("X-Security-Token", token);
    check(VERIFY_TOKEN, "more than one");
    got.hdrs.n--;
    got.cred.session_token = STR("");
    check(VERIFY_TOKEN, "has none");
}
END_TEST

START_TEST(refuses_a_missing_token)
{
    edit_auth(";x-security-token", "");
    check(VERIFY_TOKEN, "not signed");
    drop("X-Security-Token");
    check(VERIFY_TOKEN, "missing");
}
END_TEST

START_TEST(refuses_another_key)
{
    got.cred.access_key = STR("local-app2");
    check(VERIFY_MISMATCH, "access key");
    got.cred.access_key = STR("local-app1");
    got.cred.secret_key = STR("other");
    got.cred.secret_id = 4;
    check(VERIFY_MISMATCH, "signature");
}
END_TEST

START_TEST(refuses_another_scope)
{
    static const char *const edits[][2] = {
        {"cn-beijing", "cn-shanghai"}, {"rds_mysql", "ecs"}, {"Signature=", "Signature=f"}};
    char saved[SIGN_AUTH_MAX];
    memcpy(saved, got.auth, sizeof saved);
    for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
        memcpy(got.auth, saved, sizeof saved);
        edit_auth(edits[i][0], edits[i][1]);
        if (i == 2)
            got.auth[strlen(got.auth) - 1] = '\0'; /* still 64 digits */
        set("Authorization", got.auth);
        check(VERIFY_MISMATCH, "signature");
    }
    memcpy(got.auth, saved, sizeof saved);
    edit_auth("/20201103/", "/20201104/");
    check(VERIFY_DATE, "another day");
}
END_TEST

START_TEST(refuses_odd_lists_of_headers)
{
    static const struct {
        const char *from, *to;
        enum verify_result want;
        const char *why;
    } rows[] = {
        {"host;x-content", "x-content", VERIFY_MALFORMED, "among the signed"},
        {"x-content-sha256;", "", VERIFY_MALFORMED, "among the signed"},
        {"x-date;", "", VERIFY_MALFORMED, "among the signed"},
        {"content-type;host", "host;content-type", VERIFY_MALFORMED, "sorted"},
        {"host;", "host;host;", VERIFY_MALFORMED, "sorted"},
        {"host;", "Host;", VERIFY_MALFORMED, "lower-case"},
        {"content-type", "Acontent", VERIFY_MALFORMED, "lower-case"},
        {"content-type", "Zcontent", VERIFY_MALFORMED, "lower-case"},
        {"host;", "host;;", VERIFY_MALFORMED, "lower-case"},
        {"x-security-token,", "x-security-token;,", VERIFY_MALFORMED, "lower-case"},
        {"x-security-token,", "x-security-token;x-zz,", VERIFY_MISMATCH, "did not arrive"},
        {"x-custom;", "", VERIFY_MISMATCH, "signature"},
    };
    char saved[SIGN_AUTH_MAX];
    memcpy(saved, got.auth, sizeof saved);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        memcpy(got.auth, saved, sizeof saved);
        edit_auth(rows[i].from, rows[i].to);
        check(rows[i].want, rows[i].why);
    }
}
END_TEST

START_TEST(refuses_a_doubled_or_missing_field)
{
    add("Authorization", got.auth);
    check(VERIFY_MALFORMED, "exactly one Authorization");
    got.hdrs.n--;
    add("Host", "ecs.example.com");
    check(VERIFY_MALFORMED, "exactly one Host");
    got.hdrs.n--;
    drop("Authorization");
    check(VERIFY_MALFORMED, "exactly one Authorization");
}
END_TEST

/* Made by the SDK @volcengine/openapi 1.36.2: no Host among the signed headers, and no
 * X-Content-Sha256 unless there is a body. */
START_TEST(accepts_what_the_node_sdk_leaves_out)
{
    static const char form_hash[] =
        "f528d5f5e4b87b36530364d66d123ebc269a3adaba60869a1f05da5d3e9cd551";
    const char *scope = "HMAC-SHA256 Credential=local-app1/20201103/cn-beijing/ecs/request, ";
    char get[SIGN_AUTH_MAX], post[SIGN_AUTH_MAX];
    (void)snprintf(get, sizeof get, "%sSignedHeaders=x-date, Signature=%s", scope,
                   "e9324e5c6797f32a9b423606efaed84d3fdd8780aae73957136ef079aeff36e3");
    (void)snprintf(post, sizeof post, "%sSignedHeaders=x-content-sha256;x-date, Signature=%s",
                   scope, "a0c76080d60e52cacc1a93195c80b8d27d432634da7892a2c81361803bd66bcd");
    got.cred.session_token = (struct str){NULL, 0};
    got.in.path = STR("/");
    got.in.query = STR("Action=DescribeInstances&Version=2020-04-01&PageNumber=2");
    got.hdrs.n = 0;
    add("Host", "127.0.0.1:8750");
    add("X-Date", "20201103T104027Z");
    add("Authorization", get);
    got.in.method = STR("GET");
    check(VERIFY_BODY_HASH, "exactly one X-Content-Sha256");
    got.in.sdk_made = true;
    check(VERIFY_OK, "");
    got.in.body_sha256 = str_of(form_hash); /* a body was slipped in */
    check(VERIFY_MISMATCH, "signature");
    got.in.method = STR("POST");
    add("X-Content-Sha256", form_hash);
    check(VERIFY_MALFORMED, "among the signed");
    set("Authorization", post);
    check(VERIFY_OK, "");
    got.in.body_sha256 = str_of(digest_empty_hex);
    check(VERIFY_BODY_HASH, "not the body's hash");
    add("X-Content-Sha256", form_hash);
    check(VERIFY_BODY_HASH, "exactly one X-Content-Sha256");
    got.hdrs.n--;
    got.in.body_sha256 = str_of(form_hash);
    got.in.sdk_made = false;
    check(VERIFY_MALFORMED, "among the signed");
}
END_TEST

#define SIG "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

START_TEST(parsing)
{
    static const char *const bad[] = {
        "",
        "Bearer abc",
        "HMAC-SHA256",
        "HMAC-SHA512 Credential=AK/20200101/r/s/request, SignedHeaders=host, Signature=" SIG,
        "HMAC-SHA256  Credential=AK/20200101/r/s/request, SignedHeaders=host, Signature=" SIG,
        "HMAC-SHA256 Credential=AK/20200101/r/s/request,SignedHeaders=host, Signature=" SIG,
        "HMAC-SHA256 Credential=/20200101/r/s/request, SignedHeaders=host, Signature=" SIG,
        "HMAC-SHA256 Credential=AK/2020010/r/s/request, SignedHeaders=host, Signature=" SIG,
        "HMAC-SHA256 Credential=AK/2020010x/r/s/request, SignedHeaders=host, Signature=" SIG,
        "HMAC-SHA256 Credential=AK/20200101//s/request, SignedHeaders=host, Signature=" SIG,
        "HMAC-SHA256 Credential=AK/20200101/r//request, SignedHeaders=host, Signature=" SIG,
        "HMAC-SHA256 Credential=AK/20200101/r/s/aws4, SignedHeaders=host, Signature=" SIG,
        "HMAC-SHA256 Credential=AK/20200101/r/s/request/, SignedHeaders=host, Signature=" SIG,
        "HMAC-SHA256 Credential=AK/20200101/r/s, SignedHeaders=host, Signature=" SIG,
        "HMAC-SHA256 Credential=AK/20200101/r/s/request, SignedHeaders=, Signature=" SIG,
        "HMAC-SHA256 Credential=AK/20200101/r/s/request, SignedHeaders=host",
        "HMAC-SHA256 Credential=AK/20200101/r/s/request, Signature=" SIG ", SignedHeaders=host",
        "HMAC-SHA256 Credential=AK/20200101/r/s/request, SignedHeaders=host, Signature=" SIG "0",
        "HMAC-SHA256 Credential=AK/20200101/r/s/request, SignedHeaders=host, Signature=" SIG " ",
        "HMAC-SHA256 Credential=AK/20200101/r/s/request, SignedHeaders=host, Signature=X" SIG,
        "HMAC-SHA256 Credential=AK/20200101/r/s/request, SignedHeaders=host, Signature="
        "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
    };
    struct verify_scope s;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!verify_parse(str_of(bad[i]), &s), "%s", bad[i]);
    ck_assert(verify_parse(
        STR("HMAC-SHA256 Credential=AK/20200101/r/s/request, SignedHeaders=a;b, Signature=" SIG),
        &s));
    assert_str(s.access_key, STR("AK"), "access key", "");
    assert_str(s.date, STR("20200101"), "date", "");
    assert_str(s.region, STR("r"), "region", "");
    assert_str(s.service, STR("s"), "service", "");
    assert_str(s.signed_headers, STR("a;b"), "names", "");
    assert_str(s.signature, STR(SIG), "signature", "");
}
END_TEST

/* Every vector's expected headers verify, with what the vector was sent with. */
START_TEST(accepts_the_sign_vectors)
{
    json_t *root = vector_load("sign_v4.json"), *cases = json_object_get(root, "sign"), *c;
    size_t i;
    ck_assert_uint_eq(json_array_size(cases), VECTOR_SIGN_CASES);
    json_array_foreach(cases, i, c)
    {
        struct vector x;
        struct verify_output out;
        vector_make(&x, c, 0);
        const char *key;
        json_t *value, *made = json_object_get(json_object_get(c, "expect"), "headers");
        ck_assert(hdrs_add(&x.hdrs, STR("Host"), x.in.host));
        json_object_foreach(made, key, value) if (!str_ieq(str_of(key), STR("Content-Type")))
            ck_assert(hdrs_add(&x.hdrs, str_of(key), str_of(json_string_value(value))));
        const struct verify_input in = {x.in.method,      x.in.path,   x.in.query, &x.hdrs,
                                        x.in.body_sha256, x.in.time_s, 900,        false};
        enum verify_result r = verify_request(got.signer, &in, &x.cred, &out);
        ck_assert_msg(r == VERIFY_OK, "%s: %s", x.name, out.why);
        vector_free(&x);
    }
    json_decref(root);
}
END_TEST

static enum verify_result presigned(const struct vector *x, struct str host, struct str query,
                                    int64_t now, struct verify_output *out)
{
    struct hdr v[] = {{STR("Host"), host}};
    const struct hdrs hdrs = {v, host.n ? 1 : 0, 1};
    const struct verify_input in = {
        x->in.method, x->in.path, query, &hdrs, str_of(digest_empty_hex), now, 900, false};
    return verify_presigned(got.signer, &in, &x->cred, out);
}

/* A link for a time from now on, in query. */
static struct vector presign_link(char query[2048], size_t *n)
{
    struct uri_pair pair = {STR("Action"), STR("A")};
    const struct uri_query q = {&pair, 1};
    got.cred.session_token = STR("");
    const struct presign_input in = {STR("GET"), STR("/"), &q,   STR("h"), STR("ecs"),
                                     STR("r"),   NOW,      5000, &got.cred};
    struct presign_output made;
    ck_assert_int_eq(sign_presign(got.signer, &in, &made), ERR_OK);
    ck_assert_uint_lt(made.query.n, 2048);
    memcpy(query, made.query.p, made.query.n);
    *n = made.query.n;
    return (struct vector){.cred = got.cred, .in = {.method = STR("GET"), .path = STR("/")}};
}

START_TEST(accepts_the_presign_vectors)
{
    json_t *root = vector_load("sign_v4.json"), *cases = json_object_get(root, "presign"), *c;
    size_t i;
    ck_assert_uint_eq(json_array_size(cases), VECTOR_PRESIGN_CASES);
    json_array_foreach(cases, i, c)
    {
        struct vector x;
        struct verify_output out;
        vector_make(&x, c, 0);
        struct str query = vector_str(json_object_get(c, "expect"), "query");
        enum verify_result r = presigned(&x, vector_str(c, "host"), query, x.in.time_s, &out);
        ck_assert_msg(r == VERIFY_OK, "%s: %s", x.name, out.why);
        r = presigned(&x, vector_str(c, "host"), query, x.in.time_s + 901, &out);
        ck_assert_msg(r == VERIFY_DATE, "%s: %s", x.name, out.why);
        vector_free(&x);
    }
    json_decref(root);
}
END_TEST

/* The token case of the vectors, tampered with. */
START_TEST(refuses_tampered_presigned_queries)
{
    static const struct {
        const char *from, *to;
        enum verify_result want;
        const char *why;
    } rows[] = {
        {"Action=ListUsers", "Action=DeleteUser", VERIFY_MISMATCH, "signature"},
        {"Action=ListUsers", "Action=ListUsers&Extra=1", VERIFY_MISMATCH, "X-SignedQueries"},
        {"Action=ListUsers&", "", VERIFY_MISMATCH, "X-SignedQueries"},
        {"Action=ListUsers", "Action=ListUsers&Action=ListUsers", VERIFY_MISMATCH, "signature"},
        {"X-Signature=a", "X-Signature=b", VERIFY_MISMATCH, "signature"},
        {"X-Signature=a", "X-Signature=A", VERIFY_MALFORMED, "X-Signature"},
        {"&X-Signature=a", "&x=a", VERIFY_MALFORMED, "missing"},
        {"X-Security-Token=S", "X-Security-Token=T", VERIFY_TOKEN, "not the key's"},
        {"&X-Security-Token=STStoken%2B%2F%3D%3D", "", VERIFY_TOKEN, "missing"},
        {"X-Algorithm=HMAC-SHA256", "X-Algorithm=HMAC-SHA1", VERIFY_MALFORMED, "X-Algorithm"},
        {"%2Frequest", "%2Frequests", VERIFY_MALFORMED, "X-Credential"},
        {"%2Fiam%2F", "%2Fecs%2F", VERIFY_MISMATCH, "signature"},
        {"X-Credential=AKLTexample", "X-Credential=AKLTother", VERIFY_MISMATCH, "access key"},
        {"X-Date=20201103T104027Z", "X-Date=20201103T104028Z", VERIFY_MISMATCH, "signature"},
        {"X-Date=20201103T104027Z", "X-Date=20201104T104027Z", VERIFY_DATE, "another day"},
        {"X-Date=20201103T104027Z", "X-Date=yesterday", VERIFY_DATE, "form"},
        {"X-Date=20201103T104027Z", "X-Date=20201103T104027Z&X-Date=20201103T104027Z",
         VERIFY_MALFORMED, "twice"},
        {"X-NotSignBody=", "x-notsignbody=", VERIFY_MALFORMED, "case"},
        {"X-SignedHeaders=host", "X-SignedHeaders=", VERIFY_MISMATCH, "signature"},
        {"X-SignedHeaders=host", "X-SignedHeaders=host%3Bx-other", VERIFY_MISMATCH, "arrive"},
        {"Name=a+b", "Name=a%2Bb", VERIFY_MISMATCH, "signature"},
        {"Name=a+b", "Name=a%20b", VERIFY_OK, ""},
        {"Name=a+b", "Name=a%2", VERIFY_MALFORMED, "query"},
    };
    json_t *root = vector_load("sign_v4.json"), *c;
    c = json_array_get(json_object_get(root, "presign"), 2);
    struct vector x;
    struct verify_output out;
    vector_make(&x, c, 0);
    struct str query = vector_str(json_object_get(c, "expect"), "query");
    struct str host = vector_str(c, "host");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[2048];
        const char *at = strstr(query.p, rows[i].from);
        ck_assert_msg(at != NULL, "%s", rows[i].from);
        int n = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - query.p), query.p, rows[i].to,
                         at + strlen(rows[i].from));
        ck_assert(n > 0 && (size_t)n < sizeof text);
        enum verify_result r = presigned(&x, host, str_of(text), x.in.time_s, &out);
        ck_assert_msg(r == rows[i].want, "%s: %d: %s", rows[i].to, r, out.why);
        ck_assert_msg(strstr(out.why, rows[i].why) != NULL, "%s: %s", rows[i].to, out.why);
    }
    ck_assert_int_eq(presigned(&x, STR("other.example.com"), query, x.in.time_s, &out),
                     VERIFY_MISMATCH);
    vector_free(&x);
    json_decref(root);
}
END_TEST

START_TEST(presigned_expiry_replaces_the_window)
{
    static const struct {
        int64_t now;
        enum verify_result want;
    } rows[] = {
        {NOW, VERIFY_OK},       {NOW + 5000, VERIFY_OK},  {NOW + 5001, VERIFY_DATE},
        {NOW - 900, VERIFY_OK}, {NOW - 901, VERIFY_DATE},
    };
    char query[2048];
    size_t n;
    struct vector x = presign_link(query, &n);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct verify_output out;
        enum verify_result r = presigned(&x, STR("h"), str_n(query, n), rows[i].now, &out);
        ck_assert_msg(r == rows[i].want, "%zu: %s", i, out.why);
        assert_str(out.scope.signed_headers, STR("host"), "names", "");
    }
}
END_TEST

START_TEST(presigned_has_one_host_and_any_time_without_a_window)
{
    char query[2048];
    size_t n;
    struct vector x = presign_link(query, &n);
    struct hdr v[] = {{STR("Host"), STR("h")}, {STR("Host"), STR("h")}};
    struct hdrs hdrs = {v, 1, 2};
    struct verify_output out;
    const struct verify_input in = {
        x.in.method, x.in.path, str_n(query, n), &hdrs, str_of(digest_empty_hex), NOW - 1000000,
        0,           false};
    for (int i = 0; i < 5000; i++) /* each time with as much memory */
        ck_assert_int_eq(verify_presigned(got.signer, &in, &x.cred, &out), VERIFY_OK);
    hdrs.n = 2;
    ck_assert_int_eq(verify_presigned(got.signer, &in, &x.cred, &out), VERIFY_MALFORMED);
    ck_assert_ptr_nonnull(strstr(out.why, "exactly one Host"));
}
END_TEST

static TCase *request_cases(void)
{
    TCase *t = tcase_create("verify");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, accepts_what_was_signed);
    tcase_add_test(t, refuses_another_request);
    tcase_add_test(t, refuses_malformed_targets);
    tcase_add_test(t, refuses_changed_headers);
    tcase_add_test(t, joins_headers_that_occur_twice);
    tcase_add_test(t, begins_anew_each_time);
    tcase_add_test(t, refuses_another_body);
    tcase_add_test(t, refuses_another_time);
    tcase_add_test(t, refuses_another_token);
    tcase_add_test(t, refuses_a_missing_token);
    tcase_add_test(t, refuses_another_key);
    tcase_add_test(t, refuses_another_scope);
    tcase_add_test(t, refuses_odd_lists_of_headers);
    tcase_add_test(t, refuses_a_doubled_or_missing_field);
    tcase_add_test(t, accepts_what_the_node_sdk_leaves_out);
    tcase_add_test(t, parsing);
    tcase_add_test(t, accepts_the_sign_vectors);
    return t;
}

static TCase *presigned_cases(void)
{
    TCase *t = tcase_create("presigned");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, accepts_the_presign_vectors);
    tcase_add_test(t, refuses_tampered_presigned_queries);
    tcase_add_test(t, presigned_expiry_replaces_the_window);
    tcase_add_test(t, presigned_has_one_host_and_any_time_without_a_window);
    return t;
}

int main(void)
{
    Suite *s = suite_create("verify");
    suite_add_tcase(s, request_cases());
    suite_add_tcase(s, presigned_cases());
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
