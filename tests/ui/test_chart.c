/* Charts: scales there and back, grids in every tier, legends at every width, histograms and profiles as they are seen,
 * unknown and infinite values, any size. */
#include "tests/ui/widgets.h"

#include <math.h>

#include "ui/chart.h"

static void scales(void **state)
{
    (void)state;
    const double v[] = { 3, NAN, -1, INFINITY, 0, 7, -INFINITY }, same[] = { 2, 2, NAN }, none[] = { NAN, -1, 0 };
    struct qs_scale s = qs_scale_of(v, 7, false);
    assert_true(fabs(s.low + 1) < 1e-12 && fabs(s.high - 7) < 1e-12);
    assert_true(isnan(qs_scale_position(&s, NAN)));
    assert_true(fabs(qs_scale_position(&s, 3) - 0.5) < 1e-12);
    assert_true(qs_scale_position(&s, INFINITY) >= 1 && qs_scale_position(&s, -INFINITY) <= 0);
    assert_int_equal(qs_scale_level(&s, -1), 0);
    assert_int_equal(qs_scale_level(&s, 7), 9);
    assert_int_equal(qs_scale_level(&s, 3), 5);
    s = qs_scale_of(v, 7, true);
    assert_true(fabs(s.low - 3) < 1e-12); /* only positive values have a logarithm */
    assert_true(qs_scale_position(&s, -5) <= 0);
    for (int log = 0; log < 2; log++) {
        s = qs_scale_of(same, 3, log != 0);
        assert_true(s.low < 2 && s.high > 2);
        assert_true(fabs(qs_scale_position(&s, 2) - 0.5) < 1e-9);
        for (double p = 0; p <= 1; p += 0.125)
            assert_true(fabs(qs_scale_position(&s, qs_scale_value(&s, p)) - p) < 1e-9);
    }
    s = qs_scale_of(none, 3, true);
    assert_true(s.low > 0 && s.high > s.low);
    s = (struct qs_scale){ -1.7e308, 1.7e308, false };
    assert_true(fabs(qs_scale_position(&s, 0) - 0.5) < 1e-9);
    s = (struct qs_scale){ 5, 5, true };
    assert_true(qs_scale_position(&s, 5) >= 0 && qs_scale_position(&s, 50) <= 1);
    s = (struct qs_scale){ 0, 0, true };
    assert_true(isfinite(qs_scale_value(&s, 0.5)) && qs_scale_position(&s, 1) >= 0);
}

static double value[40]; /* 4 rows of 10, rising; one unknown */

static struct qs_grid grid(void)
{
    for (int i = 0; i < 40; i++)
        value[i] = i == 7 ? (double)NAN : 0.001 * pow(10, i / 15.0);
    return (struct qs_grid){ .value = value, .rows = 4, .cols = 10, .scale = qs_scale_of(value, 40, true), .cell = 2 };
}

static void heat_without_color(void **state)
{
    (void)state;
    struct screen s;
    struct qs_grid h = grid();
    screen_make(&s, 4, 20, true, QS_TIER_MONO);
    assert_int_equal(qs_grid_draw(&s.canvas, &s.theme, &h), 4);
    screen_shows(&s, "0 0 0 0 1 1 1 ? 2 2\n2 2 3 3 3 3 4 4 4 4\n5 5 5 5 6 6 6 6 7 7\n7 7 8 8 8 8 9 9 9 9\n");
    h.half = true; /* cannot be drawn: the larger of two */
    screen_size(&s, 4, 20);
    assert_int_equal(qs_grid_draw(&s.canvas, &s.theme, &h), 2);
    screen_shows(&s, "2 2 3 3 3 3 4 4 4 4\n7 7 8 8 8 8 9 9 9 9\n\n\n");
    h.sign = QS_GRID_DENSITY;
    h.half = false;
    h.first_row = 2;
    h.first_col = 6;
    screen_size(&s, 4, 20);
    assert_int_equal(qs_grid_draw(&s.canvas, &s.theme, &h), 2);
    screen_shows(&s, "****####\n@@@@@@@@\n\n\n");
    h.first_row = 9;
    assert_int_equal(qs_grid_draw(&s.canvas, &s.theme, &h), 0);
    screen_free(&s);
}

static void heat_in_color(void **state)
{
    (void)state;
    struct screen s;
    struct qs_grid h = grid();
    screen_make(&s, 4, 20, false, QS_TIER_RGB);
    qs_grid_draw(&s.canvas, &s.theme, &h);
    screen_shows(&s, "              ?\n\n\n\n");
    assert_true(screen_look(&s, 0, 14, QS_LOOK_UNKNOWN));
    for (unsigned i = 0; i < 40; i++) {
        const struct qs_style want = qs_theme_heat(&s.theme, qs_scale_position(&h.scale, value[i]));
        if (i != 7)
            assert_int_equal(qs_cells_at(&s.cells, i / 10, i % 10 * 2 + 1)->style.bg, want.bg);
    }
    h.half = true;
    h.cell = 1;
    screen_size(&s, 2, 10);
    assert_int_equal(qs_grid_draw(&s.canvas, &s.theme, &h), 2);
    screen_shows(&s, "\u2580\u2580\u2580\u2580\u2580\u2580\u2580\u2584\u2580\u2580\n"
                     "\u2580\u2580\u2580\u2580\u2580\u2580\u2580\u2580\u2580\u2580\n");
    const struct qs_style got = qs_cells_at(&s.cells, 1, 3)->style;
    assert_int_equal(got.fg, qs_theme_heat_color(&s.theme, qs_scale_position(&h.scale, value[23])));
    assert_int_equal(got.bg, qs_theme_heat_color(&s.theme, qs_scale_position(&h.scale, value[33])));
    h.sign = QS_GRID_DIGITS; /* on colours */
    screen_size(&s, 2, 10);
    qs_grid_draw(&s.canvas, &s.theme, &h);
    screen_shows(&s, "2233334444\n7788889999\n");
    assert_true(qs_cells_at(&s.cells, 1, 3)->style.bg != QS_COLOR_DEFAULT);
    screen_free(&s);
}

static void legend(struct screen *s, unsigned cols, bool log, const char *want)
{
    const struct qs_scale scale = { 0.001, 1, log };
    screen_size(s, 1, cols);
    qs_legend_draw(&s->canvas, 0, 0, (int)cols, &s->theme, "error", &scale, QS_UNIT_PERCENT, 2, QS_GRID_COLOR);
    if (want)
        screen_shows(s, want);
}

static void legends(void **state)
{
    (void)state;
    struct screen s;
    screen_make(&s, 1, 1, true, QS_TIER_MONO);
    legend(&s, 100, true, "error 0.10% 00001111 0.40% 22223333 1.6% 44445555 6.3% 66667777 25% 88889999 100% log  ? unknown\n");
    legend(&s, 60, true, "error 0.10% 011 0.40% 233 1.6% 455 6.3% 677 25% 899 100% log\n");
    legend(&s, 20, true, "0.10% 13579 100% log\n");
    legend(&s, 14, true, "0.10%-100% log\n");
    legend(&s, 5, false, "0.10%\n");
    for (unsigned cols = 1; cols < 130; cols++) {
        legend(&s, cols, cols % 2, NULL);
        assert_false(screen_is_empty(&s));
    }
    screen_free(&s);
}

static const double count[] = { 0, 1, 4, 8, 16, 8, 4, 0 }, after[] = { 0, 0, 2, 8, 12, 12, 1, 0 };
static const struct qs_histogram bars = { .count = count, .after = after, .n = 8, .low = -1, .high = 1, .name = "before",
                                          .after_name = "after", .axis = "weight" };

static void histograms(void **state)
{
    (void)state;
    struct qs_histogram h = bars;
    struct screen s;
    screen_make(&s, 8, 27, true, QS_TIER_MONO);
    qs_histogram_draw(&s.canvas, &s.theme, &h);
    screen_shows(&s, "# before  o after\n"
                     "16             ###\n"
                     "               oooooo\n"
                     "            ooo###:::\n"
                     "         ...#########...\n"
                     " 0    :::ooo#########ooo\n"
                     "   ------------------------\n"
                     "   -1.00    weight     1.00\n");
    h.log = true;
    screen_size(&s, 8, 28);
    qs_histogram_draw(&s.canvas, &s.theme, &h);
    screen_shows(&s, "# before  o after\n"
                     " 16             oooooo\n"
                     "log          ooo######\n"
                     "          ###############\n"
                     "       ...ooo#########ooo\n"
                     "  0    ##################\n"
                     "    ------------------------\n"
                     "    -1.00 weight, cou.. 1.00\n");
    h.log = false;
    s.canvas.ascii = false;
    screen_size(&s, 5, 11); /* no room for numbers at the left; the first line has no names */
    qs_histogram_draw(&s.canvas, &s.theme, &h);
    screen_shows(&s, "     ooo\n"
                     "    o\u2588\u2584\u2584\n"
                     " \u2582oo\u2588\u2588\u2588\u2588o\n"
                     "\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\n"
                     "-1.00  1.00\n");
    h.after = NULL;
    screen_size(&s, 2, 4); /* two bins to a column */
    qs_histogram_draw(&s.canvas, &s.theme, &h);
    screen_shows(&s, "  \u2588\n"
                     "\u2581\u2588\u2588\u2583\n");
    screen_free(&s);
}

static void profiles(void **state)
{
    (void)state;
    double v[100];
    struct screen s;
    for (int i = 0; i < 100; i++)
        v[i] = i == 70 ? 9 : i / 25 == 1 ? (double)NAN : 1 + i % 20 * 0.1;
    struct qs_profile p = { .value = v, .n = 100, .scale = { 0, 9, false }, .mark = 70, .name = "channel" };
    screen_make(&s, 6, 40, false, QS_TIER_RGB);
    qs_profile_draw(&s.canvas, &s.theme, &p);
    screen_shows(&s, "9.00                         \u28B8\u2846\n"
                     "                             \u28B8\u2847\n"
                     "         \u28C0\u28C0\u2824\u2840          \u28C0\u28C0\u2824\u2840  \u28B8\u28C7\u28C0\u2824\u2840   \u28C0\u28C0\u2824\n"
                     "   0 \u2812\u2812\u2809\u2809   \u2813\u2812        \u2808   \u2813\u2812\u2809\u2801   \u2813\u2812\u2809\u2809\n"
                     "     \u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500^\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\n"
                     "     0     channel, 1.00 to 9.00      99\n");
    p.area = true;
    screen_size(&s, 6, 40);
    qs_profile_draw(&s.canvas, &s.theme, &p);
    screen_shows(&s, "9.00                         \u28B8\n"
                     "                             \u28B8\n"
                     "         \u28C0\u28C0\u28E4           \u28C0\u28C0\u28E4   \u28B8\u28C0\u28C0\u28E4    \u28C0\u28C0\u28E4\n"
                     "   0 \u28F6\u28F6\u28FF\u28FF\u28FF\u28FF\u28FF\u28F6\u28F6        \u28B8\u28FF\u28FF\u28FF\u28F6\u28F6\u28FF\u28FF\u28FF\u28FF\u28FF\u28F6\u28F6\u28FF\u28FF\u28FF\u28FF\u28FF\n"
                     "     \u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500^\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\n"
                     "     0     channel, 1.00 to 9.00      99\n");
    p.dots = QS_DOTS_BLOCKS;
    screen_size(&s, 6, 40);
    qs_profile_draw(&s.canvas, &s.theme, &p);
    screen_shows(&s, "9.00                         \u2588\n"
                     "                             \u2588\n"
                     "         \u2581\u2582\u2583           \u2581\u2582\u2583   \u2588\u2581\u2582\u2583    \u2581\u2582\u2583\n"
                     "   0 \u2585\u2586\u2587\u2588\u2588\u2588\u2588\u2585\u2586        \u2588\u2588\u2588\u2588\u2585\u2586\u2587\u2588\u2588\u2588\u2588\u2585\u2586\u2587\u2588\u2588\u2588\u2588\n"
                     "     \u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500^\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\n"
                     "     0     channel, 1.00 to 9.00      99\n");
    p.dots = QS_DOTS_BRAILLE;
    s.canvas.ascii = true; /* whatever was asked for */
    screen_size(&s, 6, 40);
    qs_profile_draw(&s.canvas, &s.theme, &p);
    screen_shows(&s, "9.00                         #\n"
                     "                             #\n"
                     "         ..:           ..:   #..:    ..:\n"
                     "   0 :######:#        ####:######:######\n"
                     "     ------------------------^----------\n"
                     "     0     channel, 1.00 to 9.00      99\n");
    p.area = false;
    p.n = 3; /* fewer than columns */
    p.mark = 3;
    screen_size(&s, 3, 20);
    qs_profile_draw(&s.canvas, &s.theme, &p);
    screen_shows(&s, "9.00\n"
                     "   0 ---------------\n"
                     "     0 channel, .. 2\n");
    screen_free(&s);
}

static void any_size(void **state)
{
    (void)state;
    struct screen s;
    struct qs_grid h = grid();
    double wild[300];
    uint32_t seed = 3;
    for (int i = 0; i < 300; i++) {
        const uint32_t r = next_random(&seed);
        wild[i] = r % 7 == 0 ? (double)NAN : r % 11 == 0 ? INFINITY : r % 13 == 0 ? -1e300 : (double)r;
    }
    for (int mode = 0; mode < 8; mode++) {
        screen_make(&s, 1, 1, mode % 2, (enum qs_tier)(mode / 2));
        for (unsigned rows = 1; rows < 14; rows += 2)
            for (unsigned cols = 1; cols < 60; cols += 1 + cols / 8) {
                struct qs_histogram hist = { .count = wild, .after = cols % 2 ? wild + 100 : NULL, .n = 1 + cols * 3, .low = -1e30,
                                             .high = 1e30, .log = rows % 4 == 1, .name = "a", .after_name = "b" };
                struct qs_profile p = { .value = wild, .n = 1 + cols * 4, .scale = qs_scale_of(wild, 300, rows % 4 == 3),
                                        .dots = (enum qs_dots)(cols % 3), .area = rows % 2, .mark = cols };
                screen_size(&s, rows, cols);
                h.half = cols % 2;
                h.cell = 1 + (int)cols % 3;
                qs_grid_draw(&s.canvas, &s.theme, &h);
                qs_histogram_draw(&s.canvas, &s.theme, &hist);
                screen_size(&s, rows, cols);
                qs_profile_draw(&s.canvas, &s.theme, &p);
                qs_legend_draw(&s.canvas, 0, 0, (int)cols, &s.theme, "title", &p.scale, QS_UNIT_NONE, 3, QS_GRID_DENSITY);
                assert_false(screen_is_empty(&s));
                assert_true(!s.canvas.ascii || screen_is_ascii(&s));
            }
        screen_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(scales), cmocka_unit_test(heat_without_color),
                                        cmocka_unit_test(heat_in_color), cmocka_unit_test(legends), cmocka_unit_test(histograms),
                                        cmocka_unit_test(profiles), cmocka_unit_test(any_size) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
