/* SPDX-License-Identifier: Apache-2.0 */
/* The commands, one a file, and what they share: options, usage errors, loading the configuration.
 * Exit codes: 0 done, 1 a failure at run time or in the configuration, 2 wrong usage. */
#ifndef SIGFERRY_CLI_CLI_H
#define SIGFERRY_CLI_CLI_H

#include "base/attr.h"
#include "base/buf.h"
#include "conf/conf.h"
#include <getopt.h>
#include <stdio.h>

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* Entry points: argv[0] is the command's name, options follow. They return the exit code. */
int cli_run(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_config(int argc, char **argv);
int cli_resolve(int argc, char **argv);
int cli_sign(int argc, char **argv);
int cli_presign(int argc, char **argv);
int cli_credentials(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_sandbox(int argc, char **argv);
int cli_exec(int argc, char **argv);
int cli_wait(int argc, char **argv);
int cli_quit(int argc, char **argv);

/* A row of the table of commands. */
struct cli_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help; /* one line */
};

/* The command of that name, NULL after saying so on standard error with the nearest one. */
const struct cli_command *cli_find(const struct cli_command *table, size_t n, const char *name);
/* The overview for --help: all commands of the table. */
void cli_overview(const struct cli_command *table, size_t n, FILE *out);
/* The program's version and those of its libraries. */
void cli_version(FILE *out);

/* Values of getopt_long for long options without a letter; a command's own start at CLI_OPT_OWN. */
enum {
    CLI_OPT_CLOUD = 256,
    CLI_OPT_PROFILE,
    CLI_OPT_SET,
    CLI_OPT_OWN,
};

/* The options every command that reads the configuration takes: for its struct option array, its
 * string of letters, and its help text. */
/* clang-format off */
#define CLI_COMMON_OPTIONS                                  \
    {"config", required_argument, NULL, 'c'},               \
    {"cloud", required_argument, NULL, CLI_OPT_CLOUD},      \
    {"region", required_argument, NULL, 'r'},               \
    {"service", required_argument, NULL, 's'},              \
    {"profile", required_argument, NULL, CLI_OPT_PROFILE},  \
    {"set", required_argument, NULL, CLI_OPT_SET},          \
    {"help", no_argument, NULL, 'h'}
#define CLI_COMMON_LETTERS "c:r:s:h"
#define CLI_COMMON_HELP                                                                       \
    "  -c, --config FILE      configuration file\n"                                           \
    "      --cloud CLOUD      volcengine or byteplus\n"                                       \
    "  -r, --region REGION    region to sign for\n"                                           \
    "  -s, --service SERVICE  service to sign for\n"                                          \
    "      --profile PROFILE  credential profile\n"                                           \
    "      --set KEY=VALUE    any configuration key (repeatable; a list's elements are\n"     \
    "                         separated by commas)\n"                                         \
    "  -h, --help             this text\n"
/* clang-format on */

enum { CLI_SET_MAX = 128 };

/* A command's view of its arguments. */
struct cli {
    const char *command;       /* for messages: "sign" */
    const char *help;          /* the whole help text */
    const char *letters;       /* getopt's, without the leading ":" */
    const struct option *opts; /* ends with a zeroed row */
    int argc;
    char **argv;
    int operands;          /* after the last option: argv[operands…argc) */
    struct conf_args args; /* filled by the common options */
    const char *set[CLI_SET_MAX];
};

/* getopt_long's results, as cli_next returns them. */
enum { CLI_END = -1, CLI_STOP = -2 };

/* Prepares a walk over the options (getopt's state begins anew). */
void cli_begin(struct cli *c, const char *command, const char *help, const char *letters,
               const struct option *opts, int argc, char **argv);

/* The next option that is the command's own, its argument in optarg. Common options are stored in
 * c->args on the way. CLI_END: no more, c->operands is set. CLI_STOP: help was printed or a usage
 * error reported; return *exit_code. */
NODISCARD int cli_next(struct cli *c, int *exit_code);

/* As `--set key=value`: later ones win. false (after a message) when there are too many. The text
 * lives as long as c. */
NODISCARD bool cli_set(struct cli *c, const char *pair);

/* Says on standard error what is wrong and where help is, and returns CLI_USAGE. */
int cli_usage(const struct cli *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "sigferry COMMAND: text" on standard error; returns CLI_FAILED. */
int cli_fail(const struct cli *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Loads the configuration of c->args; NULL after its errors were printed on standard error. */
NODISCARD struct conf *cli_conf(const struct cli *c);

/* Flushes standard output; CLI_OK, or CLI_FAILED with a message when something could not be
 * written (a full disk, a closed pipe). */
int cli_finish(const struct cli *c);

#endif
