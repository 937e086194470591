/* SPDX-License-Identifier: Apache-2.0 */
/* Signing and presigning against the vectors, byte for byte; the derived-key cache; what is
 * refused. */
#include "../wiped.h"
#include "base/clock.h"
#include "sign/sign_int.h"
#include "vector.h"

static struct signer *signer;

static bool has(struct str s, const char *part)
{
    return memmem(s.p, s.n, part, strlen(part)) != NULL;
}

static void setup(void)
{
    signer = signer_new();
    ck_assert_ptr_nonnull(signer);
}

static void teardown(void)
{
    signer_free(signer);
}

/* The headers the vector wants are exactly those that signing makes (and the default type). */
static void check_headers(const struct vector *x, json_t *want, const struct sign_output *out)
{
    const char *key;
    json_t *value;
    size_t seen = 0;
    json_object_foreach(want, key, value)
    {
        struct str got = {NULL, 0}, name = str_of(key);
        if (str_eq(name, STR("X-Date")))
            got = str_of(out->x_date);
        else if (str_eq(name, STR("X-Content-Sha256")))
            got = x->in.body_sha256;
        else if (str_eq(name, STR("X-Security-Token")))
            got = x->cred.session_token;
        else if (str_eq(name, STR("Authorization")))
            got = out->authorization;
        else if (str_eq(name, STR("Content-Type")))
            got = str_of(x->default_type);
        assert_str(got, str_of(json_string_value(value)), key, x->name);
        seen++;
    }
    size_t made = x->cred.session_token.n > 0 ? 4 : 3;
    made += x->default_type ? 1 : 0;
    ck_assert_msg(seen == made, "%s: %zu headers expected, %zu made", x->name, seen, made);
}

static void check_case(json_t *c, uint64_t secret_id)
{
    struct vector x;
    struct sign_output out;
    json_t *expect = json_object_get(c, "expect");
    vector_make(&x, c, secret_id);
    ck_assert_int_eq(sign_request(signer, &x.in, &out), ERR_OK);
    assert_str(out.canonical_request, vector_str(expect, "canonical_request"), "canonical", x.name);
    assert_str(out.string_to_sign, vector_str(expect, "string_to_sign"), "string", x.name);
    check_headers(&x, json_object_get(expect, "headers"), &out);
    vector_free(&x);
}

START_TEST(sign_vectors)
{
    json_t *root = vector_load("sign_v4.json"), *cases = json_object_get(root, "sign"), *c;
    size_t i;
    ck_assert_uint_eq(json_array_size(cases), VECTOR_SIGN_CASES);
    /* Not cached; into the cache; out of the cache, also straight after another key. */
    json_array_foreach(cases, i, c)
    {
        check_case(c, 0);
        check_case(c, i + 1);
        check_case(c, i + 1);
        check_case(c, 0);
        check_case(c, i + 1);
    }
    json_array_foreach(cases, i, c) check_case(c, i + 1);
    json_decref(root);
}
END_TEST

START_TEST(presign_vectors)
{
    json_t *root = vector_load("sign_v4.json"), *cases = json_object_get(root, "presign"), *c;
    size_t i;
    ck_assert_uint_eq(json_array_size(cases), VECTOR_PRESIGN_CASES);
    json_array_foreach(cases, i, c)
    {
        struct vector x;
        vector_make(&x, c, i + 1);
        struct presign_input in = {x.in.method,  x.in.path,   &x.pairs,    vector_str(c, "host"),
                                   x.in.service, x.in.region, x.in.time_s, 0,
                                   &x.cred};
        struct presign_output out;
        json_t *expect = json_object_get(c, "expect");
        ck_assert_int_eq(sign_presign(signer, &in, &out), ERR_OK);
        assert_str(out.canonical_request, vector_str(expect, "canonical_request"), "canonical",
                   x.name);
        assert_str(out.string_to_sign, vector_str(expect, "string_to_sign"), "string", x.name);
        assert_str(out.query, vector_str(expect, "query"), "query", x.name);
        vector_free(&x);
    }
    json_decref(root);
}
END_TEST

/* One request to vary. */
struct request {
    struct hdr v[8];
    struct hdrs hdrs;
    struct sign_cred cred;
    struct sign_input in;
};

static void request_make(struct request *r)
{
    memset(r, 0, sizeof *r);
    r->hdrs = (struct hdrs){r->v, 0, ARRAY_LEN(r->v)};
    r->cred = (struct sign_cred){STR("AKLTexample"), STR("exampleSecretKey=="), STR(""), 7};
    r->in = (struct sign_input){.method = STR("GET"),
                                .path = STR("/"),
                                .query = STR("Action=A"),
                                .host = STR("ecs.example.com"),
                                .hdrs = &r->hdrs,
                                .body_sha256 = str_of(digest_empty_hex),
                                .service = STR("ecs"),
                                .region = STR("cn-beijing"),
                                .time_s = 1604400027,
                                .cred = &r->cred};
}

static struct str sign_ok(struct request *r, struct sign_output *out)
{
    ck_assert_int_eq(sign_request(signer, &r->in, out), ERR_OK);
    return out->signed_headers;
}

START_TEST(which_headers_are_signed)
{
    struct request r;
    struct sign_output out;
    request_make(&r);
    ck_assert(hdrs_add(&r.hdrs, STR("x-zz"), STR("  1\t")));
    ck_assert(hdrs_add(&r.hdrs, STR("Content-Language"), STR("n")));
    ck_assert(hdrs_add(&r.hdrs, STR("X"), STR("n")));
    ck_assert(hdrs_add(&r.hdrs, STR("CONTENT-MD5"), STR("m")));
    ck_assert(hdrs_add(&r.hdrs, STR("Xylo"), STR("n")));
    ck_assert(hdrs_add(&r.hdrs, STR("conTent-tYpe"), STR("t")));
    ck_assert(hdrs_add(&r.hdrs, STR("X-"), STR("")));
    assert_str(sign_ok(&r, &out),
               STR("content-md5;content-type;host;x-;x-content-sha256;x-date;x-zz"), "names", "");
    ck_assert_msg(has(out.canonical_request, "\nx-zz:1\n"), "value not trimmed");
}
END_TEST

START_TEST(host_loses_only_the_default_ports)
{
    static const char *const rows[][2] = {
        {"a.b:80", "host:a.b\n"},        {"a.b:443", "host:a.b\n"},
        {"a.b:8080", "host:a.b:8080\n"}, {"a.b:4430", "host:a.b:4430\n"},
        {"[::1]:443", "host:[::1]\n"},   {"[::443]", "host:[::443]\n"},
        {"a80", "host:a80\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct request r;
        struct sign_output out;
        request_make(&r);
        r.in.host = str_of(rows[i][0]);
        (void)sign_ok(&r, &out);
        ck_assert_msg(has(out.canonical_request, rows[i][1]), "%s", rows[i][0]);
    }
}
END_TEST

static enum err sign_with(const char *name, const char *value)
{
    struct request r;
    struct sign_output out;
    request_make(&r);
    ck_assert(hdrs_add(&r.hdrs, STR("X-One"), STR("1")));
    ck_assert(hdrs_add(&r.hdrs, str_of(name), str_of(value)));
    return sign_request(signer, &r.in, &out);
}

START_TEST(what_does_not_fit_is_refused)
{
    ck_assert_int_eq(sign_with("X-Two", "2"), ERR_OK);
    ck_assert_int_eq(sign_with("x-oNe", "2"), ERR_INVALID_REQUEST); /* a name twice */
    ck_assert_int_eq(sign_with("X-Date", "x"), ERR_INVALID_REQUEST);
    ck_assert_int_eq(sign_with("X-Content-Sha256", "x"), ERR_INVALID_REQUEST);

    struct request r;
    struct sign_output out;
    request_make(&r);
    r.in.body_sha256 = STR("abc");
    ck_assert_int_eq(sign_request(signer, &r.in, &out), ERR_INVALID_REQUEST);
    request_make(&r);
    r.cred.access_key = STR("AK\r\nX-Evil: 1");
    ck_assert_int_eq(sign_request(signer, &r.in, &out), ERR_INVALID_REQUEST);
    request_make(&r);
    r.cred.session_token = STR("t\nX-Evil: 1");
    ck_assert_int_eq(sign_request(signer, &r.in, &out), ERR_INVALID_REQUEST);

    static char text[600 * 1024];
    memset(text, 'a', sizeof text);
    request_make(&r);
    r.in.query = str_n(text, sizeof text);
    ck_assert_int_eq(sign_request(signer, &r.in, &out), ERR_HEADERS_TOO_LARGE);
    request_make(&r);
    r.in.region = str_n(text, 2000);
    ck_assert_int_eq(sign_request(signer, &r.in, &out), ERR_INVALID_REQUEST);
    request_make(&r);
    r.cred.access_key = str_n(text, SIGN_AUTH_MAX);
    ck_assert_int_eq(sign_request(signer, &r.in, &out), ERR_HEADERS_TOO_LARGE);
    /* and none of it spoils the signer */
    request_make(&r);
    (void)sign_ok(&r, &out);
}
END_TEST

START_TEST(too_many_headers_are_refused)
{
    static struct hdr v[200];
    static char names[200][8];
    struct request r;
    struct sign_output out;
    request_make(&r);
    r.hdrs = (struct hdrs){v, 0, ARRAY_LEN(v)};
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        (void)snprintf(names[i], sizeof names[i], "x-%zu", i);
        ck_assert(hdrs_add(&r.hdrs, str_of(names[i]), STR("v")));
    }
    ck_assert_int_eq(sign_request(signer, &r.in, &out), ERR_INVALID_REQUEST);
    r.hdrs.n = 100; /* as many as a request may have */
    ck_assert_int_eq(sign_request(signer, &r.in, &out), ERR_OK);
}
END_TEST

/* What one request needs of the signer's memory is not missing for the next: each of these takes
 * more than half of what there may be. */
START_TEST(large_requests_follow_each_other)
{
    static char text[300 * 1024], first[SIGN_AUTH_MAX];
    struct request r;
    struct sign_output out;
    memset(text, 'x', sizeof text);
    text[1] = '-';
    request_make(&r);
    ck_assert(hdrs_add(&r.hdrs, str_n(text, 2400), STR("v")));
    r.in.query = str_n(text, sizeof text);
    r.in.region = str_n(text, 600);
    (void)sign_ok(&r, &out);
    size_t n = out.authorization.n;
    memcpy(first, out.authorization.p, n);
    for (int i = 0; i < 40; i++) {
        (void)sign_ok(&r, &out);
        assert_str(out.authorization, str_n(first, n), "authorization", "");
    }
}
END_TEST

/* The signature under a secret of the same id: equal to the first as long as that key is cached. */
static void signature(const char *secret, uint64_t id, const char *region, char out[65])
{
    struct request r;
    struct sign_output o;
    request_make(&r);
    r.cred.secret_key = str_of(secret);
    r.cred.secret_id = id;
    r.in.region = str_of(region);
    (void)sign_ok(&r, &o);
    memcpy(out, o.authorization.p + o.authorization.n - 64, 64);
    out[64] = '\0';
}

START_TEST(forget_forgets_only_that_secret)
{
    char a[65], b[65], got[65];
    signature("one", 0, "r", a);
    signature("two", 0, "r", b);
    ck_assert_str_ne(a, b);
    signature("one", 1, "r", got);
    signature("one", 2, "r", got);
    signature("two", 1, "r", got); /* a cached key does not look at the secret again */
    ck_assert_str_eq(got, a);
    signer_forget(signer, 1);
    signature("two", 1, "r", got);
    ck_assert_str_eq(got, b);
    signature("two", 2, "r", got);
    ck_assert_str_eq(got, a);
    signer_forget(signer, 1); /* not the one that was used last */
    signature("two", 2, "r", got);
    ck_assert_str_eq(got, a);
    signer_forget(signer, 0);
    signature("two", 2, "r", got);
    ck_assert_str_eq(got, b);
}
END_TEST

/* The derived key also stands in the HMAC context: it has to go from there, too. */
START_TEST(forget_leaves_no_key_in_the_context)
{
    unsigned char kept[DIGEST_LEN], empty[DIGEST_LEN];
    char unused[65];
    struct hmac *h = hmac_new();
    ck_assert(h && hmac_sha256(h, STR(""), STR("m"), empty));
    signature("one", 1, "r", unused);
    ck_assert(hmac_again(signer->hmac, STR("m"), kept));
    ck_assert_mem_ne(kept, empty, DIGEST_LEN);
    signer_forget(signer, 1);
    ck_assert(hmac_again(signer->hmac, STR("m"), kept));
    ck_assert_mem_eq(kept, empty, DIGEST_LEN);
    hmac_free(h);
}
END_TEST

/* It is a signed header, and a parameter of what is presigned: wherever that is put together. */
START_TEST(the_session_token_is_wiped)
{
    for (int i = 0; i < 6; i++) {
        struct signer *s = signer_new();
        ck_assert_ptr_nonnull(s);
        ck_assert(buf_add(&s->canon, "0123456789abcdef", 16));
        ck_assert(buf_add(&s->form, "0123456789abcdef", 16));
        const void *in_arena = arena_alloc(&s->arena, 16);
        const void *const places[] = {s->canon.p, s->form.p, in_arena};
        wiped_watch(places[i / 2], 16);
        if (i % 2)
            signer_forget(s, 0);
        ck_assert_int_eq(wiped_all(), i % 2);
        signer_free(s);
        ck_assert_msg(wiped_all(), "place %d", i / 2);
    }
}
END_TEST

START_TEST(id_zero_is_never_cached)
{
    char a[65], b[65];
    signature("one", 0, "r", a);
    signature("two", 0, "r", b);
    ck_assert_str_ne(a, b);
}
END_TEST

START_TEST(least_recently_used_goes_first)
{
    char first[65], other[65], got[65], region[16];
    signature("one", 0, "r0", first);
    signature("two", 0, "r1", other);
    for (int i = 0; i < SIGNKEY_CACHE_MAX; i++) {
        (void)snprintf(region, sizeof region, "r%d", i);
        signature("one", 1, region, got);
    }
    signature("one", 1, "r0", got); /* now r1 is the oldest */
    signature("one", 1, "more", got);
    signature("two", 1, "r0", got);
    ck_assert_str_eq(got, first);
    signature("two", 1, "r1", got);
    ck_assert_str_eq(got, other);
}
END_TEST

START_TEST(cache_keys_are_told_apart)
{
    struct signkey_cache *c = signkey_cache_new();
    struct hmac *h = hmac_new();
    unsigned char a[DIGEST_LEN], b[DIGEST_LEN];
    uint64_t first, serial;
    ck_assert(c && h);
    const struct signkey_id base = {1, STR("20260101"), STR("ab"), STR("c")};
    ck_assert(signkey_get(c, h, STR("s"), &base, a, &first));
    ck_assert_uint_ne(first, 0);
    const struct signkey_id others[] = {
        {2, STR("20260101"), STR("ab"), STR("c")},
        {1, STR("20260102"), STR("ab"), STR("c")},
        {1, STR("20260101"), STR("a"), STR("bc")},
        {1, STR("20260101"), STR("ab"), STR("d")},
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        ck_assert(signkey_get(c, h, STR("s"), &others[i], b, &serial));
        ck_assert_uint_ne(serial, first);
        ck_assert(i == 0 || memcmp(a, b, DIGEST_LEN) != 0);
    }
    ck_assert(signkey_get(c, h, STR("s"), &base, b, &serial));
    ck_assert_uint_eq(serial, first);
    ck_assert_mem_eq(a, b, DIGEST_LEN);
    char longer[SIGNKEY_LABEL_MAX + 1];
    memset(longer, 'x', sizeof longer);
    const struct signkey_id big = {1, STR("20260101"), str_n(longer, sizeof longer), STR("c")};
    ck_assert(signkey_get(c, h, STR("s"), &big, b, &serial));
    ck_assert_uint_eq(serial, 0);
    signkey_forget(c, 1);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) { /* another secret: derived anew, or not */
        uint64_t again;
        ck_assert(signkey_get(c, h, STR("t"), &others[i], a, &serial));
        ck_assert(signkey_get(c, h, STR("s"), &others[i], b, &again));
        ck_assert_uint_eq(again, serial);
        ck_assert_int_eq(serial <= 1 + ARRAY_LEN(others), others[i].secret_id == 2);
    }
    hmac_free(h);
    signkey_cache_free(c);
}
END_TEST

static enum err presign_query(const char *raw, int64_t expires, struct presign_output *out)
{
    struct arena a;
    struct uri_query q;
    struct request r;
    arena_init(&a, 4096, 1 << 20);
    request_make(&r);
    ck_assert_int_eq(uri_query_parse(str_of(raw), &a, &q, NULL), ERR_OK);
    const struct presign_input in = {r.in.method, r.in.path,   &q,      r.in.host, r.in.service,
                                     r.in.region, r.in.time_s, expires, &r.cred};
    enum err e = sign_presign(signer, &in, out);
    arena_free(&a);
    return e;
}

START_TEST(presign_expires_is_signed)
{
    struct presign_output out;
    ck_assert_int_eq(presign_query("Action=A", 300, &out), ERR_OK);
    ck_assert(has(out.query, "&X-Expires=300&"));
    ck_assert(has(out.query, "X-Date%3BX-Expires%3BX-NotSignBody"));
    ck_assert(has(out.canonical_request, "&X-Expires=300&"));
    for (int i = 0; i < 5000; i++) /* each time with as much memory */
        ck_assert_int_eq(presign_query("Action=A", 0, &out), ERR_OK);
    ck_assert(!has(out.query, "X-Expires"));
}
END_TEST

/* By bytes: lower-case names come after the ones that are added, and a name twice counts once. */
START_TEST(presign_lists_all_names_in_order)
{
    struct presign_output out;
    ck_assert_int_eq(presign_query("z=1&Z=2&z=3&%C3%A9=4", 0, &out), ERR_OK);
    ck_assert(has(out.query, "&X-SignedQueries=X-Algorithm%3BX-Credential%3BX-Date%3BX-NotSignBody"
                             "%3BX-SignedHeaders%3BX-SignedQueries%3BZ%3Bz%3B%C3%A9&"));
}
END_TEST

START_TEST(presign_refuses_what_is_signed_already)
{
    static const char *const names[] = {
        "X-Signature",     "X-Credential",  "X-Algorithm",      "X-Date",      "X-SignedQueries",
        "X-SignedHeaders", "X-NotSignBody", "X-Security-Token", "x-signature",
    };
    struct presign_output out;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char raw[64];
        (void)snprintf(raw, sizeof raw, "Action=A&%s=1", names[i]);
        ck_assert_msg(presign_query(raw, 0, &out) == ERR_INVALID_QUERY, "%s", raw);
    }
    ck_assert_int_eq(presign_query("X-Expires=5", 300, &out), ERR_INVALID_QUERY);
    ck_assert_int_eq(presign_query("X-Expires=5", 0, &out), ERR_OK);
    ck_assert_int_eq(presign_query("a%3Bb=1", 0, &out), ERR_INVALID_QUERY);
}
END_TEST

START_TEST(dates)
{
    static const struct {
        const char *text;
        int64_t unix_s; /* -1: refused */
    } rows[] = {
        {"19700101T000000Z", 0},
        {"20201103T104027Z", 1604400027},
        {"20240229T235959Z", 1709251199},
        {"20000229T000000Z", 951782400},
        {"99991231T235959Z", 253402300799},
        {"20230229T000000Z", -1},
        {"21000229T000000Z", -1},
        {"20201301T000000Z", -1},
        {"20200001T000000Z", -1},
        {"20200100T000000Z", -1},
        {"20200132T000000Z", -1},
        {"20200101T240000Z", -1},
        {"20200101T006000Z", -1},
        {"20200101 000000Z", -1},
        {"20200101T000000", -1},
        {"20200101T000000z", -1},
        {"2020010aT000000Z", -1},
        {"19691231T235959Z", -1},
        {"20200101T0000 0Z", -1},
        {"", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = -1;
        bool ok = sign_date_parse(str_of(rows[i].text), &got);
        ck_assert_msg(ok == (rows[i].unix_s >= 0) && got == rows[i].unix_s, "%s: %lld",
                      rows[i].text, (long long)got);
        char back[17];
        clock_format_basic(got, back);
        if (ok)
            ck_assert_str_eq(back, rows[i].text);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sign");
    TCase *t = tcase_create("sign");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, sign_vectors);
    tcase_add_test(t, presign_vectors);
    tcase_add_test(t, which_headers_are_signed);
    tcase_add_test(t, host_loses_only_the_default_ports);
    tcase_add_test(t, what_does_not_fit_is_refused);
    tcase_add_test(t, too_many_headers_are_refused);
    tcase_add_test(t, large_requests_follow_each_other);
    tcase_add_test(t, forget_forgets_only_that_secret);
    tcase_add_test(t, forget_leaves_no_key_in_the_context);
    tcase_add_test(t, the_session_token_is_wiped);
    tcase_add_test(t, id_zero_is_never_cached);
    tcase_add_test(t, least_recently_used_goes_first);
    tcase_add_test(t, cache_keys_are_told_apart);
    tcase_add_test(t, presign_expires_is_signed);
    tcase_add_test(t, presign_lists_all_names_in_order);
    tcase_add_test(t, presign_refuses_what_is_signed_already);
    tcase_add_test(t, dates);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
