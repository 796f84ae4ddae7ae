/* fit_group.c - what there is to choose: which tensors are free, which of them go together, which types they may have.
 *
 * Owns the problem that the solver gets. Fixed are tensors that nobody quantizes, and those that a pin, a rule or an
 * option of the recipe has decided. A type is an option when the shape can have it, its error is known, and it may be
 * written without importance weights or these are there. Any thread.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/fit_internal.h"
#include "core/quant/importance.h"

/* ---- which are free ------------------------------------------------------------------------------------------ */

static bool named(const struct qs_tensor *t, const char *name) { return strcmp(t->name, name) == 0; }

/* An option of the recipe decides it: the output, or the embeddings, which are the output too where they are tied. */
static bool by_option(const struct qs_recipe *r, const struct qs_model *m, const struct qs_tensor *t)
{
    const bool embd = named(t, "token_embd.weight");
    const bool output = named(t, "output.weight") || (embd && !qs_model_find(m, "output.weight"));
    return (output && (r->leave_output || r->output_type != QS_TYPE_NONE)) ||
           (embd && r->token_embd_type != QS_TYPE_NONE);
}

static bool is_free(const struct qs_fit_problem *p, size_t i)
{
    const struct qs_fit_args *a = p->costs->a;
    const struct qs_tensor *t = &a->model->tensor[i];
    return qs_preset_settable(a->model, t) && p->plan->resolved->by[i] < 0 && !by_option(a->recipe, a->model, t);
}

/* ---- which types a tensor may have --------------------------------------------------------------------------- */

static bool multiple_of(const struct qs_tensor *t, unsigned n) { return t->ne[0] % n == 0; }

/* The ladder: K types and what else is as good; the older ones where rows are no multiple of 256. */
static bool on_ladder(const struct qs_tensor *t, int type)
{
    switch (type) {
    case QS_Q2_K: case QS_Q3_K: case QS_Q4_K: case QS_Q5_K: case QS_Q6_K: case QS_Q8_0: case QS_IQ4_XS: case QS_IQ4_NL:
    case QS_IQ2_XXS: case QS_IQ2_XS: case QS_IQ2_S: case QS_IQ3_XXS: case QS_IQ3_S:
        return true;
    case QS_Q4_0: case QS_Q4_1: case QS_Q5_0: case QS_Q5_1:
        return !multiple_of(t, 256);
    default:
        return false;
    }
}

static bool allowed(const struct qs_fit_args *a, const struct qs_tensor *t, int type)
{
    if (!a->type)
        return on_ladder(t, type);
    for (size_t k = 0; k < a->n_types; k++)
        if (a->type[k] == type)
            return true;
    return false;
}

bool qs_fit_may_choose(const struct qs_fit_args *a, size_t i, int type)
{
    const struct qs_tensor *t = &a->model->tensor[i];
    const struct qs_imatrix_entry *entry = NULL;
    if (!allowed(a, t, type) || !qs_tensor_bytes_as(t, type))
        return false;
    if (!qs_preset_needs_importance(NULL, t->name, type))
        return true;
    return a->statistics && !qs_importance_for(a->statistics->imatrix, t, &entry, NULL) && entry;
}

static bool may_have(const struct qs_fit_problem *p, size_t i, int type)
{
    return qs_fit_may_choose(p->costs->a, i, type) && !isnan(qs_fit_cost_of(p->costs, i, type));
}

/* ---- which go together --------------------------------------------------------------------------------------- */

/* Tied tensors have the same number in the same layer; 0: by itself. */
static int tie_of(enum qs_role r)
{
    switch (r) {
    case QS_ROLE_ATTN_Q: case QS_ROLE_ATTN_K: case QS_ROLE_ATTN_V:
        return 1;
    case QS_ROLE_FFN_GATE: case QS_ROLE_FFN_UP:
        return 2;
    case QS_ROLE_FFN_GATE_EXPS: case QS_ROLE_FFN_UP_EXPS: case QS_ROLE_FFN_DOWN_EXPS: case QS_ROLE_FFN_GATE_UP_EXPS:
        return 3;
    case QS_ROLE_FFN_GATE_SHEXP: case QS_ROLE_FFN_UP_SHEXP:
        return 4;
    default:
        return 0;
    }
}

/* Some type that both may have: rows of different lengths may leave none, and then they stay apart. */
static bool share_types(const struct qs_fit_problem *p, size_t i, size_t k)
{
    for (size_t f = 0; f < qs_format_count(); f++)
        if (may_have(p, i, qs_format_at(f)->id) && may_have(p, k, qs_format_at(f)->id))
            return true;
    return false;
}

/* The first tensor before i that i is tied to; SIZE_MAX: none. */
static size_t tied_to(const struct qs_fit_problem *p, size_t i)
{
    const struct qs_model *m = p->costs->a->model;
    const int tie = tie_of(m->tensor[i].role);
    if (!p->costs->a->tie || !tie || m->tensor[i].layer < 0)
        return SIZE_MAX;
    for (size_t k = 0; k < i; k++)
        if (m->tensor[k].layer == m->tensor[i].layer && tie_of(m->tensor[k].role) == tie && p->group[k] != SIZE_MAX &&
            share_types(p, i, k))
            return k;
    return SIZE_MAX;
}

static void make_groups(struct qs_fit_problem *p)
{
    for (size_t i = 0; i < p->costs->n; i++) {
        p->group[i] = SIZE_MAX;
        if (!is_free(p, i))
            continue;
        const size_t k = tied_to(p, i);
        p->group[i] = k == SIZE_MAX ? p->n_groups++ : p->group[k];
    }
}

/* ---- options ------------------------------------------------------------------------------------------------- */

/* One type for all of a group. False: one of them cannot have it. */
static bool option_of(const struct qs_fit_problem *p, size_t group, int type, struct qs_fit_option *out)
{
    const struct qs_model *m = p->costs->a->model;
    *out = (struct qs_fit_option){ .type = type };
    for (size_t i = 0; i < p->costs->n; i++) {
        if (p->group[i] != group)
            continue;
        if (!may_have(p, i, type))
            return false;
        out->bytes += qs_fit_padded(m, qs_tensor_bytes_as(&m->tensor[i], type));
        out->cost += qs_fit_cost_of(p->costs, i, type);
    }
    return true;
}

static void put_option(struct qs_fit_option *o, size_t *n, const struct qs_fit_option *more)
{
    size_t i = (*n)++;
    for (; i > 0 && o[i - 1].bytes > more->bytes; i--)
        o[i] = o[i - 1];
    o[i] = *more;
}

static int no_option(const struct qs_fit_problem *p, size_t group, struct qs_err *e)
{
    const struct qs_model *m = p->costs->a->model;
    for (size_t i = 0; i < p->costs->n; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        if (p->group[i] != group)
            continue;
        for (size_t f = 0; f < qs_format_count(); f++)
            if (allowed(p->costs->a, t, qs_format_at(f)->id) && qs_tensor_bytes_as(t, qs_format_at(f)->id))
                return qs_fail(e, QS_ENOTFOUND,
                               "no error of %s is known at any type it may have: measure it, or pin its type", t->name);
        return qs_fail(e, QS_EINVAL,
                       "%s can have none of the types allowed: its rows are %llu long; allow Q8_0, or pin its "
                       "type",
                       t->name, (unsigned long long)t->ne[0]);
    }
    return qs_fail(e, QS_EINVAL, "a group of the budget is empty");
}

static int make_options(struct qs_fit_problem *p, struct qs_err *e)
{
    const size_t most = qs_format_count();
    p->g = qs_calloc(p->n_groups + 1, sizeof *p->g);
    p->option = qs_calloc(p->n_groups * most + 1, sizeof *p->option);
    if (!p->g || !p->option)
        return qs_fail_mem(e, p->n_groups * most * sizeof *p->option, "the options of a budget");
    for (size_t g = 0; g < p->n_groups; g++) {
        struct qs_fit_option *o = p->option + g * most, more;
        size_t n = 0;
        for (size_t f = 0; f < most; f++)
            if (option_of(p, g, qs_format_at(f)->id, &more))
                put_option(o, &n, &more);
        p->g[g] = (struct qs_fit_group){ o, n };
        if (!n)
            return no_option(p, g, e);
    }
    return QS_OK;
}

/* What is decided beforehand: its bytes, and what it costs where that is known. */
static void sum_fixed(struct qs_fit_problem *p)
{
    const struct qs_model *m = p->costs->a->model;
    for (size_t i = 0; i < p->costs->n; i++) {
        const struct qs_encoding *enc = &p->plan->enc[i];
        if (p->group[i] != SIZE_MAX)
            continue;
        p->fixed += qs_fit_padded(m, enc->bytes);
        p->fixed_raw += enc->bytes;
        const double cost = enc->copy ? 0 : qs_fit_cost_of(p->costs, i, enc->type);
        p->fixed_cost += isnan(cost) ? 0 : cost;
    }
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

static int plan_fixed(struct qs_fit_problem *p, const struct qs_fit_args *a, struct qs_err *e)
{
    const struct qs_plan_args args = { .imatrix = a->statistics ? a->statistics->imatrix : NULL,
                                       .allow_requantize = true };
    struct qs_recipe *r = NULL;
    if (a->recipe->pure)
        return qs_fail(e, QS_EINVAL, "a pure recipe gives every tensor the same type: there is nothing to choose");
    int rc = qs_recipe_copy(a->recipe, &r, e);
    if (!rc)
        rc = qs_recipe_set_preset(r, "Q8_0", e); /* what it gives to free tensors is never looked at */
    if (!rc)
        rc = qs_plan_make(a->model, r, &args, &p->plan, e);
    qs_recipe_free(r);
    return rc;
}

int qs_fit_problem_new(const struct qs_fit_args *a, struct qs_fit_problem **out, struct qs_err *e)
{
    struct qs_fit_problem *p = qs_calloc(1, sizeof *p);
    if (!p)
        return qs_fail_mem(e, sizeof *p, "a budget");
    int rc = qs_fit_costs_new(a, &p->costs, e);
    if (!rc)
        rc = plan_fixed(p, a, e);
    if (!rc && !(p->group = qs_calloc(a->model->n_tensors + 1, sizeof *p->group)))
        rc = qs_fail_mem(e, a->model->n_tensors * sizeof *p->group, "a budget");
    if (!rc) {
        make_groups(p);
        sum_fixed(p);
        rc = make_options(p, e);
    }
    if (rc)
        qs_fit_problem_free(p);
    else
        *out = p;
    return rc;
}

int qs_fit_least(const struct qs_fit_args *a, uint64_t *bytes, struct qs_err *e)
{
    struct qs_fit_costs c = { .a = a, .n = a->model->n_tensors };
    struct qs_fit_problem p = { .costs = &c };
    const int rc = plan_fixed(&p, a, e);
    *bytes = 0;
    for (size_t i = 0; !rc && i < c.n; i++) {
        const struct qs_tensor *t = &a->model->tensor[i];
        uint64_t least = p.plan->enc[i].bytes, any = least, known = UINT64_MAX;
        for (size_t k = 0; is_free(&p, i) && k < qs_format_count(); k++) {
            const int type = qs_format_at(k)->id;
            const uint64_t n = qs_tensor_bytes_as(t, type);
            any = n && n < any && on_ladder(t, type) ? n : any;
            known = n && n < known && allowed(a, t, type) ? n : known;
        }
        least = !is_free(&p, i) ? least : known < UINT64_MAX ? known : any;
        *bytes += qs_fit_padded(a->model, least);
    }
    qs_plan_free(p.plan);
    return rc;
}

void qs_fit_problem_free(struct qs_fit_problem *p)
{
    if (!p)
        return;
    qs_fit_costs_free(p->costs);
    qs_plan_free(p->plan);
    qs_free(p->group);
    qs_free(p->g);
    qs_free(p->option);
    qs_free(p);
}

uint64_t qs_fit_bytes(const struct qs_fit_problem *p, const struct qs_fit_result *r)
{
    const struct qs_model *m = p->costs->a->model;
    uint64_t bytes = p->fixed_raw;
    for (size_t i = 0; i < p->costs->n; i++)
        if (p->group[i] != SIZE_MAX)
            bytes += qs_tensor_bytes_as(&m->tensor[i], p->g[p->group[i]].option[r->choice[p->group[i]]].type);
    return bytes;
}
