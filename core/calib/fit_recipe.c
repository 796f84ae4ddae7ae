/* fit_recipe.c - the types that were chosen, as a recipe: the preset that needs the fewest pins, and the pins.
 *
 * The recipe given stays what it was but for the preset: its pins, rules, options and comments. It becomes steady, so
 * that pins leave the other tensors alone. What comes out is planned once more and compared with what was wanted.
 */
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "core/calib/fit_internal.h"

static int plan_of(const struct qs_fit_problem *p, const struct qs_recipe *r, bool foretell, struct qs_plan **out,
                   struct qs_err *e)
{
    const struct qs_fit_args *a = p->costs->a;
    const struct qs_plan_args args = { .imatrix = a->statistics ? a->statistics->imatrix : NULL,
                                       .allow_requantize = true, .foretell = foretell };
    return qs_plan_make(a->model, r, &args, out, e);
}

/* With that preset: how many pins it takes; SIZE_MAX: it cannot be carried out. */
static int count_pins(const struct qs_fit_problem *p, const struct qs_recipe *from, const char *preset, const int *type,
                      size_t *out, struct qs_err *e)
{
    struct qs_recipe *r = NULL;
    struct qs_plan *plan = NULL;
    *out = 0;
    int rc = qs_recipe_copy(from, &r, e);
    if (!rc)
        rc = qs_recipe_set_preset(r, preset, e);
    if (!rc)
        rc = plan_of(p, r, true, &plan, e);
    for (size_t i = 0; !rc && i < plan->n; i++)
        *out += p->group[i] != SIZE_MAX && plan->enc[i].type != type[i];
    if (!rc && plan->blocker.code)
        *out = SIZE_MAX;
    qs_plan_free(plan);
    qs_recipe_free(r);
    return rc;
}

/* Of presets that need equally many pins that of the recipe given, then the first of the table. */
static int choose_preset(const struct qs_fit_problem *p, struct qs_recipe *r, const int *type, struct qs_err *e)
{
    const struct qs_preset *best = r->preset;
    size_t least = SIZE_MAX;
    if (best->base != QS_TYPE_NONE) {
        const int rc = count_pins(p, r, best->name, type, &least, e);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < qs_preset_count(); i++) {
        const struct qs_preset *preset = qs_preset_at(i);
        const struct qs_format *f = qs_format_by_id(preset->base);
        size_t n;
        if (!f || f->kind == QS_KIND_FLOAT)
            continue;
        const int rc = count_pins(p, r, preset->name, type, &n, e);
        if (rc)
            return rc;
        if (n < least) {
            least = n;
            best = preset;
        }
    }
    return qs_recipe_set_preset(r, best->name, e);
}

static int pin_rest(const struct qs_fit_problem *p, struct qs_recipe *r, const int *type, struct qs_err *e)
{
    struct qs_plan *plan = NULL;
    int rc = plan_of(p, r, true, &plan, e);
    struct qs_pin *pin = rc ? NULL : qs_calloc(plan->n + 1, sizeof *pin);
    size_t n = 0;
    if (!rc && !pin)
        rc = qs_fail_mem(e, plan->n * sizeof *pin, "the pins of a recipe");
    for (size_t i = 0; !rc && i < plan->n; i++)
        if (p->group[i] != SIZE_MAX && plan->enc[i].type != type[i])
            pin[n++] = (struct qs_pin){ plan->enc[i].tensor->name, type[i] };
    if (!rc)
        rc = qs_recipe_pin_all(r, pin, n, e);
    qs_free(pin);
    qs_plan_free(plan);
    return rc;
}

/* The same with comment lines before it. */
static int put_comment(struct qs_recipe **r, const char *comment, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    struct qs_recipe *with = NULL;
    qs_str_add(&text, comment);
    int rc = qs_recipe_print(*r, &text, e);
    if (!rc)
        rc = qs_recipe_parse("the fitted recipe", text.data, text.len, &with, e);
    qs_str_free(&text);
    if (rc)
        return rc;
    qs_recipe_free(*r);
    *r = with;
    return QS_OK;
}

static int check(const struct qs_fit_problem *p, const struct qs_plan *plan, const int *type, struct qs_err *e)
{
    for (size_t i = 0; i < plan->n; i++)
        if (p->group[i] != SIZE_MAX && plan->enc[i].type != type[i])
            return qs_fail(e, QS_EINVAL, "%s: a recipe cannot give it %s, it became %s", plan->enc[i].tensor->name,
                           qs_type_name(type[i]), qs_type_name(plan->enc[i].type));
    return QS_OK;
}

int qs_fit_recipe(const struct qs_fit_problem *p, const int *type, const char *comment, struct qs_recipe **out,
                  struct qs_plan **plan, struct qs_err *e)
{
    struct qs_recipe *r = NULL;
    *plan = NULL;
    int rc = qs_recipe_copy(p->costs->a->recipe, &r, e);
    if (!rc)
        rc = qs_recipe_set_option(r, QS_SET_STEADY, 1, e);
    if (!rc)
        rc = choose_preset(p, r, type, e);
    if (!rc)
        rc = pin_rest(p, r, type, e);
    if (!rc)
        rc = put_comment(&r, comment, e);
    if (!rc)
        rc = plan_of(p, r, false, plan, e);
    if (!rc)
        rc = check(p, *plan, type, e);
    if (rc) {
        qs_plan_free(*plan);
        *plan = NULL;
        qs_recipe_free(r);
    } else {
        *out = r;
    }
    return rc;
}
