/* statistics_facts.c - what statistics say of channels and experts, and the output error of a weight error on the
 * sample.
 *
 * Owns nothing; pure functions in double precision.
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "core/calib/statistics.h"

/* ---- channels ---- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The largest magnitude of a channel over all experts, or its RMS. */
static double channel_size(const struct qs_input_stats *s, size_t j, uint64_t rows)
{
    double most = 0, sum2 = 0;
    for (size_t x = 0; x < s->experts; x++) {
        const double v = s->max ? (double)s->max[x * s->cols + j] : 0;
        most = v > most ? v : most;
        sum2 += s->sum2[x * s->cols + j];
    }
    return s->max ? most : rows ? sqrt(sum2 / (double)rows) : 0;
}

static void put_worst(struct qs_channel_facts *f, size_t channel, double ratio)
{
    unsigned at = f->n_worst;
    while (at > 0 && f->worst_ratio[at - 1] < ratio)
        at--;
    if (at == 8)
        return;
    for (unsigned i = f->n_worst < 8 ? f->n_worst++ : 7; i > at; i--) {
        f->worst[i] = f->worst[i - 1];
        f->worst_ratio[i] = f->worst_ratio[i - 1];
    }
    f->worst[at] = channel;
    f->worst_ratio[at] = ratio;
}

/* The median of those above 0; 0: there are none (or no memory). */
static double live_median(const double *size, size_t n, size_t *dead)
{
    double *sorted = qs_malloc(n * sizeof *sorted), median = 0;
    size_t live = 0;
    for (size_t j = 0; j < n; j++) {
        if (sorted && size[j] > 0)
            sorted[live] = size[j];
        live += size[j] > 0;
    }
    *dead = n - live;
    if (sorted && live) {
        qsort(sorted, live, sizeof *sorted, ascending);
        median = (sorted[live / 2] + sorted[(live - 1) / 2]) / 2;
    }
    qs_free(sorted);
    return median;
}

static void look_at_channels(const struct qs_input_stats *s, uint64_t rows, struct qs_channel_facts *f)
{
    double *size = qs_malloc(s->cols * sizeof *size);
    f->by_rms = !s->max;
    f->outlier_ratio = f->salient = NAN;
    if (!size || !rows) {
        qs_free(size);
        return;
    }
    for (size_t j = 0; j < s->cols; j++)
        size[j] = channel_size(s, j, rows);
    const double median = live_median(size, s->cols, &f->dead);
    size_t salient = 0;
    for (size_t j = 0; median > 0 && j < s->cols; j++) {
        const double ratio = size[j] / median;
        salient += ratio >= QS_SALIENT_RATIO;
        put_worst(f, j, ratio);
    }
    if (median > 0) {
        f->outlier_ratio = f->worst_ratio[0];
        f->salient = (double)salient / (double)s->cols;
    }
    qs_free(size);
}

void qs_channel_facts(const struct qs_input_stats *s, uint64_t tokens, struct qs_channel_facts *out)
{
    uint64_t rows = 0;
    double needed = 0;
    *out = (struct qs_channel_facts){ 0 };
    for (size_t j = 0; j < s->experts; j++) {
        const double seen = s->count[j] ? (double)s->count[j] : 1;
        const double all = (double)tokens * (double)s->cols / seen; /* until it has a row for each column */
        rows += s->count[j];
        out->unseen += s->count[j] == 0;
        if (s->count[j] >= s->cols)
            continue;
        out->rare++;
        needed = all - (double)tokens > needed ? all - (double)tokens : needed;
    }
    out->tokens_needed = needed < 1e18 ? (uint64_t)ceil(needed) : UINT64_MAX;
    look_at_channels(s, rows, out);
}

/* ---- output error ---- */

int qs_output_error(const struct qs_input_stats *s, const float *w, const float *made, size_t rows, double *out,
                    struct qs_err *e)
{
    double err = 0, ref = 0;
    *out = NAN;
    if (s->n_rows == 0)
        return qs_fail(e, QS_ENOTFOUND, "layer %d, %s: the statistics keep no sample of rows", s->layer,
                       qs_point_name(s->point));
    if (s->experts == 0 || rows % s->experts)
        return qs_fail(e, QS_EINVAL, "%zu rows cannot be of %zu experts", rows, s->experts);
    const size_t each = rows / s->experts;
    for (size_t r = 0; r < s->n_rows; r++) {
        const float *x = s->row + r * s->cols;
        const size_t first = s->experts > 1 ? s->row_expert[r] * each : 0;
        for (size_t i = first; i < first + each; i++) {
            double d = 0, y = 0;
            for (size_t j = 0; j < s->cols; j++) {
                const double a = (double)w[i * s->cols + j], v = (double)x[j];
                y += a * v;
                d += (a - (double)made[i * s->cols + j]) * v;
            }
            err += d * d;
            ref += y * y;
        }
    }
    if (ref > 0)
        *out = sqrt(err / ref);
    return QS_OK;
}
