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
#include "ui/term.h"

void qs_pager_init(struct qs_pager *p)
{
    *p = (struct qs_pager){ .text = QS_STR_INIT, .match = QS_PAGER_NONE, .rows = 1, .columns = 80 };
}

void qs_pager_free(struct qs_pager *p)
{
    qs_str_free(&p->text);
    qs_free(p->line);
    qs_free(p->color);
    qs_pager_init(p);
}

static const char *line_at(const struct qs_pager *p, size_t i, size_t *n)
{
    *n = p->line[i + 1] - p->line[i] - 1;
    return p->text.data + p->line[i];
}

/* ---- colours ---- */

/* One number of an escape sequence, or -1; advances behind it and a semicolon. */
static int number(const char **s)
{
    int n = -1;
    for (; **s >= '0' && **s <= '9' && n < 1000; ++*s)
        n = (n < 0 ? 0 : n) * 10 + (**s - '0');
    *s += **s == ';';
    return n;
}

/* What stands behind 38 or 48: 5;N, a number of the palette, or 2;R;G;B, which curses calls by one number too. */
static int long_color(const char **s)
{
    const int kind = number(s);
    if (kind == 5)
        return number(s);
    const int r = number(s), g = number(s), b = number(s);
    return kind == 2 && r >= 0 && g >= 0 && b >= 0 ? r << 16 | g << 8 | b : -1;
}

/* Reads the sequence behind "ESC [" up to its "m"; returns what follows. */
static const char *read_color(const char *s, struct qs_pager_color *c)
{
    while (*s && *s != 'm') {
        const char *before = s;
        const int n = number(&s);
        if (n == 0)
            c->fg = c->bg = -1;
        else if (n == 38 || n == 48)
            *(n == 38 ? &c->fg : &c->bg) = long_color(&s);
        else if (n >= 30 && n <= 37)
            c->fg = n - 30;
        else if (n >= 40 && n <= 47)
            c->bg = n - 40;
        s += s == before; /* nothing of ours */
    }
    return s + (*s == 'm');
}

static void add_color(struct qs_pager *p, struct qs_pager_color c)
{
    if (c.fg < 0 || c.bg < 0 || c.from == c.to || !qs_grow(&p->color, &p->color_cap, p->n_colors + 1, sizeof *p->color))
        return; /* without colours the text says the same */
    p->color[p->n_colors++] = c;
}

/* Takes the escape sequences out of the text. */
static void take_colors(struct qs_pager *p)
{
    const char *in = p->text.data;
    char *out = p->text.data;
    struct qs_pager_color now = { 0, 0, -1, -1 };
    p->n_colors = 0;
    if (!p->text.len || !strchr(in, '\x1b'))
        return;
    while (*in) {
        if (in[0] == '\x1b' && in[1] == '[') {
            now.to = (size_t)(out - p->text.data);
            add_color(p, now);
            in = read_color(in + 2, &now);
            now.from = now.to;
        } else {
            *out++ = *in++;
        }
    }
    *out = 0;
    p->text.len = (size_t)(out - p->text.data);
}

/* ---- the text and the place in it ---- */

void qs_pager_set(struct qs_pager *p, struct qs_str *text)
{
    qs_str_free(&p->text);
    p->text = *text;
    *text = (struct qs_str)QS_STR_INIT;
    take_colors(p);
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

/* Changes the looks of s[from .. to) of a line, as far as it is on the screen. */
static void change(const struct qs_pager *p, int y, const char *s, const size_t span[2], attr_t how, int pair)
{
    const size_t column = qs_utf8_width(s, span[0]), width = qs_utf8_width(s + span[0], span[1] - span[0]);
    const size_t from = column > p->left ? column : p->left, edge = p->left + p->columns;
    const size_t to = column + width < edge ? column + width : edge;
    if (to > from) /* the pair by pointer: as a short it ends at 32,767 */
        mvchgat(y, (int)(from - p->left), (int)(to - from), how, 0, &pair);
}

static void mark(const struct qs_pager *p, int y, const char *s, size_t n, const struct qs_regex *re, attr_t how)
{
    size_t span[2], at = 0;
    while (at < n && find_span(re, s, n, at, span)) {
        change(p, y, s, span, how, 0);
        at = span[1];
    }
}

static void draw_colors(const struct qs_pager *p, int y, size_t line)
{
    const size_t start = p->line[line], end = p->line[line + 1];
    size_t low = 0, high = p->n_colors;
    while (low < high) { /* the first one of the line */
        const size_t middle = (low + high) / 2;
        if (p->color[middle].from < start)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < p->n_colors && p->color[low].from < end; low++) {
        const struct qs_pager_color *c = &p->color[low];
        const size_t span[2] = { c->from - start, (c->to < end ? c->to : end - 1) - start };
        change(p, y, p->text.data + start, span, A_NORMAL, qs_term_pair(c->fg, c->bg));
    }
}

void qs_pager_draw(const struct qs_pager *p, int y, const struct qs_regex *re)
{
    for (size_t i = p->top; i < p->n_lines && i < p->top + p->rows; i++, y++) {
        size_t n;
        const char *s = line_at(p, i, &n);
        qs_draw_text(y, 0, s, n, p->left, p->columns);
        draw_colors(p, y, i);
        if (re)
            mark(p, y, s, n, re, i == p->match ? A_REVERSE | A_BOLD : A_REVERSE);
    }
}
