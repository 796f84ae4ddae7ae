/* kld.c - log-softmax, divergence and their statistics, all in double precision. Pure arithmetic: no model, no files.
 */
#include "core/eval/kld.h"

#include <math.h>

/* The largest logit (the first of equals); false where one is not finite. */
static bool scan(const float *x, size_t n, int32_t *top)
{
    size_t at = 0;
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        finite = finite && isfinite(x[i]);
        if (x[i] > x[at])
            at = i;
    }
    *top = finite ? (int32_t)at : -1;
    return finite;
}

/* ln of the sum of exponentials; sums in four lanes with a fixed end, so that the same row gives the same bits
 * anywhere. */
static double log_sum(const float *x, size_t n, int32_t top)
{
    const double max = x[top];
    double lane[4] = { 0 };
    for (size_t i = 0; i < n; i++)
        lane[i & 3] += exp(x[i] - max);
    return max + log((lane[0] + lane[1]) + (lane[2] + lane[3]));
}

void qs_kld_row(const float *base, const float *logits, size_t n, int32_t token, struct qs_kld_row *out)
{
    const double unknown = (double)NAN;
    *out = (struct qs_kld_row){ .nll = unknown, .nll_base = unknown, .kld = unknown, .dp = unknown, .top_base = -1 };
    out->bad = !scan(logits, n, &out->top);
    const double sum = out->bad ? unknown : log_sum(logits, n, out->top);
    if (!out->bad)
        out->nll = sum - logits[token];
    if (!base)
        return;
    out->bad_base = !scan(base, n, &out->top_base);
    if (out->bad_base)
        return;
    const double sum_base = log_sum(base, n, out->top_base);
    out->nll_base = sum_base - base[token];
    if (out->bad)
        return;
    double lane[4] = { 0 };
    for (size_t i = 0; i < n; i++) {
        const double lb = base[i] - sum_base, lp = logits[i] - sum;
        lane[i & 3] += exp(lb) * (lb - lp);
    }
    out->kld = fmax((lane[0] + lane[1]) + (lane[2] + lane[3]), 0);
    out->dp = exp(-out->nll) - exp(-out->nll_base);
}

void qs_kld_init(struct qs_kld *k, bool paired)
{
    *k = (struct qs_kld){ .paired = paired, .first_bad = UINT64_MAX, .first_bad_base = UINT64_MAX };
    qs_sketch_init(&k->klds, QS_SKETCH_KEEP);
    qs_sketch_init(&k->dps, QS_SKETCH_KEEP);
}

void qs_kld_free(struct qs_kld *k)
{
    qs_sketch_free(&k->klds);
    qs_sketch_free(&k->dps);
}

static void moment_add(struct qs_moment *m, uint64_t n, double x)
{
    const double off = x - m->mean;
    m->mean += off / (double)n;
    m->m2 += off * (x - m->mean);
}

static void count_bad(uint64_t *n, uint64_t *first, uint64_t at)
{
    (*n)++;
    *first = at < *first ? at : *first;
}

int qs_kld_add(struct qs_kld *k, const struct qs_kld_row *r, uint64_t at, struct qs_err *e)
{
    if (r->bad)
        count_bad(&k->n_bad, &k->first_bad, at);
    if (r->bad_base)
        count_bad(&k->n_bad_base, &k->first_bad_base, at);
    if (r->bad || r->bad_base)
        return QS_OK;
    if (k->paired) {
        int rc = qs_sketch_add(&k->klds, r->kld, e);
        rc = rc ? rc : qs_sketch_add(&k->dps, r->dp, e);
        if (rc)
            return rc;
    }
    const double off = r->nll - k->nll.mean;
    k->n++;
    moment_add(&k->nll, k->n, r->nll);
    if (!k->paired)
        return QS_OK;
    moment_add(&k->nll_base, k->n, r->nll_base);
    k->co += off * (r->nll_base - k->nll_base.mean);
    moment_add(&k->kld, k->n, r->kld);
    moment_add(&k->dp, k->n, r->dp);
    moment_add(&k->dp2, k->n, r->dp * r->dp);
    k->same_top += r->top == r->top_base;
    return QS_OK;
}

/* ---- the numbers ---- */

const struct qs_kld_name qs_kld_names[QS_KLD_NUMBERS] = {
    [QS_KLD_PPL] = { "ppl", "perplexity", 'p', false, false },
    [QS_KLD_PPL_SE] = { "ppl_error", NULL, 'p', false, false },
    [QS_KLD_PPL_BASE] = { "ppl_reference", "perplexity of the reference", 'p', false, true },
    [QS_KLD_PPL_BASE_SE] = { "ppl_reference_error", NULL, 'p', false, true },
    [QS_KLD_NLL] = { "nll", "mean -ln p of the right token", 'p', false, false },
    [QS_KLD_NLL_SE] = { "nll_error", NULL, 'p', false, false },
    [QS_KLD_CORRELATION] = { "correlation", "correlation of both", 'p', true, true },
    [QS_KLD_LN_RATIO] = { "ln_ratio", "ln of their ratio", 'p', false, true },
    [QS_KLD_LN_RATIO_SE] = { "ln_ratio_error", NULL, 'p', false, true },
    [QS_KLD_RATIO] = { "ratio", "ratio", 'p', false, true },
    [QS_KLD_RATIO_SE] = { "ratio_error", NULL, 'p', false, true },
    [QS_KLD_DIFFERENCE] = { "difference", "difference", 'p', false, true },
    [QS_KLD_DIFFERENCE_SE] = { "difference_error", NULL, 'p', false, true },
    [QS_KLD_MEAN] = { "kld", "mean", 'k', false, true },
    [QS_KLD_MEAN_SE] = { "kld_error", NULL, 'k', false, true },
    [QS_KLD_MAX] = { "kld_max", "largest", 'k', false, true },
    [QS_KLD_999] = { "kld_99_9", "99.9 %", 'k', false, true },
    [QS_KLD_99] = { "kld_99", "99 %", 'k', false, true },
    [QS_KLD_95] = { "kld_95", "95 %", 'k', false, true },
    [QS_KLD_90] = { "kld_90", "90 %", 'k', false, true },
    [QS_KLD_MEDIAN] = { "kld_median", "median", 'k', false, true },
    [QS_KLD_10] = { "kld_10", "10 %", 'k', false, true },
    [QS_KLD_05] = { "kld_5", "5 %", 'k', false, true },
    [QS_KLD_01] = { "kld_1", "1 %", 'k', false, true },
    [QS_KLD_001] = { "kld_0_1", "0.1 %", 'k', false, true },
    [QS_KLD_MIN] = { "kld_min", "smallest", 'k', false, true },
    [QS_KLD_DP] = { "dp", "mean", 'd', true, true },
    [QS_KLD_DP_SE] = { "dp_error", NULL, 'd', true, true },
    [QS_KLD_DP_MAX] = { "dp_max", "largest", 'd', true, true },
    [QS_KLD_DP_999] = { "dp_99_9", "99.9 %", 'd', true, true },
    [QS_KLD_DP_99] = { "dp_99", "99 %", 'd', true, true },
    [QS_KLD_DP_95] = { "dp_95", "95 %", 'd', true, true },
    [QS_KLD_DP_90] = { "dp_90", "90 %", 'd', true, true },
    [QS_KLD_DP_75] = { "dp_75", "75 %", 'd', true, true },
    [QS_KLD_DP_MEDIAN] = { "dp_median", "median", 'd', true, true },
    [QS_KLD_DP_25] = { "dp_25", "25 %", 'd', true, true },
    [QS_KLD_DP_10] = { "dp_10", "10 %", 'd', true, true },
    [QS_KLD_DP_05] = { "dp_5", "5 %", 'd', true, true },
    [QS_KLD_DP_01] = { "dp_1", "1 %", 'd', true, true },
    [QS_KLD_DP_001] = { "dp_0_1", "0.1 %", 'd', true, true },
    [QS_KLD_DP_MIN] = { "dp_min", "smallest", 'd', true, true },
    [QS_KLD_DP_RMS] = { "dp_rms", "RMS", 'd', true, true },
    [QS_KLD_DP_RMS_SE] = { "dp_rms_error", NULL, 'd', true, true },
    [QS_KLD_SAME_TOP] = { "same_top", "same top token", 'd', true, true },
    [QS_KLD_SAME_TOP_SE] = { "same_top_error", NULL, 'd', true, true },
};

static const struct { enum qs_kld_number number; double share;
} kld_shares[] = {
    { QS_KLD_MAX, 1 }, { QS_KLD_999, 0.999 }, { QS_KLD_99, 0.99 }, { QS_KLD_95, 0.95 }, { QS_KLD_90, 0.9 },
    { QS_KLD_MEDIAN, 0.5 }, { QS_KLD_10, 0.1 }, { QS_KLD_05, 0.05 }, { QS_KLD_01, 0.01 }, { QS_KLD_001, 0.001 },
    { QS_KLD_MIN, 0 },
}, dp_shares[] = {
    { QS_KLD_DP_MAX, 1 }, { QS_KLD_DP_999, 0.999 }, { QS_KLD_DP_99, 0.99 }, { QS_KLD_DP_95, 0.95 },
    { QS_KLD_DP_90, 0.9 }, { QS_KLD_DP_75, 0.75 }, { QS_KLD_DP_MEDIAN, 0.5 }, { QS_KLD_DP_25, 0.25 },
    { QS_KLD_DP_10, 0.1 }, { QS_KLD_DP_05, 0.05 }, { QS_KLD_DP_01, 0.01 }, { QS_KLD_DP_001, 0.001 },
    { QS_KLD_DP_MIN, 0 },
};

/* Of n values with this sum of squared distances: the error of their mean. */
static double error_of(double m2, uint64_t n)
{
    return n < 2 ? (double)NAN : sqrt(fmax(m2, 0) / (double)n / (double)(n - 1));
}

static double sum_error(double a, double b, double co) /* sqrt(a^2 + b^2 - 2 co), against rounding */
{
    const double x = a * a + b * b - 2 * co;
    return x < 0 ? 0 : sqrt(x); /* NaN stays */
}

void qs_kld_running(const struct qs_kld *k, double out[QS_KLD_NUMBERS])
{
    for (int i = 0; i < QS_KLD_NUMBERS; i++)
        out[i] = (double)NAN;
    if (k->n == 0)
        return;
    const double se = error_of(k->nll.m2, k->n), n = (double)k->n;
    out[QS_KLD_NLL] = k->nll.mean;
    out[QS_KLD_NLL_SE] = se;
    out[QS_KLD_PPL] = exp(k->nll.mean);
    out[QS_KLD_PPL_SE] = out[QS_KLD_PPL] * se;
    if (!k->paired)
        return;
    const double se_base = error_of(k->nll_base.m2, k->n);
    const double co = k->n < 2 ? (double)NAN : k->co / n / (n - 1);
    out[QS_KLD_PPL_BASE] = exp(k->nll_base.mean);
    out[QS_KLD_PPL_BASE_SE] = out[QS_KLD_PPL_BASE] * se_base;
    out[QS_KLD_CORRELATION] = se * se_base > 0 ? co / (se * se_base) : (double)NAN;
    out[QS_KLD_LN_RATIO] = k->nll.mean - k->nll_base.mean;
    out[QS_KLD_LN_RATIO_SE] = sum_error(se, se_base, co);
    out[QS_KLD_RATIO] = exp(out[QS_KLD_LN_RATIO]);
    out[QS_KLD_RATIO_SE] = out[QS_KLD_RATIO] * out[QS_KLD_LN_RATIO_SE];
    out[QS_KLD_DIFFERENCE] = out[QS_KLD_PPL] - out[QS_KLD_PPL_BASE];
    out[QS_KLD_DIFFERENCE_SE] =
        sum_error(out[QS_KLD_PPL_SE], out[QS_KLD_PPL_BASE_SE], out[QS_KLD_PPL] * out[QS_KLD_PPL_BASE] * co);
    out[QS_KLD_MEAN] = k->kld.mean;
    out[QS_KLD_MEAN_SE] = error_of(k->kld.m2, k->n);
    out[QS_KLD_DP] = k->dp.mean;
    out[QS_KLD_DP_SE] = error_of(k->dp.m2, k->n);
    out[QS_KLD_DP_RMS] = sqrt(k->dp2.mean);
    out[QS_KLD_DP_RMS_SE] = out[QS_KLD_DP_RMS] > 0 ? 0.5 / out[QS_KLD_DP_RMS] * error_of(k->dp2.m2, k->n) : 0;
    const double same = (double)k->same_top / n;
    out[QS_KLD_SAME_TOP] = same;
    out[QS_KLD_SAME_TOP_SE] = k->n < 2 ? (double)NAN : sqrt(same * (1 - same) / (n - 1));
}

void qs_kld_numbers(struct qs_kld *k, double out[QS_KLD_NUMBERS])
{
    qs_kld_running(k, out);
    if (!k->paired || k->n == 0)
        return;
    for (size_t i = 0; i < sizeof kld_shares / sizeof *kld_shares; i++)
        out[kld_shares[i].number] = qs_sketch_at(&k->klds, kld_shares[i].share);
    for (size_t i = 0; i < sizeof dp_shares / sizeof *dp_shares; i++)
        out[dp_shares[i].number] = qs_sketch_at(&k->dps, dp_shares[i].share);
}
