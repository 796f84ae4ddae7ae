/* evaluation_judge.c - what a person has to be told about an evaluation, and its place in the history. Owns nothing. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/eval/evaluation_internal.h"

static int warn(struct qs_evaluation *x, struct qs_err *e, const char *fmt, ...) QS_PRINTF(3, 4);
static int warn(struct qs_evaluation *x, struct qs_err *e, const char *fmt, ...)
{
    struct qs_str s = QS_STR_INIT;
    va_list ap;
    if (!qs_grow(&x->warning, &x->cap_warnings, x->n_warnings + 1, sizeof *x->warning))
        return qs_fail_mem(e, sizeof *x->warning, "warnings");
    va_start(ap, fmt);
    qs_str_addv(&s, fmt, ap);
    va_end(ap);
    char *text = qs_str_take(&s);
    if (!text)
        return qs_fail_mem(e, 0, "warnings");
    x->warning[x->n_warnings++] = text;
    return QS_OK;
}

static int judge_overlap(struct qs_evaluation *x, struct qs_err *e)
{
    int rc = QS_OK;
    char share[QS_FMT_MAX];
    if (x->has_overlap && x->overlap.share >= QS_OVERLAP_SHARE)
        rc = warn(x, e,
                  "%s of %s stands in the calibration text %s too: the numbers flatter what was calibrated with it",
                  qs_fmt_percent(share, sizeof share, x->overlap.share, 1), x->text.path, x->args.calibration);
    if (!rc && x->has_held_overlap && x->held_overlap.share >= QS_OVERLAP_SHARE)
        rc = warn(x, e, "%s of %s stands in %s too: it is not held out",
                  qs_fmt_percent(share, sizeof share, x->held_overlap.share, 1), x->held_out.path,
                  x->args.calibration ? x->args.calibration : x->text.path);
    const struct qs_imatrix *m = x->args.pair.imatrix;
    if (!rc && m && m->dataset && m->dataset[0] && x->text.path &&
        strcmp(qs_path_base(m->dataset), qs_path_base(x->text.path)) == 0)
        rc = warn(x, e, "the importance matrix was made with a file of this name, %s: the numbers may flatter it",
                  m->dataset);
    return rc;
}

/* Where something was not finite first, in words. */
static int judge_bad(struct qs_evaluation *x, const struct qs_bad_place *b, const struct qs_model *m, size_t n_layer,
                     uint64_t rows, const char *path, struct qs_err *e)
{
    char place[48];
    if (!b->n)
        return QS_OK;
    if (b->layer < 0)
        snprintf(place, sizeof place, "in the embedding");
    else if (b->layer >= (int)n_layer)
        snprintf(place, sizeof place, "in the logits");
    else
        snprintf(place, sizeof place, "after block %d", b->layer);
    return warn(x, e,
                "%s computes NaN or infinity, first %s, at token %" PRIu64 " of %s; %" PRIu64 " positions are left out",
                m->path, place, b->at, path, rows);
}

static int judge_finite(struct qs_evaluation *x, const struct qs_lockstep *r, const char *path, struct qs_err *e)
{
    if (!r)
        return QS_OK;
    const int rc =
        judge_bad(x, &r->bad, x->pair->model, qs_engine_config(x->pair->engine)->n_layer, r->kld.n_bad, path, e);
    return rc || !x->pair->base ? rc
                                : judge_bad(x, &r->bad_base, x->pair->reference,
                                            qs_engine_config(x->pair->base)->n_layer, r->kld.n_bad_base, path, e);
}

static int judge_numbers(struct qs_evaluation *x, struct qs_err *e)
{
    const double *n = x->number;
    int rc = QS_OK;
    if (!x->x)
        return QS_OK;
    const uint64_t train = x->pair->model->hp.n_ctx;
    if (train && x->n_ctx > train)
        rc = warn(x, e, "windows of %zu tokens are longer than the context of the model, %" PRIu64, x->n_ctx, train);
    if (!rc && x->x->kld.n < 100)
        rc = warn(x, e, "%" PRIu64 " positions are too few: error bars and percentiles mean little", x->x->kld.n);
    if (!rc && isfinite(x->noise) && isfinite(n[QS_KLD_MEAN]) && n[QS_KLD_MEAN] > 0 && n[QS_KLD_MEAN] < 10 * x->noise)
        rc = warn(x, e,
                  "the KL divergence, %.3g, is less than ten times what the arithmetic alone changes (%s against %s: "
                  "%.3g): small differences between candidates mean nothing here",
                  n[QS_KLD_MEAN], qs_precision_name(QS_EXACT), qs_precision_name(QS_FAST), x->noise);
    if (!rc && x->pair->reference && !x->pair->stand_in && qs_model_is_quantized(x->pair->reference))
        rc = warn(x, e, "the reference %s is quantized itself: divergences are from it, not from the original",
                  x->pair->reference->path);
    if (!rc && x->pair->stand_in)
        rc = warn(x, e, "the reference is a stand-in in Q8_0, not %s itself: divergences below about 0.001 mean little",
                  x->pair->reference->path);
    return rc;
}

static int judge_layers(struct qs_evaluation *x, struct qs_err *e)
{
    struct qs_str list = QS_STR_INIT;
    size_t n = 0;
    char share[QS_FMT_MAX];
    for (size_t i = 0; x->x && i < x->x->n_layers; i++) {
        const struct qs_layer_stat *s = &x->x->layer[i];
        if (s->n == 0 || s->error < QS_LAYER_WARN)
            continue;
        if (n++ < 12) {
            qs_str_addf(&list, "%s%s", n > 1 ? ", " : "", i ? "" : "embedding");
            if (i)
                qs_str_addf(&list, "%zu", i - 1);
            qs_str_addf(&list, " (%s)", qs_fmt_percent(share, sizeof share, s->error, 0));
        }
    }
    if (n > 12)
        qs_str_addf(&list, " and %zu more", n - 12);
    const int rc =
        n ? warn(x, e, "the hidden state is more than 10%% off after %s %s", n > 1 ? "layers" : "layer", list.data)
          : QS_OK;
    qs_str_free(&list);
    return rc;
}

static int judge_prompts(struct qs_evaluation *x, struct qs_err *e)
{
    const struct qs_prompts_result *r = x->prompts_result;
    int rc = QS_OK;
    char a[QS_FMT_MAX], b[QS_FMT_MAX];
    if (!r)
        return QS_OK;
    if (r->loops > r->loops_base)
        rc = warn(x, e, "%zu of %zu answers end in a loop, of the reference's %zu", r->loops, r->n - r->passed_over,
                  r->loops_base);
    if (!rc && r->repeated > 0.05 && r->repeated > 2 * r->repeated_base)
        rc = warn(x, e, "answers repeat themselves: %s of their 4-grams stood before, of the reference's %s",
                  qs_fmt_percent(a, sizeof a, r->repeated, 1), qs_fmt_percent(b, sizeof b, r->repeated_base, 1));
    if (!rc && r->length < 0.5 * r->length_base)
        rc = warn(x, e, "answers collapse: %.1f tokens on average, the reference's %.1f", r->length, r->length_base);
    if (!rc && r->passed_over)
        rc = warn(x, e, "%zu of %zu prompts are too long for the context and were passed over", r->passed_over, r->n);
    if (!rc && r->bad + r->bad_base)
        rc = warn(x, e, "NaN or infinity in the logits of %" PRIu64 " tokens of answers, in the reference's %" PRIu64,
                  r->bad, r->bad_base);
    return rc;
}

static int judge_tasks(struct qs_evaluation *x, struct qs_err *e)
{
    const struct qs_tasks_result *r = x->tasks_result;
    int rc = QS_OK;
    if (r && r->passed_over)
        rc = warn(x, e, "%zu of %zu tasks do not fit the context and were passed over", r->passed_over, r->n);
    if (r && !rc && r->bad + r->bad_base)
        rc = warn(x, e, "NaN or infinity in the score of %" PRIu64 " choices, of %" PRIu64 " by the reference", r->bad,
                  r->bad_base);
    return rc;
}

static int judge_vocab(struct qs_evaluation *x, struct qs_err *e)
{
    const char *text;
    int rc = QS_OK;
    for (size_t i = 0; !rc && x->pair && (text = qs_vocab_warning(x->pair->vocab, i)) != NULL; i++)
        rc = warn(x, e, "%s: %s", x->pair->model->path, text);
    return rc;
}

int qs_evaluation_judge(struct qs_evaluation *x, struct qs_err *e)
{
    int rc = judge_vocab(x, e);
    rc = rc ? rc : judge_finite(x, x->x, x->text.path, e);
    rc = rc ? rc : judge_finite(x, x->held, x->held_out.path, e);
    rc = rc ? rc : judge_overlap(x, e);
    rc = rc ? rc : judge_numbers(x, e);
    rc = rc ? rc : judge_layers(x, e);
    rc = rc ? rc : judge_prompts(x, e);
    return rc ? rc : judge_tasks(x, e);
}

/* ---- history ---- */

struct words { struct qs_str mix; char model_key[33], recipe_key[33], reference_key[33], text_key[33], cache[48]; };

static int fill_words(const struct qs_evaluation *x, struct words *w, struct qs_err *e)
{
    struct qs_key key;
    const struct qs_pair *p = x->pair;
    int rc = qs_model_key(p->model, &key, e);
    if (rc)
        return rc;
    qs_key_hex(key, w->model_key);
    w->reference_key[0] = w->recipe_key[0] = '\0';
    if (p->reference && (rc = qs_model_key(p->reference, &key, e)) != QS_OK)
        return rc;
    if (p->reference)
        qs_key_hex(key, w->reference_key);
    if (p->plan)
        qs_key_hex(qs_pair_recipe_key(p), w->recipe_key);
    const struct qs_format *k = qs_format_by_id(x->args.cache.type_k), *v = qs_format_by_id(x->args.cache.type_v);
    snprintf(w->cache, sizeof w->cache, "%s/%s%s", k ? k->name : "?", v ? v->name : "?",
             x->args.cache.rotate ? " rotated" : "");
    qs_pair_mix(p, &w->mix);
    return w->mix.failed ? qs_fail_mem(e, w->mix.len, "the history") : QS_OK;
}

static struct qs_eval_history_run describe(const struct qs_evaluation *x, struct words *w, const struct qs_eval_text *t,
                                      const struct qs_lockstep *r, const double *number)
{
    struct qs_eval_history_run run = {
        .model = x->pair->model->path,
        .model_key = w->model_key,
        .recipe = (char *)(x->args.recipe_name ? x->args.recipe_name : ""),
        .mix = w->mix.data,
        .recipe_key = w->recipe_key,
        .reference = x->pair->reference ? x->pair->reference->path : NULL,
        .reference_key = w->reference_key,
        .stand_in = (char *)(x->pair->stand_in ? "Q8_0" : ""),
        .text = t->path,
        .text_key = w->text_key,
        .bytes = t->n,
        .tokens = t->token.n,
        .n_ctx = x->n_ctx,
        .windows = r->windows,
        .scored = r->kld.n,
        .model_bytes = qs_pair_bytes(x->pair),
        .precision = (char *)qs_precision_name(x->pair->precision),
        .cache = w->cache,
    };
    qs_key_hex(t->key, w->text_key);
    memcpy(run.number, number, sizeof run.number);
    return run;
}

static int warn_ranks(struct qs_evaluation *x, const struct qs_eval_history_run *here, struct qs_err *e)
{
    struct words w = { .mix = QS_STR_INIT };
    struct qs_eval_history *h = NULL;
    const struct qs_eval_history_run *a, *b;
    int rc = fill_words(x, &w, e);
    rc = rc ? rc : qs_eval_history_load(&h, e);
    if (!rc) {
        const struct qs_eval_history_run first = describe(x, &w, &x->text, x->x, x->number);
        for (size_t i = 0; !rc && (i = qs_eval_history_rank_change(h, i, &first, here, &a, &b)) < h->n; i++)
            rc = warn(x, e, "ranks change: on %s %s stands %s %s%s%s (run %s), on %s the other way round", x->text.path,
                      x->args.recipe_name ? x->args.recipe_name : x->pair->model->path,
                      a->number[QS_KLD_MEAN] > x->number[QS_KLD_MEAN] ? "before" : "behind", a->recipe,
                      a->recipe[0] ? " of " : "", a->model, a->id, x->held_out.path);
    }
    qs_eval_history_free(h);
    qs_str_free(&w.mix);
    return rc;
}

int qs_evaluation_remember(struct qs_evaluation *x, struct qs_err *e)
{
    struct words w = { .mix = QS_STR_INIT };
    if (!x->x)
        return QS_OK;
    int rc = fill_words(x, &w, e);
    if (!rc) {
        struct qs_eval_history_run run = describe(x, &w, &x->text, x->x, x->number);
        rc = qs_eval_history_append(&run, e);
    }
    if (!rc && x->held) {
        struct qs_eval_history_run run = describe(x, &w, &x->held_out, x->held, x->held_number);
        rc = qs_eval_history_append(&run, e);
        rc = rc ? rc : warn_ranks(x, &run, e);
    }
    qs_str_free(&w.mix);
    return rc;
}
