/* SPDX-License-Identifier: Apache-2.0 */
/* `sigferry quit`: asks the running daemon to drain and exit, as SIGTERM would. */
#include "cli/admin_client.h"
#include "cli/cli.h"

#include "base/clock.h"

enum { OPT_ADMIN = CLI_OPT_OWN };
#define LIMIT_NS (10 * NS_PER_SEC)

static const char help[] =
    "Usage: sigferry quit [OPTION]...\n"
    "Asks the running proxy to finish what it serves and exit. Needs admin.allow_quit in\n"
    "the proxy's configuration.\n\n"
    "      --admin ADDR       its admin address [as configured]\n" CLI_COMMON_HELP;

static const struct option options[] = {
    {"admin", required_argument, NULL, OPT_ADMIN}, CLI_COMMON_OPTIONS, {NULL, 0, NULL, 0}};

static int ask(const struct cli *c, const struct conf *conf)
{
    char msg[512];
    struct admin_answer a;
    uint64_t deadline = clock_fresh_ns() + LIMIT_NS;
    if (!admin_ask(conf, "POST", "/quitquitquit", deadline, &a, msg, sizeof msg))
        return cli_fail(c, "%s", msg);
    if (a.status == 200)
        return CLI_OK;
    admin_gist(&a);
    return cli_fail(c, "%s: status %u: %.400s", conf->admin.listen, a.status, a.body);
}

int cli_quit(int argc, char **argv)
{
    struct cli c;
    int opt, code = CLI_OK;
    cli_begin(&c, "quit", help, CLI_COMMON_LETTERS, options, argc, argv);
    while ((opt = cli_next(&c, &code)) >= 0)
        if (opt == OPT_ADMIN)
            c.args.admin = optarg;
    if (opt == CLI_STOP)
        return code;
    if (c.operands < c.argc)
        return cli_usage(&c, "it takes no operands");
    struct conf *conf = cli_conf(&c);
    if (!conf)
        return CLI_FAILED;
    code = ask(&c, conf);
    conf_unref(conf);
    return code;
}
