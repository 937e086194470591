/* SPDX-License-Identifier: Apache-2.0 */
/* `sigferry wait`: until the running daemon is ready. For scripts that start it and go on. */
#include "cli/admin_client.h"
#include "cli/cli.h"

#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { OPT_TIMEOUT = CLI_OPT_OWN, OPT_ADMIN, PAUSE_MS = 50 };

static const char help[] =
    "Usage: sigferry wait [OPTION]...\n"
    "Waits until the running proxy is ready: it listens and holds a usable credential.\n"
    "Exit status: 0 when it is, 1 when it is not in time.\n\n"
    "      --timeout S        longest wait in seconds [30]\n"
    "      --admin ADDR       its admin address [as configured]\n" CLI_COMMON_HELP;

static const struct option options[] = {{"timeout", required_argument, NULL, OPT_TIMEOUT},
                                        {"admin", required_argument, NULL, OPT_ADMIN},
                                        CLI_COMMON_OPTIONS,
                                        {NULL, 0, NULL, 0}};

static void pause_until(uint64_t deadline_ns)
{
    uint64_t now = clock_fresh_ns(), ns = PAUSE_MS * NS_PER_MS;
    if (now >= deadline_ns)
        return;
    if (deadline_ns - now < ns)
        ns = deadline_ns - now;
    struct timespec t = {0, (long)ns};
    nanosleep(&t, NULL); /* cut short by a signal: asked a little earlier */
}

/* A terminal is told what is waited for, once a second, in a line that is taken back in the end. */
static void progress(bool live, unsigned seconds, const char *msg)
{
    enum { SHOWN = 56 };
    static unsigned told;
    if (!live || seconds == told)
        return;
    told = seconds;
    fprintf(stderr, "\r\033[K");
    if (seconds)
        fprintf(stderr, "waiting, %u s so far: ", seconds);
    for (int i = 0; seconds && i < SHOWN && msg[i]; i++)
        fputc(msg[i] >= ' ' && msg[i] < 0x7f ? msg[i] : ' ', stderr);
}

static int wait_ready(const struct cli *c, const struct conf *conf, uint64_t limit_ns)
{
    char msg[512];
    struct admin_answer a;
    uint64_t from = clock_fresh_ns(), deadline = from + limit_ns;
    const char *term = getenv("TERM");
    bool live = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    if (!admin_can_ask(conf, msg, sizeof msg))
        return cli_fail(c, "%s", msg);
    for (;;) {
        /* One look is always made, and a single one never takes longer than a second. */
        uint64_t now = clock_fresh_ns(), until = now + NS_PER_SEC;
        if (admin_ask(conf, "GET", "/readyz", until, &a, msg, sizeof msg)) {
            if (a.status == 200) {
                progress(live, 0, "");
                return CLI_OK;
            }
            admin_gist(&a);
            snprintf(msg, sizeof msg, "%s: status %u: %.300s", conf->admin.listen, a.status,
                     a.body);
        }
        if (clock_fresh_ns() >= deadline) {
            progress(live, 0, "");
            return cli_fail(c, "not ready after %.1f s: %s",
                            (double)(clock_fresh_ns() - from) / 1e9, msg);
        }
        progress(live, (unsigned)((clock_fresh_ns() - from) / NS_PER_SEC), msg);
        pause_until(deadline);
    }
}

int cli_wait(int argc, char **argv)
{
    struct cli c;
    uint64_t limit_ns = 30 * NS_PER_SEC;
    int opt, code = CLI_OK;
    cli_begin(&c, "wait", help, CLI_COMMON_LETTERS, options, argc, argv);
    while ((opt = cli_next(&c, &code)) >= 0) {
        if (opt == OPT_ADMIN)
            c.args.admin = optarg;
        else if (!admin_seconds(optarg, &limit_ns))
            return cli_usage(&c, "--timeout: expected seconds, as in 30 or 0.5");
    }
    if (opt == CLI_STOP)
        return code;
    if (c.operands < c.argc)
        return cli_usage(&c, "it takes no operands");
    struct conf *conf = cli_conf(&c);
    if (!conf)
        return CLI_FAILED;
    code = wait_ready(&c, conf, limit_ns);
    conf_unref(conf);
    return code;
}
