/* widgets.c - shared by the tests of the parts of the screen. */
#include "tests/ui/widgets.h"

void screen_make(struct screen *s, unsigned rows, unsigned cols, bool ascii, enum qs_tier tier)
{
    struct qs_err e = QS_ERR_INIT;
    *s = (struct screen){ .cells = QS_CELLS_INIT };
    assert_int_equal(qs_theme_load("dark", tier, false, &s->theme, &e), QS_OK);
    s->canvas.ascii = ascii;
    screen_size(s, rows, cols);
}

void screen_size(struct screen *s, unsigned rows, unsigned cols)
{
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_cells_resize(&s->cells, rows, cols, &e), QS_OK);
    s->canvas = qs_canvas_of(&s->cells, s->canvas.ascii);
}

void screen_free(struct screen *s)
{
    qs_cells_free(&s->cells);
}

void screen_shows(const struct screen *s, const char *want)
{
    struct qs_str text = QS_STR_INIT;
    qs_cells_text(&s->cells, &text);
    if (strcmp(text.data, want) != 0)
        fprintf(stderr, "on the screen:\n%s", text.data);
    assert_string_equal(text.data, want);
    qs_str_free(&text);
}

bool screen_look(const struct screen *s, unsigned row, unsigned col, enum qs_look look)
{
    const struct qs_style a = qs_cells_at(&s->cells, row, col)->style, b = qs_look(&s->theme, look);
    return a.fg == b.fg && a.bg == b.bg && a.attr == b.attr;
}

bool screen_is_ascii(const struct screen *s)
{
    for (unsigned r = 0; r < s->cells.rows; r++)
        for (unsigned c = 0; c < s->cells.cols; c++)
            for (const char *p = qs_cells_at(&s->cells, r, c)->text; *p; p++)
                if (*p < ' ' || *p > '~')
                    return false;
    return true;
}

bool screen_is_empty(const struct screen *s)
{
    for (unsigned r = 0; r < s->cells.rows; r++)
        for (unsigned c = 0; c < s->cells.cols; c++)
            if (strcmp(qs_cells_at(&s->cells, r, c)->text, " ") != 0)
                return false;
    return true;
}

uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

struct qs_event random_event(uint32_t *state, unsigned rows, unsigned cols)
{
    static const uint32_t special[] = {
        QS_KEY_UP, QS_KEY_DOWN, QS_KEY_LEFT, QS_KEY_RIGHT, QS_KEY_HOME, QS_KEY_END, QS_KEY_PAGE_UP, QS_KEY_PAGE_DOWN,
        QS_KEY_BACKSPACE, QS_KEY_DELETE, QS_KEY_TAB, QS_SHIFT | QS_KEY_TAB, QS_CTRL | 'a', QS_CTRL | 'e', QS_CTRL | 'k',
        QS_CTRL | 'u', QS_CTRL | 'w', QS_CTRL | QS_KEY_LEFT, QS_CTRL | QS_KEY_RIGHT, QS_KEY_F1, QS_CTRL | 'p', QS_CTRL | 'n',
        QS_CTRL | 'd', QS_CTRL | 'h', 0x6A21, 0x301, 0x1F600, 0x202E, 0xE9, 0xD800, 0x10FFFF, 7, 0x200D, QS_KEY_ENTER,
    };
    static const char *const pasted[] = { "", "two words", "a\x1b[31mb\nc", "\xff\xfe", "e\xCC\x81\xCC\x81", "\xE6\xA8\xA1" };
    const uint32_t r = next_random(state), what = r % 16;
    if (what < 8)
        return key(special[next_random(state) % (sizeof special / sizeof *special)]);
    if (what < 13)
        return key(' ' + next_random(state) % 95);
    if (what < 14)
        return paste(pasted[next_random(state) % (sizeof pasted / sizeof *pasted)]);
    return mouse((enum qs_mouse)(next_random(state) % 5), (int)(next_random(state) % (rows + 4)) - 2,
                 (int)(next_random(state) % (cols + 4)) - 2);
}

struct qs_report *tensor_report(size_t n)
{
    static const struct qs_column columns[] = {
        { .key = "name", .title = "tensor", .left = true },
        { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES },
        { .key = "error", .title = "error", .unit = QS_UNIT_PERCENT },
        { .key = "bpw", .title = "bpw", .unit = QS_UNIT_BPW, .optional = true },
        { .key = "kurtosis", .title = "kurtosis", .digits = 3, .optional = true },
        { .key = "note", .title = "note", .left = true },
    };
    static const char *const part[] = { "attn_q", "attn_k", "attn_output", "ffn_down", "ffn_up" };
    struct qs_report *r = qs_report_new("tensors");
    assert_non_null(r);
    struct qs_section *s = qs_report_table(r, "tensors", "Tensors", columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%zu.%s.weight", i / 5, part[i % 5]);
        qs_row(s);
        qs_cell_str(s, 0, name);
        qs_cell_int(s, 1, (int64_t)(1 + i * 7 % 11) * 131072);
        qs_cell_num(s, 2, 0.001 * (double)(1 + i * 13 % 97));
        qs_cell_how(s, 2, i % 3 ? QS_HOW_SAMPLED : QS_HOW_WHOLE, 0);
        qs_cell_num(s, 3, 4.5 + (double)(i % 4));
        qs_cell_num(s, 4, 3 + 0.01 * (double)(i % 31));
        qs_cell_str(s, 5, i % 4 ? "" : "kept by the preset");
    }
    assert_false(qs_report_failed(r));
    return r;
}
