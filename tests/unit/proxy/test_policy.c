/* SPDX-License-Identifier: Apache-2.0 */
/* Policies, patterns, actions hidden in form bodies, the bounded tables. */
#include "fixture.h"
#include "proxy/glob.h"
#include "proxy/lru.h"
#include "proxy/policy.h"

START_TEST(globs)
{
    static const struct {
        const char *pattern, *text, *stop;
        bool match;
    } rows[] = {
        {"", "", "", true},
        {"*", "", "", true},
        {"*", "abc", "", true},
        {"abc", "ABC", "", true},
        {"abc", "abcd", "", false},
        {"abc", "ab", "", false},
        {"a*c", "abbc", "", true},
        {"a*c", "abcd", "", false},
        {"a*c", "ac", "", true},
        {"*b*", "abc", "", true},
        {"*b*", "ac", "", false},
        {"**", "x", "", true},
        {"a*b*c", "aXbYbZc", "", true},
        {"a*b*c", "aXcYb", "", false},
        {"*.x", "a.x", ":", true},
        {"*.x", "a:.x", ":", false},
        {"*x", "ab:x", ":", false},
        {"a", "", "", false},
        {"", "a", "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(glob_match(str_of(rows[i].pattern), str_of(rows[i].text), rows[i].stop) ==
                          rows[i].match,
                      "%s %s", rows[i].pattern, rows[i].text);
    /* NUL in the text is a byte like another. */
    ck_assert(glob_match(STR("a*b"), str_n("a\0b", 3), ""));
    ck_assert(!glob_match(STR("a*b"), str_n("a\0b", 3), ":"));
}
END_TEST

START_TEST(action_patterns)
{
    static const struct {
        const char *pattern, *service, *action;
        bool match;
    } rows[] = {
        {"ecs:Describe*", "ecs", "DescribeInstances", true},
        {"ecs:Describe*", "ecs", "RunInstances", false},
        {"ecs:Describe*", "iam", "DescribeInstances", false},
        {"ecs:describe*", "ECS", "DescribeInstances", true},
        {"*:*", "iam", "X", true},
        {"*:Get*", "iam", "GetUser", true},
        {"e*:*", "ecs", "", true},
        {"ecs:*", "ecs", "", true},
        {"*:*", "ecs", "", true},
        {"ecs:Describe*", "ecs", "", false},
        {"ecs:**", "ecs", "", false},
        {"ecs", "ecs", "X", false},
        {"ecs*", "ecs", "X", false},
        {"ecs:X", "ecs", "X:Y", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(glob_action(str_of(rows[i].pattern), str_of(rows[i].service),
                                  str_of(rows[i].action)) == rows[i].match,
                      "%s %s:%s", rows[i].pattern, rows[i].service, rows[i].action);
}
END_TEST

START_TEST(verdicts)
{
    const char *allow[] = {"ecs:*", "iam:List*"}, *deny[] = {"ecs:Delete*"}, *regions[] = {"cn-*"};
    static const struct {
        const char *service, *action, *region;
        bool pass;
    } rows[] = {
        {"ecs", "RunInstances", "cn-beijing", true},
        {"ecs", "DeleteInstance", "cn-beijing", false},
        {"ecs", "deleteInstance", "cn-beijing", false},
        {"iam", "ListUsers", "cn-beijing", true},
        {"iam", "CreateUser", "cn-beijing", false},
        {"vpc", "X", "cn-beijing", false},
        {"ecs", "RunInstances", "ap-x", false},
        {"ecs", "", "cn-beijing", true},
        {"iam", "", "cn-beijing", false},
    };
    struct conf_policy p = {.name = "p",
                            .profile = "",
                            .mode = POLICY_ENFORCE,
                            .allow = {allow, 2},
                            .deny = {deny, 1},
                            .regions = {regions, 1}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_detail why = {""};
        struct str s = str_of(rows[i].service), a = str_of(rows[i].action),
                   r = str_of(rows[i].region);
        p.mode = POLICY_ENFORCE;
        ck_assert_msg(policy_check(&p, s, a, r, &why) ==
                          (rows[i].pass ? POLICY_PASS : POLICY_REFUSE),
                      "%s:%s", rows[i].service, rows[i].action);
        ck_assert((why.text[0] != '\0') == !rows[i].pass);
        p.mode = POLICY_WARN;
        ck_assert(policy_check(&p, s, a, r, NULL) == (rows[i].pass ? POLICY_PASS : POLICY_WOULD));
        p.mode = POLICY_RECORD;
        ck_assert(policy_check(&p, s, a, r, NULL) == (rows[i].pass ? POLICY_PASS : POLICY_WOULD));
    }
    ck_assert_int_eq(policy_check(NULL, STR("a"), STR("b"), STR("c"), NULL), POLICY_PASS);
    /* A list that is empty does not restrict. */
    struct conf_policy only_deny = {.name = "d", .mode = POLICY_ENFORCE, .deny = {deny, 1}};
    ck_assert_int_eq(policy_check(&only_deny, STR("vpc"), STR("X"), STR("r"), NULL), POLICY_PASS);
    ck_assert_int_eq(policy_check(&only_deny, STR("ecs"), STR("DeleteX"), STR("r"), NULL),
                     POLICY_REFUSE);
    /* What a server would trim must not make another name of it. */
    static const char *const odd[] = {" DeleteX", "DeleteX ", "Dele\x01teX", "DeleteX\xC2\xA0"};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        ck_assert_int_eq(policy_check(&only_deny, STR("ecs"), str_of(odd[i]), STR("r"), NULL),
                         POLICY_REFUSE);
    ck_assert_int_eq(policy_check(&only_deny, STR("ecs"), str_n("\0DeleteX", 8), STR("r"), NULL),
                     POLICY_REFUSE);
}
END_TEST

START_TEST(names_that_hide)
{
    static const struct {
        const char *name;
        bool pass;
    } rows[] = {
        {"Action", true},
        {"%20Action", false},
        {"action%00", false},
        {"Act%E2%80%8Bion", false},
        {"Action%00x", false}, /* where C ends */
        {"A%00ction%00%2F", false},
        {"Actio%00n%2F", true},
        {"%20Actio", true},
        {"Action%2F", true},
        {"Action%20s", true},
        {"%20", true},
        {"", true},
        {"Action%", true},
        {"%20Action%0A%09", false},
        {"%20Version", true},
    };
    struct conf_policy p = {.name = "p", .mode = POLICY_ENFORCE};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct uri_pair v[] = {{STR("a"), STR("b")}, {str_of(rows[i].name), STR("x")}};
        struct uri_query q = {v, 2};
        struct err_detail why = {""};
        ck_assert_msg(policy_check_names(&p, &q, &why) ==
                          (rows[i].pass ? POLICY_PASS : POLICY_REFUSE),
                      "%s", rows[i].name);
        ck_assert((why.text[0] != '\0') == !rows[i].pass);
        ck_assert_int_eq(policy_check_names(NULL, &q, NULL), POLICY_PASS);
        struct conf_policy warn = {.name = "w", .mode = POLICY_WARN};
        ck_assert(policy_check_names(&warn, &q, NULL) ==
                  (rows[i].pass ? POLICY_PASS : POLICY_WOULD));
    }
}
END_TEST

static struct route with_type(struct hdr *h, const char *type, const struct conf_policy *p)
{
    struct route r = {.policy = p};
    *h = (struct hdr){STR("Content-Type"), str_of(type)};
    r.forward = (struct hdrs){h, type ? 1u : 0u, 1};
    return r;
}

START_TEST(which_bodies)
{
    static const struct {
        const char *type;
        bool wants;
    } rows[] = {
        {NULL, true},
        {"", true},
        {"application/x-www-form-urlencoded", true},
        {"Application/X-WWW-Form-URLEncoded ; charset=utf-8", true},
        {"multipart/form-data; boundary=x", true},
        {"application/json,application/x-www-form-urlencoded", true},
        {"application/x-www-form-urlencoded charset=utf-8", true}, /* some cut at a blank, too */
        {"\xC2\xA0"
         "application/x-www-form-urlencoded",
         true}, /* a blank that does not break: some trim it */
        {"appl\xC4\xB0"
         "cation/json",
         true},      /* and some fold more letters than ASCII's */
        {",", true}, /* two empty values, joined */
        {"application/json", false},
        {"application/json; x=\"a,b\"", false},
        {"application/octet-stream", false},
        {"text/plain", false},
    };
    struct conf_policy p = {.name = "p", .mode = POLICY_ENFORCE};
    struct hdr h;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct route r = with_type(&h, rows[i].type, &p);
        ck_assert_msg(policy_wants_body(&r) == rows[i].wants, "%s", rows[i].type);
        r.policy = NULL;
        ck_assert(!policy_wants_body(&r));
        struct conf_policy warn = {.name = "w", .mode = POLICY_WARN};
        r.policy = &warn;
        ck_assert(!policy_wants_body(&r));
    }
}
END_TEST

START_TEST(hidden_actions)
{
#define PART "--x\r\nContent-Disposition: form-data; "
    static const struct {
        const char *type, *body;
        bool found;
    } rows[] = {
        {NULL, "", false},
        {NULL, "Action=DeleteUser", true},
        {NULL, "a=b&Action=X", true},
        {NULL, "a=b&action=X", true},
        {NULL, "a=b;ACTION=X", true},
        {NULL, "Action", true},
        {NULL, "a&Action&b", true},
        {NULL, "%41ction=X", true},
        {NULL, "%41%63%74%69%6F%6e=X", true},
        {NULL, "+Action=X", true},
        {NULL, "Action%20=X", true},
        {NULL, "Action%00=X", true},
        {NULL, "Action%00x=X", true}, /* where C ends */
        {NULL, "A%00ction%00x=X", true},
        {NULL, "Actio%00x=X", false},
        {NULL, "%u0041ction=X", true},
        {NULL, "a=b&x%u0041=X", true},
        {NULL, "a%user=X&b=%u0041", false},
        {NULL, "Actions=X", false},
        {NULL, "Actio=X", false},
        {NULL, "MyAction=X", false},
        {NULL, "a=Action", false},
        {NULL, "a=Action=X", false},
        {NULL, "a=%26Action=X", false},
        {NULL, "Act%ion=X", true}, /* broken: refused rather than guessed about */
        {NULL, "aaaaaaaaaaaaaaaaaaaaaaaaaAction=X", false},
        {NULL, "\x01%0bAction%1F=X", true},
        {NULL,
         "\xEF\xBB\xBF"
         "Action=X",
         true},                             /* a byte order mark */
        {NULL, "a=b&%C2%A0Action=X", true}, /* a blank that does not break */
        {"multipart/form-data; boundary=x", PART "name=\"Action\"\r\n\r\nX\r\n--x--", true},
        {"multipart/form-data; boundary=x", PART "NAME = 'action'; y\r\n\r\nX", true},
        {"multipart/form-data; boundary=x", PART "name=Action\r\n\r\nX", true},
        {"multipart/form-data; boundary=x", PART "name=nname=Action\r\n\r\nX", true},
        {"multipart/form-data; boundary=x", PART "name=actioname=Action\r\n\r\nX", true},
        {"multipart/form-data; boundary=x", PART "name=\r\n \"Action\"\r\n\r\nX", true},
        {"multipart/form-data; boundary=x", PART "name=\"\\A\\ction\"\r\n\r\nX", true},
        {"multipart/form-data; boundary=x",
         PART "name=\"\xEF\xBB\xBF"
              "Action\"\r\n\r\nX",
         true},
        {"multipart/form-data; boundary=x", PART "name*=utf-8''Ac%74ion\r\n\r\nX", true},
        {"multipart/form-data; boundary=x", PART "name*0=Ac; name*1=tion\r\n\r\nX", true},
        {"multipart/form-data; boundary=x", PART "Name *0* =utf-8''Ac\r\n\r\nX", true},
        {"multipart/form-data; boundary=x", PART "name=\"=?utf-8?Q?Action?=\"\r\n\r\nX", true},
        {"multipart/form-data; boundary=x", PART "name = =?utf-8?B?QWN0aW9u?=\r\n\r\nX", true},
        {"multipart/form-data; boundary=x", PART "name(x)=\"Action\"\r\n\r\nX", true},
        {"multipart/form-data; boundary=x", PART "(a) name (b) = \"Action\"\r\n\r\nX", true},
        {"multipart/form-data; boundary=x", PART "name=(b)\"Action\"\r\n\r\nX", true},
        {"multipart/form-data; boundary=x",
         PART "name=\"a\"\r\n\r\nif (name == x) f(name); the name (of it) is a name?", false},
        {"multipart/form-data; boundary=x", PART "name=\"a=?b\"\r\n\r\nX", false},
        {"multipart/form-data; boundary=x", PART "name=Action", true},
        {"multipart/form-data; boundary=x",
         PART "name=\"a\"; filename*=utf-8''x.txt\r\n\r\nchar *name* p, *name **q; name", false},
        {"multipart/form-data; boundary=x", PART "name=\"Actions\"\r\n\r\nX", false},
        {"multipart/form-data; boundary=x", PART "name=\"a\"\r\n\r\nAction=X", false},
        {"multipart/form-data; boundary=x", PART "name=\"a\"; filename=\"action.txt\"\r\n\r\nX",
         false},
    };
    struct conf_policy p = {.name = "p", .mode = POLICY_ENFORCE};
    struct hdr h;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].body);
        /* The answer does not depend on how the body is split. */
        for (size_t piece = 1; piece <= n + 1; piece++) {
            struct route r = with_type(&h, rows[i].type, &p);
            struct policy_form f;
            policy_form_begin(&f, &r);
            for (size_t at = 0; at < n; at += piece)
                (void)policy_form_feed(&f, rows[i].body + at, n - at < piece ? n - at : piece);
            ck_assert_msg(policy_form_end(&f) == rows[i].found, "%s by %zu", rows[i].body, piece);
        }
    }
    struct err_detail why;
    ck_assert_int_eq(policy_form_refuse(&why), ERR_ACTION_NOT_ALLOWED);
}
END_TEST

/* A body that can't be looked through counts as if it held an Action, an empty one does not. */
START_TEST(unreadable_bodies)
{
    static const struct {
        const char *type, *coding;
        bool opaque;
    } rows[] = {
        {"application/x-www-form-urlencoded", "gzip", true},
        {"application/x-www-form-urlencoded", "identity", false},
        {"application/x-www-form-urlencoded", "", false},
        {"application/x-www-form-urlencoded; charset=utf-16", NULL, true},
        {"application/x-www-form-urlencoded;CHARSET = \"ibm037\"", NULL, true},
        {"application/x-www-form-urlencoded; charset", NULL, true},
        {"application/x-www-form-urlencoded; charset=", NULL, true},
        {"application/x-www-form-urlencoded; charset=UTF-8", NULL, false},
        {"application/x-www-form-urlencoded; charset=\"utf-8\"; x=y", NULL, false},
        {"application/x-www-form-urlencoded; charset=utf-8, a/b; charset=utf-7", NULL, true},
        {"multipart/form-data; boundary=x; charset=utf-7", NULL, true},
        /* which of two readings the upstream chooses isn't known */
        {"multipart/x, application/x-www-form-urlencoded", NULL, true},
        {"application/x-www-form-urlencoded,multipart/x; boundary=x", NULL, true},
        {"multipart/a,multipart/b", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct hdr v[2] = {{STR("Content-Type"), str_of(rows[i].type)},
                           {STR("Content-Encoding"), str_of(rows[i].coding)}};
        struct route r = {.forward = {v, rows[i].coding ? 2 : 1, 2}};
        struct policy_form f;
        policy_form_begin(&f, &r);
        ck_assert(!policy_form_feed(&f, "", 0));
        ck_assert_msg(policy_form_feed(&f, "a=b", 3) == rows[i].opaque, "%s", rows[i].type);
        ck_assert(policy_form_end(&f) == rows[i].opaque);
        policy_form_begin(&f, &r);
        ck_assert(!policy_form_end(&f));
    }
}
END_TEST

START_TEST(recorded_pairs)
{
    char v[8][POLICY_PATTERN_MAX];
    struct policy_record *r = policy_record_new();
    ck_assert_ptr_nonnull(r);
    policy_record_add(r, STR("iam"), STR("ListUsers"));
    policy_record_add(r, STR("ecs"), STR("DescribeInstances"));
    policy_record_add(r, STR("iam"), STR("ListUsers"));
    policy_record_add(r, STR("tos"), STR(""));
    /* Nothing that means more in a list than it did as a name. */
    policy_record_add(r, STR("ecs"), STR("*"));
    policy_record_add(r, STR("ecs"), STR("Describe*"));
    policy_record_add(r, STR("ecs"), STR("a\", \"*:*"));
    policy_record_add(r, STR("e*"), STR("x"));
    policy_record_add(r, STR("ecs"), str_n("a\0*", 3));
    policy_record_add(r, STR(""), STR("x"));
    char longest[POLICY_PATTERN_MAX];
    memset(longest, 'a', sizeof longest);
    policy_record_add(r, STR("ecs"), str_n(longest, sizeof longest));
    policy_record_add(r, STR("ecs"), str_n(longest, sizeof longest - 6));
    ck_assert_uint_eq(policy_record_copy(r, v, 8), 4);
    ck_assert_str_eq(v[0], "ecs:DescribeInstances");
    ck_assert_uint_eq(strlen(v[1]), sizeof longest - 2);
    ck_assert_str_eq(v[2], "iam:ListUsers");
    ck_assert_str_eq(v[3], "tos:*");
    ck_assert_uint_eq(policy_record_copy(r, v, 1), 1);
    for (unsigned i = 0; i < POLICY_RECORD_MAX + 10; i++) {
        char name[16];
        int n = snprintf(name, sizeof name, "A%u", i);
        policy_record_add(r, STR("ecs"), str_n(name, (size_t)n));
    }
    static char all[POLICY_RECORD_MAX + 8][POLICY_PATTERN_MAX];
    ck_assert_uint_eq(policy_record_copy(r, all, POLICY_RECORD_MAX + 8), POLICY_RECORD_MAX);
    policy_record_free(r);
    policy_record_free(NULL);
}
END_TEST

START_TEST(seen_pairs)
{
    char big[300];
    memset(big, 'x', sizeof(big));
    struct policy_seen *s = policy_seen_new(2);
    ck_assert_ptr_nonnull(s);
    ck_assert(policy_seen_add(s, STR("ecs"), STR("A")));
    ck_assert(!policy_seen_add(s, STR("ecs"), STR("A")));
    ck_assert(policy_seen_add(s, STR("ecs"), STR("")));
    ck_assert(!policy_seen_add(s, STR("ecs"), STR("A")));
    ck_assert(policy_seen_add(s, STR("iam"), STR("A"))); /* forgets ecs: */
    ck_assert(!policy_seen_add(s, STR("ecs"), STR("A")));
    ck_assert(policy_seen_add(s, STR("ecs"), STR("")));
    ck_assert(policy_seen_add(s, str_n(big, sizeof(big)), STR("A")));
    ck_assert(!policy_seen_add(s, STR("x"), str_n(big, sizeof(big))));
    policy_seen_free(s);
    policy_seen_free(NULL);
}
END_TEST

START_TEST(table)
{
    enum { MOST = 50, ROUNDS = 20000 };
    struct lru *t = lru_new(MOST, 16, sizeof(uint64_t));
    char key[32];
    bool fresh;
    unsigned age[200] = {0}, now = 0;
    ck_assert_ptr_nonnull(t);
    for (unsigned i = 0, x = 1; i < ROUNDS; i++) {
        x = x * 1103515245 + 12345;
        unsigned k = (x >> 16) % 120;
        snprintf(key, sizeof(key), "key-%u", k);
        uint64_t *v = lru_get(t, str_of(key), &fresh);
        /* There iff it was among the last MOST different keys used. */
        unsigned later = 0;
        for (unsigned j = 0; j < 200; j++)
            later += age[k] && age[j] > age[k];
        ck_assert_msg(fresh == (!age[k] || later >= MOST), "round %u", i);
        ck_assert(fresh ? *v == 0 : *v == k + 1);
        *v = k + 1;
        age[k] = ++now;
        ck_assert_uint_le(lru_count(t), MOST);
    }
    uint64_t *long_key = lru_get(t, STR("longer than sixteen bytes"), NULL);
    ck_assert_ptr_eq(long_key, lru_get(t, STR("another one that is too long"), &fresh));
    ck_assert(!fresh);
    lru_free(t);
    lru_free(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy");
    TCase *t = tcase_create("policy");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, globs);
    tcase_add_test(t, action_patterns);
    tcase_add_test(t, verdicts);
    tcase_add_test(t, names_that_hide);
    tcase_add_test(t, which_bodies);
    tcase_add_test(t, hidden_actions);
    tcase_add_test(t, unreadable_bodies);
    tcase_add_test(t, recorded_pairs);
    tcase_add_test(t, seen_pairs);
    tcase_add_test(t, table);
    suite_add_tcase(s, t);
    return fixture_main(s);
}
