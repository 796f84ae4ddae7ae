/* prove.c - a recipe against what one could have had for the same bytes without any fitting.
 *
 * Owns two engines of the model (the original, and the one that each rival's weights go into in turn), the list of
 * rivals and the divergences of ours, position by position, so that differences are paired. What two rivals have in
 * common is encoded once. Refuses texts shorter than a window. One thread.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/prove.h"
#include "core/eval/lockstep.h"
#include "core/eval/pair.h"
#include "core/eval/text.h"
#include "core/model/vocabulary.h"
#include "core/quant/candidate.h"

#define DEFAULT_CONTEXT 512

struct entry {                /* one rival while it waits */
    struct qs_rival r;
    struct qs_recipe *recipe;
    struct qs_key key;        /* of what it comes to */
};

struct run {
    const struct qs_prove_args *a;
    struct qs_job *job;
    struct qs_proof *p;
    struct entry *entry; size_t n;
    struct qs_vocab *vocab;
    struct qs_eval_text text;
    struct qs_engine *base, *engine;
    struct qs_candidate *candidate; /* the last one, whole or not */
    size_t n_ctx;
    double *ours;             /* KLD of each scored position; NaN: not finite */
    size_t scored, at;
    bool is_ours;
    struct qs_moment more;    /* of the rival's less ours */
    uint64_t n_more;
};

/* ---- who takes part ------------------------------------------------------------------------------------------ */

static int plan_of(const struct run *r, const struct qs_recipe *recipe, bool ours, bool foretell, struct qs_plan **out,
                   struct qs_err *e)
{
    const struct qs_plan_args args = { .imatrix = r->a->imatrix, .store = ours ? r->a->store : NULL,
                                       .allow_requantize = r->a->allow_requantize, .foretell = foretell };
    return qs_plan_make(r->a->model, recipe, &args, out, e);
}

static bool same_as_another(const struct run *r, struct qs_key key)
{
    for (size_t i = 0; i < r->n; i++)
        if (qs_key_equal(r->entry[i].key, key))
            return true;
    return false;
}

static double predict(const struct run *r, const struct qs_plan *plan)
{
    if (!r->a->costs)
        return NAN;
    struct qs_fit_args costs = *r->a->costs;
    costs.imatrix_only = true; /* rivals are encoded with importance weights alone */
    return qs_fit_predict(&costs, plan);
}

/* Takes over the recipe. */
static int add(struct run *r, const char *name, struct qs_recipe *recipe, bool ours, uint64_t most_bytes,
               struct qs_err *e)
{
    struct qs_plan *plan = NULL;
    int rc = plan_of(r, recipe, ours, !ours, &plan, e);
    const struct qs_key key = rc ? (struct qs_key){ 0 } : qs_pair_plan_key(plan);
    if (rc || (!ours && (plan->bytes > most_bytes || same_as_another(r, key)))) {
        qs_plan_free(plan);
        qs_recipe_free(recipe);
        return rc;
    }
    struct entry *x = &r->entry[r->n++];
    *x = (struct entry){ .recipe = recipe, .key = key };
    x->r = (struct qs_rival){ .bytes = plan->bytes,
                              .bpw = plan->bpw,
                              .kld = NAN,
                              .kld_se = NAN,
                              .ppl = NAN,
                              .more = NAN,
                              .more_se = NAN,
                              .ours = ours,
                              .predicted = ours ? r->a->predicted : predict(r, plan) };
    (void)snprintf(x->r.name, sizeof x->r.name, "%s", name);
    if (plan->blocker.code)
        (void)snprintf(x->r.note, sizeof x->r.note, "left out: %s", plan->blocker.msg);
    qs_plan_free(plan);
    return QS_OK;
}

static int add_preset(struct run *r, const struct qs_preset *preset, bool uniform, uint64_t most_bytes,
                      struct qs_err *e)
{
    char name[32];
    struct qs_recipe *recipe = NULL;
    const struct qs_format *f = qs_format_by_id(preset->base);
    if (!f || f->kind == QS_KIND_FLOAT)
        return QS_OK;
    int rc = qs_recipe_new(preset->name, &recipe, e);
    if (!rc && uniform && (rc = qs_recipe_set_option(recipe, QS_SET_PURE, 1, e)) != QS_OK)
        qs_recipe_free(recipe);
    if (rc)
        return rc;
    (void)snprintf(name, sizeof name, uniform ? "uniform %s" : "%s", uniform ? f->name : preset->name);
    return add(r, name, recipe, false, most_bytes, e);
}

static int by_size(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->r.ours != y->r.ours)
        return x->r.ours ? -1 : 1;
    if (x->r.bytes != y->r.bytes)
        return x->r.bytes > y->r.bytes ? -1 : 1;
    return strcmp(x->r.name, y->r.name);
}

static int list(struct run *r, struct qs_err *e)
{
    struct qs_recipe *ours = NULL;
    if (!(r->entry = qs_calloc(2 * qs_preset_count() + 1, sizeof *r->entry)))
        return qs_fail_mem(e, 2 * qs_preset_count() * sizeof *r->entry, "rivals");
    int rc = qs_recipe_copy(r->a->recipe, &ours, e);
    if (!rc)
        rc = add(r, "fitted", ours, true, 0, e);
    const uint64_t most = rc ? 0 : r->entry[0].r.bytes;
    for (size_t i = 0; i < 2 * qs_preset_count() && !rc; i++)
        rc = add_preset(r, qs_preset_at(i / 2), i % 2, most, e);
    if (rc)
        return rc;
    qsort(r->entry, r->n, sizeof *r->entry, by_size);
    for (; r->a->most && r->n > r->a->most + 1; r->n--)
        qs_recipe_free(r->entry[r->n - 1].recipe);
    return QS_OK;
}

/* ---- measuring one ------------------------------------------------------------------------------------------- */

static int take_token(void *ctx, const struct qs_lockstep_token *t, struct qs_err *e)
{
    struct run *r = ctx;
    const size_t i = r->at++;
    const double kld = t->row.bad || t->row.bad_base ? (double)NAN : t->row.kld;
    (void)e;
    if (r->is_ours) {
        r->ours[i] = kld;
    } else if (!isnan(kld) && !isnan(r->ours[i])) {
        const double d = kld - r->ours[i], off = d - r->more.mean;
        r->more.mean += off / (double)++r->n_more;
        r->more.m2 += off * (d - r->more.mean);
    }
    return QS_OK;
}

static int lockstep(struct run *r, struct qs_lockstep **out, struct qs_err *e)
{
    const struct qs_lockstep_args args = {
        .model = r->engine, .base = r->base, .pool = r->a->pool, .prio = r->a->prio, .token = r->text.token.id,
        .n_tokens = r->text.token.n, .n_ctx = r->n_ctx, .n_windows = r->a->n_windows,
        .bos = qs_vocab_adds_bos(r->vocab) ? qs_vocab_special(r->vocab, QS_SPECIAL_BOS) : -1,
        .n_vocab = qs_vocab_rows(r->vocab, qs_engine_config(r->base)->n_vocab), .cache = QS_SESSION_ARGS_INIT,
        .on_token = take_token, .ctx = r,
    };
    r->at = 0;
    r->more = (struct qs_moment){ 0, 0 };
    r->n_more = 0;
    return qs_lockstep_run(&args, r->job, out, e);
}

static void conclude(struct run *r, struct qs_rival *x, struct qs_lockstep *l)
{
    double n[QS_KLD_NUMBERS];
    qs_kld_numbers(&l->kld, n);
    x->kld = n[QS_KLD_MEAN];
    x->kld_se = n[QS_KLD_MEAN_SE];
    x->ppl = n[QS_KLD_PPL];
    x->done = true;
    r->p->windows = l->windows;
    r->p->scored = l->kld.n;
    if (l->kld.n_bad)
        (void)snprintf(x->note, sizeof x->note, "not finite at %llu positions", (unsigned long long)l->kld.n_bad);
    if (x->ours || !r->n_more)
        return;
    const double count = (double)r->n_more;
    x->more = r->more.mean;
    x->more_se = r->n_more > 1 ? sqrt(r->more.m2 / count / (count - 1)) : NAN;
    const double bar = QS_PROOF_BARS * x->more_se;
    if (!l->kld.n_bad)
        (void)snprintf(x->note, sizeof x->note, "%s", x->more > bar    ? "ours is better"
                                                      : x->more < -bar ? "better than ours"
                                                                       : "no difference beyond the error bar");
}

static int measure(struct run *r, struct entry *x, struct qs_err *e)
{
    struct qs_plan *plan = NULL;
    struct qs_candidate *c = NULL;
    struct qs_lockstep *l = NULL;
    if (x->r.note[0]) /* it cannot be carried out */
        return QS_OK;
    int rc = plan_of(r, x->recipe, x->r.ours, false, &plan, e);
    if (!rc)
        rc = qs_candidate_new(plan, r->candidate, &c, e);
    qs_candidate_unref(r->candidate);
    r->candidate = c;
    if (!rc)
        rc = qs_candidate_run(c, r->a->pool, r->job, e);
    if (!rc)
        rc = qs_candidate_apply(c, r->engine, NULL, e);
    r->is_ours = x->r.ours;
    qs_job_item(r->job, "%s", x->r.name);
    if (!rc)
        rc = lockstep(r, &l, e);
    if (!rc)
        conclude(r, &x->r, l);
    qs_lockstep_free(l);
    qs_plan_free(plan);
    return rc;
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

static int open_text(struct run *r, struct qs_err *e)
{
    const size_t context = (size_t)r->a->model->hp.n_ctx;
    int rc = qs_model_vocab(r->a->model, &r->vocab, e);
    if (!rc)
        rc = qs_eval_text_read(r->a->text, 0, &r->text, e);
    if (!rc)
        rc = qs_eval_text_tokenize(&r->text, r->vocab, e);
    r->n_ctx = r->a->n_ctx ? r->a->n_ctx : context && context < DEFAULT_CONTEXT ? context : DEFAULT_CONTEXT;
    if (!rc && r->text.token.n < r->n_ctx)
        rc = qs_fail(e, QS_EINVAL, "%s has %zu tokens, one window takes %zu; take a longer text or a shorter window",
                     r->a->text, r->text.token.n, r->n_ctx);
    if (rc)
        return rc;
    size_t windows = r->text.token.n / r->n_ctx;
    windows = r->a->n_windows && r->a->n_windows < windows ? r->a->n_windows : windows;
    r->scored = windows * r->n_ctx; /* more than are scored */
    r->ours = qs_calloc(r->scored, sizeof *r->ours);
    return r->ours ? QS_OK : qs_fail_mem(e, r->scored * sizeof *r->ours, "divergences");
}

static int open_engines(struct run *r, struct qs_err *e)
{
    const struct qs_engine_args args = { .pool = r->a->pool, .precision = QS_EXACT, .prio = r->a->prio };
    const int rc = qs_engine_new(r->a->model, &args, &r->base, e);
    return rc ? rc : qs_engine_new(r->a->model, &args, &r->engine, e);
}

static int hand_out(struct run *r, struct qs_err *e)
{
    struct qs_proof *p = r->p;
    if (!(p->rival = qs_calloc(r->n, sizeof *p->rival)))
        return qs_fail_mem(e, r->n * sizeof *p->rival, "rivals");
    p->n = r->n;
    p->better = true;
    for (size_t i = 0; i < r->n; i++) {
        const struct qs_rival *x = &r->entry[i].r;
        p->rival[i] = *x;
        if (x->done && x->kld < p->rival[p->best].kld)
            p->best = i;
        if (x->done && !x->ours && !(x->more > QS_PROOF_BARS * x->more_se) && !isnan(x->more))
            p->better = false;
    }
    p->predicted = r->a->predicted;
    p->measured = p->rival[0].kld;
    return QS_OK;
}

int qs_prove_run(const struct qs_prove_args *a, struct qs_job *job, struct qs_proof **out, struct qs_err *e)
{
    struct run r = { .a = a, .job = job, .p = qs_calloc(1, sizeof *r.p) };
    int rc = r.p ? open_text(&r, e) : qs_fail_mem(e, sizeof *r.p, "a proof");
    if (!rc)
        rc = list(&r, e);
    if (!rc)
        rc = open_engines(&r, e);
    for (size_t i = 0; i < r.n && !rc; i++)
        rc = measure(&r, &r.entry[i], e);
    if (!rc)
        rc = hand_out(&r, e);
    qs_candidate_unref(r.candidate);
    qs_engine_free(r.engine);
    qs_engine_free(r.base);
    for (size_t i = 0; i < r.n; i++)
        qs_recipe_free(r.entry[i].recipe);
    qs_free(r.entry);
    qs_free(r.ours);
    qs_eval_text_free(&r.text);
    qs_vocab_free(r.vocab);
    if (rc)
        qs_proof_free(r.p);
    else
        *out = r.p;
    return rc;
}

void qs_proof_free(struct qs_proof *p)
{
    if (!p)
        return;
    qs_free(p->rival);
    qs_free(p);
}
