/* workbench_choosing.c - what a tensor can become: the ladder of types, and the list of all of them with what they
 * cost.
 *
 * Pure but for reading the survey. The ladder is one table; nothing else decides on steps.
 */
#include "core/workbench_internal.h"

#include <string.h>

#include "core/quant/importance.h"

/* ---- what is possible ---------------------------------------------------------------------------------------- */

static bool is_measured_type(const struct qs_survey *s, int type)
{
    for (size_t i = 0; i < s->n_types; i++)
        if (s->type[i] == type)
            return true;
    return false;
}

const char *qs_wb_refusal(const struct qs_wb_doc *d, const struct qs_tensor *t, int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    if (t->format && type == t->type)
        return NULL;
    if (!qs_preset_settable(d->pub.model, t))
        return "this tensor always stays as in the source";
    if (!f || !is_measured_type(d->src->survey, type))
        return qs_gap_text(QS_GAP_NO_ENCODER);
    return t->ne[0] % f->block == 0 ? NULL : qs_gap_text(QS_GAP_SHAPE);
}

static bool has_importance(const struct qs_wb_doc *d, const struct qs_tensor *t)
{
    const struct qs_imatrix_entry *x = NULL;
    return qs_importance_for(d->src->imatrix, t, &x, NULL) == QS_OK && x;
}

/* ---- the ladder ---------------------------------------------------------------------------------------------- */

enum { /* a step is there only for tensors of which all this is true */
    WIDE = 1,   /* rows are multiples of 256 */
    NARROW = 2, /* they are not */
    IMPORTANCE = 4, PLAIN = 8 /* the importance matrix has the tensor, or not */
};

/* In the order of bits. Of types of as many bits one is chosen, by importance weights. Left out: types for models that
 * were trained to few levels (Q1_0, Q2_0, TQ1_0, TQ2_0) or to MXFP4 and NVFP4, and Q4_1 and Q5_1, whose minima say
 * little for their bits. */
static const struct { int type; unsigned when; } ladder[] = {
    { QS_IQ1_S, WIDE | IMPORTANCE },  { QS_IQ1_M, WIDE | IMPORTANCE },  { QS_IQ2_XXS, WIDE | IMPORTANCE },
    { QS_IQ2_XS, WIDE | IMPORTANCE }, { QS_IQ2_S, WIDE | IMPORTANCE },  { QS_Q2_K, WIDE },
    { QS_IQ3_XXS, WIDE | IMPORTANCE }, { QS_Q3_K, WIDE | PLAIN },       { QS_IQ3_S, WIDE | IMPORTANCE },
    { QS_IQ4_XS, WIDE | IMPORTANCE }, { QS_Q4_K, WIDE },                { QS_Q4_0, NARROW | PLAIN },
    { QS_IQ4_NL, NARROW | IMPORTANCE }, { QS_Q5_K, WIDE },              { QS_Q5_0, NARROW },
    { QS_Q6_K, WIDE },                { QS_Q8_0, 0 },                   { QS_F16, 0 },
};

enum { STEPS_MAX = sizeof ladder / sizeof *ladder + 1 };

static unsigned facts_of(const struct qs_wb_doc *d, const struct qs_tensor *t)
{
    return (t->ne[0] % 256 == 0 ? WIDE : NARROW) | (has_importance(d, t) ? IMPORTANCE : PLAIN);
}

/* The steps of a tensor, ascending; the topmost is its own type. */
static size_t steps_of(const struct qs_wb_doc *d, const struct qs_tensor *t, int step[STEPS_MAX])
{
    size_t n = 0;
    if (!qs_preset_settable(d->pub.model, t))
        return 0;
    const unsigned facts = facts_of(d, t);
    const double most = qs_format_bpw(t->format);
    for (size_t i = 0; i < sizeof ladder / sizeof *ladder; i++) {
        const struct qs_format *f = qs_format_by_id(ladder[i].type);
        if ((ladder[i].when & ~facts) || qs_format_bpw(f) >= most || qs_wb_refusal(d, t, f->id))
            continue;
        if ((facts & PLAIN) && qs_preset_needs_importance(d->pub.recipe->preset, t->name, f->id))
            continue;
        step[n++] = f->id;
    }
    step[n++] = t->type;
    return n;
}

int qs_workbench_next_type(const struct qs_workbench *w, const struct qs_tensor *t, int type, int direction)
{
    int step[STEPS_MAX];
    const struct qs_format *from = qs_format_by_id(type);
    const size_t n = w->doc && from ? steps_of(w->doc, t, step) : 0;
    for (size_t k = 0; k < n; k++) {
        const int to = step[direction > 0 ? k : n - 1 - k];
        const double more = qs_format_bpw(qs_format_by_id(to)) - qs_format_bpw(from);
        if (direction > 0 ? more > 0 : more < 0)
            return to;
    }
    return QS_TYPE_NONE;
}

/* ---- all types ----------------------------------------------------------------------------------------------- */

static const char *why_not(const struct qs_wb_doc *d, const struct qs_tensor *t, int type,
                           const struct qs_survey_cell *c)
{
    const char *why = qs_wb_refusal(d, t, type);
    if (why || type == t->type)
        return why;
    if (d->pub.recipe->leave_output && !strcmp(t->name, "output.weight"))
        return "leave-output keeps this tensor as it is";
    if (c->gap == QS_GAP_OVERFLOW)
        return qs_gap_text(c->gap);
    if (!has_importance(d, t) && qs_preset_needs_importance(d->pub.recipe->preset, t->name, type))
        return d->src->imatrix ? "the importance matrix has no weights for it" : "it needs an importance matrix";
    return NULL;
}

size_t qs_workbench_choices(const struct qs_workbench *w, const struct qs_tensor *t, struct qs_type_choice *out)
{
    const struct qs_wb_doc *d = w->doc;
    int step[STEPS_MAX];
    if (!d)
        return 0;
    const struct qs_survey *s = d->src->survey;
    const size_t at = qs_model_index(d->pub.model, t), n_steps = steps_of(d, t, step);
    for (size_t i = 0; i < s->n_types; i++) {
        const struct qs_format *f = qs_format_by_id(s->type[i]);
        struct qs_type_choice *c = &out[i];
        *c = (struct qs_type_choice){ .type = f->id, .bytes = qs_tensor_bytes_as(t, f->id) };
        (void)qs_survey_cell(s, t, f->id, &c->cell);
        c->bpw = f->id == t->type && t->n ? 8 * (double)t->size / (double)t->n : qs_format_bpw(f);
        c->now = d->pub.plan->enc[at].type == f->id;
        c->preset = d->pub.baseline && d->pub.baseline->enc[at].type == f->id;
        for (size_t k = 0; k < n_steps; k++)
            c->ladder |= step[k] == f->id;
        c->refused = why_not(d, t, f->id, &c->cell);
    }
    return s->n_types;
}
