/* list.c - movement over lines. Works on the caller's struct alone; nothing fails. */
#include "ui/list.h"

#include <stdio.h>

#include "ui/layout.h"

#define WHEEL 3

static size_t last_top(const struct qs_list *l)
{
    return l->n > l->shown ? l->n - l->shown : 0;
}

/* The view around the cursor, moved as little as it takes. */
static void settle(struct qs_list *l)
{
    l->shown = l->shown ? l->shown : 1;
    if (l->cursor >= l->n)
        l->cursor = l->n ? l->n - 1 : 0;
    if (l->cursor < l->top)
        l->top = l->cursor;
    else if (l->cursor - l->top >= l->shown)
        l->top = l->cursor - l->shown + 1;
    if (l->top > last_top(l))
        l->top = last_top(l);
}

void qs_list_set(struct qs_list *l, size_t n, size_t shown)
{
    if (l->n == n && l->shown == shown && shown)
        return;
    l->n = n;
    l->shown = shown;
    settle(l);
}

bool qs_list_to(struct qs_list *l, size_t line)
{
    const size_t cursor = l->cursor, top = l->top;
    l->cursor = line < l->n ? line : l->n ? l->n - 1 : 0;
    if (l->shown && (l->cursor < l->top || l->cursor - l->top >= l->shown))
        l->top = l->cursor > l->shown / 2 ? l->cursor - l->shown / 2 : 0;
    settle(l);
    return cursor != l->cursor || top != l->top;
}

/* By lines, clamped, the view following. */
static bool step(struct qs_list *l, bool down, size_t lines)
{
    const size_t cursor = l->cursor, top = l->top, last = l->n ? l->n - 1 : 0;
    l->cursor = !down ? cursor - (lines < cursor ? lines : cursor) : lines < last - cursor ? cursor + lines : last;
    settle(l);
    return cursor != l->cursor || top != l->top;
}

bool qs_list_move(struct qs_list *l, enum qs_list_move move)
{
    settle(l);
    const size_t page = l->shown > 1 ? l->shown - 1 : 1, half = l->shown > 1 ? l->shown / 2 : 1;
    switch (move) {
    case QS_LIST_UP: return step(l, false, 1);
    case QS_LIST_DOWN: return step(l, true, 1);
    case QS_LIST_HALF_UP: return step(l, false, half);
    case QS_LIST_HALF_DOWN: return step(l, true, half);
    case QS_LIST_PAGE_UP: return step(l, false, page);
    case QS_LIST_PAGE_DOWN: return step(l, true, page);
    case QS_LIST_HOME: return step(l, false, l->n);
    case QS_LIST_END: return step(l, true, l->n);
    case QS_LIST_STAY: break;
    }
    return false;
}

bool qs_list_scroll(struct qs_list *l, long lines)
{
    settle(l);
    const size_t cursor = l->cursor, top = l->top, most = last_top(l);
    const size_t by = lines < 0 ? (size_t)-(lines + 1) + 1 : (size_t)lines;
    l->top = lines < 0 ? top - (by < top ? by : top) : by < most - top ? top + by : most;
    if (l->cursor < l->top)
        l->cursor = l->top;
    else if (l->cursor - l->top >= l->shown)
        l->cursor = l->top + l->shown - 1;
    settle(l);
    return cursor != l->cursor || top != l->top;
}

enum qs_list_move qs_list_key(uint32_t key)
{
    switch (key) {
    case QS_KEY_UP: return QS_LIST_UP;
    case QS_KEY_DOWN: return QS_LIST_DOWN;
    case QS_KEY_PAGE_UP: return QS_LIST_PAGE_UP;
    case QS_KEY_PAGE_DOWN: return QS_LIST_PAGE_DOWN;
    case QS_KEY_HOME: return QS_LIST_HOME;
    case QS_KEY_END: return QS_LIST_END;
    default: return QS_LIST_STAY;
    }
}

bool qs_list_hit(const struct qs_list *l, const struct qs_event *e, size_t *line)
{
    if (e->kind != QS_EVENT_MOUSE || !qs_rect_has(l->at, e->row, e->col))
        return false;
    const size_t at = l->top + (size_t)(e->row - l->at.y);
    if (at >= l->n)
        return false;
    *line = at;
    return true;
}

bool qs_list_mouse(struct qs_list *l, const struct qs_event *e)
{
    size_t line;
    if (e->kind != QS_EVENT_MOUSE || !qs_rect_has(l->at, e->row, e->col))
        return false;
    if (e->mouse == QS_MOUSE_WHEEL_UP || e->mouse == QS_MOUSE_WHEEL_DOWN) {
        qs_list_scroll(l, e->mouse == QS_MOUSE_WHEEL_UP ? -WHEEL : WHEEL);
        return true;
    }
    if (e->mouse != QS_MOUSE_PRESS || e->button != 1 || !qs_list_hit(l, e, &line))
        return false;
    qs_list_to(l, line);
    return true;
}

bool qs_list_find(struct qs_list *l, int step, qs_list_match_fn *match, void *ctx)
{
    for (size_t i = step ? 1 : 0; l->n && i <= l->n; i++) {
        const size_t at = (l->cursor + (step < 0 ? 2 * l->n - i : i)) % l->n;
        if (match(ctx, at)) {
            qs_list_to(l, at);
            return true;
        }
    }
    return false;
}

const char *qs_list_position(const struct qs_list *l, char *buf, size_t n)
{
    const size_t end = l->top + l->shown < l->n ? l->top + l->shown : l->n;
    if (!l->n)
        snprintf(buf, n, "no rows");
    else if (l->top + 1 == end)
        snprintf(buf, n, "%zu of %zu", end, l->n);
    else
        snprintf(buf, n, "%zu-%zu of %zu", l->top + 1, end, l->n);
    return buf;
}

void qs_list_draw_bar(const struct qs_list *l, const struct qs_canvas *c, const struct qs_theme *t)
{
    const size_t rows = qs_canvas_rows(c) > 0 ? (size_t)qs_canvas_rows(c) : 0, most = last_top(l);
    if (!most || !rows || qs_canvas_cols(c) < 1)
        return;
    /* In double: the product of two counts of lines may not fit. */
    size_t thumb = (size_t)((double)rows * (double)l->shown / (double)l->n + 0.5);
    thumb = thumb < 1 ? 1 : thumb > rows ? rows : thumb;
    const size_t start = (size_t)((double)(rows - thumb) * (double)l->top / (double)most + 0.5);
    for (size_t y = 0; y < rows; y++) {
        const bool on = y >= start && y < start + thumb;
        qs_draw_glyph(c, (int)y, 0, qs_look(t, on ? QS_LOOK_TEXT : QS_LOOK_MUTED), on ? "\u2588" : "\u2502");
    }
}
