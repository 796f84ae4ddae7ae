/* test_chat.c - the Chat screen without a terminal: one model and two, at every size, tier and theme; edits of the
 * recipe, documents that come and go while an answer runs, hostile texts, files.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests/ui/app_desk.h"
#include "ui/chat.h"

static char demo[4096];

/* Everything about the model is not measured first: only what the recipe needs is, after an edit. */
static void measure_nothing(struct qs_app *a, struct qs_cells *c)
{
    while (!qs_app_doc(a) || qs_workbench_opening(qs_app_bench(a)))
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
        must_show(&c, " KLD . 0.001 : 0.01 * 0.1 # 1 ");
        app_size(&c, 24, 50); /* no room */
        app_draw(a, &c);
        assert_false(shows(&c, "0.001"));
        app_size(&c, 24, 80);
        app_draw(a, &c);
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

/* The question about two models goes with the document that it is about, and whoever cannot answer leaves none open. */
static void test_question_of_another_document(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    run(a, &c, "side-by-side");
    assert_true(x->asked && qs_app_over(a));
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_workbench_open(qs_app_bench(a), "small.gguf", &e), QS_OK);
    app_wait(a, &c);
    must_show(&c, "small.gguf: "); /* asked again, of the one that is open now */
    app_press(a, QS_KEY_ESC);
    app_wait(a, &c);
    assert_false(x->asked || qs_app_over(a));
    run(a, &c, "side-by-side");
    assert_true(x->asked && qs_app_over(a));
    assert_int_equal(qs_workbench_open(qs_app_bench(a), "empty.gguf", &e), QS_OK); /* it cannot be run */
    app_wait(a, &c);
    assert_false(x->asked || qs_app_over(a));
    /* a file beside the document goes on with what it stands on */
    char line[4200];
    assert_int_equal(qs_workbench_open(qs_app_bench(a), demo, &e), QS_OK);
    measure_nothing(a, &c);
    (void)snprintf(line, sizeof line, "beside %s", demo);
    run(a, &c, "chat");
    run(a, &c, line);
    app_press(a, 'l');
    run(a, &c, "chat-send Once upon a time");
    assert_int_equal(x->answer->n_sides, 2);
    const int file = x->at[1];
    assert_true(qs_app_run(a, "open small.gguf"));
    app_wait(a, &c);
    assert_non_null(x->seat[file].side);
    (void)snprintf(line, sizeof line, "instead %s", demo);
    run(a, &c, "chat");
    run(a, &c, "beside none");
    run(a, &c, line);
    run(a, &c, "chat-regenerate");
    assert_int_equal(x->answer->n_sides, 1);
    assert_int_equal(x->answer->side[0].n, 5);
    qs_cells_free(&c);
    qs_app_free(a);
}

/* A precision that is set while a model is loaded is the one it is used with. */
static void test_precision_while_loading(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    assert_true(qs_app_run(a, "chat-send Once upon a time"));
    assert_non_null(x->seat[CHAT_ORIGINAL].load);
    assert_true(qs_app_run(a, "precision exact"));
    app_wait(a, &c);
    assert_string_equal(x->answer->side[0].precision, "exact");
    qs_cells_free(&c);
    qs_app_free(a);
}

/* What the tokenizer of a model lacks is said, once. */
static void test_tokenizer_warning(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_err e = QS_ERR_INIT;
    char *data = NULL;
    size_t n = 0;
    static const char key[] = "tokenizer.ggml.scores";
    assert_int_equal(qs_file_read(demo, 64u << 20, &data, &n, &e), QS_OK);
    char *at = memmem(data, n, key, sizeof key - 1);
    assert_non_null(at);
    at[sizeof key - 2] = 'x';
    qs_test_write("scoreless.gguf", data, n);
    qs_free(data);
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    assert_int_equal(qs_workbench_open(qs_app_bench(a), "scoreless.gguf", &e), QS_OK);
    measure_nothing(a, &c);
    run(a, &c, "chat");
    run(a, &c, "chat-send Once");
    must_show(&c, "scoreless.gguf: the file has no scores");
    app_press(a, QS_KEY_END);
    run(a, &c, "precision exact"); /* the seat is made anew */
    run(a, &c, "chat-regenerate");
    assert_false(shows(&c, "no scores"));
    qs_cells_free(&c);
    qs_app_free(a);
}

static const struct qs_work *answering(struct qs_app *a)
{
    for (size_t i = 0; i < qs_workbench_jobs(qs_app_bench(a)); i++)
        if (strcmp(qs_workbench_job(qs_app_bench(a), i)->word, "answering") == 0)
            return qs_workbench_job(qs_app_bench(a), i);
    return NULL;
}

/* An answer stands in the list of jobs while it is written: it can be paused and cancelled there. */
static void test_answer_is_a_job(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    run(a, &c, "chat-send Once upon a time");
    assert_null(answering(a));
    qs_app_run(a, "chat-set max-tokens 400");
    assert_true(qs_app_run(a, "chat-regenerate"));
    while (!answering(a))
        app_draw(a, &c);
    qs_workbench_job_pause(qs_app_bench(a), answering(a)->id, true);
    while (answering(a)->status.state != QS_JOB_PAUSED)
        app_draw(a, &c);
    must_show(&c, "paused");
    qs_app_run(a, "jobs");
    app_draw(a, &c);
    must_show(&c, "storyteller");
    qs_workbench_job_cancel(qs_app_bench(a), answering(a)->id);
    app_wait(a, &c);
    assert_null(answering(a));
    assert_int_equal(x->answer->side[0].stop, QS_STOP_CANCELLED);
    qs_app_run(a, "chat");
    assert_true(qs_app_run(a, "chat-regenerate"));
    while (!answering(a))
        app_draw(a, &c);
    qs_cells_free(&c);
    qs_app_free(a); /* in the middle of it */
}

/* Ctrl-C stops an answer first, whether keys act or a message is typed; then it means quit. */
static void test_ctrl_c(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    qs_app_run(a, "chat-set max-tokens 400");
    for (int typing = 0; typing < 2; typing++) {
        assert_true(qs_app_run(a, typing ? "chat-regenerate" : "chat-send Once upon a time"));
        while (!chat_runs(x))
            app_draw(a, &c);
        x->typing = typing > 0;
        app_press(a, QS_CTRL | 'c');
        assert_false(qs_app_quits(a));
        assert_true(x->typing == (typing > 0));
        app_wait(a, &c);
        assert_int_equal(x->answer->side[0].stop, QS_STOP_CANCELLED);
    }
    x->typing = false;
    app_press(a, QS_CTRL | 'c');
    assert_false(qs_app_quits(a));
    app_draw(a, &c);
    must_show(&c, "The conversation is not saved");
    app_press(a, QS_KEY_ESC);
    run(a, &c, "chat-save talk-c.json");
    app_press(a, QS_CTRL | 'c'); /* nothing is lost now */
    assert_true(qs_app_quits(a));
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
    assert_string_equal(x->edit.text, "//home"); /* as it was typed: no command */
    qs_cells_free(&c);
    qs_app_free(a);
}

/* ---- rows ---- */

/* A 0 byte in an answer is drawn as a blank, and nothing behind it is lost. */
static void test_zero_byte(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    run(a, &c, "chat-send Once upon a time");
    assert_true(x->answer->side[0].text_len > 4);
    memcpy(x->answer->side[0].text, "\0<\0>", 4);
    x->answer_at = 1;
    x->rows_talk = UINT64_MAX;
    draw_all_sizes(a, &c);
    must_show(&c, "< >");
    qs_cells_free(&c);
    qs_app_free(a);
}

static bool finds(struct qs_app *a, const char *pattern)
{
    struct qs_regex *re = NULL;
    assert_int_equal(qs_regex_compile(pattern, 0, &re, NULL), QS_OK);
    const bool found = qs_screen_chat.find(a, re, 1);
    qs_regex_free(re);
    return found;
}

/* Events that come between a change and the next frame see rows of what is there now. */
static void test_rows_between_frames(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    struct qs_err e = QS_ERR_INIT;
    run(a, &c, "chat-send Once upon a time");
    assert_true(finds(a, "Once upon"));
    qs_talk_clear(x->talk);
    x->answer_at = SIZE_MAX;
    assert_false(finds(a, "Once upon"));
    const struct qs_event click = { .kind = QS_EVENT_MOUSE, .mouse = QS_MOUSE_PRESS, .button = 1, .row = x->pane[0].y,
                                    .col = x->pane[0].x };
    assert_false(chat_click(a, &click));
    /* what stands before an answer is not laid out again when only the answer has grown */
    run(a, &c, "chat-send There was");
    assert_true(x->rows_settled > 0 && x->rows_settled < x->rows.n);
    x->rows.row[0].first = false;
    x->answer->version--;
    assert_int_equal(qs_chat_look(x->run, x->answer, &e), QS_OK);
    x->rows_answer--;
    const size_t n = x->rows.n;
    chat_rows_again(a);
    assert_int_equal(x->rows.n, n);
    assert_false(x->rows.row[0].first);
    x->rows_talk = UINT64_MAX;
    chat_rows_again(a);
    assert_int_equal(x->rows.n, n);
    assert_true(x->rows.row[0].first);
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

static bool logged(struct qs_app *a, const char *text, size_t *times)
{
    const struct qs_log *log = qs_workbench_log(qs_app_bench(a));
    *times = 0;
    for (size_t i = 0; i < qs_log_count(log); i++)
        *times += strstr(qs_log_at(log, i)->text, text) != NULL;
    return *times > 0;
}

/* What takes the place of a conversation that is not saved asks, and tells the settings that came with it. */
static void test_load_asks(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    size_t times;
    app_size(&c, 24, 120);
    run(a, &c, "chat-set ctx 20");
    must_show(&c, "less than it could be (ctx 0 takes ");
    run(a, &c, "chat-set seed 7");
    run(a, &c, "chat-send Once upon a time");
    run(a, &c, "chat-save few.json");
    assert_false(chat_unsaved(x));
    run(a, &c, "chat-set ctx 0");
    run(a, &c, "chat-set seed 8");
    assert_false(chat_unsaved(x)); /* settings are no words that would be lost */
    run(a, &c, "chat-send There was");
    assert_true(chat_unsaved(x));
    run(a, &c, "chat-load few.json");
    must_show(&c, "The one that is here is not saved");
    app_press(a, QS_KEY_ESC);
    app_wait(a, &c);
    assert_int_equal(x->talk->n, 4);
    run(a, &c, "chat-load few.json");
    app_press(a, 'l');
    app_wait(a, &c);
    assert_int_equal(x->talk->n, 2);
    must_show(&c, "2 messages from few.json; settings: seed 7, ctx 20; less than it could be");
    assert_false(chat_unsaved(x));
    run(a, &c, "chat-load few.json");
    assert_false(qs_app_over(a));
    assert_false(shows(&c, "settings:"));
    /* a failure stands in the log once */
    qs_test_write("trunc.json", "{\"quantscape\"", 13);
    run(a, &c, "chat-load trunc.json");
    must_show(&c, "trunc.json: ");
    assert_true(logged(a, "trunc.json", &times));
    assert_int_equal(times, 1);
    assert_false(logged(a, "trunc.json: trunc.json", &times));
    run(a, &c, "beside no-such.gguf");
    assert_true(logged(a, "no-such.gguf: ", &times));
    assert_int_equal(times, 1);
    qs_cells_free(&c);
    qs_app_free(a);
}

/* ---- memory, templates ---- */

/* An answer that no machine has the memory for is refused with what it takes, and can be asked for again. */
static void test_context_too_long(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    run(a, &c, "chat-set ctx 1000000000");
    must_show(&c, "ctx = 1000000000: trained with ");
    must_show(&c, "beyond it may make no sense");
    run(a, &c, "chat-send Once upon a time");
    assert_int_equal(x->answer->n_sides, 0);
    must_show(&c, "iB, and this machine has");
    must_show(&c, "/set ctx 4096");
    assert_false(shows(&c, "bytes"));
    run(a, &c, "chat-set ctx 64");
    run(a, &c, "chat-regenerate");
    assert_int_equal(x->answer->side[0].n, 5);
    assert_false(shows(&c, "this machine has"));
    qs_cells_free(&c);
    qs_app_free(a);
}

static void test_template_fails(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    static const char jinja[] = "{{ raise_exception('no such thing') }}";
    assert_int_equal(qs_talk_set_template(x->talk, jinja, strlen(jinja), &e), QS_OK);
    run(a, &c, "chat-send Once upon a time");
    must_show(&c, "no such thing");
    must_show(&c, "To go on: /set template ");
    /* in the list of settings, and behind /set, the forms have names */
    app_type(a, "i/set template chatm\t\r");
    assert_string_equal(x->talk->settings.form, "chatml");
    app_press(a, QS_KEY_ESC);
    app_type(a, "ptempl\r");
    app_draw(a, &c);
    must_show(&c, "Template of the conversation");
    must_show(&c, "llama3");
    app_type(a, "none\r");
    app_draw(a, &c);
    assert_string_equal(x->talk->settings.form, "none");
    must_show(&c, "Settings of the conversation");
    app_press(a, QS_KEY_ESC);
    run(a, &c, "chat-regenerate");
    assert_int_equal(x->answer->side[0].n, 5);
    assert_false(shows(&c, "To go on"));
    qs_cells_free(&c);
    qs_app_free(a);
}

/* Until the edited message is sent, the one before and its answer stay. */
static void test_edit_and_leave(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    run(a, &c, "chat-send Once upon a time");
    run(a, &c, "chat-send There was");
    char *answer = qs_strdup(x->talk->message[3].text);
    app_type(a, "e");
    assert_string_equal(x->edit.text, "There was");
    app_type(a, " not");
    app_press(a, QS_KEY_ESC);
    assert_false(x->typing);
    assert_string_equal(x->edit.text, "");
    assert_int_equal(x->talk->n, 4);
    assert_string_equal(x->talk->message[2].text, "There was");
    assert_string_equal(x->talk->message[3].text, answer);
    app_type(a, "e not\r");
    app_wait(a, &c);
    assert_int_equal(x->talk->n, 4);
    assert_string_equal(x->talk->message[2].text, "There was not");
    assert_true(x->typing);
    app_type(a, "More\r"); /* a new one again */
    app_wait(a, &c);
    assert_int_equal(x->talk->n, 6);
    /* the conversation that it was of is another meanwhile */
    app_press(a, QS_KEY_ESC);
    app_type(a, "e");
    qs_talk_clear(x->talk);
    x->answer_at = SIZE_MAX;
    app_type(a, " and\r");
    app_wait(a, &c);
    assert_int_equal(x->talk->n, 2);
    assert_string_equal(x->talk->message[0].text, "More and");
    qs_free(answer);
    qs_cells_free(&c);
    qs_app_free(a);
}

/* A model that came beside an answer says how it comes to one of its own; pieces stand between quotes they lack. */
static void test_beside_an_answer(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    run(a, &c, "chat-send Once upon a time");
    side_by_side(a, &c);
    must_show(&c, "r: both answer");
    run(a, &c, "follow off");
    run(a, &c, "chat-set ctx 20");
    run(a, &c, "chat-set max-tokens 0");
    run(a, &c, "chat-regenerate");
    assert_false(shows(&c, "r: both answer"));
    assert_int_equal(x->answer->side[1].stop, QS_STOP_CONTEXT);
    const bool both = x->answer->side[0].stop == QS_STOP_CONTEXT;
    assert_non_null(strstr(x->answer->message, both ? "both models: the context of 20 tokens is full"
                                                    : "candidate Q4_K_M: the context of 20 tokens is full"));
    app_press(a, 'l');
    const uint32_t piece = x->answer->side[0].token[0].piece;
    char *text = x->answer->pieces + piece;
    assert_true(strlen(text) >= 2);
    text[0] = '"';
    app_draw(a, &c);
    must_show(&c, "'\"");
    text[1] = '\'';
    app_draw(a, &c);
    must_show(&c, "\"\\\"'");
    qs_cells_free(&c);
    qs_app_free(a);
}

/* A template that a conversation brought along stays where a plain list takes its place. */
static void test_file_template(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    struct qs_err e = QS_ERR_INIT;
    static const char plain[] = "[{\"role\":\"user\",\"content\":\"Once\"}]", jinja[] = "{{ messages[0].content }}";
    assert_int_equal(qs_talk_set_template(x->talk, jinja, strlen(jinja), &e), QS_OK);
    run(a, &c, "chat-save own.json");
    must_show(&c, "written: own.json");
    run(a, &c, "chat-save own.json");
    must_show(&c, "chat-save! own.json");
    run(a, &c, "chat-save! own.json");
    must_show(&c, "written: own.json");
    run(a, &c, "chat-save no/such/folder.json");
    must_show(&c, "no/such");
    qs_test_write("plain.json", plain, sizeof plain - 1);
    run(a, &c, "chat-set template model");
    run(a, &c, "chat-load own.json");
    run(a, &c, "chat-load plain.json");
    assert_string_equal(x->talk->settings.form, "file");
    assert_string_equal(x->talk->template_source, jinja);
    run(a, &c, "chat-regenerate");
    assert_int_equal(x->answer->side[0].n, 5);
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
    assert_ptr_equal(qs_side_model(x->seat[file].side), qs_app_doc(a)->model); /* opened once */
    assert_true(x->answer->shared.mapped > 0);
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

/* ---- guesses ---- */

/* A copy of the demo model in which one token is another. */
static void write_stranger(const char *name)
{
    static const char token[] = "<|user|>";
    char *bytes = NULL;
    size_t n = 0;
    assert_int_equal(qs_file_read(demo, 64u << 20, &bytes, &n, NULL), QS_OK);
    for (size_t i = 0; i + sizeof token <= n; i++)
        if (memcmp(bytes + i, token, sizeof token - 1) == 0)
            bytes[i + 5] = 'x';
    qs_test_write(name, bytes, n);
    qs_free(bytes);
}

/* A model that guesses ahead is loaded for the answer, changes no token of it, and is seen; whom it cannot guess for is
 * said, and the answer can be had without it. */
static void test_draft(void **state)
{
    (void)state;
    struct qs_cells c = QS_CELLS_INIT;
    struct qs_app *a = chat_new(QS_TIER_256, true, &c);
    struct chat *x = chat_of(a);
    char line[4200], plain[256];
    run(a, &c, "chat-set max-tokens 30");
    run(a, &c, "chat-set speculate off");
    run(a, &c, "chat-send Once upon a time");
    (void)snprintf(plain, sizeof plain, "%s", x->answer->side[0].text);
    assert_int_equal(x->answer->side[0].drafted, 0);
    assert_false(shows(&c, "guessed"));
    (void)snprintf(line, sizeof line, "draft %s", demo);
    run(a, &c, line);
    must_show(&c, "guesses ahead, from the next answer on");
    run(a, &c, "chat-clear");
    app_press(a, 'f');
    run(a, &c, "chat-send Once upon a time");
    assert_string_equal(x->answer->side[0].text, plain);
    assert_true(x->answer->side[0].drafted > 0);
    assert_true(x->answer->side[0].accepted == x->answer->side[0].drafted);
    must_show(&c, ": 100% right");
    run(a, &c, "draft none");
    assert_true(x->draft == 0 && x->talk->settings.speculate == QS_SPECULATE_AUTO);
    write_stranger("stranger.gguf");
    run(a, &c, "draft stranger.gguf");
    run(a, &c, "chat-regenerate");
    must_show(&c, "stranger.gguf cannot guess the tokens of");
    assert_int_equal(x->draft, 0);
    run(a, &c, "draft nowhere.gguf");
    run(a, &c, "chat-regenerate");
    assert_int_equal(x->draft, 0);
    run(a, &c, "chat-regenerate");
    assert_true(x->answer->state == QS_ANSWER_ENDED && x->answer->side[0].n == 30);
    run(a, &c, "instead small.gguf");
    run(a, &c, "draft small.gguf");
    must_show(&c, "that model answers itself");
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
        cmocka_unit_test(test_file_template),    cmocka_unit_test(test_precision_while_loading),
        cmocka_unit_test(test_question_of_another_document), cmocka_unit_test(test_tokenizer_warning),
        cmocka_unit_test(test_answer_is_a_job),  cmocka_unit_test(test_ctrl_c),
        cmocka_unit_test(test_load_asks),        cmocka_unit_test(test_context_too_long),
        cmocka_unit_test(test_template_fails),   cmocka_unit_test(test_edit_and_leave),
        cmocka_unit_test(test_beside_an_answer), cmocka_unit_test(test_draft),
        cmocka_unit_test(test_zero_byte),        cmocka_unit_test(test_rows_between_frames),
    };
    return cmocka_run_group_tests(tests, app_folder, NULL);
}
