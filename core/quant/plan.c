/* plan.c - the recipe applied to a model: every tensor's type, bytes and reason, what to mind, and what would not work.
 *
 * Owns the plan: its own copy of the recipe, the list of encodings and the warnings; the model and the importance
 * matrix stay the caller's and must outlive it. Refuses before any work starts what would fail or give garbage in the
 * middle: types that need importance weights and have none, importance of another size, sources that are quantized
 * already, damaged tensors. Everything else that a person should know is a warning, one line each. Pure but for the
 * allocations: any thread.
 */
#include "core/quant/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/quant/importance.h"
#include "core/quant/preset_rules.h"

#define TYPE_SLOTS 64 /* type numbers are below this */

struct planning {
    struct qs_plan *p;
    const struct qs_plan_args *args;
    struct qs_err *e;
};

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static int add_warning(struct qs_plan *p, struct qs_err *e, const char *fmt, va_list ap) QS_PRINTF(3, 0);

static int add_warning(struct qs_plan *p, struct qs_err *e, const char *fmt, va_list ap)
{
    struct qs_str s = QS_STR_INIT;
    qs_str_addv(&s, fmt, ap);
    char *line = qs_str_take(&s);
    if (!line || !qs_grow(&p->warning, &p->cap_warnings, p->n_warnings + 1, sizeof *p->warning)) {
        qs_free(line);
        return qs_fail_mem(e, 0, "the plan's warnings");
    }
    p->warning[p->n_warnings++] = line;
    return QS_OK;
}

int qs_plan_warn(struct qs_plan *p, struct qs_err *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int rc = add_warning(p, e, fmt, ap);
    va_end(ap);
    return rc;
}

static int warn(struct planning *g, const char *fmt, ...) QS_PRINTF(2, 3);

static int warn(struct planning *g, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int rc = add_warning(g->p, g->e, fmt, ap);
    va_end(ap);
    return rc;
}

/* What keeps a plan from being carried out: an error, or for those who only want to look a warning and a blocker. */
static int block(struct planning *g, const char *fmt, ...) QS_PRINTF(2, 3);

static int block(struct planning *g, const char *fmt, ...)
{
    struct qs_str s = QS_STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    qs_str_addv(&s, fmt, ap);
    va_end(ap);
    int rc;
    if (s.failed)
        rc = qs_fail_mem(g->e, 0, "the plan's warnings");
    else if (!g->args->foretell)
        rc = qs_fail(g->e, QS_EINVAL, "%s", s.data);
    else
        rc = warn(g, "quantize would stop: %s", s.data);
    if (!rc && !g->p->blocker.code)
        qs_fail(&g->p->blocker, QS_EINVAL, "%s", s.data);
    qs_str_free(&s);
    return rc;
}

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

/* ---- the list ----------------------------------------------------------------------------------------------- */

static uint64_t bytes_of(const struct qs_encoding *enc)
{
    const struct qs_tensor *t = enc->tensor;
    return enc->copy ? t->size : t->rows * qs_format_row_bytes(qs_format_by_id(enc->type), (size_t)t->ne[0]);
}

static int fill(struct planning *g)
{
    struct qs_plan *p = g->p;
    const struct qs_model *m = p->model;
    p->enc = qs_calloc(m->n_tensors ? m->n_tensors : 1, sizeof *p->enc);
    if (!p->enc)
        return qs_fail_mem(g->e, (unsigned long long)m->n_tensors * sizeof *p->enc, "the plan");
    p->n = m->n_tensors;
    for (size_t i = 0; i < p->n; i++) {
        const struct qs_choice *c = &p->resolved->choice[i];
        struct qs_encoding *enc = &p->enc[i];
        enc->tensor = &m->tensor[i];
        enc->type = c->type;
        enc->wanted = c->wanted;
        enc->why = c->why;
        memcpy(enc->reason, c->reason, sizeof enc->reason);
        enc->copy = c->type == m->tensor[i].type;
        enc->bytes = bytes_of(enc);
        p->bytes += enc->bytes;
    }
    p->source_bytes = m->bytes;
    p->bpw = m->n_weights ? 8.0 * (double)p->bytes / (double)m->n_weights : 0;
    p->file_type = p->recipe->preset->file_type >= 0 ? p->recipe->preset->file_type : m->file_type;
    return QS_OK;
}

static int check_damage(struct planning *g)
{
    for (size_t i = 0; i < g->p->n; i++) {
        const struct qs_tensor *t = g->p->enc[i].tensor;
        if (t->marks & ~(unsigned)QS_TENSOR_UNKNOWN_TYPE)
            return qs_fail(g->e, QS_EFORMAT,
                           "%s is damaged in the source (bytes out of range, overlapping, or a shape its "
                           "type cannot have); quantscape check tells more",
                           t->name);
    }
    return QS_OK;
}

/* ---- sources that are quantized already --------------------------------------------------------------------- */

static int check_sources(struct planning *g)
{
    struct found q8 = { 0, NULL }, lower = { 0, NULL };
    for (size_t i = 0; i < g->p->n; i++) {
        const struct qs_encoding *enc = &g->p->enc[i];
        if (!enc->copy && qs_tensor_is_quantized(enc->tensor))
            note(enc->tensor->type == QS_Q8_0 ? &q8 : &lower, enc);
    }
    int rc = QS_OK;
    if (lower.n && !g->args->allow_requantize)
        rc = block(g,
                   "%s is %s already%s: converting it again loses quality twice. Start from an F16, "
                   "BF16 or F32 file, or allow it with --allow-requantize",
                   lower.first->tensor->name, lower.first->tensor->format->name, lower.n > 1 ? ", as are others" : "");
    else if (lower.n)
        rc =
            warn(g,
                 "%zu tensor%s quantized already (%s is %s) and converted again: errors are against this file, not the "
                 "original",
                 lower.n, lower.n == 1 ? " is" : "s are", lower.first->tensor->name, lower.first->tensor->format->name);
    if (q8.n && !rc)
        rc = warn(g, "%zu tensor%s converted from Q8_0 (%s): errors are against this file, not the original", q8.n,
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
        if (!p->enc[i].copy && uses_importance(p->enc[i].type))
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

static int take_importance(struct planning *g, struct found *missing, struct found *unseen, struct found *nothing)
{
    for (size_t i = 0; i < g->p->n; i++) {
        struct qs_encoding *enc = &g->p->enc[i];
        const struct qs_tensor *t = enc->tensor;
        if (enc->copy || !g->p->imatrix)
            continue;
        const struct qs_imatrix_entry *x;
        const int rc = qs_importance_for(g->p->imatrix, t, &x, g->e);
        if (rc)
            return rc;
        enc->importance = x;
        if (x && (x->unseen || x->zero) && uses_importance(enc->type))
            note(idle(x) ? nothing : unseen, enc);
        if (!x && uses_importance(enc->type) && !embeds(t) && qs_mix_kind_of(t->name) != QS_MIX_OUTPUT)
            note(missing, enc);
    }
    return QS_OK;
}

static int check_needs(struct planning *g)
{
    struct found f = { 0, NULL };
    const struct qs_preset *preset = g->p->recipe->preset;
    for (size_t i = 0; i < g->p->n; i++) {
        const struct qs_encoding *enc = &g->p->enc[i];
        if (!enc->copy && !enc->importance && qs_preset_needs_importance(preset, enc->tensor->name, enc->type))
            note(&f, enc);
    }
    if (!f.n)
        return QS_OK;
    const char *tail = f.n == 1 ? "" : ", as do others";
    if (g->p->imatrix)
        return block(g, "%s as %s needs importance weights%s, and the importance matrix has none for it",
                     f.first->tensor->name, qs_type_name(f.first->type), tail);
    return block(g,
                 "%s as %s needs importance weights%s: give an importance matrix with --imatrix, or take another preset",
                 f.first->tensor->name, qs_type_name(f.first->type), tail);
}

/* Entries that belong to no tensor hint at a matrix of another model. */
static size_t strangers(const struct planning *g)
{
    size_t hits = 0;
    for (size_t i = 0; i < g->p->n; i++)
        hits += qs_imatrix_find(g->p->imatrix, g->p->enc[i].tensor->name) != NULL;
    return g->p->imatrix->n_entries > hits ? g->p->imatrix->n_entries - hits : 0;
}

static int check_importance(struct planning *g)
{
    struct found missing = { 0, NULL }, unseen = { 0, NULL }, nothing = { 0, NULL };
    int rc = take_importance(g, &missing, &unseen, &nothing);
    if (!rc)
        rc = check_needs(g);
    if (rc || !g->p->imatrix)
        return rc;
    size_t strange = strangers(g);
    if (!takes_importance(g->p))
        rc = warn(g, "the importance matrix is not used: %s",
                  converts(g->p) ? "no tensor is converted to a type that takes importance weights"
                                  : "every tensor is copied as it is");
    if (missing.n && !rc)
        rc = warn(g, "no importance weights for %zu tensor%s (%s ...): encoded without", missing.n, plural(missing.n),
                  missing.first->tensor->name);
    if (unseen.n && !rc)
        rc = warn(g,
                  "%zu tensor%s with experts that the importance matrix never saw (%s: %u of %llu): those are encoded "
                  "with equal weights",
                  unseen.n, plural(unseen.n), unseen.first->tensor->name, unseen.first->importance->unseen,
                  (unsigned long long)unseen.first->tensor->ne[2]);
    if (nothing.n && !rc)
        rc = warn(g, "the importance matrix saw no token for %zu tensor%s (%s%s): its weights say nothing about %s",
                  nothing.n, plural(nothing.n), nothing.first->tensor->name, nothing.n == 1 ? "" : " ...",
                  nothing.n == 1 ? "it" : "them");
    if (strange && !rc)
        rc = warn(g, "%zu of %zu entries of the importance matrix belong to no tensor of this model", strange,
                  g->p->imatrix->n_entries);
    return rc;
}

/* ---- what else to mind -------------------------------------------------------------------------------------- */

static int warn_fallbacks(struct planning *g)
{
    size_t count[TYPE_SLOTS] = { 0 };
    const struct qs_encoding *first[TYPE_SLOTS] = { NULL };
    for (size_t i = 0; i < g->p->n; i++) {
        const struct qs_encoding *enc = &g->p->enc[i];
        if (enc->wanted != enc->type && enc->wanted >= 0 && enc->wanted < TYPE_SLOTS && count[enc->wanted]++ == 0)
            first[enc->wanted] = enc;
    }
    int rc = QS_OK;
    for (int t = 0; t < TYPE_SLOTS && !rc; t++)
        if (count[t])
            rc = warn(g, "%zu tensor%s cannot be %s: %s, %s", count[t], plural(count[t]), qs_type_name(t),
                      first[t]->tensor->name, first[t]->reason);
    return rc;
}

static int warn_unknown(struct planning *g)
{
    struct found f = { 0, NULL };
    for (size_t i = 0; i < g->p->n; i++)
        if (!g->p->enc[i].tensor->format)
            note(&f, &g->p->enc[i]);
    return f.n ? warn(g, "%zu tensor%s of a type unknown here (%s: type %d): copied unchanged", f.n, plural(f.n),
                      f.first->tensor->name, f.first->tensor->type)
               : QS_OK;
}

/* Rules only: a pin that decides nothing names a tensor that has this type anyway. What matches nothing was refused. */
static int warn_rules(struct planning *g)
{
    const struct qs_recipe *r = g->p->recipe;
    int rc = QS_OK;
    for (size_t i = 0; i < r->n_rules && !rc; i++) {
        const struct qs_recipe_item *item = &r->rule[i];
        const struct qs_recipe_match *match = &g->p->resolved->match[r->n_pins + i];
        char line[320] = "";
        if (match->decided)
            continue;
        if (item->line)
            snprintf(line, sizeof line, "%.256s:%u: ", r->name ? r->name : "recipe", item->line);
        rc = warn(g, "%srule %.200s decides nothing: it matches %u tensor%s, decided before it or never quantized", line,
                  item->pattern, match->matched, plural(match->matched));
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

static int warn_idle_options(struct planning *g)
{
    const struct qs_recipe *r = g->p->recipe;
    const struct qs_format *base = qs_format_by_id(r->preset->base);
    bool output = has_tensor(g->p, "output.weight"), embd = has_tensor(g->p, "token_embd.weight");
    bool mixes = !r->pure && base && base->kind != QS_KIND_FLOAT;
    int rc = QS_OK;
    if (r->output_type != QS_TYPE_NONE && !output && (!mixes || !embd))
        rc = warn(g, "output-type has no effect: the model has no output tensor of its own");
    if (r->leave_output && !output && !rc)
        rc = warn(g, "leave-output has no effect: the model has no output tensor of its own");
    if (r->token_embd_type != QS_TYPE_NONE && !embd && !rc)
        rc = warn(g, "token-embd-type has no effect: the model has no token_embd tensor");
    if (!strcmp(r->preset->name, "MXFP4_MOE") && g->p->model->hp.n_expert <= 1 && !rc)
        rc = warn(g, "MXFP4_MOE is made for models with experts: this one has none, nearly everything becomes Q8_0");
    return rc;
}

static int warn_size(struct planning *g)
{
    char need[24], have[24];
    struct qs_plan *p = g->p;
    if (p->bytes <= p->source_bytes)
        return QS_OK;
    return warn(g, "the result is larger than the source (%s against %s)", qs_fmt_bytes(need, sizeof need, p->bytes),
                qs_fmt_bytes(have, sizeof have, p->source_bytes));
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static int make(struct planning *g, const struct qs_recipe *r)
{
    struct qs_plan *p = g->p;
    int rc = qs_recipe_copy(r, &p->recipe, g->e);
    if (!rc)
        rc = qs_recipe_resolve(p->recipe, p->model, p->imatrix != NULL, false, &p->resolved, g->e);
    if (!rc)
        rc = fill(g);
    if (!rc)
        rc = check_damage(g);
    if (!rc)
        rc = check_sources(g);
    if (!rc)
        rc = check_importance(g);
    if (!rc)
        rc = warn_fallbacks(g);
    if (!rc)
        rc = warn_unknown(g);
    if (!rc && p->resolved->shift_text[0])
        rc = warn(g, "%s", p->resolved->shift_text);
    if (!rc)
        rc = warn_rules(g);
    if (!rc)
        rc = warn_idle_options(g);
    return rc ? rc : warn_size(g);
}

int qs_plan_make(const struct qs_model *m, const struct qs_recipe *r, const struct qs_plan_args *args,
                 struct qs_plan **out, struct qs_err *e)
{
    struct planning g = { .args = args, .e = e };
    g.p = qs_calloc(1, sizeof *g.p);
    if (!g.p)
        return qs_fail_mem(e, sizeof *g.p, "the plan");
    g.p->model = m;
    g.p->imatrix = args->imatrix;
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
    qs_free(p->enc);
    qs_resolved_free(p->resolved);
    qs_recipe_free(p->recipe);
    qs_free(p);
}
