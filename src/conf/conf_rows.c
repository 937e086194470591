/* SPDX-License-Identifier: Apache-2.0 */
/* Looks rows up by name, makes their environment twins and the hints for names that don't exist.
 * Pure. */
#include "base/nearest.h"
#include "conf/conf_int.h"

const struct conf_row *conf_row_find(const struct conf_row *rows, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(str_of(rows[i].name), name))
            return &rows[i];
    return NULL;
}

bool conf_row_section(struct str key)
{
    for (size_t i = 0; i < conf_nrows; i++) {
        struct str name = str_of(conf_rows[i].name);
        if (name.n > key.n && name.p[key.n] == '.' && str_starts(name, key))
            return true;
    }
    return false;
}

void conf_row_twin(const char *name, char out[CONF_TWIN_MAX])
{
    size_t n = (size_t)snprintf(out, CONF_TWIN_MAX, "SIGFERRY_%s", name);
    for (size_t i = 9; i < n && i < CONF_TWIN_MAX; i++) {
        char c = out[i];
        if (c >= 'a' && c <= 'z')
            out[i] = (char)(c - 32);
        else if ((c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '\0')
            out[i] = '_';
    }
}

static const char *hint(const struct nearest *n, const char *prefix, char out[CONF_HINT_MAX])
{
    out[0] = '\0';
    if (n->best.p)
        (void)snprintf(out, CONF_HINT_MAX, "; did you mean %s%.*s?", prefix, STR_ARG(n->best));
    return out;
}

static struct str last_part(struct str key)
{
    for (size_t i = key.n; i > 0; i--)
        if (key.p[i - 1] == '.')
            return str_n(key.p + i, key.n - i);
    return key;
}

const char *conf_row_hint(struct str key, char out[CONF_HINT_MAX])
{
    struct nearest n;

    /* The right name in the wrong section comes first: no spelling is nearer. */
    for (size_t i = 0; i < conf_nrows; i++) {
        struct str name = str_of(conf_rows[i].name);
        if (str_eq(last_part(name), last_part(key))) {
            (void)snprintf(out, CONF_HINT_MAX, "; did you mean %s?", conf_rows[i].name);
            return out;
        }
    }
    nearest_init(&n, key);
    for (size_t i = 0; i < conf_nrows; i++)
        nearest_offer(&n, str_of(conf_rows[i].name));
    for (size_t i = 0; !memchr(key.p, '.', key.n) && i < conf_nrows; i++) {
        struct str rest = str_of(conf_rows[i].name), section = str_cut(&rest, '.');
        nearest_offer(&n, section);
    }
    if (!n.best.p) {
        nearest_init(&n, last_part(key));
        for (size_t i = 0; i < conf_nrows; i++) {
            struct str before = n.best;
            nearest_offer(&n, last_part(str_of(conf_rows[i].name)));
            if (n.best.p != before.p)
                n.best = last_part(str_of(conf_rows[i].name));
        }
        for (size_t i = 0; n.best.p && i < conf_nrows; i++)
            if (last_part(str_of(conf_rows[i].name)).p == n.best.p)
                n.best = str_of(conf_rows[i].name);
    }
    return hint(&n, "", out);
}

const char *conf_group_hint(const struct conf_group *g, struct str key, char out[CONF_HINT_MAX])
{
    struct nearest n;
    nearest_init(&n, key);
    for (size_t i = 0; i < g->n; i++)
        nearest_offer(&n, str_of(g->rows[i].name));
    return hint(&n, "", out);
}

const char *conf_name_hint(const struct conf_name *names, struct str v, char out[CONF_HINT_MAX])
{
    struct nearest n;
    nearest_init(&n, v);
    for (const struct conf_name *at = names; at->name; at++)
        nearest_offer(&n, str_of(at->name));
    return hint(&n, "", out);
}

bool conf_url_has_password(struct str url)
{
    struct str rest = url;
    for (size_t i = 0; i + 3 <= url.n; i++)
        if (memcmp(url.p + i, "://", 3) == 0) {
            rest = str_n(url.p + i + 3, url.n - i - 3);
            break;
        }
    /* The last @ ends the user information, whatever a password may hold. */
    while (rest.n && rest.p[rest.n - 1] != '@')
        rest.n--;
    return rest.n && memchr(rest.p, ':', rest.n) != NULL;
}
