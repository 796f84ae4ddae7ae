/* test_calibrate.c - the Calibrate screen without a terminal: every view at every size and tier, texts and settings, the
 * map that fills while it runs, pause, cancel and resume, what is overwritten, budgets on the Recipe screen.
 */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests/model/make_model.h"
#include "tests/ui/app_desk.h"
#include "ui/calibrate.h"
#include "ui/map_internal.h"

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
    fputs(s.data, stderr); /* longer than what cmocka prints */
    fail_msg("\"%s\" is not there", text);
}

static void run(struct qs_app *a, struct qs_cells *c, const char *line)
{
    assert_true(qs_app_run(a, line));
    app_wait(a, c);
}

/* A model that reads any text, under this name in the scratch folder: results go beside it. Reduced it is narrow, of types
 * that take fewer than 256 columns, and deep, so that it is not done before it can be stopped. */
static void bring(const char *name)
{
    const bool narrow = getenv("QS_REDUCED") != NULL;
    const unsigned width = narrow ? 64 : 256;
    const struct mm_spec spec = { .layers = narrow ? 16 : 4, .embd = width, .ff = width, .vocab = 300,
                                  .byte_tokens = true };
    struct qs_err e = QS_ERR_INIT;
    if (mm_file(name, &spec, &e))
        fail_msg("%s", e.msg);
}

static struct qs_app *start(const char *model, enum qs_tier tier, bool unicode, struct qs_cells *c)
{
    bring(model);
    struct qs_app *a = app_new(model, tier, unicode);
    app_size(c, 24, 80);
    app_wait(a, c);
    qs_app_run(a, "calibrate");
    qs_app_run(a, "calib-text story.txt:2");
    qs_app_run(a, "calib-set ctx 32");
    qs_app_run(a, "calib-set windows 12");
    app_wait(a, c);
    return a;
}

static void draw_all_sizes(struct qs_app *a, struct qs_cells *c)
{
    static const unsigned rows[] = { 1, 4, 9, 10, 12, 16, 24, 50 };
    static const unsigned cols[] = { 1, 5, 20, 39, 40, 41, 60, 80, 120, 139, 140, 200 };
    static size_t turn; /* reduced: a quarter of the sizes, another one each time */
    const size_t every = getenv("QS_REDUCED") ? 4 : 1;
    for (size_t y = 0; y < sizeof rows / sizeof *rows; y++)
        for (size_t x = 0; x < sizeof cols / sizeof *cols; x++, turn++) {
            if (turn % every)
                continue;
            app_size(c, rows[y], cols[x]);
            app_draw(a, c);
        }
    turn++;
    app_size(c, 24, 80);
    app_draw(a, c);
}

static void draw_all_views(struct qs_app *a, struct qs_cells *c)
{
    for (int i = 0; i < CALIBRATE_VIEWS; i++) {
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
        char name[32];
        snprintf(name, sizeof name, "tier%d.gguf", i);
        struct qs_app *a = start(name, app_tiers[i], i % 2 == 0, &c);
        must_show(&c, "It takes about");
        must_show(&c, "100%"); /* the mix */
        must_show(&c, "few"); /* 12 windows */
        draw_all_views(a, &c);
        qs_app_run(a, "calib-set gptq off");
        qs_app_run(a, "calib-set correct off");
        run(a, &c, "calib-start");
        must_show(&c, "[Progress]");
        must_show(&c, "Done.");
        must_show(&c, "attn_q");
        draw_all_views(a, &c);
        run(a, &c, "fit 5 bpw");
        must_show(&c, "Fit ");
        draw_all_sizes(a, &c);
        qs_cells_free(&c);
        qs_app_free(a);
    }
}

static size_t known(const struct qs_map *m)
{
    size_t n = 0;
    for (size_t line = 0; line < qs_map_lines(m); line++)
        for (size_t layer = 0; layer < (qs_map_single(m, line) ? 1 : m->heat->n_layers); layer++) {
            const struct qs_heat_cell *cell = qs_map_cell(m, line, layer);
            n += cell && !isnan(cell->value);
        }
    return n;
}

/* Draws until it holds, or the calibration has ended: told which. */
static bool wait_for(struct qs_app *a, struct qs_cells *c, bool (*holds)(struct qs_app *, size_t), size_t n)
{
    const double until = qs_now() + APP_PATIENCE;
    for (;;) {
        struct qs_calibrating s;
        app_draw(a, c);
        if (holds(a, n))
            return true;
        qs_workbench_calib(qs_app_bench(a), &s);
        if (!s.runs)
            return false;
        if (qs_now() > until)
            fail_msg("waited for %d s", APP_PATIENCE);
        poll(NULL, 0, 1);
    }
}

static bool knows(struct qs_app *a, size_t n)
{
    return known(qs_map_of(a)) >= n;
}

static bool shows_outputs(struct qs_app *a, size_t unused)
{
    (void)unused;
    return qs_map_of(a)->measure == QS_MAP_OUTPUT;
}

static bool tensors_done(struct qs_app *a, size_t n)
{
    struct qs_calibrating s;
    size_t done = 0;
    qs_workbench_calib(qs_app_bench(a), &s);
    for (size_t i = 0; s.view && i < s.view->n_tensors; i++)
        done += !isnan(s.view->tensor[i].after);
    return done >= n;
}

static bool ended(struct qs_app *a, size_t unused)
{
    struct qs_calibrating s;
    (void)unused;
    qs_workbench_calib(qs_app_bench(a), &s);
    return !s.runs;
}

/* Two looks at the map while it runs: more cells are known, and what is drawn is another picture. */
static void test_the_map_fills(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_str seen[2] = { QS_STR_INIT, QS_STR_INIT };
    size_t n[2] = { 0, 0 };
    struct qs_app *a = start("fills.gguf", QS_TIER_RGB, true, &c);
    const struct qs_map *m = qs_map_of(a);
    qs_app_run(a, "calib-on-map");
    assert_int_equal(m->measure, QS_MAP_ERROR); /* there is nothing to be shown yet */
    qs_app_run(a, "calibrate");
    qs_app_run(a, "calib-start");
    qs_app_run(a, "map"); /* follows it, and says so; once: what is asked for after that stays */
    assert_true(wait_for(a, &c, shows_outputs, 0));
    must_show(&c, "the map follows the calibration");
    qs_app_run(a, "measure bits");
    app_draw(a, &c);
    assert_int_equal(m->measure, QS_MAP_BITS);
    qs_app_run(a, "calib-on-map");
    assert_int_equal(m->measure, QS_MAP_OUTPUT);
    for (int i = 0; i < 2; i++) {
        assert_true(wait_for(a, &c, knows, n[0] + (i ? 8 : 2)));
        n[i] = known(m);
        assert_false(ended(a, 0));
        qs_cells_text(&c, &seen[i]);
    }
    assert_true(n[1] > n[0]);
    assert_string_not_equal(seen[0].data, seen[1].data);
    app_wait(a, &c);
    assert_true(known(m) > n[1]);
    must_show(&c, "output error");
    qs_str_free(&seen[0]);
    qs_str_free(&seen[1]);
    /* an edit: that tensor is not what was measured any more */
    struct qs_made_output o;
    const size_t tensor = qs_model_index(qs_app_doc(a)->model, qs_map_cell(m, m->line, m->layer)->tensor);
    const double before = qs_map_cell(m, m->line, m->layer)->value;
    assert_true(qs_workbench_output(qs_app_bench(a), tensor, &o) && o.after == before);
    app_press(a, '+');
    app_wait(a, &c);
    assert_false(qs_workbench_output(qs_app_bench(a), tensor, &o));
    assert_true(qs_map_cell(m, m->line, m->layer)->value != before);
    qs_cells_free(&c);
    qs_app_free(a);
}

static void test_pause_cancel_resume(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_calibrating s;
    struct qs_app *a = start("stops.gguf", QS_TIER_256, true, &c);
    app_press(a, 'r');
    app_draw(a, &c);
    must_show(&c, "no calibration was stopped");
    app_press(a, 'c');
    assert_true(wait_for(a, &c, tensors_done, 3));
    app_press(a, 'c');
    app_draw(a, &c);
    must_show(&c, "a calibration runs: x cancels it");
    app_press(a, 'p');
    app_draw(a, &c);
    must_show(&c, "paus");
    app_press(a, 'p');
    app_press(a, 'x');
    assert_true(wait_for(a, &c, ended, 0)); /* a pause that has not ended yet is no work to wait for */
    app_wait(a, &c);
    must_show(&c, "Cancelled; what is done is kept");
    app_press(a, 'r');
    app_wait(a, &c);
    must_show(&c, "Done.");
    qs_workbench_calib(qs_app_bench(a), &s);
    assert_true(s.ended_well && qs_app_doc(a)->store && qs_app_doc(a)->plan->n_stored > 0);
    /* again: the store is there; Esc leaves it, o writes it over */
    app_press(a, 'c');
    app_draw(a, &c);
    must_show(&c, "exists");
    app_press(a, QS_KEY_ESC);
    app_wait(a, &c);
    qs_workbench_calib(qs_app_bench(a), &s);
    assert_false(s.runs);
    app_press(a, 'c');
    app_press(a, 'o');
    app_draw(a, &c);
    qs_workbench_calib(qs_app_bench(a), &s);
    assert_true(s.runs);
    /* statistics of another text are not written over unasked */
    app_wait(a, &c);
    qs_app_run(a, "calib-set seed 7");
    qs_app_run(a, "calib-set gptq off");
    qs_app_run(a, "calib-set store other.qscal");
    app_press(a, 'c');
    app_wait(a, &c);
    must_show(&c, "exists already and is not of this text");
    app_press(a, 'o');
    app_wait(a, &c);
    must_show(&c, "Done.");
    qs_cells_free(&c);
    qs_app_free(a);
}

/* Left while it runs: the next screen of that model knows what was asked for, and r goes on. */
static void test_left_and_reopened(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_calibrating s;
    struct qs_app *a = start("left.gguf", QS_TIER_256, true, &c);
    qs_app_run(a, "calib-set seed 9");
    qs_app_run(a, "calib-set awq on");
    app_press(a, 'c');
    assert_true(wait_for(a, &c, tensors_done, 3));
    qs_app_free(a);
    a = app_new("left.gguf", QS_TIER_256, true);
    app_wait(a, &c);
    qs_app_run(a, "calibrate");
    app_wait(a, &c);
    must_show(&c, CALIBRATE_STOPPED);
    const struct calibrate *v = calibrate_of(a);
    assert_true(v->n_text == 1 && v->text[0].weight == 2 && qs_path_ends(v->text[0].path, "/story.txt"));
    assert_true(v->q.n_ctx == 32 && v->q.n_windows == 12 && v->q.seed == 9 && v->q.methods.awq);
    assert_true(!v->file[2] && !v->file[3]); /* beside the model, as before */
    draw_all_views(a, &c);
    app_press(a, 'r');
    app_wait(a, &c);
    qs_workbench_calib(qs_app_bench(a), &s);
    assert_true(s.ended_well && !qs_workbench_calib_stopped(qs_app_bench(a)));
    qs_cells_free(&c);
    qs_app_free(a);
}

static void test_setup(void **state)
{
    (void)state;
    static const struct { const char *set; bool ok; } cases[] = {
        { "windows 20", true }, { "windows 0", false }, { "windows auto", true }, { "ctx 3", false },
        { "ctx 64", true }, { "held-out 25%", true }, { "held-out 60", false }, { "seed 5", true },
        { "special on", true }, { "special maybe", false }, { "awq on", true }, { "gptq off", true },
        { "swaps 4", true }, { "swaps off", true }, { "memory 3MiB", true }, { "memory lots", false },
        { "evaluation story.txt", true }, { "evaluation missing.txt", false }, { "out stat.gguf", true },
        { "nothing 5", false },
    };
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = start("setup.gguf", QS_TIER_MONO, false, &c);
    struct calibrate *v = calibrate_of(a);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[128];
        snprintf(line, sizeof line, "calib-set %s", cases[i].set);
        app_draw(a, &c);
        qs_app_run(a, line);
        assert_true((a->message[0] && a->message_level >= QS_LOG_WARNING) == !cases[i].ok);
        app_press(a, QS_KEY_UP); /* the message goes */
    }
    const struct qs_calib_request *q = calibrate_request(a);
    assert_true(q->n_windows == 0 && q->n_ctx == 64 && q->seed == 5 && q->special && q->methods.awq &&
                !q->methods.gptq);
    assert_true(q->held_out == 0.25 && q->swap_windows == 0 && q->memory == 3u << 20);
    assert_true(q->n_sources == 1 && q->source[0].weight == 2);
    assert_string_equal(q->evaluation, "story.txt");
    assert_string_equal(q->statistics_out, "stat.gguf");
    /* texts: the same one twice is one; weights; away */
    qs_app_run(a, "calib-text story.txt");
    assert_true(v->n_text == 1 && v->text[0].weight == 1);
    qs_app_run(a, "calib-text more.jsonl:0.5");
    assert_true(v->n_text == 2 && v->text[1].weight == 0.5);
    qs_app_run(a, "calib-text nowhere.txt");
    assert_int_equal(v->n_text, 2);
    app_wait(a, &c);
    must_show(&c, "3.00 MiB may be taken"); /* the cap is too low: told before the start */
    qs_app_run(a, "calib-set memory auto");
    app_wait(a, &c);
    must_show(&c, "JSON lines");
    qs_app_run(a, "calib-view setup");
    app_press(a, 'g');
    app_press(a, '\r');
    app_type(a, "\b\b3\r");
    assert_true(v->text[0].weight == 3 || v->text[0].weight == 13); /* what stood there may be kept in front */
    app_press(a, 'g');
    app_press(a, 'd');
    assert_int_equal(v->n_text, 1);
    qs_cells_free(&c);
    qs_app_free(a);
}

/* Its own file of calibrated weights, taken off and on by name; another document while it runs. */
static void test_meanwhile(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = start("meanwhile.gguf", QS_TIER_16, true, &c);
    qs_app_run(a, "calib-set gptq off");
    run(a, &c, "calib-start");
    assert_non_null(qs_app_doc(a)->store);
    run(a, &c, "calibration none");
    assert_null(qs_app_doc(a)->store);
    run(a, &c, "calibration meanwhile.Q4_K_M.qscal");
    assert_non_null(qs_app_doc(a)->store);
    run(a, &c, "calibration story.txt");
    assert_non_null(qs_app_doc(a)->store);
    qs_app_run(a, "calibrate");
    qs_app_run(a, "calib-set store again.qscal");
    qs_app_run(a, "calib-start");
    qs_app_run(a, "open small.gguf");
    app_wait(a, &c);
    qs_app_run(a, "calibrate");
    app_wait(a, &c);
    assert_null(qs_app_doc(a)->store);
    draw_all_views(a, &c);
    qs_app_run(a, "calib-set store small.qscal");
    qs_app_run(a, "calib-start"); /* its 64 tokens may not do: whatever comes of it is told */
    app_wait(a, &c);
    draw_all_views(a, &c);
    qs_app_run(a, "calib-start");
    qs_cells_free(&c);
    qs_app_free(a);
}

static void test_budget(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = start("budget.gguf", QS_TIER_RGB, true, &c);
    run(a, &c, "preset Q6_K");
    run(a, &c, "fit much too little");
    assert_true(a->message_level >= QS_LOG_WARNING);
    run(a, &c, "recipe");
    const uint64_t before = qs_app_doc(a)->plan->bytes;
    run(a, &c, "bpw 5");
    must_show(&c, "5 bits per weight");
    must_show(&c, "squared"); /* no swap was measured */
    run(a, &c, "fit 4.5");
    must_show(&c, "4.5 bpw");
    assert_true(qs_app_doc(a)->plan->bytes < before);
    app_size(&c, 50, 200);
    app_draw(a, &c);
    must_show(&c, "Q8_0");
    must_show(&c, "this");
    struct qs_str why = QS_STR_INIT;
    qs_app_run(a, "map");
    app_size(&c, 24, 80);
    app_wait(a, &c);
    must_show(&c, "fit: ");
    app_press(a, 'u');
    app_wait(a, &c);
    assert_int_equal(qs_app_doc(a)->plan->bytes, before);
    run(a, &c, "recipe");
    must_show(&c, "another one now");
    run(a, &c, "fit-apply");
    assert_true(qs_app_doc(a)->plan->bytes < before);
    app_press(a, 'F');
    app_draw(a, &c);
    assert_false(shows(&c, "Costs:"));
    qs_str_free(&why);
    qs_cells_free(&c);
    qs_app_free(a);
}

/* Statistics that lie beside the model are offered, read, and then used. */
static void test_budget_takes_statistics(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = start("beside.gguf", QS_TIER_RGB, true, &c);
    qs_app_run(a, "calib-set encode off");
    run(a, &c, "calib-start");
    run(a, &c, "open small.gguf");
    run(a, &c, "open beside.gguf");
    assert_null(qs_app_doc(a)->imatrix);
    run(a, &c, "recipe");
    qs_app_run(a, "fit 5 bpw");
    app_draw(a, &c);
    must_show(&c, "lies beside the model");
    app_press(a, 'w');
    app_wait(a, &c);
    must_show(&c, "Fit ");
    assert_null(qs_app_doc(a)->imatrix);
    qs_app_run(a, "fit 5.5 bpw");
    app_press(a, 'u');
    app_wait(a, &c);
    assert_non_null(qs_app_doc(a)->statistics);
    must_show(&c, "Fit 5.5");
    must_show(&c, "output errors"); /* measured on the samples of rows */
    qs_app_run(a, "fit-prove no-such-text");
    app_draw(a, &c);
    must_show(&c, "no-such-text");
    app_size(&c, 50, 120);
    run(a, &c, "fit-prove held.txt");
    must_show(&c, "Measured KL divergence");
    must_show(&c, "The fitted recipe is");
    app_size(&c, 24, 80);
    qs_app_run(a, "fit 5.6 bpw"); /* they are known now */
    assert_false(qs_app_over(a));
    app_wait(a, &c);
    qs_cells_free(&c);
    qs_app_free(a);
}

static int prepare(void **state)
{
    struct qs_str text = QS_STR_INIT;
    if (app_folder(state))
        return -1;
    for (int i = 0; i < 120; i++)
        qs_str_addf(&text, "Once upon a time there were %d little birds and %d cats in the park. They %s all day.\n", i,
                    i * 7 % 11, i % 2 ? "sang and played" : "looked at the big tree");
    qs_test_file("story.txt", text.data, text.len);
    qs_test_file("held.txt", text.data, 1500);
    qs_str_clear(&text);
    for (int i = 0; i < 60; i++)
        qs_str_addf(&text, "{\"text\": \"Lily had %d apples and gave %d of them to Tom, who was very happy.\"}\n",
                    i + 3, i);
    qs_test_file("more.jsonl", text.data, text.len);
    qs_str_free(&text);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_and_tiers), cmocka_unit_test(test_the_map_fills),
        cmocka_unit_test(test_pause_cancel_resume), cmocka_unit_test(test_left_and_reopened),
        cmocka_unit_test(test_setup), cmocka_unit_test(test_meanwhile),
        cmocka_unit_test(test_budget), cmocka_unit_test(test_budget_takes_statistics),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, prepare, NULL);
}
