/* SPDX-License-Identifier: Apache-2.0 */
/* Opens and reads the files of the configuration and judges their owners and modes, always on the
 * opened descriptor. Never blocks on a FIFO, never reads more than CONF_FILE_MAX bytes. */
#include "conf/conf_int.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_all(int fd, struct buf *out)
{
    for (;;) {
        if (!buf_reserve(out, 4096))
            return false;
        ssize_t got = read(fd, out->p + out->n, out->size - out->n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        out->n += (size_t)got;
    }
}

/* Files the service manager hands over carry modes of their own making. */
static bool exempt(const char *path)
{
    struct str dir = str_of(conf_env_get("CREDENTIALS_DIRECTORY")), p = str_of(path);
    return dir.n > 1 && str_starts(p, dir) && p.n > dir.n && p.p[dir.n] == '/' &&
           !strstr(path, "/../");
}

struct conf_file *conf_file_read(struct conf_loader *l, const char *path,
                                 const struct conf_pos *pos, const char *key, struct buf *out)
{
    char q[CONF_QUOTE_MAX];
    struct conf_file *file = NULL;
    struct stat st;

    if (++l->nfiles > CONF_INCLUDE_FILES) {
        conf_error(l, pos, key, "more than %d files", CONF_INCLUDE_FILES);
        return NULL;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    conf_quote(str_of(path), q);
    if (fd < 0) {
        conf_error(l, pos, key, "cannot open %s: %s", q, strerror(errno));
        return NULL;
    }
    if (fstat(fd, &st) != 0)
        conf_error(l, pos, key, "cannot look at %s: %s", q, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        conf_error(l, pos, key, "%s is not a regular file", q);
    else if (st.st_size > CONF_FILE_MAX || !read_all(fd, out) || out->n > CONF_FILE_MAX)
        conf_error(l, pos, key, "%s cannot be read or is larger than %d bytes", q, CONF_FILE_MAX);
    else
        file = arena_alloc(&l->tmp, sizeof *file);
    (void)close(fd);
    if (!file)
        return NULL;
    struct str name = arena_dup(&l->conf->arena, str_of(path));
    if (!name.p) {
        conf_error(l, pos, key, "out of memory");
        return NULL;
    }
    *file = (struct conf_file){.next = l->files,
                               .path = name.p,
                               .mode = st.st_mode,
                               .uid = st.st_uid,
                               .exempt = exempt(path)};
    l->files = file;
    return file;
}

static void file_check(struct conf_loader *l, const struct conf_file *f, bool strict, bool any)
{
    struct conf_pos pos = {.source = CONF_FILE, .name = f->path};
    unsigned bits = (unsigned)(f->mode & 07777);

    if (f->exempt)
        return;
    if (f->secret && strict) {
        if (f->uid != 0 && f->uid != geteuid())
            conf_error(l, &pos, "",
                       "it holds secrets and belongs to user %u; it must belong to user %u or root",
                       (unsigned)f->uid, (unsigned)geteuid());
        if (bits & 077)
            conf_error(l, &pos, "",
                       "it holds secrets and its mode is %04o; make it 0600 (chmod 600) or set "
                       "security.strict_file_permissions = false",
                       bits);
        if (bits & 077)
            return;
    }
    if (any && (bits & 022))
        conf_error(l, &pos, "",
                   "others than its owner may write it, its mode is %04o; use chmod go-w", bits);
}

void conf_files_check(struct conf_loader *l)
{
    bool strict = l->conf->security.strict_file_permissions;
    struct conf_pos pos = conf_origin_find(l->conf, "security.strict_file_permissions");
    /* Whoever may write the file may also write the switch into it: only from outside does it
     * silence the check against that. */
    bool any = strict || pos.source == CONF_FILE;

    for (const struct conf_file *f = l->files; f; f = f->next)
        file_check(l, f, strict, any);
}

static bool exists(const char *path)
{
    struct stat st;
    /* Anything but "not there" is worth the error that opening it gives. */
    return stat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* The per-user file by the XDG base directory rules; NULL when there is none. */
static const char *user_file(struct conf_loader *l)
{
    const char *xdg = conf_env_get("XDG_CONFIG_HOME"), *home = conf_env_get("HOME");
    struct str path = {NULL, 0};

    if (xdg && xdg[0] == '/')
        path = arena_printf(&l->tmp, "%s/sigferry/sigferry.conf", xdg);
    else if (home && home[0] == '/')
        path = arena_printf(&l->tmp, "%s/.config/sigferry/sigferry.conf", home);
    return path.p && exists(path.p) ? path.p : NULL;
}

const char *conf_file_choose(struct conf_loader *l, const struct conf_args *args,
                             struct conf_pos *pos)
{
    static const char system_file[] = "/etc/sigferry/sigferry.conf";
    const char *env = conf_env_get("SIGFERRY_CONFIG");

    if (args->no_file)
        return NULL;
    if (args->config) {
        *pos = (struct conf_pos){.source = CONF_FLAG, .name = "--config"};
        return args->config;
    }
    if (env && *env) {
        *pos = (struct conf_pos){.source = CONF_ENV, .name = "SIGFERRY_CONFIG"};
        return env;
    }
    *pos = (struct conf_pos){.source = CONF_DEFAULT, .name = ""};
    const char *user = user_file(l);
    if (user)
        return user;
    return exists(system_file) ? system_file : NULL;
}

/* One region a line; blank lines and lines that start with # are passed over. */
static void region_lines(struct conf_loader *l, const struct conf_file *file, struct str text,
                         struct str *out, size_t *n, size_t max)
{
    struct conf_pos pos = {.source = CONF_FILE, .name = file->path};
    char q[CONF_QUOTE_MAX];

    while (text.p) {
        struct str line = str_cut(&text, '\n');
        pos.line++;
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        line = str_trim(line);
        if (line.n == 0 || line.p[0] == '#')
            continue;
        if (!endpoint_is_label(line)) {
            conf_error(l, &pos, "endpoint.bootstrap_region_list", "%s is not a region's name",
                       conf_quote(line, q));
        } else if (*n == max) {
            conf_error(l, &pos, "endpoint.bootstrap_region_list", "more than %zu regions", max);
            return;
        } else {
            out[*n] = arena_dup(&l->conf->arena, line);
            *n += out[*n].p != NULL;
        }
    }
}

void conf_regions_load(struct conf_loader *l)
{
    enum { LINES_MAX = 4096 };
    static const char key[] = "endpoint.bootstrap_region_list";
    struct conf *c = l->conf;
    struct conf_pos pos = conf_origin_find(c, key);
    const char *path = c->endpoint.bootstrap_region_list;
    const struct conf_strs *given = &c->endpoint.custom_bootstrap_region;
    size_t max = given->n + (*path ? LINES_MAX : 0), n = 0;

    if (max == 0)
        return;
    struct str *v = arena_alloc(&c->arena, max * sizeof *v);
    if (!v) {
        conf_error(l, &pos, key, "out of memory");
        return;
    }
    for (; n < given->n; n++)
        v[n] = str_of(given->v[n]);
    if (*path) {
        struct buf text;
        buf_init(&text, CONF_READ_MAX);
        struct conf_file *file = conf_file_read(l, path, &pos, key, &text);
        if (file)
            region_lines(l, file, buf_str(&text), v, &n, max);
        buf_free(&text);
    }
    c->endpoint.extra_regions = v;
    c->endpoint.nextra_regions = n;
}
