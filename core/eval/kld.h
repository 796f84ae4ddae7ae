/* kld.h - what two rows of logits say of each other, and the statistics of many such rows.
 *
 * DEFINITIONS are those of llama.cpp's `llama-perplexity --kl-divergence` (tools/perplexity/perplexity.cpp, 0c1e57098).
 * Of a position, with p the model's and b the reference's probabilities and t the token that really follows:
 *
 *     nll = -ln p[t]      nll_base = -ln b[t]      dp = p[t] - b[t]
 *     kld = sum over the vocabulary of b[i] * (ln b[i] - ln p[i])
 *     same top: both have the same likeliest token (of equal ones the first)
 *
 * Over n positions: perplexity exp(mean nll); the error of a mean is sqrt(mean of squares - square of mean) / sqrt(n -
 * 1), that of a perplexity its value times the error of the mean, that of ln(PPL/PPL(base)) takes the covariance of
 * both nll into account, that of a share s is sqrt(s (1 - s) / (n - 1)). RMS of dp: sqrt(mean dp^2), its error 0.5 /
 * RMS times the error of that mean.
 *
 * DIFFERENCES. llama.cpp stores the reference's logits in 16 bits and leaves tokens with ln b[i] <= -16 out of the sum;
 * here both are whole, in double precision. So a model against itself has kld exactly 0. A sum that rounding makes
 * negative is 0.
 *
 * Chats (core/chat, the room above this one) score their tokens with qs_kld_row too: one arithmetic for both.
 *
 * NOT FINITE. A row with a NaN or an infinity in it counts in n_bad with its first place; nothing of it is averaged.
 */
#ifndef QS_CORE_KLD_H
#define QS_CORE_KLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/eval/sketch.h"

struct qs_kld_row {
    double nll, nll_base;    /* NaN: not known (bad row; no reference) */
    double kld, dp;
    int32_t top, top_base;   /* -1: not known */
    bool bad, bad_base;      /* a logit of the model's, of the reference's row is not finite */
};

/* One position. base NULL: no reference. n: ids that count (qs_vocab_rows); token: the one that follows, in [0, n). */
void qs_kld_row(const float *base, const float *logits, size_t n, int32_t token, struct qs_kld_row *out);

struct qs_moment { double mean, m2; }; /* Welford's: m2 is the sum of squared distances from the mean */

struct qs_kld {
    bool paired;             /* there is a reference */
    uint64_t n;              /* positions counted */
    uint64_t n_bad, n_bad_base;
    uint64_t first_bad, first_bad_base; /* `at` of the first; UINT64_MAX: none */
    uint64_t same_top;
    struct qs_moment nll, nll_base, kld, dp, dp2;
    double co;               /* sum of products of both nll's distances from their means */
    struct qs_sketch klds, dps;
};

void qs_kld_init(struct qs_kld *k, bool paired);
void qs_kld_free(struct qs_kld *k);
int qs_kld_add(struct qs_kld *k, const struct qs_kld_row *row, uint64_t at, struct qs_err *e);

/* The numbers, in the order of qs_kld_names. NaN: not known (too few positions, no reference). */
enum qs_kld_number {
    QS_KLD_PPL, QS_KLD_PPL_SE, QS_KLD_PPL_BASE, QS_KLD_PPL_BASE_SE, QS_KLD_NLL, QS_KLD_NLL_SE, QS_KLD_CORRELATION,
    QS_KLD_LN_RATIO, QS_KLD_LN_RATIO_SE, QS_KLD_RATIO, QS_KLD_RATIO_SE, QS_KLD_DIFFERENCE, QS_KLD_DIFFERENCE_SE,
    QS_KLD_MEAN, QS_KLD_MEAN_SE, QS_KLD_MAX, QS_KLD_999, QS_KLD_99, QS_KLD_95, QS_KLD_90, QS_KLD_MEDIAN, QS_KLD_10,
    QS_KLD_05, QS_KLD_01, QS_KLD_001, QS_KLD_MIN,
    QS_KLD_DP, QS_KLD_DP_SE, QS_KLD_DP_MAX, QS_KLD_DP_999, QS_KLD_DP_99, QS_KLD_DP_95, QS_KLD_DP_90, QS_KLD_DP_75,
    QS_KLD_DP_MEDIAN, QS_KLD_DP_25, QS_KLD_DP_10, QS_KLD_DP_05, QS_KLD_DP_01, QS_KLD_DP_001, QS_KLD_DP_MIN,
    QS_KLD_DP_RMS, QS_KLD_DP_RMS_SE, QS_KLD_SAME_TOP, QS_KLD_SAME_TOP_SE,
    QS_KLD_NUMBERS
};
struct qs_kld_name {
    const char *key;    /* stable: reports, history */
    const char *label;  /* for people; NULL: an error bar, shown with the number before it */
    char group;         /* 'p' perplexity, 'k' KL divergence, 'd' change of probability */
    bool share;         /* 0..1, shown as percent */
    bool paired;        /* needs a reference */
};
extern const struct qs_kld_name qs_kld_names[QS_KLD_NUMBERS];

/* All of them; percentiles sort the values kept, so this is for the end. */
void qs_kld_numbers(struct qs_kld *k, double out[QS_KLD_NUMBERS]);
/* Without percentiles (NaN), at no cost: while it runs. */
void qs_kld_running(const struct qs_kld *k, double out[QS_KLD_NUMBERS]);

#endif
