/* test_evaluate.c - the Evaluate screen without a terminal: every view at every size and tier, what is old, the history
 * and comparisons of it, files, the map's measure, another document while it runs.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests/ui/app_desk.h"
#include "ui/evaluate.h"
#include "ui/map_internal.h"

static char demo[4096];

static bool shows(const struct qs_cells *c, const char *text)
{
    struct qs_str s = QS_STR_INIT;
    qs_cells_text(c, &s);
    const bool found = !s.failed && strstr(s.data, text);
    qs_str_free(&s);
    return found;
}

static void must_show(const struct qs_cells *c, const char *text)
{
    struct qs_str s = QS_STR_INIT;
    if (shows(c, text))
        return;
    qs_cells_text(c, &s);
    fail_msg("\"%s\" is not on\n%s", text, s.data);
}

static void run(struct qs_app *a, struct qs_cells *c, const char *line)
{
    assert_true(qs_app_run(a, line));
    app_wait(a, c);
}

static struct qs_app *start(enum qs_tier tier, bool unicode, struct qs_cells *c)
{
    struct qs_app *a = app_new(demo, tier, unicode);
    app_size(c, 24, 80);
    app_wait(a, c);
    qs_app_run(a, "evaluate");
    qs_app_run(a, "eval-text story.txt");
    qs_app_run(a, "eval-set ctx 32");
    qs_app_run(a, "eval-set chunks 3");
    qs_app_run(a, "eval-set noise off");
    app_draw(a, c);
    return a;
}

static void draw_all_sizes(struct qs_app *a, struct qs_cells *c)
{
    static const unsigned rows[] = { 1, 4, 9, 10, 12, 16, 24, 50 };
    static const unsigned cols[] = { 1, 5, 20, 39, 40, 41, 60, 80, 120, 139, 140, 200 };
    for (size_t y = 0; y < sizeof rows / sizeof *rows; y++)
        for (size_t x = 0; x < sizeof cols / sizeof *cols; x++) {
            app_size(c, rows[y], cols[x]);
            app_draw(a, c);
        }
    app_size(c, 24, 80);
    app_draw(a, c);
}

static void draw_all_views(struct qs_app *a, struct qs_cells *c)
{
    for (int i = 0; i < EVALUATE_VIEWS; i++) {
        app_press(a, QS_KEY_RIGHT);
        draw_all_sizes(a, c);
        for (int m = QS_LIST_UP; m <= QS_LIST_END; m++)
            qs_app_screen(a)->move(a, (enum qs_list_move)m);
        app_draw(a, c);
    }
}

static void test_sizes_and_tiers(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct qs_cells c = QS_CELLS_INIT;
        struct qs_app *a = start(app_tiers[i], i % 2 == 0, &c);
        draw_all_views(a, &c);
        qs_app_run(a, "preset Q2_K");
        run(a, &c, "eval-start");
        must_show(&c, "[Result]");
        must_show(&c, "candidate Q2_K");
        draw_all_views(a, &c);
        qs_app_run(a, "eval-what alone");
        run(a, &c, "eval-start");
        draw_all_views(a, &c);
        qs_cells_free(&c);
        qs_app_free(a);
    }
}

/* Layers on the map: of the blocks' columns, as the result has them; old where the recipe is another one. */
static void test_on_the_map(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = start(QS_TIER_RGB, true, &c);
    struct qs_eval_state s;
    const struct qs_map *m = qs_map_of(a);
    run(a, &c, "eval-on-map");
    assert_int_equal(m->measure, QS_MAP_ERROR); /* there is nothing to be shown */
    run(a, &c, "evaluate");
    run(a, &c, "eval-start");
    qs_workbench_eval(qs_app_bench(a), &s);
    run(a, &c, "eval-on-map");
    must_show(&c, "[2 Map]");
    must_show(&c, "Hidden state after each block");
    must_show(&c, "after block 0");
    assert_int_equal(m->measure, QS_MAP_DIVERGENCE);
    assert_int_equal(m->heat->unit, QS_UNIT_PERCENT);
    for (size_t line = 0; line < qs_map_lines(m); line++)
        for (size_t layer = 0; layer < 8; layer++) {
            const struct qs_heat_cell *cell = qs_map_cell(m, line, layer);
            const bool embedding = cell->tensor->layer < 0 && cell->tensor->role == QS_ROLE_TOKEN_EMBD;
            if (cell->tensor->layer >= 0 || embedding)
                assert_true(cell->value == s.result->x->layer[embedding ? 0 : layer + 1].error);
            else
                assert_true(isnan(cell->value));
        }
    assert_false(shows(&c, "STALE"));
    draw_all_sizes(a, &c);
    app_press(a, '+');
    app_wait(a, &c);
    must_show(&c, "STALE");
    app_press(a, 'u');
    app_wait(a, &c);
    assert_false(shows(&c, "STALE"));
    app_press(a, 'm'); /* the measure after it is the first */
    assert_int_equal(m->measure, QS_MAP_ERROR);
    run(a, &c, "measure divergence");
    run(a, &c, "open small.gguf");
    assert_int_equal(m->measure, QS_MAP_ERROR);
    run(a, &c, "evaluate");
    run(a, &c, "eval-view result");
    must_show(&c, "not open any more");
    qs_cells_free(&c);
    qs_app_free(a);
}

static char *content(const char *path)
{
    char *data = NULL;
    size_t n;
    struct qs_err e = QS_ERR_INIT;
    if (qs_file_read(path, 1 << 20, &data, &n, &e))
        fail_msg("%s", e.msg);
    return data;
}

static void has(const char *path, const char *text)
{
    char *data = content(path);
    if (!strstr(data, text))
        fail_msg("%s does not have %s", path, text);
    qs_free(data);
}

static void test_history(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_str path = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_eval_history_path(&path, &e), QS_OK);
    remove(path.data);
    qs_str_free(&path);
    struct qs_app *a = start(QS_TIER_MONO, true, &c);
    struct evaluate *v = evaluate_of(a);
    run(a, &c, "eval-view history");
    must_show(&c, "Nothing was evaluated yet");
    static const char *const presets[] = { "preset Q8_0", "preset Q2_K" };
    for (int i = 0; i < 2; i++) {
        qs_app_run(a, presets[i]);
        qs_app_run(a, "evaluate");
        run(a, &c, "eval-start");
    }
    run(a, &c, "eval-view history");
    assert_int_equal(v->history->n, 2);
    must_show(&c, "2 runs");
    must_show(&c, "Q2_K");
    assert_int_equal(qs_table_view_row(&v->table), 1); /* the newest */
    app_press(a, 'c');
    app_press(a, 'k');
    app_draw(a, &c);
    must_show(&c, "c compares run");
    app_press(a, 'c');
    app_draw(a, &c);
    assert_non_null(v->compared);
    must_show(&c, "Run a");
    draw_all_sizes(a, &c);
    run(a, &c, "eval-save two.csv");
    run(a, &c, "eval-save two.json");
    has("two.csv", "kld_99");
    has("two.json", "\"eval-compare\"");
    app_press(a, QS_KEY_ESC);
    assert_null(v->compared);
    run(a, &c, "eval-save runs.csv");
    run(a, &c, "eval-save runs.txt");
    has("runs.csv", "Q2_K");
    has("runs.txt", "story.txt");
    run(a, &c, "eval-view result");
    run(a, &c, "eval-save result.json");
    run(a, &c, "eval-save result.csv");
    has("result.json", "\"layers\"");
    has("result.csv", "kld_99");
    run(a, &c, "eval-view layers");
    run(a, &c, "eval-save layers.csv");
    has("layers.csv", "block 7");
    /* texts of the history are offered to the next one who comes */
    qs_app_free(a);
    a = app_new(demo, QS_TIER_RGB, true);
    app_wait(a, &c);
    run(a, &c, "evaluate");
    app_press(a, 't');
    app_draw(a, &c);
    must_show(&c, "Texts used before");
    app_press(a, QS_KEY_DOWN);
    app_press(a, QS_KEY_ENTER);
    assert_non_null(strstr(evaluate_of(a)->text, "story.txt"));
    qs_cells_free(&c);
    qs_app_free(a);
}

/* Every field takes what it says, and refuses the rest. */
static void test_setup(void **state)
{
    static const struct { const char *line; bool good; } lines[] = {
        { "ctx 4", true }, { "ctx 3", false }, { "ctx 99999999999999999999", false }, { "ctx auto", true },
        { "ctx -5", false },
        { "chunks all", true }, { "chunks 0", false }, { "chunks 7", true }, { "precision fast", true },
        { "precision x", false },
        { "cache Q8_0", true }, { "cache Q2_K", false }, { "rotate on", true }, { "noise off", true },
        { "noise maybe", false },
        { "held-out story.txt", true }, { "held-out none", true }, { "calibration nowhere.txt", false },
        { "text .", false },
        { "what alone", true }, { "what", true }, { "file small.gguf", true }, { "nothing 1", false },
    };
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = start(QS_TIER_16, true, &c);
    struct evaluate *v = evaluate_of(a);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char line[128];
        snprintf(line, sizeof line, "eval-set %s", lines[i].line);
        a->message_level = QS_LOG_NOTE;
        qs_app_run(a, line);
        if ((a->message_level == QS_LOG_NOTE) != lines[i].good)
            fail_msg("%s: %s", lines[i].line, a->message);
    }
    assert_true(v->q.n_ctx == 0 && v->q.n_windows == 7 && v->q.precision == QS_FAST && v->q.cache.rotate);
    assert_false(v->q.noise);
    assert_true(v->q.cache.type_k == QS_Q8_0 && v->q.cache.type_v == QS_Q8_0 && v->q.what == QS_EVAL_FILE);
    assert_null(v->held_out);
    /* another vocabulary: one clear message */
    qs_app_run(a, "eval-set ctx 32");
    run(a, &c, "eval-start");
    must_show(&c, "vocabularies");
    qs_cells_free(&c);
    qs_app_free(a);
}

/* Documents come and go while it runs; the app ends while it runs. */
static void test_meanwhile(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = start(QS_TIER_RGB, true, &c);
    qs_app_run(a, "eval-set chunks all");
    qs_app_run(a, "eval-start");
    app_draw(a, &c);
    must_show(&c, "[Progress]");
    app_press(a, 'p');
    app_draw(a, &c);
    app_press(a, 'p');
    qs_app_run(a, "open small.gguf");
    app_wait(a, &c);
    qs_app_run(a, "evaluate");
    qs_app_run(a, "eval-start"); /* its 64 tokens may not do: whatever comes of it is told */
    app_wait(a, &c);
    draw_all_views(a, &c);
    qs_app_run(a, "eval-start");
    qs_cells_free(&c);
    qs_app_free(a);
}

static int prepare(void **state)
{
    static const char sentence[] = "Once upon a time there was a little girl named Lily. She loved the park. ";
    char text[24 * sizeof sentence];
    if (app_folder(state))
        return -1;
    snprintf(demo, sizeof demo, "%s", qs_test_src("demo/storyteller-9m-f16.gguf"));
    for (size_t i = 0; i < 24; i++)
        memcpy(text + i * (sizeof sentence - 1), sentence, sizeof sentence);
    text[24 * (sizeof sentence - 1)] = 0;
    qs_test_file("story.txt", text, strlen(text));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_and_tiers), cmocka_unit_test(test_on_the_map), cmocka_unit_test(test_history),
        cmocka_unit_test(test_setup), cmocka_unit_test(test_meanwhile),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
