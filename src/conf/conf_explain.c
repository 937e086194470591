/* SPDX-License-Identifier: Apache-2.0 */
/* `check --explain`: the reference's text of a key, for a terminal instead of for Markdown. */
#include "conf/conf_int.h"

enum { WIDTH = 80 };

/* Without the marks: `…` of code, \| of a cell. */
static void put_unmarked(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '`' && !(s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == '|'))
            buf_putc(b, s.p[i]);
}

/* A paragraph in lines of at most WIDTH columns (a character beyond ASCII counts by its bytes). */
static void put_wrapped(struct buf *b, const char *indent, struct str text)
{
    struct buf plain;
    size_t column = 0;
    buf_init(&plain, CONF_TEXT_MAX);
    put_unmarked(&plain, text);
    struct str rest = buf_str(&plain);
    while (rest.p) {
        struct str word = str_cut(&rest, ' ');
        if (column && column + 1 + word.n > WIDTH) {
            buf_putc(b, '\n');
            column = 0;
        }
        if (column) {
            buf_putc(b, ' ');
            column++;
        } else {
            buf_putz(b, indent);
            column = strlen(indent);
        }
        buf_puts(b, word);
        column += word.n;
    }
    buf_putc(b, '\n');
    b->failed = b->failed || plain.failed;
    buf_free(&plain);
}

/* The next cell of a table's row, without the blanks around it. */
static struct str next_cell(struct str *row)
{
    for (size_t i = 0; i < row->n; i++) {
        if (row->p[i] != '|' || (i && row->p[i - 1] == '\\'))
            continue;
        struct str cell = str_trim(str_n(row->p, i));
        row->p += i + 1;
        row->n -= i + 1;
        return cell;
    }
    struct str cell = str_trim(*row);
    *row = (struct str){NULL, 0};
    return cell;
}

/* | `name` | type | default | help | */
static void put_table_row(struct buf *b, struct str row)
{
    struct buf head;
    (void)next_cell(&row); /* before the first bar */
    struct str name = next_cell(&row), type = next_cell(&row), standard = next_cell(&row);
    struct str help = next_cell(&row);
    buf_init(&head, CONF_TEXT_MAX);
    buf_printf(&head, "%.*s: %.*s; %s%.*s", STR_ARG(name), STR_ARG(type),
               str_eq(standard, STR("required")) ? "" : "default ", STR_ARG(standard));
    put_wrapped(b, "  ", buf_str(&head));
    put_wrapped(b, "      ", help);
    b->failed = b->failed || head.failed;
    buf_free(&head);
}

void conf_plain_text(struct buf *out, struct str markdown)
{
    while (markdown.p) {
        struct str line = str_cut(&markdown, '\n');
        if (str_starts(line, STR("### ")))
            put_wrapped(out, "", str_n(line.p + 4, line.n - 4));
        else if (str_starts(line, STR("| key |")) || str_starts(line, STR("|---")))
            continue;
        else if (str_starts(line, STR("|")))
            put_table_row(out, line);
        else if (line.n || markdown.p)
            put_wrapped(out, "", line);
    }
}
