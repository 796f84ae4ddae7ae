/* bench_calibrate.c - how fast statistics are collected: the work is that of rooms above, the time is taken here.
 *
 * Tokens are made up. Where the machine is slow, fewer windows are collected than a calibration has; a window that
 * would take too long is left out, and that is said.
 */
#include "core/eval/bench_internal.h"
#include "kernels/level.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { WINDOW = 512, WINDOWS_MOST = 8, TRIAL = 32, CHUNK = 512 };
#define TOO_LONG 20.0 /* times the seconds of a number */

struct collecting {
    struct qs_bench_run_state *s;
    struct qs_engine *engine;
    int32_t *token;
    size_t windows, n_ctx;
};

static int collect_once(void *ctx, double *seconds, struct qs_err *e)
{
    struct collecting *c = ctx;
    const struct qs_bench_calibration *k = &c->s->args->calibration;
    const double start = qs_now();
    const int rc = k->collect(k->ctx, c->engine, c->token, c->windows, c->n_ctx, e);
    *seconds = qs_now() - start;
    return rc ? rc : qs_job_step(c->s->job, 0, e);
}

/* As many windows as there is patience for. */
static int choose_windows(struct collecting *c, struct qs_err *e)
{
    struct qs_bench_run_state *s = c->s;
    double seconds = 0;
    c->windows = 1;
    c->n_ctx = TRIAL;
    const int rc = collect_once(c, &seconds, e);
    const double window = seconds / TRIAL * WINDOW;
    c->n_ctx = WINDOW;
    c->windows = window > TOO_LONG * s->args->seconds ? 0 : (size_t)(2 * s->args->seconds / window) + 1;
    c->windows = c->windows > WINDOWS_MOST ? WINDOWS_MOST : c->windows;
    if (!rc && !c->windows)
        qs_bench_note(s, "%s: collecting a window of %d tokens would take about %.0f s and is left out; more time "
                         "for each number allows it", s->subject, WINDOW, window);
    return rc;
}

int qs_bench_collect(struct qs_bench_run_state *s, struct qs_err *e)
{
    struct collecting c = { .s = s };
    const struct qs_engine_args args = { .pool = s->args->pool, .precision = s->args->precision, .prio = QS_PRIO_JOB,
                                         .batch = s->args->batch };
    struct qs_bench_number out = { .part = QS_BENCH_CALIBRATE, .unit = "tokens/s" };
    struct qs_bench_try t = { .ctx = &c, .once = collect_once };
    int rc = qs_engine_new(s->model, &args, &c.engine, e);
    if (rc != QS_OK)
        return rc;
    const size_t n = WINDOW * WINDOWS_MOST, vocab = qs_engine_config(c.engine)->n_vocab;
    c.token = qs_malloc(n * sizeof *c.token);
    rc = c.token ? QS_OK : qs_fail_mem(e, n * sizeof *c.token, "made-up tokens");
    for (size_t i = 0; !rc && i < n; i++)
        c.token[i] = (int32_t)(i * 7919 % vocab);
    rc = rc ? rc : choose_windows(&c, e);
    if (!rc && c.windows) {
        snprintf(out.subject, sizeof out.subject, "%s", s->subject);
        snprintf(out.detail, sizeof out.detail, "imatrix");
        out.size = WINDOW;
        snprintf(out.how, sizeof out.how, "%zu windows of %d tokens, statistics of every input; the limit is prefill's",
                 c.windows, WINDOW);
        t.amount = (double)(c.windows * WINDOW);
        qs_bench_work_prefill(c.engine, c.windows * WINDOW, 0, s->args->precision, s->bf16, &t.work);
        rc = qs_bench_take(s, &t, &out, e);
    }
    qs_free(c.token);
    qs_engine_free(c.engine);
    return rc;
}

/* ---- Hessians ---- */

struct adding {
    struct qs_bench_run_state *s;
    int (*add)(void *ctx, const float *x, size_t rows, size_t cols, struct qs_err *e);
    float *x;
    size_t cols;
};

static int add_once(void *ctx, double *seconds, struct qs_err *e)
{
    struct adding *a = ctx;
    const double start = qs_now();
    const int rc = a->add(a->s->args->calibration.ctx, a->x, CHUNK, a->cols, e);
    *seconds = qs_now() - start;
    return rc;
}

int qs_bench_hessian(struct qs_bench_run_state *s, struct qs_err *e)
{
    const struct qs_bench_calibration *k = &s->args->calibration;
    struct adding a = { .s = s, .cols = s->args->shape ? s->args->shape->width : 2048 };
    const struct {
        const char *name, *how;
        int (*add)(void *, const float *, size_t, size_t, struct qs_err *);
    } way[] = {
        { "Hessian", "512 rows at a time, the upper half counted", k->hessian },
        { "library", "the same by a call of the algebra library on one thread", k->library },
    };
    const size_t n = CHUNK * a.cols;
    uint32_t state = 5;
    int rc = (a.x = qs_malloc(n * sizeof *a.x)) ? QS_OK : qs_fail_mem(e, n * sizeof *a.x, "made-up rows");
    for (size_t i = 0; !rc && i < n; i++) {
        state = state * 1664525 + 1013904223;
        a.x[i] = (float)(state >> 8) / 0x1p24f - 0.5f;
    }
    for (size_t w = 0; !rc && w < sizeof way / sizeof *way; w++) {
        struct qs_bench_number out = { .part = QS_BENCH_CALIBRATE, .size = a.cols, .unit = "rows/s" };
        struct qs_bench_try t = { .ctx = &a, .once = add_once, .amount = CHUNK };
        if (!(a.add = way[w].add))
            continue;
        const enum qs_limit unit = w == 0 && qs_row_ops()->outer ? QS_LIMIT_BF16 : QS_LIMIT_F32; /* rows.h */
        t.work.need[unit] = (double)CHUNK * (double)a.cols * (double)(a.cols + 1);
        snprintf(out.subject, sizeof out.subject, "%zu columns", a.cols);
        snprintf(out.detail, sizeof out.detail, "%s", way[w].name);
        snprintf(out.how, sizeof out.how, "%s", way[w].how);
        rc = qs_bench_take(s, &t, &out, e);
    }
    qs_free(a.x);
    return rc;
}
