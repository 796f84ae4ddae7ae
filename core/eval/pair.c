/* pair.c - opening and making what is measured and what it is measured against. Owns all of it but pool, recipe and
 * imatrix. */
#include "core/eval/pair.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "core/model/vocabulary.h"
#include "core/quant/encode.h"

static int compare_vocabs(struct qs_pair *p, struct qs_err *e)
{
    struct qs_vocab *other = NULL;
    struct qs_str where = QS_STR_INIT;
    if (p->reference == p->model)
        return QS_OK;
    int rc = qs_model_vocab(p->reference, &other, e);
    if (!rc && !qs_vocab_same(p->vocab, other, &where))
        rc = qs_fail(e, QS_EINVAL, "the vocabularies of %s and %s differ (%s): their probabilities cannot be compared",
                     p->model->path, p->reference->path, where.data);
    qs_vocab_free(other);
    qs_str_free(&where);
    return rc;
}

static int plan_recipe(const struct qs_pair_args *a, struct qs_pair *p, struct qs_err *e)
{
    const struct qs_plan_args args = { .imatrix = a->imatrix, .store = a->store, .allow_requantize = a->allow_requantize };
    return a->recipe ? qs_plan_make(p->model, a->recipe, &args, &p->plan, e) : QS_OK;
}

static int plan_stand_in(const struct qs_pair_args *a, struct qs_pair *p, struct qs_err *e)
{
    const struct qs_plan_args args = { 0 };
    struct qs_recipe *r = NULL;
    if (!a->stand_in)
        return QS_OK;
    if (!p->reference)
        return qs_fail(e, QS_EINVAL, "a stand-in takes the place of a reference, and there is none");
    int rc = qs_recipe_new("Q8_0", &r, e);
    rc = rc ? rc : qs_plan_make(p->reference, r, &args, &p->stand_in, e);
    qs_recipe_free(r); /* the plan has its own copy */
    return rc;
}

static int open_model(const struct qs_pair *p, const char *path, struct qs_model **out, struct qs_err *e)
{
    if (!p->opened || strcmp(p->opened->path, path) != 0)
        return qs_model_open(path, out, e);
    *out = p->opened;
    return QS_OK;
}

int qs_pair_open(const struct qs_pair_args *a, struct qs_pool *pool, struct qs_pair **out, struct qs_err *e)
{
    struct qs_pair *p = qs_calloc(1, sizeof *p);
    if (!p)
        return qs_fail_mem(e, sizeof *p, "the evaluation");
    p->pool = pool;
    p->precision = a->precision;
    p->prio = a->prio;
    p->opened = a->opened;
    p->known = a->known;
    int rc = open_model(p, a->model, &p->model, e);
    if (!rc && a->reference)
        rc = open_model(p, a->reference, &p->reference, e);
    else if (!rc && (a->recipe || a->stand_in))
        p->reference = p->model;
    rc = rc ? rc : qs_engine_can(p->model, e);
    if (!rc && p->reference && p->reference != p->model)
        rc = qs_engine_can(p->reference, e);
    rc = rc ? rc : qs_model_vocab(p->model, &p->vocab, e);
    if (!rc && p->reference)
        rc = compare_vocabs(p, e);
    rc = rc ? rc : plan_recipe(a, p, e);
    rc = rc ? rc : plan_stand_in(a, p, e);
    if (rc)
        qs_pair_free(p);
    else
        *out = p;
    return rc;
}

/* An engine of a model, with the weights of the candidate that a plan makes of it. */
static int make_side(struct qs_pair *p, const struct qs_model *m, const struct qs_plan *plan,
                     struct qs_candidate **candidate, struct qs_engine **engine, struct qs_job *job,
                     struct qs_err *e)
{
    const struct qs_engine_args args = { .pool = p->pool, .precision = p->precision, .prio = p->prio };
    int rc = QS_OK;
    if (plan)
        rc = qs_candidate_new(plan, p->known && m == p->opened ? p->known : NULL, candidate, e);
    if (!rc && plan)
        rc = qs_candidate_run(*candidate, p->pool, job, e);
    rc = rc ? rc : qs_engine_new(m, &args, engine, e);
    return rc || !plan ? rc : qs_candidate_apply(*candidate, *engine, NULL, e);
}

int qs_pair_make(struct qs_pair *p, struct qs_job *job, struct qs_err *e)
{
    int rc = make_side(p, p->model, p->plan, &p->candidate, &p->engine, job, e);
    if (!rc && p->reference)
        rc = make_side(p, p->reference, p->stand_in, &p->stand_in_candidate, &p->base, job, e);
    return rc;
}

int qs_pair_engine(const struct qs_pair *p, enum qs_precision precision, struct qs_engine **out, struct qs_err *e)
{
    const struct qs_engine_args args = { .pool = p->pool, .precision = precision, .prio = p->prio };
    const struct qs_candidate *c = p->reference ? p->stand_in_candidate : p->candidate;
    int rc = qs_engine_new(p->reference ? p->reference : p->model, &args, out, e);
    if (!rc && c && (rc = qs_candidate_apply(c, *out, NULL, e)) != QS_OK) {
        qs_engine_free(*out);
        *out = NULL;
    }
    return rc;
}

void qs_pair_unload(struct qs_pair *p)
{
    qs_engine_free(p->engine);
    qs_engine_free(p->base);
    qs_candidate_unref(p->candidate);
    qs_candidate_unref(p->stand_in_candidate);
    p->engine = p->base = NULL;
    p->candidate = p->stand_in_candidate = NULL;
}

void qs_pair_free(struct qs_pair *p)
{
    if (!p)
        return;
    qs_pair_unload(p);
    qs_plan_free(p->plan);
    qs_plan_free(p->stand_in);
    qs_vocab_free(p->vocab);
    if (p->reference != p->model && p->reference != p->opened)
        qs_model_close(p->reference);
    if (p->model != p->opened)
        qs_model_close(p->model);
    qs_free(p);
}

/* ---- what it was ---- */

static int type_of(const struct qs_pair *p, size_t i)
{
    return p->plan ? p->plan->enc[i].type : p->model->tensor[i].type;
}

void qs_pair_mix(const struct qs_pair *p, struct qs_str *out)
{
    struct { int type; size_t n; } seen[64];
    size_t n = 0;
    for (size_t i = 0; i < p->model->n_tensors; i++) {
        size_t k = 0;
        while (k < n && seen[k].type != type_of(p, i))
            k++;
        if (k == sizeof seen / sizeof *seen)
            continue;
        if (k == n) {
            seen[n].type = type_of(p, i);
            seen[n++].n = 0;
        }
        seen[k].n++;
    }
    for (size_t done = 0; done < n; done++) {
        size_t most = 0;
        for (size_t k = 1; k < n; k++)
            most = seen[k].n > seen[most].n ? k : most;
        const struct qs_format *f = qs_format_by_id(seen[most].type);
        if (f)
            qs_str_addf(out, "%s%s %zu", done ? ", " : "", f->name, seen[most].n);
        else
            qs_str_addf(out, "%stype %d %zu", done ? ", " : "", seen[most].type, seen[most].n);
        seen[most].n = 0;
    }
}

uint64_t qs_pair_bytes(const struct qs_pair *p) { return p->plan ? p->plan->bytes : p->model->bytes; }

struct qs_key qs_pair_recipe_key(const struct qs_pair *p) { return qs_pair_plan_key(p->plan); }

struct qs_key qs_pair_plan_key(const struct qs_plan *plan)
{
    struct qs_hash *h = plan ? qs_hash_new() : NULL;
    const struct qs_key none = { 0 };
    const int version = QS_ENCODER_VERSION;
    if (!h)
        return none;
    qs_hash_add(h, &version, sizeof version);
    for (size_t i = 0; i < plan->n; i++) {
        const struct qs_encoding *x = &plan->enc[i];
        const struct qs_imatrix_entry *w = x->copy ? NULL : x->importance;
        const int32_t head[2] = { x->type, w != NULL };
        qs_hash_add(h, head, sizeof head);
        if (x->stored)
            qs_hash_add(h, &x->stored->hash, sizeof x->stored->hash);
        if (w && !x->stored)
            qs_hash_add(h, w->value, w->n * sizeof *w->value);
    }
    return qs_hash_end(h);
}
