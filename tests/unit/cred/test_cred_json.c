/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON view: look-ups that cannot fail loudly, errors that quote nothing. */
#include "cred/cred_json.h"
#include "cred/cred_sha1.h"
#include "fixture.h"

START_TEST(members)
{
    struct err_detail why = {""};
    struct cred_json *j = cred_json_parse(
        STR("{\"a\":{\"b\":\" "
            "x\\n\"},\"n\":-5,\"z\":null,\"e\":\"\",\"l\":[\"p\",\"q\"],\"t\":true}"),
        &why);
    ck_assert_ptr_nonnull(j);
    ck_assert(str_eq(cred_json_text(cred_json_get(cred_json_get(j, "a"), "b")), STR(" x\n")));
    ck_assert(str_eq(cred_json_member(cred_json_get(j, "a"), "b"), STR("x")));
    ck_assert_ptr_null(cred_json_member(j, "e").p);
    ck_assert_ptr_null(cred_json_member(j, "n").p);
    ck_assert_ptr_null(cred_json_get(j, "z"));
    ck_assert_ptr_null(cred_json_get(cred_json_get(j, "no"), "way"));
    ck_assert_ptr_null(cred_json_get(cred_json_get(j, "n"), "way"));
    int64_t n = 0;
    ck_assert(cred_json_int(cred_json_get(j, "n"), &n));
    ck_assert_int_eq(n, -5);
    ck_assert(!cred_json_int(cred_json_get(j, "a"), &n));
    ck_assert(!cred_json_int(NULL, &n));
    ck_assert(str_eq(cred_json_text(cred_json_at(cred_json_get(j, "l"), 1)), STR("q")));
    ck_assert_ptr_null(cred_json_at(cred_json_get(j, "l"), 2));
    ck_assert_ptr_null(cred_json_at(j, 0));
    ck_assert(cred_json_true(cred_json_get(j, "t")) && !cred_json_true(cred_json_get(j, "n")));
    ck_assert(cred_json_is_object(j) && !cred_json_is_object(cred_json_get(j, "l")));
    size_t names = 0;
    while (cred_json_name(j, names))
        names++;
    ck_assert_uint_eq(names, 6);
    cred_json_free(j);
    cred_json_free(NULL);
}
END_TEST

static const char *const broken[] = {
    "",
    "{",
    "{\"secret\":\"topsecret}",
    "{\"a\":1,\"a\":2}",
    "{\"a\":1} topsecret",
    "topsecret",
    "\"topsecret\"",
    "{\"topsecret\"}",
    "[1,]",
    "\xff\xfe",
    "{\"a\":\"\xff\"}",
    "{\"a\":\"\\u0000\"}",
};

START_TEST(errors_quote_nothing)
{
    struct err_detail why = {""};
    ck_assert_ptr_null(cred_json_parse(str_of(broken[_i]), &why));
    ck_assert_ptr_nonnull(strstr(why.text, "line 1"));
    ck_assert_ptr_null(strstr(why.text, "topsecret"));
}
END_TEST

START_TEST(depth_is_bounded)
{
    struct err_detail why = {""};
    static char deep[200001];
    memset(deep, '[', sizeof deep - 1);
    ck_assert_ptr_null(cred_json_parse(str_n(deep, sizeof deep - 1), &why));
}
END_TEST

START_TEST(strings_are_written_escaped)
{
    struct buf b;
    buf_init(&b, 4096);
    cred_json_put(&b, STR("a\"\\\n\x01<é"));
    ck_assert(str_eq(buf_str(&b), STR("\"a\\\"\\\\\\n\\u0001<é\"")));
    buf_reset(&b);
    cred_json_put(&b, (struct str){NULL, 0});
    ck_assert(str_eq(buf_str(&b), STR("\"\"")));
    cred_json_put(&b, STR("\xff"));
    ck_assert(b.failed);
    buf_free(&b);
}
END_TEST

/* FIPS 180-4's examples, and each length around the block's edge against sha1sum's values. */
START_TEST(sha1)
{
    char out[CRED_SHA1_HEX];
    char text[200];
    cred_sha1_hex(STR("abc"), out);
    ck_assert_str_eq(out, "a9993e364706816aba3e25717850c26c9cd0d89d");
    cred_sha1_hex(STR(""), out);
    ck_assert_str_eq(out, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    cred_sha1_hex(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), out);
    ck_assert_str_eq(out, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    memset(text, 'a', sizeof text);
    const struct {
        size_t n;
        const char *hex;
    } edges[] = {
        {55, "c1c8bbdc22796e28c0e15163d20899b65621d65a"},
        {56, "c2db330f6083854c99d4b5bfb6e8f29f201be699"},
        {63, "03f09f5b158a7a8cdad920bddc29b81c18a551f5"},
        {64, "0098ba824b5c16427bd7a1122a5a442a25ec644d"},
        {65, "11655326c708d70319be2610e8a57d9a5b959d3b"},
        {119, "ee971065aaa017e0632a8ca6c77bb3bf8b1dfc56"},
        {120, "f34c1488385346a55709ba056ddd08280dd4c6d6"},
        {128, "ad5b3fdbcb526778c2839d2f151ea753995e26a0"},
    };
    for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
        cred_sha1_hex(str_n(text, edges[i].n), out);
        ck_assert_str_eq(out, edges[i].hex);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cred_json");
    TCase *c = tcase_create("cred_json");
    tcase_add_test(c, members);
    tcase_add_loop_test(c, errors_quote_nothing, 0, (int)ARRAY_LEN(broken));
    tcase_add_test(c, depth_is_bounded);
    tcase_add_test(c, strings_are_written_escaped);
    tcase_add_test(c, sha1);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
