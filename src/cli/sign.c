/* SPDX-License-Identifier: Apache-2.0 */
/* sigferry sign: the headers that make a request a signed one. Sends nothing. Must never print the
 * secret key. */
#include "cli/target.h"

#include "http/gate.h"
#include <errno.h>

enum { OPT_EXPLAIN = CLI_OPT_OWN, OPT_CURL, OPT_DATE };

static const char help[] =
    "Usage: sigferry sign [OPTION]... URL\n"
    "Shows the headers to add to a request, one 'Name: value' a line. Sends nothing.\n\n"
    "  -X, --request METHOD   method (GET, or POST when there is a body)\n"
    "  -H, --header 'K: V'    a header that will be sent as well (repeatable)\n"
    "  -d, --data BODY        the body; @FILE reads a file as it is, @- standard input\n"
    "      --explain          show the canonical request and the string to sign as well\n"
    "      --curl             show a curl command instead\n"
    "      --date T           sign for this time, YYYYMMDDTHHMMSSZ or RFC 3339 "
    "(now)\n" CLI_COMMON_HELP;

static const struct option opts[] = {
    {"request", required_argument, NULL, 'X'},
    {"header", required_argument, NULL, 'H'},
    {"data", required_argument, NULL, 'd'},
    {"explain", no_argument, NULL, OPT_EXPLAIN},
    {"curl", no_argument, NULL, OPT_CURL},
    {"date", required_argument, NULL, OPT_DATE},
    CLI_COMMON_OPTIONS,
    {NULL, 0, NULL, 0},
};

struct sign {
    struct cli c;
    const char *method, *data, *date;
    bool explain, curl;
    struct str host;                /* -H 'Host: …' instead of the URL's, or empty */
    struct hdr v[GATE_MAX_HEADERS]; /* of -H, as sent: signed ones are unique */
    struct hdrs hdrs;
    size_t ngiven; /* of them from -H; behind them the default Content-Type */
    struct arena arena;
    char hash[DIGEST_HEX_LEN];
    bool has_body;
};

static bool is_signed(struct str name)
{
    return str_istarts(name, STR("X-")) || str_ieq(name, STR("Content-Type")) ||
           str_ieq(name, STR("Content-Md5"));
}

/* What the proxy would make by itself, or would not forward. */
static const char *refusal(struct str name)
{
    if (str_ieq(name, STR("Authorization")) || str_ieq(name, STR("X-Date")) ||
        str_ieq(name, STR("X-Content-Sha256")) || str_ieq(name, STR("X-Security-Token")))
        return "is made by signing; leave it out";
    if (str_istarts(name, STR("X-Sigferry-")))
        return "is for the proxy and never signed; use this command's options";
    if (hdr_is_hop(name))
        return "belongs to a connection and is never forwarded; leave it out";
    return NULL;
}

static int add_header(struct sign *s, const char *text)
{
    struct str value = str_of(text), name = str_cut(&value, ':');
    if (!value.p || !hdr_is_token(name))
        return cli_usage(&s->c, "-H takes 'Name: value'");
    value = str_trim(value);
    if (!hdr_is_value(value))
        return cli_usage(&s->c, "-H %.*s: the value holds a control character", STR_ARG(name));
    const char *why = refusal(name);
    if (why)
        return cli_usage(&s->c, "-H %.*s: %s", STR_ARG(name), why);
    if (str_ieq(name, STR("Host"))) {
        struct uri_host h;
        struct err_detail detail = {""};
        if (uri_host(value, &h, &detail) != ERR_OK)
            return cli_usage(&s->c, "-H Host: %s", detail.text);
        s->host = value;
        return CLI_OK;
    }
    for (size_t i = 0; i < s->hdrs.n && is_signed(name); i++) {
        if (!str_ieq(s->v[i].name, name))
            continue;
        /* The proxy joins a signed header that comes twice. */
        s->v[i].value =
            arena_printf(&s->arena, "%.*s,%.*s", STR_ARG(s->v[i].value), STR_ARG(value));
        return s->v[i].value.p ? CLI_OK : cli_fail(&s->c, "out of memory");
    }
    return hdrs_add(&s->hdrs, name, value) ? CLI_OK : cli_usage(&s->c, "too many headers");
}

static int take(struct sign *s, int opt)
{
    switch (opt) {
    case 'X':
        s->method = optarg;
        return cli_method(&s->c, str_of(optarg));
    case 'H':
        return add_header(s, optarg);
    case 'd':
        if (s->data)
            return cli_usage(&s->c, "-d was given twice; a request has one body");
        s->data = optarg;
        return CLI_OK;
    case OPT_EXPLAIN:
        s->explain = true;
        return CLI_OK;
    case OPT_CURL:
        s->curl = true;
        return CLI_OK;
    default:
        s->date = optarg;
        return CLI_OK;
    }
}

/* Hashes a stream; its length decides whether there is a body. */
static bool hash_stream(struct digest *d, FILE *f, bool *any)
{
    char chunk[64 * 1024];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0) {
        *any = true;
        if (!digest_update(d, chunk, n))
            return false;
    }
    return !ferror(f);
}

static bool hash_body(struct sign *s, struct digest *d)
{
    if (!s->data)
        return true;
    if (s->data[0] != '@') {
        s->has_body = s->data[0] != '\0';
        return digest_update(d, s->data, strlen(s->data));
    }
    if (strcmp(s->data, "@-") == 0)
        return hash_stream(d, stdin, &s->has_body);
    FILE *f = fopen(s->data + 1, "re");
    bool ok = f && hash_stream(d, f, &s->has_body);
    int saved = errno;
    if (f)
        (void)fclose(f);
    errno = saved;
    return ok;
}

static int read_body(struct sign *s)
{
    unsigned char raw[DIGEST_LEN];
    struct digest *d = digest_new();
    if (!d || !digest_begin(d)) {
        digest_free(d);
        return cli_fail(&s->c, "out of memory");
    }
    errno = 0;
    bool ok = hash_body(s, d);
    int why = errno;
    ok = digest_end(d, raw) && ok;
    digest_free(d);
    if (!ok && s->data && s->data[0] == '@')
        return cli_fail(&s->c, "-d %s: %s", s->data, why ? strerror(why) : "could not be read");
    if (!ok)
        return cli_fail(&s->c, "the body could not be hashed");
    digest_hex(raw, s->hash);
    return CLI_OK;
}

/* The official signers' rule: a bodyless GET has none, everything else has the form type. */
static int default_content_type(struct sign *s)
{
    bool bodyless_get = strcmp(s->method, "GET") == 0 && !s->has_body;
    s->ngiven = s->hdrs.n;
    if (bodyless_get || hdrs_find(&s->hdrs, STR("Content-Type")) ||
        hdrs_add(&s->hdrs, STR("Content-Type"),
                 STR("application/x-www-form-urlencoded; charset=utf-8")))
        return CLI_OK;
    return cli_usage(&s->c, "too many headers");
}

/* For the inside of single quotes, where only the quote itself needs care. */
static void put_escaped(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '\'')
            fputs("'\\''", stdout);
        else
            putchar(text.p[i]);
}

static void put_header(bool curl, struct str name, struct str value)
{
    if (!curl) {
        printf("%.*s: %.*s\n", STR_ARG(name), STR_ARG(value));
        return;
    }
    fputs(" \\\n  -H '", stdout);
    put_escaped(name);
    /* curl takes "Name:" for "do not send", "Name;" for an empty value. */
    fputs(value.n ? ": " : ";", stdout);
    put_escaped(value);
    putchar('\'');
}

/* The headers: all of them for curl, those to add otherwise. */
static void put_headers(const struct sign *s, const struct sign_cred *keys,
                        const struct sign_output *out)
{
    if (s->curl && s->host.n)
        put_header(true, STR("Host"), s->host);
    for (size_t i = s->curl ? 0 : s->ngiven; i < s->hdrs.n; i++)
        put_header(s->curl, s->v[i].name, s->v[i].value);
    put_header(s->curl, STR("X-Date"), str_of(out->x_date));
    put_header(s->curl, STR("X-Content-Sha256"), str_n(s->hash, sizeof s->hash));
    if (keys->session_token.n)
        put_header(s->curl, STR("X-Security-Token"), keys->session_token);
    put_header(s->curl, STR("Authorization"), out->authorization);
}

/* Servers expect a Content-Length of these, also when there is no body. */
static bool wants_length(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

static void put_curl(const struct sign *s, const struct cli_target *t, const struct sign_cred *keys,
                     const struct sign_output *out)
{
    /* As it was signed: no globbing of brackets, no removal of dot segments. */
    fputs("curl --globoff --path-as-is", stdout);
    if (strcmp(s->method, "HEAD") == 0)
        fputs(" --head", stdout);
    else if (strcmp(s->method, "GET") != 0 || s->data)
        printf(" -X %s", s->method);
    put_headers(s, keys, out);
    if (s->data || wants_length(s->method)) {
        const char *data = s->data ? s->data : "";
        fputs(data[0] == '@' ? " \\\n  --data-binary '" : " \\\n  --data-raw '", stdout);
        put_escaped(str_of(data));
        putchar('\'');
    }
    fputs(" \\\n  '", stdout);
    printf("%.*s://%.*s%.*s", STR_ARG(t->scheme), STR_ARG(t->authority), STR_ARG(t->path));
    if (t->query.n)
        printf("?%.*s", STR_ARG(t->query));
    fputs("'\n", stdout);
}

static int show(struct sign *s, const struct cli_target *t, const struct cred *cred, int64_t time_s)
{
    struct signer *signer = signer_new();
    if (!signer)
        return cli_fail(&s->c, "out of memory");
    const struct sign_cred keys = cred_for_signing(cred);
    const struct sign_input in = {.method = str_of(s->method),
                                  .path = t->path,
                                  .query = t->query,
                                  .host = s->host.n ? s->host : t->authority,
                                  .hdrs = &s->hdrs,
                                  .body_sha256 = str_n(s->hash, sizeof s->hash),
                                  .service = t->service,
                                  .region = t->region,
                                  .time_s = time_s,
                                  .cred = &keys};
    struct sign_output out;
    enum err e = sign_request(signer, &in, &out);
    if (e) {
        signer_free(signer);
        return cli_fail(&s->c, "the request could not be signed: %s", err_text(e));
    }
    if (s->curl)
        put_curl(s, t, &keys, &out);
    else
        put_headers(s, &keys, &out);
    if (s->explain)
        printf("\n--- canonical request\n%.*s\n--- string to sign\n%.*s\n",
               STR_ARG(out.canonical_request), STR_ARG(out.string_to_sign));
    signer_free(signer);
    return cli_finish(&s->c);
}

static int sign(struct sign *s, struct conf *conf, const char *url)
{
    struct cli_target t;
    int64_t time_s;
    int code = cli_date(&s->c, s->date, &time_s);
    if (!code)
        code = cli_target(&s->c, conf, url, &s->arena, &t);
    if (!code)
        code = read_body(s);
    if (!s->method)
        s->method = s->data ? "POST" : "GET";
    if (!code && s->curl && s->data && strcmp(s->method, "HEAD") == 0)
        code = cli_usage(&s->c, "curl can't send a HEAD request with a body; leave out -d");
    if (!code)
        code = default_content_type(s);
    if (code)
        return code;
    struct cred *cred = cli_cred(&s->c, conf);
    if (!cred)
        return CLI_FAILED;
    code = show(s, &t, cred, time_s);
    cred_unref(cred);
    return code;
}

int cli_sign(int argc, char **argv)
{
    struct sign s = {.method = NULL};
    int opt, code = CLI_OK;
    s.hdrs = (struct hdrs){s.v, 0, ARRAY_LEN(s.v)};
    arena_init(&s.arena, 16 * 1024, 4 * 1024 * 1024);
    cli_begin(&s.c, "sign", help, "X:H:d:" CLI_COMMON_LETTERS, opts, argc, argv);
    while (code == CLI_OK && (opt = cli_next(&s.c, &code)) >= 0)
        code = take(&s, opt);
    const char *url = NULL;
    if (code == CLI_OK && opt != CLI_STOP && !(url = cli_url(&s.c)))
        code = CLI_USAGE;
    struct conf *conf = url ? cli_conf(&s.c) : NULL;
    if (conf)
        code = sign(&s, conf, url);
    else if (url)
        code = CLI_FAILED;
    conf_unref(conf);
    arena_free(&s.arena);
    return code;
}
