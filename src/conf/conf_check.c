/* SPDX-License-Identifier: Apache-2.0 */
/* The form of single strings: addresses, hosts, patterns, names. Each judge gets the value and says
 * what is wrong with it, as a sentence that goes on after the quoted value. Pure. */
#include "conf/conf_int.h"
#include "http/uri.h"

static bool no(struct buf *why, const char *reason)
{
    buf_putz(why, reason);
    return false;
}

/* Whether all of s consists of letters, digits and the extra characters. */
static bool made_of(struct str s, const char *extra)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr(extra, c))))
            return false;
    }
    return true;
}

static bool is_port(struct str s, unsigned *port)
{
    uint64_t v;
    if (s.n > 5 || !str_u64(s, 65535, &v))
        return false;
    *port = (unsigned)v;
    return true;
}

/* A host name, an IPv4 address, or (bracketed) an IPv6 address without its brackets, perhaps with
 * the %ZONE of a link-local one. */
static bool is_host(struct str s, bool bracketed)
{
    if (s.n == 0 || s.n > 253)
        return false;
    if (bracketed) {
        struct str zone = s, address = str_cut(&zone, '%');
        return uri_is_ipv6(address) && (!zone.p || (zone.n && made_of(zone, "-_.")));
    }
    return made_of(s, "-_.") && s.p[0] != '.' && s.p[0] != '-';
}

/* Cuts HOST[:PORT]; *has_port says whether there was a colon. */
static bool host_port(struct str s, struct str *host, bool *bracketed, bool *has_port,
                      unsigned *port)
{
    *bracketed = s.n && s.p[0] == '[';
    *port = 0;
    if (*bracketed) {
        s.p++, s.n--;
        if (!s.n || !memchr(s.p, ']', s.n))
            return false;
        *host = str_cut(&s, ']');
        *has_port = s.n > 0;
        if (s.n && s.p[0] != ':')
            return false;
        if (s.n)
            s.p++, s.n--;
    } else {
        *host = str_cut(&s, ':');
        *has_port = s.p != NULL;
    }
    if (*has_port && !is_port(s, port))
        return false;
    return host->n == 0 || is_host(*host, *bracketed);
}

static bool is_loopback(struct str host)
{
    struct str v4 = host;
    unsigned octet;

    if (str_ieq(host, STR("localhost")) || str_iends(host, STR(".localhost")) ||
        str_eq(host, STR("::1")))
        return true;
    if (str_istarts(v4, STR("::ffff:")))
        v4.p += 7, v4.n -= 7;
    if (!str_starts(v4, STR("127.")))
        return false;
    for (int i = 0; i < 4; i++)
        if (!is_port(str_cut(&v4, '.'), &octet) || octet > 255)
            return false;
    return v4.p == NULL;
}

bool conf_address_parse(struct str s, struct conf_address *out)
{
    bool bracketed, has_port;

    *out = (struct conf_address){.kind = CONF_ADDR_TCP, .loopback = true};
    if (str_starts(s, STR("unix:"))) {
        out->kind = CONF_ADDR_UNIX;
        out->host = str_n(s.p + 5, s.n - 5);
        return out->host.n > 1 && out->host.n < 108 && out->host.p[0] == '/';
    }
    if (str_eq(s, STR("systemd")) || str_starts(s, STR("systemd:"))) {
        out->kind = CONF_ADDR_SYSTEMD;
        out->host = str_n(s.p + 7, s.n - 7);
        return out->host.n != 1;
    }
    if (is_port(s, &out->port))
        return true;
    if (!host_port(s, &out->host, &bracketed, &has_port, &out->port) || !has_port)
        return false;
    out->loopback = out->host.n == 0 || is_loopback(out->host);
    return !bracketed || out->host.n > 0;
}

bool conf_check_address(struct str v, struct buf *why)
{
    struct conf_address a;
    if (v.n == 0 || conf_address_parse(v, &a))
        return true;
    return no(why, "is not an address; write HOST:PORT, :PORT, PORT, [IPV6]:PORT, unix:/path (up "
                   "to 107 bytes), systemd or systemd:NAME");
}

bool conf_check_label(struct str v, struct buf *why)
{
    if (v.n == 0 || endpoint_is_label(v))
        return true;
    return no(why, "must be 1 to 64 letters, digits, _ or -");
}

bool conf_check_name(struct str v, struct buf *why)
{
    if (v.n < 64 && made_of(v, "_-."))
        return true;
    return no(why, "must be 1 to 63 letters, digits, _, - or .");
}

bool conf_check_nonempty(struct str v, struct buf *why)
{
    return v.n ? true : no(why, "must not be empty");
}

bool conf_check_hostport(struct str v, struct buf *why)
{
    struct str host;
    bool bracketed, has_port;
    unsigned port;

    if (v.n == 0)
        return true;
    if (host_port(v, &host, &bracketed, &has_port, &port) && host.n && (!has_port || port))
        return true;
    return no(why, "must be HOST or HOST:PORT, without a scheme or a path");
}

bool conf_check_host_pattern(struct str v, struct buf *why)
{
    struct buf unused;
    struct str rest = v;
    bool ok;

    if (str_starts(rest, STR("*.")))
        rest.p += 2, rest.n -= 2;
    buf_init(&unused, 512);
    ok = rest.n && rest.p[0] != '.' && conf_check_hostport(rest, &unused);
    buf_free(&unused);
    return ok || no(why, "must be HOST, HOST:PORT or *.DOMAIN");
}

bool conf_check_origin(struct str v, struct buf *why)
{
    struct str rest = v;
    struct buf unused;
    bool ok = false;

    if (str_starts(rest, STR("https://")))
        rest.p += 8, rest.n -= 8;
    else if (str_starts(rest, STR("http://")))
        rest.p += 7, rest.n -= 7;
    else
        rest.n = 0;
    buf_init(&unused, 512);
    ok = rest.n && conf_check_hostport(rest, &unused);
    buf_free(&unused);
    return ok || no(why, "must be http:// or https://, a host and perhaps :PORT, without a path");
}

/* USER[:PASSWORD] of a proxy, as libcurl can take it: it ends them, or the host, at the characters
 * named here, refuses blanks, and does without the proxy where an escape is a control byte. */
static bool proxy_user(struct str s, struct buf *why)
{
    for (size_t i = 0; i < s.n; i++) {
        if (memchr("/?#@ ", s.p[i], 5))
            return no(why, "must have / ? # @ and blanks in user and password written as "
                           "%2F %3F %23 %40 %20");
        if (s.p[i] == '%' && i + 2 < s.n && (s.p[i + 1] == '0' || s.p[i + 1] == '1') &&
            memchr("0123456789abcdefABCDEF", s.p[i + 2], 22))
            return no(why, "must not have control bytes in user and password");
    }
    return true;
}

bool conf_check_proxy(struct str v, struct buf *why)
{
    static const char *const schemes[] = {"http://", "https://", "socks5://", "socks5h://"};
    struct str rest = v, host;
    bool bracketed, has_port, known = false;
    unsigned port;

    if (v.n == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(schemes) && !known; i++) {
        struct str scheme = str_of(schemes[i]);
        known = str_istarts(v, scheme);
        if (known)
            rest = str_n(v.p + scheme.n, v.n - scheme.n);
    }
    for (size_t i = 0; !known && i + 3 <= v.n; i++)
        if (memcmp(v.p + i, "://", 3) == 0)
            rest.n = 0; /* another scheme */
    for (size_t i = rest.n; i > 0; i--)
        if (rest.p[i - 1] == '@') {
            if (!proxy_user(str_n(rest.p, i - 1), why))
                return false;
            rest = str_n(rest.p + i, rest.n - i);
            break;
        }
    if (rest.n && rest.p[rest.n - 1] == '/')
        rest.n--;
    if (host_port(rest, &host, &bracketed, &has_port, &port) && host.n && (!has_port || port))
        return true;
    return no(why, "must be [http://|https://|socks5://|socks5h://][USER:PASSWORD@]HOST[:PORT]");
}

/* One HOST of connect_to, up to the colon after it. */
static bool connect_host(struct str *rest)
{
    struct str host;
    if (rest->n && rest->p[0] == '[') {
        rest->p++, rest->n--;
        host = str_cut(rest, ']');
        if (!rest->n || rest->p[0] != ':' || !is_host(host, true))
            return false;
        rest->p++, rest->n--;
        return true;
    }
    host = str_cut(rest, ':');
    return rest->p && (host.n == 0 || is_host(host, false));
}

bool conf_check_connect_to(struct str v, struct buf *why)
{
    struct str rest = v, port;
    unsigned n;
    bool ok = connect_host(&rest);

    port = ok ? str_cut(&rest, ':') : v;
    ok = ok && rest.p && (port.n == 0 || (is_port(port, &n) && n));
    ok = ok && connect_host(&rest) && (rest.n == 0 || (is_port(rest, &n) && n));
    return ok || no(why, "must be HOST:PORT:CONNECT-HOST:CONNECT-PORT, each perhaps empty");
}

bool conf_check_pattern(struct str v, struct buf *why)
{
    struct str action = v, service = str_cut(&action, ':');
    if (v.n == 0)
        return true;
    if (action.p && service.n && action.n && v.n <= 256 && made_of(service, "_-.*") &&
        made_of(action, "_-.*"))
        return true;
    return no(why, "must be \"service:action\" with exactly one colon, * for any text");
}

bool conf_check_region_pattern(struct str v, struct buf *why)
{
    if (v.n <= 64 && made_of(v, "_-*"))
        return true;
    return no(why, "is not a region's name; * stands for any text");
}

bool conf_check_prefix(struct str v, struct buf *why)
{
    if (v.n == 0)
        return true;
    if (v.p[0] != '/')
        return no(why, "must start with /");
    if (v.n > 1 && v.p[v.n - 1] == '/')
        return no(why, "must not end with /");
    for (size_t i = 0; i < v.n; i++) {
        struct str rest = str_n(v.p + i, v.n - i), segment = rest;
        unsigned char c = (unsigned char)v.p[i];
        if (c == '?' || c == '#' || c == '%' || c == '\\' || c <= ' ' || c >= 0x7f)
            return no(why, "must be a plain path without ?, #, %, \\ or spaces");
        if (c != '/')
            continue;
        segment.p++, segment.n--;
        segment = str_cut(&segment, '/');
        if (v.n > 1 && (segment.n == 0 || str_eq(segment, STR(".")) || str_eq(segment, STR(".."))))
            return no(why, "must not hold //, /. or /..");
    }
    return true;
}

bool conf_check_format(struct str v, struct buf *why)
{
    static const struct str fields[] = {
        {"%(asctime)s", 11}, {"%(levelname)s", 13}, {"%(message)s", 11}};
    bool message = false;

    if (str_eq(v, STR("text")) || str_eq(v, STR("json")))
        return true;
    for (size_t i = 0; i < v.n; i++) {
        struct str rest = str_n(v.p + i, v.n - i);
        size_t f = 0;
        i += str_starts(rest, STR("%%")); /* a percent sign, whatever follows */
        if (!str_starts(rest, STR("%(")))
            continue;
        while (f < ARRAY_LEN(fields) && !str_starts(rest, fields[f]))
            f++;
        if (f == ARRAY_LEN(fields))
            return no(why, "may hold %(asctime)s, %(levelname)s and %(message)s, no other field");
        message |= f == 2;
    }
    return message || no(why, "must be text, json or a template with %(message)s in it");
}

bool conf_check_mode(struct str v, struct buf *why)
{
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] < '0' || v.p[i] > '7' || v.n > 4 || (v.n == 4 && v.p[0] != '0'))
            return no(why, "must be octal permissions such as 0660");
    return true;
}

bool conf_check_token(struct str v, struct buf *why)
{
    if (v.n > 8192)
        return no(why, "is longer than 8192 bytes");
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] <= ' ' || v.p[i] > '~')
            return no(why, "must be printable ASCII without spaces");
    return true;
}

bool conf_check_access_key(struct str v, struct buf *why)
{
    /* They end it in an Authorization header: nobody could be known by such a key. */
    if (v.n && (memchr(v.p, '/', v.n) || memchr(v.p, ',', v.n)))
        return no(why, "must not hold / or ,");
    return conf_check_token(v, why);
}

bool conf_check_trn(struct str v, struct buf *why)
{
    if (v.n == 0 || (v.n <= 512 && str_starts(v, STR("trn:")) && made_of(v, ":/_-.@+=,")))
        return true;
    return no(why, "must be a resource name such as trn:iam::ACCOUNT:role/NAME");
}
