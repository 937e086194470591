/* SPDX-License-Identifier: Apache-2.0 */
/* Doctor's look at files: who may read those with secrets and who may write the others, also where
 * the configuration waives the rule. Opens nothing for writing and reads no content. */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_LEN = 4096, KEY_LEN = 192 };

enum kind {
    PUBLIC, /* anybody may read it */
    SECRET, /* nobody else may */
    GIVEN,  /* somebody else's business: a service manager or an orchestrator put it there */
};

/* Whether the configuration file itself, not an included one or the environment, gives that key of
 * a group. */
static bool stands_in_file(const struct conf *c, const char *group, const char *key)
{
    char path[KEY_LEN], where[PATH_LEN + 32];
    size_t n = strlen(c->path);
    (void)snprintf(path, sizeof path, "%s.%s", group, key);
    (void)conf_where(c, path, where, sizeof where);
    return strncmp(where, c->path, n) == 0 && where[n] == ':';
}

static bool config_has_secrets(const struct conf *c)
{
    char group[KEY_LEN];
    bool has = c->security.nclient_tokens && stands_in_file(c, "security", "client_tokens");
    for (size_t i = 0; i < c->nclients; i++) {
        (void)snprintf(group, sizeof group, "clients[%zu]", i);
        has = has || stands_in_file(c, group, "secret_key");
    }
    for (size_t i = 0; i < c->nlisten; i++) {
        (void)snprintf(group, sizeof group, "listen[%zu]", i);
        has = has || (c->listen[i].nclient_tokens && stands_in_file(c, group, "client_tokens"));
    }
    for (size_t i = 0; i < c->nprofiles; i++) {
        const struct conf_profile *p = &c->profiles[i];
        (void)snprintf(group, sizeof group, "profiles.%s", p->name);
        has = has || (p->secret_key && stands_in_file(c, group, "secret_key")) ||
              (p->session_token && stands_in_file(c, group, "session_token"));
    }
    return has;
}

/* What is wrong with the opened file; NULL when nothing is. */
static const char *fault(const struct stat *st, enum kind kind, const char **cure)
{
    *cure = "name a regular file";
    if (!S_ISREG(st->st_mode))
        return "not a regular file";
    *cure = "chown it to the proxy's user or root, and run this as that user";
    if (kind == SECRET && st->st_uid != 0 && st->st_uid != geteuid())
        return "it belongs to another user";
    *cure = "chmod 600 it";
    if (kind == SECRET && (st->st_mode & 077))
        return "others may use the keys in it";
    *cure = "chmod go-w it";
    if (kind == PUBLIC && (st->st_mode & 022))
        return "others may change it";
    return NULL;
}

static void check(struct doctor *d, const char *key, const char *path, enum kind kind)
{
    struct stat st;
    const char *cure;
    if (!*path)
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool ok = fd >= 0 && fstat(fd, &st) == 0;
    int why = errno;
    if (fd >= 0)
        (void)close(fd);
    if (!ok) {
        doctor_say(d, DOCTOR_FAIL, "files", "%s: %s: %s; %s", key, path, strerror(why),
                   why == EACCES ? "let this user read it, or run as the one who may"
                                 : "create it, or correct the path");
        return;
    }
    const char *wrong = fault(&st, kind, &cure);
    unsigned mode = st.st_mode & 07777;
    if (!wrong)
        doctor_say(d, DOCTOR_OK, "files", "%s: %s, mode %04o", key, path, mode);
    else if (S_ISREG(st.st_mode) && !d->conf->security.strict_file_permissions)
        doctor_say(d, DOCTOR_OK, "files",
                   "%s: %s, mode %04o: %s, as security.strict_file_permissions = false allows", key,
                   path, mode, wrong);
    else
        doctor_say(d, DOCTOR_FAIL, "files", "%s: %s has mode %04o and user %u: %s; %s", key, path,
                   mode, (unsigned)st.st_uid, wrong, cure);
}

/* How a provider reads the name of its file. */
enum naming {
    AS_IS,
    HOME,   /* ~/ is the home directory */
    HANDED, /* that too, and plain names are of the service manager's directory */
};

/* The service manager's directory is the service's alone, whatever the modes in it say. */
static bool is_handed_over(const char *path, const char *directory)
{
    size_t n = strlen(directory);
    return strncmp(path, directory, n) == 0 && path[n] == '/' && !strstr(path, "/../");
}

static void check_named(struct doctor *d, const char *key, const char *file, enum kind kind,
                        enum naming naming)
{
    const char *credentials = naming == HANDED ? getenv("CREDENTIALS_DIRECTORY") : NULL;
    const char *home = getenv("HOME");
    char path[PATH_LEN];
    bool given = credentials && *credentials;
    int n;
    if (naming != AS_IS && file[0] == '~' && file[1] == '/')
        n = snprintf(path, sizeof path, "%s%s", home ? home : "", file + 1);
    else if (given && file[0] && file[0] != '/')
        n = snprintf(path, sizeof path, "%s/%s", credentials, file);
    else
        n = snprintf(path, sizeof path, "%s", file);
    if (n < 0 || (size_t)n >= sizeof path) {
        doctor_say(d, DOCTOR_FAIL, "files", "%s: the path is too long", key);
        return;
    }
    struct stat st;
    if (naming == HANDED && !given && file[0] && file[0] != '/' && file[0] != '~' &&
        stat(path, &st) != 0 && errno == ENOENT) {
        doctor_say(
            d, DOCTOR_FAIL, "files",
            "%s: %s: plain names are looked for in $CREDENTIALS_DIRECTORY, which systemd sets "
            "for the service alone; say CREDENTIALS_DIRECTORY=/etc/sigferry sigferry doctor, or "
            "give the whole path",
            key, path);
        return;
    }
    if (given && is_handed_over(path, credentials))
        kind = GIVEN;
    check(d, key, path, kind);
}

static void check_profile(struct doctor *d, const struct conf_profile *p)
{
    const struct {
        const char *key, *file;
        enum kind kind;
        enum naming naming;
    } files[] = {
        {"file", p->file, SECRET, HANDED},
        {"config_file", p->config_file, SECRET, HOME},
        {"oidc_token_file", p->oidc_token_file, GIVEN, AS_IS},
        {"saml_response_file", p->saml_response_file, SECRET, AS_IS},
    };
    char key[KEY_LEN];
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        (void)snprintf(key, sizeof key, "profiles.%s.%s", p->name, files[i].key);
        check_named(d, key, files[i].file, files[i].kind, files[i].naming);
    }
}

static bool names_file(const struct conf *c)
{
    bool any = c->path || *c->tls.ca_file || *c->tls.cert_file || *c->tls.key_file;
    for (size_t i = 0; i < c->nprofiles; i++) {
        const struct conf_profile *p = &c->profiles[i];
        any = any || *p->file || *p->config_file || *p->oidc_token_file || *p->saml_response_file;
    }
    return any;
}

void doctor_files(struct doctor *d)
{
    const struct conf *c = d->conf;
    if (!names_file(c)) {
        doctor_say(d, DOCTOR_SKIP, "files", "the configuration names none");
        return;
    }
    if (c->path)
        check(d, "configuration", c->path, config_has_secrets(c) ? SECRET : PUBLIC);
    for (size_t i = 0; i < c->nprofiles; i++)
        check_profile(d, &c->profiles[i]);
    check(d, "tls.ca_file", c->tls.ca_file, PUBLIC);
    check(d, "tls.cert_file", c->tls.cert_file, PUBLIC);
    check(d, "tls.key_file", c->tls.key_file, SECRET);
}
