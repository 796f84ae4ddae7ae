/* test_zoom_text.c - a look at one tensor drawn at many widths, before the first row, and when it is done. */
#include "tests/lib/qs_test.h"

#include <stdio.h>
#include <string.h>

#include "base/unicode.h"
#include "core/report/report_zoom.h"
#include "tests/quant/made_tensors.h"

static struct made_tensor tensor = { "blk.0.ffn_down.weight", { 2048, 300 }, NULL };
static struct qs_model *model;
static struct qs_zoom *zoom;
static struct qs_zoom_view *empty, *done;

static struct qs_str draw(const struct qs_zoom_view *v, unsigned width, bool ascii, bool log, bool sigma)
{
    const struct qs_zoom_style style = { .heat = { .width = width, .ascii = ascii }, .log = log, .sigma = sigma };
    struct qs_str out = QS_STR_INIT;
    qs_zoom_text(v, &style, &out);
    assert_false(out.failed);
    return out;
}

static size_t widest_line(const char *text)
{
    size_t most = 0;
    for (const char *end; *text; text = end + 1) {
        end = strchr(text, '\n');
        assert_non_null(end);
        const size_t n = qs_utf8_width(text, (size_t)(end - text));
        most = n > most ? n : most;
    }
    return most;
}

static void test_widths(void **state)
{
    (void)state;
    for (unsigned width = 60; width <= 230; width += 5)
        for (unsigned k = 0; k < 16; k++) {
            const struct qs_zoom_view *v = k & 8 ? empty : done;
            struct qs_str s = draw(v, width, k & 1, k & 2, k & 4);
            if (widest_line(s.data) > width)
                fail_msg("%zu cells at width %u:\n%s", widest_line(s.data), width, s.data);
            assert_non_null(strstr(s.data, k & 2 ? "log axis" : "linear axis"));
            assert_non_null(strstr(s.data, k & 4 ? "8.00 sd" : " 0 "));
            for (size_t i = 0; (k & 1) && i < s.len; i++)
                assert_true(s.data[i] == '\n' || (s.data[i] >= ' ' && s.data[i] <= '~'));
            qs_str_free(&s);
        }
}

/* The line of a tile row: its first row, then a level for each tile. */
static void test_levels(void **state)
{
    (void)state;
    struct qs_str s = draw(done, 80, true, false, false), none = draw(empty, 80, true, false, false);
    double low = 1e9, high = 0;
    for (unsigned j = 0; j < 40 * 20; j++) {
        low = done->tile[j].error < low ? done->tile[j].error : low;
        high = done->tile[j].error > high ? done->tile[j].error : high;
    }
    for (unsigned i = 0; i < 20; i++) {
        char head[32];
        snprintf(head, sizeof head, "\n%12llu ", (unsigned long long)done->axis[QS_ROWS].tile_from[i]);
        const char *line = strstr(s.data, head), *blank = strstr(none.data, head);
        assert_non_null(line);
        assert_non_null(blank);
        assert_int_equal(strspn(line + 14, "0123456789"), 40);
        assert_int_equal(strspn(blank + 14, "?"), 40);
        for (unsigned j = 0; j < 40; j++) /* the planted corner stands out, the least one is the least level */
            if (done->tile[i * 40 + j].error >= high)
                assert_int_equal(line[14 + j], '9');
            else if (done->tile[i * 40 + j].error <= low)
                assert_true(line[14 + j] <= '4');
    }
    assert_non_null(strstr(s.data, "log scale from "));
    qs_str_free(&s);
    qs_str_free(&none);
}

/* One weight can be seen, on either axis; the tallest column fills its height. */
static void test_bars(void **state)
{
    (void)state;
    struct qs_zoom_view v = *done;
    memset(v.weights, 0, sizeof v.weights);
    v.weights[QS_ZOOM_BY_VALUE].count[QS_ZOOM_BINS / 2] = 1000000;
    v.weights[QS_ZOOM_BY_VALUE].count[0] = 1;
    v.weights[QS_ZOOM_BY_VALUE].above = 7;
    for (int log = 0; log < 2; log++) {
        struct qs_str s = draw(&v, 80, true, log, false);
        unsigned lines = 0;
        const char *line = strstr(s.data, "1,000,000 |");
        assert_non_null(line);
        line = strchr(line, '|');
        for (const char *at = line; at && at[0] == '|'; lines++) {
            assert_int_equal(at[1 + 31], '#');
            assert_int_equal(at[1], lines < 7 ? ' ' : '.');
            at = strchr(at, '\n');
            at = at && strchr(at, '|') && strchr(at, '|') < strchr(at, '+') ? strchr(at, '|') : NULL;
        }
        assert_int_equal(lines, 8);
        assert_non_null(strstr(s.data, "not drawn: 0 weights below, 7 above"));
        qs_str_free(&s);
    }
}

static int report_body(void *ctx, struct qs_err *e)
{
    const struct qs_zoom_report how = { .source = "model.gguf", .reason = "asked for", .data = true };
    struct qs_report *r = NULL;
    const int rc = qs_report_zoom(zoom, ctx, &how, &r, e);
    qs_report_free(r);
    return rc;
}

static void test_report(void **state)
{
    (void)state;
    const struct qs_zoom_report how = { .source = "model.gguf", .reason = "asked for", .data = true };
    struct qs_report *r = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_report_zoom(zoom, done, &how, &r, &e), QS_OK);
    assert_int_equal(qs_report_sections(r), 7);
    const struct qs_section *tiles = qs_report_section(r, 2), *channels = qs_report_section(r, 5);
    assert_int_equal(qs_section_rows(tiles), 20 * 40);
    assert_int_equal(qs_section_rows(channels), 300 + 2048);
    const struct qs_cell *c = qs_section_cell(channels, 300 + 17, 4);
    assert_true(c->how == QS_HOW_WHOLE);
    assert_true(c->num >= qs_zoom_channels(zoom, QS_COLS, QS_ZOOM_ERROR)[17] &&
                c->num <= qs_zoom_channels(zoom, QS_COLS, QS_ZOOM_ERROR)[17]);
    qs_report_free(r);
    qs_test_each_alloc(report_body, done);
}

static int make(void **state)
{
    (void)state;
    struct qs_pool *pool = NULL;
    struct qs_err e = QS_ERR_INIT;
    made_fill(&tensor, 1, 3);
    for (int i = 0; i < 15 * 64; i += 32)
        tensor.x[i / 64 * 2048 + i % 64] = 1; /* a corner where blocks are coarse */
    assert_int_equal(qs_model_open(made_file("zoom.gguf", &tensor, 1), &model, &e), QS_OK);
    const struct qs_zoom_args a = { .tensor = &model->tensor[0], .type = QS_Q4_0, .expert = QS_ZOOM_ALL, .tile_rows = 20,
                                    .tile_cols = 40, .bins = 30 };
    assert_int_equal(qs_zoom_new(&a, &zoom, &e), QS_OK);
    assert_int_equal(qs_zoom_view_new(zoom, &empty, &e), QS_OK);
    assert_int_equal(qs_zoom_view_new(zoom, &done, &e), QS_OK);
    qs_zoom_copy(zoom, empty);
    assert_int_equal(qs_pool_new(2, &pool, &e), QS_OK);
    assert_int_equal(qs_zoom_run(zoom, model, pool, NULL, &e), QS_OK);
    qs_zoom_copy(zoom, done);
    qs_pool_free(pool);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    qs_zoom_view_free(empty);
    qs_zoom_view_free(done);
    qs_zoom_free(zoom);
    qs_model_close(model);
    made_free(&tensor, 1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_widths), cmocka_unit_test(test_levels),
                                        cmocka_unit_test(test_bars), cmocka_unit_test(test_report) };
    return cmocka_run_group_tests_name("zoom_text", tests, make, drop);
}
