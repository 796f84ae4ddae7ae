/* Layout: at every size from 1x1 to 200x400 the parts lie inside, do not overlap, cover what they divide, and are there
 * where they are promised. */
#include "tests/ui/widgets.h"

#include "ui/layout.h"

static bool inside(struct qs_rect in, struct qs_rect r)
{
    return r.y >= in.y && r.x >= in.x && r.y + r.rows <= in.y + in.rows && r.x + r.cols <= in.x + in.cols;
}

static long area(struct qs_rect r)
{
    assert_true(r.rows >= 0 && r.cols >= 0);
    return (long)r.rows * r.cols;
}

static bool apart(struct qs_rect a, struct qs_rect b)
{
    return !area(a) || !area(b) || a.y + a.rows <= b.y || b.y + b.rows <= a.y || a.x + a.cols <= b.x || b.x + b.cols <= a.x;
}

/* The parts tile the whole. */
static void tiles(struct qs_rect whole, const struct qs_rect *part, size_t n)
{
    long sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += area(part[i]);
        assert_true(!area(part[i]) || inside(whole, part[i]));
        for (size_t k = i + 1; k < n; k++)
            assert_true(apart(part[i], part[k]));
    }
    assert_int_equal(sum, area(whole));
}

static void split_is_whole(struct qs_rect in, const struct qs_split *s, bool rule)
{
    const struct qs_rect part[] = { s->main, s->rule, s->side };
    tiles(in, part, 3);
    assert_true(area(s->main) > 0 || !area(in));
    assert_int_equal(area(s->side) > 0, s->both);
    assert_int_equal(area(s->rule) > 0, s->both && rule);
}

static void check_size(int rows, int cols)
{
    const struct qs_layout l = qs_layout_frame(rows, cols);
    const struct qs_rect all = { 0, 0, rows, cols }, part[] = { l.header, l.tabs, l.body, l.footer };
    tiles(all, part, 4);
    assert_true(area(l.body) > 0);
    const bool small = rows < 10 || cols < 40, full = rows >= 24 && cols >= 80;
    assert_int_equal(l.kind, small ? QS_LAYOUT_TOO_SMALL : full ? QS_LAYOUT_FULL : QS_LAYOUT_ONE_PANE);
    assert_int_equal(l.header.rows, small ? 0 : full ? 2 : 1);
    assert_int_equal(l.tabs.rows, l.kind == QS_LAYOUT_ONE_PANE ? 1 : 0);
    assert_int_equal(l.footer.rows, small ? 0 : 1);
    for (int rule = 0; rule < 2; rule++) {
        const struct qs_split side = qs_layout_right(l.body, 0, 35, 30, 20, rule != 0);
        split_is_whole(l.body, &side, rule);
        assert_int_equal(side.both, l.body.cols - rule >= 50);
        if (side.both)
            assert_true(side.main.cols >= 30 && side.side.cols >= 20);
        const struct qs_split fixed = qs_layout_right(l.body, 28, 0, 30, 28, rule != 0);
        split_is_whole(l.body, &fixed, rule);
        assert_true(!fixed.both || fixed.side.cols == 28);
        const struct qs_split below = qs_layout_bottom(side.main, 8, 6, 3, rule != 0);
        split_is_whole(side.main, &below, rule);
        assert_int_equal(below.both, side.main.rows - rule >= 9);
        if (below.both)
            assert_true(below.main.rows >= 6 && below.side.rows >= 3 && below.side.rows <= 8 && below.side.cols == side.main.cols);
    }
    const struct qs_rect popup = qs_layout_popup(l.body, 12, 50), in = qs_layout_inside(popup);
    assert_true(inside(l.body, popup) && inside(popup, in) && area(in) > 0);
    assert_true(popup.rows == 12 || popup.rows == l.body.rows);
    assert_true(popup.cols == 50 || popup.cols == l.body.cols);
}

static void every_size(void **state)
{
    (void)state;
    for (int rows = 1; rows <= 200; rows++)
        for (int cols = 1; cols <= 400; cols++)
            check_size(rows, cols);
}

static void odd_requests(void **state)
{
    (void)state;
    const struct qs_rect in = { 3, 5, 20, 60 }, none = { 0 };
    assert_false(qs_layout_right(in, 0, 0, 10, 10, true).both);
    assert_false(qs_layout_bottom(in, 0, 1, 1, false).both);
    assert_false(qs_layout_right(none, 10, 0, 1, 1, true).both);
    assert_int_equal(qs_layout_right(in, 1000, 0, -5, -5, false).main.cols, 1);
    assert_int_equal(qs_layout_right(in, 5, 0, 10, 12, false).side.cols, 12); /* asked for less than its least */
    assert_int_equal(area(qs_layout_popup(none, 5, 5)), 0);
    assert_int_equal(area(qs_layout_popup(in, 0, -3)), 1);
    const struct qs_layout l = qs_layout_frame(-1, 2000000000);
    assert_int_equal(area(l.body), 0);
    assert_true(qs_rect_has(in, 3, 5) && qs_rect_has(in, 22, 64) && !qs_rect_has(in, 23, 5) && !qs_rect_has(in, 3, 65));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_size), cmocka_unit_test(odd_requests) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
