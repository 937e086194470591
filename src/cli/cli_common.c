/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how commands read their options and how they complain. Must never print a secret: arguments
 * that could hold one are not echoed. */
#include "cli/cli.h"

#include "base/nearest.h"
#include "io/conn.h"
#include "io/front.h"
#include "sign/digest.h"
#include <stdarg.h>
#include <unistd.h>

enum { ERRORS_MAX = 256 * 1024, SHOWN_MAX = 64 };

const struct cli_command *cli_find(const struct cli_command *table, size_t n, const char *name)
{
    struct nearest near;
    nearest_init(&near, str_of(name));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
        nearest_offer(&near, str_of(table[i].name));
    }
    if (near.best.p)
        fprintf(stderr, "sigferry: there is no command '%.*s'; did you mean '%.*s'?\n", SHOWN_MAX,
                name, STR_ARG(near.best));
    else
        fprintf(stderr, "sigferry: there is no command '%.*s'; 'sigferry --help' lists them\n",
                SHOWN_MAX, name);
    return NULL;
}

void cli_overview(const struct cli_command *table, size_t n, FILE *out)
{
    fprintf(out, "Usage: sigferry [COMMAND] [OPTION]...\n"
                 "A local proxy that signs requests for the Volcengine and BytePlus clouds.\n\n"
                 "Commands (without one: run):\n");
    for (size_t i = 0; i < n; i++)
        fprintf(out, "  %-12s %s\n", table[i].name, table[i].help);
    fprintf(out, "\n  -c, --config FILE  configuration file, for all of them that read one\n"
                 "  -h, --help         this text\n"
                 "  -V, --version      versions of the program and its libraries\n\n"
                 "'sigferry COMMAND --help' explains one command.\n");
}

void cli_version(FILE *out)
{
    fprintf(out, "sigferry %s\n%s\nlibmicrohttpd %s\nlibcurl %s\n", PACKAGE_VERSION,
            digest_library_version(), front_library_version(), conn_library_version());
}

void cli_begin(struct cli *c, const char *command, const char *help, const char *letters,
               const struct option *opts, int argc, char **argv)
{
    *c = (struct cli){.command = command,
                      .help = help,
                      .letters = letters,
                      .opts = opts,
                      .argc = argc,
                      .argv = argv,
                      .operands = argc};
    c->args.set = c->set;
    optind = 0; /* glibc: forget an earlier walk, also the "+" or "-" of its letters */
    opterr = 0;
}

bool cli_set(struct cli *c, const char *pair)
{
    if (c->args.nset == CLI_SET_MAX) {
        fprintf(stderr, "sigferry %s: --set was given more than %d times; use a file\n", c->command,
                CLI_SET_MAX);
        return false;
    }
    c->set[c->args.nset++] = pair;
    return true;
}

/* "--foo=bar" is shown as "--foo": the value may be anything. */
static int unknown_option(const struct cli *c)
{
    if (optopt && optopt < 256) /* negative: getopt's char is signed */
        return cli_usage(c, "there is no option '-%c'",
                         optopt > ' ' && optopt < 127 ? optopt : '?');
    struct str value = str_of(c->argv[optind - 1]), name = str_cut(&value, '=');
    struct str bare = name;
    while (bare.n && bare.p[0] == '-')
        bare = str_n(bare.p + 1, bare.n - 1);
    struct nearest near;
    nearest_init(&near, bare);
    for (const struct option *o = c->opts; o->name; o++)
        nearest_offer(&near, str_of(o->name));
    int shown = (int)(name.n < SHOWN_MAX ? name.n : SHOWN_MAX);
    if (near.best.p)
        return cli_usage(c, "there is no option '%.*s'; did you mean '--%.*s'?", shown, name.p,
                         STR_ARG(near.best));
    return cli_usage(c, "there is no option '%.*s'", shown, name.p);
}

/* An option that lacks its argument, or a flag that was given one. */
static int wrong_argument(const struct cli *c)
{
    for (const struct option *o = c->opts; o->name; o++)
        if (o->val == optopt)
            return cli_usage(c, "--%s %s", o->name,
                             o->has_arg == no_argument ? "takes no value" : "needs a value");
    return cli_usage(c, "-%c needs a value", optopt);
}

/* Stores a common option; false when it is the command's own. */
static bool take_common(struct cli *c, int opt, bool *ok)
{
    *ok = true;
    switch (opt) {
    case 'c':
        c->args.config = optarg;
        return true;
    case 'r':
        c->args.region = optarg;
        return true;
    case 's':
        c->args.service = optarg;
        return true;
    case CLI_OPT_CLOUD:
        c->args.cloud = optarg;
        return true;
    case CLI_OPT_PROFILE:
        c->args.profile = optarg;
        return true;
    case CLI_OPT_SET:
        *ok = cli_set(c, optarg);
        return true;
    default:
        return false;
    }
}

int cli_next(struct cli *c, int *exit_code)
{
    for (;;) {
        char letters[64];
        /* ':' first: getopt tells a missing argument from an unknown option. '+' before it, when
         * the command wants operands to end the options, stays in front. */
        bool plus = c->letters[0] == '+';
        int n = snprintf(letters, sizeof letters, "%s:%s", plus ? "+" : "", c->letters + plus);
        if (n < 0 || (size_t)n >= sizeof letters) {
            *exit_code = cli_fail(c, "too many option letters");
            return CLI_STOP;
        }
        int opt = getopt_long(c->argc, c->argv, letters, c->opts, NULL);
        bool ok;
        switch (opt) {
        case -1:
            c->operands = optind;
            return CLI_END;
        case 'h':
            fputs(c->help, stdout);
            *exit_code = cli_finish(c);
            return CLI_STOP;
        case ':':
            *exit_code = wrong_argument(c);
            return CLI_STOP;
        case '?':
            /* A known option in optopt: a flag was given a value, "--help=x". */
            *exit_code = optopt >= 256 || (optopt && strchr(letters, optopt)) ? wrong_argument(c)
                                                                              : unknown_option(c);
            return CLI_STOP;
        default:
            if (!take_common(c, opt, &ok))
                return opt;
            if (!ok) {
                *exit_code = CLI_USAGE;
                return CLI_STOP;
            }
        }
    }
}

static void PRINTF_LIKE(2, 0) complain(const struct cli *c, const char *fmt, va_list ap)
{
    fprintf(stderr, "sigferry %s: ", c->command);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(c, fmt, ap);
    va_end(ap);
    fprintf(stderr, "'sigferry %s --help' explains the options\n", c->command);
    return CLI_USAGE;
}

int cli_fail(const struct cli *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(c, fmt, ap);
    va_end(ap);
    return CLI_FAILED;
}

struct conf *cli_conf(const struct cli *c)
{
    struct buf errs;
    buf_init(&errs, ERRORS_MAX);
    struct conf *conf = conf_load(&c->args, &errs);
    if (!conf)
        fwrite(errs.p ? errs.p : "", 1, errs.n, stderr);
    buf_wipe(&errs);
    return conf;
}

int cli_finish(const struct cli *c)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_fail(c, "standard output could not be written");
    return CLI_OK;
}
