/* collect.c - the pass of the original model over the text: layer by layer, half by half, statistics first, and with
 * the Hessians of as many inputs (or experts of them) as the memory holds what every type would cost their matrices.
 *
 * A half whose Hessians do not fit together is run several times; the last time takes the hidden states on. Owns the
 * stream while it runs. One thread.
 */
#include "core/calib/collect.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/calib/collect_internal.h"

static const enum qs_half halves[] = { QS_HALF_ATTN, QS_HALF_FFN };

static size_t n_layer(const struct qs_collect_args *a) { return qs_engine_config(a->engine)->n_layer; }

/* ---- a run ---- */

struct run {
    const struct qs_collect_args *a;
    struct qs_job *job;
    struct qs_collect_plan plan;
    struct qs_stream *stream;
    struct qs_statistics *stats;
    struct qs_errors *errors;            /* NULL: no types */
    struct qs_collect_journal *journal;  /* NULL: none */
};

struct half {
    struct run *r;
    size_t layer;
    enum qs_half half;
    bool first;                          /* statistics are taken */
    struct { const struct qs_input *in; struct qs_row_taker taker; } at[QS_POINTS];
    struct qs_collect_slot *slot; size_t n_slots;
};

static void slot_free(struct qs_collect_slot *s)
{
    qs_hessian_free(s->fit);
    qs_hessian_free(s->held);
    s->fit = s->held = NULL;
}

static void half_end(struct half *h)
{
    for (size_t p = 0; p < QS_POINTS; p++)
        qs_row_taker_free(&h->at[p].taker);
    for (size_t i = 0; i < h->n_slots; i++)
        slot_free(&h->slot[i]);
    qs_free(h->slot);
    h->slot = NULL;
    h->n_slots = 0;
}

static int half_new(struct run *r, size_t layer, enum qs_half half, struct half *h, struct qs_err *e)
{
    const struct qs_collect_args *a = r->a;
    size_t most = 0;
    int rc = QS_OK;
    *h = (struct half){ .r = r, .layer = layer, .half = half };
    for (size_t i = 0; rc == QS_OK && (i = qs_collect_input_of(a, layer, half, i)) < a->inputs->n; i++) {
        const struct qs_input *in = &a->inputs->input[i];
        h->at[in->point].in = in;
        most += in->experts;
        rc = qs_row_taker_new(a, in, &r->stats->input[i], &h->at[in->point].taker, e);
    }
    if (rc == QS_OK && r->errors && !(h->slot = qs_calloc(most, sizeof *h->slot)))
        rc = qs_fail_mem(e, most * sizeof *h->slot, "Hessians");
    if (rc != QS_OK)
        half_end(h);
    return rc;
}

static unsigned points_of(const struct half *h)
{
    unsigned mask = 0;
    for (int p = 0; p < QS_POINTS; p++)
        mask |= h->at[p].in ? 1u << p : 0;
    return mask;
}

/* ---- rows ---- */

static int add_to(const struct half *h, const struct qs_collect_slot *s, const struct qs_stream_rows *rows, const float *x,
                  size_t n, struct qs_err *e)
{
    struct qs_hessian *to = rows->window < h->r->a->corpus->n_fit ? s->fit : s->held;
    return qs_hessian_add(to, x, NULL, n, rows->cols, e);
}

static int take_rows(void *ctx, const struct qs_stream_rows *rows, struct qs_err *e)
{
    struct half *h = ctx;
    const struct qs_input *in = h->at[rows->point].in;
    if (h->first)
        qs_row_taker_add(&h->at[rows->point].taker, rows);
    size_t from = 0, n = 0; /* the slots of this input stand next to each other, experts ascending */
    while (from < h->n_slots && h->slot[from].input != in)
        from++;
    while (from + n < h->n_slots && h->slot[from + n].input == in)
        n++;
    if (n == 0)
        return QS_OK;
    if (!rows->pair_row)
        return add_to(h, &h->slot[from], rows, rows->x, rows->n, e);
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < rows->n_pairs; i++) {
        const size_t expert = rows->pair_expert[i], first = h->slot[from].expert;
        if (expert >= first && expert < first + n)
            rc = add_to(h, &h->slot[from + expert - first], rows, rows->x + rows->pair_row[i] * rows->cols, 1, e);
    }
    return rc;
}

static int slots_new(struct half *h, struct qs_collect_place *p, struct qs_err *e)
{
    const struct qs_collect_args *a = h->r->a;
    struct qs_collect_place at = *p;
    uint64_t bytes;
    const size_t n = qs_collect_next_run(a, h->layer, h->half, h->r->plan.budget, p, &bytes);
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < n; i++) {
        const struct qs_input *in = &a->inputs->input[at.input];
        struct qs_collect_slot *s = &h->slot[h->n_slots++];
        *s = (struct qs_collect_slot){ .input = in, .stats = &h->r->stats->input[at.input], .expert = at.expert };
        rc = qs_hessian_new(in->cols, false, a->pool, a->prio, &s->fit, e);
        if (rc == QS_OK && a->corpus->n_held)
            rc = qs_hessian_new(in->cols, false, a->pool, a->prio, &s->held, e);
        if (++at.expert == in->experts)
            at = (struct qs_collect_place){ qs_collect_input_of(a, h->layer, h->half, at.input + 1), 0 };
    }
    return rc;
}

static int slots_measure(struct half *h, struct qs_err *e)
{
    struct run *r = h->r;
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < h->n_slots; i++) {
        struct qs_collect_slot *s = &h->slot[i];
        rc = qs_hessian_end(s->fit, e);
        if (rc == QS_OK && s->held)
            rc = qs_hessian_end(s->held, e);
    }
    for (size_t i = 0; rc == QS_OK && i < h->n_slots; i++) {
        struct qs_collect_slot *s = &h->slot[i];
        rc = qs_errors_slot(r->errors, s, r->job, e);
        if (rc == QS_OK && s->expert + 1 == s->input->experts)
            rc = qs_errors_put(r->errors, s->input, r->stats, e);
        slot_free(s);
    }
    h->n_slots = rc == QS_OK ? 0 : h->n_slots; /* else half_end frees the others */
    return rc;
}

/* ---- a half ---- */

static int end_statistics(struct half *h, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t p = 0; rc == QS_OK && p < QS_POINTS; p++)
        if (h->at[p].in)
            rc = qs_row_taker_end(&h->at[p].taker, e);
    return rc;
}

static int run_half(struct run *r, size_t layer, enum qs_half half, struct qs_err *e)
{
    const struct qs_collect_args *a = r->a;
    struct half h;
    struct qs_collect_place p = { qs_collect_input_of(a, layer, half, 0), 0 };
    const bool looks = p.input < a->inputs->n;
    int rc = QS_OK;
    if (half == QS_HALF_HEAD && !looks)
        return QS_OK;
    rc = half_new(r, layer, half, &h, e);
    if (rc != QS_OK)
        return rc;
    if (r->errors && looks)
        qs_errors_begin(r->errors, layer, half, r->plan.tokens * a->n_types);
    bool last = false;
    for (h.first = true; rc == QS_OK && !last; h.first = false) {
        if (r->errors && looks)
            rc = slots_new(&h, &p, e);
        last = !r->errors || p.input == a->inputs->n;
        if (rc == QS_OK)
            rc = qs_stream_half(r->stream, layer, half, points_of(&h), last, take_rows, &h, r->job, e);
        if (rc == QS_OK && h.first)
            rc = end_statistics(&h, e);
        if (rc == QS_OK && r->errors && looks)
            rc = slots_measure(&h, e);
    }
    half_end(&h);
    return rc == QS_OK ? qs_model_intact(qs_engine_model(a->engine), e) : rc;
}

/* ---- what is shown ---- */

static void show_tensor(const struct run *r, size_t tensor, double sum[2], double *weights)
{
    const char *name = qs_engine_model(r->a->engine)->tensor[tensor].name;
    const int type = qs_errors_shown(r->a);
    const struct qs_error_cell *before = qs_statistics_error(r->stats, name, type, QS_CALIB_IMATRIX);
    const struct qs_error_cell *after = qs_statistics_error(r->stats, name, type, QS_CALIB_GPTQ);
    struct qs_calib_tensor t = { .state = QS_CALIB_DONE, .type = QS_TYPE_NONE, .before = before ? before->error : NAN,
                                 .method = after ? QS_CALIB_GPTQ : QS_CALIB_IMATRIX, .plain = NAN };
    t.after = after ? after->error : t.before;
    if (before && !after)
        snprintf(t.note, sizeof t.note, "GPTQ was not possible: weighted fit");
    qs_calib_watch_tensor(r->a->watch, tensor, &t);
    if (!before)
        return;
    const double n = (double)qs_engine_model(r->a->engine)->tensor[tensor].n;
    sum[0] += t.before * t.before * n;
    sum[1] += t.after * t.after * n;
    *weights += n;
}

static void show_layer(const struct run *r, size_t layer, double seconds)
{
    struct qs_calib_layer v = { .state = QS_CALIB_DONE, .before = NAN, .after = NAN, .seconds = seconds };
    double sum[2] = { 0 }, weights = 0;
    for (size_t p = 0; p < QS_POINTS; p++)
        v.outlier_ratio[p] = NAN;
    for (size_t i = 0; r->a->watch && i < r->a->inputs->n; i++) {
        const struct qs_input *in = &r->a->inputs->input[i];
        struct qs_channel_facts facts;
        if ((size_t)in->layer != layer)
            continue;
        qs_channel_facts(&r->stats->input[i], r->plan.tokens, &facts);
        v.outlier_ratio[in->point] = facts.outlier_ratio;
        for (size_t k = 0; k < in->n_tensors; k++)
            show_tensor(r, in->tensor[k], sum, &weights);
    }
    if (weights > 0) {
        v.before = sqrt(sum[0] / weights);
        v.after = sqrt(sum[1] / weights);
    }
    qs_calib_watch_layer(r->a->watch, layer, &v);
}

/* ---- layers ---- */

/* What the job counts for a half: tokens of each run over it, and as many again for every type. */
static uint64_t half_steps(const struct run *r, size_t layer, enum qs_half half)
{
    uint64_t unused = 0;
    const size_t runs = qs_collect_runs(r->a, layer, half, r->plan.budget, &unused);
    const bool looks = qs_collect_input_of(r->a, layer, half, 0) < r->a->inputs->n;
    return r->plan.tokens * (runs + (looks ? r->a->n_types : 0));
}

static uint64_t layer_steps(const struct run *r, size_t layer)
{
    return layer == n_layer(r->a) ? half_steps(r, layer, QS_HALF_HEAD)
                                  : half_steps(r, layer, QS_HALF_ATTN) + half_steps(r, layer, QS_HALF_FFN);
}

static int run_layer(struct run *r, size_t layer, struct qs_err *e)
{
    const double start = qs_now();
    int rc = QS_OK;
    if (layer == n_layer(r->a))
        qs_job_item(r->job, "the head");
    else
        qs_job_item(r->job, "layer %zu of %zu", layer + 1, n_layer(r->a));
    qs_calib_watch_layer_state(r->a->watch, layer, QS_CALIB_COLLECTING);
    for (size_t i = 0; i < r->a->inputs->n; i++)
        for (size_t k = 0; (size_t)r->a->inputs->input[i].layer == layer && k < r->a->inputs->input[i].n_tensors; k++)
            qs_calib_watch_tensor_state(r->a->watch, r->a->inputs->input[i].tensor[k], QS_CALIB_COLLECTING);
    if (layer == n_layer(r->a))
        rc = run_half(r, layer, QS_HALF_HEAD, e);
    for (size_t h = 0; rc == QS_OK && layer < n_layer(r->a) && h < 2; h++)
        rc = run_half(r, layer, halves[h], e);
    if (rc == QS_OK && r->journal)
        rc = qs_collect_journal_put(r->journal, r->stats, layer, e);
    if (rc == QS_OK)
        show_layer(r, layer, qs_now() - start);
    else
        qs_calib_watch_layer_state(r->a->watch, layer, QS_CALIB_FAILED);
    return rc;
}

/* A layer that the journal has: the states go on, where there is another to come. */
static int pass_layer(struct run *r, size_t layer, bool more, struct qs_err *e)
{
    int rc = QS_OK;
    const uint64_t steps = layer_steps(r, layer), told = more && layer < n_layer(r->a) ? 2 * r->plan.tokens : 0;
    qs_job_item(r->job, "layer %zu of %zu, done before", layer + 1, n_layer(r->a));
    qs_job_skip(r->job, steps - told);
    for (size_t h = 0; rc == QS_OK && told && h < 2; h++)
        rc = qs_stream_half(r->stream, layer, halves[h], 0, true, NULL, NULL, r->job, e);
    if (rc == QS_OK)
        show_layer(r, layer, 0);
    return rc;
}

static int run_layers(struct run *r, size_t done, struct qs_err *e)
{
    uint64_t steps = 0;
    int rc = qs_stream_new(&r->plan.stream, &r->stream, e);
    for (size_t l = 0; l <= n_layer(r->a); l++)
        steps += layer_steps(r, l);
    qs_job_phase(r->job, "collect", "tokens", steps);
    for (size_t l = 0; rc == QS_OK && l <= n_layer(r->a); l++)
        rc = l < done ? pass_layer(r, l, done <= n_layer(r->a), e) : run_layer(r, l, e);
    return rc;
}

/* ---- the whole ---- */

static int name_dataset(const struct qs_corpus *c, struct qs_statistics *s, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    qs_corpus_name(c, &text);
    char *name = qs_str_take(&text);
    if (!name)
        return qs_fail_mem(e, 64, "the name of a text");
    qs_free(s->dataset);
    s->dataset = name;
    return QS_OK;
}

static int finish(struct run *r, struct qs_err *e)
{
    const struct qs_corpus *c = r->a->corpus;
    struct qs_statistics *s = r->stats;
    s->corpus = c->key;
    s->windows = c->n_fit;
    s->n_ctx = c->n_ctx;
    s->tokens = (uint64_t)c->n_fit * c->n_ctx;
    s->precision = qs_engine_precision(r->a->engine) == QS_FAST ? QS_CALIB_FAST : QS_CALIB_EXACT;
    int rc = qs_model_content_key(qs_engine_model(r->a->engine), &s->model, e);
    if (rc == QS_OK)
        rc = name_dataset(c, s, e);
    return rc == QS_OK ? qs_statistics_seal(s, r->a->inputs, qs_engine_model(r->a->engine), e) : rc;
}

static int check(const struct qs_collect_args *a, struct qs_err *e)
{
    if (a->corpus->n_fit == 0)
        return qs_fail(e, QS_EINVAL, "the text has no window to take statistics of");
    if (a->n_types && !a->pool)
        return qs_fail(e, QS_EINVAL, "errors of types take a pool of threads");
    for (size_t i = 0; i < a->n_types; i++)
        if (!qs_format_by_id(a->type[i]) || (qs_format_by_id(a->type[i])->flags & (QS_NO_ENCODE | QS_INTERNAL)))
            return qs_fail(e, QS_EINVAL, "nothing can be encoded as %s", qs_type_name(a->type[i]));
    return QS_OK;
}

int qs_collect_run(const struct qs_collect_args *a, struct qs_job *job, struct qs_statistics **out, struct qs_err *e)
{
    struct run r = { .a = a, .job = job };
    size_t done = 0;
    *out = NULL;
    int rc = check(a, e);
    if (rc == QS_OK)
        rc = qs_collect_plan_of(a, &r.plan, e);
    if (rc == QS_OK)
        rc = qs_statistics_new(a->inputs, &r.stats, e);
    if (rc == QS_OK && a->n_types)
        rc = qs_errors_new(a, &r.errors, e);
    if (rc == QS_OK && a->journal)
        rc = qs_collect_journal_open(a, r.stats, &r.journal, &done, e);
    if (rc == QS_OK)
        rc = run_layers(&r, done, e);
    if (rc == QS_OK)
        rc = finish(&r, e);
    qs_stream_free(r.stream);
    qs_errors_free(r.errors);
    qs_collect_journal_close(r.journal);
    if (rc == QS_OK)
        *out = r.stats;
    else
        qs_statistics_free(r.stats);
    return rc;
}
