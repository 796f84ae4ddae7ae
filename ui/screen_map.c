/* screen_map.c - the map: layers across, roles down, one cell a tensor; where types are chosen.
 *
 * Owns cursor, range, marks and what is measured. The picture is core/report/report_map's, made anew when the document or
 * the survey has changed; map_draw.c draws it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "core/quant/survey_types.h"
#include "core/workbench_calib.h"
#include "core/workbench_eval.h"
#include "kernels/format.h"
#include "ui/map_internal.h"
#include "ui/zoom.h"

struct qs_map *qs_map_of(struct qs_app *a) { return qs_app_state(a, &qs_screen_map); }
size_t qs_map_lines(const struct qs_map *m) { return m->heat ? m->heat->n_rows + m->heat->n_singles : 0; }
bool qs_map_single(const struct qs_map *m, size_t line) { return line >= m->heat->n_rows; }

const struct qs_heat_row *qs_map_row(const struct qs_map *m, size_t line)
{
    return qs_map_single(m, line) ? &m->heat->single[line - m->heat->n_rows] : &m->heat->row[line];
}

const struct qs_heat_cell *qs_map_cell(const struct qs_map *m, size_t line, size_t layer)
{
    if (line >= qs_map_lines(m) || (!qs_map_single(m, line) && layer >= m->heat->n_layers))
        return NULL;
    const struct qs_heat_cell *c = &qs_map_row(m, line)->cell[qs_map_single(m, line) ? 0 : layer];
    return c->tensor ? c : NULL;
}

static const struct qs_heat_cell *here(const struct qs_map *m)
{
    return m->heat ? qs_map_cell(m, m->line, m->layer) : NULL;
}

/* ---- ranges ---- */

bool qs_map_selected(const struct qs_map *m, size_t line, size_t layer)
{
    if (!m->selecting)
        return false;
    const size_t l0 = m->line < m->from_line ? m->line : m->from_line,
                 l1 = m->line > m->from_line ? m->line : m->from_line;
    const size_t c0 = m->layer < m->from_layer ? m->layer : m->from_layer,
                 c1 = m->layer > m->from_layer ? m->layer : m->from_layer;
    return line >= l0 && line <= l1 && (qs_map_single(m, line) || (layer >= c0 && layer <= c1));
}

typedef void each_fn(struct qs_app *a, size_t tensor, void *ctx);

static void each_of_cell(struct qs_app *a, const struct qs_heat_cell *c, each_fn *fn, void *ctx)
{
    for (unsigned i = 0; c && i < c->tensors; i++)
        fn(a, qs_model_index(qs_app_doc(a)->model, c->member[i]), ctx);
}

/* Of the lines and layers that `want` holds. */
static void each_where(struct qs_app *a, bool (*want)(const struct qs_map *, size_t, size_t), each_fn *fn, void *ctx)
{
    const struct qs_map *m = qs_map_of(a);
    for (size_t line = 0; line < qs_map_lines(m); line++)
        for (size_t layer = 0; layer < (qs_map_single(m, line) ? 1 : m->heat->n_layers); layer++)
            if (want(m, line, layer))
                each_of_cell(a, qs_map_cell(m, line, layer), fn, ctx);
}

static bool same_line(const struct qs_map *m, size_t line, size_t layer) { (void)layer; return line == m->line; }
static bool same_layer(const struct qs_map *m, size_t line, size_t layer)
{
    return !qs_map_single(m, line) && layer == m->layer;
}

static bool same_role(const struct qs_map *m, size_t line, size_t layer)
{
    (void)layer;
    return qs_map_row(m, line)->role == qs_map_row(m, m->line)->role;
}

static void mark_one(struct qs_app *a, size_t tensor, void *ctx) { qs_mark(a, tensor, *(const bool *)ctx); }
static void choose_one(struct qs_app *a, size_t tensor, void *ctx) { (void)a; qs_chosen_add(ctx, tensor); }

/* What an edit is about: the range, else what is marked, else the cell under the cursor. Free it. */
static struct qs_chosen chosen(struct qs_app *a)
{
    const struct qs_map *m = qs_map_of(a);
    struct qs_chosen c = { .tensor = NULL };
    if (m->selecting)
        each_where(a, qs_map_selected, choose_one, &c);
    else if (qs_marks(a)->n)
        for (size_t i = 0; i < qs_app_doc(a)->model->n_tensors; i++) {
            if (qs_marked(a, i))
                choose_one(a, i, &c);
        }
    else
        each_of_cell(a, here(m), choose_one, &c);
    return c;
}

static void mark_where(struct qs_app *a, bool (*want)(const struct qs_map *, size_t, size_t))
{
    const struct qs_map *m = qs_map_of(a);
    const struct qs_heat_cell *c = here(m);
    bool on = !c || !qs_marked(a, qs_model_index(qs_app_doc(a)->model, c->tensor));
    each_where(a, want, mark_one, &on);
    qs_app_say(a, "%zu tensors marked", qs_marks(a)->n);
}

static void toggle_mark(struct qs_app *a, const char *arg)
{
    struct qs_map *m = qs_map_of(a);
    const struct qs_heat_cell *c = here(m);
    (void)arg;
    if (m->selecting) {
        bool on = true;
        each_where(a, qs_map_selected, mark_one, &on);
        m->selecting = false;
    } else if (c) {
        bool on = !qs_marked(a, qs_model_index(qs_app_doc(a)->model, c->tensor));
        each_of_cell(a, c, mark_one, &on);
    }
}

static void mark_row(struct qs_app *a, const char *arg) { (void)arg; mark_where(a, same_line); }
static void mark_layer(struct qs_app *a, const char *arg) { (void)arg; mark_where(a, same_layer); }
static void mark_role(struct qs_app *a, const char *arg) { (void)arg; mark_where(a, same_role); }

static void select_range(struct qs_app *a, const char *arg)
{
    struct qs_map *m = qs_map_of(a);
    (void)arg;
    m->selecting = !m->selecting;
    m->from_line = m->line;
    m->from_layer = m->layer;
}

static void no_marks(struct qs_app *a, const char *arg)
{
    struct qs_map *m = qs_map_of(a);
    (void)arg;
    if (m->selecting || qs_marks(a)->n)
        qs_marks_clear(a);
    else
        qs_app_back(a);
    m->selecting = false;
}

/* ---- the picture ---- */

/* The cursor on the cell that stands for this tensor. */
static void go_to_tensor(struct qs_map *m, const struct qs_tensor *t)
{
    for (size_t line = 0; t && line < qs_map_lines(m); line++)
        for (size_t layer = 0; layer < (qs_map_single(m, line) ? 1 : m->heat->n_layers); layer++) {
            const struct qs_heat_cell *c = qs_map_cell(m, line, layer);
            for (unsigned i = 0; c && i < c->tensors; i++)
                if (c->member[i] == t) {
                    m->line = line;
                    m->layer = qs_map_single(m, line) ? m->layer : layer;
                    return;
                }
        }
}

/* What the last evaluation says of the layers of this model, into args; to be freed. NULL: nothing. */
static double *divergences(struct qs_app *a, struct qs_heat_args *args)
{
    const struct qs_layer_stat *after, *embedding;
    const size_t n = qs_workbench_eval_layers(qs_app_bench(a), &after, &embedding);
    double *error = n ? qs_calloc(n, sizeof *error) : NULL;
    for (size_t i = 0; error && i < n; i++)
        error[i] = after[i].n ? after[i].error : (double)NAN;
    args->after = error;
    args->n_after = error ? n : 0;
    args->after_embedding = error && embedding->n ? embedding->error : (double)NAN;
    return error;
}

static unsigned last_evaluation(struct qs_app *a)
{
    struct qs_eval_state s;
    qs_workbench_eval(qs_app_bench(a), &s);
    return s.number;
}

#define PICTURE_SECONDS 0.1 /* at least, between two that differ in what was measured meanwhile */

/* Made anew where something has changed. */
static void refresh(struct qs_app *a)
{
    struct qs_map *m = qs_map_of(a);
    const struct qs_doc *d = qs_app_doc(a);
    const struct qs_tensor *at = here(m) ? here(m)->tensor : NULL;
    const uint64_t survey = qs_survey_version(d->survey);
    const unsigned evaluation = m->measure == QS_MAP_DIVERGENCE ? last_evaluation(a) : m->evaluation;
    const uint64_t calibration = qs_map_of_calibration(m->measure) ? qs_workbench_output_version(qs_app_bench(a)) : 0;
    const bool same = m->made && m->doc_version == d->version && m->evaluation == evaluation;
    if (same && ((m->survey_version == survey && m->calibration == calibration) ||
                 (qs_workbench_busy(qs_app_bench(a)) && qs_now() - m->made_at < PICTURE_SECONDS)))
        return;
    const struct qs_format *f = m->type == QS_TYPE_NONE ? NULL : qs_format_by_id(m->type);
    struct qs_survey_types uniform = { .type = NULL };
    struct qs_heat_args args = { .measure = m->measure,
                                 .type = d->type,
                                 .what = d->recipe->preset->name,
                                 .scale = m->scale,
                                 .unfold = m->unfold[0] ? m->unfold : NULL };
    struct qs_heat *heat = NULL;
    int rc = QS_OK;
    double *after = m->measure == QS_MAP_DIVERGENCE ? divergences(a, &args) : NULL;
    if (m->measure == QS_MAP_OUTPUT) /* types that edits have given since */
        qs_workbench_want_outputs(qs_app_bench(a), false);
    double *given = qs_map_of_calibration(m->measure) ? qs_map_given(a, m->measure) : NULL;
    args.given = given;
    m->err = (struct qs_err)QS_ERR_INIT;
    m->evaluation = evaluation;
    if (f) {
        rc = qs_survey_types_uniform(m->type, d->model, &uniform, &m->err);
        args.type = uniform.type;
        args.what = f->name;
    } else if (d->recipe->n_pins + d->recipe->n_rules) {
        args.what = "the recipe";
    }
    if (!rc)
        rc = qs_heat_make(d->model, d->survey, &args, &heat, &m->err);
    qs_survey_types_free(&uniform);
    qs_free(after);
    qs_free(given);
    m->calibration = calibration;
    m->made = true;
    m->made_at = qs_now();
    m->doc_version = d->version;
    m->survey_version = survey;
    if (rc)
        return;
    const bool other_rows = !m->heat || m->heat->n_rows != heat->n_rows || m->heat->n_singles != heat->n_singles;
    qs_heat_free(m->heat);
    m->heat = heat;
    if (other_rows) {
        m->selecting = m->walking = false;
        go_to_tensor(m, at);
    }
    if (m->line >= qs_map_lines(m))
        m->line = qs_map_lines(m) ? qs_map_lines(m) - 1 : 0;
    if (m->layer >= heat->n_layers)
        m->layer = heat->n_layers ? heat->n_layers - 1 : 0;
}

static void anew(struct qs_app *a)
{
    qs_map_of(a)->made = false;
    qs_app_touch(a);
}

/* ---- moving ---- */

/* The cursor was moved: its tensor is what the person looks at. */
static void moved(struct qs_app *a)
{
    const struct qs_map *m = qs_map_of(a);
    const struct qs_heat_cell *c = here(m);
    if (c)
        qs_workbench_focus(qs_app_bench(a), qs_model_index(qs_app_doc(a)->model, c->tensor));
}

static void go(struct qs_app *a, long line, long layer)
{
    struct qs_map *m = qs_map_of(a);
    const long lines = (long)qs_map_lines(m), layers = m->heat ? (long)m->heat->n_layers : 0;
    m->line = (size_t)(line < 0 || lines == 0 ? 0 : line >= lines ? lines - 1 : line);
    m->layer = (size_t)(layer < 0 || layers == 0 ? 0 : layer >= layers ? layers - 1 : layer);
    moved(a);
}

static void by(struct qs_app *a, long lines, long layers)
{
    const struct qs_map *m = qs_map_of(a);
    go(a, (long)m->line + lines, (long)m->layer + layers);
}

static void left(struct qs_app *a, const char *arg) { (void)arg; by(a, 0, -1); }
static void right(struct qs_app *a, const char *arg) { (void)arg; by(a, 0, 1); }
static void first_layer(struct qs_app *a, const char *arg) { (void)arg; by(a, 0, -1000000); }
static void last_layer(struct qs_app *a, const char *arg) { (void)arg; by(a, 0, 1000000); }
static void move(struct qs_app *a, enum qs_list_move m)
{
    const struct qs_map *map = qs_map_of(a);
    const long page = map->shown_lines > 1 ? map->shown_lines - 1 : 1;
    const long lines[] = { [QS_LIST_UP] = -1,
                           [QS_LIST_DOWN] = 1,
                           [QS_LIST_HALF_UP] = -(page + 1) / 2,
                           [QS_LIST_HALF_DOWN] = (page + 1) / 2,
                           [QS_LIST_PAGE_UP] = -page,
                           [QS_LIST_PAGE_DOWN] = page,
                           [QS_LIST_HOME] = -1000000,
                           [QS_LIST_END] = 1000000,
                           [QS_LIST_STAY] = 0 };
    by(a, lines[m], 0);
}


/* Cells in the order of badness; of equal ones by their place. */
static bool worse(const struct qs_map *m, size_t la, size_t ca, size_t lb, size_t cb)
{
    const struct qs_heat_cell *a = qs_map_cell(m, la, ca), *b = qs_map_cell(m, lb, cb);
    if (qs_heat_worse(m->heat, a, b))
        return true;
    if (qs_heat_worse(m->heat, b, a))
        return false;
    return la != lb ? la < lb : ca < cb;
}

/* The nearest in that order after (direction 1: less bad) or before the cursor's; round the end. */
static void worst(struct qs_app *a, int direction)
{
    struct qs_map *m = qs_map_of(a);
    size_t best_line = 0, best_layer = 0, end_line = 0, end_layer = 0;
    bool found = false, end = false;
    for (size_t line = 0; line < qs_map_lines(m); line++)
        for (size_t layer = 0; layer < (qs_map_single(m, line) ? 1 : m->heat->n_layers); layer++) {
            const struct qs_heat_cell *c = qs_map_cell(m, line, layer);
            if (!c || isnan(c->value))
                continue;
            const size_t at = qs_map_single(m, m->line) ? 0 : m->layer;
            const bool beyond = !here(m) || isnan(here(m)->value) ? false
                                : direction > 0
                                    ? worse(m, m->line, at, line, layer) && !(line == m->line && layer == at)
                                    : worse(m, line, layer, m->line, at) && !(line == m->line && layer == at);
            if (beyond && (!found || (direction > 0 ? worse(m, line, layer, best_line, best_layer)
                                                    : worse(m, best_line, best_layer, line, layer)))) {
                best_line = line;
                best_layer = layer;
                found = true;
            }
            if (!end || (direction > 0 ? worse(m, line, layer, end_line, end_layer)
                                       : worse(m, end_line, end_layer, line, layer))) {
                end_line = line;
                end_layer = layer;
                end = true;
            }
        }
    if (!end) {
        qs_app_say(a, "no value is known yet");
        return;
    }
    if (!found)
        qs_app_say(a, direction > 0 ? "from the worst again" : "from the best again");
    const size_t line = found ? best_line : end_line;
    go(a, (long)line, (long)(qs_map_single(m, line) ? m->layer : found ? best_layer : end_layer));
}

/* The picture may lag behind what has been measured; the worst is the worst of what is known now. */
static void catch_up(struct qs_app *a)
{
    anew(a);
    refresh(a);
}

static void go_worst(struct qs_app *a, const char *arg)
{
    struct qs_map *m = qs_map_of(a);
    catch_up(a);
    m->walking = false;
    (void)arg;
    for (size_t line = 0; line < qs_map_lines(m); line++)
        for (size_t layer = 0; layer < (qs_map_single(m, line) ? 1 : m->heat->n_layers); layer++) {
            const struct qs_heat_cell *c = qs_map_cell(m, line, layer);
            if (c && !isnan(c->value) && (!here(m) || isnan(here(m)->value) ||
                                          worse(m, line, layer, m->line, qs_map_single(m, m->line) ? 0 : m->layer))) {
                m->line = line;
                m->layer = qs_map_single(m, line) ? m->layer : layer;
            }
        }
    moved(a);
}

/* On from the cell that the last jump went to. From anywhere else, and where that cell was mended meanwhile, the jump goes
 * to the worst of all. */
static void walk(struct qs_app *a, int direction)
{
    struct qs_map *m = qs_map_of(a);
    catch_up(a);
    const bool there = m->walking && m->walk_line == m->line && m->walk_layer == m->layer;
    if (there && here(m) && here(m)->value >= m->walk_value)
        worst(a, direction);
    else
        go_worst(a, NULL);
    m->walking = true;
    m->walk_line = m->line;
    m->walk_layer = m->layer;
    m->walk_value = here(m) ? here(m)->value : 0;
}

static void next_worst(struct qs_app *a, const char *arg) { (void)arg; walk(a, 1); }
static void previous_worst(struct qs_app *a, const char *arg) { (void)arg; walk(a, -1); }

/* The first of a cell's tensors whose name matches. */
static const struct qs_tensor *match_in(const struct qs_heat_cell *c, const struct qs_regex *re)
{
    for (unsigned i = 0; i < c->tensors; i++)
        if (qs_regex_find(re, c->member[i]->name, strlen(c->member[i]->name), 0, NULL, NULL) == 1)
            return c->member[i];
    return NULL;
}

static bool find(struct qs_app *a, const struct qs_regex *re, int step)
{
    struct qs_map *m = qs_map_of(a);
    if (!m->heat || !qs_map_lines(m))
        return false;
    const size_t layers = m->heat->n_layers ? m->heat->n_layers : 1, n = qs_map_lines(m) * layers;
    const size_t start = m->line * layers + (qs_map_single(m, m->line) ? 0 : m->layer);
    for (size_t i = step ? 1 : 0; i <= n; i++) {
        const size_t at = (step < 0 ? start + n - i % n : start + i) % n, line = at / layers, layer = at % layers;
        const struct qs_heat_cell *c = qs_map_single(m, line) && layer ? NULL : qs_map_cell(m, line, layer);
        const struct qs_tensor *t = c ? match_in(c, re) : NULL;
        if (t) {
            go(a, (long)line, (long)(qs_map_single(m, line) ? m->layer : layer));
            if (c->tensors > 1)
                qs_app_say(a, "%s is one of %u experts here: E shows them one by one", t->name, c->tensors);
            return true;
        }
    }
    return false;
}

/* ---- measures ---- */

static void show_measure(struct qs_app *a, enum qs_map_measure measure, int type)
{
    struct qs_map *m = qs_map_of(a);
    m->measure = measure;
    m->type = type;
    m->scale = -1;
    m->walking = false;
    if (measure == QS_MAP_OUTLIERS || measure == QS_MAP_KURTOSIS)
        qs_workbench_want_stats(qs_app_bench(a));
    if (measure == QS_MAP_OUTPUT)
        qs_workbench_want_outputs(qs_app_bench(a), true);
    if (type != QS_TYPE_NONE)
        qs_workbench_want_type(qs_app_bench(a), type);
    else if (measure == QS_MAP_ERROR)
        qs_workbench_want_recipe(qs_app_bench(a));
    anew(a);
}

/* A calibration that has begun to encode is shown as it comes in, unless another measure was asked for: once for each. */
static bool follow_calibration(struct qs_app *a)
{
    struct qs_map *m = qs_map_of(a);
    struct qs_calibrating s;
    qs_workbench_calib(qs_app_bench(a), &s);
    if (qs_app_screen(a) != &qs_screen_map || !s.runs || !s.of_document || s.job == m->followed || !s.view ||
        s.view->stage != QS_STAGE_ENCODE)
        return false;
    m->followed = s.job;
    if (m->measure != QS_MAP_ERROR || m->type != QS_TYPE_NONE)
        return false;
    show_measure(a, QS_MAP_OUTPUT, QS_TYPE_NONE);
    qs_app_say(a, "the map follows the calibration: output error as it is measured (m: the next measure)");
    return true;
}

static bool has_layers(struct qs_app *a)
{
    const struct qs_layer_stat *after, *embedding;
    return qs_workbench_eval_layers(qs_app_bench(a), &after, &embedding) > 0;
}

static bool can_show(struct qs_app *a, enum qs_map_measure measure)
{
    return measure == QS_MAP_DIVERGENCE ? has_layers(a) : !qs_map_of_calibration(measure) || qs_map_has(a, measure);
}

static void set_measure(struct qs_app *a, const char *arg)
{
    if (strcmp(arg, qs_map_measure_name(QS_MAP_DIVERGENCE)) == 0 && !has_layers(a)) {
        qs_app_warn(a, "no evaluation has compared the layers of this model yet: the Evaluate screen does");
        return;
    }
    for (int i = QS_MAP_ERROR; i < QS_MAP_MEASURES; i++)
        if (strcmp(arg, qs_map_measure_name((enum qs_map_measure)i)) == 0) {
            if (!can_show(a, (enum qs_map_measure)i)) {
                qs_app_warn(a, "no calibration has measured this for the model yet: the Calibrate screen does");
                return;
            }
            show_measure(a, (enum qs_map_measure)i, QS_TYPE_NONE);
            return;
        }
    qs_app_warn(a, "there is no measure %.40s: error, outliers, kurtosis, bits, output, activations, divergence or kld; "
                   ":error-of TYPE shows one type's", arg);
}

static void error_of(struct qs_app *a, const char *arg)
{
    struct qs_err e = QS_ERR_INIT;
    int type = QS_TYPE_NONE;
    if (qs_recipe_type(arg, &type, &e))
        qs_app_fail(a, &e);
    else
        show_measure(a, QS_MAP_ERROR, type);
}

static void next_measure(struct qs_app *a, const char *arg)
{
    const struct qs_map *m = qs_map_of(a);
    (void)arg;
    const bool of_type = m->type != QS_TYPE_NONE;
    int next = (int)m->measure + 1;
    while (next < QS_MAP_MEASURES && !can_show(a, (enum qs_map_measure)next))
        next++;
    show_measure(a, of_type || next >= QS_MAP_MEASURES ? QS_MAP_ERROR : (enum qs_map_measure)next, QS_TYPE_NONE);
}

static void next_scale(struct qs_app *a, const char *arg)
{
    struct qs_map *m = qs_map_of(a);
    (void)arg;
    m->scale = m->heat && m->heat->log ? 0 : 1;
    anew(a);
}

static void next_show(struct qs_app *a, const char *arg)
{
    static const char *const names[QS_SHOWS] = { "as fits", "levels", "values", "types" };
    struct qs_map *m = qs_map_of(a);
    m->show = (enum qs_map_show)((m->show + 1) % QS_SHOWS);
    for (int i = 0; arg && i < QS_SHOWS; i++)
        if (strcmp(arg, names[i]) == 0)
            m->show = (enum qs_map_show)i;
    qs_app_say(a, "cells show %s", names[m->show]);
}

/* The row under the cursor gets a row for each expert, or is folded again. */
static void experts(struct qs_app *a, const char *arg)
{
    struct qs_map *m = qs_map_of(a);
    const struct qs_heat_cell *c = here(m);
    (void)arg;
    if (m->unfold[0])
        m->unfold[0] = 0;
    else if (c && c->tensors > 1)
        snprintf(m->unfold, sizeof m->unfold, "%s", qs_map_row(m, m->line)->label);
    else
        qs_app_say(a, "this row has no experts that are stored one by one");
    anew(a);
}

/* ---- choosing ---- */

static const char *nothing_here(struct qs_app *a)
{
    const struct qs_map *m = qs_map_of(a);
    return m->selecting || qs_marks(a)->n || here(m) ? NULL : "there is no tensor here";
}

static void with_chosen(struct qs_app *a, void (*fn)(struct qs_app *, const struct qs_chosen *, const void *),
                        const void *ctx)
{
    struct qs_chosen c = chosen(a);
    fn(a, &c, ctx);
    qs_chosen_free(&c);
}

static void do_step(struct qs_app *a, const struct qs_chosen *c, const void *ctx)
{
    qs_choose_step(a, c, *(const int *)ctx);
}
static void do_set(struct qs_app *a, const struct qs_chosen *c, const void *ctx) { qs_choose_set(a, c, ctx); }
static void do_reset(struct qs_app *a, const struct qs_chosen *c, const void *ctx) { (void)ctx; qs_choose_reset(a, c); }
static void do_pick(struct qs_app *a, const struct qs_chosen *c, const void *ctx) { (void)ctx; qs_choose_pick(a, c); }

static void raise_type(struct qs_app *a, const char *arg) { (void)arg; with_chosen(a, do_step, &(int){ 1 }); }
static void lower_type(struct qs_app *a, const char *arg) { (void)arg; with_chosen(a, do_step, &(int){ -1 }); }
static void set_type(struct qs_app *a, const char *arg) { with_chosen(a, do_set, arg); }
static void reset_type(struct qs_app *a, const char *arg) { (void)arg; with_chosen(a, do_reset, NULL); }
static void pick_type(struct qs_app *a, const char *arg) { (void)arg; with_chosen(a, do_pick, NULL); }

static void whole(struct qs_app *a, const char *arg)
{
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_chosen c = chosen(a);
    (void)arg;
    for (size_t i = 0; i < c.n; i++)
        if (d->type[c.tensor[i]] != QS_TYPE_NONE)
            qs_workbench_want_whole(qs_app_bench(a), c.tensor[i], d->type[c.tensor[i]]);
    qs_app_say(a, "measuring %zu tensor%s on all weights", c.n, c.n == 1 ? "" : "s");
    qs_chosen_free(&c);
}

static void zoom(struct qs_app *a, const char *arg)
{
    const struct qs_heat_cell *c = here(qs_map_of(a));
    (void)arg;
    if (c)
        qs_zoom_into(a, qs_model_index(qs_app_doc(a)->model, c->tensor));
}

static void copy_name(struct qs_app *a, const char *arg)
{
    const struct qs_heat_cell *c = here(qs_map_of(a));
    (void)arg;
    if (c)
        qs_app_wants(a, QS_WISH_CLIPBOARD, c->tensor->name);
}

/* ---- life ---- */

static int init(struct qs_app *a, void *state, struct qs_err *e)
{
    struct qs_map *m = state;
    (void)a, (void)e;
    m->type = QS_TYPE_NONE;
    m->scale = -1;
    return QS_OK;
}

static void forget(struct qs_map *m)
{
    qs_heat_free(m->heat);
    m->heat = NULL;
    m->made = false;
    m->line = m->layer = m->top = m->left = 0;
    m->unfold[0] = 0;
    m->selecting = false;
}

static void done(void *state)
{
    forget(state);
}

/* A file that is quantized already shows its bits: nothing has been measured that could be shown. */
static void document(struct qs_app *a)
{
    struct qs_map *m = qs_map_of(a);
    const struct qs_doc *d = qs_app_doc(a);
    forget(m);
    m->type = QS_TYPE_NONE;
    m->measure = d && qs_model_is_quantized(d->model) ? QS_MAP_BITS : QS_MAP_ERROR;
    if (d)
        refresh(a);
}

/* Keys may come before the first frame: they find a map. */

/* ---- the mouse ---- */

static bool cell_at(const struct qs_map *m, int row, int col, size_t *line, size_t *layer)
{
    if (!m->heat || m->cell < 1 || row < m->grid.y || row >= m->grid.y + m->grid.rows || col < m->grid.x)
        return false;
    if (!qs_map_line_at(m, m->top + (size_t)(row - m->grid.y), line))
        return false;
    *layer = m->left + (size_t)((col - m->grid.x) / m->cell);
    return qs_map_single(m, *line) || *layer < m->heat->n_layers;
}

static bool event(struct qs_app *a, const struct qs_event *ev)
{
    struct qs_map *m = qs_map_of(a);
    size_t line, layer;
    if (ev->kind != QS_EVENT_MOUSE)
        return false;
    if (ev->mouse == QS_MOUSE_WHEEL_UP || ev->mouse == QS_MOUSE_WHEEL_DOWN) {
        by(a, ev->mouse == QS_MOUSE_WHEEL_UP ? -1 : 1, 0);
        return true;
    }
    if (ev->button != 1 || !cell_at(m, ev->row, ev->col, &line, &layer))
        return false;
    if (ev->mouse == QS_MOUSE_PRESS) {
        m->selecting = false;
        go(a, (long)line, (long)(qs_map_single(m, line) ? m->layer : layer));
        m->from_line = m->line;
        m->from_layer = m->layer;
    } else if (ev->mouse == QS_MOUSE_DRAG) {
        m->selecting = true;
        go(a, (long)line, (long)(qs_map_single(m, line) ? m->layer : layer));
    }
    return true;
}

/* What the cursor stands on is looked at, also where nobody has moved it. */
static void enter(struct qs_app *a)
{
    refresh(a);
    moved(a);
}

static const struct qs_action actions[] = {
    { .name = "left", .keys = "h Left", .help = "the layer before", .run = left },
    { .name = "right", .keys = "l Right", .help = "the next layer", .run = right },
    { .name = "first-layer", .keys = "0 Home", .help = "the first layer", .run = first_layer },
    { .name = "last-layer", .keys = "$ End", .help = "the last layer", .run = last_layer },
    { .name = "raise", .keys = "+ =", .brief = "raise", .rank = 2,
      .help = "one step more bits for the cell, range or marks", .refuse = nothing_here, .run = raise_type },
    { .name = "lower", .keys = "-", .brief = "lower", .rank = 3,
      .help = "one step fewer bits", .refuse = nothing_here, .run = lower_type },
    { .name = "types", .keys = "t", .brief = "type", .rank = 3,
      .help = "pick from the list of types, with size and error of each", .refuse = nothing_here, .run = pick_type },
    { .name = "set-type", .arg = QS_ARG_TYPE, .help = "give this type", .refuse = nothing_here, .run = set_type },
    { .name = "reset", .keys = "x Delete",
      .help = "remove the pins: what the preset and the rules say", .refuse = nothing_here, .run = reset_type },
    { .name = "worst", .keys = "b", .help = "go to the worst of all", .run = go_worst },
    { .name = "next-worst", .keys = "]", .brief = "next worst", .rank = 4,
      .help = "go to the next worst", .run = next_worst },
    { .name = "previous-worst", .keys = "[", .help = "go to the one before, which is worse", .run = previous_worst },
    { .name = "mark", .keys = "Space", .brief = "mark", .rank = 8,
      .help = "mark the cell, or the range", .refuse = nothing_here, .run = toggle_mark },
    { .name = "range", .keys = "v", .brief = "range", .rank = 9, .help = "begin or end a range", .run = select_range },
    { .name = "mark-row", .keys = "r", .help = "mark the whole row", .run = mark_row },
    { .name = "mark-layer", .keys = "c", .help = "mark the whole layer", .run = mark_layer },
    { .name = "mark-role", .keys = "R", .help = "mark all of this role", .run = mark_role },
    { .name = "unmark", .keys = "Esc", .help = "end the range, remove all marks; without any, back", .run = no_marks },
    { .name = "measure-next", .keys = "m", .brief = "measure", .rank = 6,
      .help = "show the next measure: error, outliers, kurtosis, bits, what was evaluated and calibrated", .run = next_measure },
    { .name = "measure", .arg = QS_ARG_WORDS, .words = "error outliers kurtosis bits output activations divergence kld",
      .help = "show this measure", .run = set_measure },
    { .name = "error-of", .keys = "e", .arg = QS_ARG_TYPE,
      .help = "show the error every tensor would have as this type", .run = error_of },
    { .name = "scale", .keys = "s", .help = "colours on a logarithmic or a linear scale", .run = next_scale },
    { .name = "cells", .keys = "d", .arg = QS_ARG_WORDS, .arg_optional = true, .words = "levels values types",
      .help = "what cells show", .run = next_show },
    { .name = "experts", .keys = "E", .help = "open the experts of this row, or fold them again", .run = experts },
    { .name = "measure-whole", .keys = "M",
      .help = "measure on all weights instead of a sample", .refuse = nothing_here, .run = whole },
    { .name = "zoom", .keys = "Enter z", .brief = "zoom", .rank = 5,
      .help = "look into the tensor: error by block, channels, histogram", .refuse = nothing_here, .run = zoom },
    { .name = "copy-name", .keys = "y",
      .help = "send the tensor's name to the terminal's clipboard", .refuse = nothing_here, .run = copy_name },
    { .name = NULL }
};

const struct qs_screen qs_screen_map = {
    .name = "Map",
    .about = "layers across, roles down, one cell a tensor",
    .actions = actions,
    .needs_document = true,
    .state_size = sizeof(struct qs_map),
    .init = init,
    .done = done,
    .document = document,
    .enter = enter,
    .refresh = refresh,
    .poll = follow_calibration,
    .draw = qs_map_draw,
    .move = move,
    .event = event,
    .find = find,
};
