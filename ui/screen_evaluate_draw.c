/* screen_evaluate_draw.c - what is seen of an evaluation: running values over windows, the result, its layers.
 *
 * In a window that is wide enough what is set up and what runs stands at the left, result, layers or history at the
 * right. What makes a result old (another recipe, another model) is said in words above it.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "ui/chart.h"
#include "ui/evaluate.h"

enum { WIDE = 140, WIDE_ROWS = 24, LEFT = 62 };

static const char *const view_names[EVALUATE_VIEWS] = { "Setup", "Progress", "Result", "Layers", "History" };

/* ---- what is made of the result ---- */

const struct qs_section *evaluate_section(const struct qs_report *r, const char *first_column)
{
    for (size_t i = 0; r && i < qs_report_sections(r); i++) {
        const struct qs_section *s = qs_report_section(r, i);
        if (qs_section_columns(s) && strcmp(qs_section_column(s, 0)->key, first_column) == 0)
            return s;
    }
    return NULL;
}

static void take_layers(struct evaluate *v, const struct qs_evaluation *x)
{
    qs_free(v->error);
    v->n_error = 0;
    v->error = x->x->layer ? qs_calloc(x->x->n_layers, sizeof *v->error) : NULL;
    for (size_t i = 0; v->error && i < x->x->n_layers; i++)
        v->error[i] = x->x->layer[i].n ? x->x->layer[i].error : (double)NAN;
    v->n_error = v->error ? x->x->n_layers : 0;
}

void evaluate_refresh(struct qs_app *a)
{
    struct evaluate *v = evaluate_of(a);
    struct qs_eval_state s;
    struct qs_err e = QS_ERR_INIT;
    qs_workbench_eval(qs_app_bench(a), &s);
    if (s.number == v->number)
        return;
    const struct qs_eval_view view = { .data = false };
    struct qs_report *r = qs_report_eval(s.result, &view);
    v->number = s.number;
    v->facts.top = 0;
    qs_facts_view_set(&v->facts, r);
    if (qs_table_view_set(&v->layers, evaluate_section(r, "layer"), &e))
        qs_app_fail(a, &e);
    take_layers(v, s.result);
    qs_report_free(v->report);
    v->report = r;
    v->loaded = false;
}

/* ---- the head ---- */

static void state_text(struct qs_app *a, const struct qs_eval_state *s, char *buf, size_t n)
{
    const struct qs_work *w = s->job ? qs_workbench_job_by_id(qs_app_bench(a), s->job) : NULL;
    char left[32];
    buf[0] = 0;
    if (!w || !s->runs)
        return;
    const struct qs_job_status *st = &w->status;
    const double share = st->total ? 100 * (double)st->done / (double)st->total : 0;
    if (st->state == QS_JOB_PAUSED || w->pause_wanted)
        snprintf(buf, n, "%s at %.0f%%", st->state == QS_JOB_PAUSED ? "paused" : "pausing", share);
    else if (st->eta >= 0)
        snprintf(buf, n, "%s %.0f%%, %s left", st->phase, share, qs_fmt_seconds(left, sizeof left, st->eta));
    else
        snprintf(buf, n, "%s %.0f%%", st->phase, share);
}

static void draw_head(struct qs_app *a, const struct qs_canvas *c, const struct qs_eval_state *s)
{
    const struct evaluate *v = evaluate_of(a);
    const int cols = qs_canvas_cols(c);
    char state[96], name[24];
    int x = 0;
    for (int i = 0; i < EVALUATE_VIEWS; i++) {
        const bool here = v->view == (enum evaluate_view)i;
        snprintf(name, sizeof name, here ? "[%s]" : " %s ", view_names[i]);
        x += qs_draw_text(c, 0, x, qs_app_look(a, here ? QS_LOOK_TITLE : QS_LOOK_MUTED), name, -1);
    }
    state_text(a, s, state, sizeof state);
    const int n = (int)strlen(state);
    if (n && x + n + 1 < cols)
        qs_draw_text(c, 0, cols - n, qs_app_look(a, QS_LOOK_TEXT), state, n);
}

/* ---- a run ---- */

static void add_pm(struct qs_str *out, const char *name, double value, double error, double by, int decimals,
                   const char *unit, bool ascii)
{
    if (isnan(value))
        return;
    qs_str_addf(out, "%s %.*f%s", name, decimals, by * value, unit);
    if (!isnan(error))
        qs_str_addf(out, " %s %.*f%s", ascii ? "+-" : "\u00b1", decimals, by * error, unit);
}

static void add_values(struct qs_str *out, const struct qs_eval_point *p, bool ascii)
{
    add_pm(out, "perplexity", p->ppl, p->ppl_se, 1, 4, "", ascii);
    if (!isnan(p->base))
        add_pm(out, ", reference", p->base, p->base_se, 1, 4, "", ascii);
    qs_str_addc(out, '\n');
    if (isnan(p->kld))
        return;
    add_pm(out, "KL divergence", p->kld, p->kld_se, 1, 6, "", ascii);
    add_pm(out, ", same top token", p->same_top, p->same_top_se, 100, 2, "%", ascii);
    qs_str_addc(out, '\n');
}

static void add_running(struct qs_app *a, struct qs_str *out, const struct qs_eval_state *s)
{
    const struct qs_work *w = qs_workbench_job_by_id(qs_app_bench(a), s->job);
    char memory[24], need[24], took[32];
    if (!w)
        return;
    const struct qs_job_status *st = &w->status;
    if (s->runs && s->windows && s->n_points)
        qs_str_addf(out, "window %zu of %zu, %zu tokens each", s->point[s->n_points - 1].windows, s->windows, s->n_ctx);
    else if (s->windows)
        qs_str_addf(out, "%zu windows of %zu tokens", s->windows, s->n_ctx);
    else
        qs_str_add(out, s->runs ? "reading headers and the text" : "");
    if (s->runs && st->rate > 0)
        qs_str_addf(out, ", %.*f %s/s", st->rate < 100 ? 1 : 0, st->rate, st->unit);
    qs_fmt_seconds(took, sizeof took, st->elapsed);
    qs_str_addf(out, s->runs ? ", %s so far" : ", in %s", took);
    if (s->runs)
        qs_str_addf(out, ", %s of memory", qs_fmt_bytes(memory, sizeof memory, st->memory));
    if (s->need)
        qs_str_addf(out, " (sessions and hidden states %s)", qs_fmt_bytes(need, sizeof need, s->need));
    qs_str_addc(out, '\n');
    if (s->by_layer)
        qs_str_add(out, "The models are larger than the memory that is free: they run block by block.\n");
}

static void add_end(struct qs_app *a, struct qs_str *out, const struct qs_eval_state *s)
{
    if (s->runs)
        return;
    if (s->err.code == QS_ECANCELLED) {
        qs_str_add(out, "Cancelled; nothing of it is kept. e starts again.\n");
    } else if (s->err.code) {
        qs_str_add(out, "Failed: ");
        qs_text_clean(out, s->err.msg, qs_app_ascii(a));
        qs_str_addc(out, '\n');
    } else {
        qs_str_add(out, "Done: Result has all of it.\n");
    }
}

static void draw_chart(struct qs_app *a, const struct qs_canvas *c, const struct qs_eval_state *s, size_t offset,
                       const char *name)
{
    double value[QS_EVAL_POINTS];
    char title[96];
    for (size_t i = 0; i < s->n_points; i++)
        memcpy(&value[i], (const char *)&s->point[i] + offset, sizeof *value);
    if (s->step > 1)
        snprintf(title, sizeof title, "%s after every %zu windows", name, s->step);
    else
        snprintf(title, sizeof title, "%s after each window", name);
    const struct qs_profile p = { .value = value, .n = s->n_points, .scale = qs_scale_of(value, s->n_points, false),
                                  .dots = QS_DOTS_BRAILLE,
                                  .mark = SIZE_MAX, .name = title };
    qs_profile_draw(c, qs_app_theme(a), &p);
}

static void draw_charts(struct qs_app *a, const struct qs_canvas *c, const struct qs_eval_state *s)
{
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    const bool paired = s->n_points && !isnan(s->point[0].kld), two = paired && rows >= 12;
    if (rows < 4 || !s->n_points)
        return;
    const struct qs_canvas top = qs_canvas_part(c, (struct qs_rect){ 0, 0, two ? rows / 2 : rows, cols });
    if (paired)
        draw_chart(a, &top, s, offsetof(struct qs_eval_point, kld), "KL divergence");
    else
        draw_chart(a, &top, s, offsetof(struct qs_eval_point, ppl), "perplexity");
    if (!two)
        return;
    const struct qs_canvas below = qs_canvas_part(c, (struct qs_rect){ rows / 2, 0, rows - rows / 2, cols });
    draw_chart(a, &below, s, offsetof(struct qs_eval_point, ppl), "perplexity");
}

static void draw_progress(struct qs_app *a, const struct qs_canvas *c, const struct qs_eval_state *s)
{
    struct qs_str text = QS_STR_INIT;
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    if (!s->request) {
        qs_draw_wrapped(c, 0, 0, 0, qs_app_look(a, QS_LOOK_MUTED), "Nothing is evaluated: e starts what Setup says.");
        return;
    }
    qs_text_clean(&text, s->title, qs_app_ascii(a));
    qs_str_addc(&text, '\n');
    add_running(a, &text, s);
    if (s->n_points)
        add_values(&text, &s->point[s->n_points - 1], qs_app_ascii(a));
    add_end(a, &text, s);
    const bool failed = s->err.code && s->err.code != QS_ECANCELLED;
    const struct qs_style style = qs_app_look(a, failed ? QS_LOOK_ERROR : QS_LOOK_TEXT);
    const int used = text.failed ? 0 : qs_draw_wrapped(c, 0, 0, 2, style, text.data);
    qs_str_free(&text);
    const struct qs_canvas rest = qs_canvas_part(c, (struct qs_rect){ used + 1, 0, rows - used - 1, cols });
    draw_charts(a, &rest, s);
}

/* ---- a result ---- */

/* Words above a result that is not of what is open now, and its first warning. Returns the rows taken. */
static int draw_age(struct qs_app *a, const struct qs_canvas *c, const struct qs_eval_state *s)
{
    const size_t n = s->result->n_warnings;
    const int rows = qs_canvas_rows(c);
    struct qs_str text = QS_STR_INIT;
    int used = 0;
    if (s->stale)
        qs_str_add(&text, "Of the recipe as it was: it was changed since.\n");
    else if (!s->of_document)
        qs_str_add(&text, "Of a model that is not open any more.\n");
    if (n == 1)
        qs_str_add(&text, "Warning: ");
    else if (n)
        qs_str_addf(&text, "%zu warnings, all of them at the end: ", n);
    if (n)
        qs_text_clean(&text, s->result->warning[0], qs_app_ascii(a));
    const struct qs_canvas top = qs_canvas_part(c, (struct qs_rect){ 0, 0, rows < 12 ? 1 : 3, qs_canvas_cols(c) });
    if (!text.failed && text.len && rows >= 3)
        used = qs_draw_wrapped(&top, 0, 0, 2, qs_app_look(a, QS_LOOK_WARNING), text.data);
    qs_str_free(&text);
    return used < qs_canvas_rows(&top) ? used : qs_canvas_rows(&top);
}

static void draw_none(struct qs_app *a, const struct qs_canvas *c)
{
    qs_draw_wrapped(c, 0, 0, 0, qs_app_look(a, QS_LOOK_MUTED),
                    "No evaluation has ended yet. Setup says what is measured, e starts it.");
}

static void draw_result(struct qs_app *a, const struct qs_canvas *c, const struct qs_eval_state *s)
{
    struct evaluate *v = evaluate_of(a);
    if (!s->result) {
        draw_none(a, c);
        return;
    }
    const int used = draw_age(a, c, s);
    const struct qs_rect below = { used, 0, qs_canvas_rows(c) - used, qs_canvas_cols(c) };
    const struct qs_canvas rest = qs_canvas_part(c, below);
    v->facts.search = qs_app_search(a);
    qs_facts_view_draw(&v->facts, &rest, qs_app_theme(a));
}

static void add_above(const struct evaluate *v, struct qs_str *out)
{
    char share[QS_FMT_MAX];
    size_t n = 0;
    for (size_t i = 0; i < v->n_error; i++) {
        if (!(v->error[i] >= QS_LAYER_WARN))
            continue;
        qs_str_add(out, n++ ? ", " : "More than 10% off: ");
        if (i)
            qs_str_addf(out, "%zu", i - 1);
        else
            qs_str_add(out, "embedding");
        qs_str_addf(out, " (%s)", qs_fmt_percent(share, sizeof share, v->error[i], 0));
    }
    if (!n)
        qs_str_add(out, "No layer is more than 10% off.");
    qs_str_addc(out, '\n');
}

/* Blocks alone, by their numbers: the first of the values is the embedding's. */
static void draw_layer_chart(struct qs_app *a, const struct qs_canvas *c, size_t row)
{
    const struct evaluate *v = evaluate_of(a);
    if (v->n_error < 2)
        return;
    struct qs_scale scale = qs_scale_of(v->error + 1, v->n_error - 1, false);
    scale.low = 0;
    const struct qs_profile p = { .value = v->error + 1, .n = v->n_error - 1, .scale = scale, .unit = QS_UNIT_PERCENT,
                                  .dots = QS_DOTS_BRAILLE, .area = true,
                                  .mark = row && row != QS_NO_ROW ? row - 1 : SIZE_MAX,
                                  .name = "block, relative error of the hidden state" };
    qs_profile_draw(c, qs_app_theme(a), &p);
}

static void draw_layers(struct qs_app *a, const struct qs_canvas *c, const struct qs_eval_state *s, bool focus)
{
    struct evaluate *v = evaluate_of(a);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    struct qs_str text = QS_STR_INIT;
    if (!s->result || !v->n_error) {
        if (s->result)
            qs_draw_wrapped(c, 0, 0, 0, qs_app_look(a, QS_LOOK_MUTED),
                            "This evaluation compared no layers: it was of one model, or of two of other shapes.");
        else
            draw_none(a, c);
        return;
    }
    if (s->stale)
        qs_str_add(&text, "Of the recipe as it was: it was changed since.\n");
    qs_text_clean(&text, s->result_title, qs_app_ascii(a));
    qs_str_addc(&text, '\n');
    add_above(v, &text);
    const int used = text.failed ? 0 : qs_draw_wrapped(c, 0, 0, 2, qs_app_look(a, QS_LOOK_TEXT), text.data);
    qs_str_free(&text);
    const int left = rows - used, chart = left >= 14 ? (left > 40 ? 16 : left * 2 / 5) : 0;
    const struct qs_canvas plot = qs_canvas_part(c, (struct qs_rect){ used, 0, chart, cols });
    const struct qs_canvas table = qs_canvas_part(c, (struct qs_rect){ used + chart, 0, left - chart, cols });
    draw_layer_chart(a, &plot, qs_table_view_row(&v->layers));
    v->layers.search = qs_app_search(a);
    v->layers.focus = focus;
    qs_table_view_draw(&v->layers, &table, qs_app_theme(a));
}

/* ---- all of it ---- */

static void draw_view(struct qs_app *a, const struct qs_canvas *c, enum evaluate_view view,
                      const struct qs_eval_state *s, bool focus)
{
    switch (view) {
    case EVALUATE_SETUP: evaluate_setup_draw(a, c, focus); break;
    case EVALUATE_PROGRESS: draw_progress(a, c, s); break;
    case EVALUATE_RESULT: draw_result(a, c, s); break;
    case EVALUATE_LAYERS: draw_layers(a, c, s, focus); break;
    case EVALUATE_HISTORY: evaluate_history_draw(a, c, focus); break;
    case EVALUATE_VIEWS: break;
    }
}

void evaluate_draw(struct qs_app *a, const struct qs_canvas *c)
{
    struct evaluate *v = evaluate_of(a);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c), head = rows >= 3 ? 2 : rows >= 2 ? 1 : 0;
    struct qs_eval_state s;
    evaluate_refresh(a);
    qs_workbench_eval(qs_app_bench(a), &s);
    if (head)
        draw_head(a, c, &s);
    const struct qs_canvas body = qs_canvas_part(c, (struct qs_rect){ head, 0, rows - head, cols });
    if (v->view >= EVALUATE_RESULT)
        v->beside = v->view;
    if (cols < WIDE || rows < WIDE_ROWS) {
        draw_view(a, &body, v->view, &s, true);
        return;
    }
    const int setup = evaluate_setup_rows() + 1, n = qs_canvas_rows(&body);
    const struct qs_canvas up = qs_canvas_part(&body, (struct qs_rect){ 0, 0, setup, LEFT });
    const struct qs_canvas down = qs_canvas_part(&body, (struct qs_rect){ setup + 1, 1, n - setup - 1, LEFT - 1 });
    const struct qs_canvas right = qs_canvas_part(&body, (struct qs_rect){ 0, LEFT + 2, n, cols - LEFT - 2 });
    draw_view(a, &up, EVALUATE_SETUP, &s, v->view == EVALUATE_SETUP);
    qs_draw_hline(&body, setup, 0, LEFT, qs_app_look(a, QS_LOOK_FRAME));
    draw_view(a, &down, EVALUATE_PROGRESS, &s, false);
    qs_draw_vline(&body, 0, LEFT, n, qs_app_look(a, QS_LOOK_FRAME));
    draw_view(a, &right, v->beside, &s, v->view >= EVALUATE_RESULT);
}
