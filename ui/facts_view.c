/* facts_view.c - a report as lines to scroll through.
 *
 * Owns the text as laid out for the width at hand, and where its lines start; both are made anew when the width, the kind
 * of canvas or the content changes. Where memory is out, a line says so in their place.
 */
#include "ui/facts_view.h"

#include <string.h>

#include "base/mem.h"
#include "ui/layout.h"
#include "ui/match.h"

#define SIGNS 1  /* before each line: where the last find is */
#define WHEEL 3

/* ---- laying out ---- */

static void forget(struct qs_facts_view *v)
{
    qs_str_free(&v->text);
    v->width = -1;
    v->found = (size_t)-1;
}

void qs_facts_view_set(struct qs_facts_view *v, const struct qs_report *r)
{
    forget(v);
    v->report = r;
}

void qs_facts_view_free(struct qs_facts_view *v)
{
    qs_str_free(&v->text);
    qs_free(v->line);
    *v = (struct qs_facts_view)QS_FACTS_VIEW_INIT;
}

static bool find_lines(struct qs_facts_view *v)
{
    size_t n = 0;
    for (size_t at = 0; at <= v->text.len; n++) {
        if (!qs_grow(&v->line, &v->line_cap, n + 2, sizeof *v->line))
            return false;
        v->line[n] = at;
        if (at == v->text.len)
            break;
        at += strcspn(v->text.data + at, "\n");
        v->text.data[at++] = 0;
    }
    v->n = n;
    return true;
}

static void lay_out(struct qs_facts_view *v, int width, bool ascii)
{
    const size_t before = v->n;
    struct qs_text_style style = { .width = width > 1 ? (unsigned)width : 1, .ascii = ascii };
    qs_str_clear(&v->text);
    v->width = width;
    v->ascii = ascii;
    if (v->report)
        qs_report_text(v->report, &style, &v->text);
    if (v->text.failed || (v->report && qs_report_failed(v->report)) || !find_lines(v)) {
        qs_str_free(&v->text);
        v->n = 0;
        v->width = -1;
        return;
    }
    /* Other lines than before: about the same place. */
    if (before && v->n != before)
        v->top = (size_t)((double)v->top * (double)v->n / (double)before);
    if (v->n != before)
        v->found = (size_t)-1;
}

/* ---- moving ---- */

static size_t last_top(const struct qs_facts_view *v)
{
    return v->n > v->shown ? v->n - v->shown : 0;
}

static bool to(struct qs_facts_view *v, size_t top)
{
    const size_t before = v->top;
    v->top = top < last_top(v) ? top : last_top(v);
    return v->top != before;
}

static bool by(struct qs_facts_view *v, bool down, size_t lines)
{
    return to(v, down ? v->top + lines : v->top - (lines < v->top ? lines : v->top));
}

bool qs_facts_view_move(struct qs_facts_view *v, enum qs_list_move move)
{
    const size_t page = v->shown > 1 ? v->shown - 1 : 1, half = v->shown > 1 ? v->shown / 2 : 1;
    switch (move) {
    case QS_LIST_UP: return by(v, false, 1);
    case QS_LIST_DOWN: return by(v, true, 1);
    case QS_LIST_HALF_UP: return by(v, false, half);
    case QS_LIST_HALF_DOWN: return by(v, true, half);
    case QS_LIST_PAGE_UP: return by(v, false, page);
    case QS_LIST_PAGE_DOWN: return by(v, true, page);
    case QS_LIST_HOME: return to(v, 0);
    case QS_LIST_END: return to(v, v->n);
    case QS_LIST_STAY: break;
    }
    return false;
}

bool qs_facts_view_mouse(struct qs_facts_view *v, const struct qs_event *e)
{
    if (e->kind != QS_EVENT_MOUSE || !qs_rect_has(v->at, e->row, e->col) ||
        (e->mouse != QS_MOUSE_WHEEL_UP && e->mouse != QS_MOUSE_WHEEL_DOWN))
        return false;
    by(v, e->mouse == QS_MOUSE_WHEEL_DOWN, WHEEL);
    return true;
}

int qs_facts_view_find(struct qs_facts_view *v, const struct qs_regex *re, bool backwards)
{
    const size_t n = v->width < 0 ? 0 : v->n; /* not laid out: there are no lines */
    /* The first search begins with what is in view. */
    const bool begun = v->found < n;
    const size_t from = begun ? v->found : v->top;
    for (size_t i = begun ? 1 : 0; i < n + begun && re; i++) {
        const size_t line = backwards ? (from + n - i) % n : (from + i) % n, start = v->line[line];
        if (qs_regex_find(re, v->text.data + start, strlen(v->text.data + start), 0, NULL, NULL) != 1)
            continue;
        v->found = line;
        if (line < v->top || line - v->top >= v->shown)
            to(v, line > v->shown / 2 ? line - v->shown / 2 : 0);
        return i == 0 || (backwards ? line < from : line > from) ? 1 : 2;
    }
    return 0;
}

/* ---- drawing ---- */

/* The title of a section is what stands at the very left. */
static enum qs_look look_of(const char *text)
{
    return text[0] && text[0] != ' ' ? QS_LOOK_TITLE : QS_LOOK_TEXT;
}

static void draw_line(const struct qs_facts_view *v, const struct qs_canvas *c, const struct qs_theme *t, int y, size_t line)
{
    const char *text = v->text.data + v->line[line];
    const int signs = qs_canvas_cols(c) > SIGNS ? SIGNS : 0, cells = qs_canvas_cols(c) - signs;
    if (line == v->found && signs)
        qs_draw_glyph(c, y, 0, qs_look(t, QS_LOOK_TEXT), ">");
    qs_draw_text(c, y, signs, qs_look(t, look_of(text)), text, cells);
    qs_draw_matches(c, y, signs, text, cells, v->search, qs_look(t, QS_LOOK_MATCH));
}

void qs_facts_view_draw(struct qs_facts_view *v, const struct qs_canvas *c, const struct qs_theme *t)
{
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    v->at = c->at;
    if (rows < 1 || cols < 1)
        return;
    qs_draw_fill(c, (struct qs_rect){ 0, 0, rows, cols }, qs_look(t, QS_LOOK_TEXT));
    const int width = cols > SIGNS + 1 ? cols - SIGNS - 1 : cols; /* the last column is the scroll bar's */
    if (v->width != width || v->ascii != c->ascii)
        lay_out(v, width, c->ascii);
    v->shown = (size_t)rows;
    to(v, v->top);
    if (v->width < 0 && v->report) {
        qs_draw_text(c, 0, 0, qs_look(t, QS_LOOK_ERROR), "out of memory", -1);
        return;
    }
    for (int y = 0; y < rows && v->top + (size_t)y < v->n; y++)
        draw_line(v, c, t, y, v->top + (size_t)y);
    if (cols > SIGNS + 1) {
        const struct qs_canvas edge = qs_canvas_part(c, (struct qs_rect){ 0, cols - 1, rows, 1 });
        const struct qs_list l = { .n = v->n, .top = v->top, .shown = v->shown };
        qs_list_draw_bar(&l, &edge, t);
    }
}
