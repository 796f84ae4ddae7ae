/* test_chat.c - the Chat screen without a terminal: one model and two, at every size, tier and theme; edits of the
 * recipe, documents that come and go while an answer runs, hostile texts, files.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "tests/ui/app_desk.h"
#include "ui/chat.h"

static char demo[4096];

/* Everything about the model is not measured first: only what the recipe needs is, after an edit. */
static void measure_nothing(struct qs_app *a, struct qs_cells *c)
{
    while (!qs_app_doc(a))
        app_draw(a, c);
    for (size_t i = 0; i < qs_workbench_jobs(qs_app_bench(a)); i++)
        if (qs_workbench_job(qs_app_bench(a), i)->kind == QS_WORK_SURVEY)
            qs_workbench_job_cancel(qs_app_bench(a), qs_workbench_job(qs_app_bench(a), i)->id);
}

static struct qs_app *chat_new(enum qs_tier tier, bool unicode, struct qs_cells *c)
{
    struct qs_app *a = app_new(demo, tier, unicode);
    app_size(c, 24, 80);
    measure_nothing(a, c);
    app_wait(a, c);
    qs_app_run(a, "chat");
    qs_app_run(a, "chat-set max-tokens 5");
    qs_app_run(a, "chat-set temperature 0");
    app_draw(a, c);
    return a;
}

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

static void side_by_side(struct qs_app *a, struct qs_cells *c)
{
    run(a, c, "side-by-side");
    must_show(c, "Two models side by side");
    app_press(a, 'l');
    app_wait(a, c);
}

/* ---- what is seen ---- */

static void draw_all_sizes(struct qs_app *a, struct qs_cells *c)
{
    static const unsigned rows[] = { 1, 4, 9, 10, 12, 16, 24, 50 };
    static const unsigned cols[] = { 1, 5, 20, 39, 40, 41, 60, 80, 81, 120, 200 };
    for (size_t y = 0; y < sizeof rows / sizeof *rows; y++)
        for (size_t x = 0; x < sizeof cols / sizeof *cols; x++) {
            app_size(c, rows[y], cols[x]);
            app_draw(a, c);
        }
    app_size(c, 24, 80);
    app_draw(a, c);
}

static void test_sizes_and_tiers(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct qs_cells c = QS_CELLS_INIT;
        struct qs_app *a = chat_new(app_tiers[i], i % 2 == 0, &c);
        draw_all_sizes(a, &c);
        qs_app_run(a, "chat-system \033[2J\xE2\x80\xAE bidi");
        run(a, &c, "chat-send Once upon a time");
        side_by_side(a, &c);
        run(a, &c, "chat-regenerate");
        must_show(&c, "KLD");
        draw_all_sizes(a, &c);
        for (int mode = 0; mode < 2; mode++) {
            app_press(a, 'm');
            app_press(a, 'b');
            draw_all_sizes(a, &c);
            run(a, &c, mode ? "follow on" : "follow off");
            run(a, &c, "chat-regenerate");
            draw_all_sizes(a, &c);
        }
        app_press(a, 'i');
        const struct qs_event pasted = paste("many\nlines\n\xE4\xBD\xA0\xE5\xA5\xBD\n\n\n\n\n\nmore");
        qs_app_event(a, &pasted);
        assert_non_null(strstr(chat_of(a)->edit.text, "many\nlines"));
        draw_all_sizes(a, &c);
        app_press(a, QS_CTRL | 'c');
        qs_cells_free(&c);
        qs_app_free(a);
    }
}

/* Without colour classes of divergence differ by attributes, and with it the ramp's colours are the cells'. */
static void test_divergence_is_seen(void **state)
{
    (void)state;
    for (int tier = 0; tier < 2; tier++) {
        struct qs_cells c = QS_CELLS_INIT;
        struct qs_app *a = chat_new(tier ? QS_TIER_RGB : QS_TIER_MONO, true, &c);
        struct chat *x = chat_of(a);
        qs_app_run(a, "preset Q2_K");
        qs_app_run(a, "chat");
        app_wait(a, &c);
        side_by_side(a, &c);
        run(a, &c, "chat-send Once upon a time");
        assert_int_equal(x->answer->n_sides, 2);
        assert_int_equal(x->marks, tier == 0);
        x->token = QS_ANSWER_NONE;
        struct qs_answer_token *t = &x->answer->side[1].token[0];
        struct qs_style seen[QS_DIVERGENCE_CLASSES];
        for (int k = 0; k < QS_DIVERGENCE_CLASSES; k++) {
            t->kld = k ? qs_divergence_from(k) * 1.01 : 0;
            t->flip = false;
            seen[k] = chat_token_style(a, 1, 0);
            if (k > (tier ? 0 : 1))
                assert_true(seen[k].bg != seen[k - 1].bg || seen[k].attr != seen[k - 1].attr);
            t->flip = true;
            assert_true(chat_token_style(a, 1, 0).attr & QS_UNDERLINE);
        }
        t->kld = NAN;
        t->flip = false;
        assert_memory_equal(&seen[0], &(struct qs_style[]){ chat_token_style(a, 1, 0) }[0], sizeof *seen);
        qs_cells_free(&c);
        qs_app_free(a);
    }
}

/* ---- the recipe and the next answer ---- */

static void test_the_next_answer_uses_the_edit(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    struct qs_err e = QS_ERR_INIT;
    run(a, &c, "preset F16");
    run(a, &c, "chat");
    side_by_side(a, &c);
    run(a, &c, "chat-send Once upon a time");
    assert_int_equal(x->answer->sum.n, 5);
    assert_true(x->answer->sum.max_kld == 0); /* the same weights: exactly */
    assert_int_equal(x->answer->sum.same_top, 5);
    const struct qs_model *m = qs_app_doc(a)->model;
    const size_t cell = qs_model_index(m, qs_model_find(m, "blk.2.ffn_down.weight"));
    assert_int_equal(qs_workbench_set(qs_app_bench(a), &cell, 1, QS_Q2_K, NULL, &e), QS_OK);
    app_wait(a, &c);
    must_show(&c, "candidate F16 + 1 pin");
    run(a, &c, "chat-regenerate");
    assert_true(x->answer->sum.mean_kld > 0);
    assert_int_equal(qs_engine_weight(x->seat[CHAT_CANDIDATE].engine, cell)->format->id, QS_Q2_K);
    assert_int_equal(qs_engine_weight(x->seat[CHAT_ORIGINAL].engine, cell)->format->id, QS_F16);
    assert_ptr_equal(x->seat[CHAT_CANDIDATE].made, qs_workbench_candidate(qs_app_bench(a))->candidate);
    run(a, &c, "undo");
    run(a, &c, "chat-regenerate");
    assert_true(x->answer->sum.max_kld == 0);
    qs_cells_free(&c);
    qs_app_free(a);
}

/* The recipe cannot be carried out: said once, and the model goes on alone. */
static void test_no_candidate(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    run(a, &c, "preset IQ2_XS");
    run(a, &c, "chat");
    run(a, &c, "side-by-side");
    assert_false(chat_two(chat_of(a)));
    must_show(&c, "imatrix");
    run(a, &c, "chat-send Once");
    assert_int_equal(chat_of(a)->answer->n_sides, 1);
    qs_cells_free(&c);
    qs_app_free(a);
}

/* ---- asked and not answered, stopped, replaced ---- */

static void test_left_and_stopped(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    run(a, &c, "side-by-side");
    app_press(a, QS_KEY_ESC);
    app_wait(a, &c);
    assert_false(chat_two(x));
    assert_null(qs_workbench_candidate(qs_app_bench(a))->candidate); /* nothing was made */
    qs_app_run(a, "chat-set max-tokens 400");
    assert_true(qs_app_run(a, "chat-send Once upon a time"));
    app_draw(a, &c);
    assert_true(x->wanted || chat_runs(x));
    assert_true(qs_app_run(a, "chat-stop"));
    app_wait(a, &c);
    assert_false(chat_runs(x));
    /* another document in the middle of an answer */
    qs_app_run(a, "chat-regenerate");
    app_draw(a, &c);
    assert_true(qs_app_run(a, "open small.gguf"));
    app_wait(a, &c);
    assert_string_equal(qs_path_base(qs_app_doc(a)->model->path), "small.gguf");
    assert_false(chat_runs(x));
    assert_null(x->seat[CHAT_ORIGINAL].side);
    run(a, &c, "chat");
    must_show(&c, "Once upon a time"); /* what was said stays */
    qs_app_free(a); /* and the program ends in the middle of one */
    a = chat_new(QS_TIER_256, true, &c);
    qs_app_run(a, "chat-set max-tokens 400");
    qs_app_run(a, "chat-send Once upon a time");
    app_draw(a, &c);
    qs_cells_free(&c);
    qs_app_free(a);
}

/* ---- typing ---- */

static void test_typing(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    app_type(a, "\r2+2");
    assert_string_equal(x->edit.text, "2+2"); /* no key of the screen */
    app_press(a, QS_CTRL | 'j');
    app_type(a, "is");
    app_draw(a, &c);
    app_press(a, QS_KEY_TAB);
    assert_ptr_not_equal(qs_app_screen(a), &qs_screen_chat);
    qs_app_run(a, "chat");
    assert_string_equal(x->edit.text, "2+2\nis"); /* is kept */
    app_type(a, "\r");
    app_wait(a, &c);
    assert_string_equal(x->talk->message[0].text, "2+2\nis");
    app_type(a, "/fol\t off\r");
    assert_false(x->follow);
    app_type(a, "/set se\t");
    must_show(&c, "2+2");
    assert_string_equal(x->edit.text, "/set seed");
    app_press(a, QS_CTRL | 'u');
    app_type(a, "//home\r");
    app_wait(a, &c);
    assert_string_equal(qs_talk_last(x->talk, QS_TALK_USER)->text, "/home");
    app_press(a, QS_KEY_UP);
    assert_string_equal(x->edit.text, "//home");
    app_press(a, QS_KEY_ESC);
    assert_false(x->typing);
    app_type(a, "e");
    assert_string_equal(x->edit.text, "/home");
    qs_cells_free(&c);
    qs_app_free(a);
}

/* ---- files ---- */

static void test_files(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    side_by_side(a, &c);
    run(a, &c, "chat-send Once upon a time");
    run(a, &c, "comparison-save kept.json");
    run(a, &c, "chat-save talk.json");
    struct qs_answer *before = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_answer_load("kept.json", &before, &e), QS_OK);
    qs_app_free(a);
    /* shown again where no model is open at all */
    a = app_new(NULL, QS_TIER_256, true);
    app_wait(a, &c);
    run(a, &c, "replay kept.json");
    assert_ptr_equal(qs_app_screen(a), &qs_screen_chat);
    must_show(&c, "(replayed)");
    must_show(&c, "Once upon a time");
    const struct qs_answer *now = chat_of(a)->answer;
    assert_int_equal(now->side[1].n, before->side[1].n);
    assert_true(now->sum.mean_kld == before->sum.mean_kld);
    assert_string_equal(now->side[0].text, before->side[0].text);
    app_press(a, 'b');
    app_draw(a, &c);
    must_show(&c, "token ");
    run(a, &c, "chat-load talk.json");
    assert_int_equal(chat_of(a)->talk->n, 2);
    must_show(&c, before->side[0].text + 1);
    /* a conversation that nobody wrote by hand */
    static const char hostile[] = "[{\"role\":\"user\",\"content\":\"\\u001b[2J\\u202e\\u0007\\t\\r\\n\"},"
                                  "{\"role\":\"assistant\",\"content\":\"\\u009b31m\\n\\n\\u200f\"}]";
    qs_test_write("hostile.json", hostile, sizeof hostile - 1);
    run(a, &c, "chat-load hostile.json");
    assert_int_equal(chat_of(a)->talk->n, 2);
    draw_all_sizes(a, &c);
    run(a, &c, "chat-load kept.json");
    must_show(&c, "error");
    assert_int_equal(chat_of(a)->talk->n, 2);
    qs_app_run(a, "chat-regenerate");
    app_wait(a, &c);
    must_show(&c, "no model is open");
    qs_answer_free(before);
    qs_cells_free(&c);
    qs_app_free(a);
}

/* A third model in the place of the second. */
static void test_third(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    char line[4200];
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    run(a, &c, "beside small.gguf");
    must_show(&c, "vocabularies differ");
    assert_false(chat_two(x));
    run(a, &c, "beside no-such.gguf");
    assert_false(chat_two(x));
    (void)snprintf(line, sizeof line, "beside %s", demo);
    run(a, &c, line);
    must_show(&c, "Two models side by side");
    app_press(a, 'l');
    app_wait(a, &c);
    run(a, &c, "chat-send Once upon a time");
    assert_true(x->answer->sum.max_kld == 0);
    const int file = x->at[1];
    app_press(a, 't');
    assert_int_equal(x->at[1], CHAT_CANDIDATE);
    app_wait(a, &c);
    app_press(a, 'l');
    app_wait(a, &c);
    run(a, &c, "chat-regenerate");
    assert_true(x->answer->sum.max_kld > 0);
    app_press(a, 't'); /* both are known: nothing is asked again */
    assert_int_equal(x->at[1], file);
    run(a, &c, "chat-regenerate");
    assert_true(x->answer->sum.max_kld == 0);
    /* alone again: the candidate is let go */
    app_press(a, 's');
    app_wait(a, &c);
    assert_null(qs_workbench_candidate(qs_app_bench(a))->candidate);
    assert_null(x->seat[CHAT_CANDIDATE].side);
    qs_cells_free(&c);
    qs_app_free(a);
}

int main(void)
{
    (void)snprintf(demo, sizeof demo, "%s", qs_test_src("demo/storyteller-9m-f16.gguf"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_and_tiers),  cmocka_unit_test(test_divergence_is_seen),
        cmocka_unit_test(test_the_next_answer_uses_the_edit), cmocka_unit_test(test_no_candidate),
        cmocka_unit_test(test_left_and_stopped), cmocka_unit_test(test_typing),
        cmocka_unit_test(test_files),            cmocka_unit_test(test_third),
    };
    return cmocka_run_group_tests(tests, app_folder, NULL);
}
