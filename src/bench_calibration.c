/* bench_calibration.c - lets the bench, which lies below core/calib, time what is done there. */
#include "src/bench_calibration.h"

#include "base/mem.h"
#include "core/calib/collect.h"
#include "kernels/blas.h"

/* The importance of all inputs, of windows that no file says. */
static int collect(void *ctx, struct qs_engine *x, const int32_t *tokens, size_t windows, size_t n_ctx, struct qs_err *e)
{
    const struct qs_bench_hessians *h = ctx;
    struct qs_inputs *inputs;
    struct qs_statistics *out = NULL;
    struct qs_corpus corpus = { .n_ctx = n_ctx, .n_fit = windows, .token = (int32_t *)(uintptr_t)tokens };
    int rc = qs_inputs_new(x, &inputs, e);
    if (rc != QS_OK)
        return rc;
    corpus.origin = qs_calloc(windows, sizeof *corpus.origin);
    const struct qs_collect_args args = { .engine = x, .inputs = inputs, .corpus = &corpus, .pool = h->pool,
                                          .prio = QS_PRIO_JOB };
    rc = corpus.origin ? qs_collect_run(&args, NULL, &out, e)
                       : qs_fail_mem(e, windows * sizeof *corpus.origin, "windows");
    qs_statistics_free(out);
    qs_inputs_free(inputs);
    qs_free(corpus.origin);
    return rc;
}

static int hessian(void *ctx, const float *x, size_t rows, size_t cols, struct qs_err *e)
{
    struct qs_bench_hessians *h = ctx;
    int rc = h->sum ? QS_OK : qs_hessian_new(cols, false, h->pool, QS_PRIO_JOB, &h->sum, e);
    return rc ? rc : qs_hessian_add(h->sum, x, NULL, rows, cols, e);
}

static int library(void *ctx, const float *x, size_t rows, size_t cols, struct qs_err *e)
{
    struct qs_bench_hessians *h = ctx;
    if (!h->plain)
        h->plain = qs_calloc(cols * cols, sizeof *h->plain);
    if (!h->plain)
        return qs_fail_mem(e, cols * cols * sizeof *h->plain, "a Hessian");
    return qs_blas_syrk_f32(cols, rows, 1, x, cols, 1, h->plain, cols, e);
}

struct qs_bench_calibration qs_bench_calibration_of(struct qs_bench_hessians *h)
{
    return (struct qs_bench_calibration){ collect, hessian, library, h };
}

void qs_bench_hessians_free(struct qs_bench_hessians *h)
{
    qs_hessian_free(h->sum);
    qs_free(h->plain);
}
