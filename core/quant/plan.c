/* plan.c - the recipe applied to a model: every tensor's type, bytes and reason, and what keeps it from being carried out.
 *
 * Owns the plan: its own copy of the recipe, the list of encodings, the warnings and problems; the model and the
 * importance matrix stay the caller's and must outlive it. What is judged of the list is plan_check.c. Pure but for the
 * allocations: any thread.
 */
#include "core/quant/plan_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* ---- warnings ----------------------------------------------------------------------------------------------- */

static int add_warning(struct qs_plan *p, enum qs_advice advice, struct qs_err *e, const char *fmt, va_list ap)
    QS_PRINTF(4, 0);

static int add_warning(struct qs_plan *p, enum qs_advice advice, struct qs_err *e, const char *fmt, va_list ap)
{
    struct qs_str s = QS_STR_INIT;
    qs_str_addv(&s, fmt, ap);
    char *line = qs_str_take(&s);
    if (!line || !qs_grow(&p->warning, &p->cap_warnings, p->n_warnings + 1, sizeof *p->warning) ||
        !qs_grow(&p->advice, &p->cap_advice, p->n_warnings + 1, sizeof *p->advice)) {
        qs_free(line);
        return qs_fail_mem(e, 0, "the plan's warnings");
    }
    p->advice[p->n_warnings] = advice;
    p->warning[p->n_warnings++] = line;
    return QS_OK;
}

int qs_plan_warn(struct qs_plan *p, struct qs_err *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int rc = add_warning(p, QS_ADVISE_NONE, e, fmt, ap);
    va_end(ap);
    return rc;
}

int qs_planning_warn(struct qs_planning *g, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int rc = add_warning(g->p, QS_ADVISE_NONE, g->e, fmt, ap);
    va_end(ap);
    return rc;
}

int qs_plan_put_advice(struct qs_plan *p, qs_advice_words *words, struct qs_err *e)
{
    for (size_t i = 0; i < p->n_warnings; i++) {
        const char *more = words(p->advice[i]);
        struct qs_str s = QS_STR_INIT;
        if (!*more)
            continue;
        qs_str_add(&s, p->warning[i]);
        qs_str_add(&s, more);
        char *line = qs_str_take(&s);
        if (!line)
            return qs_fail_mem(e, strlen(more), "the plan's warnings");
        qs_free(p->warning[i]);
        p->warning[i] = line;
        p->advice[i] = QS_ADVISE_NONE;
    }
    return QS_OK;
}

/* ---- what keeps the plan from being carried out --------------------------------------------------------------- */

/* Writes down a problem at its tensor, or in the plan's own list. */
int qs_planning_note(struct qs_planning *g, const struct qs_tensor *t, const char *text, enum qs_advice advice)
{
    struct qs_plan *p = g->p;
    struct qs_encoding *enc = t ? &p->enc[t - p->model->tensor] : NULL;
    struct qs_str s = QS_STR_INIT;
    if (enc && enc->problem)
        qs_str_addf(&s, "%s; ", enc->problem);
    qs_str_add(&s, text);
    char *line = qs_str_take(&s);
    if (!line || (!enc && !qs_grow(&p->problem, &p->cap_problems, p->n_problems + 1, sizeof *p->problem))) {
        qs_free(line);
        return qs_fail_mem(g->e, 0, "the plan's problems");
    }
    if (!enc) {
        p->problem[p->n_problems++] = line;
        return QS_OK;
    }
    qs_free((void *)(uintptr_t)enc->problem);
    enc->problem = line;
    if (!enc->advice)
        enc->advice = advice;
    return QS_OK;
}

/* One warning for all problems of one cause; the first is what stops quantize. */
static int block(struct qs_planning *g, const struct qs_err *why, size_t n_more)
{
    if (!g->p->blocker.code)
        g->p->blocker = *why;
    const int rc = n_more ? qs_planning_warn(g, "quantize would stop: %s (and %zu more tensor%s likewise)", why->msg,
                                             n_more,
                                             qs_planning_plural(n_more))
                          : qs_planning_warn(g, "quantize would stop: %s", why->msg);
    if (!rc)
        g->p->advice[g->p->n_warnings - 1] = why->advice;
    return rc;
}

int qs_planning_tell(struct qs_planning *g)
{
    const struct qs_err first = g->first;
    g->first.code = QS_OK;
    return first.code ? block(g, &first, g->n_more) : QS_OK;
}

/* One problem of a kind that is told tensor by tensor (a qs_problem_fn): those of one cause come one after another. */
static int count_problem(void *ctx, const struct qs_tensor *t, const void *cause, struct qs_err *why)
{
    struct qs_planning *g = ctx;
    int rc = qs_planning_note(g, t, why->msg, why->advice);
    if (rc == QS_OK && g->first.code && g->cause == cause) {
        g->n_more++;
        return QS_OK;
    }
    if (!rc)
        rc = qs_planning_tell(g);
    if (rc) {
        if (g->e)
            *why = *g->e;
        return rc;
    }
    g->first = *why;
    g->cause = cause;
    g->n_more = 0;
    return QS_OK;
}

/* An error at tensor t; or, for those who only want to look, told and counted. */
int qs_planning_refuse(struct qs_planning *g, const struct qs_tensor *t, const void *cause, const struct qs_err *why)
{
    struct qs_err copy = *why;
    if (g->args->foretell)
        return count_problem(g, t, cause, &copy);
    if (g->e)
        *g->e = copy;
    return (int)copy.code;
}

/* One sentence for all that were found: an error, or for those who only want to look a warning and a blocker. */
int qs_planning_stop(struct qs_planning *g, enum qs_advice advice, const char *fmt, ...)
{
    struct qs_err why = QS_ERR_INIT;
    char line[QS_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    qs_fail_advise(&why, QS_EINVAL, advice, "%s", line);
    if (g->args->foretell)
        return block(g, &why, 0);
    if (g->e)
        *g->e = why;
    return (int)why.code;
}

/* ---- the list ----------------------------------------------------------------------------------------------- */

static int make_room(struct qs_planning *g)
{
    struct qs_plan *p = g->p;
    const size_t n = p->model->n_tensors;
    p->enc = qs_calloc(n ? n : 1, sizeof *p->enc);
    if (!p->enc)
        return qs_fail_mem(g->e, (unsigned long long)n * sizeof *p->enc, "the plan");
    p->n = n;
    return QS_OK;
}

static void fill(struct qs_planning *g)
{
    struct qs_plan *p = g->p;
    const struct qs_model *m = p->model;
    for (size_t i = 0; i < p->n; i++) {
        const struct qs_choice *c = &p->resolved->choice[i];
        struct qs_encoding *enc = &p->enc[i];
        enc->tensor = &m->tensor[i];
        enc->type = c->type;
        enc->wanted = c->wanted;
        enc->why = c->why;
        memcpy(enc->reason, c->reason, sizeof c->reason);
        if (qs_planning_damaged(enc->tensor)) /* nothing is computed from its shape */
            enc->type = enc->wanted = m->tensor[i].type;
        enc->copy = enc->type == m->tensor[i].type;
        enc->bytes = qs_tensor_bytes_as(enc->tensor, enc->type);
        p->bytes += enc->bytes;
    }
    p->source_bytes = m->bytes;
    p->bpw = m->n_weights ? 8.0 * (double)p->bytes / (double)m->n_weights : 0;
    p->file_type = p->recipe->preset->file_type >= 0 ? p->recipe->preset->file_type : m->file_type;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static int resolve(struct qs_planning *g)
{
    struct qs_plan *p = g->p;
    if (!g->args->foretell)
        return qs_recipe_resolve(p->recipe, p->model, p->imatrix || p->store, false, &p->resolved, g->e);
    const int rc = qs_recipe_resolve_all(p->recipe, p->model, p->imatrix || p->store, count_problem, g, &p->resolved, g->e);
    return rc ? rc : qs_planning_tell(g);
}

static int make(struct qs_planning *g, const struct qs_recipe *r)
{
    struct qs_plan *p = g->p;
    int rc = qs_recipe_copy(r, &p->recipe, g->e);
    if (!rc)
        rc = make_room(g);
    if (!rc)
        rc = resolve(g);
    if (rc)
        return rc;
    fill(g);
    rc = qs_planning_take_store(g);
    return rc ? rc : qs_planning_check(g);
}

int qs_plan_make(const struct qs_model *m, const struct qs_recipe *r, const struct qs_plan_args *args,
                 struct qs_plan **out, struct qs_err *e)
{
    struct qs_planning g = { .args = args, .e = e };
    g.p = qs_calloc(1, sizeof *g.p);
    if (!g.p)
        return qs_fail_mem(e, sizeof *g.p, "the plan");
    g.p->model = m;
    g.p->imatrix = args->imatrix;
    g.p->store = args->store ? qs_store_ref(args->store) : NULL;
    int rc = make(&g, r);
    if (rc)
        qs_plan_free(g.p);
    else
        *out = g.p;
    return rc;
}

void qs_plan_free(struct qs_plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_warnings; i++)
        qs_free(p->warning[i]);
    qs_free(p->warning);
    qs_free(p->advice);
    for (size_t i = 0; i < p->n_problems; i++)
        qs_free(p->problem[i]);
    qs_free(p->problem);
    for (size_t i = 0; p->enc && i < p->n; i++)
        qs_free((void *)(uintptr_t)p->enc[i].problem);
    qs_free(p->enc);
    qs_resolved_free(p->resolved);
    qs_recipe_free(p->recipe);
    qs_store_unref(p->store);
    qs_free(p);
}
