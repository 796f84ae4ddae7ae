/* report_calibrate.c - a calibration as tables: facts, texts, errors by role, by layer and by tensor. */
#include "core/report/report_calibrate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- by role ------------------------------------------------------------------------------------------------- */

/* Whether the calibration has, or had, to do with it: outside of that a matrix is only looked at. */
static bool takes_part(const struct qs_tensor *t, const struct qs_calib_tensor *x)
{
    return t->n_dims > 1 && t->format && (x->state != QS_CALIB_WAITING || t->layer >= 0);
}

size_t qs_calib_by_role(const struct qs_model *m, const struct qs_calib_view *v, struct qs_calib_roles *out)
{
    size_t n = 0;
    for (int role = 0; role < QS_ROLE_COUNT; role++) {
        struct qs_calib_roles r = { .role = (enum qs_role)role, .before = NAN, .after = NAN };
        double before = 0, after = 0;
        for (size_t i = 0; i < v->n_tensors && i < m->n_tensors; i++) {
            const struct qs_calib_tensor *x = &v->tensor[i];
            if (m->tensor[i].role != (enum qs_role)role || !takes_part(&m->tensor[i], x))
                continue;
            r.tensors++;
            if (isnan(x->before) || isnan(x->after))
                continue;
            r.done++;
            r.better += x->after < x->before;
            before += x->before * x->before;
            after += x->after * x->after;
        }
        if (r.done) {
            r.before = sqrt(before / (double)r.done);
            r.after = sqrt(after / (double)r.done);
        }
        if (r.done || (r.tensors && v->stage < QS_STAGE_DONE))
            out[n++] = r;
    }
    return n;
}

static double gain(double before, double after)
{
    return before > 0 ? after / before : (double)NAN;
}

static void add_roles(struct qs_report *r, const struct qs_calib_report *x)
{
    static const struct qs_column columns[] = {
        { .key = "role", .title = "role", .left = true },
        { .key = "tensors", .title = "tensors", .unit = QS_UNIT_COUNT },
        { .key = "better", .title = "better", .unit = QS_UNIT_COUNT },
        { .key = "before", .title = "weighted fit", .unit = QS_UNIT_PERCENT },
        { .key = "after", .title = "chosen", .unit = QS_UNIT_PERCENT },
        { .key = "ratio", .title = "ratio" },
    };
    struct qs_calib_roles role[QS_ROLE_COUNT];
    const size_t n = qs_calib_by_role(x->model, x->view, role);
    bool any = x->data;
    for (size_t i = 0; i < n; i++)
        any |= role[i].done > 0;
    if (!any)
        return;
    struct qs_section *s = qs_report_table(r, "roles", "Output error on held-out text, by role", columns,
                                           sizeof columns / sizeof *columns);
    for (size_t i = 0; i < n; i++) {
        if (!role[i].done)
            continue;
        qs_row(s);
        qs_cell_str(s, 0, qs_role_name(role[i].role));
        qs_cell_int(s, 1, (int64_t)role[i].done);
        qs_cell_int(s, 2, (int64_t)role[i].better);
        qs_cell_num(s, 3, role[i].before);
        qs_cell_num(s, 4, role[i].after);
        qs_cell_num(s, 5, gain(role[i].before, role[i].after));
    }
}

/* ---- layers and tensors -------------------------------------------------------------------------------------- */

static double worst_outlier(const struct qs_calib_layer *l)
{
    double worst = NAN;
    for (size_t p = 0; p < sizeof l->outlier_ratio / sizeof *l->outlier_ratio; p++)
        if (!isnan(l->outlier_ratio[p]) && !(l->outlier_ratio[p] <= worst))
            worst = l->outlier_ratio[p];
    return worst;
}

static void add_layers(struct qs_report *r, const struct qs_calib_report *x)
{
    static const struct qs_column columns[] = {
        { .key = "layer", .title = "layer", .left = true },
        { .key = "state", .title = "state", .left = true },
        { .key = "before", .title = "weighted fit", .unit = QS_UNIT_PERCENT },
        { .key = "after", .title = "chosen", .unit = QS_UNIT_PERCENT },
        { .key = "outlier_ratio", .title = "largest activation / median" },
        { .key = "seconds", .title = "time", .unit = QS_UNIT_SECONDS, .optional = true },
    };
    struct qs_section *s = qs_report_table(r, "layers", "By layer", columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < x->view->n_layers; i++) {
        const struct qs_calib_layer *l = &x->view->layer[i];
        char name[24];
        snprintf(name, sizeof name, "%zu", i);
        qs_row(s);
        qs_cell_str(s, 0, i + 1 == x->view->n_layers ? "head" : name);
        qs_cell_str(s, 1, qs_calib_state_name(l->state));
        qs_cell_num(s, 2, l->before);
        qs_cell_num(s, 3, l->after);
        qs_cell_num(s, 4, worst_outlier(l));
        qs_cell_num(s, 5, l->seconds > 0 ? l->seconds : (double)NAN);
    }
}

static void add_tensors(struct qs_report *r, const struct qs_calib_report *x)
{
    static const struct qs_column columns[] = {
        { .key = "tensor", .title = "tensor", .left = true },
        { .key = "type", .title = "type", .left = true },
        { .key = "method", .title = "method", .left = true },
        { .key = "plain", .title = "plain", .unit = QS_UNIT_PERCENT, .optional = true },
        { .key = "before", .title = "weighted fit", .unit = QS_UNIT_PERCENT },
        { .key = "after", .title = "chosen", .unit = QS_UNIT_PERCENT },
        { .key = "ratio", .title = "ratio" },
        { .key = "note", .title = "note", .left = true, .optional = true },
    };
    struct qs_section *s = qs_report_table(r, "tensors", "By tensor", columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < x->view->n_tensors && i < x->model->n_tensors; i++) {
        const struct qs_calib_tensor *t = &x->view->tensor[i];
        const struct qs_format *f = qs_format_by_id(t->type);
        if (isnan(t->after) && isnan(t->before) && !t->note[0])
            continue;
        qs_row(s);
        qs_cell_str(s, 0, x->model->tensor[i].name);
        qs_cell_str(s, 1, t->type != QS_TYPE_NONE && f ? f->name : NULL);
        qs_cell_str(s, 2, t->state == QS_CALIB_DONE ? qs_calib_method_name(t->method) : qs_calib_state_name(t->state));
        qs_cell_num(s, 3, t->plain);
        qs_cell_num(s, 4, t->before);
        qs_cell_num(s, 5, t->after);
        qs_cell_num(s, 6, gain(t->before, t->after));
        qs_cell_str(s, 7, t->note);
    }
}

struct qs_report *qs_report_calibrate_tensors(const struct qs_calib_report *x)
{
    struct qs_report *r = qs_report_new("calibrate");
    if (r)
        add_tensors(r, x);
    return r;
}

/* ---- what it was made of ------------------------------------------------------------------------------------- */

static void add_texts(struct qs_report *r, const struct qs_calib_report *x)
{
    static const struct qs_column columns[] = {
        { .key = "text", .title = "text", .left = true },
        { .key = "kind", .title = "kind", .left = true, .optional = true },
        { .key = "weight", .title = "weight" },
        { .key = "share", .title = "share", .unit = QS_UNIT_PERCENT },
        { .key = "windows", .title = "windows", .unit = QS_UNIT_COUNT },
        { .key = "tokens", .title = "tokens", .unit = QS_UNIT_COUNT },
        { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES, .optional = true },
        { .key = "bad_lines", .title = "bad lines", .unit = QS_UNIT_COUNT, .optional = true },
    };
    if (!x->n_mix)
        return;
    struct qs_section *s = qs_report_table(r, "texts", "Texts", columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < x->n_mix; i++) {
        const struct qs_corpus_mix *t = &x->mix[i];
        qs_row(s);
        qs_cell_str(s, 0, t->path);
        qs_cell_str(s, 1, t->kind);
        qs_cell_num(s, 2, t->weight);
        qs_cell_num(s, 3, t->share);
        qs_cell_int(s, 4, (int64_t)t->windows);
        qs_cell_int(s, 5, (int64_t)t->tokens);
        qs_cell_int(s, 6, (int64_t)t->bytes);
        qs_cell_int(s, 7, (int64_t)t->bad_lines);
    }
}

static void add_facts(struct qs_report *r, const struct qs_calib_report *x)
{
    struct qs_section *f = qs_report_facts(r, "calibration", "Calibration");
    qs_fact_str(f, "model", "model", x->model->path);
    if (x->data || x->recipe)
        qs_fact_str(f, "recipe", "recipe", x->recipe);
    if (x->data || x->fit) {
        const double none = (double)NAN, predicted = x->fit && x->fit->kld ? x->fit->predicted : none;
        qs_fact_str(f, "budget", "budget", x->budget);
        qs_fact_num(f, "fit_bytes", "tensors under it", x->fit ? (double)x->fit->bytes : none, QS_UNIT_BYTES,
                    QS_HOW_EXACT);
        qs_fact_num(f, "fit_bpw", "bits per weight", x->fit ? x->fit->bpw : none, QS_UNIT_BPW, QS_HOW_EXACT);
        qs_fact_num(f, "predicted_kld", "predicted KL divergence", predicted, QS_UNIT_NONE, QS_HOW_PREDICTED);
        qs_fact_num(f, "predicted_bound", "none is below", isnan(predicted) ? none : x->fit->bound, QS_UNIT_NONE,
                    QS_HOW_PREDICTED);
    }
    if (x->data || x->n_fit) {
        qs_fact_int(f, "windows", "windows to fit", (int64_t)x->n_fit, QS_UNIT_COUNT);
        qs_fact_int(f, "windows_held_out", "windows held out", (int64_t)x->n_held, QS_UNIT_COUNT);
        qs_fact_int(f, "n_ctx", "window, tokens", (int64_t)x->n_ctx, QS_UNIT_COUNT);
    }
    if (x->need) {
        qs_fact_num(f, "predicted_seconds", "predicted time", x->need->seconds, QS_UNIT_SECONDS, QS_HOW_PREDICTED);
        qs_fact_int(f, "need_memory", "memory at most", (int64_t)x->need->memory, QS_UNIT_BYTES);
        if (x->data || x->need->spill)
            qs_fact_int(f, "need_spill", "scratch files", (int64_t)x->need->spill, QS_UNIT_BYTES);
        qs_fact_int(f, "need_disk", "results", (int64_t)x->need->disk, QS_UNIT_BYTES);
    }
    if (x->seconds >= 0)
        qs_fact_num(f, "seconds", "time", x->seconds, QS_UNIT_SECONDS, QS_HOW_MEASURED);
    if (x->data || x->statistics)
        qs_fact_str(f, "statistics", "statistics", x->statistics);
    if (x->data || x->store)
        qs_fact_str(f, "store", "calibrated weights", x->store);
    if (x->data || x->written)
        qs_fact_str(f, "written", "written", x->written);
}

static void add_warnings(struct qs_report *r, const struct qs_calib_report *x)
{
    static const struct qs_column columns[] = { { .key = "warning", .title = "warning", .left = true } };
    if (!x->n_warnings && !x->data)
        return;
    struct qs_section *s = qs_report_table(r, "warnings", "Warnings", columns, 1);
    for (size_t i = 0; i < x->n_warnings; i++) {
        qs_row(s);
        qs_cell_str(s, 0, x->warning[i]);
    }
}

struct qs_report *qs_report_calibrate(const struct qs_calib_report *x)
{
    struct qs_report *r = qs_report_new("calibrate");
    if (!r)
        return NULL;
    add_facts(r, x);
    add_texts(r, x);
    if (x->view && x->seconds >= 0) {
        add_roles(r, x);
        add_layers(r, x);
        if (x->tensors)
            add_tensors(r, x);
    }
    add_warnings(r, x);
    return r;
}
