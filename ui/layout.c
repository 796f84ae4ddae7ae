/* layout.c - sizes to rectangles. Pure functions: nothing is kept, any thread. */
#include "ui/layout.h"

#define LEAST_ROWS 10
#define LEAST_COLS 40
#define FULL_ROWS 24
#define FULL_COLS 80

static int within(int v, int low, int high)
{
    return v < low ? low : v > high ? high : v;
}

struct qs_layout qs_layout_frame(int rows, int cols)
{
    struct qs_layout l = { .kind = QS_LAYOUT_TOO_SMALL };
    rows = within(rows, 0, QS_CELLS_MAX);
    cols = within(cols, 0, QS_CELLS_MAX);
    if (rows < LEAST_ROWS || cols < LEAST_COLS) {
        l.body = (struct qs_rect){ 0, 0, rows, cols };
        return l;
    }
    l.kind = rows < FULL_ROWS || cols < FULL_COLS ? QS_LAYOUT_ONE_PANE : QS_LAYOUT_FULL;
    const int head = l.kind == QS_LAYOUT_FULL ? 2 : 1, tabs = l.kind == QS_LAYOUT_ONE_PANE ? 1 : 0;
    l.header = (struct qs_rect){ 0, 0, head, cols };
    if (tabs)
        l.tabs = (struct qs_rect){ head, 0, tabs, cols };
    l.body = (struct qs_rect){ head + tabs, 0, rows - head - tabs - 1, cols };
    l.footer = (struct qs_rect){ rows - 1, 0, 1, cols };
    return l;
}

/* How much of `all` the side gets; 0: it is left out. */
static int side_part(int all, int wanted, int least_main, int least_side, int rule)
{
    least_main = within(least_main, 1, QS_CELLS_MAX);
    least_side = within(least_side, 1, QS_CELLS_MAX);
    const int room = all - rule - least_main, part = wanted < room ? wanted : room;
    return part >= least_side ? part : wanted > 0 && room >= least_side ? least_side : 0;
}

struct qs_split qs_layout_right(struct qs_rect in, int wanted, int percent, int least_main, int least_side, bool rule)
{
    struct qs_split s = { .main = in };
    const int line = rule ? 1 : 0, cols = within(in.cols, 0, QS_CELLS_MAX);
    const int part = wanted > 0 ? wanted : cols * within(percent, 0, 100) / 100;
    const int side = side_part(cols, part, least_main, least_side, line);
    if (!side || in.rows < 1)
        return s;
    s.both = true;
    s.main.cols = cols - line - side;
    if (rule)
        s.rule = (struct qs_rect){ in.y, in.x + s.main.cols, in.rows, 1 };
    s.side = (struct qs_rect){ in.y, in.x + s.main.cols + line, in.rows, side };
    return s;
}

struct qs_split qs_layout_bottom(struct qs_rect in, int wanted, int least_main, int least_side, bool rule)
{
    /* The same, turned by a quarter. */
    const struct qs_rect turned = { in.x, in.y, in.cols, in.rows };
    struct qs_split s = qs_layout_right(turned, wanted > 0 ? wanted : 0, 0, least_main, least_side, rule);
    struct qs_rect *const part[] = { &s.main, &s.rule, &s.side };
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        *part[i] = (struct qs_rect){ part[i]->x, part[i]->y, part[i]->cols, part[i]->rows };
    return s;
}

struct qs_rect qs_layout_popup(struct qs_rect in, int rows, int cols)
{
    const int most_rows = in.rows > 0 ? in.rows : 0, most_cols = in.cols > 0 ? in.cols : 0;
    const int r = within(rows, most_rows > 0, most_rows), c = within(cols, most_cols > 0, most_cols);
    return (struct qs_rect){ in.y + (in.rows - r) / 2, in.x + (in.cols - c) / 2, r, c };
}

struct qs_rect qs_layout_inside(struct qs_rect f)
{
    return f.rows < 3 || f.cols < 3 ? f : (struct qs_rect){ f.y + 1, f.x + 1, f.rows - 2, f.cols - 2 };
}
