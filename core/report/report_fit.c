/* report_fit.c - a fitted recipe as tables. Owns nothing; the report owns copies of all strings. Computes nothing but
 * sums of what it was given. Any thread.
 */
#include "core/report/report_fit.h"

#include <math.h>

#include "base/file.h"
#include "base/str.h"
#include "core/quant/preset.h"

#define N(columns) (sizeof columns / sizeof *columns)

enum {
    C_NAME, C_ROLE, C_LAYER, C_FROM, C_TYPE, C_BYTES, C_ERROR, C_METHOD, C_SENSITIVITY, C_HOW, C_COST, C_UP, C_UP_BYTES,
    C_UP_SAVES, C_DOWN, C_DOWN_BYTES, C_DOWN_COSTS, COLUMNS
};

static const struct qs_column tensor_columns[COLUMNS] = {
    [C_NAME] = { .key = "name", .title = "tensor", .left = true },
    [C_ROLE] = { .key = "role", .title = "role", .left = true, .optional = true },
    [C_LAYER] = { .key = "layer", .title = "layer", .optional = true },
    [C_FROM] = { .key = "from", .title = "from", .left = true, .optional = true },
    [C_TYPE] = { .key = "type", .title = "type", .left = true },
    [C_BYTES] = { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES },
    [C_ERROR] = { .key = "error", .title = "error", .unit = QS_UNIT_PERCENT },
    [C_METHOD] = { .key = "method", .title = "by", .left = true, .optional = true },
    [C_SENSITIVITY] = { .key = "sensitivity", .title = "a", .optional = true },
    [C_HOW] = { .key = "sensitivity_from", .title = "a from", .left = true, .optional = true },
    [C_COST] = { .key = "cost", .title = "costs" },
    [C_UP] = { .key = "up", .title = "up", .left = true },
    [C_UP_BYTES] = { .key = "up_bytes", .title = "more", .unit = QS_UNIT_BYTES },
    [C_UP_SAVES] = { .key = "up_saves", .title = "saves" },
    [C_DOWN] = { .key = "down", .title = "down", .left = true, .optional = true },
    [C_DOWN_BYTES] = { .key = "down_bytes", .title = "less", .unit = QS_UNIT_BYTES, .optional = true },
    [C_DOWN_COSTS] = { .key = "down_costs", .title = "costs more", .optional = true },
};

static const char *how_text(const struct qs_fit_choice *c)
{
    static const char *const name[] = { [QS_FIT_SWAP] = "swap", [QS_FIT_ROLE] = "role", [QS_FIT_ALL] = "all",
                                        [QS_FIT_ERROR] = "none" };
    return c->pinned ? "pinned" : name[c->how];
}

static void put_step(struct qs_section *s, size_t column, int type, uint64_t bytes, double kld)
{
    if (type == QS_TYPE_NONE)
        return;
    qs_cell_str(s, column, qs_type_name(type));
    qs_cell_int(s, column + 1, (int64_t)bytes);
    qs_cell_num(s, column + 2, kld);
    qs_cell_how(s, column + 2, QS_HOW_PREDICTED, NAN);
}

static void put_tensor(struct qs_section *s, const struct qs_fit_view *v, size_t i)
{
    const struct qs_encoding *enc = &v->plan->enc[i];
    const struct qs_fit_choice *c = &v->fit->choice[i];
    qs_row(s);
    qs_cell_str(s, C_NAME, enc->tensor->name);
    qs_cell_str(s, C_ROLE, qs_role_name(enc->tensor->role));
    if (enc->tensor->layer >= 0)
        qs_cell_int(s, C_LAYER, enc->tensor->layer);
    qs_cell_str(s, C_FROM, qs_type_name(enc->tensor->type));
    qs_cell_str(s, C_TYPE, qs_type_name(enc->type));
    qs_cell_int(s, C_BYTES, (int64_t)enc->bytes);
    qs_cell_str(s, C_HOW, how_text(c));
    if (enc->copy)
        return;
    qs_cell_num(s, C_ERROR, c->error);
    qs_cell_str(s, C_METHOD, qs_calib_method_name(c->method));
    qs_cell_num(s, C_SENSITIVITY, c->error > 0 ? c->cost / (c->error * c->error) : NAN);
    qs_cell_num(s, C_COST, c->cost);
    qs_cell_how(s, C_COST, QS_HOW_PREDICTED, NAN);
    put_step(s, C_UP, c->up, c->up_bytes, c->up_saves);
    put_step(s, C_DOWN, c->down, c->down_bytes, c->down_costs);
}

static void add_tensors(struct qs_report *r, const struct qs_fit_view *v)
{
    struct qs_section *s = qs_report_table(r, "tensors", "Tensors", tensor_columns, COLUMNS);
    for (size_t i = 0; i < v->plan->n; i++)
        if (qs_preset_settable(v->model, v->plan->enc[i].tensor))
            put_tensor(s, v, i);
    qs_section_note(
        s,
        "costs: a times the squared error%s; a from: %s. up and down: the next types, with bytes and what they save "
        "or cost",
        v->fit->kld ? ", a KL divergence" : "",
        v->fit->kld ? "the tensor's own swap, the median of its role, the median of all, none measured"
                    : "none, for no swap was measured");
}

static const struct qs_column point_columns[] = {
    { .key = "name", .title = "recipe", .left = true },
    { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES },
    { .key = "bpw", .title = "bpw", .unit = QS_UNIT_BPW },
    { .key = "predicted", .title = "predicted", .digits = 4 },
};

static void put_point(struct qs_section *s, const char *name, uint64_t bytes, double bpw, double predicted)
{
    qs_row(s);
    qs_cell_str(s, 0, name);
    qs_cell_int(s, 1, (int64_t)bytes);
    qs_cell_num(s, 2, bpw);
    qs_cell_num(s, 3, predicted);
    qs_cell_how(s, 3, QS_HOW_PREDICTED, NAN);
}

static void add_frontier(struct qs_report *r, const struct qs_fit_view *v)
{
    if (!v->n_points)
        return;
    struct qs_section *s = qs_report_table(r, "frontier", "Frontier", point_columns, N(point_columns));
    for (size_t i = 0; i < v->n_points; i++)
        put_point(s, "fitted", v->point[i].bytes, v->point[i].bpw, v->point[i].predicted);
    s = qs_report_table(r, "presets", "Presets, by the same costs", point_columns, N(point_columns));
    for (size_t i = 0; i < v->n_presets; i++)
        put_point(s, v->preset[i].name, v->preset[i].bytes, v->preset[i].bpw, v->preset[i].predicted);
}

/* ---- the proof ----------------------------------------------------------------------------------------------- */

static const struct qs_column rival_columns[] = {
    { .key = "name", .title = "recipe", .left = true },
    { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES },
    { .key = "bpw", .title = "bpw", .unit = QS_UNIT_BPW },
    { .key = "kld", .title = "KLD", .digits = 4 },
    { .key = "kld_se", .title = "+-", .digits = 2 },
    { .key = "predicted", .title = "predicted", .digits = 4 },
    { .key = "more", .title = "above ours", .digits = 3 },
    { .key = "more_se", .title = "+-", .digits = 2, .optional = true },
    { .key = "ppl", .title = "perplexity", .digits = 6, .optional = true },
    { .key = "note", .title = "", .left = true },
};

static void add_proof(struct qs_report *r, const struct qs_fit_view *v)
{
    if (!v->proof)
        return;
    struct qs_section *s = qs_report_table(r, "rivals", "Measured on held-out text", rival_columns, N(rival_columns));
    for (size_t i = 0; i < v->proof->n; i++) {
        const struct qs_rival *x = &v->proof->rival[i];
        qs_row(s);
        qs_cell_str(s, 0, x->name);
        qs_cell_int(s, 1, (int64_t)x->bytes);
        qs_cell_num(s, 2, x->bpw);
        qs_cell_num(s, 3, x->kld);
        qs_cell_num(s, 4, x->kld_se);
        qs_cell_num(s, 5, x->predicted);
        qs_cell_how(s, 5, QS_HOW_PREDICTED, NAN);
        qs_cell_num(s, 6, x->more);
        qs_cell_num(s, 7, x->more_se);
        qs_cell_num(s, 8, x->ppl);
        qs_cell_str(s, 9, x->note);
    }
    qs_section_note(s,
                    "above ours: KL divergence less ours over the same positions; beyond %g standard errors it counts",
                    QS_PROOF_BARS);
}

/* The one that is better than ours, or not told apart from it, with the smallest divergence; SIZE_MAX: none. */
static size_t strongest(const struct qs_proof *p)
{
    size_t best = SIZE_MAX;
    for (size_t i = 1; i < p->n; i++)
        if (p->rival[i].done && !(p->rival[i].more > QS_PROOF_BARS * p->rival[i].more_se) &&
            (best == SIZE_MAX || p->rival[i].kld < p->rival[best].kld))
            best = i;
    return best;
}

void qs_fit_verdict(const struct qs_fit_view *v, struct qs_str *out)
{
    const struct qs_proof *p = v->proof;
    size_t measured = 0;
    for (size_t i = 1; p && i < p->n; i++)
        measured += p->rival[i].done;
    if (!p)
        return;
    const size_t k = strongest(p);
    const struct qs_rival *x = k == SIZE_MAX ? NULL : &p->rival[k];
    if (!measured)
        qs_str_add(out, "No preset and no uniform type is as small: there was nothing to compare with.");
    else if (!x)
        qs_str_addf(
            out,
            "The fitted recipe is better than each of the %zu others of at most its bytes, by more than the error "
            "bar.",
            measured);
    else if (x->more < -QS_PROOF_BARS * x->more_se)
        qs_str_addf(out,
                    "The fitted recipe is NOT the best: %s takes %llu bytes less and has a KL divergence lower by %.4g "
                    "+- %.2g. "
                    "Take that one.",
                    x->name, (unsigned long long)(p->rival[0].bytes - x->bytes), -x->more, x->more_se);
    else
        qs_str_addf(
            out,
            "The fitted recipe is not better than %s by more than the error bar (%.4g +- %.2g); %s is the smaller "
            "one, by %llu bytes.",
            x->name, x->more, x->more_se, x->name, (unsigned long long)(p->rival[0].bytes - x->bytes));
}

static void add_proof_facts(struct qs_section *f, const struct qs_fit_view *v)
{
    const struct qs_proof *p = v->proof;
    struct qs_str verdict = QS_STR_INIT;
    if (!p)
        return;
    qs_fact_num(f, "measured", "measured KL divergence", p->measured, QS_UNIT_NONE, QS_HOW_MEASURED);
    qs_fact_num(f, "measured_se", "its standard error", p->rival[0].kld_se, QS_UNIT_NONE, QS_HOW_MEASURED);
    qs_fact_num(f, "predicted_for_proof", "predicted for that", p->predicted, QS_UNIT_NONE, QS_HOW_PREDICTED);
    qs_fact_num(f, "prediction_ratio", "predicted over measured", p->measured > 0 ? p->predicted / p->measured : NAN,
                QS_UNIT_NONE, QS_HOW_PREDICTED);
    qs_fact_int(f, "scored", "positions scored", (int64_t)p->scored, QS_UNIT_COUNT);
    qs_fact_bool(f, "better", "better than all others", p->better);
    qs_fact_str(f, "best", "least divergence", p->rival[p->best].name);
    qs_fit_verdict(v, &verdict);
    qs_section_note(f, "%s", verdict.data);
    qs_str_free(&verdict);
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

static void add_facts(struct qs_report *r, const struct qs_fit_view *v)
{
    const struct qs_fit *x = v->fit;
    struct qs_section *f = qs_report_facts(r, "fit", "Fitted");
    qs_fact_str(f, "source", "source", v->model->path ? qs_path_base(v->model->path) : "");
    qs_fact_str(f, "budget", "budget", v->budget->text);
    qs_fact_int(f, "budget_bytes", "left for tensors", (int64_t)v->budget->bytes, QS_UNIT_BYTES);
    if (v->budget->kv)
        qs_fact_int(f, "kv_bytes", "KV cache", (int64_t)v->budget->kv, QS_UNIT_BYTES);
    if (v->budget->overhead)
        qs_fact_int(f, "overhead_bytes", v->budget->kv ? "working memory" : "header", (int64_t)v->budget->overhead,
                    QS_UNIT_BYTES);
    qs_fact_int(f, "bytes", "tensors of the result", (int64_t)x->bytes, QS_UNIT_BYTES);
    qs_fact_num(f, "bpw", "bits per weight", x->bpw, QS_UNIT_BPW, QS_HOW_EXACT);
    qs_fact_num(f, "predicted", x->kld ? "predicted KL divergence" : "sum of squared errors", x->predicted,
                QS_UNIT_NONE, QS_HOW_PREDICTED);
    qs_fact_num(f, "bound", "no choice has less than", x->bound, QS_UNIT_NONE, QS_HOW_PREDICTED);
    qs_fact_bool(f, "exact", "proven to be the least", x->exact);
    qs_fact_bool(f, "kld", "the sum is a KL divergence", x->kld);
    qs_fact_str(f, "costs", "costs", x->base);
    qs_fact_str(f, "preset", "preset", x->recipe->preset->name);
    qs_fact_int(f, "pins", "pins", (int64_t)x->recipe->n_pins, QS_UNIT_NONE);
    if (v->recipe_path)
        qs_fact_str(f, "recipe", "recipe", v->recipe_path);
    add_proof_facts(f, v);
}

struct qs_report *qs_report_fit(const struct qs_fit_view *v)
{
    struct qs_report *r = qs_report_new("fit");
    if (!r)
        return NULL;
    add_tensors(r, v);
    add_frontier(r, v);
    add_proof(r, v);
    add_facts(r, v); /* last: what remains on the screen */
    return r;
}
