/* plan_check.c - judges a plan: what would fail or give garbage in the middle, and what a person should know.
 *
 * Owns nothing. Stops, before any work starts: types that need importance weights and have none, importance of another
 * size, sources that are quantized already, damaged tensors. Everything else is a warning, one line each. Any thread.
 */
#include <stdio.h>
#include <string.h>

#include "core/quant/importance.h"
#include "core/quant/plan_internal.h"
#include "core/quant/preset_rules.h"

#define TYPE_SLOTS 64 /* type numbers are below this */

/* Counts tensors of one kind and remembers the first. */
struct found {
    size_t n;
    const struct qs_encoding *first;
};

static void note(struct found *f, const struct qs_encoding *enc)
{
    if (f->n++ == 0)
        f->first = enc;
}

/* ---- damage ------------------------------------------------------------------------------------------------- */

static int check_damage(struct qs_planning *g)
{
    int rc = QS_OK;
    for (size_t i = 0; i < g->p->n && !rc; i++) {
        const struct qs_tensor *t = g->p->enc[i].tensor;
        struct qs_err why = QS_ERR_INIT;
        if (!qs_planning_damaged(t))
            continue;
        qs_fail(&why, QS_EFORMAT,
                "%s is damaged in the source (bytes out of range, overlapping, or a shape its type cannot have); quantscape "
                "check tells more", t->name);
        rc = qs_planning_refuse(g, t, g->p->model, &why);
    }
    return rc ? rc : qs_planning_tell(g);
}

/* ---- sources that are quantized already --------------------------------------------------------------------- */

static int check_sources(struct qs_planning *g)
{
    struct found q8 = { 0, NULL }, lower = { 0, NULL };
    char text[128];
    int rc = QS_OK;
    for (size_t i = 0; i < g->p->n && !rc; i++) {
        const struct qs_encoding *enc = &g->p->enc[i];
        const struct qs_tensor *t = enc->tensor;
        if (enc->copy || !qs_tensor_is_quantized(t))
            continue;
        note(t->type == QS_Q8_0 ? &q8 : &lower, enc);
        if (t->type == QS_Q8_0 || g->args->allow_requantize || !g->args->foretell)
            continue;
        snprintf(text, sizeof text, "%s already: converting it again loses quality twice", t->format->name);
        rc = qs_planning_note(g, t, text, QS_ADVISE_REQUANTIZE);
    }
    if (rc)
        return rc;
    if (lower.n && !g->args->allow_requantize)
        rc = qs_planning_stop(g, QS_ADVISE_REQUANTIZE,
                   "%s is %s already%s: converting it again loses quality twice. Start from an F16, "
                   "BF16 or F32 file",
                   lower.first->tensor->name, lower.first->tensor->format->name, lower.n > 1 ? ", as are others" : "");
    else if (lower.n)
        rc =
            qs_planning_warn(g,
                 "%zu tensor%s quantized already (%s is %s) and converted again: errors are against this file, not the "
                 "original",
                 lower.n, lower.n == 1 ? " is" : "s are", lower.first->tensor->name, lower.first->tensor->format->name);
    if (q8.n && !rc)
        rc = qs_planning_warn(g,
                          "%zu tensor%s converted from Q8_0 (%s): errors are against this file, not the original", q8.n,
                  q8.n == 1 ? " is" : "s are", q8.first->tensor->name);
    return rc;
}

/* ---- importance --------------------------------------------------------------------------------------------- */

static bool embeds(const struct qs_tensor *t)
{
    return qs_mix_kind_of(t->name) == QS_MIX_TOKEN_EMBD;
}

static bool uses_importance(int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    return f && (f->flags & QS_USES_IMATRIX);
}

static bool takes_importance(const struct qs_plan *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (!p->enc[i].copy && (p->enc[i].stored || uses_importance(p->enc[i].type)))
            return true;
    return false;
}

static bool converts(const struct qs_plan *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (!p->enc[i].copy)
            return true;
    return false;
}

/* Does the matrix say nothing about the whole tensor: no token reached it, or all its values are 0? */
static bool idle(const struct qs_imatrix_entry *x)
{
    return x->zero || x->unseen >= x->experts;
}

static int take_importance(struct qs_planning *g, struct found *missing, struct found *unseen, struct found *nothing)
{
    for (size_t i = 0; i < g->p->n; i++) {
        struct qs_encoding *enc = &g->p->enc[i];
        const struct qs_tensor *t = enc->tensor;
        if (enc->copy || !g->p->imatrix)
            continue;
        const struct qs_imatrix_entry *x;
        struct qs_err why = QS_ERR_INIT;
        if (qs_importance_for(g->p->imatrix, t, &x, &why)) {
            const int rc = qs_planning_refuse(g, t, g->p->imatrix, &why);
            if (rc)
                return rc;
        }
        enc->importance = x;
        if (enc->stored) /* for its weighted error alone */
            continue;
        if (x && (x->unseen || x->zero) && uses_importance(enc->type))
            note(idle(x) ? nothing : unseen, enc);
        if (!x && uses_importance(enc->type) && !embeds(t) && qs_mix_kind_of(t->name) != QS_MIX_OUTPUT)
            note(missing, enc);
    }
    return qs_planning_tell(g);
}

static int check_needs(struct qs_planning *g)
{
    struct found f = { 0, NULL };
    const struct qs_preset *preset = g->p->recipe->preset;
    char text[96];
    int rc = QS_OK;
    for (size_t i = 0; i < g->p->n && !rc; i++) {
        const struct qs_encoding *enc = &g->p->enc[i];
        if (enc->copy || enc->importance || enc->stored || !qs_preset_needs_importance(preset, enc->tensor->name, enc->type))
            continue;
        note(&f, enc);
        snprintf(text, sizeof text, "%s needs importance weights", qs_type_name(enc->type));
        if (g->args->foretell)
            rc = qs_planning_note(g, enc->tensor, text, QS_ADVISE_IMATRIX);
    }
    if (!f.n || rc)
        return rc;
    const char *tail = f.n == 1 ? "" : ", as do others";
    if (g->p->imatrix)
        return qs_planning_stop(g, QS_ADVISE_NONE,
                                "%s as %s needs importance weights%s, and the importance matrix has none for it",
                    f.first->tensor->name, qs_type_name(f.first->type), tail);
    return qs_planning_stop(g, QS_ADVISE_IMATRIX, "%s as %s needs importance weights%s",
                            f.first->tensor->name, qs_type_name(f.first->type), tail);
}

/* Entries that belong to no tensor hint at a matrix of another model. */
static size_t strangers(const struct qs_planning *g)
{
    size_t hits = 0;
    for (size_t i = 0; i < g->p->n; i++)
        hits += qs_imatrix_find(g->p->imatrix, g->p->enc[i].tensor->name) != NULL;
    return g->p->imatrix->n_entries > hits ? g->p->imatrix->n_entries - hits : 0;
}

static int check_importance(struct qs_planning *g)
{
    struct found missing = { 0, NULL }, unseen = { 0, NULL }, nothing = { 0, NULL };
    int rc = take_importance(g, &missing, &unseen, &nothing);
    if (!rc)
        rc = check_needs(g);
    if (rc || !g->p->imatrix)
        return rc;
    size_t strange = strangers(g);
    if (!takes_importance(g->p))
        rc = qs_planning_warn(g, "the importance matrix is not used: %s",
                  converts(g->p) ? "no tensor is converted to a type that takes importance weights"
                                  : "every tensor is copied as it is");
    if (missing.n && !rc)
        rc = qs_planning_warn(g, "no importance weights for %zu tensor%s (%s ...): encoded without", missing.n,
                              qs_planning_plural(missing.n),
                  missing.first->tensor->name);
    if (unseen.n && !rc)
        rc = qs_planning_warn(g,
                  "%zu tensor%s with experts that the importance matrix never saw (%s: %u of %llu): those are encoded "
                  "with equal weights",
                  unseen.n, qs_planning_plural(unseen.n), unseen.first->tensor->name, unseen.first->importance->unseen,
                  (unsigned long long)unseen.first->tensor->ne[2]);
    if (nothing.n && !rc)
        rc = qs_planning_warn(g,
                         "the importance matrix saw no token for %zu tensor%s (%s%s): its weights say nothing about %s",
                  nothing.n, qs_planning_plural(nothing.n), nothing.first->tensor->name, nothing.n == 1 ? "" : " ...",
                  nothing.n == 1 ? "it" : "them");
    if (strange && !rc)
        rc = qs_planning_warn(g, "%zu of %zu entries of the importance matrix belong to no tensor of this model",
                              strange,
                  g->p->imatrix->n_entries);
    return rc;
}

/* ---- what else to mind -------------------------------------------------------------------------------------- */

static int warn_fallbacks(struct qs_planning *g)
{
    size_t count[TYPE_SLOTS] = { 0 };
    const struct qs_encoding *first[TYPE_SLOTS] = { NULL };
    for (size_t i = 0; i < g->p->n; i++) {
        const struct qs_encoding *enc = &g->p->enc[i];
        if (enc->problem) /* says so itself */
            continue;
        if (enc->wanted != enc->type && enc->wanted >= 0 && enc->wanted < TYPE_SLOTS && count[enc->wanted]++ == 0)
            first[enc->wanted] = enc;
    }
    int rc = QS_OK;
    for (int t = 0; t < TYPE_SLOTS && !rc; t++)
        if (count[t])
            rc = qs_planning_warn(g, "%zu tensor%s cannot be %s: %s, %s", count[t], qs_planning_plural(count[t]),
                                  qs_type_name(t),
                      first[t]->tensor->name, first[t]->reason);
    return rc;
}

static int warn_unknown(struct qs_planning *g)
{
    struct found f = { 0, NULL };
    for (size_t i = 0; i < g->p->n; i++)
        if (!g->p->enc[i].tensor->format)
            note(&f, &g->p->enc[i]);
    return f.n ? qs_planning_warn(g, "%zu tensor%s of a type unknown here (%s: type %d): copied unchanged", f.n,
                                  qs_planning_plural(f.n),
                      f.first->tensor->name, f.first->tensor->type)
               : QS_OK;
}

/* Rules only: a pin that decides nothing names a tensor that has this type anyway. What matches nothing was refused, or is
 * a problem. */
static int warn_rules(struct qs_planning *g)
{
    const struct qs_recipe *r = g->p->recipe;
    int rc = QS_OK;
    for (size_t i = 0; i < r->n_rules && !rc; i++) {
        const struct qs_recipe_item *item = &r->rule[i];
        const struct qs_recipe_match *match = &g->p->resolved->match[r->n_pins + i];
        char line[320] = "";
        if (match->decided || match->refused || !match->matched)
            continue;
        if (item->line)
            snprintf(line, sizeof line, "%.256s:%u: ", r->name ? r->name : "recipe", item->line);
        rc = qs_planning_warn(g,
                    "%srule %.200s decides nothing: it matches %u tensor%s, decided before it or never quantized", line,
                  item->pattern, match->matched, qs_planning_plural(match->matched));
    }
    return rc;
}

static bool has_tensor(const struct qs_plan *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->enc[i].tensor->name, name) == 0)
            return true;
    return false;
}

static int warn_idle_options(struct qs_planning *g)
{
    const struct qs_recipe *r = g->p->recipe;
    const struct qs_format *base = qs_format_by_id(r->preset->base);
    bool output = has_tensor(g->p, "output.weight"), embd = has_tensor(g->p, "token_embd.weight");
    bool mixes = !r->pure && base && base->kind != QS_KIND_FLOAT;
    int rc = QS_OK;
    if (r->output_type != QS_TYPE_NONE && !output && (!mixes || !embd))
        rc = qs_planning_warn(g, "output-type has no effect: the model has no output tensor of its own");
    if (r->leave_output && !output && !rc)
        rc = qs_planning_warn(g, "leave-output has no effect: the model has no output tensor of its own");
    if (r->token_embd_type != QS_TYPE_NONE && !embd && !rc)
        rc = qs_planning_warn(g, "token-embd-type has no effect: the model has no token_embd tensor");
    if (!strcmp(r->preset->name, "MXFP4_MOE") && g->p->model->hp.n_expert <= 1 && !rc)
        rc = qs_planning_warn(g,
                        "MXFP4_MOE is made for models with experts: this one has none, nearly everything becomes Q8_0");
    return rc;
}

static int warn_size(struct qs_planning *g)
{
    char need[24], have[24];
    struct qs_plan *p = g->p;
    if (p->bytes <= p->source_bytes)
        return QS_OK;
    return qs_planning_warn(g, "the result is larger than the source (%s against %s)",
                            qs_fmt_bytes(need, sizeof need, p->bytes), qs_fmt_bytes(have, sizeof have, p->source_bytes));
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

int qs_planning_check(struct qs_planning *g)
{
    int rc = check_damage(g);
    if (!rc)
        rc = check_sources(g);
    if (!rc)
        rc = check_importance(g);
    if (!rc)
        rc = warn_fallbacks(g);
    if (!rc)
        rc = warn_unknown(g);
    if (!rc && g->p->resolved->shift_text[0])
        rc = qs_planning_warn(g, "%s", g->p->resolved->shift_text);
    if (!rc)
        rc = warn_rules(g);
    if (!rc)
        rc = warn_idle_options(g);
    return rc ? rc : warn_size(g);
}
