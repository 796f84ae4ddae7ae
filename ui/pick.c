/* pick.c - a popup to pick one of many from.
 *
 * Owns the order of what matches, allocated once when opened, so that typing cannot fail. Items are asked for when they
 * are scored and when they are drawn; their strings are never kept beyond the next one.
 */
#include "ui/pick.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "ui/fuzzy.h"
#include "ui/layout.h"

#define MEASURED 300  /* items whose widths count */
#define LEAST_COLS 30
#define LABEL_MOST 60
#define DETAIL_MOST 72
#define DETAIL_LEAST 16 /* of words, before they are left out */
#define GAP 2
#define SIGNS 2       /* '>' and '*' before a label */

static void get(const struct qs_pick *p, size_t i, struct qs_pick_item *out)
{
    *out = (struct qs_pick_item){ 0 };
    p->from.item(p->from.ctx, i, out);
    out->label = out->label ? out->label : "";
}

static int width_of(const char *text, int most)
{
    const size_t w = text ? qs_utf8_width(text, strnlen(text, QS_CELLS_MAX)) : 0;
    return w < (size_t)most ? (int)w : most;
}

static void widen(int *width, const char *text, int most)
{
    const int w = width_of(text, most);
    *width = w > *width ? w : *width;
}

static void measure(struct qs_pick *p)
{
    widen(&p->label, p->from.label_head, LABEL_MOST);
    for (size_t d = 0; d < QS_PICK_DETAILS; d++)
        widen(&p->detail[d], p->from.head[d], DETAIL_MOST);
    for (size_t i = 0; i < p->from.n && i < MEASURED; i++) {
        struct qs_pick_item item;
        get(p, i, &item);
        widen(&p->label, item.label, LABEL_MOST);
        widen(&p->key, item.key, LABEL_MOST);
        for (size_t d = 0; d < QS_PICK_DETAILS; d++)
            widen(&p->detail[d], item.detail[d], DETAIL_MOST);
    }
}

/* ---- what matches ---- */

static int better(const void *a, const void *b)
{
    const struct qs_pick_found *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score ? 1 : -1) : (x->item > y->item) - (x->item < y->item);
}

static void filter(struct qs_pick *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->from.n; i++) {
        struct qs_pick_item item;
        get(p, i, &item);
        const int score = qs_fuzzy(p->filter.text, item.label, NULL, NULL);
        if (score != QS_FUZZY_NONE)
            p->found[n++] = (struct qs_pick_found){ (uint32_t)i, score };
    }
    if (!p->from.keep_order)
        qsort(p->found, n, sizeof *p->found, better);
    qs_list_set(&p->list, n, p->list.shown);
    p->refused = NULL;
}

int qs_pick_open(struct qs_pick *p, const struct qs_pick_source *from, struct qs_err *e)
{
    *p = (struct qs_pick){ .from = *from };
    if (from->n > UINT32_MAX)
        return qs_fail(e, QS_ELIMIT, "%zu items are too many to pick from", from->n);
    p->found = qs_calloc(from->n + 1, sizeof *p->found);
    if (!p->found)
        return qs_fail_mem(e, (from->n + 1) * sizeof *p->found, "a list to pick from");
    measure(p);
    filter(p);
    qs_list_to(&p->list, from->first);
    return QS_OK;
}

void qs_pick_close(struct qs_pick *p)
{
    qs_free(p->found);
    qs_edit_free(&p->filter);
    *p = (struct qs_pick){ 0 };
}

bool qs_pick_current(const struct qs_pick *p, size_t *item)
{
    if (p->list.cursor >= p->list.n)
        return false;
    *item = p->found[p->list.cursor].item;
    return true;
}

/* ---- events ---- */

static enum qs_pick_result pick(struct qs_pick *p, size_t *item)
{
    struct qs_pick_item it;
    if (!qs_pick_current(p, item))
        return QS_PICK_GOES_ON;
    get(p, *item, &it);
    p->refused = it.disabled;
    return it.disabled ? QS_PICK_GOES_ON : QS_PICK_PICKED;
}

static enum qs_pick_result mouse_event(struct qs_pick *p, const struct qs_event *e, size_t *item)
{
    if (e->mouse == QS_MOUSE_PRESS && !qs_rect_has(p->at, e->row, e->col))
        return QS_PICK_CANCELLED;
    if (qs_list_mouse(&p->list, e) && e->mouse == QS_MOUSE_PRESS)
        return pick(p, item);
    return QS_PICK_GOES_ON;
}

enum qs_pick_result qs_pick_event(struct qs_pick *p, const struct qs_event *e, size_t *item)
{
    if (e->kind == QS_EVENT_MOUSE)
        return mouse_event(p, e, item);
    p->refused = NULL;
    if (e->kind == QS_EVENT_KEY) {
        const uint32_t key = e->key;
        const enum qs_list_move move = key == (QS_CTRL | 'n') || key == QS_KEY_TAB ? QS_LIST_DOWN
                                     : key == (QS_CTRL | 'p') || key == (QS_SHIFT | QS_KEY_TAB) ? QS_LIST_UP
                                                                                              : qs_list_key(key);
        if (move != QS_LIST_STAY) {
            qs_list_move(&p->list, move);
            return QS_PICK_GOES_ON;
        }
        if (key == QS_KEY_ENTER)
            return pick(p, item);
    }
    const size_t before = p->filter.len;
    char old[QS_EDIT_MAX + 1];
    memcpy(old, p->filter.text, before + 1);
    if (qs_edit_event(&p->filter, e) == QS_EDIT_CANCELLED)
        return QS_PICK_CANCELLED;
    if (p->filter.len != before || memcmp(old, p->filter.text, before) != 0) {
        qs_list_to(&p->list, 0);
        filter(p);
    }
    return QS_PICK_GOES_ON;
}

/* ---- drawing ---- */

/* What of an item there is room for: the label gives way last. */
struct columns { int label, detail[QS_PICK_DETAILS], key; };

static struct columns fit(const struct qs_pick *p, int cols)
{
    struct columns w = { .label = p->label };
    int room = cols - SIGNS - w.label;
    if (p->key && room >= p->key + GAP) {
        w.key = p->key;
        room -= p->key + GAP;
    }
    for (size_t d = 0; d < QS_PICK_DETAILS; d++) {
        const bool words = !(p->from.numbers >> d & 1); /* they may be shortened, numbers not */
        const int least = words && p->detail[d] > DETAIL_LEAST ? DETAIL_LEAST : p->detail[d];
        if (room < least + GAP)
            break;
        w.detail[d] = p->detail[d] < room - GAP ? p->detail[d] : room - GAP;
        room -= p->detail[d] ? w.detail[d] + GAP : 0;
    }
    w.label = room < 0 ? w.label + room : w.label;
    return w;
}

static void draw_label(const struct qs_pick *p, const struct qs_canvas *c, const struct qs_theme *t, int y,
                       struct qs_style style, const char *label, int cells)
{
    size_t at[QS_FUZZY_LETTERS], n = 0;
    const int width = width_of(label, QS_CELLS_MAX);
    qs_draw_fit(c, y, SIGNS, style, label, cells, QS_FIT_MIDDLE);
    if (width > cells || qs_fuzzy(p->filter.text, label, at, &n) <= 0)
        return;
    struct qs_style hit = style;
    hit.attr |= QS_BOLD | QS_UNDERLINE;
    if (!(style.attr & QS_REVERSE) && qs_look(t, QS_LOOK_POPUP_KEY).fg != QS_COLOR_DEFAULT &&
        style.bg == qs_look(t, QS_LOOK_POPUP).bg)
        hit.fg = qs_look(t, QS_LOOK_POPUP_KEY).fg;
    int x = SIGNS;
    size_t k = 0;
    for (size_t b = 0, len = strlen(label); b < len && k < n;) {
        unsigned w;
        const size_t bytes = qs_utf8_char(label + b, len - b, &w);
        bool found = false;
        for (; k < n && at[k] < b + bytes; k++)
            found = true;
        if (found)
            qs_draw_style(c, (struct qs_rect){ y, x, 1, (int)w }, hit);
        x += (int)w;
        b += bytes;
    }
}

static void draw_item(const struct qs_pick *p, const struct qs_canvas *c, const struct qs_theme *t, int y, size_t line,
                      const struct columns *w)
{
    struct qs_pick_item item;
    get(p, p->found[line].item, &item);
    const int cols = qs_canvas_cols(c);
    const bool here = line == p->list.cursor;
    const struct qs_style style = qs_look(t, here ? QS_LOOK_CURSOR : item.disabled ? QS_LOOK_MUTED : QS_LOOK_POPUP);
    qs_draw_fill(c, (struct qs_rect){ y, 0, 1, cols }, style);
    if (here)
        qs_draw_glyph(c, y, 0, style, ">");
    if (item.current)
        qs_draw_glyph(c, y, 1, style, "*");
    draw_label(p, c, t, y, style, item.label, w->label);
    int x = SIGNS + w->label + GAP;
    const int end = cols - (w->key ? w->key + GAP : 0);
    if (item.disabled && x < end) {
        qs_draw_fit(c, y, x, style, item.disabled, end - x, QS_FIT_LEFT);
    } else {
        for (size_t d = 0; d < QS_PICK_DETAILS; d++) {
            if (!w->detail[d])
                continue;
            qs_draw_fit(c, y, x, style, item.detail[d] ? item.detail[d] : "", w->detail[d],
                        p->from.numbers >> d & 1 ? QS_FIT_RIGHT : QS_FIT_MIDDLE);
            x += w->detail[d] + GAP;
        }
    }
    if (w->key && item.key)
        qs_draw_fit(c, y, cols - w->key, here ? style : qs_look(t, QS_LOOK_POPUP_KEY), item.key, w->key, QS_FIT_RIGHT);
}

static bool has_heads(const struct qs_pick *p)
{
    for (size_t d = 0; d < QS_PICK_DETAILS; d++)
        if (p->from.head[d])
            return true;
    return false;
}

static void draw_heads(const struct qs_pick *p, const struct qs_canvas *c, const struct qs_theme *t, int y,
                       const struct columns *w)
{
    struct qs_style style = qs_look(t, QS_LOOK_POPUP);
    style.attr |= QS_BOLD;
    int x = SIGNS + w->label + GAP;
    qs_draw_fit(c, y, SIGNS, style, p->from.label_head ? p->from.label_head : "", w->label, QS_FIT_LEFT);
    for (size_t d = 0; d < QS_PICK_DETAILS; d++) {
        if (!w->detail[d])
            continue;
        qs_draw_fit(c, y, x, style, p->from.head[d] ? p->from.head[d] : "", w->detail[d],
                    p->from.numbers >> d & 1 ? QS_FIT_RIGHT : QS_FIT_LEFT);
        x += w->detail[d] + GAP;
    }
}

/* Below the items: why one cannot be picked, else the part that is seen. */
static void draw_foot(const struct qs_pick *p, const struct qs_canvas *c, const struct qs_theme *t, int y)
{
    char position[80];
    const int cols = qs_canvas_cols(c);
    if (p->refused) {
        qs_draw_fit(c, y, 0, qs_look(t, QS_LOOK_WARNING), p->refused, cols, QS_FIT_LEFT);
        return;
    }
    const struct qs_style muted = qs_look(t, QS_LOOK_MUTED);
    if (!p->list.n)
        snprintf(position, sizeof position, "nothing matches");
    else
        qs_list_position(&p->list, position, sizeof position);
    qs_draw_fit(c, y, 0, muted, position, cols, QS_FIT_RIGHT);
}

/* As large as all items would need: typing does not make it jump. */
static struct qs_rect place(const struct qs_pick *p, const struct qs_canvas *c)
{
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c), extra = 4 + (has_heads(p) ? 1 : 0);
    int width = SIGNS + p->label + (p->key ? p->key + GAP : 0) + 3; /* frame, scroll bar */
    for (size_t d = 0; d < QS_PICK_DETAILS; d++)
        width += p->detail[d] ? p->detail[d] + GAP : 0;
    widen(&width, p->from.title, cols > 10 ? cols - 10 : 0);
    width = width < LEAST_COLS ? LEAST_COLS : width;
    const int lines = p->from.n < (size_t)QS_CELLS_MAX ? (int)p->from.n : QS_CELLS_MAX;
    return qs_layout_popup((struct qs_rect){ 0, 0, rows, cols }, (lines ? lines : 1) + extra, width);
}

void qs_pick_draw(struct qs_pick *p, const struct qs_canvas *c, const struct qs_theme *t, int *cursor_row,
                  int *cursor_col)
{
    struct qs_rect box = place(p, c), in = qs_layout_inside(box);
    const struct qs_style popup = qs_look(t, QS_LOOK_POPUP);
    *cursor_row = *cursor_col = -1;
    p->at = (struct qs_rect){ c->at.y + box.y, c->at.x + box.x, box.rows, box.cols };
    p->list.at = (struct qs_rect){ 0 };
    if (box.rows < 1 || box.cols < 1)
        return;
    qs_draw_fill(c, box, popup);
    if (in.rows < box.rows)
        qs_draw_box(c, box, qs_look(t, QS_LOOK_FRAME_FOCUS), p->from.title, qs_look(t, QS_LOOK_TITLE));
    struct qs_canvas inside = qs_canvas_part(c, in),
                     line = qs_canvas_part(&inside, (struct qs_rect) { 0, 0, 1, in.cols });
    *cursor_row = in.y;
    *cursor_col = in.x + qs_edit_draw(&p->filter, &line, t, "> ", "type to filter");
    const bool heads = has_heads(p) && in.rows >= 4, foot = in.rows >= 3;
    const int first = 1 + heads, rows = in.rows - first - foot;
    qs_list_set(&p->list, p->list.n, rows > 0 ? (size_t)rows : 1);
    const bool bar = p->list.n > p->list.shown && in.cols > 3;
    struct qs_canvas items = qs_canvas_part(&inside, (struct qs_rect){ 0, 0, in.rows, in.cols - bar });
    const struct columns w = fit(p, qs_canvas_cols(&items));
    if (heads)
        draw_heads(p, &items, t, 1, &w);
    for (int y = 0; y < rows && p->list.top + (size_t)y < p->list.n; y++)
        draw_item(p, &items, t, first + y, p->list.top + (size_t)y, &w);
    if (rows > 0)
        p->list.at = (struct qs_rect){ items.at.y + first, items.at.x, rows, items.at.cols };
    if (foot)
        draw_foot(p, &inside, t, in.rows - 1);
    if (bar && rows > 0) {
        const struct qs_canvas edge = qs_canvas_part(&inside, (struct qs_rect){ first, in.cols - 1, rows, 1 });
        qs_list_draw_bar(&p->list, &edge, t);
    }
}
