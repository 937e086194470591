/* SPDX-License-Identifier: Apache-2.0 */
/* `sigferry doctor`: does everything stand that requests need? One line a check, in the order in
 * which a failure explains the next one. Must never print a secret. */
#include "cli/doctor.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_LEN = 2048, ERRORS_MAX = 256 * 1024, CHECK_WIDTH = 12 };

static const char help[] =
    "Usage: sigferry doctor [OPTION]...\n"
    "Checks the configuration, the files it names, the credentials, and for each endpoint\n"
    "its name, the connection to it and the clock. One line a check: ok, FAIL with what to\n"
    "do about it, or skip. Exit status 1 when a check fails. The endpoint is the one of the\n"
    "service and region that are configured or given; requests to it are not signed.\n"
    "NO_COLOR in the environment switches colours off.\n\n" CLI_COMMON_HELP;

static const struct option options[] = {
    CLI_COMMON_OPTIONS,
    {NULL, 0, NULL, 0},
};

static const struct {
    const char *word, *colour;
} results[] = {
    [DOCTOR_OK] = {"ok", "\033[32m"},
    [DOCTOR_FAIL] = {"FAIL", "\033[1;31m"},
    [DOCTOR_SKIP] = {"skip", "\033[33m"},
};

/* What comes from files and servers must neither end the line nor steer the terminal. */
static void put_text(const char *text)
{
    for (const char *p = text; *p; p++)
        putchar((unsigned char)*p < 0x20 || *p == 0x7f ? ' ' : *p);
}

void doctor_say(struct doctor *d, enum doctor_result r, const char *check, const char *fmt, ...)
{
    char text[LINE_LEN];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (d->live)
        fputs("\r\033[K", stdout);
    printf("%s%-4s%s  %-*s ", d->colour ? results[r].colour : "", results[r].word,
           d->colour ? "\033[0m" : "", CHECK_WIDTH, check);
    put_text(text);
    putchar('\n');
    (void)fflush(stdout); /* the next check may take a while; cli_finish sees errors */
    d->failed += r == DOCTOR_FAIL;
}

void doctor_busy(struct doctor *d, const char *check, const char *fmt, ...)
{
    char text[128]; /* no line break by the terminal: it could not be taken back */
    va_list ap;
    if (!d->live)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 50)
        text[50] = '\0';
    printf("\r\033[K...   %-*s ", CHECK_WIDTH, check);
    put_text(text);
    (void)fflush(stdout);
}

static void look_at_terminal(struct doctor *d)
{
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    d->live = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
    d->colour = d->live && !(no_colour && *no_colour);
}

static void configuration(struct doctor *d)
{
    struct buf errs;
    buf_init(&errs, ERRORS_MAX);
    d->conf = conf_load(&d->c.args, &errs);
    struct str rest = buf_str(&errs);
    while (!d->conf && rest.p) {
        struct str line = str_cut(&rest, '\n');
        if (line.n)
            doctor_say(d, DOCTOR_FAIL, "config", "%.*s", STR_ARG(line));
    }
    buf_wipe(&errs);
    if (d->conf)
        doctor_say(d, DOCTOR_OK, "config", "%s",
                   d->conf->path ? d->conf->path : "no file: the environment and the defaults");
}

static void all(struct doctor *d)
{
    configuration(d);
    if (d->conf) {
        doctor_files(d);
        doctor_credentials(d);
        doctor_network(d);
        return;
    }
    static const char *const rest[] = {"files", "credentials", "dns", "connect", "clock"};
    for (size_t i = 0; i < ARRAY_LEN(rest); i++)
        doctor_say(d, DOCTOR_SKIP, rest[i], "needs a valid configuration");
}

int cli_doctor(int argc, char **argv)
{
    struct doctor d = {.conf = NULL};
    int code = CLI_OK;
    cli_begin(&d.c, "doctor", help, CLI_COMMON_LETTERS, options, argc, argv);
    if (cli_next(&d.c, &code) == CLI_STOP)
        return code;
    if (d.c.operands < argc)
        return cli_usage(&d.c, "it takes no operands");
    look_at_terminal(&d);
    all(&d);
    conf_unref(d.conf);
    code = cli_finish(&d.c);
    return d.failed ? CLI_FAILED : code;
}
