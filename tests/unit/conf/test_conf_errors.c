/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of what is refused: each broken configuration with the exact text of its errors. */
#include "fixture.h"

struct broken {
    const char *text, *want; /* lines of a.conf; what is said about it */
};

#define L1 "a.conf:1: "
#define PROXY_FORM                                                                                 \
    "proxy.http_proxy: the value must be "                                                         \
    "[http://|https://|socks5://|socks5h://][USER:PASSWORD@]HOST[:PORT]\n"
#define PROXY_ESCAPES                                                                              \
    "proxy.http_proxy: the value must have / ? # @ and blanks in user and password written as "    \
    "%2F %3F %23 %40 %20\n"
#define STS_KEYS " sts_endpoint sts_scheme sts_region\n"

/* Wrong keys and types. */
static const struct broken keys[] = {
    {"regoin = \"x\";", L1 "regoin: unknown key; did you mean region?\n"},
    {"num_max_retries = 1;",
     L1 "num_max_retries: unknown key; did you mean retry.num_max_retries?\n"},
    {"retry: { num_max_retry = 1; };",
     L1 "retry.num_max_retry: unknown key; did you mean retry.num_max_retries?\n"},
    {"timeuots: { x = 1; };", L1 "timeuots: unknown key; did you mean timeouts?\n"},
    {"zzzzzz = 1;", L1 "zzzzzz: unknown key\n"},
    {"tls: { ca_file: { x = 1; }; };",
     L1 "tls.ca_file: must be a string in double quotes, not a group { ... }\n"},
    {"tls = 1;", L1 "tls: must be a group, tls: { ... }\n"},
    {"workers = \"2\";", L1 "workers: must be a whole number, not \"2\"\n"},
    {"workers = 2.0;", L1 "workers: must be a whole number, not a number\n"},
    {"workers = true;", L1 "workers: must be a whole number, not true\n"},
    {"region = 5;", L1 "region: must be a string in double quotes, not a number\n"},
    {"region = [ \"x\" ];", L1 "region: must be a string in double quotes, not a list\n"},
    {"drain_timeout = \"30\";", L1 "drain_timeout: must be a number of seconds, not \"30\"\n"},
    {"client_side_validation = 1;",
     L1 "client_side_validation: must be true or false, not a number\n"},
    {"client_side_validation = \"yes\";",
     L1 "client_side_validation: must be true or false, not \"yes\"\n"},
    {"connect_to = \"::h:1\";",
     L1 "connect_to: must be a list of strings, [ \"...\", \"...\" ], not \"::h:1\"\n"},
    {"connect_to = [ 1 ];", L1 "connect_to: must be a string in double quotes, not a number\n"},
    {"retry: { retry_status = [ \"500\" ]; };",
     L1 "retry.retry_status: must be a whole number, not \"500\"\n"},
    {"retry: { retry_status = 500; };",
     L1 "retry.retry_status: must be a list of whole numbers, [ 1, 2 ], not a number\n"},
    {"log: { debug = \"signing\"; };",
     L1 "log.debug: must be a list of strings, [ \"...\", \"...\" ], not \"signing\"\n"},
    {"listen = \"localhost:1\";",
     L1 "listen: must be a list of strings, [ \"...\" ], or of groups, ( { ... }, { ... } ), not "
        "\"localhost:1\"\n"},
    {"timeouts.connect_timeout = 5;",
     L1 "sections are written timeouts: { connect_timeout = ...; };\n"},
    {"profiles.default.secret_key = \"geheim\";",
     L1 "sections are written profiles: { default: { secret_key = ...; }; };\n"},
    {"region = \"a\"b.geheim-c;", L1 "sections are written NAME: { KEY = ...; };\n"},
    {"region geheim.geheim;", L1 "sections are written NAME: { KEY = ...; };\n"},
    {"policies: { name = \"x\"; };",
     L1 "policies: must be a list of groups, ( { ... }, { ... } ), not a group { ... }\n"},
    {"profiles = ( );",
     L1 "profiles: must be a group of named groups, { NAME: { ... }; }, not a list\n"},
    {"profiles: { a = 1; };", L1 "profiles.a: must be a group, as in { prod: { provider = "
                                 "\"file\"; file = \"/etc/sigferry/prod.json\"; }; }\n"},
    {"profiles: { a*: { }; };",
     L1 "profiles: the name \"a*\" must be 1 to 63 letters, digits, _, - or .\n"},
    {"security: { client_tokens = [ 5 ]; };",
     L1 "security.client_tokens: must be a string in double quotes, not a number\n"},
    {"limits: { max_body = \"much\"; };",
     L1 "limits.max_body: must be a size such as \"256K\" or a "
        "number of bytes, not \"much\"\n"},
    {"limits: { max_body = 1.5; };",
     L1 "limits.max_body: must be a size such as \"256K\" or a number of bytes, not a number\n"},
    {"limits: { max_body = \"99999999999G\"; };",
     L1 "limits.max_body: must be a size such as \"256K\" or a number of bytes, not "
        "\"99999999999G\"\n"},
};

/* Values out of bounds or not among the names. */
static const struct broken values[] = {
    {"workers = -1;", L1 "workers: must be between 0 and 256, not -1\n"},
    {"workers = 257;", L1 "workers: must be between 0 and 256, not 257\n"},
    {"workers = 4294967297;", L1 "workers: must be between 0 and 256, not 4294967297\n"},
    {"workers = 9223372036854775807;",
     L1 "workers: must be between 0 and 256, not 9.22337203685e+18\n"},
    {"drain_timeout = -0.5;", L1 "drain_timeout: must be between 0 and 86400, not -0.5\n"},
    {"limits: { max_body = 0; };", L1 "limits.max_body: must be between 1 and 1024G, not 0\n"},
    {"limits: { max_body = -1; };", L1 "limits.max_body: must be between 1 and 1024G, not -1\n"},
    {"limits: { max_header = \"2M\"; };",
     L1 "limits.max_header: must be between 4K and 1M, not 2M\n"},
    {"retry: { retry_status = [ 500, 200 ]; };",
     L1 "retry.retry_status: must be between 400 and 599, not 200\n"},
    {"retry: { budget_percent = 101; };",
     L1 "retry.budget_percent: must be between 0 and 100, not 101\n"},
    {"timeouts: { connect_timeout = 0.0; };",
     L1 "timeouts.connect_timeout: must be between 0.001 and 3600, not 0\n"},
    {"cloud = \"volcengin\";", L1 "cloud: must be one of \"volcengine\", \"byteplus\", not "
                                  "\"volcengin\"; did you mean volcengine?\n"},
    {"cloud = \"\";", L1 "cloud: must be one of \"volcengine\", \"byteplus\", not \"\"\n"},
    {"endpoint: { scheme = \"ftp\"; };",
     L1 "endpoint.scheme: must be one of \"https\", \"http\", not \"ftp\"\n"},
    {"endpoint: { resolver = \"dns\"; };",
     L1 "endpoint.resolver: must be one of \"default\", \"standard\", not \"dns\"\n"},
    {"tls: { min_version = \"1.1\"; };",
     L1 "tls.min_version: must be one of \"1.2\", \"1.3\", not \"1.1\"; did you mean 1.2?\n"},
    {"log: { level = \"loud\"; };",
     L1 "log.level: must be one of \"error\", \"warn\", \"info\", \"debug\", not \"loud\"\n"},
    {"log: { debug = [ \"sining\" ]; };", L1
     "log.debug: must be one of \"request\", \"request_body\", \"request_id\", \"response\", "
     "\"response_body\", \"signing\", \"endpoint\", \"retries\", \"config\", not \"sining\"; did "
     "you mean signing?\n"},
    {"log: { format = \"logfmt\"; };", L1 "log.format: \"logfmt\" must be text, json or a template "
                                          "with %(message)s in it\n"},
    {"log: { format = \"%%(message)s\"; };",
     L1 "log.format: \"%%(message)s\" must be text, json or "
        "a template with %(message)s in it\n"},
    {"log: { format = \"%(msg)s %(message)s\"; };",
     L1 "log.format: \"%(msg)s %(message)s\" may hold %(asctime)s, %(levelname)s and %(message)s, "
        "no other field\n"},
    {"region = \"cn beijing\";",
     L1 "region: \"cn beijing\" must be 1 to 64 letters, digits, _ or -\n"},
    {"region = \"a\\x0ab\";", L1 "region: holds a control character\n"},
    {"log: { file = \"/tmp/\\xff\"; };", L1 "log.file: is not valid UTF-8\n"},
    {"profile = \"\";", L1 "profile: \"\" must not be empty\n"},
    {"retry: { retry_error_codes = [ \"\" ]; };",
     L1 "retry.retry_error_codes: an element is empty\n"},
    {"endpoint: { host = \"https://x\"; };",
     L1 "endpoint.host: \"https://x\" must be HOST or HOST:PORT, without a scheme or a path\n"},
    {"endpoint: { host = \"x:0\"; };",
     L1 "endpoint.host: \"x:0\" must be HOST or HOST:PORT, without a scheme or a path\n"},
    {"connect_to = [ \"a:1:b\" ];", L1 "connect_to: \"a:1:b\" must be "
                                       "HOST:PORT:CONNECT-HOST:CONNECT-PORT, each perhaps empty\n"},
    {"connect_to = [ \"a:1:b:x\" ];", L1
     "connect_to: \"a:1:b:x\" must be HOST:PORT:CONNECT-HOST:CONNECT-PORT, each perhaps empty\n"},
    {"proxy: { http_proxy = \"ftp://u:hidden@h\"; };", L1 PROXY_FORM},
    {"proxy: { http_proxy = \"http://u:hidden@[zz::1]:1\"; };", L1 PROXY_FORM},
    {"proxy: { http_proxy = \"http://u:hidden@[::1%]:1\"; };", L1 PROXY_FORM},
    {"proxy: { http_proxy = \"http://u:hid@den@h:1\"; };", L1 PROXY_ESCAPES},
    {"proxy: { http_proxy = \"http://u:hid den@h:1\"; };", L1 PROXY_ESCAPES},
    {"proxy: { http_proxy = \"http://u:hidden%0A@h:1\"; };",
     L1 "proxy.http_proxy: the value must not have control bytes in user and password\n"},
    {"proxy: { http_proxy = \"http://u:hid/den@h:1\"; };", L1 PROXY_ESCAPES},
    {"proxy: { http_proxy = \"u:hidden?@h\"; };", L1 PROXY_ESCAPES},
    {"proxy: { http_proxy = \"http://h/p@q\"; };", L1 PROXY_ESCAPES},
    {"security: { allowed_hosts = [ \"*.x\", \"a*\" ]; };",
     L1 "security.allowed_hosts: \"a*\" must be HOST, HOST:PORT or *.DOMAIN\n"},
    {"security: { allowed_origins = [ \"https://a/b\" ]; };",
     L1 "security.allowed_origins: \"https://a/b\" must be http:// or https://, a host and perhaps "
        ":PORT, without a path\n"},
    {"security: { client_tokens = [ \"with space\" ]; };",
     L1 "security.client_tokens: the value must be printable ASCII without spaces\n"},
    {"profiles: { default: { provider = \"static\"; access_key = \"AK/1\"; secret_key = \"s\"; }; "
     "};",
     L1 "profiles.default.access_key: the value must not hold / or ,\n"},
    {"clients = ( { name = \"a\"; access_key = \"k,1\"; secret_key = \"s\"; } );",
     L1 "clients[0].access_key: the value must not hold / or ,\n"},
    {"security: { allowed_uids = [ 65534 ]; };",
     L1 "security.allowed_uids: 65534 stands for every user a user namespace doesn't know and is "
        "never accepted\n"},
    {"security: { allowed_uids = [ -1 ]; };",
     L1 "security.allowed_uids: must be between 0 and 4294967294, not -1\n"},
};

#define FORMS                                                                                      \
    "write HOST:PORT, :PORT, PORT, [IPV6]:PORT, unix:/path (up to 107 bytes), systemd or "         \
    "systemd:NAME\n"
#define REMOTE                                                                                     \
    "is not a loopback address: other machines could sign with your keys; it needs "               \
    "security.allow_remote = true, and clients or client_tokens\n"

/* Listeners, groups and what only makes sense together. */
static const struct broken together[] = {
    {"listen = [ ];", L1 "listen: nothing to listen on\n"},
    {"listen = [ \"127.0.0.1:99999\" ];",
     L1 "listen[0].address: \"127.0.0.1:99999\" is not an address; " FORMS},
    {"listen = [ \"localhost\" ];",
     L1 "listen[0].address: \"localhost\" is not an address; " FORMS},
    {"listen = [ \"unix:rel\" ];", L1 "listen[0].address: \"unix:rel\" is not an address; " FORMS},
    {"listen = ( { mode = \"0600\"; } );", L1 "listen[0]: address is missing\n"},
    {"listen = ( 8750 );",
     L1 "listen[0]: must be a group such as ( { address = "
        "\"unix:/run/sigferry/sock\"; mode = \"0660\"; group = \"app\"; } )\n"},
    {"listen = ( { adress = \":1\"; } );",
     L1 "listen[0].adress: unknown key; did you mean address?\n"},
    {"listen = ( { address = \"unix:/a\"; mode = \"0888\"; } );",
     L1 "listen[0].mode: \"0888\" must be octal permissions such as 0660\n"},
    {"listen = ( { address = \"unix:/a\"; mode = 0660; } );",
     L1 "listen[0].mode: must be a string in double quotes, not a number\n"},
    {"listen = ( { address = \":1\"; mode = \"0660\"; } );",
     L1 "listen[0].mode: only a Unix socket has mode, owner and group\n"},
    {"listen = ( { address = \":1\"; allowed_gids = [ 1 ]; } );",
     L1 "listen[0].allowed_gids: works on Unix sockets only\n"},
    {"listen = [ \":1\", \":1\" ];", L1 "listen[1].address: the same as in listen[0]\n"},
    {"listen = [ \"0.0.0.0:1\" ];", L1 "listen[0].address: \"0.0.0.0:1\" " REMOTE},
    {"listen = [ \"[::]:1\" ];", L1 "listen[0].address: \"[::]:1\" " REMOTE},
    {"listen = [ \"10.0.0.1:1\" ]; security: { client_tokens = [ \"t\" ]; };",
     L1 "listen[0].address: \"10.0.0.1:1\" " REMOTE},
    {"listen = [ \"127.0.0.1.evil.org:1\" ];",
     L1 "listen[0].address: \"127.0.0.1.evil.org:1\" " REMOTE},
    {"listen = [ \"0.0.0.0:1\" ]; security: { allow_remote = true; allowed_uids = [ 1 ]; };",
     L1 "listen[0].address: \"0.0.0.0:1\" is open to other machines and needs clients or "
        "client_tokens\n"},
    {"admin: { listen = \"0.0.0.0:1\"; };", L1 "admin.listen: \"0.0.0.0:1\" " REMOTE},
    {"admin: { listen = \"nope\"; };", L1 "admin.listen: \"nope\" is not an address; " FORMS},
    {"admin: { listen = \"127.0.0.1:8750\"; };",
     L1 "admin.listen: port 8750 is taken by listen \"localhost:8750\"\n"},
    {"listen = [ \"unix:/a\" ]; admin: { listen = \"unix:/a\"; };",
     L1 "admin.listen: \"unix:/a\" is a listener's address as well\n"},
    {"proxy: { https_proxy = \"http://localhost:8750\"; };",
     L1 "proxy.https_proxy: is our own listener \"localhost:8750\": requests would go in a circle; "
        "unset the variable or set proxy.https_proxy = \"\"\n"},
    {"profile = \"prod\"; profiles: { test: { }; live: { }; };",
     L1 "profile: there is no profile \"prod\"; configured: \"test\", \"live\"\n"},
    {"profiles: { x: { }; };",
     "default: profile: there is no profile \"default\"; configured: \"x\"\n"},
    {"listen = ( { address = \":1\"; profile = \"p\"; policy = \"q\"; } );",
     L1 "listen[0].profile: there is no profile \"p\"; configured: \"default\"\n" L1
        "listen[0].policy: there is no policy \"q\"\n"},
    {"policy = \"ro\";", L1 "policy: there is no policy \"ro\"\n"},
    {"policies = ( { name = \"ro\"; allow = [ \"ecs:*\" ]; } );",
     L1 "policies[0]: nothing refers to the policy \"ro\", so it would protect nothing; name it in "
        "the global policy key, in a listener or in a client\n"},
    {"policy = \"ro\"; policies = ( { name = \"ro\"; } );",
     L1 "policies[0]: the policy \"ro\" has neither allow nor deny nor regions\n"},
    {"policy = \"ro\"; policies = ( { name = \"ro\"; allow = [ \"ecs\" ]; } );",
     L1 "policies[0].allow: \"ecs\" must be \"service:action\" with exactly one colon, * for any "
        "text\n"},
    {"policy = \"ro\"; policies = ( { name = \"ro\"; deny = [ \"a:b:c\" ]; } );",
     L1 "policies[0].deny: \"a:b:c\" must be \"service:action\" with exactly one colon, * for any "
        "text\n"},
    {"policy = \"a\"; policies = ( { name = \"a\"; deny = [\"a:b\"]; }, { name = \"a\"; deny = "
     "[\"a:b\"]; } );",
     L1 "policies[1].name: the same as in policies[0]\n"},
    {"policies = ( { allow = [ \"a:b\" ]; } );", L1 "policies[0]: name is missing\n"},
    {"policies = ( { name = \"\"; } );", L1 "policies[0]: name is missing\n"},
    {"policies = ( \"ro\" );", L1 "policies[0]: must be a group such as ( { name = \"ro\"; allow = "
                                  "[ \"ecs:Describe*\", \"iam:List*\" ]; } )\n"},
    {"clients = ( { name = \"a\"; access_key = \"k\"; } );",
     L1 "clients[0]: secret_key is missing\n"},
    {"clients = ( { name = \"a\"; access_key = \"k\"; secret_key = \"s\"; }, { name = \"b\"; "
     "access_key = \"k\"; secret_key = \"s\"; } );",
     L1 "clients[1].access_key: the same as in clients[0]\n"},
    {"profiles: { default: { }; x: { }; }; clients = ( { name = \"a\"; access_key = \"k\"; "
     "secret_key = \"s\"; profile = \"default\"; policy = \"p\"; } ); policies = ( { name = \"p\"; "
     "allow = [\"a:b\"]; profile = \"x\"; } );",
     L1 "clients[0].profile: the client is pinned to profile \"default\", its policy to \"x\"\n"},
    {"rate_limits = ( { match = \"ecs:*\"; } );", L1 "rate_limits[0]: rate is missing\n"},
    {"rate_limits = ( { match = \"ecs\"; rate = 1; } );", L1
     "rate_limits[0].match: \"ecs\" must be \"service:action\" with exactly one colon, * for any "
     "text\n"},
    {"rate_limits = ( { match = \"a:b\"; rate = 0; } );",
     L1 "rate_limits[0].rate: must be between 0.001 and 1000000, not 0\n"},
    {"routes = ( { service = \"ecs\"; } );", L1 "routes[0]: prefix is missing\n"},
    {"routes = ( { prefix = \"ecs\"; service = \"ecs\"; } );",
     L1 "routes[0].prefix: \"ecs\" must start with /\n"},
    {"routes = ( { prefix = \"/ecs/\"; service = \"ecs\"; } );",
     L1 "routes[0].prefix: \"/ecs/\" must not end with /\n"},
    {"routes = ( { prefix = \"/a/../b\"; service = \"ecs\"; } );",
     L1 "routes[0].prefix: \"/a/../b\" must not hold //, /. or /..\n"},
    {"routes = ( { prefix = \"/a%20\"; service = \"ecs\"; } );",
     L1 "routes[0].prefix: \"/a%20\" must be a plain path without ?, #, %, \\ or spaces\n"},
    {"routes = ( { prefix = \"/a\"; } );",
     L1 "routes[0]: says nothing: give service, region, profile or strip_prefix\n"},
    {"routes = ( { prefix = \"/a\"; service = \"x\"; }, { prefix = \"/a\"; service = \"y\"; } );",
     L1 "routes[1].prefix: the same as in routes[0]\n"},
    {"endpoint: { services = ( { host = \"h\"; } ); };",
     L1 "endpoint.services[0]: service is missing\n"},
    {"endpoint: { services = ( { service = \"a\"; }, { service = \"a\"; } ); };",
     L1 "endpoint.services[1].service: the same as in endpoint.services[0]\n"},
    {"retry: { min_retry_delay_ms = 500; max_retry_delay_ms = 100; };", L1
     "retry.min_retry_delay_ms: min_retry_delay_ms (500) is more than max_retry_delay_ms (100)\n"},
    {"retry: { max_retry_delay_ms = 10; };",
     L1 "retry.max_retry_delay_ms: min_retry_delay_ms (30) is more than max_retry_delay_ms (10)\n"},
    {"retry: { backoff_strategy = \"custom\"; };",
     L1 "retry.backoff_strategy: \"custom\" needs retry.backoff_delays_ms\n"},
    {"retry: { backoff_delays_ms = [ 1 ]; };",
     L1 "retry.backoff_delays_ms: counts only with retry.backoff_strategy = \"custom\"\n"},
    {"limits: { body_memory = \"2M\"; buffered_total = \"1M\"; };",
     L1 "limits.body_memory: limits.body_memory is more than limits.buffered_total\n"},
    {"tls: { cert_file = \"/etc/passwd\"; };", L1 "tls.cert_file: needs tls.key_file as well\n"},
    {"tls: { key_file = \"/nonexistent\"; };",
     L1 "tls.key_file: needs tls.cert_file as well\n" L1
        "tls.key_file: cannot open \"/nonexistent\": No such file or directory\n"},
    {"tls: { ca_file = \"/etc\"; };", L1 "tls.ca_file: \"/etc\" is not a regular file\n"},
    {"endpoint: { bootstrap_region_list = \"/nonexistent\"; };",
     L1 "endpoint.bootstrap_region_list: cannot open \"/nonexistent\": No such file or "
        "directory\n"},
};

#define PROVIDERS                                                                                  \
    "\"default\", \"static\", \"file\", \"env\", \"oidc\", \"cli\", \"ecs\", \"assume_role\", "    \
    "\"assume_role_saml\""

static const struct broken profiles[] = {
    {"profiles: { default: { provider = \"asume_role\"; }; };",
     L1 "profiles.default.provider: must be one of " PROVIDERS
        ", not \"asume_role\"; did you mean assume_role?\n"},
    {"profiles: { default: { acess_key = \"x\"; }; };",
     L1 "profiles.default.acess_key: unknown key; did you mean access_key?\n"},
    {"profiles: { default: { provider = \"static\"; access_key = \"a\"; }; };",
     L1 "profiles.default: provider \"static\" needs secret_key\n"},
    {"profiles: { default: { provider = \"file\"; }; };",
     L1 "profiles.default: provider \"file\" needs file\n"},
    {"profiles: { default: { provider = \"env\"; file = \"/x\"; }; };",
     L1 "profiles.default.file: is no key of provider \"env\", which has none\n"},
    {"profiles: { default: { access_key = \"x\"; }; };",
     L1 "profiles.default.access_key: is no key of provider \"default\"; its keys are" STS_KEYS},
    {"profiles: { default: { provider = \"ecs\"; role_name = \"r\"; duration_seconds = 3600; }; };",
     L1
     "profiles.default.duration_seconds: is no key of provider \"ecs\"; its keys are role_name\n"},
    {"profiles: { default: { provider = \"assume_role\"; }; };",
     L1 "profiles.default: provider \"assume_role\" needs role_trn, or role_name and account_id\n"},
    {"profiles: { default: { provider = \"assume_role\"; role_name = \"r\"; }; };",
     L1 "profiles.default: provider \"assume_role\" needs role_trn, or role_name and account_id\n"},
    {"profiles: { default: { provider = \"assume_role\"; role_trn = \"trn:iam::1:role/r\"; "
     "role_name = \"r\"; account_id = \"1\"; }; };",
     L1 "profiles.default: give role_trn, or role_name and account_id, not both\n"},
    {"profiles: { default: { provider = \"assume_role\"; role_trn = \"role/r\"; }; };",
     L1 "profiles.default.role_trn: \"role/r\" must be a resource name such as "
        "trn:iam::ACCOUNT:role/NAME\n"},
    {"profiles: { default: { provider = \"assume_role\"; role_trn = \"trn:x\"; source_profile = "
     "\"base\"; }; };",
     L1 "profiles.default.source_profile: there is no profile \"base\"\n"},
    {"profiles: { default: { provider = \"assume_role\"; role_trn = \"trn:x\"; source_profile = "
     "\"default\"; }; };",
     L1 "profiles.default.source_profile: leads back to the profile \"default\" itself\n"},
    {"profiles: { default: { }; a: { provider = \"assume_role\"; role_trn = \"trn:x\"; "
     "source_profile = \"b\"; };\n b: { provider = \"assume_role\"; role_trn = \"trn:x\"; "
     "source_profile = \"a\"; };\n c: { provider = \"assume_role\"; role_trn = \"trn:x\"; "
     "source_profile = \"a\"; }; };",
     L1 "profiles.a.source_profile: leads back to the profile \"a\" itself\n"
        "a.conf:2: profiles.b.source_profile: leads back to the profile \"b\" itself\n"},
    {"profiles: { default: { provider = \"oidc\"; duration_seconds = 60; }; };",
     L1 "profiles.default.duration_seconds: must be between 900 and 43200, not 60\n"},
    {"profiles: { default: { provider = \"assume_role_saml\"; }; };",
     L1 "profiles.default: provider \"assume_role_saml\" needs role_trn\n" L1
        "profiles.default: provider \"assume_role_saml\" needs saml_provider_trn\n" L1
        "profiles.default: provider \"assume_role_saml\" needs saml_response_file\n"},
    {"profiles: { default: { provider = \"static\"; access_key = \"a\"; secret_key = 5; }; };",
     L1 "profiles.default.secret_key: must be a string in double quotes, not a number\n"},
};

static void check_table(const struct broken *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct conf *c = load_text(v[i].text);
        ck_assert_msg(c == NULL, "accepted: %s", v[i].text);
        ck_assert_msg(strcmp(errors_text(), v[i].want) == 0, "%s\ngives\n%s\nnot\n%s", v[i].text,
                      errors_text(), v[i].want);
    }
}

START_TEST(wrong_keys_and_types)
{
    check_table(keys, ARRAY_LEN(keys));
}
END_TEST

START_TEST(wrong_values)
{
    check_table(values, ARRAY_LEN(values));
}
END_TEST

START_TEST(wrong_together)
{
    check_table(together, ARRAY_LEN(together));
}
END_TEST

START_TEST(wrong_profiles)
{
    check_table(profiles, ARRAY_LEN(profiles));
}
END_TEST

/* What lies just inside the rules above. */
START_TEST(the_other_side_of_each_rule)
{
    static const char *const fine[] = {
        "workers = 256; drain_timeout = 0; limits: { max_body = 4294967296; };",
        "listen = [ \"0.0.0.0:1\" ]; security: { allow_remote = true; client_tokens = [ \"t\" ]; "
        "};",
        "listen = ( { address = \"[::]:1\"; client_tokens = [ \"t\" ]; } ); security: { "
        "allow_remote = true; };",
        "listen = [ \"127.9.9.9:1\", \"[::1]:1\", \"[::ffff:127.0.0.1]:2\", \"a.localhost:3\", "
        "\"systemd\", \"systemd:x\", \"4\" ];",
        "listen = ( { address = \"unix:/a\"; mode = \"640\"; allowed_gids = [ 5 ]; } );",
        "listen = [ \"localhost:0\" ]; admin: { listen = \"localhost:0\"; };",
        "proxy: { https_proxy = \"http://localhost:8751\"; http_proxy = \"proxy.corp:8750\"; };",
        "proxy: { https_proxy = \"socks5h://u:p@[::1]:9/\"; http_proxy = "
        "\"u:p%2F%40%zx%1st%@h:1\"; };",
        "policies = ( { name = \"r\"; mode = \"record\"; } ); policy = \"r\";",
        "policies = ( { name = \"r\"; allow = [ \"*:*\" ]; } ); clients = ( { name = \"a\"; "
        "access_key = \"k\"; secret_key = \"s\"; policy = \"r\"; } );",
        "connect_to = [ \"::h:1\", \"h:443::\", \"[::1]:1:[::2]:2\" ];",
        "retry: { min_retry_delay_ms = 5; max_retry_delay_ms = 5; };",
        "retry: { backoff_strategy = \"custom\"; backoff_delays_ms = [ 0, 100 ]; };",
        "routes = ( { prefix = \"/\"; service = \"x\"; }, { prefix = \"/a/b.c\"; strip_prefix = "
        "true; } );",
        "endpoint: { host = \"[::1]:8443\"; scheme = \"http\"; };",
        "log: { format = \"%(asctime)s %% %(message)s\"; };",
        "log: { format = \"%%(name)s %(message)s\"; };",
        "security: { allowed_origins = [ \"https://a.b:8443\" ]; endpoint_overrides = ( "
        "\"*.volcengineapi.com\", \"h:1\" ); allowed_uids = [ 65533 ]; };",
        "profiles: { default: { provider = \"assume_role\"; role_trn = \"trn:iam::1:role/a\"; "
        "policy = \"{\\n\\\"x\\\": 1}\"; sts_scheme = \"http\"; sts_endpoint = \"h:1\"; }; };",
        "profiles = { }; region = \"\"; tls: { };",
        "timeouts: { connect_timeout = 5; read_timeout = 1e1; request_timeout = .5; };",
    };
    for (size_t i = 0; i < ARRAY_LEN(fine); i++)
        conf_unref(good(fine[i]));
}
END_TEST

START_TEST(all_errors_at_once)
{
    CK_ERRORS(load_text("regoin = 1;\nworkers = -1;\n\ntls: {\n  verify = true;\n};\n"),
              "a.conf:1: regoin: unknown key; did you mean region?\n"
              "a.conf:2: workers: must be between 0 and 256, not -1\n"
              "a.conf:5: tls.verify: unknown key; did you mean tls.verify_ssl?\n");
    set_env("SIGFERRY_WORKERS", "lots");
    set_env("VOLCENGINE_REGION", "a b");
    CK_ERRORS(load_set("nonsense", "retry.num_max_retrys=2"),
              "env VOLCENGINE_REGION: region: \"a b\" must be 1 to 64 letters, digits, _ or -\n"
              "env SIGFERRY_WORKERS: workers: must be a whole number, not \"lots\"\n"
              "flag --set: needs key=value, not \"nonsense\"\n"
              "flag --set: retry.num_max_retrys: unknown key; did you mean "
              "retry.num_max_retries?\n");
}
END_TEST

START_TEST(errors_are_bounded)
{
    char text[16384];
    size_t n = 0;
    for (int i = 0; i < 150; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "zzz%d = 1;\n", i);
    ck_assert_ptr_null(load_text(text));
    ck_assert_ptr_nonnull(strstr(errors_text(), "a.conf:100: zzz99: unknown key\n"));
    ck_assert_ptr_null(strstr(errors_text(), "a.conf:101:"));
    ck_assert_ptr_nonnull(strstr(errors_text(), "and 50 more errors\n"));
}
END_TEST

START_TEST(text_sources)
{
    CK_ERRORS(load_set("tls=x", "profiles.a=x"),
              "flag --set: tls: is a section; name one of its keys\n"
              "flag --set: profiles.a: name a key of the profile, as in profiles.a.provider\n");
    CK_ERRORS(load_set("profiles.a.provder=x", "profiles..provider=env"),
              "flag --set: profiles.a.provder: unknown key; did you mean provider?\n"
              "flag --set: profiles: a profile's name is empty\n");
    CK_ERRORS(load_set("policies=x", "routes=[1, 2"),
              "flag --set: policies: needs libconfig text such as ( { name = \"ro\"; allow = [ "
              "\"ecs:Describe*\", \"iam:List*\" ]; } )\n"
              "flag --set: routes: this [ is never closed\n");
    CK_ERRORS(load_set("routes=( { prefix = 1 } )", "retry.retry_status=[1, 2"),
              "flag --set: routes[0].prefix: must be a string in double quotes, not a number\n"
              "flag --set: retry.retry_status: this [ is never closed\n");
    CK_ERRORS(load_set("retry.retry_status=[500]; workers = 1", NULL),
              "flag --set: retry.retry_status: there is something after the value\n");
    CK_ERRORS(
        load_set("security.allowed_hosts=a,,b", "log.debug=signing,sining"),
        "flag --set: security.allowed_hosts: an element is empty\n"
        "flag --set: log.debug: must be one of \"request\", \"request_body\", \"request_id\", "
        "\"response\", \"response_body\", \"signing\", \"endpoint\", \"retries\", \"config\", "
        "not \"sining\"; did you mean signing?\n");
    CK_ERRORS(load_set("workers=", "drain_timeout=1e999"),
              "flag --set: workers: must be a whole number, not \"\"\n"
              "flag --set: drain_timeout: must be a number of seconds, not \"1e999\"\n");
    CK_ERRORS(load_set("bad\nkey=1", "=1"), "flag --set: \"bad\\x0akey\" is not a key\n"
                                            "flag --set: needs key=value, not \"=1\"\n");
    CK_ERRORS(load_set("routes=(\n@include \"/etc/passwd\"\n)", NULL),
              "flag --set: routes: @include works in files only\n");
}
END_TEST

#define REFUSED                                                                                    \
    "a secret may not stand on the command line, where other users can read it; put it into a "    \
    "file or the environment\n"

START_TEST(no_secrets_on_the_command_line)
{
    CK_ERRORS(load_set("profiles.default.secret_key=hunter2", "security.client_tokens=hunter2"),
              "flag --set: profiles.default.secret_key: " REFUSED
              "flag --set: security.client_tokens: " REFUSED);
    CK_ERRORS(load_set("clients=({name=\"a\";access_key=\"k\";secret_key=\"hunter2\";})",
                       "proxy.http_proxy=http://u:hunter2@h"),
              "flag --set: clients[0].secret_key: " REFUSED
              "flag --set: proxy.http_proxy: " REFUSED);
    conf_unref(load_set("proxy.http_proxy=http://user@h:1", NULL));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        wrong_keys_and_types,           wrong_values,       wrong_together,     wrong_profiles,
        the_other_side_of_each_rule,    all_errors_at_once, errors_are_bounded, text_sources,
        no_secrets_on_the_command_line,
    };
    return fixture_run("conf_errors", tests, ARRAY_LEN(tests));
}
