/* survey_types.c - owns the choice of types to be shown; measures nothing, keeps nothing. Any thread. */
#include "core/quant/survey_types.h"

#include "base/mem.h"

static int make(const struct qs_model *m, struct qs_survey_types *x, struct qs_err *e)
{
    *x = (struct qs_survey_types){ .type = qs_calloc(m->n_tensors + 1, sizeof *x->type) };
    if (x->type)
        x->distinct = qs_calloc(qs_format_count(), sizeof *x->distinct);
    return x->distinct ? QS_OK : qs_fail_mem(e, m->n_tensors * sizeof *x->type, "the types of the tensors");
}

/* There are no more types than formats, for those that are unknown are left out. */
static void find_distinct(struct qs_survey_types *x, size_t n_tensors)
{
    for (size_t i = 0; i < n_tensors; i++) {
        size_t k = 0;
        while (k < x->n_distinct && x->distinct[k] != x->type[i])
            k++;
        if (k == x->n_distinct && qs_format_by_id(x->type[i]))
            x->distinct[x->n_distinct++] = x->type[i];
    }
}

int qs_survey_types_recipe(const struct qs_recipe *r, const struct qs_model *m, bool have_imatrix,
                           struct qs_survey_types *out, struct qs_err *e)
{
    struct qs_resolved *resolved = NULL;
    int rc = make(m, out, e);
    if (!rc)
        rc = qs_recipe_resolve(r, m, have_imatrix, false, &resolved, e);
    for (size_t i = 0; !rc && i < m->n_tensors; i++)
        out->type[i] = resolved->choice[i].type;
    if (!rc)
        find_distinct(out, m->n_tensors);
    qs_resolved_free(resolved);
    return rc;
}

int qs_survey_types_plan(const struct qs_plan *p, struct qs_survey_types *out, struct qs_err *e)
{
    const int rc = make(p->model, out, e);
    for (size_t i = 0; !rc && i < p->n; i++)
        out->type[i] = p->enc[i].copy ? QS_TYPE_NONE : p->enc[i].type;
    if (!rc)
        find_distinct(out, p->n);
    return rc;
}

int qs_survey_types_uniform(int type, const struct qs_model *m, struct qs_survey_types *out, struct qs_err *e)
{
    const int rc = make(m, out, e);
    for (size_t i = 0; !rc && i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        const struct qs_format *f = t->n_dims >= 2 ? qs_format_by_id(type) : NULL;
        while (f && t->ne[0] % f->block)
            f = qs_format_by_id(qs_preset_fallback(f->id));
        out->type[i] = f ? f->id : QS_TYPE_NONE;
        out->fell_back |= f && f->id != type;
    }
    if (!rc)
        find_distinct(out, m->n_tensors);
    return rc;
}

void qs_survey_types_free(struct qs_survey_types *x)
{
    qs_free(x->type);
    qs_free(x->distinct);
    *x = (struct qs_survey_types){ 0 };
}

void qs_survey_types_use(const struct qs_survey_types *x, struct qs_survey_args *args)
{
    args->only_type = x->type;
    args->types = x->distinct;
    args->n_types = x->n_distinct;
}
