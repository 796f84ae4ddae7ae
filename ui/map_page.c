/* map_page.c - owns the survey behind the map page: error under the default preset, or bits of a quantized file. */
#include "ui/map_page.h"

#include "core/quant/preset.h"
#include "core/report/report_map.h"
#include "ui/term.h"

int qs_map_page_measure(struct qs_map_page *p, struct qs_model *m, struct qs_pool *pool, struct qs_job *job, struct qs_err *e)
{
    struct qs_survey_args args = { .errors = true };
    struct qs_recipe *recipe = NULL;
    p->model = m;
    if (qs_model_is_quantized(m))
        return QS_OK;
    int rc = qs_recipe_new(QS_PRESET_DEFAULT, &recipe, e);
    if (!rc)
        rc = qs_survey_types_recipe(recipe, m, false, &p->types, e);
    qs_recipe_free(recipe);
    if (rc)
        return rc;
    qs_survey_types_use(&p->types, &args);
    return qs_survey_run(m, &args, pool, job, &p->survey, e);
}

int qs_map_page_text(const struct qs_map_page *p, unsigned width, bool ascii, struct qs_str *out, struct qs_err *e)
{
    const struct qs_heat_args args = { .measure = p->types.type ? QS_MAP_ERROR : QS_MAP_BITS, .type = p->types.type,
                                       .what = p->types.type ? QS_PRESET_DEFAULT : NULL, .scale = -1 };
    const int colors = qs_term_colors();
    const struct qs_heat_style style = { .width = width, .ascii = ascii,
                                         .color = colors > 0xffff ? QS_HEAT_RGB : colors >= 256 ? QS_HEAT_256
                                                  : colors >= 8 ? QS_HEAT_8 : QS_HEAT_PLAIN };
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
    qs_survey_types_free(&p->types);
    *p = (struct qs_map_page){ 0 };
}
