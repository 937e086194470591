/* SPDX-License-Identifier: Apache-2.0 */
/* From the command line to a command. Without one, or with options only, it is the daemon. */
#include "base/secret.h"
#include "cli/cli.h"
#include <fcntl.h>
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

/* What is opened in the place of a closed standard descriptor would be taken for it: a connection
 * would get the log. What is put there fails as a closed one does, and is not handed on. */
static bool keep_places(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd] | O_CLOEXEC) != fd)
            return false;
    return true;
}

static int shown(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return CLI_OK;
    fputs("sigferry: standard output could not be written\n", stderr);
    return CLI_FAILED;
}

int main(int argc, char **argv)
{
    if (!keep_places())
        return CLI_FAILED;
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
        return shown();
    }
    char option[] = "--help";
    if (strcmp(argv[1], "help") == 0) { /* what many type first */
        if (argc == 2) {
            cli_overview(commands, ARRAY_LEN(commands), stdout);
            return shown();
        }
        argv[1] = argv[2];
        argv[2] = option;
    }
    const struct cli_command *c = cli_find(commands, ARRAY_LEN(commands), argv[1]);
    return c ? c->run(argc - 1, argv + 1) : CLI_USAGE;
}
