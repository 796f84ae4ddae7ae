/* Popups: the fuzzy filter, picking one of many, questions; the mouse; any size; random events. */
#include "tests/ui/widgets.h"

#include "ui/ask.h"
#include "ui/fuzzy.h"
#include "ui/layout.h"
#include "ui/pick.h"

/* ---- fuzzy ---- */

static void better(const char *pattern, const char *a, const char *b)
{
    const int x = qs_fuzzy(pattern, a, NULL, NULL), y = qs_fuzzy(pattern, b, NULL, NULL);
    if (x <= y)
        print_message("'%s' in '%s': %d, in '%s': %d\n", pattern, a, x, b, y);
    assert_true(x > y);
}

static void fuzzy(void **state)
{
    (void)state;
    size_t at[QS_FUZZY_LETTERS], n;
    assert_int_equal(qs_fuzzy("", "anything", at, &n), 0);
    assert_int_equal(qs_fuzzy("xyz", "zyx", NULL, NULL), QS_FUZZY_NONE);
    assert_int_equal(qs_fuzzy("a", "", NULL, NULL), QS_FUZZY_NONE);
    better("sr", "save recipe", "insert here");
    better("save", "save recipe", "set a value");
    better("q4", "Q4_K", "IQ4_XS");
    better("gtl", "go to layer", "gentle line");
    better("map", "map", "map screen of a very long text that goes on for more than sixty-four bytes in all");
    assert_true(qs_fuzzy("sr", "SAVE RECIPE", NULL, NULL) > 0);
    assert_true(qs_fuzzy("s r", "save recipe", NULL, NULL) == qs_fuzzy("sr", "save recipe", NULL, NULL));
    assert_true(qs_fuzzy("re", "save recipe", at, &n) > 0);
    assert_int_equal(n, 2);
    assert_int_equal(at[0], 5); /* the word start, not the earlier e */
    assert_int_equal(at[1], 6);
    char text[2 * QS_FUZZY_TEXT], pattern[2 * QS_FUZZY_LETTERS];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    memset(pattern, 'a', sizeof pattern - 1);
    pattern[sizeof pattern - 1] = 0;
    assert_true(qs_fuzzy(pattern, text, at, &n) > 0);
    assert_int_equal(n, QS_FUZZY_LETTERS);
    for (size_t i = 1; i < n; i++)
        assert_true(at[i] > at[i - 1]);
}

/* Places are those of an alignment: in order, each letter itself. */
static void fuzzy_places(void **state)
{
    (void)state;
    uint32_t seed = 5;
    for (int i = 0; i < 3000; i++) {
        char text[40] = "", pattern[6] = "";
        size_t at[QS_FUZZY_LETTERS], n;
        for (size_t k = 0; k < sizeof text - 1; k++)
            text[k] = "abC_ d"[next_random(&seed) % 6];
        for (size_t k = 0; k < 1 + (size_t)i % 5; k++)
            pattern[k] = "abcd"[next_random(&seed) % 4];
        if (qs_fuzzy(pattern, text, at, &n) == QS_FUZZY_NONE)
            continue;
        assert_int_equal(n, strlen(pattern));
        for (size_t k = 0; k < n; k++) {
            assert_int_equal(text[at[k]] | 32, pattern[k]);
            assert_true(k == 0 || at[k] > at[k - 1]);
        }
    }
}

/* ---- pick ---- */

static unsigned asked; /* times that an item was asked for */

static void item(void *ctx, size_t i, struct qs_pick_item *out)
{
    static const char *const label[] = { "go to layer", "quantize", "save recipe", "load recipe", "Q4_K", "Q5_K", "set type" };
    static char size[32], many[32];
    asked++;
    out->label = label[i % 7];
    if (ctx) { /* thousands of them, with numbers */
        snprintf(many, sizeof many, "%s %zu", label[i % 7], i);
        out->label = many;
    }
    snprintf(size, sizeof size, "%zu MiB", i * 7);
    out->detail[0] = size;
    out->detail[1] = "4.50";
    out->key = i % 2 ? "Ctrl-S" : "q";
    out->disabled = i == 3 ? "no recipe is saved yet" : NULL;
    out->current = i == 4;
}

static const struct qs_pick_source commands = { .title = "Commands", .n = 7, .item = item, .head = { "size", "bpw" },
                                                .label_head = "command", .numbers = 1 };

static enum qs_pick_result press(struct qs_pick *p, uint32_t k, size_t *which)
{
    const struct qs_event e = key(k);
    return qs_pick_event(p, &e, which);
}

static void draw(struct qs_pick *p, struct screen *s, const char *want)
{
    int row, col;
    screen_size(s, s->cells.rows, s->cells.cols);
    qs_pick_draw(p, &s->canvas, &s->theme, &row, &col);
    assert_true(row >= 0 && row < (int)s->cells.rows && col >= 0 && col < (int)s->cells.cols);
    if (want)
        screen_shows(s, want);
}

static void picking(void **state)
{
    (void)state;
    struct qs_pick p;
    struct qs_err e = QS_ERR_INIT;
    struct screen s;
    size_t which = 99;
    screen_make(&s, 12, 44, true, QS_TIER_RGB);
    assert_int_equal(qs_pick_open(&p, &commands, &e), QS_OK);
    draw(&p, &s, "   +- Commands -------------------------+\n"
                 "   |> type to filter                    |\n"
                 "   |  command        size  bpw          |\n"
                 "   |> go to layer   0 MiB  4.50        q|\n"
                 "   |  quantize      7 MiB  4.50   Ctrl-S|\n"
                 "   |  save recipe  14 MiB  4.50        q|\n"
                 "   |  load recipe  no recipe i..  Ctrl-S|\n"
                 "   | *Q4_K         28 MiB  4.50        q|\n"
                 "   |  Q5_K         35 MiB  4.50   Ctrl-S|\n"
                 "   |  set type     42 MiB  4.50        q|\n"
                 "   |                            1-7 of 7|\n"
                 "   +------------------------------------+\n");
    press(&p, QS_KEY_DOWN, &which);
    assert_int_equal(press(&p, QS_KEY_ENTER, &which), QS_PICK_PICKED);
    assert_int_equal(which, 1);
    press(&p, 'r', &which);
    press(&p, 'e', &which);
    draw(&p, &s, "   +- Commands -------------------------+\n"
                 "   |> re                                |\n"
                 "   |  command        size  bpw          |\n"
                 "   |> save recipe  14 MiB  4.50        q|\n"
                 "   |  load recipe  no recipe i..  Ctrl-S|\n"
                 "   |                                    |\n"
                 "   |                                    |\n"
                 "   |                                    |\n"
                 "   |                                    |\n"
                 "   |                                    |\n"
                 "   |                            1-2 of 2|\n"
                 "   +------------------------------------+\n");
    assert_true(qs_cells_at(&s.cells, 3, 11)->style.attr & QS_UNDERLINE); /* the r of recipe */
    assert_false(qs_cells_at(&s.cells, 3, 9)->style.attr & QS_UNDERLINE);
    press(&p, QS_KEY_DOWN, &which);
    assert_int_equal(press(&p, QS_KEY_ENTER, &which), QS_PICK_GOES_ON);
    assert_string_equal(p.refused, "no recipe is saved yet");
    draw(&p, &s, NULL);
    assert_true(screen_look(&s, 10, 5, QS_LOOK_WARNING));
    press(&p, 'x', &which);
    assert_false(qs_pick_current(&p, &which));
    assert_int_equal(press(&p, QS_KEY_ENTER, &which), QS_PICK_GOES_ON);
    press(&p, QS_CTRL | 'u', &which);
    assert_int_equal(p.list.n, 7);
    struct qs_event m = mouse(QS_MOUSE_PRESS, 5, 12);
    draw(&p, &s, NULL);
    assert_int_equal(qs_pick_event(&p, &m, &which), QS_PICK_PICKED);
    assert_int_equal(which, 2);
    m = mouse(QS_MOUSE_PRESS, 5, 1);
    assert_int_equal(qs_pick_event(&p, &m, &which), QS_PICK_CANCELLED);
    assert_int_equal(press(&p, QS_KEY_ESC, &which), QS_PICK_CANCELLED);
    qs_pick_close(&p);
    screen_free(&s);
}

static void many(void **state)
{
    (void)state;
    struct qs_pick p;
    struct qs_err e = QS_ERR_INIT;
    struct screen s;
    size_t which = 0;
    struct qs_pick_source from = commands;
    from.n = 10000;
    from.first = 5000;
    from.ctx = &s;
    screen_make(&s, 20, 80, false, QS_TIER_256);
    assert_int_equal(qs_pick_open(&p, &from, &e), QS_OK);
    draw(&p, &s, NULL);
    assert_true(qs_pick_current(&p, &which));
    assert_int_equal(which, 5000);
    asked = 0;
    draw(&p, &s, NULL);
    assert_true(asked <= 20); /* a frame asks for what it shows */
    const struct qs_event text = paste("save 9998");
    qs_pick_event(&p, &text, &which);
    assert_int_equal(press(&p, QS_KEY_ENTER, &which), QS_PICK_PICKED);
    assert_int_equal(which, 9998);
    press(&p, QS_KEY_BACKSPACE, &which);
    press(&p, '7', &which);
    assert_int_equal(p.list.n, 0); /* 9997 is another one */
    qs_pick_close(&p);
    screen_free(&s);
}

static void any_size(void **state)
{
    (void)state;
    struct qs_pick p;
    struct qs_ask a = { .title = "Quit?", .text = "A file is being written.\nIt goes on next time.", .answer = { { 'q', "quit" }, { 'w', "wait" } } };
    struct qs_err e = QS_ERR_INIT;
    struct screen s;
    size_t which;
    assert_int_equal(qs_pick_open(&p, &commands, &e), QS_OK);
    press(&p, 'e', &which);
    for (int mode = 0; mode < 4; mode++) {
        screen_make(&s, 1, 1, mode % 2, mode / 2 ? QS_TIER_MONO : QS_TIER_RGB);
        for (unsigned rows = 1; rows < 20; rows++)
            for (unsigned cols = 1; cols < 80; cols += 1 + cols / 16) {
                screen_size(&s, rows, cols);
                draw(&p, &s, NULL);
                assert_false(rows * cols > 1 && screen_is_empty(&s)); /* one cell: the typing cursor is all there is */
                assert_true(!s.canvas.ascii || screen_is_ascii(&s));
                screen_size(&s, rows, cols);
                a.chosen = cols % 4;
                qs_ask_draw(&a, &s.canvas, &s.theme);
                assert_false(rows * cols > 1 && screen_is_empty(&s));
                assert_true(!s.canvas.ascii || screen_is_ascii(&s));
            }
        screen_free(&s);
    }
    qs_pick_close(&p);
}

static void random_events(void **state)
{
    (void)state;
    uint32_t seed = 4711;
    struct qs_pick p;
    struct qs_ask a = { .title = "t", .text = "Some words of a question that is wrapped", .answer = { { 'o', "overwrite" }, { 'r', "rename" } } };
    struct qs_err e = QS_ERR_INIT;
    struct screen s;
    screen_make(&s, 10, 40, false, QS_TIER_16);
    assert_int_equal(qs_pick_open(&p, &commands, &e), QS_OK);
    for (int i = 0; i < 8000; i++) {
        size_t which = 99;
        const struct qs_event ev = random_event(&seed, s.cells.rows, s.cells.cols);
        const enum qs_pick_result r = qs_pick_event(&p, &ev, &which);
        assert_true(r != QS_PICK_PICKED || (which < 7 && which != 3));
        const int answer = qs_ask_event(&a, &ev);
        assert_true(answer >= QS_ASK_CANCELLED && answer < 2);
        if (next_random(&seed) % 40 == 0)
            screen_size(&s, 1 + next_random(&seed) % 14, 1 + next_random(&seed) % 70);
        if (p.filter.len > 3)
            qs_edit_set(&p.filter, "");
        if (i % 3 == 0) {
            draw(&p, &s, NULL);
            qs_ask_draw(&a, &s.canvas, &s.theme);
        }
    }
    qs_pick_close(&p);
    screen_free(&s);
}

static int open_body(void *ctx, struct qs_err *e)
{
    struct qs_pick p;
    const int rc = qs_pick_open(&p, ctx, e);
    qs_pick_close(&p);
    return rc;
}

static void memory(void **state)
{
    (void)state;
    struct qs_pick_source from = commands;
    qs_test_each_alloc(open_body, &from);
}

/* ---- ask ---- */

static int answer(struct qs_ask *a, uint32_t k)
{
    const struct qs_event e = key(k);
    return qs_ask_event(a, &e);
}

static void asking(void **state)
{
    (void)state;
    struct screen s;
    struct qs_ask a = { .title = "File exists", .text = "demo-Q4_K_M.gguf is there already. It was written 3 days ago.\nWhat shall be done?",
                        .answer = { { 'o', "overwrite" }, { 'r', "rename" } }, .chosen = 2 };
    screen_make(&s, 9, 60, true, QS_TIER_MONO);
    qs_ask_draw(&a, &s.canvas, &s.theme);
    screen_shows(&s, "\n"
                     "+- File exists --------------------------------------------+\n"
                     "|demo-Q4_K_M.gguf is there already. It was written 3 days  |\n"
                     "|ago.                                                      |\n"
                     "|What shall be done?                                       |\n"
                     "|                                                          |\n"
                     "| o overwrite   r rename  [Esc cancel]                     |\n"
                     "+----------------------------------------------------------+\n\n");
    assert_int_equal(answer(&a, 'o'), 0);
    assert_int_equal(answer(&a, 'R'), 1);
    assert_int_equal(answer(&a, 'x'), QS_ASK_GOES_ON);
    assert_int_equal(answer(&a, QS_KEY_ENTER), QS_ASK_CANCELLED);
    assert_int_equal(answer(&a, QS_KEY_RIGHT), QS_ASK_GOES_ON);
    assert_int_equal(answer(&a, QS_KEY_ENTER), 0);
    assert_int_equal(answer(&a, QS_KEY_LEFT), QS_ASK_GOES_ON);
    assert_int_equal(answer(&a, QS_SHIFT | QS_KEY_TAB), QS_ASK_GOES_ON);
    assert_int_equal(answer(&a, QS_KEY_ENTER), 1);
    assert_int_equal(answer(&a, QS_KEY_ESC), QS_ASK_CANCELLED);
    struct qs_event e = mouse(QS_MOUSE_PRESS, 6, 17);
    assert_int_equal(qs_ask_event(&a, &e), 1);
    e = mouse(QS_MOUSE_PRESS, 6, 30);
    assert_int_equal(qs_ask_event(&a, &e), QS_ASK_CANCELLED);
    e = mouse(QS_MOUSE_PRESS, 2, 30);
    assert_int_equal(qs_ask_event(&a, &e), QS_ASK_GOES_ON);
    /* Too small: the text scrolls, the answer that Enter takes stays in view. */
    screen_size(&s, 4, 14);
    answer(&a, QS_KEY_DOWN);
    answer(&a, QS_KEY_DOWN);
    qs_ask_draw(&a, &s.canvas, &s.theme);
    screen_shows(&s, "+- File e.. -+\n|there      v|\n|[r rename]  |\n+------------+\n");
    screen_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(fuzzy), cmocka_unit_test(fuzzy_places), cmocka_unit_test(picking),
                                        cmocka_unit_test(many), cmocka_unit_test(any_size), cmocka_unit_test(random_events),
                                        cmocka_unit_test(memory), cmocka_unit_test(asking) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
