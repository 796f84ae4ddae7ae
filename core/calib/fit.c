/* fit.c - a budget carried out: the solver's choice as a recipe, with what each tensor's next step would cost and save.
 *
 * Owns the result. Costs are fit_cost.c's, groups fit_group.c's, the recipe fit_recipe.c's. Any thread; the survey may
 * be measured meanwhile. A budget below the smallest types is refused with the size that would do.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "core/calib/fit_internal.h"

/* ---- solving ------------------------------------------------------------------------------------------------- */

static uint64_t least_bytes(const struct qs_fit_problem *p)
{
    uint64_t bytes = p->fixed;
    for (size_t g = 0; g < p->n_groups; g++)
        bytes += p->g[g].option[0].bytes;
    return bytes;
}

static int refuse(uint64_t least, uint64_t budget, const struct qs_model *m, struct qs_err *e)
{
    char need[24], have[24];
    return qs_fail(e, QS_ELIMIT,
                   "the tensors take at least %s (%llu bytes), %.3f bpw, with the types allowed and the pins of the recipe; "
                   "the budget leaves %s (%llu bytes)",
                   qs_fmt_bytes(need, sizeof need, least), (unsigned long long)least,
                   m->n_weights ? 8.0 * (double)least / (double)m->n_weights : 0,
                   qs_fmt_bytes(have, sizeof have, budget), (unsigned long long)budget);
}

int qs_fit_check(const struct qs_fit_args *a, struct qs_err *e)
{
    uint64_t least;
    const int rc = qs_fit_least(a, &least, e);
    return rc || a->budget.bytes >= least ? rc : refuse(least, a->budget.bytes, a->model, e);
}

static int solve(const struct qs_fit_problem *p, uint64_t budget, struct qs_fit_result *out, struct qs_err *e)
{
    const uint64_t least = least_bytes(p);
    if (budget < least)
        return refuse(least, budget, p->costs->a->model, e);
    return qs_fit_solve(p->g, p->n_groups, budget - p->fixed, out, e);
}

/* ---- each tensor's choice ------------------------------------------------------------------------------------ */

/* The nearest options around the chosen one that no other beats: more bytes have to save, fewer may cost. */
static void next_steps(const struct qs_fit_group *g, size_t chosen, struct qs_fit_choice *c)
{
    const struct qs_fit_option *now = &g->option[chosen], *up = NULL, *down = NULL;
    for (size_t k = 0; k < g->n; k++) {
        const struct qs_fit_option *o = &g->option[k];
        if (o->bytes > now->bytes && o->cost < now->cost && (!up || o->bytes < up->bytes))
            up = o;
        if (o->bytes < now->bytes && (!down || o->cost < down->cost))
            down = o;
    }
    c->up = up ? up->type : QS_TYPE_NONE;
    c->up_bytes = up ? up->bytes - now->bytes : 0;
    c->up_saves = up ? now->cost - up->cost : 0;
    c->down = down ? down->type : QS_TYPE_NONE;
    c->down_bytes = down ? now->bytes - down->bytes : 0;
    c->down_costs = down ? down->cost - now->cost : 0;
}

static void choice_of(const struct qs_fit_problem *p, const struct qs_fit_result *r, size_t i, struct qs_fit_choice *c)
{
    const size_t g = p->group[i];
    const struct qs_encoding *enc = &p->plan->enc[i];
    *c = (struct qs_fit_choice){ .up = QS_TYPE_NONE, .down = QS_TYPE_NONE, .how = p->costs->how[i] };
    c->pinned = g == SIZE_MAX && qs_preset_settable(p->costs->a->model, enc->tensor);
    c->type = g == SIZE_MAX ? enc->type : p->g[g].option[r->choice[g]].type;
    const bool same = g == SIZE_MAX && enc->copy;
    c->error = same ? 0 : qs_fit_error_of(p->costs, i, c->type);
    c->cost = same ? 0 : qs_fit_cost_of(p->costs, i, c->type);
    c->method = qs_fit_method_of(p->costs, i, c->type);
    if (g != SIZE_MAX)
        next_steps(&p->g[g], r->choice[g], c);
}

/* ---- the recipe ---------------------------------------------------------------------------------------------- */

static void comment(const struct qs_fit_problem *p, const struct qs_fit *f, struct qs_str *out)
{
    const struct qs_budget *b = &p->costs->a->budget;
    qs_str_addf(out, "# fitted to %s\n", b->text[0] ? b->text : "a budget of bytes");
    qs_str_addf(out, "# costs: %s\n", f->base);
    qs_str_addf(out, "# predicted %s %.6g, at least %.6g is needed%s\n", f->kld ? "KL divergence" : "sum", f->predicted,
                f->bound, f->exact ? " (proven best by these costs)" : "");
}

static int fill(struct qs_fit *f, const struct qs_fit_problem *p, const struct qs_fit_result *r, struct qs_err *e)
{
    const size_t n = p->costs->n;
    struct qs_plan *plan = NULL;
    struct qs_str text = QS_STR_INIT;
    int *type = qs_calloc(n + 1, sizeof *type);
    f->choice = qs_calloc(n + 1, sizeof *f->choice);
    if (!type || !f->choice) {
        qs_free(type);
        return qs_fail_mem(e, n * sizeof *f->choice, "the choice of types");
    }
    for (size_t i = 0; i < n; i++) {
        choice_of(p, r, i, &f->choice[i]);
        type[i] = f->choice[i].type;
    }
    f->kld = p->costs->n_swaps > 0;
    f->predicted = p->fixed_cost + r->cost;
    f->bound = p->fixed_cost + r->bound;
    f->exact = r->exact;
    qs_fit_costs_base(p->costs, type, &text);
    f->base = qs_str_take(&text);
    int rc = f->base ? QS_OK : qs_fail_mem(e, 200, "what costs were made from");
    if (!rc)
        comment(p, f, &text);
    if (!rc && text.failed)
        rc = qs_fail_mem(e, 200, "the comment of a recipe");
    if (!rc)
        rc = qs_fit_recipe(p, type, text.data, &f->recipe, &plan, e);
    if (!rc) {
        f->bytes = plan->bytes;
        f->bpw = plan->bpw;
    }
    qs_plan_free(plan);
    qs_str_free(&text);
    qs_free(type);
    return rc;
}

int qs_fit_run(const struct qs_fit_args *a, struct qs_fit **out, struct qs_err *e)
{
    struct qs_fit_problem *p = NULL;
    struct qs_fit_result r = { .choice = NULL };
    struct qs_fit *f = NULL;
    int rc = qs_fit_problem_new(a, &p, e);
    if (!rc)
        rc = solve(p, a->budget.bytes, &r, e);
    if (!rc && !(f = qs_calloc(1, sizeof *f)))
        rc = qs_fail_mem(e, sizeof *f, "a fitted recipe");
    if (!rc)
        rc = fill(f, p, &r, e);
    qs_fit_result_free(&r);
    qs_fit_problem_free(p);
    if (rc)
        qs_fit_free(f);
    else
        *out = f;
    return rc;
}

void qs_fit_free(struct qs_fit *f)
{
    if (!f)
        return;
    qs_recipe_free(f->recipe);
    qs_free(f->choice);
    qs_free(f->base);
    qs_free(f);
}

/* ---- other sizes, other plans -------------------------------------------------------------------------------- */

/* From the smallest types to where more bytes save nothing, evenly in the logarithm. */
static int frontier(const struct qs_fit_problem *p, size_t n, struct qs_fit_point *out, size_t *made, struct qs_err *e)
{
    const struct qs_model *m = p->costs->a->model;
    const uint64_t least = least_bytes(p);
    struct qs_fit_result r;
    int rc = solve(p, UINT64_MAX >> 1, &r, e);
    if (rc)
        return rc;
    const uint64_t most = p->fixed + r.bytes;
    qs_fit_result_free(&r);
    for (size_t i = 0; i < n && !rc; i++) {
        const double share = n > 1 ? (double)i / (double)(n - 1) : 1;
        uint64_t budget = (uint64_t)((double)least * pow((double)most / (double)least, share));
        budget = budget < least ? least : budget > most || i + 1 == n ? most : budget;
        rc = solve(p, budget, &r, e);
        if (rc)
            break;
        const uint64_t bytes = qs_fit_bytes(p, &r);
        if (*made == 0 || out[*made - 1].bytes != bytes)
            out[(*made)++] = (struct qs_fit_point){ bytes, 8.0 * (double)bytes / (double)m->n_weights,
                                                    p->fixed_cost + r.cost };
        qs_fit_result_free(&r);
    }
    return rc;
}

int qs_fit_frontier(const struct qs_fit_args *a, size_t n, struct qs_fit_point *out, size_t *made, struct qs_err *e)
{
    struct qs_fit_problem *p = NULL;
    *made = 0;
    int rc = qs_fit_problem_new(a, &p, e);
    if (!rc)
        rc = frontier(p, n, out, made, e);
    qs_fit_problem_free(p);
    return rc;
}

double qs_fit_predict(const struct qs_fit_args *a, const struct qs_plan *plan)
{
    struct qs_fit_costs *c = NULL;
    double sum = 0;
    if (qs_fit_costs_new(a, &c, NULL))
        return NAN;
    for (size_t i = 0; i < plan->n; i++)
        if (!plan->enc[i].copy)
            sum += qs_fit_cost_of(c, i, plan->enc[i].type);
    qs_fit_costs_free(c);
    return sum;
}
