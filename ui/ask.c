/* ask.c - a question with answers. Keeps nothing but where the buttons were drawn. */
#include "ui/ask.h"

#include <stdio.h>
#include <string.h>

#include "base/unicode.h"
#include "ui/layout.h"

#define MOST_COLS 72
#define LEAST_COLS 30
#define LABEL_MOST 200

static size_t answers(const struct qs_ask *a)
{
    size_t n = 0;
    while (n < QS_ASK_ANSWERS && a->answer[n].label)
        n++;
    return n;
}

static uint32_t fold(uint32_t key)
{
    return key >= 'A' && key <= 'Z' ? key + 32 : key;
}

/* By the key itself; where none has it, in the other case. */
static int answer_of(const struct qs_ask *a, uint32_t key)
{
    const size_t n = answers(a);
    for (size_t i = 0; i < n; i++)
        if (a->answer[i].key == key)
            return (int)i;
    for (size_t i = 0; i < n; i++)
        if (fold(a->answer[i].key) == fold(key))
            return (int)i;
    return QS_ASK_GOES_ON;
}

static int mouse_event(struct qs_ask *a, const struct qs_event *e)
{
    const size_t n = answers(a);
    if (e->mouse == QS_MOUSE_WHEEL_UP)
        a->skip = a->skip > 0 ? a->skip - 1 : 0;
    if (e->mouse == QS_MOUSE_WHEEL_DOWN)
        a->skip++;
    if (e->mouse != QS_MOUSE_PRESS || e->button != 1)
        return QS_ASK_GOES_ON;
    for (size_t i = 0; i < n; i++)
        if (qs_rect_has(a->button[i], e->row, e->col))
            return (int)i;
    return qs_rect_has(a->button[QS_ASK_ANSWERS], e->row, e->col) ? QS_ASK_CANCELLED : QS_ASK_GOES_ON;
}

int qs_ask_event(struct qs_ask *a, const struct qs_event *e)
{
    const size_t n = answers(a), chosen = a->chosen < n ? a->chosen : n;
    if (e->kind == QS_EVENT_MOUSE)
        return mouse_event(a, e);
    if (e->kind != QS_EVENT_KEY)
        return QS_ASK_GOES_ON;
    switch (e->key) {
    case QS_KEY_ESC:
    case QS_CTRL | 'c':
    case QS_CTRL | 'g': return QS_ASK_CANCELLED;
    case QS_KEY_ENTER: return chosen < n ? (int)chosen : QS_ASK_CANCELLED;
    case QS_KEY_LEFT:
    case QS_SHIFT | QS_KEY_TAB: a->chosen = chosen ? chosen - 1 : n; return QS_ASK_GOES_ON;
    case QS_KEY_RIGHT:
    case QS_KEY_TAB: a->chosen = chosen < n ? chosen + 1 : 0; return QS_ASK_GOES_ON;
    case QS_KEY_UP: a->skip = a->skip > 0 ? a->skip - 1 : 0; return QS_ASK_GOES_ON;
    case QS_KEY_DOWN: a->skip++; return QS_ASK_GOES_ON;
    default: return answer_of(a, e->key);
    }
}

/* ---- drawing ---- */

/* "[o overwrite]" where it is what Enter takes, else " o overwrite "; i beyond the answers: cancel. Returns its cells. */
static int button_text(const struct qs_ask *a, size_t i, char *buf, size_t size)
{
    const size_t n = answers(a);
    const bool here = (a->chosen < n ? a->chosen : n) == i;
    char key[24];
    if (i < n)
        qs_key_name(a->answer[i].key, key, sizeof key);
    snprintf(buf, size, "%s%s %.*s%s", here ? "[" : " ", i < n ? key : "Esc", LABEL_MOST,
             i < n ? a->answer[i].label : "cancel", here ? "]" : " ");
    return (int)qs_utf8_width(buf, strlen(buf));
}

/* The buttons in as many lines as they need; drawn into the last `shown` rows of the canvas, those lines in view that
 * the chosen one is in. shown 0: only measured. Returns the lines. */
static int buttons(struct qs_ask *a, const struct qs_canvas *c, const struct qs_theme *t, int shown)
{
    const size_t n = answers(a), chosen = a->chosen < n ? a->chosen : n;
    const int cols = qs_canvas_cols(c), top = qs_canvas_rows(c) - shown;
    int line[QS_ASK_ANSWERS + 1], at[QS_ASK_ANSWERS + 1], lines = 1, x = 0;
    char text[LABEL_MOST + 40];
    for (size_t i = 0; i <= n; i++) {
        const int w = button_text(a, i, text, sizeof text);
        if (x > 0 && x + w > cols) {
            lines++;
            x = 0;
        }
        line[i] = lines - 1;
        at[i] = x;
        x += w + 1;
    }
    const int skip = line[chosen] >= shown ? line[chosen] - shown + 1 : 0;
    for (size_t i = 0; i <= n; i++) {
        const int row = line[i] - skip, w = button_text(a, i, text, sizeof text), room = cols - at[i];
        if (row < 0 || row >= shown)
            continue;
        qs_draw_text(c, top + row, at[i], qs_look(t, i == chosen ? QS_LOOK_CURSOR : QS_LOOK_BUTTON), text, room);
        a->button[i < n ? i : QS_ASK_ANSWERS] =
            (struct qs_rect){ c->at.y + top + row, c->at.x + at[i], 1, w < room ? w : room };
    }
    return lines;
}

void qs_ask_draw(struct qs_ask *a, const struct qs_canvas *c, const struct qs_theme *t)
{
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    int width = (int)qs_utf8_width(a->text, strnlen(a->text, MOST_COLS)) + 2;
    width = width < LEAST_COLS ? LEAST_COLS : width > MOST_COLS ? MOST_COLS : width;
    width = width < cols ? width : cols;
    memset(a->button, 0, sizeof a->button);
    if (rows < 1 || cols < 1)
        return;
    /* Measured on a canvas of no lines, then placed. */
    const int inner = width >= 3 ? width - 2 : width;
    const struct qs_canvas none = { c->cells, { 0, 0, 0, inner }, c->ascii };
    const struct qs_style popup = qs_look(t, QS_LOOK_POPUP);
    const int lines = qs_draw_wrapped(&none, 0, 0, 0, popup, a->text), last = buttons(a, &none, t, 0);
    const struct qs_rect box = qs_layout_popup((struct qs_rect){ 0, 0, rows, cols }, lines + 1 + last + 2, width),
                         in = qs_layout_inside(box);
    qs_draw_fill(c, box, popup);
    if (in.rows < box.rows)
        qs_draw_box(c, box, qs_look(t, QS_LOOK_FRAME_FOCUS), a->title, qs_look(t, QS_LOOK_TITLE));
    const struct qs_canvas inside = qs_canvas_part(c, in);
    const int foot = last < in.rows ? last : in.rows > 1 ? in.rows - 1 : 1;
    const int body = in.rows - foot - (in.rows > foot + 1 ? 1 : 0);
    const struct qs_canvas text = qs_canvas_part(&inside, (struct qs_rect){ 0, 0, body, in.cols });
    const int most = lines > body ? lines - body : 0;
    a->skip = a->skip < 0 ? 0 : a->skip > most ? most : a->skip;
    if (body > 0) {
        qs_draw_wrapped(&text, 0, a->skip, 0, popup, a->text);
        if (a->skip < most)
            qs_draw_text(&text, body - 1, in.cols - 1, qs_look(t, QS_LOOK_MUTED), "\u2193", 1);
    }
    buttons(a, &inside, t, foot);
}
