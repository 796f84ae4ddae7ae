/* recipe_resolve.c - a recipe applied to a model: which pin or rule decides each tensor, and every tensor's type.
 *
 * Owns the result (qs_resolved). Pins come before rules, the first matching rule wins; the options output-type and
 * token-embd-type beat rules (as in llama.cpp) but not pins. Tensors that are never quantized are not decided by rules,
 * and a pin on one is an error. Pure but for the allocations: any thread.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/near.h"
#include "base/regex.h"
#include "base/unicode.h"
#include "core/quant/preset_rules.h"
#include "core/quant/recipe_internal.h"

struct resolving {
    const struct qs_recipe *r;
    const struct qs_model *m;
    bool lenient;
    struct qs_resolved *x;
    struct qs_preset_args args;
    qs_problem_fn *problem; /* NULL: the first problem is the error */
    void *ctx;
    struct qs_err *e;       /* never NULL */
};

/* "FILE:7: pin NAME", as the reader of the file has it, or "pin NAME" for the start of a message. */
static void prefix(struct resolving *s, bool pin, const struct qs_recipe_item *item)
{
    if (item->line)
        qs_err_prefix(s->e, "%s:%u: %s %.200s", qs_recipe_name(s->r), item->line, pin ? "pin" : "rule", item->pattern);
    else
        qs_err_prefix(s->e, "%s %.200s", pin ? "pin" : "rule", item->pattern);
}

/* What pin or rule `item` met at tensor t (NULL: at none): an error with its place, or told and passed over. */
static int met(struct resolving *s, bool pin, const struct qs_recipe_item *item, const struct qs_tensor *t, int rc)
{
    if (rc == QS_OK)
        return QS_OK;
    prefix(s, pin, item);
    return s->problem && rc != QS_ENOMEM ? s->problem(s->ctx, t, item, s->e) : rc;
}

/* ---- finding tensors ---------------------------------------------------------------------------------------- */

static int no_such_tensor(struct resolving *s, const char *name)
{
    char text[400];
    struct qs_near near;
    qs_near_start(&near, name);
    for (size_t i = 0; i < s->m->n_tensors; i++)
        qs_near_try(&near, s->m->tensor[i].name);
    return qs_fail(s->e, QS_EINVAL, "the model has no such tensor%s", qs_near_text(&near, text, sizeof text));
}

/* ---- pins --------------------------------------------------------------------------------------------------- */

static bool is_output(const struct qs_tensor *t)
{
    return strcmp(t->name, "output.weight") == 0;
}

static int check_shape(struct resolving *s, const struct qs_tensor *t, int type)
{
    char types[200];
    const struct qs_format *f = qs_format_by_id(type);
    if (f && t->ne[0] % f->block == 0)
        return QS_OK;
    qs_mix_types_for(t->ne[0], types, sizeof types);
    return qs_fail(s->e, QS_EINVAL, "%s cannot be %s: rows of %llu are no multiple of %u; types that fit: %s", t->name,
                   f ? f->name : "?", (unsigned long long)t->ne[0], f ? f->block : 0u, types);
}

/* Options are for tensors nobody named: a pin on the tensor of an option replaces the option. */
static void pin_beats_option(struct resolving *s, const struct qs_tensor *t, int type)
{
    if (is_output(t) && s->args.output_type != QS_TYPE_NONE)
        s->args.output_type = type;
    if (strcmp(t->name, "token_embd.weight") == 0 && s->args.token_embd_type != QS_TYPE_NONE)
        s->args.token_embd_type = type;
}

static int check_pin(struct resolving *s, const struct qs_recipe_item *pin, const struct qs_tensor *t)
{
    if (!qs_preset_settable(s->m, t))
        return t->type == pin->type || s->lenient
                   ? QS_OK
                   : qs_fail(s->e, QS_EINVAL, "this tensor always stays as in the source (%s)",
                             t->format ? t->format->name : "an unknown type");
    if (s->r->leave_output && is_output(t))
        return t->type == pin->type || s->lenient
                   ? QS_OK
                   : qs_fail(s->e, QS_EINVAL, "leave-output keeps this tensor as it is: take one of the two out");
    return check_shape(s, t, pin->type);
}

static int take_pin(struct resolving *s, size_t i)
{
    const struct qs_recipe_item *pin = &s->r->pin[i];
    const struct qs_tensor *t = qs_model_find(s->m, pin->pattern);
    if (!t)
        return s->lenient ? QS_OK : met(s, true, pin, NULL, no_such_tensor(s, pin->pattern));
    size_t at = (size_t)(t - s->m->tensor);
    s->x->match[i].matched = 1;
    int rc = check_pin(s, pin, t);
    if (rc || !qs_preset_settable(s->m, t) || (s->r->leave_output && is_output(t)))
        return met(s, true, pin, t, rc);
    s->x->forced[at] = pin->type;
    s->x->by[at] = (int)i;
    s->x->match[i].decided = 1;
    pin_beats_option(s, t, pin->type);
    return QS_OK;
}

/* ---- rules -------------------------------------------------------------------------------------------------- */

/* Options beat rules; per_layer_token_embd may be named by a rule all the same. */
static bool option_decides(const struct resolving *s, const struct qs_tensor *t)
{
    if (is_output(t))
        return s->r->leave_output || s->r->output_type != QS_TYPE_NONE;
    return strcmp(t->name, "token_embd.weight") == 0 && s->r->token_embd_type != QS_TYPE_NONE;
}

/* Rule j matches tensor i: decides it, unless it is decided already or not for rules to decide. */
static int apply_rule(struct resolving *s, size_t j, size_t i)
{
    const struct qs_recipe_item *rule = &s->r->rule[j];
    const struct qs_tensor *t = &s->m->tensor[i];
    if (s->x->by[i] >= 0 || !qs_preset_settable(s->m, t) || option_decides(s, t))
        return QS_OK;
    const int rc = check_shape(s, t, rule->type);
    if (rc) {
        s->x->match[s->r->n_pins + j].refused++;
        return met(s, false, rule, t, rc);
    }
    s->x->forced[i] = rule->type;
    s->x->by[i] = (int)(s->r->n_pins + j);
    s->x->match[s->r->n_pins + j].decided++;
    return QS_OK;
}

static int take_rule(struct resolving *s, size_t j)
{
    const struct qs_recipe_item *rule = &s->r->rule[j];
    struct qs_recipe_match *match = &s->x->match[s->r->n_pins + j];
    struct qs_regex *re = NULL;
    bool searched = true;
    int rc = met(s, false, rule, NULL, qs_regex_compile(rule->pattern, 0, &re, s->e));
    for (size_t i = 0; re && searched && i < s->m->n_tensors && !rc; i++) {
        const struct qs_tensor *t = &s->m->tensor[i];
        int hit = qs_regex_find(re, t->name, strlen(t->name), 0, NULL, s->e);
        searched = hit >= 0; /* past a limit of the search: no other tensor is worth another try */
        if (!searched)
            rc = met(s, false, rule, NULL, s->e->code ? (int)s->e->code : QS_ELIMIT);
        match->matched += hit > 0;
        if (hit > 0)
            rc = apply_rule(s, j, i);
    }
    if (!rc && re && searched && match->matched == 0 && !s->lenient)
        rc = met(s, false, rule, NULL, qs_fail(s->e, QS_EINVAL, "matches none of the %zu tensors", s->m->n_tensors));
    qs_regex_free(re);
    return rc;
}

/* Cut at its room. */
QS_PRINTF(2, 3) static void put_reason(struct qs_choice *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->reason, sizeof c->reason, fmt, ap);
    va_end(ap);
    size_t n = strlen(c->reason), bad = qs_utf8_invalid_at(c->reason, n);
    c->reason[bad < n ? bad : n] = 0; /* cut inside a character: drop the rest of it */
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

/* A pin on token_embd that replaced the option must not carry per_layer_token_embd along. */
static void keep_per_layer(struct resolving *s)
{
    const struct qs_tensor *t = qs_model_find(s->m, "per_layer_token_embd.weight");
    if (t && qs_preset_settable(s->m, t) && s->args.token_embd_type != s->r->token_embd_type &&
        s->x->forced[t - s->m->tensor] == QS_TYPE_NONE)
        s->x->forced[t - s->m->tensor] = s->r->token_embd_type;
}

static void name_reasons(struct resolving *s)
{
    for (size_t i = 0; i < s->m->n_tensors; i++) {
        struct qs_choice *c = &s->x->choice[i];
        int by = s->x->by[i];
        if (by < 0) {
            if (s->x->forced[i] != QS_TYPE_NONE && c->why == QS_WHY_RULE) { /* per_layer_token_embd, see above */
                c->why = QS_WHY_OPTION;
                put_reason(c, "token embedding type");
            }
            continue;
        }
        bool pin = (size_t)by < s->r->n_pins;
        const struct qs_recipe_item *item = pin ? &s->r->pin[by] : &s->r->rule[(size_t)by - s->r->n_pins];
        c->why = pin ? QS_WHY_PIN : QS_WHY_RULE;
        if (pin && item->line)
            put_reason(c, "pinned in line %u", item->line);
        else if (pin)
            put_reason(c, "pinned");
        else if (item->line)
            put_reason(c, "rule of line %u: %.60s", item->line, item->pattern);
        else
            put_reason(c, "rule %.70s", item->pattern);
    }
}

/* The same without pins and rules: which of the tensors they do not name come out differently. */
static int compare_with_preset_alone(struct resolving *s)
{
    struct qs_preset_args alone = s->args;
    struct qs_resolved *x = s->x;
    const struct qs_choice *was = NULL;
    bool any = false;
    for (size_t i = 0; i < x->n_tensors; i++)
        any |= x->forced[i] != QS_TYPE_NONE;
    if (!any || s->r->steady) /* then none does */
        return QS_OK;
    struct qs_choice *choice = qs_calloc(x->n_tensors, sizeof *choice);
    if (!choice)
        return qs_fail_mem(s->e, (unsigned long long)x->n_tensors * sizeof *choice, "the preset alone");
    alone.forced = NULL;
    alone.problem = NULL;
    const int rc = qs_preset_choose(s->m, &alone, choice, NULL);
    for (size_t i = 0; rc == QS_OK && i < x->n_tensors; i++)
        if (x->forced[i] == QS_TYPE_NONE && choice[i].type != x->choice[i].type && x->n_shifted++ == 0) {
            x->shifted = &s->m->tensor[i];
            was = &choice[i];
        }
    if (x->n_shifted)
        snprintf(x->shift_text, sizeof x->shift_text,
                 "pins and rules change the count of the preset: %zu other tensor%s another type than with the preset alone "
                 "(%.200s%s: %s instead of %s); steady = yes leaves them alone",
                 x->n_shifted, x->n_shifted == 1 ? " gets" : "s get", x->shifted->name, x->n_shifted == 1 ? "" : " first",
                 qs_type_name(x->choice[x->shifted - s->m->tensor].type), qs_type_name(was->type));
    qs_free(choice);
    return rc == QS_ENOMEM ? qs_fail_mem(s->e, 0, "the preset alone") : QS_OK;
}

static int resolve(struct resolving *s)
{
    int rc = QS_OK;
    for (size_t i = 0; i < s->r->n_pins && !rc; i++)
        rc = take_pin(s, i);
    for (size_t j = 0; j < s->r->n_rules && !rc; j++)
        rc = take_rule(s, j);
    if (rc)
        return rc;
    keep_per_layer(s);
    rc = qs_preset_choose(s->m, &s->args, s->x->choice, s->e);
    if (!rc)
        rc = compare_with_preset_alone(s);
    if (!rc)
        name_reasons(s);
    return rc;
}

static struct qs_resolved *new_result(const struct qs_recipe *r, const struct qs_model *m)
{
    size_t n = m->n_tensors ? m->n_tensors : 1, k = r->n_pins + r->n_rules;
    struct qs_resolved *x = qs_calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->n_tensors = m->n_tensors;
    x->forced = qs_calloc(n, sizeof *x->forced);
    x->by = qs_calloc(n, sizeof *x->by);
    x->match = qs_calloc(k ? k : 1, sizeof *x->match);
    x->choice = qs_calloc(n, sizeof *x->choice);
    if (!x->forced || !x->by || !x->match || !x->choice) {
        qs_resolved_free(x);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        x->forced[i] = QS_TYPE_NONE;
        x->by[i] = -1;
    }
    return x;
}

void qs_resolved_free(struct qs_resolved *x)
{
    if (!x)
        return;
    qs_free(x->forced);
    qs_free(x->by);
    qs_free(x->match);
    qs_free(x->choice);
    qs_free(x);
}

static int resolve_with(struct resolving *s, bool have_imatrix, struct qs_resolved **out)
{
    const struct qs_recipe *r = s->r;
    s->x = new_result(r, s->m);
    if (!s->x)
        return qs_fail_mem(s->e, (unsigned long long)s->m->n_tensors * sizeof(struct qs_choice), "the resolved recipe");
    s->args = (struct qs_preset_args){ .preset = r->preset, .pure = r->pure, .have_imatrix = have_imatrix,
                                       .output_type = r->output_type, .token_embd_type = r->token_embd_type,
                                       .leave_output = r->leave_output, .strict = r->strict, .forced = s->x->forced,
                                       .steady = r->steady,
                                       .problem = s->problem, .problem_ctx = s->ctx };
    const int rc = resolve(s);
    if (rc)
        qs_resolved_free(s->x);
    else
        *out = s->x;
    return rc;
}

int qs_recipe_resolve(const struct qs_recipe *r, const struct qs_model *m, bool have_imatrix, bool lenient,
                      struct qs_resolved **out, struct qs_err *e)
{
    struct qs_err own = QS_ERR_INIT;
    struct resolving s = { .r = r, .m = m, .lenient = lenient, .e = e ? e : &own };
    return resolve_with(&s, have_imatrix, out);
}

int qs_recipe_resolve_all(const struct qs_recipe *r, const struct qs_model *m, bool have_imatrix, qs_problem_fn *problem,
                          void *ctx, struct qs_resolved **out, struct qs_err *e)
{
    struct qs_err own = QS_ERR_INIT;
    struct resolving s = { .r = r, .m = m, .problem = problem, .ctx = ctx, .e = &own };
    const int rc = resolve_with(&s, have_imatrix, out);
    if (rc && e)
        *e = own;
    return rc;
}
