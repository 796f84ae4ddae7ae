/* test_map.c - the ramp (even, lightness rising), the map as text at many widths, SVG, list; the survey's report. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/color.h"
#include "base/unicode.h"
#include "core/report/ramp.h"
#include "core/report/report_map.h"
#include "core/report/report_survey.h"
#include "tests/quant/made_tensors.h"

enum { LAYERS = 70, N = LAYERS * 2 + 3 };
static struct made_tensor tensors[N];
static char names[N][48];
static struct qs_model *model;
static struct qs_pool *pool;

static void test_ramp(void **state)
{
    (void)state;
    uint8_t rgb[3];
    double last = -1, step = 0;
    for (int i = 0; i <= 100; i++) { /* strictly rising, evenly graded */
        qs_ramp_rgb(i / 100.0, rgb);
        const double l = qs_color_lightness(rgb);
        assert_true(l > last);
        if (i > 1)
            assert_true(fabs(l - last - step) < 0.006);
        step = i == 1 ? l - last : step;
        last = l;
    }
    assert_true(last > 0.9);
    qs_ramp_rgb(0, rgb);
    assert_true(qs_color_lightness(rgb) < 0.3);
    last = -1;
    for (unsigned i = 0; i < QS_RAMP_LEVELS; i++) { /* the palette's form keeps order in grey as well */
        qs_color_palette(qs_ramp_256(i), rgb);
        assert_true(qs_color_lightness(rgb) > last + 0.02);
        last = qs_color_lightness(rgb);
    }
    for (int bright = 0; bright < 2; bright++) { /* as do its ANSI colours, here in xterm's palette */
        last = -1;
        for (unsigned i = 0; i < QS_RAMP_ANSI_STEPS; i++) {
            qs_color_palette(qs_ramp_ansi(i, bright).color, rgb);
            assert_true(qs_color_lightness(rgb) > last);
            last = qs_color_lightness(rgb);
        }
    }
}

static struct qs_survey *stats_survey(void)
{
    const struct qs_survey_args args = { .stats = true, .no_cache = true };
    struct qs_survey *s = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_survey_run(model, &args, pool, NULL, &s, &e))
        fail_msg("%s", e.msg);
    return s;
}

static struct qs_heat *heat_of(enum qs_map_measure measure, const struct qs_survey *s)
{
    const struct qs_heat_args args = { .measure = measure, .scale = -1, .what = "a \x1b[31m<recipe> & \"more\"" };
    struct qs_heat *h = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_heat_make(model, s, &args, &h, &e))
        fail_msg("%s", e.msg);
    return h;
}

static void test_places(void **state)
{
    (void)state;
    struct qs_survey *s = stats_survey();
    struct qs_heat *h = heat_of(QS_MAP_OUTLIERS, s);
    assert_int_equal(h->n_layers, LAYERS);
    assert_int_equal(h->n_rows, 2);
    assert_string_equal(h->row[0].label, "attn_q"); /* roles in their order, not the file's */
    assert_string_equal(h->row[1].label, "ffn_down");
    assert_int_equal(h->n_singles, 2);
    assert_int_equal(h->not_drawn, 1); /* the norm */
    assert_int_equal(h->n_items, N - 1);
    for (size_t i = 0; i < LAYERS; i++) {
        assert_int_equal(h->row[0].cell[i].tensor->layer, i);
        struct qs_survey_stats x;
        assert_true(qs_survey_stats(s, h->row[0].cell[i].tensor, &x));
        assert_true(fabs(h->row[0].cell[i].value - x.max_sigma) < 1e-12);
        assert_true(qs_heat_level(h, h->row[0].cell[i].value) < QS_RAMP_LEVELS);
    }
    for (unsigned i = 0; i < QS_RAMP_LEVELS; i++) { /* the legend's numbers are where the levels begin */
        assert_int_equal(qs_heat_level(h, qs_heat_level_from(h, i) * 1.0001), i);
        if (i)
            assert_int_equal(qs_heat_level(h, qs_heat_level_from(h, i) * 0.9999), i - 1);
    }
    qs_heat_free(h);
    qs_survey_free(s);
}

/* The total is over all matrices drawn, those that are kept as they are included, on all weights or on a sample. */
static void test_total(void **state)
{
    (void)state;
    static const int types[] = { QS_F32, QS_Q4_0 };
    int type[N];
    double ref2 = 0, whole = 0;
    struct qs_err e = QS_ERR_INIT;
    for (size_t i = 0; i < N; i++)
        type[i] = i % 2 ? QS_Q4_0 : QS_F32;
    for (int sampled = 0; sampled < 2; sampled++) {
        const struct qs_survey_args args = { .errors = true, .whole = !sampled, .sample_weights = 512, .types = types,
                                             .n_types = 2, .only_type = type, .no_cache = true };
        const struct qs_heat_args heat = { .measure = QS_MAP_ERROR, .scale = -1, .type = type };
        struct qs_survey *s = NULL;
        struct qs_heat *h = NULL;
        assert_int_equal(qs_survey_run(model, &args, pool, NULL, &s, &e), QS_OK);
        assert_int_equal(qs_heat_make(model, s, &heat, &h, &e), QS_OK);
        assert_true(h->kept > 0 && h->kept < h->n_items && h->unknown == 0);
        assert_int_equal(h->total_sampled, sampled);
        if (sampled) {
            assert_true(h->total > 0.8 * whole && h->total < 1.2 * whole);
        } else {
            double err2 = 0;
            for (size_t i = 0; i < h->n_items; i++) {
                const struct made_tensor *t = &tensors[qs_model_index(model, h->item[i].tensor)];
                double sum = 0;
                for (uint64_t k = 0; k < made_weights(t); k++)
                    sum += (double)t->x[k] * (double)t->x[k];
                ref2 += sum;
                err2 += h->item[i].value * h->item[i].value * sum;
            }
            whole = sqrt(err2 / ref2);
            assert_true(fabs(h->total - whole) < 1e-9 * whole);
        }
        qs_heat_free(h);
        qs_survey_free(s);
    }
}

/* Names that promise a picture of billions of cells get one that is bounded; nothing is lost from lists. */
static void test_hostile_names(void **state)
{
    (void)state;
    enum { MANY = 3000 };
    struct made_tensor *t = calloc(MANY, sizeof *t);
    char (*name)[48] = calloc(MANY, sizeof *name);
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = NULL;
    struct qs_heat *h = NULL;
    struct qs_str out = QS_STR_INIT;
    assert_true(t && name);
    for (unsigned i = 0; i < MANY; i++) {
        if (i % 3 == 2)
            snprintf(name[i], sizeof name[i], "single%u", i);
        else
            snprintf(name[i], sizeof name[i], "blk.%u.stem%u", i % 3 == 1 ? 4000000000u : 4095u, i);
        t[i] = (struct made_tensor){ name[i], { 4, 2 }, NULL };
    }
    made_fill(t, MANY, 5);
    if (qs_model_open(made_file("hostile.gguf", t, MANY), &m, &e))
        fail_msg("%s", e.msg);
    const struct qs_heat_args args = { .measure = QS_MAP_BITS, .scale = -1 };
    assert_int_equal(qs_heat_make(m, NULL, &args, &h, &e), QS_OK);
    assert_true(h->n_layers <= 4096 && h->n_rows * h->n_layers <= QS_MAP_CELLS);
    assert_true(h->n_rows > 10 && h->n_rows <= QS_MAP_ROWS && h->n_singles <= QS_MAP_ROWS);
    assert_int_equal(h->n_items + h->not_drawn, MANY);
    assert_true(h->without_row > 0);
    qs_heat_text(h, &(struct qs_heat_style){ .width = 80 }, &out);
    assert_non_null(strstr(out.data, "the picture is full"));
    qs_str_free(&out);
    qs_heat_free(h);
    qs_model_close(m);
    made_free(t, MANY);
    free(name);
    free(t);
}

/* Lines without their escape sequences. */
static size_t widest_plain(const char *text, size_t *escapes)
{
    size_t most = 0;
    char line[8192];
    while (*text) {
        size_t n = 0;
        for (; *text && *text != '\n'; text++) {
            if (*text == '\x1b') {
                ++*escapes;
                text += strcspn(text, "m");
                continue;
            }
            line[n++] = *text;
            assert_true(n < sizeof line);
        }
        text += *text != 0;
        const size_t w = qs_utf8_width(line, n);
        most = w > most ? w : most;
    }
    return most;
}

/* On eight colours every level has its step of the ramp, as the legend shows. */
static void test_eight_colors(void **state)
{
    (void)state;
    static const char *const step[] = { "\x1b[37;40m", "\x1b[37;41m", "\x1b[30;46m", "\x1b[30;47m" };
    static const unsigned of_level[QS_RAMP_LEVELS] = { 0, 0, 0, 1, 1, 2, 2, 2, 3, 3 };
    const struct qs_heat_style style = { .width = 100, .color = QS_HEAT_8 };
    struct qs_heat *h = heat_of(QS_MAP_BITS, NULL);
    h->low = 0, h->high = 10, h->log = false;
    for (unsigned i = 0; i < QS_RAMP_LEVELS; i++) {
        struct qs_str out = QS_STR_INIT;
        qs_heat_mark(h, &style, i + 0.5, &out);
        assert_int_equal(strncmp(out.data, step[of_level[i]], strlen(step[0])), 0);
        qs_str_free(&out);
    }
    qs_heat_free(h);
}

static void test_text(void **state)
{
    (void)state;
    struct qs_survey *s = stats_survey();
    static const enum qs_heat_color colors[] = { QS_HEAT_PLAIN, QS_HEAT_8, QS_HEAT_256, QS_HEAT_RGB };
    for (unsigned width = 45; width < 700; width += width < 120 ? 1 : 97)
        for (int c = 0; c < 4; c++)
            for (int m = QS_MAP_OUTLIERS; m <= QS_MAP_BITS; m++) {
                struct qs_heat *h = heat_of((enum qs_map_measure)m, s);
                const struct qs_heat_style style = { width, colors[c], width % 2 == 0 };
                struct qs_str out = QS_STR_INIT;
                size_t escapes = 0;
                qs_heat_text(h, &style, &out);
                assert_false(out.failed);
                assert_true(widest_plain(out.data, &escapes) <= width);
                assert_true((escapes > 0) == (c > 0)); /* also: the escape in the recipe's name is gone */
                assert_true((strstr(out.data, "each column is") != NULL) == (width < 100));
                if (style.ascii)
                    for (const char *p = out.data; *p; p++)
                        assert_true((unsigned char)*p < 0x80);
                qs_str_free(&out);
                qs_heat_free(h);
            }
    qs_survey_free(s);
}

/* Nothing is known: no colours, and no numbers for them. */
static void test_before_measuring(void **state)
{
    (void)state;
    struct qs_survey *s = NULL;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_survey_args args = { .errors = true, .no_cache = true };
    static const struct qs_heat_style style = { .width = 100 };
    struct qs_str text = QS_STR_INIT, svg = QS_STR_INIT;
    assert_int_equal(qs_survey_new(model, &args, &s, &e), QS_OK);
    struct qs_heat *h = heat_of(QS_MAP_OUTLIERS, s);
    assert_true(isnan(h->low) && isnan(h->high));
    assert_int_equal(h->unknown, h->n_items);
    assert_int_equal(qs_heat_level(h, 0.5), 0);
    qs_heat_text(h, &style, &text);
    qs_heat_svg(h, &svg);
    assert_non_null(strstr(text.data, "nothing measured yet"));
    assert_null(strstr(text.data, "scale from"));
    assert_null(strstr(text.data, "level "));
    assert_non_null(strstr(svg.data, "nothing measured yet"));
    assert_null(strstr(svg.data, "log scale"));
    qs_heat_free(h);
    h = heat_of(QS_MAP_ERROR, s); /* of the file as it is: 0 everywhere */
    assert_non_null(strstr(qs_heat_no_range(h), "is 0"));
    qs_heat_free(h);
    h = heat_of(QS_MAP_BITS, s);
    assert_null(qs_heat_no_range(h));
    qs_heat_free(h);
    qs_str_free(&text);
    qs_str_free(&svg);
    qs_survey_free(s);
}

/* Every tag closed, every special character escaped: a small reader of what we write. */
static void check_xml(const char *p)
{
    char open[32][16];
    size_t depth = 0;
    assert_true(strncmp(p, "<?xml ", 6) == 0);
    p = strchr(p, '>') + 1;
    while (*p) {
        assert_true((unsigned char)*p >= 0x20 || *p == '\n');
        if (*p == '&')
            assert_true(!strncmp(p, "&lt;", 4) || !strncmp(p, "&gt;", 4) || !strncmp(p, "&amp;", 5) ||
                        !strncmp(p, "&quot;", 6) || !strncmp(p, "&#39;", 5));
        if (*p != '<') {
            p++;
            continue;
        }
        const char *end = strchr(p, '>');
        assert_non_null(end);
        const bool closing = p[1] == '/', empty = end[-1] == '/';
        const char *name = p + 1 + closing;
        const size_t n = strcspn(name, " />");
        assert_true(n > 0 && n < sizeof open[0]);
        if (closing) {
            assert_true(depth > 0);
            depth--;
            assert_true(strlen(open[depth]) == n && strncmp(open[depth], name, n) == 0);
        } else if (!empty) {
            assert_true(depth < 32);
            snprintf(open[depth++], sizeof open[0], "%.*s", (int)n, name);
        }
        p = end + 1;
    }
    assert_int_equal(depth, 0);
}

static void test_svg(void **state)
{
    (void)state;
    struct qs_heat *h = heat_of(QS_MAP_BITS, NULL);
    struct qs_str out = QS_STR_INIT;
    size_t titles = 0;
    qs_heat_svg(h, &out);
    check_xml(out.data);
    assert_non_null(strstr(out.data, "&lt;recipe&gt; &amp; &quot;more&quot;"));
    for (const char *p = out.data; (p = strstr(p, "</title>")); p++)
        titles++;
    assert_int_equal(titles, h->n_items + 1);
    qs_str_free(&out);
    qs_heat_free(h);
}

static void test_list(void **state)
{
    (void)state;
    struct qs_heat *h = heat_of(QS_MAP_BITS, NULL);
    struct qs_report *r = NULL;
    struct qs_str out = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_report_map(h, &r, &e), QS_OK);
    assert_int_equal(qs_report_csv(r, "tensors", &out, &e), QS_OK);
    assert_non_null(strstr(out.data, "\r\nblk.3.attn_q.weight,attn_q,3,F32,32,"));
    assert_int_equal(qs_section_rows(qs_report_section(r, 1)), N - 1);
    qs_str_free(&out);
    qs_report_free(r);
    qs_heat_free(h);
}

/* The tensor with a planted column and its column are what the survey's report names. */
static void test_survey_report(void **state)
{
    (void)state;
    struct qs_survey *s = stats_survey();
    struct qs_report *r = NULL;
    struct qs_str out = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_survey_view view = { .outliers = true };
    assert_int_equal(qs_report_survey(s, &view, &r, &e), QS_OK);
    struct qs_section *last = qs_report_section(r, qs_report_sections(r) - 1);
    assert_int_equal(qs_section_rows(last), 1);
    assert_string_equal(qs_section_cell(last, 0, 0)->str, "blk.5.ffn_down.weight");
    assert_string_equal(qs_section_cell(last, 0, 1)->str, "column");
    assert_int_equal(qs_section_cell(last, 0, 2)->i, 17);
    qs_report_free(r);
    view.sort = "-max_sigma";
    view.worst = 1;
    assert_int_equal(qs_report_survey(s, &view, &r, &e), QS_OK);
    qs_report_text(r, &(struct qs_text_style){ .width = 100 }, &out);
    assert_non_null(strstr(out.data, "blk.5.ffn_down.weight"));
    assert_null(strstr(out.data, "blk.6.ffn_down.weight"));
    qs_str_clear(&out);
    qs_report_free(r);
    view = (struct qs_survey_view){ .data = true };
    assert_int_equal(qs_report_survey(s, &view, &r, &e), QS_OK);
    assert_true(qs_report_json(r, &out));
    assert_non_null(strstr(out.data, "\"channels\""));
    qs_report_free(r);
    view.sort = "nonsense";
    assert_int_equal(qs_report_survey(s, &view, &r, &e), QS_EINVAL);
    qs_str_free(&out);
    qs_survey_free(s);
}

static int body(void *ctx, struct qs_err *e)
{
    struct qs_heat *h = NULL;
    struct qs_report *r = NULL;
    struct qs_str out = QS_STR_INIT;
    const struct qs_heat_style style = { 100, QS_HEAT_RGB, false };
    const struct qs_heat_args args = { .measure = QS_MAP_BITS, .scale = -1 };
    (void)ctx;
    int rc = qs_heat_make(model, NULL, &args, &h, e);
    if (!rc) {
        qs_heat_text(h, &style, &out);
        qs_heat_svg(h, &out);
        rc = qs_report_map(h, &r, e);
        if (!rc && out.failed)
            rc = qs_fail(e, QS_ENOMEM, "no text");
    }
    if (!rc)
        qs_report_free(r);
    qs_str_free(&out);
    qs_heat_free(h);
    return rc;
}

static void test_failing_memory(void **state)
{
    (void)state;
    qs_test_each_alloc(body, NULL);
}

/* Statistics of one tensor alone, written and read again: its output error on the map and in the survey's tables, its input's
 * outlier channel, and nothing of the others. */
static void test_outputs(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_statistics *s = NULL;
    struct qs_outputs *o = NULL;
    struct qs_imatrix *im = qs_imatrix_new();
    struct qs_imatrix_entry *x = im ? qs_imatrix_add(im, "blk.5.ffn_down.weight", 64, 1, false) : NULL;
    assert_non_null(x);
    x->counts[0] = 4;
    for (int k = 0; k < 64; k++)
        x->sum2[k] = k == 17 ? 400.0f : 4.0f; /* ten times the RMS of the others */
    if (qs_imatrix_seal(im, &e) || qs_imatrix_write(im, NULL, qs_test_tmp_path("s.gguf"), true, &e) ||
        qs_statistics_open(qs_test_tmp_path("s.gguf"), NULL, NULL, &s, &e))
        fail_msg("%s", e.msg);
    const struct qs_error_cell c = { (char *)(uintptr_t)"blk.5.ffn_down.weight", QS_Q4_0, QS_CALIB_IMATRIX, 0.125, 0.1, 1 };
    if (qs_statistics_put_error(s, &c, &e) || qs_outputs_new(model, s, &o, &e))
        fail_msg("%s", e.msg);
    int type[N];
    for (int i = 0; i < N; i++)
        type[i] = QS_Q4_0;
    struct qs_heat *h = NULL;
    struct qs_heat_args args = { .measure = QS_MAP_OUTPUT, .scale = -1, .type = type, .outputs = o };
    assert_int_equal(qs_heat_make(model, NULL, &args, &h, &e), QS_OK);
    for (size_t i = 0; i < h->n_items; i++) {
        const bool known = strcmp(h->item[i].tensor->name, "blk.5.ffn_down.weight") == 0;
        assert_int_equal(!isnan(h->item[i].value), known);
        assert_true(!known || (h->item[i].value == 0.125 && h->item[i].how == QS_HOW_WHOLE));
    }
    qs_heat_free(h);
    args = (struct qs_heat_args){ .measure = QS_MAP_ACTIVATIONS, .scale = -1, .outputs = o };
    assert_int_equal(qs_heat_make(model, NULL, &args, &h, &e), QS_OK);
    assert_true(fabs(h->item[10].value - 10) < 1e-6 && isnan(h->item[11].value));
    qs_heat_free(h);
    struct qs_survey *survey = stats_survey();
    struct qs_survey_view view = { .data = true, .outputs = o };
    struct qs_report *r = NULL;
    struct qs_str csv = QS_STR_INIT;
    assert_int_equal(qs_report_survey(survey, &view, &r, &e), QS_OK);
    assert_int_equal(qs_report_csv(r, "cells", &csv, &e), QS_OK);
    assert_non_null(strstr(csv.data, "output_error"));
    assert_non_null(strstr(csv.data, "0.125"));
    qs_report_free(r);
    qs_str_free(&csv);
    qs_survey_free(survey);
    qs_outputs_free(o);
    qs_statistics_free(s);
    qs_imatrix_free(im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ramp), cmocka_unit_test(test_places), cmocka_unit_test(test_total),
        cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_eight_colors), cmocka_unit_test(test_text), cmocka_unit_test(test_before_measuring),
        cmocka_unit_test(test_svg),
        cmocka_unit_test(test_list), cmocka_unit_test(test_survey_report), cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_failing_memory),
    };
    struct qs_err e = QS_ERR_INIT;
    size_t n = 0;
    for (size_t i = 0; i < LAYERS; i++) { /* the file has ffn_down before attn_q */
        snprintf(names[n], sizeof names[n], "blk.%zu.ffn_down.weight", i);
        tensors[n] = (struct made_tensor){ names[n], { 64, 32 }, NULL };
        n++;
        snprintf(names[n], sizeof names[n], "blk.%zu.attn_q.weight", i);
        tensors[n] = (struct made_tensor){ names[n], { 32, 32 }, NULL };
        n++;
    }
    tensors[n++] = (struct made_tensor){ "token_embd.weight", { 32, 64 }, NULL };
    tensors[n++] = (struct made_tensor){ "output.weight", { 32, 64 }, NULL };
    tensors[n++] = (struct made_tensor){ "output_norm.weight", { 32 }, NULL };
    made_fill(tensors, N, 4);
    for (size_t i = 0; i < N; i++) /* no chance outliers: what the generator made heavy is cut */
        for (uint64_t k = 0; k < made_weights(&tensors[i]); k++)
            tensors[i].x[k] = fmaxf(-0.15f, fminf(0.15f, tensors[i].x[k]));
    for (uint64_t r = 0; r < 32; r++) /* column 17 of blk.5.ffn_down, in all rows: no row stands out */
        tensors[10].x[r * 64 + 17] = (float)(0.9 + 0.001 * (double)r);
    if (qs_model_open(made_file("map.gguf", tensors, N), &model, &e) || qs_pool_new(2, &pool, &e))
        return 1;
    const int rc = cmocka_run_group_tests_name("map", tests, NULL, NULL);
    qs_pool_free(pool);
    qs_model_close(model);
    made_free(tensors, N);
    return rc;
}
