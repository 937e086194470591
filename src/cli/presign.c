/* SPDX-License-Identifier: Apache-2.0 */
/* sigferry presign: a URL that carries its own signature. Anybody who has it can use it until it
 * expires; the secret key can't be read out of it. */
#include "cli/target.h"

enum { OPT_EXPIRES = CLI_OPT_OWN, OPT_DATE, EXPIRES_MAX = INT32_MAX };

static const char help[] =
    "Usage: sigferry presign [OPTION]... URL\n"
    "Shows the URL with its signature in the query. A session token stands in it as well.\n\n"
    "      --expires S        seconds for which it holds (the cloud's own limit without)\n"
    "  -X, --request METHOD   method it is for (GET)\n"
    "      --date T           sign for this time, YYYYMMDDTHHMMSSZ or RFC 3339 "
    "(now)\n" CLI_COMMON_HELP;

static const struct option opts[] = {
    {"expires", required_argument, NULL, OPT_EXPIRES},
    {"request", required_argument, NULL, 'X'},
    {"date", required_argument, NULL, OPT_DATE},
    CLI_COMMON_OPTIONS,
    {NULL, 0, NULL, 0},
};

struct presign {
    struct cli c;
    const char *method, *date;
    uint64_t expires_s;
};

static int take(struct presign *p, int opt)
{
    switch (opt) {
    case 'X':
        p->method = optarg;
        return cli_method(&p->c, str_of(optarg));
    case OPT_DATE:
        p->date = optarg;
        return CLI_OK;
    default:
        if (str_u64(str_of(optarg), EXPIRES_MAX, &p->expires_s) && p->expires_s > 0)
            return CLI_OK;
        return cli_usage(&p->c, "--expires takes 1 to %d seconds, not '%.32s'", EXPIRES_MAX,
                         optarg);
    }
}

static int show(const struct presign *p, const struct cli_target *t, const struct cred *cred,
                int64_t time_s)
{
    struct signer *s = signer_new();
    if (!s)
        return cli_fail(&p->c, "out of memory");
    const struct sign_cred keys = cred_for_signing(cred);
    const struct presign_input in = {.method = str_of(p->method),
                                     .path = t->path,
                                     .query = &t->pairs,
                                     .host = t->authority,
                                     .service = t->service,
                                     .region = t->region,
                                     .time_s = time_s,
                                     .expires_s = (int64_t)p->expires_s,
                                     .cred = &keys};
    struct presign_output out;
    enum err e = sign_presign(s, &in, &out);
    if (e == ERR_OK)
        printf("%.*s://%.*s%.*s?%.*s\n", STR_ARG(t->scheme), STR_ARG(t->authority),
               STR_ARG(t->path), STR_ARG(out.query));
    int code = e == ERR_OK ? cli_finish(&p->c)
               : e == ERR_INVALID_QUERY
                   ? cli_usage(&p->c, "the URL has a parameter X-Expires or one with a ';' in its "
                                      "name, which a presigned URL can't hold")
                   : cli_fail(&p->c, "the URL could not be signed: %s", err_text(e));
    signer_free(s);
    return code;
}

static int presign(const struct presign *p, struct conf *conf, const char *url, struct arena *a)
{
    struct cli_target t;
    int64_t time_s;
    int code = cli_date(&p->c, p->date, &time_s);
    if (!code)
        code = cli_target(&p->c, conf, url, a, &t);
    if (code)
        return code;
    struct cred *cred = cli_cred(&p->c, conf);
    if (!cred)
        return CLI_FAILED;
    code = show(p, &t, cred, time_s);
    cred_unref(cred);
    return code;
}

int cli_presign(int argc, char **argv)
{
    struct presign p = {.method = "GET"};
    int opt, code = CLI_OK;
    cli_begin(&p.c, "presign", help, "X:" CLI_COMMON_LETTERS, opts, argc, argv);
    while ((opt = cli_next(&p.c, &code)) >= 0)
        if ((code = take(&p, opt)) != CLI_OK)
            return code;
    if (opt == CLI_STOP)
        return code;
    const char *url = cli_url(&p.c);
    if (!url)
        return CLI_USAGE;
    struct conf *conf = cli_conf(&p.c);
    if (!conf)
        return CLI_FAILED;
    struct arena a;
    arena_init(&a, 16 * 1024, 4 * 1024 * 1024);
    code = presign(&p, conf, url, &a);
    arena_free(&a);
    conf_unref(conf);
    return code;
}
