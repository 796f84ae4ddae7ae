/* map_page.c - owns the survey behind the map page: error under the default preset, or bits of a quantized file. */
#include "ui/map_page.h"

#include <langinfo.h>
#include <string.h>

#include "base/mem.h"
#include "core/quant/recipe.h"
#include "core/report/report_map.h"

#define PRESET "Q4_K_M"

static bool is_quantized(const struct qs_model *m)
{
    for (size_t i = 0; i < m->n_tensors; i++)
        if (m->tensor[i].n_dims >= 2 && m->tensor[i].format && m->tensor[i].format->kind != QS_KIND_FLOAT)
            return true;
    return false;
}

/* The types of the preset, and each of them once. */
static int choose(struct qs_map_page *p, size_t *n_distinct, struct qs_err *e)
{
    const size_t n = p->model->n_tensors;
    struct qs_recipe *recipe = NULL;
    struct qs_resolved *resolved = NULL;
    p->type = qs_calloc(n + 1, sizeof *p->type);
    p->distinct = qs_calloc(n + 1, sizeof *p->distinct);
    int rc = p->type && p->distinct ? QS_OK : qs_fail_mem(e, n * sizeof *p->type, "the map");
    if (!rc)
        rc = qs_recipe_new(PRESET, &recipe, e);
    if (!rc)
        rc = qs_recipe_resolve(recipe, p->model, false, false, &resolved, e);
    for (size_t i = 0; !rc && i < n; i++) {
        size_t k = 0;
        p->type[i] = resolved->choice[i].type;
        while (k < *n_distinct && p->distinct[k] != p->type[i])
            k++;
        if (k == *n_distinct && qs_format_by_id(p->type[i]))
            p->distinct[(*n_distinct)++] = p->type[i];
    }
    qs_resolved_free(resolved);
    qs_recipe_free(recipe);
    return rc;
}

int qs_map_page_measure(struct qs_map_page *p, struct qs_model *m, struct qs_pool *pool, struct qs_job *job, struct qs_err *e)
{
    struct qs_survey_args args = { .errors = true };
    p->model = m;
    if (is_quantized(m))
        return QS_OK;
    const int rc = choose(p, &args.n_types, e);
    if (rc)
        return rc;
    args.types = p->distinct;
    args.only_type = p->type;
    return qs_survey_run(m, &args, pool, job, &p->survey, e);
}

int qs_map_page_text(const struct qs_map_page *p, unsigned width, struct qs_str *out, struct qs_err *e)
{
    const struct qs_heat_args args = { .measure = p->type ? QS_MAP_ERROR : QS_MAP_BITS, .type = p->type,
                                       .what = p->type ? PRESET : NULL, .scale = -1 };
    const struct qs_heat_style style = { .width = width, .ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0 };
    struct qs_heat *h;
    const int rc = qs_heat_make(p->model, p->survey, &args, &h, e);
    if (rc)
        return rc;
    qs_heat_text(h, &style, out);
    qs_heat_free(h);
    return QS_OK;
}

void qs_map_page_free(struct qs_map_page *p)
{
    qs_survey_free(p->survey);
    qs_free(p->type);
    qs_free(p->distinct);
    *p = (struct qs_map_page){ 0 };
}
