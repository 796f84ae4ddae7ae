/* The line editor: every key, characters of all widths, the limit, history, completion, any size; random events leave
 * the text whole. */
#include "tests/ui/widgets.h"

#include "base/unicode.h"
#include "ui/edit.h"

#define WIDE "\xE6\xA8\xA1"    /* two cells */
#define ACUTE "e\xCC\x81"      /* two code points, one character */

static enum qs_edit_result press(struct qs_edit *ed, uint32_t k)
{
    const struct qs_event e = key(k);
    return qs_edit_event(ed, &e);
}

static void type(struct qs_edit *ed, const char *text)
{
    for (size_t at = 0, n = strlen(text); at < n;)
        assert_int_equal(press(ed, qs_utf8_next(text, n, &at)), QS_EDIT_GOES_ON);
}

/* Text and cursor, as "ab|c". */
static void is(const struct qs_edit *ed, const char *want)
{
    struct qs_str s = QS_STR_INIT;
    qs_str_addn(&s, ed->text, ed->at);
    qs_str_addc(&s, '|');
    qs_str_add(&s, ed->text + ed->at);
    assert_string_equal(s.data, want);
    assert_int_equal(strlen(ed->text), ed->len);
    qs_str_free(&s);
}

static void keys(void **state)
{
    (void)state;
    struct qs_edit ed = QS_EDIT_INIT;
    type(&ed, "blk.1 attn");
    is(&ed, "blk.1 attn|");
    press(&ed, QS_CTRL | 'a');
    is(&ed, "|blk.1 attn");
    press(&ed, QS_CTRL | QS_KEY_RIGHT);
    is(&ed, "blk|.1 attn");
    press(&ed, QS_KEY_DELETE);
    press(&ed, QS_KEY_BACKSPACE);
    is(&ed, "bl|1 attn");
    press(&ed, QS_KEY_END);
    press(&ed, QS_CTRL | QS_KEY_LEFT);
    is(&ed, "bl1 |attn");
    press(&ed, QS_CTRL | 'k');
    is(&ed, "bl1 |");
    press(&ed, QS_CTRL | 'w');
    is(&ed, "|");
    press(&ed, QS_CTRL | 'w');
    press(&ed, QS_KEY_BACKSPACE);
    press(&ed, QS_KEY_DELETE);
    press(&ed, QS_KEY_LEFT);
    press(&ed, QS_KEY_RIGHT);
    press(&ed, QS_CTRL | QS_KEY_LEFT);
    press(&ed, QS_CTRL | QS_KEY_RIGHT);
    is(&ed, "|");
    type(&ed, "abc");
    press(&ed, QS_KEY_LEFT);
    press(&ed, QS_CTRL | 'u');
    is(&ed, "|c");
    assert_int_equal(press(&ed, QS_KEY_F1), QS_EDIT_IGNORED);
    assert_int_equal(press(&ed, QS_KEY_TAB), QS_EDIT_IGNORED);
    assert_int_equal(press(&ed, QS_KEY_UP), QS_EDIT_GOES_ON);
    assert_int_equal(press(&ed, QS_KEY_ENTER), QS_EDIT_ACCEPTED);
    assert_int_equal(press(&ed, QS_KEY_ESC), QS_EDIT_CANCELLED);
    assert_int_equal(press(&ed, QS_CTRL | 'c'), QS_EDIT_CANCELLED);
    is(&ed, "|c");
    qs_edit_free(&ed);
}

static void characters(void **state)
{
    (void)state;
    struct qs_edit ed = QS_EDIT_INIT;
    type(&ed, "a" WIDE ACUTE "\xC3\xA9\xF0\x9F\x98\x80z");
    is(&ed, "a" WIDE ACUTE "\xC3\xA9\xF0\x9F\x98\x80z|");
    press(&ed, QS_KEY_LEFT);
    press(&ed, QS_KEY_LEFT);
    press(&ed, QS_KEY_LEFT);
    is(&ed, "a" WIDE ACUTE "|\xC3\xA9\xF0\x9F\x98\x80z");
    press(&ed, QS_KEY_BACKSPACE); /* the mark goes with its letter */
    is(&ed, "a" WIDE "|\xC3\xA9\xF0\x9F\x98\x80z");
    press(&ed, QS_KEY_BACKSPACE);
    is(&ed, "a|\xC3\xA9\xF0\x9F\x98\x80z");
    /* Nothing that a terminal acts on is let in, whichever way. */
    assert_int_equal(press(&ed, 0x202E), QS_EDIT_IGNORED);
    assert_int_equal(press(&ed, 0x85), QS_EDIT_IGNORED);
    assert_int_equal(press(&ed, 0xD800), QS_EDIT_IGNORED);
    assert_int_equal(press(&ed, 0x110000 + 500), QS_EDIT_IGNORED);
    qs_edit_set(&ed, "");
    const struct qs_event e = paste("x\x1b[31m\xff y\n");
    qs_edit_event(&ed, &e);
    is(&ed, "x[31m y|");
    qs_edit_set(&ed, "ab");
    press(&ed, QS_KEY_HOME);
    press(&ed, 0x301);
    type(&ed, "c"); /* a letter before a mark takes it: the cursor stays on a border */
    is(&ed, "\xCC\x81" "c|ab");
    qs_edit_free(&ed);
}

static void limit(void **state)
{
    (void)state;
    static char text[QS_EDIT_MAX + 100];
    struct qs_edit ed = QS_EDIT_INIT;
    memset(text, 'x', sizeof text - 1);
    memcpy(text + QS_EDIT_MAX - 1, WIDE, 3);
    qs_edit_set(&ed, text);
    assert_int_equal(ed.len, QS_EDIT_MAX - 1); /* no half of a character */
    qs_edit_insert(&ed, "two");
    assert_int_equal(ed.len, QS_EDIT_MAX - 1); /* all or nothing */
    press(&ed, 0xE9);
    assert_int_equal(ed.len, QS_EDIT_MAX - 1);
    type(&ed, "yz");
    assert_int_equal(ed.len, QS_EDIT_MAX);
    assert_int_equal(ed.text[QS_EDIT_MAX - 1], 'y');
    qs_edit_free(&ed);
}

static void history(void **state)
{
    (void)state;
    struct qs_typed h = { .n = 0 };
    struct qs_edit ed = { .history = &h };
    type(&ed, "one");
    press(&ed, QS_KEY_ENTER);
    qs_edit_set(&ed, "two");
    press(&ed, QS_KEY_ENTER);
    press(&ed, QS_KEY_ENTER); /* not twice */
    qs_edit_set(&ed, "");
    press(&ed, QS_KEY_ENTER); /* nor empty */
    assert_int_equal(h.n, 2);
    type(&ed, "draft");
    press(&ed, QS_KEY_UP);
    is(&ed, "two|");
    press(&ed, QS_CTRL | 'p');
    is(&ed, "one|");
    press(&ed, QS_KEY_UP);
    is(&ed, "one|");
    press(&ed, QS_KEY_DOWN);
    press(&ed, QS_CTRL | 'n');
    is(&ed, "draft|");
    press(&ed, QS_KEY_DOWN);
    is(&ed, "draft|");
    for (int i = 0; i < QS_TYPED_MAX + 5; i++) {
        char line[16];
        snprintf(line, sizeof line, "%d", i);
        qs_typed_add(&h, line);
    }
    assert_int_equal(h.n, QS_TYPED_MAX);
    assert_string_equal(h.line[0], "5");
    press(&ed, QS_KEY_UP);
    qs_edit_free(&ed); /* with a draft kept */
    qs_typed_free(&h);
}

static void offer(void *ctx, const char *text, size_t at, struct qs_candidates *out)
{
    static const char *const word[] = { "quantize", "quit", "save", "save-screen", "\xC3\xA9t\xC3\xA9", "\xC3\xAAtre" };
    const char *blank = memrchr(text, ' ', at);
    (void)ctx;
    out->start = blank ? (size_t)(blank - text) + 1 : 0;
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (strncmp(word[i], text + out->start, at - out->start) == 0)
            qs_candidates_add(out, word[i], i == 0 ? "write the file" : "");
}

static void completion(void **state)
{
    (void)state;
    struct qs_edit ed = { .complete = offer };
    struct screen s;
    screen_make(&s, 1, 40, false, QS_TIER_MONO);
    type(&ed, "x q");
    press(&ed, QS_KEY_TAB);
    is(&ed, "x qu|");
    qs_edit_draw_candidates(&ed, &s.canvas, &s.theme);
    screen_shows(&s, " quantize  quit                   0 of 2\n");
    press(&ed, QS_KEY_TAB);
    is(&ed, "x quantize|");
    press(&ed, QS_KEY_TAB);
    is(&ed, "x quit|");
    qs_edit_draw_candidates(&ed, &s.canvas, &s.theme);
    screen_shows(&s, " quantize [quit]                  2 of 2\n");
    press(&ed, QS_KEY_TAB);
    is(&ed, "x quantize|");
    press(&ed, QS_SHIFT | QS_KEY_TAB);
    is(&ed, "x quit|");
    screen_size(&s, 3, 40);
    assert_int_equal(qs_edit_candidate_rows(&ed, 8), 2);
    qs_edit_draw_candidates(&ed, &s.canvas, &s.theme);
    screen_shows(&s, "  quantize  write the file\n> quit\n\n");
    assert_int_equal(press(&ed, QS_KEY_ESC), QS_EDIT_GOES_ON); /* takes back what was offered */
    is(&ed, "x qu|");
    assert_int_equal(qs_edit_candidate_rows(&ed, 8), 0);
    type(&ed, "a");
    press(&ed, QS_KEY_TAB); /* the only one */
    is(&ed, "x quantize|");
    assert_int_equal(ed.found.n, 0);
    qs_edit_set(&ed, "sa");
    press(&ed, QS_KEY_TAB);
    is(&ed, "save|");
    press(&ed, QS_SHIFT | QS_KEY_TAB);
    is(&ed, "save-screen|");
    type(&ed, "!");
    is(&ed, "save-screen!|");
    press(&ed, QS_KEY_TAB); /* nothing fits */
    is(&ed, "save-screen!|");
    qs_edit_set(&ed, "");
    press(&ed, QS_KEY_TAB); /* nothing in common: the first one, at once */
    is(&ed, "quantize|");
    press(&ed, QS_KEY_TAB);
    qs_edit_free(&ed);
    screen_free(&s);
}

static int draw(struct qs_edit *ed, struct screen *s, const char *want)
{
    const int at = qs_edit_draw(ed, &s->canvas, &s->theme, ":", "a command");
    screen_shows(s, want);
    return at;
}

static void drawing(void **state)
{
    (void)state;
    struct qs_edit ed = QS_EDIT_INIT;
    struct screen s;
    screen_make(&s, 1, 12, false, QS_TIER_RGB);
    assert_int_equal(draw(&ed, &s, ":a command\n"), 1);
    assert_true(screen_look(&s, 0, 1, QS_LOOK_HINT));
    type(&ed, "abcdefghij");
    assert_int_equal(draw(&ed, &s, ":abcdefghij\n"), 11);
    type(&ed, "k");
    assert_int_equal(draw(&ed, &s, ":bcdefghijk\n"), 11);
    press(&ed, QS_KEY_HOME);
    assert_int_equal(draw(&ed, &s, ":abcdefghijk\n"), 1);
    press(&ed, QS_KEY_END);
    type(&ed, WIDE WIDE);
    assert_int_equal(draw(&ed, &s, ":fghijk" WIDE WIDE "\n"), 11);
    press(&ed, QS_KEY_BACKSPACE); /* room again: the text comes back */
    assert_int_equal(draw(&ed, &s, ":defghijk" WIDE "\n"), 11);
    s.canvas.ascii = true;
    draw(&ed, &s, ":defghijk??\n");
    for (unsigned cols = 1; cols < 12; cols++) {
        screen_size(&s, 1, cols);
        const int at = qs_edit_draw(&ed, &s.canvas, &s.theme, "longer prompt ", NULL);
        assert_true(at >= 0 && at < (int)cols);
    }
    qs_edit_free(&ed);
    screen_free(&s);
}

static void random_keys(void **state)
{
    (void)state;
    uint32_t seed = 2463534242u;
    struct qs_typed h = { .n = 0 };
    struct qs_edit ed = { .history = &h, .complete = offer };
    struct screen s;
    screen_make(&s, 1, 10, false, QS_TIER_16);
    for (int i = 0; i < 20000; i++) {
        const struct qs_event e = random_event(&seed, 4, 20);
        qs_edit_event(&ed, &e);
        assert_int_equal(strlen(ed.text), ed.len);
        assert_int_equal(qs_utf8_invalid_at(ed.text, ed.len), ed.len);
        assert_true(ed.at <= ed.len && (ed.at == ed.len || ((unsigned char)ed.text[ed.at] & 0xC0) != 0x80));
        if (i % 50 == 0)
            screen_size(&s, 1 + next_random(&seed) % 3, 1 + next_random(&seed) % 30);
        s.canvas.ascii = i % 3 == 0;
        if (ed.len > 200 && i % 400 == 0)
            qs_edit_set(&ed, ""); /* short lines are quicker, and have their ends nearer */
        const int at = qs_edit_draw(&ed, &s.canvas, &s.theme, ":", NULL);
        assert_true(at >= 0 && at < (int)s.cells.cols);
        qs_edit_draw_candidates(&ed, &s.canvas, &s.theme);
    }
    qs_edit_free(&ed);
    qs_typed_free(&h);
    screen_free(&s);
}

/* Completion and history without memory: what was typed stays, nothing leaks. */
static void without_memory(void)
{
    struct qs_typed h = { .n = 0 };
    struct qs_edit ed = { .history = &h, .complete = offer };
    qs_typed_add(&h, "before");
    qs_edit_insert(&ed, "qu");
    press(&ed, QS_KEY_UP);
    press(&ed, QS_KEY_DOWN);
    assert_string_equal(ed.text, "qu");
    press(&ed, QS_KEY_TAB);
    press(&ed, QS_KEY_TAB);
    assert_true(strncmp(ed.text, "qu", 2) == 0);
    press(&ed, QS_KEY_ESC);
    press(&ed, QS_KEY_ENTER);
    qs_edit_free(&ed);
    qs_typed_free(&h);
}

static void memory(void **state)
{
    (void)state;
    const uint64_t before = qs_mem_in_use(), count = qs_mem_count();
    without_memory();
    const uint64_t taken = qs_mem_count() - count;
    assert_true(taken > 5);
    for (uint64_t n = 1; n <= taken; n++) {
        qs_mem_fail_after(n);
        without_memory();
        qs_mem_fail_after(0);
        assert_int_equal(qs_mem_in_use(), before);
    }
}

/* ---- several lines ---- */

static void draw_lines(struct qs_edit *ed, unsigned rows, unsigned cols, int want_row, int want_col)
{
    struct qs_cells cells = QS_CELLS_INIT;
    struct qs_theme t;
    struct qs_err e;
    int row = -1, col = -1;
    assert_int_equal(qs_theme_load("mono", QS_TIER_MONO, false, &t, &e), QS_OK);
    assert_int_equal(qs_cells_resize(&cells, rows, cols, &e), QS_OK);
    const struct qs_canvas c = qs_canvas_of(&cells, false);
    qs_edit_draw_lines(ed, &c, &t, "hint", &row, &col);
    assert_int_equal(row, want_row);
    assert_int_equal(col, want_col);
    qs_cells_free(&cells);
}

static void test_lines(void **state)
{
    (void)state;
    struct qs_typed said = { .n = 0 };
    struct qs_edit ed = QS_EDIT_INIT;
    ed.lines = true;
    ed.history = &said;
    qs_typed_add(&said, "earlier");
    qs_edit_set(&ed, "");
    draw_lines(&ed, 3, 6, 0, 0);
    qs_edit_event(&ed, &(struct qs_event){ .kind = QS_EVENT_PASTE, .text = "ab\ncd" });
    press(&ed, QS_CTRL | 'j');
    qs_edit_insert(&ed, "efghij"); /* rows of five: "efghi", "j" */
    assert_string_equal(ed.text, "ab\ncd\nefghij");
    assert_int_equal(qs_edit_rows(&ed, 6, 9), 4);
    assert_int_equal(qs_edit_rows(&ed, 6, 3), 3);
    draw_lines(&ed, 3, 6, 2, 1);
    assert_int_equal(ed.top, 1);
    press(&ed, QS_KEY_UP);
    draw_lines(&ed, 3, 6, 1, 1);
    press(&ed, QS_KEY_END);
    draw_lines(&ed, 3, 6, 2, 0); /* a row that is full ends where the next begins */
    press(&ed, QS_KEY_UP);
    press(&ed, QS_KEY_UP);
    press(&ed, QS_KEY_END);
    draw_lines(&ed, 3, 6, 0, 2);
    assert_int_equal(ed.at, 5);
    press(&ed, QS_CTRL | 'u');
    assert_string_equal(ed.text, "ab\n\nefghij");
    draw_lines(&ed, 3, 6, 0, 0);
    press(&ed, QS_KEY_UP);
    assert_int_equal(ed.at, 0);
    press(&ed, QS_KEY_UP); /* above the first row: what was said before */
    assert_string_equal(ed.text, "earlier");
    press(&ed, QS_KEY_DOWN);
    assert_string_equal(ed.text, "ab\n\nefghij");
    press(&ed, QS_CTRL | 'j');
    press(&ed, QS_CTRL | 'j');
    assert_int_equal(qs_edit_rows(&ed, 80, 9), 5);
    draw_lines(&ed, 9, 80, 4, 0);
    qs_edit_set(&ed, "\xE4\xBD\xA0\xE5\xA5\xBD\xE4\xBD\xA0"); /* wide: two to a row of five */
    draw_lines(&ed, 3, 6, 1, 2);
    ed.lines = false;
    qs_edit_set(&ed, "");
    qs_edit_event(&ed, &(struct qs_event){ .kind = QS_EVENT_PASTE, .text = "a\nb" });
    assert_string_equal(ed.text, "a b");
    press(&ed, QS_CTRL | 'j');
    assert_string_equal(ed.text, "a b");
    qs_edit_free(&ed);
    qs_typed_free(&said);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(keys),        cmocka_unit_test(characters),
                                        cmocka_unit_test(limit),       cmocka_unit_test(history),
                                        cmocka_unit_test(completion),  cmocka_unit_test(drawing),
                                        cmocka_unit_test(random_keys), cmocka_unit_test(memory),
                                        cmocka_unit_test(test_lines) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
