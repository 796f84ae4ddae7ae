/* Lists: movement keeps the cursor in view, places survive changes, the mouse hits what is seen, the scroll bar. */
#include "tests/ui/widgets.h"

#include "ui/list.h"

static void holds(const struct qs_list *l)
{
    assert_true(l->shown >= 1);
    assert_true(l->n ? l->cursor < l->n : l->cursor == 0 && l->top == 0);
    assert_true(l->cursor >= l->top && l->cursor - l->top < l->shown);
    assert_true(l->top + l->shown <= l->n || l->top == 0);
}

static void moves(void **state)
{
    (void)state;
    struct qs_list l = { 0 };
    char buf[80];
    qs_list_set(&l, 291, 20);
    assert_false(qs_list_move(&l, QS_LIST_UP));
    assert_true(qs_list_move(&l, QS_LIST_PAGE_DOWN));
    assert_int_equal(l.cursor, 19);
    assert_int_equal(l.top, 0);
    qs_list_move(&l, QS_LIST_PAGE_DOWN);
    assert_int_equal(l.cursor, 38);
    assert_int_equal(l.top, 19);
    assert_string_equal(qs_list_position(&l, buf, sizeof buf), "20-39 of 291");
    qs_list_move(&l, QS_LIST_HALF_UP);
    assert_int_equal(l.cursor, 28);
    assert_int_equal(l.top, 19);
    qs_list_move(&l, QS_LIST_END);
    assert_int_equal(l.top, 271);
    assert_false(qs_list_move(&l, QS_LIST_DOWN));
    qs_list_to(&l, 100);
    assert_int_equal(l.top, 90); /* in the middle, having been out of view */
    qs_list_to(&l, 95);
    assert_int_equal(l.top, 90);
    qs_list_scroll(&l, 10);
    assert_int_equal(l.top, 100);
    assert_int_equal(l.cursor, 100);
    qs_list_set(&l, 50, 20); /* fewer lines */
    holds(&l);
    assert_int_equal(l.cursor, 49);
    qs_list_set(&l, 0, 20);
    assert_string_equal(qs_list_position(&l, buf, sizeof buf), "no rows");
    qs_list_set(&l, 5, 0);
    assert_string_equal(qs_list_position(&l, buf, sizeof buf), "1 of 5");
    assert_int_equal(qs_list_key(QS_KEY_PAGE_UP), QS_LIST_PAGE_UP);
    assert_int_equal(qs_list_key('j'), QS_LIST_STAY);
}

static void random_moves(void **state)
{
    (void)state;
    uint32_t seed = 7;
    struct qs_list l = { 0 };
    qs_list_set(&l, 10, 3);
    for (int i = 0; i < 20000; i++) {
        const uint32_t what = next_random(&seed) % 8, x = next_random(&seed);
        if (what == 0)
            qs_list_set(&l, x % 40, x / 64 % 30);
        else if (what == 1)
            qs_list_scroll(&l, (long)(x % 101) - 50);
        else if (what == 2)
            qs_list_to(&l, x % 60);
        else
            qs_list_move(&l, (enum qs_list_move)(x % (QS_LIST_STAY + 1)));
        holds(&l);
    }
    qs_list_scroll(&l, (long)(~0UL >> 1));
    holds(&l);
    qs_list_scroll(&l, -(long)(~0UL >> 1) - 1);
    assert_int_equal(l.top, 0);
}

static void mouse_hits(void **state)
{
    (void)state;
    struct qs_list l = { .at = { 2, 10, 5, 20 } };
    size_t line = 99;
    qs_list_set(&l, 30, 5);
    qs_list_to(&l, 10);
    const size_t top = l.top;
    struct qs_event e = mouse(QS_MOUSE_PRESS, 4, 12);
    assert_true(qs_list_hit(&l, &e, &line));
    assert_int_equal(line, top + 2);
    assert_true(qs_list_mouse(&l, &e));
    assert_int_equal(l.cursor, top + 2);
    e = mouse(QS_MOUSE_PRESS, 7, 12);
    assert_false(qs_list_mouse(&l, &e));
    e = mouse(QS_MOUSE_PRESS, 4, 9);
    assert_false(qs_list_mouse(&l, &e));
    e = mouse(QS_MOUSE_WHEEL_DOWN, 4, 12);
    assert_true(qs_list_mouse(&l, &e));
    assert_int_equal(l.top, top + 3);
    e = mouse(QS_MOUSE_PRESS, 4, 12);
    e.button = 3;
    assert_false(qs_list_mouse(&l, &e));
    qs_list_set(&l, 1, 5);
    e = mouse(QS_MOUSE_PRESS, 4, 12);
    assert_false(qs_list_hit(&l, &e, &line)); /* below the last line */
}

static void bar(void **state)
{
    (void)state;
    struct screen s;
    struct qs_list l = { 0 };
    screen_make(&s, 4, 1, true, QS_TIER_MONO);
    qs_list_set(&l, 16, 4);
    qs_list_draw_bar(&l, &s.canvas, &s.theme);
    screen_shows(&s, "#\n|\n|\n|\n");
    qs_list_move(&l, QS_LIST_END);
    qs_list_draw_bar(&l, &s.canvas, &s.theme);
    screen_shows(&s, "|\n|\n|\n#\n");
    screen_size(&s, 4, 1);
    qs_list_set(&l, 4, 4);
    qs_list_draw_bar(&l, &s.canvas, &s.theme);
    assert_true(screen_is_empty(&s));
    screen_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(moves), cmocka_unit_test(random_moves), cmocka_unit_test(mouse_hits),
                                        cmocka_unit_test(bar) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
