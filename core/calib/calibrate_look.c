/* calibrate_look.c - owns what one input shows: Hessians of the windows to fit, and rows of the held-out windows.
 *
 * Rows come window by window from both models. Refuses rows that are not finite, and says in which layer and window.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/finite.h"
#include "base/mem.h"
#include "core/calib/calibrate_internal.h"

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static int refuse_bad(const struct qs_calib_look *k, const struct qs_stream_rows *r, const char *whose,
                      struct qs_err *e)
{
    for (size_t i = 0; i < r->n; i++)
        if (!qs_finite_row(r->x + i * r->cols, r->cols)) {
            const bool head = (size_t)r->layer == qs_engine_config(k->c->origin)->n_layer;
            char layer[32];
            snprintf(layer, sizeof layer, head ? "the head" : "layer %d", r->layer);
            return qs_fail(e, QS_EFORMAT, "%s (%s) of %s: token %zu of window %zu brings NaN or infinities", layer,
                           qs_point_name(r->point), whose, i, r->window);
        }
    return QS_OK;
}

/* ---- room ---- */

static size_t held_room(const struct qs_calib_look *k)
{
    return k->input->experts > 1 ? QS_HELD_EXPERT_ROWS : QS_HELD_ROWS;
}

/* Corrections may pull the hidden state back where a matrix's result is simply added to it. */
static size_t width_of(const struct qs_calibration *c, const struct qs_input *in)
{
    const struct qs_config *m = qs_engine_config(c->origin);
    const bool adds = in->point == QS_POINT_ATTN_OUT || in->point == QS_POINT_FFN_DOWN;
    if (!adds || !c->args.methods.correct || !(c->args.methods.pull > 0) || in->n_tensors != 1 ||
        (m->arch->flags & (QS_ARCH_POST_NORM | QS_ARCH_NO_PRE_NORM)) || !(m->residual_scale > 0))
        return 0;
    return qs_engine_model(c->origin)->tensor[in->tensor[0]].ne[1] == m->n_embd ? m->n_embd : 0;
}

uint64_t qs_calib_look_need(const struct qs_calibration *c, const struct qs_input *in, size_t experts)
{
    const uint64_t cols = in->cols, held = in->experts > 1 ? QS_HELD_EXPERT_ROWS : QS_HELD_ROWS,
                   width = width_of(c, in);
    const uint64_t drift = width ? (width * (cols + QS_HESSIAN_CHUNK) + held * width * 2) * sizeof(float) : 0;
    return experts * (qs_hessian_need(in->cols, c->args.methods.correct) + 3 * held * cols * sizeof(float) + drift) +
           2 * cols * 8;
}

static int slice_new(struct qs_calib_look *k, struct qs_calib_slice *s, struct qs_err *e)
{
    const struct qs_calibration *c = k->c;
    const size_t cols = k->input->cols;
    s->room = held_room(k);
    s->x0 = qs_calloc(s->room, cols * sizeof(float));
    s->x = qs_calloc(s->room, cols * sizeof(float));
    s->importance = qs_calloc(cols, sizeof(float));
    s->lost = k->width ? qs_calloc(s->room, k->width * sizeof(float)) : NULL;
    if (!s->x0 || !s->x || !s->importance || (k->width && !s->lost))
        return qs_fail_mem(e, s->room * cols * 2 * sizeof(float), "held-out rows of an input");
    int rc = qs_hessian_new(cols, c->args.methods.correct, c->args.pool, c->args.prio, &s->h, e);
    return !rc && k->width ? qs_hessian_follow(s->h, k->width, e) : rc;
}

void qs_calib_look_free(struct qs_calib_look *k)
{
    for (size_t i = 0; k->slice && i < k->n; i++) {
        struct qs_calib_slice *s = &k->slice[i];
        qs_hessian_free(s->h);
        qs_gptq_factor_free(s->factor);
        qs_free(s->importance);
        qs_free(s->x0);
        qs_free(s->x);
        qs_free(s->lost);
    }
    qs_free(k->slice);
    qs_free(k->pooled);
    qs_free(k->row0);
    memset(k, 0, sizeof *k);
}

/* ---- rows ---- */

static void keep_held(const struct qs_calib_look *k, struct qs_calib_slice *s, const float *x0, const float *x,
                      const float *state0, const float *state)
{
    const size_t cols = k->input->cols;
    if (s->seen++ % k->every || s->n_held >= s->room)
        return;
    memcpy(s->x0 + s->n_held * cols, x0, cols * sizeof *x0);
    memcpy(s->x + s->n_held * cols, x, cols * sizeof *x);
    for (size_t i = 0; s->lost && i < k->width; i++)
        s->lost[s->n_held * k->width + i] = (float)k->pull * (state0[i] - state[i]);
    s->n_held++;
}

static int add_row(const struct qs_calib_look *k, struct qs_calib_slice *s, const float *x0, const float *x,
                   struct qs_err *e)
{
    s->rows++;
    return qs_hessian_add(s->h, x, s->h->cross ? x0 : NULL, 1, k->input->cols, e);
}

static int dense_rows(struct qs_calib_look *k, const struct qs_stream_rows *a, const struct qs_stream_rows *b,
                      bool held, struct qs_err *e)
{
    struct qs_calib_slice *s = &k->slice[0];
    const size_t w = k->width;
    for (size_t i = 0; held && i < b->n; i++)
        keep_held(k, s, a->x + i * b->cols, b->x + i * b->cols, w ? a->state + i * w : NULL,
                  w ? b->state + i * w : NULL);
    if (held)
        return QS_OK;
    s->rows += b->n;
    return qs_hessian_add_states(s->h, b->x, s->h->cross ? a->x : NULL, w ? b->state : NULL, w ? a->state : NULL, b->n,
                                 b->cols, e);
}

/* The row of the original that belongs to pair p of the other; NULL: that token went to other experts there. */
static const float *same_pair(const struct qs_stream_rows *a, const struct qs_stream_rows *b, size_t p, size_t used)
{
    if (b->point == QS_POINT_EXPERTS_IN)
        return a->x + (size_t)b->pair_row[p] * a->cols;
    for (size_t q = p / used * used; q < p / used * used + used && q < a->n_pairs; q++)
        if (a->pair_expert[q] == b->pair_expert[p])
            return a->x + (size_t)a->pair_row[q] * a->cols;
    return NULL;
}

static int expert_rows(struct qs_calib_look *k, const struct qs_stream_rows *a, const struct qs_stream_rows *b,
                       size_t used, bool held, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t p = 0; !rc && p < b->n_pairs; p++) {
        const size_t expert = b->pair_expert[p];
        const float *x = b->x + (size_t)b->pair_row[p] * b->cols, *x0 = same_pair(a, b, p, used);
        for (size_t j = 0; !held && j < b->cols; j++)
            k->pooled[j] += (double)x[j] * (double)x[j];
        k->pooled_rows += !held;
        if (expert < k->first || expert >= k->first + k->n)
            continue;
        struct qs_calib_slice *s = &k->slice[expert - k->first];
        if (!held)
            rc = add_row(k, s, x0 ? x0 : x, x, e); /* sent elsewhere in the original: nothing to make up for */
        else if (x0)
            keep_held(k, s, x0, x, NULL, NULL);
    }
    return rc;
}

static int take_rows(void *ctx, const struct qs_stream_rows *a, const struct qs_stream_rows *b, struct qs_err *e)
{
    struct qs_calib_look *k = ctx;
    const bool held = b->window >= k->c->corpus->n_fit;
    int rc = refuse_bad(k, a, "the model", e);
    if (!rc)
        rc = refuse_bad(k, b, "the model as encoded so far", e);
    if (rc || b->point != k->input->point)
        return rc;
    return b->n_pairs ? expert_rows(k, a, b, qs_engine_config(k->c->origin)->n_expert_used, held, e)
                      : dense_rows(k, a, b, held, e);
}

/* ---- the end ---- */

/* Rows side by side instead of one after the other. */
static int turn(float **rows, size_t n, size_t cols, struct qs_err *e)
{
    float *to = qs_malloc((n * cols + 1) * sizeof *to);
    if (!to)
        return qs_fail_mem(e, n * cols * sizeof *to, "held-out rows of an input");
    for (size_t at = 0; at < cols; at += 16)
        for (size_t i = 0; i < n; i++)
            for (size_t j = at; j < least(cols, at + 16); j++)
                to[j * n + i] = (*rows)[i * cols + j];
    qs_free(*rows);
    *rows = to;
    return QS_OK;
}

/* diag(H), or the layer's own sums where an expert saw too little; columns that were always zero get a thousandth of
 * the mean, so that a block of them has a scale. */
static void set_importance(const struct qs_calib_look *k, struct qs_calib_slice *s)
{
    const size_t cols = k->input->cols;
    double mean = 0;
    for (size_t j = 0; j < cols; j++) {
        const double v = s->few && k->pooled_rows ? k->pooled[j] / (double)k->pooled_rows
                                                  : (double)s->h->h[j * cols + j];
        s->importance[j] = (float)v;
        mean += v / (double)cols;
    }
    for (size_t j = 0; j < cols; j++)
        if (!(s->importance[j] > 0))
            s->importance[j] = mean > 0 ? (float)(mean * 1e-3) : 1;
    for (size_t j = 0; !k->c->args.methods.imatrix && j < cols; j++)
        s->importance[j] = 1;
}

static int slice_end(const struct qs_calib_look *k, struct qs_calib_slice *s, struct qs_err *e)
{
    const size_t cols = k->input->cols;
    int rc = qs_hessian_end(s->h, e);
    s->few = k->input->experts > 1 && s->rows < cols;
    if (!rc)
        rc = turn(&s->x0, s->n_held, cols, e);
    if (!rc)
        rc = turn(&s->x, s->n_held, cols, e);
    if (!rc && s->lost)
        rc = turn(&s->lost, s->n_held, k->width, e);
    if (!rc)
        set_importance(k, s);
    return rc;
}

static unsigned points_of(const struct qs_input *in)
{
    return 1u << in->point;
}

int qs_calib_look_new(struct qs_calibration *c, const struct qs_input *in, size_t first, size_t n,
                      struct qs_calib_look *out, struct qs_err *e)
{
    const struct qs_config *m = qs_engine_config(c->origin);
    const size_t held = c->corpus->n_held * c->corpus->n_ctx, used = in->experts > 1 ? m->n_expert_used : 1;
    struct qs_calib_look k = { .c = c, .input = in, .first = first, .n = n, .width = width_of(c, in) };
    const size_t expected = held * used / in->experts, room = held_room(&k);
    k.pull = k.width ? c->args.methods.pull / (double)m->residual_scale : 0;
    k.every = expected > room ? (expected + room - 1) / room : 1;
    k.slice = qs_calloc(n, sizeof *k.slice);
    k.pooled = qs_calloc(in->cols, sizeof *k.pooled);
    int rc = k.slice && k.pooled ? QS_OK : qs_fail_mem(e, n * sizeof *k.slice, "an input");
    for (size_t i = 0; !rc && i < n; i++)
        rc = slice_new(&k, &k.slice[i], e);
    if (!rc)
        rc = qs_stream_pair(c->stream[0], c->stream[1], (size_t)in->layer, qs_point_half(in->point), points_of(in),
                            false, false, take_rows, &k, c->job, e);
    for (size_t i = 0; !rc && i < n; i++)
        rc = slice_end(&k, &k.slice[i], e);
    *out = k;
    if (rc)
        qs_calib_look_free(out);
    return rc;
}

/* ---- without text ---- */

static int sample_rows(const struct qs_input_stats *x, struct qs_calib_slice *s, size_t expert, struct qs_err *e)
{
    s->room = x->n_rows;
    s->x = qs_calloc(x->n_rows + 1, x->cols * sizeof(float));
    s->x0 = s->x ? qs_calloc(x->n_rows + 1, x->cols * sizeof(float)) : NULL;
    if (!s->x0)
        return qs_fail_mem(e, x->n_rows * x->cols * sizeof(float), "the sample of rows");
    for (size_t i = 0; i < x->n_rows; i++)
        if (x->experts == 1 || x->row_expert[i] == expert)
            memcpy(s->x + s->n_held++ * x->cols, x->row + i * x->cols, x->cols * sizeof(float));
    const int rc = turn(&s->x, s->n_held, x->cols, e);
    if (!rc)
        memcpy(s->x0, s->x, s->n_held * x->cols * sizeof(float));
    return rc;
}

int qs_calib_look_statistics(struct qs_calibration *c, const struct qs_input *in, struct qs_calib_look *out,
                             struct qs_err *e)
{
    const struct qs_input_stats *x = qs_statistics_of(c->statistics, in->layer, in->point);
    struct qs_calib_look k = { .c = c, .input = in, .n = in->experts, .every = 1 };
    k.slice = qs_calloc(in->experts, sizeof *k.slice);
    int rc = k.slice ? QS_OK : qs_fail_mem(e, in->experts * sizeof *k.slice, "an input");
    for (size_t i = 0; !rc && i < in->experts; i++) {
        struct qs_calib_slice *s = &k.slice[i];
        const double count = x && x->count[i] ? (double)x->count[i] : 0;
        s->importance = count > 0 ? qs_calloc(in->cols, sizeof(float)) : NULL;
        if (count > 0 && !s->importance)
            rc = qs_fail_mem(e, in->cols * sizeof(float), "the importance of columns");
        for (size_t j = 0; !rc && s->importance && j < in->cols; j++)
            s->importance[j] = (float)(x->sum2[i * in->cols + j] / count);
        s->few = in->experts > 1 && !s->importance;
        if (!rc && x && x->n_rows)
            rc = sample_rows(x, s, i, e);
    }
    *out = k;
    if (rc)
        qs_calib_look_free(out);
    return rc;
}
