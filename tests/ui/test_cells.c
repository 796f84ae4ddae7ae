/* The grid of cells: drawing and clipping at every edge, wide characters cut, marks, ASCII, the forms it is saved in;
 * random drawing never leaves the canvas and never breaks what the grid promises. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "ui/cells.h"

static const struct qs_style plain = { 0 }, red = { .fg = QS_COLOR_RGB(255, 0, 0), .attr = QS_BOLD };
#define WIDE "\u6A21"

static struct qs_cells make(unsigned rows, unsigned cols)
{
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_cells_resize(&c, rows, cols, &e), QS_OK);
    return c;
}

/* The grid's text, a visible sign for what a wide character hides. */
static void shows(const struct qs_cells *c, const char *want)
{
    struct qs_str s = QS_STR_INIT;
    qs_cells_text(c, &s);
    assert_string_equal(s.data, want);
    qs_str_free(&s);
}

/* What the grid promises of every cell. */
static void whole(const struct qs_cells *c)
{
    for (unsigned row = 0; row < c->rows; row++)
        for (unsigned col = 0; col < c->cols; col++) {
            const struct qs_glyph *g = qs_cells_at(c, row, col);
            const size_t n = strlen(g->text);
            assert_true(g->width <= 2 && n < QS_GLYPH_BYTES && (g->width == 0) == (n == 0));
            assert_int_equal(qs_utf8_invalid_at(g->text, n), n);
            for (size_t at = 0; at < n;)
                assert_true(qs_utf8_harmless(qs_utf8_next(g->text, n, &at)));
            if (n)
                assert_int_equal(qs_utf8_width(g->text, n), g->width);
            if (g->width == 0)
                assert_true(col > 0 && qs_cells_at(c, row, col - 1)->width == 2);
            if (g->width == 2) {
                assert_true(col + 1 < c->cols);
                const struct qs_style *a = &g->style, *b = &qs_cells_at(c, row, col + 1)->style;
                assert_int_equal(qs_cells_at(c, row, col + 1)->width, 0);
                assert_true(a->fg == b->fg && a->bg == b->bg && a->attr == b->attr);
            }
        }
}

static void sizes(void **state)
{
    (void)state;
    struct qs_cells c = make(2, 3);
    struct qs_canvas all = qs_canvas_of(&c, false);
    struct qs_err e = QS_ERR_INIT;
    qs_draw_text(&all, 0, 0, red, "abc", -1);
    shows(&c, "abc\n\n");
    qs_mem_fail_after(1);
    assert_int_equal(qs_cells_resize(&c, 20, 30, &e), QS_ENOMEM);
    qs_mem_fail_after(0);
    shows(&c, "abc\n\n");
    assert_int_equal(qs_cells_resize(&c, 3, 2, &e), QS_OK); /* as many cells, all blank */
    shows(&c, "\n\n\n");
    assert_int_equal(qs_cells_at(&c, 0, 0)->style.attr, 0);
    assert_int_equal(qs_cells_resize(&c, 0, 0, &e), QS_OK);
    all = qs_canvas_of(&c, false);
    qs_draw_text(&all, 0, 0, red, "abc", -1);
    qs_draw_box(&all, (struct qs_rect){ 0, 0, 5, 5 }, red, "title", red);
    shows(&c, "");
    assert_int_equal(qs_cells_resize(&c, 5000, 1, &e), QS_OK);
    assert_int_equal(c.rows, QS_CELLS_MAX);
    qs_cells_free(&c);
    assert_true(c.rows == 0 && !c.glyph);
}

static void text_is_clipped(void **state)
{
    (void)state;
    struct qs_cells c = make(3, 6);
    struct qs_canvas all = qs_canvas_of(&c, false), part = qs_canvas_part(&all, (struct qs_rect){ 1, 1, 1, 4 });
    assert_int_equal(qs_draw_text(&part, 0, 0, plain, "abcdefgh", -1), 4);
    shows(&c, "\n abcd\n\n");
    assert_int_equal(qs_draw_text(&part, 0, -2, plain, "ABCDEFGH", -1), 6);
    shows(&c, "\n CDEF\n\n");
    assert_int_equal(qs_draw_text(&part, 0, 2, plain, "xyz", 1), 1);
    assert_int_equal(qs_draw_text(&part, 0, 4, plain, "xyz", -1), 0);
    assert_int_equal(qs_draw_text(&part, 0, 1, plain, "xyz", 0), 0);
    qs_draw_text(&part, 1, 0, plain, "below", -1);
    qs_draw_text(&part, -1, 0, plain, "above", -1);
    shows(&c, "\n CDxF\n\n");
    /* A part of a part is no larger than the part. */
    struct qs_canvas inner = qs_canvas_part(&part, (struct qs_rect){ -1, 2, 9, 9 });
    assert_true(qs_canvas_rows(&inner) == 1 && qs_canvas_cols(&inner) == 2);
    qs_draw_fill(&inner, (struct qs_rect){ -5, -5, 50, 50 }, red);
    shows(&c, "\n CD\n\n");
    assert_true(qs_cells_at(&c, 1, 3)->style.attr == QS_BOLD && qs_cells_at(&c, 1, 5)->style.attr == 0);
    inner = qs_canvas_part(&part, (struct qs_rect){ 7, 7, 2, 2 });
    assert_int_equal(qs_draw_text(&inner, 0, 0, plain, "z", -1), 0);
    assert_int_equal(qs_draw_textf(&part, 0, 0, plain, "%d%%", 42), 3);
    shows(&c, "\n 42%\n\n");
    whole(&c);
    qs_cells_free(&c);
}

static void wide_characters_are_cut(void **state)
{
    (void)state;
    struct qs_cells c = make(1, 6);
    const struct qs_canvas all = qs_canvas_of(&c, false), part = qs_canvas_part(&all, (struct qs_rect){ 0, 1, 1, 3 });
    assert_int_equal(qs_draw_text(&part, 0, 0, red, WIDE WIDE, -1), 3); /* the second has one cell: a blank of its style */
    shows(&c, " " WIDE "\n");
    assert_int_equal(qs_cells_at(&c, 0, 3)->style.attr, QS_BOLD);
    qs_draw_text(&part, 0, -1, plain, WIDE "x", -1);
    shows(&c, "  x\n");
    whole(&c);
    /* Overwritten by halves. */
    qs_draw_text(&all, 0, 0, plain, WIDE WIDE WIDE, -1);
    qs_draw_glyph(&all, 0, 1, plain, "b");
    shows(&c, " b" WIDE WIDE "\n");
    qs_draw_glyph(&all, 0, 2, plain, "c");
    shows(&c, " bc " WIDE "\n");
    qs_draw_glyph(&all, 0, 3, plain, WIDE);
    shows(&c, " bc" WIDE "\n");
    whole(&c);
    qs_draw_text(&all, 0, 0, plain, WIDE WIDE WIDE, -1);
    qs_draw_glyph(&all, 0, 1, plain, WIDE);
    shows(&c, " " WIDE " " WIDE "\n");
    qs_draw_text(&all, 0, 0, plain, WIDE WIDE WIDE, -1);
    qs_draw_fill(&part, (struct qs_rect){ 0, 0, 1, 3 }, plain);
    shows(&c, "    " WIDE "\n");
    whole(&c);
    /* A style covers a whole character or nothing of it. */
    qs_draw_text(&all, 0, 0, plain, WIDE WIDE WIDE, -1);
    qs_draw_style(&part, (struct qs_rect){ 0, 0, 1, 2 }, red);
    assert_int_equal(qs_cells_at(&c, 0, 1)->style.attr, 0);
    assert_int_equal(qs_cells_at(&c, 0, 3)->style.attr, QS_BOLD);
    whole(&c);
    qs_cells_free(&c);
}

static void characters(void **state)
{
    (void)state;
    static const struct { const char *text; bool ascii; int cells; const char *want; } table[] = {
        { "e\u0301x", false, 2, "e\u0301x\n" },
        { "\u0301x", false, 2, " \u0301x\n" },                         /* a mark alone stands on a blank */
        { "a\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309b", false, 3, "a\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308 \u0309b\n" },
        { "\u2764\uFE0Fx", false, 2, "\u2764x\n" },                    /* terminals disagree about its cells */
        { "\U0001F468\u200D\U0001F469", false, 4, "\U0001F468\U0001F469\n" },
        { "\u0915\u200D\u0937", false, 2, "\u0915\u200D\u0937\n" },
        { "\x1b[31m\x07\x7f\xc2\x9b", false, 8, "?[31m?\?\?\n" },
        { "\xff\xc3(\xed\xa0\x80", false, 6, "?\?(?\?\?\n" },
        { "a\u202Eb\u200Bc", false, 5, "a?b?c\n" },
        { "a\tb\nc", false, 5, "a?b?c\n" },
        { "\u2500\u2502\u250C\u2026\u00B7\u00D7\u2588\u2591e\u0301" WIDE "\u00E9", true, 13, "-|+...x#.e?\?\?\n" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct qs_cells c = make(1, 20);
        const struct qs_canvas all = qs_canvas_of(&c, table[i].ascii);
        const int cells = qs_draw_text(&all, 0, 0, plain, table[i].text, -1);
        shows(&c, table[i].want);
        assert_int_equal(cells, table[i].cells);
        whole(&c);
        qs_cells_free(&c);
    }
    struct qs_cells c = make(1, 4);
    const struct qs_canvas all = qs_canvas_of(&c, false);
    assert_int_equal(qs_draw_glyph(&all, 0, 0, plain, "e\u0301x"), 1);
    assert_int_equal(qs_draw_glyph(&all, 0, 2, plain, WIDE), 2);
    assert_int_equal(qs_draw_glyph(&all, 5, 5, plain, WIDE), 2);
    assert_int_equal(qs_draw_glyph(&all, 0, 0, plain, ""), 0);
    shows(&c, "e\u0301 " WIDE "\n");
    qs_cells_free(&c);
}

static void fits(void **state)
{
    (void)state;
    static const struct { const char *text; int cells; enum qs_text_fit fit; bool ascii; const char *want; } table[] = {
        { "abc", 5, QS_FIT_LEFT, false, "[abc  ]" }, { "abc", 5, QS_FIT_RIGHT, false, "[  abc]" },
        { "abc", 6, QS_FIT_CENTER, false, "[ abc  ]" }, { "abc", 5, QS_FIT_MIDDLE, false, "[abc  ]" },
        { "abcdef", 4, QS_FIT_LEFT, false, "[abc\u2026]" }, { "abcdef", 4, QS_FIT_RIGHT, false, "[\u2026def]" },
        { "abcdef", 4, QS_FIT_CENTER, false, "[abc\u2026]" }, { "abcdef", 4, QS_FIT_LEFT, true, "[ab..]" },
        { "abcdef", 4, QS_FIT_RIGHT, true, "[..ef]" }, { "abcdef", 3, QS_FIT_RIGHT, true, "[def]" },
        { "abcdef", 1, QS_FIT_LEFT, false, "[a]" }, { "abcdef", 0, QS_FIT_LEFT, false, "[]" },
        { "blk.12.attn_output", 17, QS_FIT_MIDDLE, true, "[blk.12.at..output]" },
        { "blk.12.attn_output", 17, QS_FIT_MIDDLE, false, "[blk.12.att\u2026output]" },
        { WIDE WIDE WIDE, 4, QS_FIT_LEFT, false, "[" WIDE " \u2026]" }, { WIDE WIDE WIDE, 4, QS_FIT_RIGHT, false, "[ \u2026" WIDE "]" },
        { "", 2, QS_FIT_CENTER, false, "[  ]" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct qs_cells c = make(1, 30);
        const struct qs_canvas all = qs_canvas_of(&c, table[i].ascii);
        struct qs_str s = QS_STR_INIT;
        qs_draw_glyph(&all, 0, 0, plain, "[");
        qs_draw_fit(&all, 0, 1, red, table[i].text, table[i].cells, table[i].fit);
        qs_draw_glyph(&all, 0, 1 + table[i].cells, plain, "]");
        qs_str_addf(&s, "%s\n", table[i].want);
        shows(&c, s.data);
        for (int x = 0; x < table[i].cells; x++)
            assert_int_equal(qs_cells_at(&c, 0, (unsigned)x + 1)->style.attr, QS_BOLD);
        whole(&c);
        qs_str_free(&s);
        qs_cells_free(&c);
    }
    /* Without memory the end is cut. */
    struct qs_cells c = make(1, 4);
    const struct qs_canvas all = qs_canvas_of(&c, true);
    qs_mem_fail_after(1);
    qs_draw_fit(&all, 0, 0, plain, "abcdefgh", 4, QS_FIT_MIDDLE);
    qs_mem_fail_after(0);
    shows(&c, "ab..\n");
    qs_cells_free(&c);
}

static void lines_and_boxes(void **state)
{
    (void)state;
    struct qs_cells c = make(4, 12);
    const struct qs_canvas all = qs_canvas_of(&c, false), ascii = qs_canvas_of(&c, true);
    qs_draw_box(&all, (struct qs_rect){ 0, 0, 4, 12 }, plain, "A long title", red);
    qs_draw_hline(&all, 2, 3, 99, plain);
    qs_draw_vline(&all, -5, 2, 7, plain);
    shows(&c, "\u250C\u2500\u2502A lon\u2026 \u2500\u2510\n\u2502 \u2502        \u2502\n\u2502  \u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\n"
              "\u2514\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2518\n");
    qs_draw_fill(&all, (struct qs_rect){ 0, 0, 4, 12 }, plain);
    qs_draw_box(&ascii, (struct qs_rect){ 0, 0, 2, 8 }, plain, "x", red);
    qs_draw_box(&ascii, (struct qs_rect){ 2, -2, 5, 6 }, plain, NULL, red);
    qs_draw_box(&ascii, (struct qs_rect){ 0, 10, 1, 2 }, plain, NULL, red); /* too small for a frame */
    shows(&c, "+- x --+\n+------+\n---+\n   |\n");
    assert_int_equal(qs_cells_at(&c, 0, 3)->style.attr, QS_BOLD);
    qs_cells_free(&c);
}

static void gauges(void **state)
{
    (void)state;
    static const struct { double share; bool ascii; const char *want; } table[] = {
        { 0, false, "\u2591\u2591\u2591\u2591\n" }, { 1, false, "\u2588\u2588\u2588\u2588\n" },
        { 0.5, false, "\u2588\u2588\u2591\u2591\n" }, { 0.40625, false, "\u2588\u258B\u2591\u2591\n" },
        { 1e-9, false, "\u258F\u2591\u2591\u2591\n" }, { 0.999999, false, "\u2588\u2588\u2588\u2589\n" },
        { -3, false, "\u2591\u2591\u2591\u2591\n" }, { 7, false, "\u2588\u2588\u2588\u2588\n" },
        { (double)NAN, false, "\u2591\u2591\u2591\u2591\n" }, { 0.5, true, "##--\n" }, { 0.99, true, "###-\n" },
        { 0.01, true, "#---\n" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct qs_cells c = make(1, 4);
        const struct qs_canvas all = qs_canvas_of(&c, table[i].ascii);
        qs_draw_gauge(&all, 0, 0, 4, table[i].share, red, plain);
        shows(&c, table[i].want);
        qs_cells_free(&c);
    }
}

static void paragraphs(void **state)
{
    (void)state;
    static const char text[] = "one two three four\n\nfive  six   \nabcdefghijklm no";
    struct qs_cells c = make(5, 9);
    const struct qs_canvas all = qs_canvas_of(&c, false);
    assert_int_equal(qs_draw_wrapped(&all, 0, 0, 2, plain, text), 7);
    shows(&c, "one two\n  three\n  four\n\nfive  six\n");
    qs_draw_fill(&all, (struct qs_rect){ 0, 0, 9, 9 }, plain);
    assert_int_equal(qs_draw_wrapped(&all, 1, 5, 2, plain, text), 7);
    shows(&c, "\nabcdefghi\n  jklm no\n\n\n");
    assert_int_equal(qs_draw_wrapped(&all, 0, 99, 0, plain, "a\n"), 1);
    assert_int_equal(qs_draw_wrapped(&all, 0, 99, 0, plain, ""), 0);
    assert_int_equal(qs_draw_wrapped(&all, 0, 99, 0, plain, "   \n  \n"), 2);
    const struct qs_canvas narrow = qs_canvas_part(&all, (struct qs_rect){ 0, 0, 5, 1 });
    assert_int_equal(qs_draw_wrapped(&narrow, 0, 0, 3, plain, "ab " WIDE), 3);
    qs_cells_free(&c);
}

/* ---- saved ---- */

static struct qs_cells example(void)
{
    struct qs_cells c = make(2, 8);
    const struct qs_canvas all = qs_canvas_of(&c, false);
    qs_draw_text(&all, 0, 0, red, "a<&", -1);
    qs_draw_glyph(&all, 0, 4, (struct qs_style){ QS_COLOR_PALETTE(17), QS_COLOR_PALETTE(12), QS_REVERSE | QS_UNDERLINE }, WIDE);
    qs_draw_fill(&all, (struct qs_rect){ 1, 1, 1, 2 }, (struct qs_style){ 0, QS_COLOR_RGB(1, 2, 3), QS_DIM | QS_ITALIC });
    qs_draw_text(&all, 1, 5, (struct qs_style){ QS_COLOR_PALETTE(1), 0, 0 }, "\u2580\u2580e\u0301", -1);
    return c;
}

static void saves(void **state)
{
    (void)state;
    struct qs_cells c = example();
    struct qs_str s = QS_STR_INIT;
    shows(&c, "a<& " WIDE "\n     \u2580\u2580e\u0301\n");
    qs_cells_dump(&c, &s);
    assert_string_equal(s.data, "0 0 1 a #ff0000 - b\n0 1 1 < #ff0000 - b\n0 2 1 & #ff0000 - b\n0 4 2 " WIDE " @17 @12 ur\n"
                                "1 1 1 SP - #010203 di\n1 2 1 SP - #010203 di\n1 5 1 \u2580 @1 - -\n1 6 1 \u2580 @1 - -\n"
                                "1 7 1 e\u0301 @1 - -\n");
    qs_str_clear(&s);
    qs_cells_ansi(&c, &s);
    assert_string_equal(s.data, "\x1b[0;1;38;2;255;0;0ma<&\x1b[0m \x1b[0;4;7;38;5;17;104m" WIDE "\x1b[0m\n"
                                " \x1b[0;2;3;48;2;1;2;3m  \x1b[0m  \x1b[0;31m\u2580\u2580e\u0301\x1b[0m\n");
    qs_str_clear(&s);
    qs_cells_svg(&c, QS_COLOR_RGB(0xEE, 0xEE, 0xEE), QS_COLOR_RGB(0x11, 0x11, 0x11), &s);
    static const char *const pieces[] = {
        "width=\"80\" height=\"48\" viewBox=\"0 0 80 48\"", "fill=\"#111111\"/>\n",
        "<text x=\"8\" y=\"20\" textLength=\"24\" fill=\"#ff0000\" font-weight=\"bold\">a&lt;&amp;</text>\n",
        "<rect x=\"40\" y=\"8\" width=\"16\" height=\"16\" fill=\"#00005f\"/>\n", /* reversed: the text's colour */
        "<text x=\"40\" y=\"20\" textLength=\"16\" fill=\"#5c5cff\">" WIDE "</text>\n",
        "<rect x=\"40\" y=\"22\" width=\"16\" height=\"1\" fill=\"#5c5cff\"/>\n",
        "<rect x=\"16\" y=\"24\" width=\"16\" height=\"16\" fill=\"#010203\"/>\n",
        "<rect x=\"48\" y=\"24\" width=\"16\" height=\"8\" fill=\"#cd0000\"/>\n", /* two half blocks in one */
        "<text x=\"64\" y=\"36\" textLength=\"8\" fill=\"#cd0000\">e\u0301</text>\n", "</svg>\n",
    };
    const char *at = s.data;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        if (!strstr(s.data, pieces[i]))
            fail_msg("the picture lacks: %s", pieces[i]);
    assert_true(strncmp(at, "<?xml", 5) == 0);
    qs_str_free(&s);
    qs_cells_free(&c);
}

/* Every block element and line is drawn as a shape within its cell; nothing of it is left to a font. */
static void shapes(void **state)
{
    (void)state;
    struct qs_cells c = make(3, 40);
    const struct qs_canvas all = qs_canvas_of(&c, false);
    for (unsigned i = 0; i < 32; i++)
        qs_draw_glyph(&all, 0, (int)i, plain, (char[]){ (char)0xE2, (char)0x96, (char)(0x80 + i), 0 });
    qs_draw_text(&all, 1, 0, plain, "\u2500\u2501\u2502\u2503\u250C\u2510\u2514\u2518\u251C\u2524\u252C\u2534\u253C\u256D\u256E\u256F\u2570", -1);
    qs_draw_text(&all, 2, 0, plain, "\u2800\u28FF\u2801", -1);
    struct qs_str s = QS_STR_INIT;
    qs_cells_svg(&c, QS_COLOR_RGB(255, 255, 255), QS_COLOR_RGB(0, 0, 0), &s);
    assert_null(strstr(s.data, "<text"));
    size_t rects = 0;
    for (const char *p = s.data; (p = strstr(p, "<rect ")); p++)
        rects++;
    assert_true(rects > 32 + 17 + 9);
    qs_str_free(&s);
    qs_cells_free(&c);
}

/* ---- anything at all ---- */

static uint32_t seed;

static unsigned any(unsigned below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static int around(int size) /* inside, at the edges, and beyond them */
{
    return (int)any((unsigned)size + 12) - 6;
}

static void draw_anything(const struct qs_canvas *c, struct qs_style style)
{
    static const char *const texts[] = {
        "", "a", WIDE, "ab" WIDE "cd", "e\u0301\u0302x", "\u0301", "\x1b[2J", "\xff\xfe", "a much longer text than that\nand more",
        "\U0001F468\u200D\U0001F469\u200D\U0001F467", "\u2588\u2580\u2500", "\u1100\u1161\u11A8",
    };
    const char *text = texts[any(sizeof texts / sizeof texts[0])];
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c), y = around(rows), x = around(cols), n = around(cols);
    const struct qs_rect r = { y, x, around(rows), n };
    switch (any(10)) {
    case 0: qs_draw_fill(c, r, style); break;
    case 1: qs_draw_style(c, r, style); break;
    case 2: qs_draw_glyph(c, y, x, style, text); break;
    case 3: qs_draw_text(c, y, x, style, text, n); break;
    case 4: qs_draw_fit(c, y, x, style, text, n, (enum qs_text_fit)any(4)); break;
    case 5: qs_draw_hline(c, y, x, n, style); break;
    case 6: qs_draw_vline(c, y, x, n, style); break;
    case 7: qs_draw_box(c, r, style, any(2) ? text : NULL, style); break;
    case 8: qs_draw_gauge(c, y, x, n, any(100) / 90.0, style, plain); break;
    default: qs_draw_wrapped(c, y, (int)any(4), (int)any(4), style, text); break;
    }
}

/* Outside of the canvas nothing changes, but for the other half of a wide character at its edge. */
static void untouched(const struct qs_cells *before, const struct qs_cells *after, struct qs_rect at)
{
    for (int row = 0; row < (int)after->rows; row++)
        for (int col = 0; col < (int)after->cols; col++) {
            const bool in_row = row >= at.y && row < at.y + at.rows;
            const bool inside = in_row && col >= at.x && col < at.x + at.cols;
            const struct qs_glyph *a = qs_cells_at(before, (unsigned)row, (unsigned)col),
                                  *b = qs_cells_at(after, (unsigned)row, (unsigned)col);
            const bool half = in_row && a->width != 1 && (col == at.x - 1 || col == at.x + at.cols);
            assert_true(inside || half || qs_glyph_equal(a, b));
        }
}

static void random_drawing(void **state)
{
    (void)state;
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    seed = 20260821;
    for (int round = 0; round < 300; round++) {
        struct qs_cells c = make(1 + any(9), 1 + any(20)), before = make(c.rows, c.cols);
        for (int step = 0; step < 40; step++) {
            const struct qs_canvas all = qs_canvas_of(&c, any(2)),
                part = qs_canvas_part(&all, (struct qs_rect){ around((int)c.rows), around((int)c.cols), around((int)c.rows),
                                                              around((int)c.cols) });
            const unsigned attr = any(32);
            memcpy(before.glyph, c.glyph, (size_t)c.rows * c.cols * sizeof *c.glyph);
            draw_anything(&part, (struct qs_style){ any(3) ? QS_COLOR_RGB(attr, 7, 9) : 0, any(3) ? QS_COLOR_PALETTE(attr) : 0, attr });
            untouched(&before, &c, part.at);
            whole(&c);
        }
        qs_str_clear(&s);
        qs_cells_svg(&c, 0, 0, &s);
        qs_cells_ansi(&c, &s);
        qs_cells_dump(&c, &s);
        /* A canvas of a grid that has become smaller draws on what is left. */
        const struct qs_canvas old = qs_canvas_of(&c, false);
        assert_int_equal(qs_cells_resize(&c, any(c.rows + 1), any(c.cols + 1), &e), QS_OK);
        for (int step = 0; step < 10; step++)
            draw_anything(&old, red);
        whole(&c);
        qs_cells_free(&c);
        qs_cells_free(&before);
    }
    assert_false(s.failed);
    qs_str_free(&s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),           cmocka_unit_test(text_is_clipped), cmocka_unit_test(wide_characters_are_cut),
        cmocka_unit_test(characters),      cmocka_unit_test(fits),            cmocka_unit_test(lines_and_boxes),
        cmocka_unit_test(gauges),          cmocka_unit_test(paragraphs),      cmocka_unit_test(saves),
        cmocka_unit_test(shapes),          cmocka_unit_test(random_drawing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
