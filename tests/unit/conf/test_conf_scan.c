/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of reading libconfig text: what libconfig 1.5 gets wrong by itself, includes, and that each
 * error names the line it is on. */
#include "fixture.h"

/* -- numbers ------------------------------------------------------------------------------- */

START_TEST(integers_beyond_32_bits)
{
    /* libconfig alone reads 4294967301 as 5. */
    CK_ERRORS(load_text("retry: {\n num_max_retries = 4294967301;\n};"),
              "a.conf:2: retry.num_max_retries: must be between 0 and 100, not 4294967301\n");
    CK_ERRORS(load_text("workers = 0x100000002;"),
              "a.conf:1: workers: must be between 0 and 256, not 4294967298\n");
    CK_ERRORS(load_text("workers = 99999999999999999999;"),
              "a.conf:1: workers: the number does not fit 64 bits\n");
    CK_ERRORS(load_text("\nworkers = -9223372036854775809L;"),
              "a.conf:2: workers: the number does not fit 64 bits\n");
    struct conf *c = good("limits: { max_body = 8589934592; buffered_total = 0x200000000L; }; "
                          "security: { allowed_uids = [ 1, 4294967294 ]; }; workers = +7;");
    ck_assert_uint_eq(c->limits.max_body, UINT64_C(8589934592));
    ck_assert_uint_eq(c->limits.buffered_total, UINT64_C(8589934592));
    ck_assert_int_eq(c->security.allowed_uids.v[1], 4294967294);
    ck_assert_int_eq(c->workers, 7);
    conf_unref(c);
}
END_TEST

START_TEST(floats)
{
    struct conf *c = good("timeouts: { connect_timeout = 5; read_timeout = 1e2; "
                          "request_timeout = .25; client_header_timeout = 2.5E-1; };");
    ck_assert_uint_eq(c->timeouts.connect_ns, UINT64_C(5000000000));
    ck_assert_uint_eq(c->timeouts.read_ns, UINT64_C(100000000000));
    ck_assert_uint_eq(c->timeouts.request_ns, UINT64_C(250000000));
    ck_assert_uint_eq(c->timeouts.client_header_ns, UINT64_C(250000000));
    conf_unref(c);
    CK_ERRORS(load_text("drain_timeout = 1.0e999;"),
              "a.conf:1: drain_timeout: a string needs double quotes around it\n"
              "a.conf:1: drain_timeout: must be a number of seconds, not \"1.0e999\"\n");
}
END_TEST

/* -- strings ------------------------------------------------------------------------------- */

START_TEST(adjacent_strings)
{
    /* libconfig alone listens on "localhost:1localhost:2". */
    CK_ERRORS(load_text("listen = [ \"localhost:1\"\n \"localhost:2\" ];"),
              "a.conf:2: listen: two strings in a row: a comma between them or a semicolon is "
              "missing\n");
    CK_ERRORS(load_text("policies = ( { name = \"x\"; allow = [ \"a:b\" /* c */ \"c:d\", "
                        "\"e:f\" # g\n \"h:i\" ]; } ); policy = \"x\";"),
              "a.conf:1: policies.allow: two strings in a row: a comma between them or a semicolon "
              "is missing\n"
              "a.conf:2: policies.allow: two strings in a row: a comma between them or a semicolon "
              "is missing\n");
    CK_ERRORS(load_text("region = \"cn-\" \"beijing\";"),
              "a.conf:1: region: two strings in a row: a comma between them or a semicolon is "
              "missing\n");
    conf_unref(good("region = \"a\" service = \"b\", profile = \"default\"\n policy = \"\""));
}
END_TEST

START_TEST(strings_without_quotes)
{
    CK_ERRORS(load_text("cloud = byteplus;\nadmin: { listen = 127.0.0.1:1; };\n"
                        "connect_to = [ ::h:1 ];\nlimits: { max_body = 256M; };\nlog: { file = "
                        "/tmp/x; };"),
              "a.conf:1: cloud: a string needs double quotes around it\n"
              "a.conf:2: admin.listen: a string needs double quotes around it\n"
              "a.conf:3: connect_to: a string needs double quotes around it\n"
              "a.conf:4: limits.max_body: a string needs double quotes around it\n"
              "a.conf:5: log.file: a string needs double quotes around it\n");
    CK_ERRORS(load_text("cloud = byteplus;"),
              "a.conf:1: cloud: a string needs double quotes around it\n");
}
END_TEST

START_TEST(unclosed)
{
    CK_ERRORS(load_text("\nregion = \"cn;\nservice = \"ecs\";\n"),
              "a.conf:2: a string is not closed on its line\n");
    CK_ERRORS(load_text("region = \"x\";\n/* begins\n\n"), "a.conf:2: a comment is not closed\n");
    CK_ERRORS(load_text("tls: {\n ca_file = \"\";\n"), "a.conf:1: this { is never closed\n");
    CK_ERRORS(load_text("listen = [ \"a\" );\n"), "a.conf:1: ) does not close the [ of line 1\n");
    CK_ERRORS(load_text("tls: { };\n};\n"), "a.conf:2: } closes nothing\n");
    CK_ERRORS(load_text("listen = [[[[[[[[[[[[[[[[[[[[[["),
              "a.conf:1: brackets are nested too deeply\n");
}
END_TEST

START_TEST(escapes)
{
    struct conf *c = good("log: { file = \"a\\x41\\\\\\\"\\q\"; };");
    ck_assert_str_eq(c->log.file, "aA\\\"\\q");
    conf_unref(c);
    /* libconfig alone ends the string there. */
    CK_ERRORS(load_text("log: { file = \"/tmp/a\\x00b\"; };"),
              "a.conf:1: log.file: holds a control character\n");
}
END_TEST

START_TEST(bytes)
{
    static const char nul[] = "region = \"x\";\n\0 workers = 999;";
    write_bytes("a.conf", nul, sizeof nul - 1, 0600);
    CK_ERRORS(load_args(&(struct conf_args){.config = in_dir("a.conf")}),
              "a.conf:1: the text holds a NUL byte\n");
    CK_ERRORS(load_text("region = \"x\";\n\n \x01"), "a.conf:3: unexpected character \"\\x01\"\n");
    CK_ERRORS(load_text("regi\xC3\xB6n = 1;"), "a.conf:1: unexpected character \"\\xc3\"\n");
    conf_unref(good("\xEF\xBB\xBFregion = \"x\";\r\n\tservice = \"y\";\r\n// \xC3\xB6\r\n"));
    conf_unref(good(""));
    conf_unref(good("\n# only a comment"));
}
END_TEST

/* -- libconfig's own errors ---------------------------------------------------------------- */

#define SYNTAX                                                                                     \
    "syntax error: settings are \"key = value;\", list elements are separated by commas, "         \
    "groups stand in ( ), not in [ ]\n"

START_TEST(syntax)
{
    CK_ERRORS(load_text("region = \"x\";\n\noops = = 5;\n"), "a.conf:3: " SYNTAX);
    CK_ERRORS(load_text("listen = [ \":1\",\n ];"),
              "a.conf:2: a list has a comma with nothing before or after it\n");
    CK_ERRORS(load_text("listen = (\":1\",, \":2\");"),
              "a.conf:1: a list has a comma with nothing before or after it\n");
    CK_ERRORS(load_text("listen = [ , ];"),
              "a.conf:1: a list has a comma with nothing before or after it\n");
    CK_ERRORS(load_text("listen = [ \":1\"; ];"), "a.conf:1: " SYNTAX);
    conf_unref(good("tls: { min_version = \"1.3\", };"));
    CK_ERRORS(load_text("policies = [ { name = \"x\"; } ];"), "a.conf:1: " SYNTAX);
    CK_ERRORS(load_text("connect_to = [ \"::h:1\", 5 ];"),
              "a.conf:1: [ ] holds values of one type only; mixed ones need ( )\n");
    CK_ERRORS(load_text("region = \"a\";\nregion = \"b\";\n"),
              "a.conf:2: a key is set twice in the same group, this is the second time\n");
    CK_ERRORS(load_text("tls: { };\n\ntls: { };\n"),
              "a.conf:3: a key is set twice in the same group, this is the second time\n");
}
END_TEST

/* Side by side they must not become one: "x"5 is not 5, and "x"x1 not a string of another key. */
START_TEST(values_without_a_blank_between)
{
    static const char *const texts[] = {
        "workers = \"x\"5;",
        "workers = 5\"x\";",
        "drain_timeout = \"x\"1.5;",
        "client_side_validation = true\"x\";",
        "client_side_validation = true+5;",
        "region = \"x\"x1; security: { client_tokens = [ \"t\" ]; };",
        "region\"x\" = 5;",
        "connect_to = [ \"::h:1\"5 ];",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        CK_ERRORS(load_text(texts[i]), "a.conf:1: " SYNTAX);
}
END_TEST

START_TEST(lines_of_list_elements)
{
    CK_ERRORS(load_text("connect_to = [\n\"::h:1\",\n\n\"bad\",\n\"::h:2\"\n];\n"),
              "a.conf:4: connect_to: \"bad\" must be HOST:PORT:CONNECT-HOST:CONNECT-PORT, each "
              "perhaps empty\n");
    CK_ERRORS(load_text("/* one\n two */ retry: {\n retry_status = [\n500,\n7\n]; };\n"),
              "a.conf:5: retry.retry_status: must be between 400 and 599, not 7\n");
    CK_ERRORS(load_text("routes = (\n{ prefix = \"/a\"; region = \"x\"; },\n{\n prefix = "
                        "\"b\";\n} );\n"),
              "a.conf:4: routes[1].prefix: \"b\" must start with /\n");
}
END_TEST

START_TEST(lists_of_both_kinds)
{
    struct conf *c = good("listen = ( \":1\", { address = \":2\"; } );\n"
                          "connect_to = ( \"::h:1\" ); retry: { retry_status = ( 500, 503 ); };");
    ck_assert_uint_eq(c->nlisten, 2);
    ck_assert_uint_eq(c->connect_to.n, 1);
    ck_assert_uint_eq(c->retry.retry_status.n, 2);
    conf_unref(c);
}
END_TEST

/* -- includes ------------------------------------------------------------------------------ */

START_TEST(include_lines)
{
    ck_assert_int_eq(mkdir(in_dir("sub"), 0700), 0);
    write_file("sub/b.conf", "service = \"s\";\n  @include \"c.conf\" // here\nbad1 = 1;");
    write_file("sub/c.conf", "policy = \"\";\n\nzzzz2 = 2;\n");
    CK_ERRORS(load_text("region = \"r\";\n@include \"sub/b.conf\"\nzzzz3 = 3;\n"),
              "sub/c.conf:3: zzzz2: unknown key\n"
              "sub/b.conf:3: bad1: unknown key\n"
              "a.conf:3: zzzz3: unknown key\n");
    write_file("sub/b.conf", "service = \"s\";\n@include \"c.conf\"\nprofile = \"default\";");
    write_file("sub/c.conf", "\npolicy = \"\";");
    struct conf *c = good("tls: {\n};\n@include \"sub/b.conf\"\nregion = \"r\";\n");
    ck_assert_str_eq(origin(c, "service"), "sub/b.conf:1");
    ck_assert_str_eq(origin(c, "policy"), "sub/c.conf:2");
    ck_assert_str_eq(origin(c, "profile"), "sub/b.conf:3");
    ck_assert_str_eq(origin(c, "region"), "a.conf:4");
    conf_unref(c);
    write_file("sub/c.conf", "\n\nretry: { num_max_retries = ; };");
    CK_ERRORS(load_text("@include \"sub/c.conf\"\n"), "sub/c.conf:3: " SYNTAX);
    write_file("sub/c.conf", "\nretry: {\n");
    CK_ERRORS(load_text("@include \"sub/c.conf\"\nregion = \"r\";\n"),
              "sub/c.conf:2: this { is never closed\n");
    ck_assert_int_eq(unlink(in_dir("sub/b.conf")), 0);
    ck_assert_int_eq(unlink(in_dir("sub/c.conf")), 0);
}
END_TEST

START_TEST(include_within_a_group)
{
    write_file("keys.conf", "default: { provider = \"static\"; access_key = \"A\"; secret_key = "
                            "\"S\"; };\n");
    struct conf *c = good("profiles: {\n  @include \"keys.conf\"\n};\nregion = \"r\";\n");
    ck_assert_str_eq(c->profiles[0].access_key, "A");
    ck_assert_str_eq(origin(c, "profiles.default.access_key"), "keys.conf:1");
    conf_unref(c);
}
END_TEST

START_TEST(include_refused)
{
    char text[4096];
    size_t n = 0;

    /* libconfig alone ends the process there. */
    CK_ERRORS(load_text("region = \"x\";\n@include \"none.conf\"\nregoin = 1;\n"),
              "a.conf:2: @include: cannot open \"none.conf\": No such file or directory\n"
              "a.conf:3: regoin: unknown key; did you mean region?\n");
    CK_ERRORS(load_text("@include \".\"\n"), "a.conf:1: @include: \".\" is not a regular file\n");
    CK_ERRORS(load_text("@include \"\"\n"), "a.conf:1: @include: the file name is empty\n");
    CK_ERRORS(load_text("@include b.conf\n"),
              "a.conf:1: @include needs a file name in double quotes\n");
    CK_ERRORS(load_text("region = \"x\"; @include \"b.conf\"\n"),
              "a.conf:1: @include must be the first thing on its line\n");
    CK_ERRORS(load_text("@includ \"b.conf\"\n"),
              "a.conf:1: unexpected character @ (only @include starts with it)\n");
    CK_ERRORS(load_text("@include \"a.conf\"\n"),
              "a.conf:1: @include: nested more than 8 deep; does a file include itself?\n");
    write_file("b.conf", "");
    for (int i = 0; i < CONF_INCLUDE_FILES; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "@include \"b.conf\"\n");
    CK_ERRORS(load_text(text), "a.conf:64: @include: more than 64 files\n");
}
END_TEST

/* The names in these errors are shortened by the fixture; once in full. */
START_TEST(include_names_are_paths)
{
    char want[256];
    write_file("a.conf", "@include \"b.conf\"\n");
    write_file("b.conf", "zzzz = 1;\n");
    (void)snprintf(want, sizeof want, "%s:1: zzzz: unknown key\n", in_dir("b.conf"));
    struct buf raw;
    buf_init(&raw, 4096);
    ck_assert_ptr_null(conf_load(&(struct conf_args){.config = in_dir("a.conf")}, &raw));
    ck_assert(str_eq(buf_str(&raw), str_of(want)));
    buf_free(&raw);
}
END_TEST

START_TEST(comments_hide)
{
    struct conf *c = good("# region = \"a\"; @include \"x\"\n// \"open\n/* zzzz = 1;\n@include "
                          "\"y\" */ log: { file = \"b#c//d/*\"; /* \" */ }; # \"\nservice = \"s\"");
    ck_assert_str_eq(c->log.file, "b#c//d/*");
    ck_assert_str_eq(c->service, "s");
    ck_assert_str_eq(origin(c, "service"), "a.conf:5");
    conf_unref(c);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        integers_beyond_32_bits,
        floats,
        adjacent_strings,
        strings_without_quotes,
        unclosed,
        escapes,
        bytes,
        syntax,
        values_without_a_blank_between,
        lines_of_list_elements,
        include_lines,
        include_within_a_group,
        include_refused,
        lists_of_both_kinds,
        comments_hide,
        include_names_are_paths,
    };
    return fixture_run("conf_scan", tests, ARRAY_LEN(tests));
}
