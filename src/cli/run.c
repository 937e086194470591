/* SPDX-License-Identifier: Apache-2.0 */
/* `sigferry [run]`: the daemon in the foreground. */
#include "cli/cli.h"
#include "daemon/daemon.h"

enum { OPT_ADMIN = CLI_OPT_OWN, OPT_WORKERS, OPT_LOG_LEVEL, OPT_LOG_FORMAT, LISTEN_MAX = 32 };

static const char help[] =
    "Usage: sigferry [run] [OPTION]...\n"
    "Serves plain HTTP on localhost or a Unix socket, signs it and forwards it to the cloud.\n"
    "\n"
    "  -l, --listen ADDR      HOST:PORT, PORT, unix:/path or systemd (repeatable)\n"
    "      --admin ADDR       address for health, metrics and status; \"\" switches it off\n"
    "      --workers N        threads; 0 is one a CPU\n"
    "      --log-level LEVEL  error, warn, info or debug\n"
    "      --log-format F     text, json or a template with %(message)s\n" CLI_COMMON_HELP
    "  -V, --version          versions of sigferry and its libraries\n"
    "\n"
    "Without a file, two credential variables and a region are enough:\n"
    "  VOLCENGINE_ACCESS_KEY=… VOLCENGINE_SECRET_KEY=… VOLCENGINE_REGION=cn-beijing sigferry\n";

static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
                                        {"admin", required_argument, NULL, OPT_ADMIN},
                                        {"workers", required_argument, NULL, OPT_WORKERS},
                                        {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
                                        {"log-format", required_argument, NULL, OPT_LOG_FORMAT},
                                        {"version", no_argument, NULL, 'V'},
                                        CLI_COMMON_OPTIONS,
                                        {NULL, 0, NULL, 0}};

int cli_run(int argc, char **argv)
{
    struct cli c;
    const char *listen[LISTEN_MAX];
    int opt, code = CLI_OK;
    cli_begin(&c, "run", help, "l:V" CLI_COMMON_LETTERS, options, argc, argv);
    c.args.listen = listen;
    while ((opt = cli_next(&c, &code)) >= 0) {
        switch (opt) {
        case 'l':
            if (c.args.nlisten == LISTEN_MAX)
                return cli_usage(&c, "more than %d listeners: name them in a file", LISTEN_MAX);
            listen[c.args.nlisten++] = optarg;
            break;
        case OPT_ADMIN:
            c.args.admin = optarg;
            break;
        case OPT_WORKERS:
            c.args.workers = optarg;
            break;
        case OPT_LOG_LEVEL:
            c.args.log_level = optarg;
            break;
        case OPT_LOG_FORMAT:
            c.args.log_format = optarg;
            break;
        case 'V':
            cli_version(stdout);
            return cli_finish(&c);
        default:
            return cli_usage(&c, "an option is not handled");
        }
    }
    if (opt == CLI_STOP)
        return code;
    if (c.operands < c.argc)
        return cli_usage(&c, "\"%.64s\" is no option; a command comes before all options",
                         c.argv[c.operands]);
    return daemon_run(&c.args, NULL, NULL);
}
