/* SPDX-License-Identifier: Apache-2.0 */
/* sigferry check: is the configuration valid, and can the files it names be used? Asks no
 * network. */
#include "cli/cli.h"

#include "cred/cred.h"
#include "cred/cred_read.h"
#include "daemon/worker.h"
#include <stdlib.h>

enum {
    OPT_EXPLAIN = CLI_OPT_OWN,
    KEY_MAX = 192,
    WHERE_MAX = 4096 + 32,
    FILE_MAX = 1 << 20, /* no provider takes larger ones */
};

static const char help[] =
    "Usage: sigferry check [OPTION]...\n"
    "Validates the configuration, its TLS files and credential files. Each error is one line,\n"
    "\"file:line: key: reason\"; exit status 0 when there is none, 1 otherwise.\n\n"
    "      --explain KEY      explain a configuration key, or all of a section, and "
    "exit\n" CLI_COMMON_HELP;

static const struct option opts[] = {
    {"explain", required_argument, NULL, OPT_EXPLAIN},
    CLI_COMMON_OPTIONS,
    {NULL, 0, NULL, 0},
};

static void complain(const struct conf *conf, const char *path, const char *reason)
{
    char where[WHERE_MAX];
    fprintf(stderr, "%s: %s: %s\n", conf_where(conf, path, where, sizeof where), path, reason);
}

static void complain_of_profile(const struct conf *conf, const char *profile, const char *key,
                                const char *reason)
{
    char path[KEY_MAX];
    (void)snprintf(path, sizeof path, "profiles.%s%s%s", profile, *key ? "." : "", key);
    complain(conf, path, reason);
}

/* What the daemon itself tries before it starts. */
static bool check_worker(const struct cli *c, const struct conf *conf)
{
    char msg[WHERE_MAX] = "";
    if (worker_check(conf, msg, sizeof msg))
        return true;
    char *reason = strstr(msg, ": ");
    if (reason && strncmp(msg, "tls.", 4) == 0) {
        *reason = '\0';
        complain(conf, msg, reason + 2);
    } else {
        (void)cli_fail(c, "%s", msg);
    }
    return false;
}

/* A file that a provider reads later, by the rule it will read it by. */
static bool check_file(const struct conf *conf, const struct conf_profile *p, const char *key,
                       const char *file, enum cred_read_rule rule)
{
    struct err_detail why = {""};
    struct buf content;

    if (!*file)
        return true;
    buf_init(&content, FILE_MAX);
    bool ok = cred_read_file(file, conf->security.strict_file_permissions ? rule : CRED_READ_EXEMPT,
                             NULL, &content, &why);
    buf_wipe(&content);
    if (!ok)
        complain_of_profile(conf, p->name, key, why.text);
    return ok;
}

static bool check_profile(struct conf *conf, const struct conf_profile *p)
{
    struct err_detail why = {""};
    /* ~/ is the home directory of whoever runs the daemon, not of whoever checks. */
    bool ok = strncmp(p->config_file, "~/", 2) == 0 ||
              check_file(conf, p, "config_file", p->config_file, CRED_READ_STRICT);

    ok = check_file(conf, p, "oidc_token_file", p->oidc_token_file, CRED_READ_EXEMPT) && ok;
    ok = check_file(conf, p, "saml_response_file", p->saml_response_file, CRED_READ_STRICT) && ok;
    /* The two providers that need nobody's answer. */
    if (strcmp(p->provider, "file") != 0 && strcmp(p->provider, "static") != 0)
        return ok;
    struct cred *cred = cred_fetch(conf, p->name, &why);
    if (!cred)
        complain_of_profile(conf, p->name, strcmp(p->provider, "file") == 0 ? "file" : "",
                            why.text);
    ok = cred && ok;
    cred_unref(cred);
    return ok;
}

static int explain(const struct cli *c, const char *key)
{
    /* What is wrong with a key belongs on standard error, its text on standard output. */
    char *p = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&p, &n);

    if (!out)
        return cli_fail(c, "out of memory");
    bool known = conf_explain(key, out);
    if (fclose(out) != 0) {
        free(p);
        return cli_fail(c, "out of memory");
    }
    (void)fwrite(p, 1, n, known ? stdout : stderr);
    free(p);
    return known ? cli_finish(c) : CLI_FAILED;
}

int cli_check(int argc, char **argv)
{
    struct cli c;
    const char *key = NULL;
    int opt, code = CLI_USAGE;
    bool ok;

    cli_begin(&c, "check", help, CLI_COMMON_LETTERS, opts, argc, argv);
    while ((opt = cli_next(&c, &code)) >= 0)
        key = optarg;
    if (opt == CLI_STOP)
        return code;
    if (c.operands < argc)
        return cli_usage(&c, "there is something after the options; name a file with -c");
    if (key)
        return explain(&c, key);
    struct conf *conf = cli_conf(&c);
    if (!conf)
        return CLI_FAILED;
    ok = check_worker(&c, conf);
    for (size_t i = 0; i < conf->nprofiles; i++)
        ok = check_profile(conf, &conf->profiles[i]) && ok;
    if (ok)
        printf("%s: ok\n", conf->path ? conf->path : "no configuration file");
    conf_unref(conf);
    code = cli_finish(&c);
    return ok ? code : CLI_FAILED;
}
