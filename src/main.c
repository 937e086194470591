/* SPDX-License-Identifier: Apache-2.0 */
/* From the command line to a command. Without one, or with options only, it is the daemon. */
#include "base/secret.h"
#include "cli/cli.h"
#include <signal.h>

static const struct cli_command commands[] = {
    {"run", cli_run, "the proxy itself, in the foreground"},
    {"check", cli_check, "validate the configuration and credential files"},
    {"config", cli_config, "show the effective configuration and where each value came from"},
    {"resolve", cli_resolve, "show the endpoint host of a service"},
    {"sign", cli_sign, "show the headers that sign a request"},
    {"presign", cli_presign, "show a presigned URL"},
    {"credentials", cli_credentials, "show each credential provider tried and its outcome"},
    {"doctor", cli_doctor, "check configuration, files, credentials, network and clock"},
    {"exec", cli_exec, "run a command with a proxy of its own"},
    {"sandbox", cli_sandbox, "an upstream for trying out: verifies signatures, echoes requests"},
    {"wait", cli_wait, "wait until the running proxy is ready"},
    {"quit", cli_quit, "ask the running proxy to drain and exit"},
};

static bool is_option(const char *arg, const char *letter, const char *word)
{
    return strcmp(arg, letter) == 0 || strcmp(arg, word) == 0;
}

int main(int argc, char **argv)
{
    secret_harden_process();
    /* A closed peer, and a file that may not grow, are reported by an error as well; the signals
     * would end the process. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    if (argc < 2 || argv[1][0] == '-') {
        if (argc > 1 && is_option(argv[1], "-h", "--help"))
            cli_overview(commands, ARRAY_LEN(commands), stdout);
        else if (argc > 1 && is_option(argv[1], "-V", "--version"))
            cli_version(stdout);
        else
            return cli_run(argc, argv);
        return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
    }
    char option[] = "--help";
    if (strcmp(argv[1], "help") == 0) { /* what many type first */
        if (argc == 2) {
            cli_overview(commands, ARRAY_LEN(commands), stdout);
            return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
        }
        argv[1] = argv[2];
        argv[2] = option;
    }
    const struct cli_command *c = cli_find(commands, ARRAY_LEN(commands), argv[1]);
    return c ? c->run(argc - 1, argv + 1) : CLI_USAGE;
}
