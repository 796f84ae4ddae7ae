/* plan_store.c - which tensors of a plan take the bytes that were made beforehand, and what is said of the others.
 *
 * Owns nothing; the plan holds a reference to the store. Takes all of a group or none. Refuses a store of another
 * model.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/quant/plan_internal.h"

#define NAMED_MOST 12 /* kinds of tensors in one warning */

enum match { NOTHING /* not in the store */, FITS, OTHER_TYPE, BROKEN /* fits, but not all of its group do */ };

struct matching {
    struct qs_planning *g;
    enum match *of;               /* per tensor */
    const struct qs_stored **at;
};

static bool same_shape(const struct qs_stored *s, const struct qs_tensor *t)
{
    if (s->n_dims != t->n_dims)
        return false;
    for (unsigned d = 0; d < t->n_dims; d++)
        if (s->ne[d] != t->ne[d])
            return false;
    return true;
}

static enum match match_one(const struct qs_encoding *enc, const struct qs_stored *s)
{
    if (!s || !same_shape(s, enc->tensor) || qs_planning_damaged(enc->tensor))
        return NOTHING;
    return s->type == enc->type ? FITS : OTHER_TYPE;
}

/* All of a group, also those of its tensors that the model does not have: they are none of its own. */
static void break_group(struct matching *x, uint32_t group)
{
    for (size_t i = 0; i < x->g->p->n; i++)
        if (x->of[i] == FITS && x->at[i]->group == group)
            x->of[i] = BROKEN;
}

static void judge_groups(struct matching *x)
{
    const struct qs_plan *p = x->g->p;
    const size_t n = qs_store_count(p->store);
    for (size_t k = 0; k < n; k++) {
        const struct qs_stored *s = qs_store_at(p->store, k);
        const struct qs_tensor *t = s->group ? qs_model_find(p->model, s->name) : NULL;
        if (s->group &&
            (!t || x->of[qs_model_index(p->model, t)] == OTHER_TYPE || x->of[qs_model_index(p->model, t)] == NOTHING))
            break_group(x, s->group);
    }
}

/* ---- what is said ---- */

/* "of layers 0-3, 7": the layers of those with this role that `in` has. */
static void add_layers(struct qs_str *to, const struct matching *x, const bool *in, enum qs_role role)
{
    const struct qs_plan *p = x->g->p;
    int from = -2, last = -2, n = 0;
    struct qs_str list = QS_STR_INIT;
    for (size_t i = 0; i <= p->n; i++) {
        const int layer = i < p->n ? p->enc[i].tensor->layer : -2;
        if (i < p->n && (!in[i] || p->enc[i].tensor->role != role || layer < 0 || layer == last))
            continue;
        n += i < p->n;
        if (i < p->n && layer == last + 1 && from >= 0) {
            last = layer;
            continue;
        }
        if (from >= 0)
            qs_str_addf(&list, from == last ? "%s%d" : "%s%d-%d", list.len ? ", " : "", from, last);
        from = last = layer;
    }
    qs_str_addf(to, " of layer%s %s", n == 1 ? "" : "s", list.data);
    to->failed |= list.failed;
    qs_str_free(&list);
}

static void name_them(struct qs_str *to, const struct matching *x, const bool *in)
{
    const struct qs_plan *p = x->g->p;
    bool told[QS_ROLE_COUNT] = { false };
    size_t kinds = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct qs_tensor *t = p->enc[i].tensor;
        if (!in[i] || (t->layer >= 0 && told[t->role]))
            continue;
        if (++kinds > NAMED_MOST) {
            qs_str_add(to, " ...");
            return;
        }
        qs_str_add(to, kinds > 1 ? "; " : "");
        if (t->layer < 0) {
            qs_str_add(to, t->name);
            continue;
        }
        told[t->role] = true;
        qs_str_add(to, qs_role_name(t->role));
        add_layers(to, x, in, t->role);
    }
}

/* What becomes of a tensor that the store does not serve. */
static const char *instead(const struct qs_plan *p, const struct qs_encoding *enc)
{
    return enc->copy    ? "copied as they are"
           : p->imatrix ? "encoded with importance weights alone"
                        : "encoded without calibration";
}

static int say(const struct matching *x, const char *why, const bool *in, const struct qs_encoding *first)
{
    struct qs_str names = QS_STR_INIT;
    name_them(&names, x, in);
    const int rc = names.failed ? qs_fail_mem(x->g->e, names.len, "the plan's warnings")
                                : qs_planning_warn(x->g, "%s: %s: %s", why, instead(x->g->p, first), names.data);
    qs_str_free(&names);
    return rc;
}

/* Those of tensor i's kind: calibrated for the one type, planned as the other. */
static int say_other_types(const struct matching *x, bool *in, bool *told, size_t i)
{
    const struct qs_plan *p = x->g->p;
    char why[96];
    for (size_t k = 0; k < p->n; k++) {
        in[k] = x->of[k] == OTHER_TYPE && x->at[k]->type == x->at[i]->type && p->enc[k].type == p->enc[i].type;
        told[k] |= in[k];
    }
    snprintf(why, sizeof why, "calibrated for %s, the recipe has %s", qs_type_name(x->at[i]->type),
             qs_type_name(p->enc[i].type));
    return say(x, why, in, &p->enc[i]);
}

static int say_all(const struct matching *x, bool *in, bool *told)
{
    const struct qs_plan *p = x->g->p;
    int rc = QS_OK;
    for (size_t i = 0; !rc && i < p->n; i++)
        if (x->of[i] == OTHER_TYPE && !told[i])
            rc = say_other_types(x, in, told, i);
    for (int pass = 0; !rc && pass < 3; pass++) { /* encoded, copied; then what the store does not have */
        const struct qs_encoding *first = NULL;
        for (size_t i = 0; i < p->n; i++) {
            const struct qs_encoding *enc = &p->enc[i];
            in[i] = pass < 2 ? x->of[i] == BROKEN && enc->copy == (pass == 1) : x->of[i] == NOTHING && !enc->copy;
            first = in[i] && !first ? enc : first;
        }
        if (first)
            rc = say(x,
                     pass < 2 ? "calibrated together with tensors that the recipe gives another type (AWQ scales are "
                                "folded through all of them)"
                              : "not calibrated",
                     in, first);
    }
    return rc;
}

/* ---- what is taken ---- */

static void give_reason(struct qs_encoding *enc)
{
    const struct qs_stored *s = enc->stored;
    char text[sizeof enc->reason];
    size_t n = (size_t)snprintf(text, sizeof text, "%.90s; %s", enc->reason, s->method);
    if (isfinite(s->after) && n < sizeof text)
        n += (size_t)snprintf(text + n, sizeof text - n, ", output error %.4f", s->after);
    if (isfinite(s->after) && isfinite(s->before) && s->before > 0 && n < sizeof text)
        snprintf(text + n, sizeof text - n, ", %+.0f %% against the weighted fit", 100 * (s->after / s->before - 1));
    memcpy(enc->reason, text, sizeof text);
}

static void take(const struct matching *x)
{
    struct qs_plan *p = x->g->p;
    for (size_t i = 0; i < p->n; i++) {
        if (x->of[i] != FITS)
            continue;
        p->enc[i].stored = x->at[i];
        p->enc[i].copy = false;
        give_reason(&p->enc[i]);
        p->n_stored++;
    }
}

static int match_all(struct matching *x)
{
    struct qs_plan *p = x->g->p;
    bool *in = qs_calloc(p->n + 1, sizeof *in), *told = qs_calloc(p->n + 1, sizeof *told);
    x->of = qs_calloc(p->n + 1, sizeof *x->of);
    x->at = qs_calloc(p->n + 1, sizeof *x->at);
    int rc = in && told && x->of && x->at ? QS_OK : qs_fail_mem(x->g->e, p->n * sizeof *x->at, "the plan");
    for (size_t i = 0; !rc && i < p->n; i++) {
        x->at[i] = qs_store_find(p->store, p->enc[i].tensor->name);
        x->of[i] = match_one(&p->enc[i], x->at[i]);
    }
    if (!rc) {
        judge_groups(x);
        take(x);
        rc = say_all(x, in, told);
    }
    qs_free(in);
    qs_free(told);
    qs_free(x->of);
    qs_free((void *)x->at);
    return rc;
}

int qs_planning_take_store(struct qs_planning *g)
{
    struct qs_err why = QS_ERR_INIT;
    struct matching x = { .g = g };
    if (!g->p->store)
        return QS_OK;
    const int rc = qs_store_fits(g->p->store, g->p->model, &why);
    if (rc == QS_EINVAL)
        return qs_planning_stop(g, QS_ADVISE_NONE, "%s", why.msg);
    if (rc) {
        if (g->e)
            *g->e = why;
        return rc;
    }
    return match_all(&x);
}
