/* awq.h - activation-aware scales (AWQ, arXiv:2306.00978), folded into what stands before: an ordinary model as result.
 *
 * Input channel j of the matrices on one input is multiplied by s_j, and what makes that input is divided by it: the preceding
 * norm's weights (attn_in, ffn_in; router and shared expert's router go along), the rows of v (attn_out; each KV head serves several heads: their scales are
 * tied), the rows of up (ffn_down). s = mean|x|^r, optionally over mean|w|^(1-r), r of a grid of 20, normalised by
 * sqrt(max * min); the r with the lowest output error on the sample wins; r = 0 is no change. Clipping: weights of a block are cut
 * to a share of their largest, searched likewise (not q, k).
 * NOWHERE TO FOLD (said so): post-norm blocks without a norm before, ffn_down of a GLU whose up has a nonlinearity on it (gpt-oss), a norm that several
 * inputs share, value rows behind a bias that is absent is fine; a bias is scaled along.
 */
#ifndef QS_CALIB_AWQ_H
#define QS_CALIB_AWQ_H

#include "core/calib/hessian.h"
#include "core/calib/inputs.h"
#include "core/calib/statistics.h"

struct qs_awq_fold {            /* where the scales of one input go; tensors are indices of the model */
    const struct qs_input *input;
    size_t before[4]; size_t n_before;   /* norm or v / up (and its bias): divided by s, by rows (a norm: by element) */
    size_t after[8]; size_t n_after;     /* all that read the input: columns multiplied */
    size_t share;                        /* columns j, j + share ... have one scale; 0: each its own (grouped heads) */
    const char *refused;                 /* NULL: it can be done; otherwise why not, for people */
};
int qs_awq_fold_of(const struct qs_engine *x, const struct qs_inputs *in, const struct qs_input *input, struct qs_awq_fold *out, struct qs_err *e);

struct qs_awq_search { const struct qs_input_stats *stats; const struct qs_hessian *h; /* error is measured under it */
                       int type; bool duo; struct qs_pool *pool; enum qs_prio prio; };
struct qs_awq_matrix { const float *w; size_t rows; int type; };
struct qs_awq_result { double r; bool duo; double before, after; /* output errors */ };
/* scale: cols, filled; share as in the fold (its columns have one scale). */
int qs_awq_scales(const struct qs_awq_search *a, const struct qs_awq_matrix *m, size_t n, size_t cols, size_t heads, size_t kv_heads,
                  float *scale, struct qs_awq_result *out, struct qs_err *e);
/* Cuts weights of each block of `group` to the share of their largest that lowers the output error most; in place. */
int qs_awq_clip(const struct qs_awq_search *a, float *w, size_t rows, size_t cols, size_t group, uint64_t *cut, struct qs_err *e);
/* H and cross of the scaled input: H_ij / (s_i s_j). Also sum2, max, rows of statistics. */
void qs_awq_rescale_hessian(struct qs_hessian *h, const float *scale);
/* w columns times scale; rows divided by scale. */
void qs_awq_scale_columns(float *w, size_t rows, size_t cols, const float *scale);
void qs_awq_divide_rows(float *w, size_t rows, size_t cols, const float *scale, size_t heads, size_t kv_heads);

#endif
