/* bench_measure.c - taking a number: runs with looks at the limits between them, median, best and spread. */
#include "core/eval/bench_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { RUNS_WANTED = 3 };
#define PATIENCE 3 /* times the seconds of a number: fewer runs than wanted must do then */

struct runs {
    size_t n;
    double value[QS_BENCH_RUNS], limit[QS_BENCH_RUNS], share[QS_BENCH_RUNS];
    double best_limit;
};

int qs_bench_look(struct qs_bench_run_state *s, const struct qs_bench_work *w, double now[QS_LIMITS], struct qs_err *e)
{
    int rc = QS_OK;
    for (int u = 0; rc == QS_OK && u < QS_LIMITS; u++)
        if (w->need[u] > 0)
            rc = qs_limits_look(s->limits, (enum qs_limit)u, &now[u], e);
    return rc;
}

/* Seconds that the work takes at these speeds; 0: no limit is known. */
static double least_seconds(const struct qs_bench_work *w, const double speed[QS_LIMITS])
{
    double seconds = 0;
    for (int u = 0; u < QS_LIMITS; u++)
        if (w->need[u] > 0)
            seconds += speed[u] > 0 ? w->need[u] / speed[u] : 0;
    return seconds;
}

static const char *largest_part(const struct qs_bench_work *w, const double speed[QS_LIMITS])
{
    int most = -1;
    for (int u = 0; u < QS_LIMITS; u++)
        if (w->need[u] > 0 && speed[u] > 0
            && (most < 0 || w->need[u] / speed[u] > w->need[most] / speed[most]))
            most = u;
    return most < 0 ? "" : qs_limit_name((enum qs_limit)most);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return v[n / 2];
}

static void sum_up(const struct qs_bench_try *t, struct runs *r, struct qs_bench_number *out)
{
    const bool limited = r->limit[0] > 0, seconds = t->amount <= 0;
    out->runs = r->n;
    out->median = median(r->value, r->n); /* sorted from here on */
    out->best = r->value[seconds ? 0 : r->n - 1];
    out->spread = (r->value[r->n - 1 - r->n / 4] - r->value[r->n / 4]) / out->median;
    out->limit = limited ? median(r->limit, r->n) : NAN;
    out->share = limited ? median(r->share, r->n) : NAN;
    out->share_best = !limited ? NAN : seconds ? r->best_limit / out->best : out->best / r->best_limit;
}

static void one_run(const struct qs_bench_try *t, struct runs *r, double seconds, double least)
{
    const double amount = t->amount > 0 ? t->amount / seconds : seconds;
    r->value[r->n] = amount;
    r->limit[r->n] = least > 0 ? t->amount > 0 ? t->amount / least : least : 0;
    r->share[r->n] = least / seconds;
    r->n++;
}

static bool enough(const struct qs_bench_run_state *s, const struct qs_bench_try *t, size_t n, double elapsed)
{
    const size_t most = t->runs_most ? t->runs_most : QS_BENCH_RUNS;
    return n >= most || (n >= RUNS_WANTED && elapsed >= s->args->seconds) || elapsed > PATIENCE * s->args->seconds;
}

static int add_number(struct qs_bench *b, const struct qs_bench_number *x, struct qs_err *e)
{
    if (!qs_grow(&b->number, &b->cap_numbers, b->n_numbers + 1, sizeof *b->number))
        return qs_fail_mem(e, (b->n_numbers + 1) * sizeof *b->number, "measured numbers");
    b->number[b->n_numbers++] = *x;
    return QS_OK;
}

int qs_bench_take(struct qs_bench_run_state *s, struct qs_bench_try *t, struct qs_bench_number *out, struct qs_err *e)
{
    struct runs r = { .n = 0 };
    double before[QS_LIMITS] = { 0 }, after[QS_LIMITS] = { 0 }, best[QS_LIMITS];
    int rc = qs_bench_look(s, &t->work, before, e);
    const double start = qs_now();
    while (rc == QS_OK && !enough(s, t, r.n, qs_now() - start)) {
        double seconds = 0;
        qs_job_item(s->job, "%s %s %llu: run %zu", out->subject, out->detail, (unsigned long long)out->size, r.n + 1);
        rc = t->once(t->ctx, &seconds, e);
        rc = rc ? rc : qs_bench_look(s, &t->work, after, e);
        rc = rc ? rc : qs_job_step(s->job, 0, e);
        if (rc != QS_OK)
            break;
        for (int u = 0; u < QS_LIMITS; u++)
            before[u] = after[u] > before[u] ? after[u] : before[u];
        one_run(t, &r, seconds > 1e-9 ? seconds : 1e-9, least_seconds(&t->work, before));
        memcpy(before, after, sizeof before);
    }
    if (r.n == 0)
        return rc;
    for (int u = 0; u < QS_LIMITS; u++)
        best[u] = t->work.need[u] > 0 ? qs_limits_best(s->limits, (enum qs_limit)u) : 0;
    const double least = least_seconds(&t->work, best);
    r.best_limit = least <= 0 || t->amount <= 0 ? least : t->amount / least;
    snprintf(out->limited_by, sizeof out->limited_by, "%s", largest_part(&t->work, best));
    sum_up(t, &r, out);
    rc = rc ? rc : qs_job_step(s->job, 1, e);
    const int added = add_number(s->result, out, rc ? NULL : e);
    return rc ? rc : added;
}

void qs_bench_note(struct qs_bench_run_state *s, const char *fmt, ...)
{
    struct qs_bench *b = s->result;
    va_list ap;
    if (!qs_grow(&b->note, &b->cap_notes, b->n_notes + 1, sizeof *b->note))
        return; /* a remark the less */
    va_start(ap, fmt);
    vsnprintf(b->note[b->n_notes++], sizeof *b->note, fmt, ap);
    va_end(ap);
}
