/* SPDX-License-Identifier: Apache-2.0 */
/* sigferry credentials: asks a profile's providers now and shows what each of them said. Must never
 * print a secret: an access key is shown by its ends. */
#include "base/clock.h"
#include "cli/cli.h"
#include "cred/cred.h"

#include <time.h>

static const char help[] =
    "Usage: sigferry credentials [OPTION]...\n"
    "Fetches a profile's credential as the daemon would and shows each provider that was tried,\n"
    "what came of it, the access key (masked) and when it expires. Exit status 1 without "
    "one.\n\n" CLI_COMMON_HELP;

static const struct option opts[] = {
    CLI_COMMON_OPTIONS,
    {NULL, 0, NULL, 0},
};

/* "2026-01-02T03:04:05Z (in 59 min)" */
static void show_expiry(int64_t expires_s)
{
    char text[32];
    struct tm tm;
    time_t t = (time_t)expires_s;
    clock_tick();
    int64_t left = expires_s - clock_wall_s();
    if (!expires_s) {
        printf("expires           never\n");
        return;
    }
    if (!gmtime_r(&t, &tm) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm))
        text[0] = '\0';
    if (left >= 120)
        printf("expires           %s (in %lld min)\n", text, (long long)(left / 60));
    else
        printf("expires           %s (in %lld s)\n", text, (long long)left);
}

static void show(const struct conf *conf, const struct cred_trace *trace, const struct cred *c)
{
    const struct conf_profile *p = conf_profile_find(conf, str_of(conf->profile));
    char key[16];
    printf("profile           %s (provider %s)\n", conf->profile, p ? p->provider : "?");
    for (size_t i = 0; i < trace->n; i++)
        printf("%-17s %s%s\n", trace->v[i].provider,
               trace->v[i].ok ? "ok" : "failed: ", trace->v[i].ok ? "" : trace->v[i].why.text);
    if (!c)
        return;
    secret_mask(str_of(c->access_key), key);
    printf("access key        %s\n", key);
    printf("session token     %s\n", c->session_token ? "yes" : "no");
    show_expiry(c->expires_s);
}

int cli_credentials(int argc, char **argv)
{
    struct cli c;
    struct cred_trace trace = {.n = 0};
    struct err_detail why = {""};
    int code = CLI_OK;
    cli_begin(&c, "credentials", help, CLI_COMMON_LETTERS, opts, argc, argv);
    if (cli_next(&c, &code) == CLI_STOP)
        return code;
    if (c.operands < argc)
        return cli_usage(&c, "it takes no argument");
    struct conf *conf = cli_conf(&c);
    if (!conf)
        return CLI_FAILED;
    struct cred *cred = cred_fetch_traced(conf, conf->profile, &trace, &why);
    show(conf, &trace, cred);
    code = cli_finish(&c);
    if (!cred)
        code =
            cli_fail(&c, "no usable credential%s%s", trace.n ? "" : ": ", trace.n ? "" : why.text);
    cred_unref(cred);
    conf_unref(conf);
    return code;
}
