/* SPDX-License-Identifier: Apache-2.0 */
/* sigferry config: the configuration as it takes effect, every key with its origin, secrets masked;
 * and what the table of keys says about itself. */
#include "cli/cli.h"

enum { OPT_JSON = CLI_OPT_OWN, OPT_REFERENCE, OPT_TEMPLATE, OUTPUT_MAX = 16 << 20 };

static const char help[] =
    "Usage: sigferry config [OPTION]...\n"
    "Shows every key with its value and where it came from: default, file:line, the\n"
    "environment or the command line. Secrets are masked.\n\n"
    "      --json             as a JSON object\n"
    "      --reference        the reference of all keys (Markdown) instead\n"
    "      --template         a commented sample file instead\n" CLI_COMMON_HELP;

static const struct option opts[] = {
    {"json", no_argument, NULL, OPT_JSON},
    {"reference", no_argument, NULL, OPT_REFERENCE},
    {"template", no_argument, NULL, OPT_TEMPLATE},
    CLI_COMMON_OPTIONS,
    {NULL, 0, NULL, 0},
};

static int show_json(const struct cli *c, const struct conf *conf)
{
    struct buf out;
    bool complete;

    buf_init(&out, OUTPUT_MAX);
    conf_print_json(conf, &out);
    buf_putc(&out, '\n');
    complete = !out.failed;
    if (complete)
        (void)fwrite(out.p, 1, out.n, stdout);
    buf_free(&out);
    return complete ? cli_finish(c) : cli_fail(c, "the configuration is too large to print");
}

int cli_config(int argc, char **argv)
{
    struct cli c;
    int opt, what = 0, code = CLI_USAGE;

    cli_begin(&c, "config", help, CLI_COMMON_LETTERS, opts, argc, argv);
    while ((opt = cli_next(&c, &code)) >= 0)
        what = opt;
    if (opt == CLI_STOP)
        return code;
    if (c.operands < argc)
        return cli_usage(&c, "there is something after the options; name a file with -c");
    if (what == OPT_REFERENCE || what == OPT_TEMPLATE) {
        if (what == OPT_REFERENCE)
            conf_reference(stdout);
        else
            conf_template(stdout);
        return cli_finish(&c);
    }
    struct conf *conf = cli_conf(&c);
    if (!conf)
        return CLI_FAILED;
    if (what == OPT_JSON) {
        code = show_json(&c, conf);
    } else {
        code = conf_print(conf, stdout)
                   ? cli_finish(&c)
                   : cli_fail(&c, "memory is too short to show the whole configuration");
    }
    conf_unref(conf);
    return code;
}
