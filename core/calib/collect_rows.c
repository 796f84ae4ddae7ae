/* collect_rows.c - statistics of one input from its rows, window by window: sums in double over rows in order, largest
 * values, a sample, rows that stand out. Rows that are not finite are counted and left out of everything else; windows
 * held out are looked at for such rows alone. One thread calls; columns are dealt out to the pool. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/collect_internal.h"
#include "kernels/rows.h"

#define PANEL 64 /* columns that one thread adds up */

/* ---- room ---- */

static bool is_routed(const struct qs_input *in)
{
    return in->point == QS_POINT_EXPERTS_IN || in->point == QS_POINT_EXPERTS_DOWN;
}

static size_t used_of(const struct qs_collect_args *a, const struct qs_input *in)
{
    return is_routed(in) ? qs_engine_config(a->engine)->n_expert_used : 1;
}

static size_t rows_per_window(const struct qs_collect_args *a, const struct qs_input *in)
{
    return a->corpus->n_ctx * (in->point == QS_POINT_EXPERTS_DOWN ? used_of(a, in) : 1);
}

uint64_t qs_row_taker_need(const struct qs_collect_args *a, const struct qs_input *in)
{
    const uint64_t rows = rows_per_window(a, in);
    return 2 * rows * a->corpus->n_fit * sizeof(float) + rows; /* twice: they are sorted at the end */
}

uint64_t qs_collect_stats_bytes(const struct qs_collect_args *a)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < a->inputs->n; i++) {
        const struct qs_input *in = &a->inputs->input[i];
        sum += (uint64_t)in->experts * in->cols * (2 * sizeof(double) + sizeof(float)) + in->experts * sizeof(uint64_t);
        sum += QS_SAMPLE_ROWS * ((uint64_t)in->cols * sizeof(float) + sizeof(uint32_t));
    }
    return sum;
}

int qs_row_taker_new(const struct qs_collect_args *a, const struct qs_input *in, struct qs_input_stats *to,
                     struct qs_row_taker *out, struct qs_err *e)
{
    const size_t rows = rows_per_window(a, in);
    *out = (struct qs_row_taker){ .a = a, .to = to, .used = used_of(a, in), .rows_per_window = rows };
    out->largest = qs_calloc(rows, a->corpus->n_fit * sizeof *out->largest);
    out->bad = qs_calloc(rows, 1);
    if (out->largest && out->bad)
        return QS_OK;
    qs_row_taker_free(out);
    return qs_fail_mem(e, qs_row_taker_need(a, in), "the largest value of every row");
}

void qs_row_taker_free(struct qs_row_taker *t)
{
    qs_free(t->largest);
    qs_free(t->bad);
    t->largest = NULL;
    t->bad = NULL;
}

/* ---- rows ---- */

struct window { struct qs_row_taker *t; const struct qs_stream_rows *r; float *largest; };

static void look_at_rows(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct window *w = ctx;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        const float most = qs_row_ops()->measure.largest(w->r->x + i * w->r->cols, w->r->cols);
        w->t->bad[i] = (uint8_t)(isnan(most) != 0);
        if (w->largest)
            w->largest[i] = most;
    }
}

/* Rows that go into a matrix: of the window's rows one each, or one for every expert that a row is sent through. */
static size_t uses_of(const struct qs_stream_rows *r) { return r->pair_row ? r->n_pairs : r->n; }
static size_t row_of(const struct qs_stream_rows *r, size_t use) { return r->pair_row ? r->pair_row[use] : use; }
static size_t expert_of(const struct qs_stream_rows *r, size_t use) { return r->pair_row ? r->pair_expert[use] : 0; }

/* Whether the run-th use behind u is of the next row, a good one, and of the same expert. */
static bool follows(const struct window *w, size_t u, size_t run)
{
    const size_t row = row_of(w->r, u + run);
    return row == row_of(w->r, u) + run && expert_of(w->r, u + run) == expert_of(w->r, u) && !w->t->bad[row];
}

static void add_panels(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct window *w = ctx;
    const size_t cols = w->r->cols, from = begin * PANEL, to = end * PANEL < cols ? end * PANEL : cols;
    (void)thread;
    struct qs_input_stats *s = w->t->to;
    size_t run;
    for (size_t u = 0; u < uses_of(w->r); u += run) {
        run = 1;
        if (w->t->bad[row_of(w->r, u)])
            continue;
        while (u + run < uses_of(w->r) && follows(w, u, run))
            run++;
        const size_t at = expert_of(w->r, u) * cols + from;
        qs_row_ops()->moments(w->r->x + row_of(w->r, u) * cols + from, cols, run, to - from, s->sum2 + at, s->sum + at,
                              s->max + at);
    }
}

/* ---- the sample ---- */

/* Number of the i-th sampled use, of `tokens` tokens with `used` each: evenly over the tokens, and with routed experts by
 * turns over those of a token. */
static uint64_t sample_at(uint64_t tokens, size_t used, uint64_t i)
{
    const uint64_t all = tokens * used;
    if (all <= QS_SAMPLE_ROWS)
        return i;
    if (tokens < QS_SAMPLE_ROWS)
        return (2 * i + 1) * all / (2 * QS_SAMPLE_ROWS);
    return (2 * i + 1) * tokens / (2 * QS_SAMPLE_ROWS) * used + i % used;
}

static void take_sample(struct qs_row_taker *t, const struct qs_stream_rows *r)
{
    const uint64_t tokens = (uint64_t)t->a->corpus->n_fit * t->a->corpus->n_ctx;
    const uint64_t first = r->window * t->a->corpus->n_ctx * t->used, n = uses_of(r);
    struct qs_input_stats *s = t->to;
    for (uint64_t i = 0; i < QS_SAMPLE_ROWS && i < tokens * t->used; i++) {
        const uint64_t at = sample_at(tokens, t->used, i);
        if (at < first || at >= first + n)
            continue;
        const size_t use = (size_t)(at - first), row = row_of(r, use);
        if (t->bad[row])
            continue;
        memcpy(s->row + s->n_rows * s->cols, r->x + row * r->cols, r->cols * sizeof *r->x);
        s->row_expert[s->n_rows++] = (uint32_t)expert_of(r, use);
    }
}

void qs_row_taker_add(struct qs_row_taker *t, const struct qs_stream_rows *r)
{
    struct qs_input_stats *s = t->to;
    const bool fit = r->window < t->a->corpus->n_fit;
    struct window w = { t, r, fit ? t->largest + t->n_largest : NULL };
    qs_pool_run(t->a->pool, t->a->prio, r->n, 16, look_at_rows, &w);
    for (size_t i = 0; i < r->n; i++)
        if (t->bad[i] && (s->nonfinite++ == 0 || r->window < s->bad_window))
            s->bad_window = r->window;
    if (!fit)
        return;
    t->n_largest += r->n;
    for (size_t u = 0; u < uses_of(r); u++)
        s->count[expert_of(r, u)] += !t->bad[row_of(r, u)];
    qs_pool_run(t->a->pool, t->a->prio, (r->cols + PANEL - 1) / PANEL, 1, add_panels, &w);
    take_sample(t, r);
}

/* ---- tokens that stand out ---- */

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static int median_of(const struct qs_row_taker *t, float *median, struct qs_err *e)
{
    float *sorted = qs_malloc(t->n_largest * sizeof *sorted);
    size_t n = 0;
    if (!sorted)
        return qs_fail_mem(e, t->n_largest * sizeof *sorted, "the largest value of every row");
    for (size_t i = 0; i < t->n_largest; i++)
        if (!isnan(t->largest[i]))
            sorted[n++] = t->largest[i];
    qsort(sorted, n, sizeof *sorted, ascending);
    *median = n ? sorted[n / 2] : 0;
    qs_free(sorted);
    return QS_OK;
}

static void put_massive(const struct qs_row_taker *t, size_t row, float median)
{
    struct qs_input_stats *s = t->to;
    const size_t window = row / t->rows_per_window, n_ctx = t->a->corpus->n_ctx;
    const size_t pos = row % t->rows_per_window / (t->rows_per_window / n_ctx);
    const struct qs_massive m = { window, pos, t->a->corpus->token[window * n_ctx + pos], t->largest[row],
                                  (double)t->largest[row] / (double)median };
    size_t at = s->n_massive;
    while (at > 0 && s->massive[at - 1].max < m.max)
        at--;
    if (at == QS_MASSIVE_TOKENS)
        return;
    s->n_massive += s->n_massive < QS_MASSIVE_TOKENS;
    memmove(s->massive + at + 1, s->massive + at, (s->n_massive - 1 - at) * sizeof *s->massive);
    s->massive[at] = m;
}

int qs_row_taker_end(struct qs_row_taker *t, struct qs_err *e)
{
    struct qs_input_stats *s = t->to;
    uint64_t rows = 0;
    float median = 0;
    for (size_t x = 0; x < s->experts; x++)
        rows += s->count[x];
    if (rows == 0 && t->n_largest)
        return qs_fail(e, QS_EFORMAT, "layer %d, %s: every row of the text holds NaN or infinity, from window %llu on", s->layer,
                       qs_point_name(s->point), (unsigned long long)s->bad_window + 1);
    const int rc = median_of(t, &median, e);
    for (size_t i = 0; rc == QS_OK && median > 0 && i < t->n_largest; i++)
        if ((double)t->largest[i] >= QS_SALIENT_RATIO * (double)median)
            put_massive(t, i, median);
    return rc;
}
