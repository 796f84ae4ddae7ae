/* Tables and whole reports: what is seen at which width, sorting, filter, search, marks, mouse; a hundred thousand rows;
 * any size; random events. */
#include "tests/ui/widgets.h"

#include <time.h>

#include "base/regex.h"
#include "ui/facts_view.h"
#include "ui/table_view.h"

static struct qs_regex *regex(const char *pattern)
{
    struct qs_regex *re = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_regex_compile(pattern, 0, &re, &e), QS_OK);
    return re;
}

struct table { struct screen s; struct qs_report *r; struct qs_table_view v; };

static void make(struct table *t, size_t rows, unsigned height, unsigned width)
{
    struct qs_err e = QS_ERR_INIT;
    screen_make(&t->s, height, width, false, QS_TIER_RGB);
    t->r = tensor_report(rows);
    t->v = (struct qs_table_view)QS_TABLE_VIEW_INIT;
    assert_int_equal(qs_table_view_set(&t->v, qs_report_section(t->r, 0), &e), QS_OK);
}

static void done(struct table *t)
{
    qs_table_view_free(&t->v);
    qs_report_free(t->r);
    screen_free(&t->s);
}

static void draw(struct table *t, const char *want)
{
    screen_size(&t->s, t->s.cells.rows, t->s.cells.cols);
    qs_table_view_draw(&t->v, &t->s.canvas, &t->s.theme);
    if (want)
        screen_shows(&t->s, want);
}

static void widths(void **state)
{
    (void)state;
    struct table t;
    const uint8_t marks[5] = { 0x06 };
    make(&t, 40, 4, 80);
    t.v.marks = marks;
    draw(&t, "   tensor                        size    error   bpw  note                    >\n"
             ">  blk.0.attn_q.weight        128 KiB   0.100%  4.50  kept by the preset       \u2588\n"
             " * blk.0.attn_k.weight       1.00 MiB  ~1.400%  5.50                           \u2502\n"
             " * blk.0.attn_output.weight   512 KiB  ~2.700%  6.50                           \u2502\n");
    assert_true(screen_look(&t.s, 1, 5, QS_LOOK_CURSOR));
    assert_true(screen_look(&t.s, 2, 5, QS_LOOK_MARK));
    assert_true(t.v.more_right && !t.v.more_left); /* kurtosis went */
    screen_size(&t.s, 3, 100);
    draw(&t, "   tensor                        size    error   bpw  kurtosis  note\n"
             ">  blk.0.attn_q.weight        128 KiB   0.100%  4.50      3.00  kept by the preset                 \u2588\n"
             " * blk.0.attn_k.weight       1.00 MiB  ~1.400%  5.50      3.01                                     \u2502\n");
    screen_size(&t.s, 4, 50);
    draw(&t, "   tensor                size    error  note    >\n"
             ">  blk.0.attn_q\u2026      128 KiB   0.100%  kept \u2026et \u2588\n"
             " * blk.0.attn_k\u2026     1.00 MiB  ~1.400%           \u2502\n"
             " * blk.0.att\u2026output   512 KiB  ~2.700%           \u2502\n");
    t.s.canvas.ascii = true;
    screen_size(&t.s, 4, 20);
    draw(&t, " tensor           >\n"
             ">blk.0.attn_q..    #\n"
             "*blk.0.attn_k..    |\n"
             "*blk.0.att..utput  |\n");
    screen_size(&t.s, 1, 40); /* the cursor's line alone */
    draw(&t, ">  blk.0.attn_q..     128 KiB   0.100% #\n");
    done(&t);
}

static void scrolling(void **state)
{
    (void)state;
    struct table t;
    make(&t, 40, 2, 44);
    draw(&t, NULL);
    assert_false(qs_table_view_scroll(&t.v, -1));
    assert_true(qs_table_view_scroll(&t.v, 1));
    draw(&t, "<  tensor                      error   bpw>\n"
             ">  blk.0.attn_q.weight        0.100%  4.50 \u2588\n");
    assert_true(qs_table_view_scroll(&t.v, 1));
    draw(&t, NULL);
    assert_true(qs_table_view_scroll(&t.v, 1)); /* columns that were left out are reached */
    draw(&t, "<  tensor                    kurtosis     >\n"
             ">  blk.0.attn_q.weight           3.00      \u2588\n");
    assert_true(qs_table_view_scroll(&t.v, 1));
    draw(&t, "<  tensor               note\n"
             ">  blk.0.attn_q.weight  kept by the preset \u2588\n");
    assert_false(qs_table_view_scroll(&t.v, 1));
    done(&t);
}

static void sorting(void **state)
{
    (void)state;
    struct table t;
    struct qs_err e = QS_ERR_INIT;
    make(&t, 40, 4, 70);
    qs_table_view_go(&t.v, 7);
    draw(&t, NULL);
    qs_table_view_sort(&t.v, 2, true);
    assert_int_equal(qs_table_view_row(&t.v), 7); /* the cursor stays with its row */
    qs_list_move(&t.v.list, QS_LIST_HOME);
    draw(&t, "   tensor                        size    error\u25BC note                >\n"
             ">  blk.7.attn_output.weight   896 KiB  ~9.400%                       \u2588\n"
             "   blk.4.attn_output.weight   128 KiB  ~9.300%                       \u2502\n"
             "   blk.1.attn_output.weight   768 KiB  ~9.200%                       \u2502\n");
    for (size_t i = 1; i < t.v.list.n; i++)
        assert_true(qs_section_cell(t.v.section, qs_table_view_row_at(&t.v, i - 1), 2)->num >=
                    qs_section_cell(t.v.section, qs_table_view_row_at(&t.v, i), 2)->num);
    qs_table_view_sort_reverse(&t.v);
    qs_list_move(&t.v.list, QS_LIST_HOME);
    assert_int_equal(qs_table_view_row(&t.v), 0);
    qs_table_view_sort_step(&t.v, 1); /* bpw and kurtosis are not seen */
    assert_int_equal(t.v.sort_column, 5);
    assert_false(t.v.sort_down);
    qs_table_view_sort_step(&t.v, 1);
    assert_int_equal(t.v.sort_column, QS_NO_COLUMN);
    assert_int_equal(qs_table_view_row_at(&t.v, 3), 3);
    qs_table_view_sort_step(&t.v, -1);
    qs_table_view_sort_step(&t.v, -1);
    assert_int_equal(t.v.sort_column, 2);
    assert_true(t.v.sort_down);
    /* A new report of the same rows: sorted by the same key, on the same row. */
    struct qs_report *again = tensor_report(40);
    qs_table_view_go(&t.v, 11);
    assert_int_equal(qs_table_view_set(&t.v, qs_report_section(again, 0), &e), QS_OK);
    assert_int_equal(t.v.sort_column, 2);
    assert_int_equal(qs_table_view_row(&t.v), 11);
    assert_int_equal(qs_table_view_set(&t.v, NULL, &e), QS_OK);
    assert_int_equal(qs_table_view_row(&t.v), QS_NO_ROW);
    draw(&t, "\n\n\n\n");
    qs_report_free(again);
    done(&t);
}

static bool down(void *ctx, size_t row) /* the rows named ffn_down */
{
    (void)ctx;
    return row % 5 == 3;
}

static bool nothing(void *ctx, size_t row)
{
    (void)ctx, (void)row;
    return false;
}

static bool odd(void *ctx, size_t row)
{
    (void)ctx;
    return row % 2 == 1;
}

static void finding(void **state)
{
    (void)state;
    struct table t;
    struct qs_regex *ffn = regex("ffn_d"), *none = regex("router");
    make(&t, 40, 4, 60);
    draw(&t, NULL);
    assert_int_equal(qs_table_view_find(&t.v, none, false), 0);
    assert_int_equal(qs_table_view_find(&t.v, ffn, false), 1);
    assert_int_equal(t.v.list.cursor, 3);
    assert_int_equal(qs_table_view_find(&t.v, ffn, true), 2);
    assert_int_equal(t.v.list.cursor, 38);
    assert_int_equal(qs_table_view_find(&t.v, ffn, false), 2);
    qs_table_view_go(&t.v, 5);
    qs_table_view_keep(&t.v, down, NULL);
    assert_int_equal(t.v.list.n, 8);
    assert_int_equal(qs_table_view_row(&t.v), 8); /* the next one that is left */
    assert_int_equal(qs_table_view_line(&t.v, 8), 1);
    assert_false(qs_table_view_go(&t.v, 9));
    qs_table_view_sort(&t.v, 0, true);
    assert_int_equal(qs_table_view_row_at(&t.v, 0), 38);
    t.v.search = ffn;
    draw(&t, NULL);
    assert_true(screen_look(&t.s, 1, 9, QS_LOOK_MATCH) || screen_look(&t.s, 2, 9, QS_LOOK_MATCH));
    qs_table_view_keep(&t.v, nothing, NULL);
    assert_int_equal(t.v.list.n, 0);
    draw(&t, "   tensor\u25BC                size    error  note              >\n   no row matches\n\n\n");
    qs_table_view_keep(&t.v, NULL, NULL);
    assert_int_equal(t.v.list.n, 40);
    qs_table_view_sort(&t.v, QS_NO_COLUMN, false);
    qs_table_view_keep(&t.v, odd, NULL);
    assert_int_equal(t.v.list.n, 20);
    assert_int_equal(qs_table_view_row_at(&t.v, 0), 1);
    qs_table_view_keep(&t.v, NULL, NULL);
    assert_int_equal(t.v.list.n, 40);
    /* What was found lies in what was left out of the name: all of it is shown as found. */
    struct qs_regex *middle = regex("output");
    t.v.search = middle;
    qs_table_view_go(&t.v, 0);
    screen_size(&t.s, 4, 14);
    draw(&t, NULL);
    assert_true(screen_look(&t.s, 3, 2, QS_LOOK_MATCH));
    assert_false(screen_look(&t.s, 2, 2, QS_LOOK_MATCH));
    qs_regex_free(ffn);
    qs_regex_free(none);
    qs_regex_free(middle);
    done(&t);
}

static enum qs_look warn(void *ctx, size_t row)
{
    return row == *(const size_t *)ctx ? QS_LOOK_WARNING : QS_LOOK_TEXT;
}

static void looks_and_mouse(void **state)
{
    (void)state;
    struct table t;
    size_t bad = 2, where = 0;
    make(&t, 40, 6, 60);
    t.v.look = warn;
    t.v.look_ctx = &bad;
    t.v.focus = false;
    draw(&t, NULL);
    assert_true(screen_look(&t.s, 1, 5, QS_LOOK_CURSOR_AWAY));
    assert_true(screen_look(&t.s, 3, 5, QS_LOOK_WARNING));
    assert_true(screen_look(&t.s, 4, 5, QS_LOOK_TEXT));
    struct qs_event e = mouse(QS_MOUSE_PRESS, 3, 5);
    assert_int_equal(qs_table_view_mouse(&t.v, &e, &where), QS_TABLE_MOVED);
    assert_int_equal(where, 2);
    e = mouse(QS_MOUSE_PRESS, 0, t.v.column[1].x + 1);
    assert_int_equal(qs_table_view_mouse(&t.v, &e, &where), QS_TABLE_HEAD);
    assert_int_equal(where, 1);
    e = mouse(QS_MOUSE_PRESS, 0, 1);
    assert_int_equal(qs_table_view_mouse(&t.v, &e, NULL), QS_TABLE_ELSEWHERE);
    e = mouse(QS_MOUSE_WHEEL_DOWN, 3, 5);
    assert_int_equal(qs_table_view_mouse(&t.v, &e, NULL), QS_TABLE_MOVED);
    assert_int_equal(t.v.list.top, 3);
    done(&t);
}

/* Hostile names, empty tables, cells of other kinds than their column. */
static void odd_content(void **state)
{
    (void)state;
    static const struct qs_column columns[] = { { .key = "a", .title = "na\x1bme", .left = true }, { .key = "b", .title = "b" },
                                                { .key = "c", .title = "nothing", .left = true } };
    struct qs_report *r = qs_report_new("x");
    struct qs_section *s = qs_report_table(r, "t", "T", columns, 3), *empty = qs_report_table(r, "e", "E", columns, 3);
    struct qs_err e = QS_ERR_INIT;
    struct qs_table_view v = QS_TABLE_VIEW_INIT;
    struct screen screen;
    qs_row(s);
    qs_cell_str(s, 0, "\x1b[31m\xff\nx");
    qs_cell_bool(s, 1, true);
    qs_row(s);
    qs_cell_int(s, 0, -5);
    screen_make(&screen, 3, 40, true, QS_TIER_MONO);
    assert_int_equal(qs_table_view_set(&v, s, &e), QS_OK);
    qs_table_view_draw(&v, &screen.canvas, &screen.theme);
    screen_shows(&screen, "   na\\x1Bme           b\n>  \\x1B[31m\\xFF\\nx  yes\n   -5                 -\n");
    assert_int_equal(qs_table_view_set(&v, empty, &e), QS_OK);
    qs_table_view_draw(&v, &screen.canvas, &screen.theme);
    screen_shows(&screen, "   na\\x1Bme  b  nothing\n   no rows\n\n");
    qs_table_view_free(&v);
    qs_report_free(r);
    screen_free(&screen);
}

static void any_size(void **state)
{
    (void)state;
    struct table t;
    const uint8_t marks[4] = { 0xAA, 0x55, 0xFF };
    struct qs_regex *re = regex("[aeiou]+|");
    make(&t, 23, 1, 1);
    t.v.marks = marks;
    t.v.search = re;
    for (int mode = 0; mode < 4; mode++) {
        screen_free(&t.s);
        screen_make(&t.s, 1, 1, mode % 2, mode / 2 ? QS_TIER_MONO : QS_TIER_RGB);
        for (unsigned cols = 1; cols < 100; cols += 1 + cols / 20)
            for (unsigned rows = 1; rows < 12; rows += 3) {
                screen_size(&t.s, rows, cols);
                t.v.left = cols % 5;
                draw(&t, NULL);
                assert_false(screen_is_empty(&t.s));
                assert_true(!t.s.canvas.ascii || screen_is_ascii(&t.s));
            }
    }
    qs_regex_free(re);
    done(&t);
}

static void random_events(void **state)
{
    (void)state;
    struct table t;
    uint32_t seed = 99;
    struct qs_regex *re = regex("blk.[0-4]");
    make(&t, 60, 10, 60);
    for (int i = 0; i < 8000; i++) {
        const struct qs_event e = random_event(&seed, t.s.cells.rows, t.s.cells.cols);
        const uint32_t x = next_random(&seed);
        switch (e.kind == QS_EVENT_MOUSE ? 99 : x % 9) {
        case 0: qs_table_view_sort_step(&t.v, x & 256 ? 1 : -1); break;
        case 1: qs_table_view_keep(&t.v, x & 256 ? odd : x & 512 ? nothing : NULL, NULL); break;
        case 2: qs_table_view_scroll(&t.v, x & 256 ? 1 : -1); break;
        case 3: qs_table_view_find(&t.v, re, x & 256); break;
        case 4: qs_table_view_sort_reverse(&t.v); break;
        case 5: screen_size(&t.s, 1 + x / 16 % 12, 1 + x / 256 % 90); break;
        case 99: qs_table_view_mouse(&t.v, &e, NULL); break;
        default: qs_list_move(&t.v.list, qs_list_key(e.key));
        }
        if (i % 3 == 0)
            draw(&t, NULL);
        const size_t row = qs_table_view_row(&t.v);
        assert_true(t.v.list.n ? row < 60 : row == QS_NO_ROW);
    }
    qs_regex_free(re);
    done(&t);
}

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/* A hundred thousand rows: frames take as long as those of a few. The limit is wide: machines under test are busy. */
static void large(void **state)
{
    (void)state;
    struct table t;
    make(&t, 100000, 50, 120);
    double from = seconds();
    draw(&t, NULL);
    const double first = seconds() - from;
    from = seconds();
    for (int i = 0; i < 100; i++) {
        qs_list_move(&t.v.list, QS_LIST_PAGE_DOWN);
        draw(&t, NULL);
    }
    const double frame = (seconds() - from) / 100;
    from = seconds();
    qs_table_view_sort(&t.v, 2, true);
    const double sort = seconds() - from;
    print_message("100,000 rows: first frame %.1f ms, frame %.2f ms, sort %.1f ms\n", first * 1e3, frame * 1e3, sort * 1e3);
    assert_true(frame < (QS_TEST_SANITIZED ? 0.2 : 0.03));
    done(&t);
}

static int set_body(void *ctx, struct qs_err *e)
{
    struct qs_table_view v = QS_TABLE_VIEW_INIT;
    const int rc = qs_table_view_set(&v, ctx, e);
    assert_true(rc == QS_OK || v.section == NULL);
    qs_table_view_free(&v);
    return rc;
}

static void memory(void **state)
{
    (void)state;
    struct qs_report *r = tensor_report(10);
    qs_test_each_alloc(set_body, qs_report_section(r, 0));
    qs_report_free(r);
}

/* ---- reports as text ---- */

static void text_of_report(void **state)
{
    (void)state;
    struct screen s;
    struct qs_report *r = tensor_report(40);
    struct qs_facts_view v = QS_FACTS_VIEW_INIT;
    struct qs_regex *re = regex("blk\\.3\\.");
    screen_make(&s, 5, 60, true, QS_TIER_RGB);
    qs_facts_view_set(&v, r);
    assert_int_equal(qs_facts_view_find(&v, re, false), 0); /* no lines yet */
    qs_facts_view_draw(&v, &s.canvas, &s.theme);
    screen_shows(&s, " Tensors                                                   #\n"
                     "   tensor                        size    error  note       |\n"
                     "   ------------------------  --------  -------  ----       |\n"
                     "   blk.0.attn_q.weight        128 KiB   0.100%             |\n"
                     "       kept by the preset                                  |\n");
    assert_true(screen_look(&s, 0, 1, QS_LOOK_TITLE) && screen_look(&s, 3, 4, QS_LOOK_TEXT));
    assert_int_equal(v.n, 55);
    v.search = re;
    assert_int_equal(qs_facts_view_find(&v, re, false), 1);
    qs_facts_view_draw(&v, &s.canvas, &s.theme);
    screen_shows(&s, "   blk.2.ffn_down.weight      512 KiB  ~7.300%             |\n"
                     "   blk.2.ffn_up.weight       1.38 MiB  ~8.600%             |\n"
                     ">  blk.3.attn_q.weight        896 KiB   0.200%             #\n"
                     "   blk.3.attn_k.weight        384 KiB  ~1.500%             |\n"
                     "       kept by the preset                                  |\n");
    assert_true(screen_look(&s, 2, 3, QS_LOOK_MATCH));
    assert_int_equal(qs_facts_view_find(&v, re, true), 2);
    assert_false(qs_facts_view_move(&v, QS_LIST_STAY));
    qs_facts_view_move(&v, QS_LIST_END);
    assert_int_equal(v.top, v.n - 5);
    assert_true(qs_facts_view_move(&v, QS_LIST_PAGE_UP));
    struct qs_event e = mouse(QS_MOUSE_WHEEL_UP, 1, 1);
    const size_t top = v.top;
    assert_true(qs_facts_view_mouse(&v, &e));
    assert_int_equal(v.top, top - 3);
    for (unsigned rows = 1; rows < 8; rows += 3)
        for (unsigned cols = 1; cols < 70; cols++) {
            screen_size(&s, rows, cols);
            qs_facts_view_draw(&v, &s.canvas, &s.theme);
            assert_true(screen_is_ascii(&s));
        }
    qs_facts_view_set(&v, NULL);
    qs_facts_view_draw(&v, &s.canvas, &s.theme);
    assert_true(screen_is_empty(&s));
    qs_facts_view_free(&v);
    qs_regex_free(re);
    qs_report_free(r);
    screen_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths), cmocka_unit_test(scrolling), cmocka_unit_test(sorting), cmocka_unit_test(finding),
        cmocka_unit_test(looks_and_mouse), cmocka_unit_test(odd_content), cmocka_unit_test(any_size),
        cmocka_unit_test(random_events), cmocka_unit_test(large), cmocka_unit_test(memory), cmocka_unit_test(text_of_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
