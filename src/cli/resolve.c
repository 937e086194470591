/* SPDX-License-Identifier: Apache-2.0 */
/* sigferry resolve: the host the proxy would send a service's requests to. Asks no network. */
#include "cli/cli.h"
#include "cli/host.h"

enum { OPT_DUAL_STACK = CLI_OPT_OWN, OPT_RESOLVER };

static const char help[] =
    "Usage: sigferry resolve [OPTION]... SERVICE [REGION]\n"
    "Shows the endpoint host of a service: the one configured for it, else endpoint.host,\n"
    "else what the resolver makes of service and region.\n\n"
    "      --dual-stack       the host that has IPv4 and IPv6 addresses\n"
    "      --resolver NAME    default or standard\n" CLI_COMMON_HELP;

static const struct option opts[] = {
    {"dual-stack", no_argument, NULL, OPT_DUAL_STACK},
    {"resolver", required_argument, NULL, OPT_RESOLVER},
    CLI_COMMON_OPTIONS,
    {NULL, 0, NULL, 0},
};

/* The option, as the configuration key it stands for. */
static int take(struct cli *c, int opt)
{
    const char *pair = "endpoint.use_dual_stack=true";
    if (opt == OPT_RESOLVER && strcmp(optarg, "default") == 0)
        pair = "endpoint.resolver=default";
    else if (opt == OPT_RESOLVER && strcmp(optarg, "standard") == 0)
        pair = "endpoint.resolver=standard";
    else if (opt == OPT_RESOLVER)
        return cli_usage(c, "--resolver is default or standard, not '%.32s'", optarg);
    return cli_set(c, pair) ? CLI_OK : CLI_USAGE;
}

static int show(const struct cli *c, const struct conf *conf, const char *service,
                const char *region)
{
    char host[ENDPOINT_HOST_MAX];
    struct err_detail why = {""};
    struct str where = str_of(region ? region : conf->region);
    if (!where.n)
        return cli_fail(c, "no region is named: give REGION or --region, or configure a region");
    enum err e = cli_host(conf, str_of(service), where, host, &why);
    if (e)
        return cli_fail(c, "%s: %s", err_code(e), why.text);
    puts(host);
    return cli_finish(c);
}

int cli_resolve(int argc, char **argv)
{
    struct cli c;
    int opt, code = CLI_OK;
    cli_begin(&c, "resolve", help, CLI_COMMON_LETTERS, opts, argc, argv);
    while ((opt = cli_next(&c, &code)) >= 0)
        if ((code = take(&c, opt)) != CLI_OK)
            return code;
    if (opt == CLI_STOP)
        return code;
    int given = argc - c.operands;
    const char *service = given > 0 ? argv[c.operands] : c.args.service;
    if (!service)
        return cli_usage(&c, "name a service, as in 'sigferry resolve ecs cn-beijing'");
    if (given > 2)
        return cli_usage(&c, "'%.64s' is one argument too many", argv[c.operands + 2]);
    struct conf *conf = cli_conf(&c);
    if (!conf)
        return CLI_FAILED;
    code = show(&c, conf, service, given > 1 ? argv[c.operands + 1] : NULL);
    conf_unref(conf);
    return code;
}
