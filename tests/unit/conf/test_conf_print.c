/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of what is shown: values and origins, masks, JSON, and the texts made from the table. */
#include "fixture.h"
#include <jansson.h>

typedef void printer(FILE *out);

/* What a printer prints, to be freed. */
static char *printed(printer *print)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    ck_assert_ptr_nonnull(f);
    print(f);
    ck_assert_int_eq(fclose(f), 0);
    return text;
}

static const struct conf *shown;
static void print_shown(FILE *out)
{
    ck_assert(conf_print(shown, out));
}
static char *conf_text(const struct conf *c)
{
    shown = c;
    return printed(print_shown);
}

/* A file of the source tree, to be freed. */
static char *source_file(const char *name)
{
    const char *top = getenv("srcdir");
    char path[4096], *text = NULL;
    size_t n = 0;
    int c;

    (void)snprintf(path, sizeof path, "%s/%s", top ? top : ".", name);
    FILE *f = fopen(path, "r"), *out = open_memstream(&text, &n);
    ck_assert_msg(f != NULL, "%s", path);
    ck_assert_ptr_nonnull(out);
    while ((c = fgetc(f)) != EOF)
        ck_assert_int_eq(fputc(c, out), c);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(fclose(out), 0);
    return text;
}

/* Whether text has exactly this line. */
static bool has_line(const char *text, const char *line)
{
    size_t n = strlen(line);
    for (const char *at = text; (at = strstr(at, line)) != NULL; at++)
        if ((at == text || at[-1] == '\n') && (at[n] == '\n' || at[n] == '\0'))
            return true;
    return false;
}

static const char secrets[] =
    "profiles: { default: { provider = \"static\"; access_key = \"AKLT1234567890WXYZ\"; "
    "secret_key = \"hidden-sk\"; session_token = \"hidden-st\"; }; };\n"
    "security: { client_tokens = [ \"hidden-t1\", \"hidden-t2\" ]; };\n"
    "listen = ( { address = \":1\"; client_tokens = [ \"hidden-t3\" ]; }, \":2\" );\n"
    "clients = ( { name = \"app\"; access_key = \"short\"; secret_key = \"hidden-cs\"; } );\n"
    "proxy: { https_proxy = \"http://user:hidden-pw@[::1]:9/\"; http_proxy = \"u:hidden-p2@h\"; "
    "};\n";

START_TEST(masks)
{
    struct conf *c = good(secrets);
    struct buf json;
    char *text = conf_text(c);

    buf_init(&json, 1 << 20);
    conf_print_json(c, &json);
    const char *z = buf_cstr(&json);
    ck_assert_ptr_null(strstr(text, "hidden"));
    ck_assert_ptr_null(strstr(z, "hidden"));
    ck_assert_ptr_null(strstr(text, "AKLT1234567890WXYZ"));
    ck_assert_ptr_null(strstr(z, "AKLT1234567890WXYZ"));
    ck_assert_ptr_null(strstr(text, "short"));
    ck_assert_ptr_nonnull(strstr(text, "profiles.default.access_key = \"AKLT...WXYZ\"  # "));
    ck_assert_ptr_nonnull(strstr(text, "profiles.default.secret_key = \"****\"  # "));
    ck_assert_ptr_nonnull(strstr(text, "security.client_tokens = [\"****\", \"****\"]  # "));
    ck_assert_ptr_nonnull(strstr(text, "listen = ({ address = \":1\"; client_tokens = [\"****\"]; "
                                       "}, \":2\")  # "));
    ck_assert_ptr_nonnull(strstr(text, "clients = ({ name = \"app\"; access_key = \"****\"; "
                                       "secret_key = \"****\"; })  # "));
    ck_assert_ptr_nonnull(strstr(text, "proxy.https_proxy = \"http://****@[::1]:9/\"  # "));
    ck_assert_ptr_nonnull(strstr(text, "proxy.http_proxy = \"****@h\"  # "));
    free(text);
    buf_free(&json);
    conf_unref(c);
}
END_TEST

START_TEST(values_and_origins)
{
    set_env("SIGFERRY_PROFILES_DEFAULT_ROLE_NAME", "r");
    struct conf *c =
        good("retry: {\n retry_status = [ 429 ];\n retry_network_errors = [ \"reset\" ]; };\n"
             "timeouts: { read_timeout = 1.5; connect_timeout = 3; };\n"
             "profiles: { default: { provider = \"ecs\"; }; };\n"
             "limits: { max_body = 1025; body_memory = 2048; };\n"
             "log: { format = \"%(message)s \\\"\\\\\"; };\n"
             "rate_limits = ( { match = \"a:b\"; rate = 0.5; } );\n");
    char *text = conf_text(c), line[512];
    static const struct {
        const char *value;
        unsigned line;
    } want[] = {
        {"retry.retry_status = [429]", 2},
        {"retry.retry_network_errors = [\"reset\"]", 3},
        {"timeouts.read_timeout = 1.5", 4},
        {"timeouts.connect_timeout = 3.0", 4},
        {"profiles.default.provider = \"ecs\"", 5},
        {"limits.max_body = \"1025\"", 6},
        {"limits.body_memory = \"2K\"", 6},
        {"log.format = \"%(message)s \\\"\\\\\"", 7},
        {"rate_limits = ({ match = \"a:b\"; rate = 0.5; })", 8},
    };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        (void)snprintf(line, sizeof line, "%s  # %s:%u", want[i].value, in_dir("a.conf"),
                       want[i].line);
        ck_assert_msg(has_line(text, line), "no %s in\n%s", line, text);
    }
    ck_assert(has_line(text, "profiles.default.role_name = \"r\"  # env "
                             "SIGFERRY_PROFILES_DEFAULT_ROLE_NAME"));
    ck_assert(has_line(text, "listen = [\"localhost:8750\"]  # default"));
    ck_assert(has_line(text, "policies = ()  # default"));
    ck_assert(has_line(text, "retry.backoff_strategy = \"exponential-jitter\"  # default"));
    free(text);
    conf_unref(c);
}
END_TEST

/* What is printed can be read again, and gives the same. */
START_TEST(printed_values_load)
{
    static const char text[] =
        "listen = ( { address = \"unix:/a\"; mode = \"0660\"; }, \"[::1]:1\" );\n"
        "policy = \"p\"; policies = ( { name = \"p\"; mode = \"record\"; regions = [ \"cn-*\" ]; } "
        ");\n"
        "routes = ( { prefix = \"/a\"; strip_prefix = true; } );\n"
        "rate_limits = ( { match = \"a:b\"; rate = 0.25; burst = 7; wait = 1.5; } );\n"
        "endpoint: { services = ( { service = \"s\"; global = true; } ); };\n"
        "log: { debug = [ \"config\", \"request\" ]; file = \"a\\\"\\\\b\"; };\n";
    struct conf *c = good(text), *again;
    static char store[128][512];
    const char *set[128];
    size_t n = 0;

    for (; n < conf_nrows; n++) {
        struct buf b;
        buf_init(&b, 1 << 16);
        conf_print_value(&b, &conf_rows[n], c, false);
        struct str value = buf_str(&b);
        /* --set takes text as it is: quotes and escapes are libconfig's. */
        if (value.p[0] == '"')
            value = str_n(value.p + 1, value.n - 2);
        if (strcmp(conf_rows[n].name, "log.file") == 0)
            value = str_of(c->log.file);
        (void)snprintf(store[n], sizeof store[n], "%s=%.*s", conf_rows[n].name, STR_ARG(value));
        set[n] = store[n];
        buf_free(&b);
    }
    again = load_args(&(struct conf_args){.set = set, .nset = n, .no_file = true});
    ck_assert_msg(again != NULL, "%s", errors_text());
    for (size_t i = 0; i < conf_nrows; i++) {
        struct buf a, b;
        buf_init(&a, 1 << 16);
        buf_init(&b, 1 << 16);
        conf_print_value(&a, &conf_rows[i], c, false);
        conf_print_value(&b, &conf_rows[i], again, false);
        ck_assert(str_eq(buf_str(&a), buf_str(&b)));
        buf_free(&a);
        buf_free(&b);
    }
    conf_unref(c);
    conf_unref(again);
}
END_TEST

START_TEST(json)
{
    struct conf *c = good("listen = ( { address = \":1\"; region = \"r\"; }, \":2\" );\n"
                          "profiles: { default: { }; b: { provider = \"env\"; }; };\n"
                          "log: { file = \"\xC3\xB6\\\"\"; };\n");
    struct buf out;
    buf_init(&out, 1 << 20);
    conf_print_json(c, &out);
    json_error_t e;
    json_t *j = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, &e);
    ck_assert_msg(j != NULL, "%s", e.text);
    ck_assert_uint_eq(json_object_size(j), conf_nrows);
    for (size_t i = 0; i < conf_nrows; i++) {
        json_t *row = json_object_get(j, conf_rows[i].name);
        ck_assert_ptr_nonnull(json_object_get(row, "value"));
        ck_assert(json_is_string(json_object_get(row, "origin")));
    }
    json_t *listen = json_object_get(json_object_get(j, "listen"), "value");
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(listen, 0), "region")), "r");
    ck_assert_str_eq(json_string_value(json_array_get(listen, 1)), ":2");
    json_t *profiles = json_object_get(json_object_get(j, "profiles"), "value");
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(profiles, "b"), "provider")),
                     "env");
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "log.file"), "value")),
                     "\xC3\xB6\"");
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_object_get(j, "limits.max_body"), "value")),
        256 << 20);
    json_decref(j);
    buf_free(&out);
    conf_unref(c);
}
END_TEST

START_TEST(help_texts)
{
    char *text = printed(conf_reference), line[256], twin[CONF_TWIN_MAX];
    for (size_t i = 0; i < conf_nrows; i++) {
        const struct conf_row *row = &conf_rows[i];
        conf_row_twin(row->name, twin);
        (void)snprintf(line, sizeof line, "### `%s`", row->name);
        ck_assert_msg(has_line(text, line), "%s", line);
        (void)snprintf(line, sizeof line, "`%s`", twin);
        ck_assert_ptr_nonnull(strstr(text, line));
        ck_assert_uint_ge(strlen(row->help), 20);
        ck_assert_ptr_nonnull(strstr(text, row->help));
        for (size_t j = 0; row->group && j < row->group->n; j++)
            ck_assert_ptr_nonnull(strstr(text, row->group->rows[j].help));
    }
    free(text);
}
END_TEST

/* The tree's own files are what the table prints. */
START_TEST(files_are_up_to_date)
{
    char *reference = printed(conf_reference), *template = printed(conf_template);
    char *doc = source_file("docs/CONFIG.md"), *sample = source_file("etc/sigferry.conf");
    ck_assert_msg(strcmp(doc, reference) == 0, "docs/CONFIG.md: run tests/lint/confdocs.sh --fix");
    ck_assert_msg(strcmp(sample, template) == 0,
                  "etc/sigferry.conf: run tests/lint/confdocs.sh --fix");
    free(reference);
    free(template);
    free(doc);
    free(sample);
}
END_TEST

static void check_defaults(const struct conf *c)
{
    struct conf *d = load_env();
    for (size_t i = 0; i < conf_nrows; i++) {
        struct buf a, b;
        buf_init(&a, 1 << 16);
        buf_init(&b, 1 << 16);
        conf_print_value(&a, &conf_rows[i], c, false);
        conf_print_value(&b, &conf_rows[i], d, false);
        ck_assert_msg(str_eq(buf_str(&a), buf_str(&b)), "%s", conf_rows[i].name);
        buf_free(&a);
        buf_free(&b);
    }
    conf_unref(d);
}

/* As it is the sample sets nothing; with each key uncommented it sets every key to its default. */
START_TEST(the_sample_holds_the_defaults)
{
    char *text = source_file("etc/sigferry.conf"), *to = text;
    struct conf *c = good(text);
    check_defaults(c);
    for (size_t i = 0; i < conf_nrows; i++)
        ck_assert_str_eq(origin(c, conf_rows[i].name), "default");
    conf_unref(c);

    for (const char *at = text; *at; at++)
        if (*at != '#' || at[1] == ' ' || at[1] == '\n')
            *to++ = *at;
    *to = '\0';
    c = good(text);
    check_defaults(c);
    for (size_t i = 0; i < conf_nrows; i++)
        ck_assert_msg(strncmp(origin(c, conf_rows[i].name), "a.conf:", 7) == 0, "%s",
                      conf_rows[i].name);
    conf_unref(c);
    free(text);
}
END_TEST

static const char *asked;
static bool known;
static void explain_asked(FILE *out)
{
    known = conf_explain(asked, out);
}
static char *explained(const char *key)
{
    asked = key;
    return printed(explain_asked);
}

START_TEST(explain)
{
    char *text = explained("retry.num_max_retries");
    ck_assert(known);
    ck_assert_str_eq(text, "retry.num_max_retries\n\nwhole number, 0 to 100 · default 3 · "
                           "SIGFERRY_RETRY_NUM_MAX_RETRIES\n\nRetries after the first attempt.\n");
    free(text);
    text = explained("admin");
    ck_assert(known && strstr(text, "admin.listen\n") && strstr(text, "admin.allow_quit\n"));
    free(text);
    text = explained("policies[0].mode");
    ck_assert(known && strstr(text, "mode of policies\n"));
    free(text);
    text = explained("profiles.prod.role_trn");
    ck_assert(known && strstr(text, "role_trn of profiles\n"));
    free(text);
    text = explained("profiles");
    ck_assert(known && strstr(text, "\n  access_key: string; default \"\"\n      The access key"));
    ck_assert(!strchr(text, '`') && !strchr(text, '|'));
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        ck_assert_uint_le(strcspn(line, "\n"), 80);
    free(text);
    text = explained("retry.num_max_retrys");
    ck_assert(!known);
    ck_assert_str_eq(
        text, "there is no key \"retry.num_max_retrys\"; did you mean retry.num_max_retries?\n");
    free(text);
    text = explained("");
    ck_assert(!known);
    free(text);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        masks,      values_and_origins,   printed_values_load,           json,
        help_texts, files_are_up_to_date, the_sample_holds_the_defaults, explain,
    };
    return fixture_run("conf_print", tests, ARRAY_LEN(tests));
}
