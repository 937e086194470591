/* SPDX-License-Identifier: Apache-2.0 */
/* Provider "file": access_key, secret_key and session_token in a file of their own, JSON or
 * `key = value` lines. Relative names are looked up in $CREDENTIALS_DIRECTORY (systemd's
 * LoadCredential) when it is set. Errors name file and line, never what stands there. */
#include "cred/cred_json.h"
#include "cred/cred_provider.h"

#include <stdio.h>
#include <unistd.h>

enum { FILE_MAX = 64 * 1024, PATH_LEN = 4096 };

enum part { ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, PARTS };
static const char *const part_names[PARTS] = {"access_key", "secret_key", "session_token"};

static enum part part_of(struct str name)
{
    enum part i = ACCESS_KEY;
    while (i < PARTS && !str_eq(str_of(part_names[i]), name))
        i++;
    return i;
}

static struct cred *made(const struct str v[PARTS], struct err_detail *why)
{
    for (int i = ACCESS_KEY; i <= SECRET_KEY; i++)
        if (!v[i].n) {
            err_set(why, ERR_CREDENTIALS, "it has no %s", part_names[i]);
            return NULL;
        }
    return cred_new_plain("file", v[ACCESS_KEY], v[SECRET_KEY], v[SESSION_TOKEN], 0, why);
}

static struct cred *parse_json(struct str text, struct err_detail *why)
{
    struct str v[PARTS] = {{NULL, 0}};
    struct cred *c = NULL;
    struct cred_json *j = cred_json_parse(text, why);
    if (!j)
        return NULL;
    for (size_t n = 0; cred_json_name(j, n); n++)
        if (part_of(str_of(cred_json_name(j, n))) == PARTS) {
            err_set(why, ERR_CREDENTIALS,
                    "it has a member besides access_key, secret_key and session_token");
            goto out;
        }
    for (int i = 0; i < PARTS; i++) {
        const struct cred_json *member = cred_json_get(j, part_names[i]);
        if (member && !cred_json_text(member).p) {
            err_set(why, ERR_CREDENTIALS, "%s is not a string", part_names[i]);
            goto out;
        }
        v[i] = cred_json_member(j, part_names[i]);
    }
    c = made(v, why);
out:
    cred_json_free(j);
    return c;
}

static struct str unquote(struct str s)
{
    if (s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.n - 1] == s.p[0])
        return str_n(s.p + 1, s.n - 2);
    return s;
}

static struct cred *parse_lines(struct str text, struct err_detail *why)
{
    struct str v[PARTS] = {{NULL, 0}};
    bool seen[PARTS] = {false};
    for (unsigned no = 1; text.p; no++) {
        struct str line = str_cut(&text, '\n');
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        line = str_trim(line);
        if (!line.n || line.p[0] == '#' || line.p[0] == ';')
            continue;
        struct str name = str_cut(&line, '=');
        enum part i = part_of(str_trim(name));
        if (!line.p || i == PARTS || seen[i]) {
            err_set(why, ERR_CREDENTIALS, "line %u: %s", no,
                    !line.p      ? "expected key = value"
                    : i == PARTS ? "the key is none of access_key, secret_key, session_token"
                                 : "the key stands there twice");
            return NULL;
        }
        seen[i] = true;
        v[i] = unquote(str_trim(line));
    }
    return made(v, why);
}

struct cred *cred_file_parse(struct str text, struct err_detail *why)
{
    size_t i = 0;
    while (i < text.n && strchr(" \t\r\n", text.p[i]) && text.p[i])
        i++;
    if (i == text.n) {
        err_set(why, ERR_CREDENTIALS, "it is empty");
        return NULL;
    }
    return text.p[i] == '{' ? parse_json(text, why) : parse_lines(text, why);
}

/* What systemd puts into $CREDENTIALS_DIRECTORY is for us alone, under modes that look open. */
static bool handed_over(const char *path)
{
    struct str dir = str_of(cred_env_plain("CREDENTIALS_DIRECTORY")), p = str_of(path);
    return dir.n > 1 && str_starts(p, dir) && p.n > dir.n && p.p[dir.n] == '/' &&
           !strstr(path, "/../");
}

static bool locate(const char *file, char path[PATH_LEN], enum cred_read_rule *rule)
{
    bool home = file[0] == '~' && file[1] == '/';
    const char *dir = home             ? cred_env_plain("HOME")
                      : file[0] == '/' ? ""
                                       : cred_env_plain("CREDENTIALS_DIRECTORY");
    int n =
        snprintf(path, PATH_LEN, "%s%s%s", dir, dir[0] && !home ? "/" : "", home ? file + 1 : file);
    *rule = handed_over(path) ? CRED_READ_EXEMPT : CRED_READ_STRICT;
    return n > 0 && n < PATH_LEN;
}

static struct cred *fetch(struct cred_ctx *ctx, const struct conf_profile *p,
                          struct err_detail *why)
{
    char path[PATH_LEN];
    enum cred_read_rule rule;
    struct err_detail detail = {""};
    struct cred *c = NULL;
    struct buf text;
    if (!p->file[0]) {
        err_set(why, ERR_CREDENTIALS, "set profiles.%s.file", p->name);
        return NULL;
    }
    if (str_starts(str_of(p->file), STR("~/")) && !cred_env_plain("HOME")[0]) {
        err_set(why, ERR_CREDENTIALS,
                "profiles.%s.file: ~ is the home directory, but HOME is not set", p->name);
        return NULL;
    }
    if (!locate(p->file, path, &rule)) {
        err_set(why, ERR_CREDENTIALS, "profiles.%s.file: the path is too long", p->name);
        return NULL;
    }
    if (!ctx->conf->security.strict_file_permissions)
        rule = CRED_READ_EXEMPT;
    buf_init(&text, FILE_MAX);
    if (cred_read_file(path, rule, ctx->watch, &text, why)) {
        c = cred_file_parse(buf_str(&text), &detail);
        if (!c)
            err_set(why, ERR_CREDENTIALS, "%s: %s", path, detail.text);
    } else if (path[0] != '/' && access(path, F_OK) != 0) {
        detail = *why;
        err_set(why, ERR_CREDENTIALS,
                "%s ($CREDENTIALS_DIRECTORY, where it is looked for, is not set)", detail.text);
    }
    buf_wipe(&text);
    return c;
}

const struct cred_provider cred_provider_file = {.name = "file", .fetch = fetch};
