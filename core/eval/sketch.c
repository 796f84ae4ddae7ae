/* sketch.c - percentiles: kept values first, a histogram of logarithms beyond. Not for several threads at once. */
#include "core/eval/sketch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define SMALLEST 1e-12
#define LARGEST 1e9

/* Bins grow by this factor: the middle of a bin is within QS_SKETCH_ERROR of all of it. */
static double growth(void) { return (1 + QS_SKETCH_ERROR) / (1 - QS_SKETCH_ERROR); }

static size_t n_bins(void) { return (size_t)(log(LARGEST / SMALLEST) / log(growth())) + 2; }

static size_t bin_of(double size)
{
    const double at = log(size / SMALLEST) / log(growth());
    const size_t last = n_bins() - 1;
    return at >= (double)last ? last : (size_t)at;
}

static double middle_of(size_t bin)
{
    return SMALLEST * exp((double)bin * log(growth())) * 2 * growth() / (growth() + 1);
}

void qs_sketch_init(struct qs_sketch *s, size_t keep)
{
    *s = (struct qs_sketch){ .keep = keep };
}

void qs_sketch_free(struct qs_sketch *s)
{
    qs_free(s->value);
    qs_free(s->bin[0]);
    qs_free(s->bin[1]);
    qs_sketch_init(s, s->keep);
}

static void count(struct qs_sketch *s, double x)
{
    if (fabs(x) < SMALLEST)
        s->zeros++;
    else
        s->bin[x < 0][bin_of(fabs(x))]++;
}

static int become_histogram(struct qs_sketch *s, struct qs_err *e)
{
    for (int sign = 0; sign < 2; sign++)
        if (!s->bin[sign] && !(s->bin[sign] = qs_calloc(n_bins(), sizeof **s->bin)))
            return qs_fail_mem(e, n_bins() * sizeof **s->bin, "the percentiles");
    for (size_t i = 0; i < s->n; i++)
        count(s, s->value[i]);
    qs_free(s->value);
    s->value = NULL;
    s->cap = 0;
    return QS_OK;
}

int qs_sketch_add(struct qs_sketch *s, double x, struct qs_err *e)
{
    const bool exact = qs_sketch_exact(s);
    if (exact && s->n >= s->keep && become_histogram(s, e))
        return QS_ENOMEM;
    if (exact && s->n < s->keep) {
        if (!qs_grow(&s->value, &s->cap, (size_t)s->n + 1, sizeof *s->value))
            return qs_fail_mem(e, (s->n + 1) * sizeof *s->value, "the percentiles");
        s->value[s->n] = x;
        s->sorted = false;
    } else {
        count(s, x);
    }
    s->min = s->n == 0 || x < s->min ? x : s->min;
    s->max = s->n == 0 || x > s->max ? x : s->max;
    s->n++;
    return QS_OK;
}

bool qs_sketch_exact(const struct qs_sketch *s) { return s->value != NULL || s->n == 0; }

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value at a place of the sorted values, from the histogram: negative ones come from the last bin down. */
static double order_statistic(const struct qs_sketch *s, uint64_t place)
{
    double x = s->max;
    const size_t bins = n_bins();
    uint64_t seen = 0;
    for (size_t i = 0; i < bins; i++) {
        seen += s->bin[1][bins - 1 - i];
        if (place < seen) {
            x = -middle_of(bins - 1 - i);
            return fmin(fmax(x, s->min), s->max);
        }
    }
    seen += s->zeros;
    if (place < seen)
        return 0;
    for (size_t i = 0; i < bins; i++) {
        seen += s->bin[0][i];
        if (place < seen) {
            x = middle_of(i);
            break;
        }
    }
    return fmin(fmax(x, s->min), s->max);
}

double qs_sketch_at(struct qs_sketch *s, double share)
{
    if (s->n == 0)
        return (double)NAN;
    if (share <= 0)
        return s->min;
    if (share >= 1)
        return s->max;
    const double at = share * (double)(s->n - 1);
    const uint64_t low = (uint64_t)at, high = low + 1 < s->n ? low + 1 : low;
    const double part = at - (double)low;
    if (s->value && !s->sorted) {
        qsort(s->value, (size_t)s->n, sizeof *s->value, by_value);
        s->sorted = true;
    }
    const double a = s->value ? s->value[low] : order_statistic(s, low);
    const double b = s->value ? s->value[high] : order_statistic(s, high);
    return (1 - part) * a + part * b;
}
