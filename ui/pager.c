/* pager.c - a page of text on the screen: made once for a width, moved over, searched, drawn.
 *
 * Owns the text and the index of its lines. Knows no keys and no model. One thread.
 */
#include "ui/pager.h"

#include <string.h>

#include <ncurses.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "ui/draw.h"

void qs_pager_init(struct qs_pager *p)
{
    *p = (struct qs_pager){ .text = QS_STR_INIT, .match = QS_PAGER_NONE, .rows = 1, .columns = 80 };
}

void qs_pager_free(struct qs_pager *p)
{
    qs_str_free(&p->text);
    qs_free(p->line);
    qs_pager_init(p);
}

static const char *line_at(const struct qs_pager *p, size_t i, size_t *n)
{
    *n = p->line[i + 1] - p->line[i] - 1;
    return p->text.data + p->line[i];
}

/* ---- the text and the place in it ---- */

void qs_pager_set(struct qs_pager *p, struct qs_str *text)
{
    qs_str_free(&p->text);
    p->text = *text;
    *text = (struct qs_str)QS_STR_INIT;
    p->n_lines = 0;
    for (size_t at = 0; at < p->text.len;) {
        if (!qs_grow(&p->line, &p->cap, p->n_lines + 2, sizeof *p->line))
            break; /* the rest is not shown */
        const char *end = memchr(p->text.data + at, '\n', p->text.len - at);
        p->line[p->n_lines++] = at;
        at = end ? (size_t)(end - p->text.data) + 1 : p->text.len + 1;
        p->line[p->n_lines] = at;
    }
    if (p->match >= p->n_lines)
        p->match = QS_PAGER_NONE;
    qs_pager_down(p, 0);
}

void qs_pager_size(struct qs_pager *p, size_t rows, size_t columns)
{
    p->rows = rows;
    p->columns = columns;
    qs_pager_down(p, 0);
}

void qs_pager_to(struct qs_pager *p, long line)
{
    const long last = (long)p->n_lines - (long)p->rows;
    p->top = (size_t)(line > last ? (last > 0 ? last : 0) : line < 0 ? 0 : line);
}

void qs_pager_down(struct qs_pager *p, long lines)
{
    qs_pager_to(p, (long)p->top + lines);
}

void qs_pager_right(struct qs_pager *p, long cells)
{
    const long left = (long)p->left + cells;
    p->left = left > 0 ? (size_t)left : 0;
}

/* ---- searching ---- */

/* Makes the first match of a line visible: down or up, and sideways. */
static void show(struct qs_pager *p, size_t line, const size_t span[2])
{
    size_t n;
    const char *s = line_at(p, line, &n);
    const size_t from = qs_utf8_width(s, span[0]), to = qs_utf8_width(s, span[1]);
    p->match = line;
    if (line < p->top || line >= p->top + p->rows)
        qs_pager_to(p, (long)line);
    if (from < p->left || to > p->left + p->columns)
        p->left = to <= p->columns ? 0 : from / 8 * 8;
}

/* A match over no character at all is none: there is nothing to be shown. */
static bool find_span(const struct qs_regex *re, const char *s, size_t n, size_t from, size_t span[2])
{
    struct qs_err e;
    while (qs_regex_find(re, s, n, from, span, &e) == 1) {
        if (span[1] > span[0])
            return true;
        if (span[1] >= n)
            return false;
        from = span[1];
        (void)qs_utf8_next(s, n, &from);
    }
    return false;
}

static bool find_from(struct qs_pager *p, const struct qs_regex *re, long from, long step)
{
    for (long i = from; i >= 0 && i < (long)p->n_lines; i += step) {
        size_t n, span[2];
        const char *s = line_at(p, (size_t)i, &n);
        if (find_span(re, s, n, 0, span)) {
            show(p, (size_t)i, span);
            return true;
        }
    }
    return false;
}

bool qs_pager_find(struct qs_pager *p, const struct qs_regex *re)
{
    return find_from(p, re, (long)p->top, 1);
}

bool qs_pager_find_next(struct qs_pager *p, const struct qs_regex *re, int step)
{
    const bool shown = p->match != QS_PAGER_NONE && p->match >= p->top && p->match < p->top + p->rows;
    if (shown)
        return find_from(p, re, (long)p->match + step, step);
    return find_from(p, re, step > 0 ? (long)p->top : (long)p->top - 1, step);
}

/* ---- drawing ---- */

static void mark(const struct qs_pager *p, int y, const char *s, size_t n, const struct qs_regex *re, attr_t how)
{
    size_t span[2], at = 0;
    while (at < n && find_span(re, s, n, at, span)) {
        const size_t column = qs_utf8_width(s, span[0]), width = qs_utf8_width(s + span[0], span[1] - span[0]);
        const size_t from = column > p->left ? column : p->left, edge = p->left + p->columns;
        const size_t to = column + width < edge ? column + width : edge;
        if (to > from)
            mvchgat(y, (int)(from - p->left), (int)(to - from), how, 0, NULL);
        at = span[1];
    }
}

void qs_pager_draw(const struct qs_pager *p, int y, const struct qs_regex *re)
{
    for (size_t i = p->top; i < p->n_lines && i < p->top + p->rows; i++, y++) {
        size_t n;
        const char *s = line_at(p, i, &n);
        qs_draw_text(y, 0, s, n, p->left, p->columns);
        if (re)
            mark(p, y, s, n, re, i == p->match ? A_REVERSE | A_BOLD : A_REVERSE);
    }
}
