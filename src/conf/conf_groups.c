/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of groups (listeners, profiles, services, policies, clients, rate limits, routes), in
 * the same form as the rows of conf_table.c. Which keys go with which provider is in
 * conf_cross_profile.c. */
#include "conf/conf_int.h"

#define RANGE(lo, hi) .min = (lo), .max = (hi)
#define GROUP(rows_, type, example_)                                                               \
    {                                                                                              \
        .rows = rows_, .n = ARRAY_LEN(rows_), .size = sizeof(struct type), .example = example_     \
    }

static const struct conf_name providers[] = {
    {"default", 0}, {"static", 0},      {"file", 0},
    {"env", 0},     {"oidc", 0},        {"cli", 0},
    {"ecs", 0},     {"assume_role", 0}, {"assume_role_saml", 0},
    {NULL, 0}};
static const struct conf_name sts_schemes[] = {{"", 0}, {"https", 0}, {"http", 0}, {NULL, 0}};
static const struct conf_name modes[] = {
    {"enforce", POLICY_ENFORCE}, {"warn", POLICY_WARN}, {"record", POLICY_RECORD}, {NULL, 0}};

#define AT(member)    .offset = offsetof(struct conf_listener, member)
#define COUNT(member) .count = offsetof(struct conf_listener, member)
static const struct conf_row listen_rows[] = {
    {"address", CT_STRING, CF_REQUIRED, AT(address), .def = "", .check = conf_check_address,
     .help = "Where to listen, in the forms given at `listen`."},
    {"mode", CT_STRING, CF_RESTART, AT(mode), .def = "", .check = conf_check_mode,
     .help = "Permissions of a Unix socket as octal text; empty means \"0600\"."},
    {"owner", CT_STRING, CF_RESTART, AT(owner), .def = "",
     .help = "Owner of a Unix socket, a name or number; empty means the daemon's user."},
    {"group", CT_STRING, CF_RESTART, AT(group), .def = "",
     .help = "Group of a Unix socket, a name or number; empty means the daemon's group."},
    {"service", CT_STRING, 0, AT(service), .def = "", .check = conf_check_label,
     .help = "The service of requests that name none."},
    {"region", CT_STRING, 0, AT(region), .def = "", .check = conf_check_label,
     .help = "The region of requests that name none."},
    {"profile", CT_STRING, 0, AT(profile), .def = "",
     .help = "The profile of this listener's requests."},
    {"policy", CT_STRING, 0, AT(policy), .def = "",
     .help = "The policy of this listener's requests."},
    {"client_tokens", CT_SECRETS, 0, AT(client_tokens), COUNT(nclient_tokens), "",
     .check = conf_check_token,
     .help = "Tokens of this listener, instead of `security.client_tokens`."},
    {"allowed_uids", CT_INTS, 0, AT(allowed_uids), .def = "", RANGE(0, 4294967294.0),
     .help = "Users of this listener, instead of `security.allowed_uids`."},
    {"allowed_gids", CT_INTS, 0, AT(allowed_gids), .def = "", RANGE(0, 4294967294.0),
     .help = "Groups of this listener, instead of `security.allowed_gids`."},
};
#undef AT
#undef COUNT

#define AT(member) .offset = offsetof(struct conf_profile, member)
static const struct conf_row profile_rows[] = {
    {"provider", CT_STRING, 0, AT(provider), .def = "default", .names = providers,
     .help = "Where the credentials come from. It decides which of the other keys may be set."},
    {"access_key", CT_STRING, CF_MASKED, AT(access_key), .def = "", .check = conf_check_access_key,
     .help = "The access key (static)."},
    {"secret_key", CT_SECRET, 0, AT(secret_key), .def = "", .check = conf_check_token,
     .help = "The secret key (static)."},
    {"session_token", CT_SECRET, 0, AT(session_token), .def = "", .check = conf_check_token,
     .help = "The session token that goes with temporary keys (static)."},
    {"file", CT_STRING, 0, AT(file), .def = "",
     .help = "A JSON or key = value file with access_key, secret_key and session_token, re-read "
             "when it changes (file). A plain name is looked for in $CREDENTIALS_DIRECTORY."},
    {"config_file", CT_STRING, 0, AT(config_file), .def = "",
     .help =
         "The command line tool's configuration (cli); empty means the one in the home directory."},
    {"cli_profile", CT_STRING, 0, AT(cli_profile), .def = "",
     .help = "The profile in it (cli); empty means the current one."},
    {"role_trn", CT_STRING, 0, AT(role_trn), .def = "", .check = conf_check_trn,
     .help =
         "The role to assume, trn:iam::ACCOUNT:role/NAME (oidc, assume_role, assume_role_saml)."},
    {"role_name", CT_STRING, 0, AT(role_name), .def = "", .check = conf_check_name,
     .help = "The instance's role (ecs), or the name of the role to assume together with "
             "`account_id` (assume_role)."},
    {"account_id", CT_STRING, 0, AT(account_id), .def = "", .check = conf_check_name,
     .help = "The account of `role_name` (assume_role)."},
    {"oidc_token_file", CT_STRING, 0, AT(oidc_token_file), .def = "",
     .help =
         "The file with the identity token, re-read on each refresh and when it changes (oidc)."},
    {"role_session_name", CT_STRING, 0, AT(role_session_name), .def = "",
     .help = "The session's name in the cloud's audit log (oidc, assume_role); empty means a name "
             "of our own."},
    {"policy", CT_STRING, CF_TEXT, AT(policy), .def = "",
     .help = "An inline policy (JSON) that narrows the role's rights (oidc, assume_role, "
             "assume_role_saml)."},
    {"source_profile", CT_STRING, 0, AT(source_profile), .def = "",
     .help = "The profile whose credentials assume the role (assume_role); empty means the default "
             "chain."},
    {"saml_provider_trn", CT_STRING, 0, AT(saml_provider_trn), .def = "", .check = conf_check_trn,
     .help = "The identity provider (assume_role_saml)."},
    {"saml_response_file", CT_STRING, 0, AT(saml_response_file), .def = "",
     .help = "The file with the base64 SAML response (assume_role_saml)."},
    {"duration_seconds", CT_INT, 0, AT(duration_seconds), .def = "3600", RANGE(900, 43200),
     .help = "How long the role's credentials live (oidc, assume_role, assume_role_saml)."},
    {"sts_endpoint", CT_STRING, 0, AT(sts_endpoint), .def = "", .check = conf_check_hostport,
     .help = "The STS host instead of the cloud's own (providers that use STS)."},
    {"sts_scheme", CT_STRING, 0, AT(sts_scheme), .def = "", .names = sts_schemes,
     .help = "How STS is spoken to (providers that use STS). Empty: as the tool's profile says "
             "(cli), else https."},
    {"sts_region", CT_STRING, 0, AT(sts_region), .def = "", .check = conf_check_label,
     .help = "The region STS requests are signed for (providers that use STS)."},
};
#undef AT

#define AT(member) .offset = offsetof(struct endpoint_service, member)
static const struct conf_row service_rows[] = {
    {"service", CT_STRV, CF_REQUIRED, AT(service), .def = "", .check = conf_check_label,
     .help = "The service's code, as it is signed."},
    {"host", CT_STRV, 0, AT(host), .def = "", .check = conf_check_hostport,
     .help = "Its HOST or HOST:PORT; empty means the resolver's rules apply."},
    {"global", CT_BOOL, 0, AT(global), .def = "false",
     .help = "Its endpoint has no region in its name."},
};
#undef AT

#define AT(member) .offset = offsetof(struct conf_policy, member)
static const struct conf_row policy_rows[] = {
    {"name", CT_STRING, CF_REQUIRED, AT(name), .def = "", .check = conf_check_name,
     .help = "What others refer to."},
    {"mode", CT_ENUM, 0, AT(mode), .def = "enforce", .names = modes,
     .help = "\"enforce\" refuses, \"warn\" only logs what it would refuse, \"record\" allows and "
             "collects what is used."},
    {"allow", CT_STRS, 0, AT(allow), .def = "", .check = conf_check_pattern,
     .help = "\"service:action\" patterns that are allowed, * for any text. A request without "
             "Action matches \"service:*\" only."},
    {"deny", CT_STRS, 0, AT(deny), .def = "", .check = conf_check_pattern,
     .help = "Patterns that are refused whatever `allow` says."},
    {"regions", CT_STRS, 0, AT(regions), .def = "", .check = conf_check_region_pattern,
     .help = "Regions that are allowed, * for any text; none given means all."},
    {"profile", CT_STRING, 0, AT(profile), .def = "",
     .help = "Pins requests under this policy to a profile."},
};
#undef AT

#define AT(member) .offset = offsetof(struct conf_client, member)
static const struct conf_row client_rows[] = {
    {"name", CT_STRING, CF_REQUIRED, AT(name), .def = "", .check = conf_check_name,
     .help = "The client's name in logs."},
    {"access_key", CT_STRING, CF_REQUIRED | CF_MASKED, AT(access_key), .def = "",
     .check = conf_check_access_key,
     .help = "The local access key its SDK is given; made up, unknown to the cloud."},
    {"secret_key", CT_SECRET, CF_REQUIRED, AT(secret_key), .def = "", .check = conf_check_token,
     .help = "The local secret key its SDK is given."},
    {"profile", CT_STRING, 0, AT(profile), .def = "", .help = "Pins the client to a profile."},
    {"policy", CT_STRING, 0, AT(policy), .def = "", .help = "The client's policy."},
};
#undef AT

#define AT(member) .offset = offsetof(struct conf_rate, member)
static const struct conf_row rate_rows[] = {
    {"match", CT_STRING, CF_REQUIRED, AT(match), .def = "", .check = conf_check_pattern,
     .help = "The \"service:action\" pattern that is limited."},
    {"rate", CT_FLOAT, CF_REQUIRED, AT(rate), .def = "1.0", RANGE(0.001, 1000000),
     .help = "Requests a second."},
    {"burst", CT_FLOAT, 0, AT(burst), .def = "1.0", RANGE(1, 1000000),
     .help = "Requests that may come at once after a quiet time."},
    {"wait", CT_TIME, 0, AT(wait_ns), .def = "0.0", RANGE(0, 3600),
     .help = "How long a request may wait for its turn before it is refused."},
};
#undef AT

#define AT(member) .offset = offsetof(struct conf_route, member)
static const struct conf_row route_rows[] = {
    {"prefix", CT_STRING, CF_REQUIRED, AT(prefix), .def = "", .check = conf_check_prefix,
     .help = "The path's beginning, \"/name\"."},
    {"service", CT_STRING, 0, AT(service), .def = "", .check = conf_check_label,
     .help = "The service of requests below it that name none."},
    {"region", CT_STRING, 0, AT(region), .def = "", .check = conf_check_label,
     .help = "The region of requests below it that name none."},
    {"strip_prefix", CT_BOOL, 0, AT(strip_prefix), .def = "false",
     .help = "Removes the prefix before signing and forwarding."},
    {"profile", CT_STRING, 0, AT(profile), .def = "", .help = "The profile of requests below it."},
};
#undef AT

const struct conf_group conf_group_listen =
    GROUP(listen_rows, conf_listener,
          "( { address = \"unix:/run/sigferry/sock\"; mode = \"0660\"; group = \"app\"; } )");
const struct conf_group conf_group_profile =
    GROUP(profile_rows, conf_profile,
          "{ prod: { provider = \"file\"; file = \"/etc/sigferry/prod.json\"; }; }");
const struct conf_group conf_group_service =
    GROUP(service_rows, endpoint_service,
          "( { service = \"ecs\"; host = \"ecs.internal:8443\"; global = false; } )");
const struct conf_group conf_group_policy =
    GROUP(policy_rows, conf_policy,
          "( { name = \"ro\"; allow = [ \"ecs:Describe*\", \"iam:List*\" ]; } )");
const struct conf_group conf_group_client =
    GROUP(client_rows, conf_client,
          "( { name = \"app1\"; access_key = \"local-app1\"; secret_key = \"SECRET\"; } )");
const struct conf_group conf_group_rate =
    GROUP(rate_rows, conf_rate, "( { match = \"ecs:*\"; rate = 20.0; burst = 40; wait = 5.0; } )");
const struct conf_group conf_group_route = GROUP(
    route_rows, conf_route, "( { prefix = \"/ecs\"; service = \"ecs\"; strip_prefix = true; } )");
