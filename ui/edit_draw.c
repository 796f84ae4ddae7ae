/* edit_draw.c - the line editor as it is seen: prompt, the part of the text around the cursor, what is offered. */
#include <stdio.h>
#include <string.h>

#include "base/unicode.h"
#include "ui/edit_internal.h"

#define LEAST_TEXT 8 /* cells kept for the text beside a long prompt */

/* Draws (c not NULL) the character at byte `at`; its bytes, and its cells in *cells. */
static size_t one(const struct qs_edit *ed, size_t at, const struct qs_canvas *c, int x, struct qs_style style,
                  int *cells)
{
    unsigned width;
    const size_t n = qs_utf8_char(ed->text + at, ed->len - at, &width);
    char text[64];
    *cells = (int)width;
    if (!c)
        return n;
    if (n >= sizeof text || (c->ascii && (unsigned char)ed->text[at] >= 0x80)) {
        qs_draw_text(c, 0, x, style, "??", (int)width);
    } else {
        memcpy(text, ed->text + at, n);
        text[n] = 0;
        qs_draw_text(c, 0, x, style, text, (int)width);
    }
    return n;
}

/* Scrolls as little as it takes for the cursor to be in `room` cells, and no further than the text needs. */
static void scroll(struct qs_edit *ed, int room)
{
    int all = 0, before = 0, cells;
    for (size_t at = 0; at < ed->len; all += cells) {
        before = at == ed->at ? all : before;
        at += one(ed, at, NULL, 0, (struct qs_style){ 0 }, &cells);
    }
    before = ed->at == ed->len ? all : before;
    size_t least = 0, most = 0, kept = 0; /* borders: the cursor fits from here on; all behind it fits; at or before `left` */
    int gone = 0;
    for (size_t at = 0; at < ed->len; gone += cells) {
        const size_t next = at + one(ed, at, NULL, 0, (struct qs_style){ 0 }, &cells);
        if (before - gone >= room && next <= ed->at)
            least = next;
        if (all - gone >= room)
            most = next;
        if (at <= ed->left)
            kept = at;
        at = next;
    }
    kept = kept > most ? most : kept;
    kept = kept > ed->at ? ed->at : kept;
    ed->left = kept < least ? least : kept;
}

int qs_edit_draw(struct qs_edit *ed, const struct qs_canvas *c, const struct qs_theme *t, const char *prompt,
                 const char *hint)
{
    const int cols = qs_canvas_cols(c), spare = cols > LEAST_TEXT ? cols - LEAST_TEXT : 0;
    const struct qs_style style = qs_look(t, QS_LOOK_INPUT);
    if (cols < 1 || qs_canvas_rows(c) < 1)
        return 0;
    qs_draw_fill(c, (struct qs_rect){ 0, 0, 1, cols }, style);
    int x = qs_draw_text(c, 0, 0, style, prompt ? prompt : "", spare), cursor, cells;
    scroll(ed, cols - x);
    if (!ed->len && hint)
        qs_draw_text(c, 0, x, qs_look(t, QS_LOOK_HINT), hint, cols - x);
    cursor = x;
    for (size_t at = ed->left; at < ed->len && x < cols; x += cells) {
        if (at == ed->at)
            cursor = x;
        at += one(ed, at, c, x, style, &cells);
        if (at == ed->at)
            cursor = x + cells;
    }
    return cursor < cols ? cursor : cols - 1;
}

/* ---- what is offered ---- */

int qs_edit_candidate_rows(const struct qs_edit *ed, int most)
{
    const int n = (int)ed->found.n;
    return n < most ? n : most > 0 ? most : 0;
}

static void draw_below(const struct qs_edit *ed, const struct qs_canvas *c, const struct qs_theme *t)
{
    const struct qs_candidates *f = &ed->found;
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    const size_t chosen = ed->chosen < f->n ? ed->chosen : 0;
    const size_t top = chosen >= (size_t)rows ? chosen - (size_t)rows + 1 : 0;
    int widest = 0;
    for (size_t i = top; i < f->n && i - top < (size_t)rows; i++) {
        const int w = (int)qs_utf8_width(f->text[i], strnlen(f->text[i], QS_CELLS_MAX));
        widest = w > widest ? w : widest;
    }
    for (int y = 0; y < rows; y++) {
        const size_t i = top + (size_t)y;
        const bool here = i == ed->chosen;
        const struct qs_style style = qs_look(t, here ? QS_LOOK_CURSOR : QS_LOOK_POPUP);
        qs_draw_fill(c, (struct qs_rect){ y, 0, 1, cols }, style);
        if (i >= f->n)
            continue;
        if (here)
            qs_draw_glyph(c, y, 0, style, ">");
        const int used = 2 + qs_draw_text(c, y, 2, style, f->text[i], -1),
                  note = widest + 4 > used ? widest + 4 : used + 2;
        qs_draw_text(c, y, note, here ? style : qs_look(t, QS_LOOK_MUTED), f->note[i], -1);
    }
}

/* Cells of a candidate in the strip, with its [ ] or blanks. */
static int strip_cells(const struct qs_candidates *f, size_t i)
{
    return 2 + (int)qs_utf8_width(f->text[i], strnlen(f->text[i], QS_CELLS_MAX));
}

static void draw_strip(const struct qs_edit *ed, const struct qs_canvas *c, const struct qs_theme *t)
{
    const struct qs_candidates *f = &ed->found;
    const int cols = qs_canvas_cols(c);
    size_t from = ed->chosen < f->n ? ed->chosen : 0;
    char count[48];
    snprintf(count, sizeof count, " %zu of %zu", ed->chosen < f->n ? ed->chosen + 1 : 0, f->n);
    const int tail = (int)strlen(count) * 4 < cols ? (int)strlen(count) : 0;
    int used = strip_cells(f, from), x = 0;
    while (from > 0 && used + strip_cells(f, from - 1) <= cols - tail)
        used += strip_cells(f, --from);
    qs_draw_fill(c, (struct qs_rect){ 0, 0, 1, cols }, qs_look(t, QS_LOOK_POPUP));
    for (size_t i = from; i < f->n && x < cols - tail; i++) {
        const bool here = i == ed->chosen;
        const struct qs_style style = qs_look(t, here ? QS_LOOK_CURSOR : QS_LOOK_POPUP);
        const int room = cols - tail - x;
        x += qs_draw_text(c, 0, x, style, here ? "[" : " ", room);
        x += qs_draw_text(c, 0, x, style, f->text[i], cols - tail - x);
        x += qs_draw_text(c, 0, x, style, here ? "]" : " ", cols - tail - x);
    }
    if (tail)
        qs_draw_text(c, 0, cols - tail, qs_look(t, QS_LOOK_MUTED), count, tail);
}

void qs_edit_draw_candidates(const struct qs_edit *ed, const struct qs_canvas *c, const struct qs_theme *t)
{
    if (!ed->found.n || qs_canvas_rows(c) < 1 || qs_canvas_cols(c) < 1)
        return;
    if (qs_canvas_rows(c) > 1)
        draw_below(ed, c, t);
    else
        draw_strip(ed, c, t);
}
