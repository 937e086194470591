/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a URL the way the proxy reads a request, so that what a command signs is what the proxy
 * would send. */
#include "cli/target.h"

#include "base/clock.h"
#include "cred/cred_time.h"
#include "proxy/route.h"
#include "sign/sign.h"

const char *cli_url(const struct cli *c)
{
    int given = c->argc - c->operands;
    if (given == 1)
        return c->argv[c->operands];
    if (given > 1)
        (void)cli_usage(c, "'%.64s' is one argument too many; a URL with '&' needs quotes",
                        c->argv[c->operands + 1]);
    else
        (void)cli_usage(c,
                        "give a URL, as in sigferry %s "
                        "'https://iam.volcengineapi.com/?Action=ListUsers&Version=2018-01-01'",
                        c->command);
    return NULL;
}

static struct str first_of(struct str a, struct str b, struct str c)
{
    return a.n ? a : b.n ? b : c;
}

static int address(const struct cli *c, const struct conf *conf, const struct uri_host *h,
                   struct arena *a, struct cli_target *t)
{
    struct str asked = str_of(c->args.service), service, region;
    struct err_detail why = {""};
    if (route_url_names(conf, h, asked, a, &service, &region, &why) != ERR_OK)
        return cli_fail(c, "%s", why.text);
    if (asked.n || !service.n)
        service = route_service_name(conf, asked.n ? asked : str_of(conf->service));
    t->service = service;
    t->region = first_of(str_of(c->args.region), region, str_of(conf->region));
    if (!t->service.n)
        return cli_fail(c, "no service is named: give --service, use the URL of one of the cloud's "
                           "endpoints, or configure a service");
    if (!t->region.n)
        return cli_fail(c, "no region is named: give --region, use a URL that holds one, or "
                           "configure a region");
    if (!endpoint_is_label(t->service) || !endpoint_is_label(t->region))
        return cli_fail(c, "a service and a region are 1 to 64 of A-Z a-z 0-9 _ -");
    return CLI_OK;
}

static int query(const struct cli *c, struct str raw, struct arena *a, struct cli_target *t)
{
    struct err_detail why = {""};
    if (uri_query_parse(raw, a, &t->pairs, &why) != ERR_OK)
        return cli_fail(c, "%s", why.text);
    for (size_t i = 0; i < t->pairs.n; i++)
        if (sign_is_auth_parameter(t->pairs.v[i].name))
            return cli_fail(c, "the URL's parameter %.*s belongs to a signature; take it out",
                            STR_ARG(t->pairs.v[i].name));
    t->query = uri_query_write(&t->pairs, a);
    return t->query.p ? CLI_OK : cli_fail(c, "out of memory");
}

int cli_target(const struct cli *c, const struct conf *conf, const char *url, struct arena *a,
               struct cli_target *t)
{
    struct uri_target u;
    struct uri_host h;
    struct err_detail why = {""};
    *t = (struct cli_target){.pairs = {NULL, 0}};
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return cli_fail(c, "the URL must begin with http:// or https://");
    if (strchr(url, '#'))
        return cli_fail(c, "the URL holds a '#'; a fragment is never sent, and elsewhere it is "
                           "written %%23");
    if (uri_split(str_of(url), &u, &why) != ERR_OK || uri_host(u.authority, &h, &why) != ERR_OK ||
        uri_path(u.path, a, &t->path, &why) != ERR_OK)
        return cli_fail(c, "%s", why.text);
    t->scheme = u.scheme;
    t->authority = u.authority;
    int e = query(c, u.query, a, t);
    return e ? e : address(c, conf, &h, a, t);
}

int cli_date(const struct cli *c, const char *text, int64_t *unix_s)
{
    if (!text) {
        *unix_s = clock_wall_s();
        return CLI_OK;
    }
    if (sign_date_parse(str_of(text), unix_s) || cred_time_parse(str_of(text), unix_s))
        return CLI_OK;
    return cli_usage(c,
                     "--date takes YYYYMMDDTHHMMSSZ or a time like 2026-01-31T08:30:00+08:00, "
                     "not '%.64s'",
                     text);
}

struct cred *cli_cred(const struct cli *c, struct conf *conf)
{
    struct err_detail why = {""};
    struct cred *cred = cred_fetch(conf, conf->profile, &why);
    if (!cred)
        (void)cli_fail(c, "%s", why.text);
    return cred;
}

int cli_method(const struct cli *c, struct str method)
{
    static const char *const methods[] = {"GET",   "HEAD",   "POST",   "PUT",
                                          "PATCH", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(method, str_of(methods[i])))
            return CLI_OK;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_ieq(method, str_of(methods[i])))
            return cli_usage(c, "methods are written in capitals: %s", methods[i]);
    return cli_usage(c, "the method is one of GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS");
}
