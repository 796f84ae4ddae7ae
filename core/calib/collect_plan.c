/* collect_plan.c - what a collection takes, before it begins: how often each half of a block is run, which Hessians go
 * along in each run, how much of the hidden states stays in memory. Refuses a cap of memory that cannot be kept. */
#include "base/mem.h"
#include "core/calib/collect_internal.h"
#include "core/model/need.h"

static size_t n_layer(const struct qs_collect_args *a) { return qs_engine_config(a->engine)->n_layer; }

static bool of_half(const struct qs_input *in, size_t layer, enum qs_half half)
{
    return (size_t)in->layer == layer && qs_point_half(in->point) == half;
}

size_t qs_collect_input_of(const struct qs_collect_args *a, size_t layer, enum qs_half half, size_t i)
{
    while (i < a->inputs->n && !of_half(&a->inputs->input[i], layer, half))
        i++;
    return i;
}

static uint64_t slot_bytes(const struct qs_collect_args *a, const struct qs_input *in)
{
    return qs_hessian_need(in->cols, false) * (a->corpus->n_held ? 2 : 1);
}

size_t qs_collect_next_run(const struct qs_collect_args *a, size_t layer, enum qs_half half, uint64_t budget,
                           struct qs_collect_place *p, uint64_t *bytes)
{
    size_t n = 0;
    *bytes = 0;
    while (p->input < a->inputs->n) {
        const struct qs_input *in = &a->inputs->input[p->input];
        const uint64_t one = slot_bytes(a, in);
        if (n && *bytes + one > budget)
            break;
        *bytes += one;
        n++;
        if (++p->expert == in->experts)
            *p = (struct qs_collect_place){ qs_collect_input_of(a, layer, half, p->input + 1), 0 };
    }
    return n;
}

size_t qs_collect_runs(const struct qs_collect_args *a, size_t layer, enum qs_half half, uint64_t budget, uint64_t *largest)
{
    struct qs_collect_place p = { qs_collect_input_of(a, layer, half, 0), 0 };
    size_t n = 0;
    uint64_t bytes = 0;
    if (p.input == a->inputs->n)
        return half != QS_HALF_HEAD;
    if (a->n_types == 0)
        return 1;
    for (; p.input < a->inputs->n; n++) {
        qs_collect_next_run(a, layer, half, budget, &p, &bytes);
        *largest = bytes > *largest ? bytes : *largest;
    }
    return n;
}

static uint64_t run_bytes(const struct qs_collect_args *a, uint64_t budget)
{
    uint64_t largest = 0;
    for (size_t l = 0; l < n_layer(a); l++)
        for (int h = QS_HALF_ATTN; h <= QS_HALF_FFN; h++)
            qs_collect_runs(a, l, (enum qs_half)h, budget, &largest);
    qs_collect_runs(a, n_layer(a), QS_HALF_HEAD, budget, &largest);
    return largest;
}

static uint64_t takers_bytes(const struct qs_collect_args *a)
{
    uint64_t most = 0;
    for (size_t i = 0; i < a->inputs->n; i++) {
        uint64_t half = 0;
        const struct qs_input *in = &a->inputs->input[i];
        for (size_t k = 0; k < a->inputs->n; k++)
            if (of_half(&a->inputs->input[k], (size_t)in->layer, qs_point_half(in->point)))
                half += qs_row_taker_need(a, &a->inputs->input[k]);
        most = half > most ? half : most;
    }
    return most;
}

static int too_little(uint64_t cap, uint64_t least, struct qs_err *e)
{
    char have[24], need[24];
    return qs_fail(e, QS_ELIMIT, "the statistics take at least %s of memory, and may take %s",
                   qs_fmt_bytes(need, sizeof need, least), qs_fmt_bytes(have, sizeof have, cap));
}

int qs_collect_plan_of(const struct qs_collect_args *a, struct qs_collect_plan *p, struct qs_err *e)
{
    const struct qs_corpus *c = a->corpus;
    const uint64_t cap = a->memory ? a->memory : qs_machine_memory().available / 2;
    *p = (struct qs_collect_plan){ .stream = { a->engine, c->token, c->n_fit + c->n_held, c->n_ctx, 1 } };
    p->tokens = (uint64_t)p->stream.n_windows * c->n_ctx;
    p->fixed = qs_stream_need(&p->stream) + qs_collect_stats_bytes(a) + takers_bytes(a) + qs_errors_need(a);
    const uint64_t window = (uint64_t)c->n_ctx * qs_engine_config(a->engine)->n_embd * sizeof(float);
    const uint64_t all = window * p->stream.n_windows, one = run_bytes(a, 0), whole = run_bytes(a, UINT64_MAX);
    if (cap < p->fixed || cap - p->fixed < one)
        return too_little(cap, p->fixed + one, e);
    const uint64_t left = cap - p->fixed;
    p->hidden = all <= left && left - all >= whole ? all : left / 2 < left - one ? left / 2 : left - one;
    p->hidden = p->hidden < all ? p->hidden / window * window : all;
    p->budget = left - p->hidden;
    p->largest = run_bytes(a, p->budget);
    p->stream.memory = p->hidden ? p->hidden : 1;
    return QS_OK;
}

/* Multiplications and additions of tokens with weights: the forward pass, Hessians, errors of types. */
static uint64_t work_of(const struct qs_collect_args *a, const struct qs_collect_plan *p)
{
    const struct qs_config *c = qs_engine_config(a->engine);
    double work = 0;
    for (size_t i = 0; i < a->inputs->n; i++) {
        const struct qs_input *in = &a->inputs->input[i];
        const double cols = (double)in->cols;
        const double share = in->experts > 1 ? (double)c->n_expert_used / (double)in->experts : 1;
        uint64_t unused = 0;
        const double runs = (double)qs_collect_runs(a, (size_t)in->layer, qs_point_half(in->point), p->budget, &unused);
        for (size_t k = 0; k < in->n_tensors; k++) {
            const double weights = (double)qs_engine_model(a->engine)->tensor[in->tensor[k]].n;
            work += runs * share * weights * (double)p->tokens;
            work += (double)a->n_types * weights * cols * (5 + a->sweeps); /* both ways encoded, measured under two Hessians */
        }
        work += a->n_types ? share * (double)in->experts * cols * cols / 2 * (double)p->tokens : 0;
    }
    return (uint64_t)work;
}

int qs_collect_need(const struct qs_collect_args *a, struct qs_collect_need *out, struct qs_err *e)
{
    struct qs_collect_plan p;
    const int rc = qs_collect_plan_of(a, &p, e);
    if (rc == QS_OK)
        *out = (struct qs_collect_need){ p.fixed + p.hidden + p.largest, qs_stream_spill(&p.stream), work_of(a, &p) };
    return rc;
}

