/* awq.h - activation-aware scales (AWQ, arXiv:2306.00978), folded into what stands before: an ordinary model as result.
 *
 * Input channel j of the matrices on one input is multiplied by s_j, and what makes that input is divided by it: the
 * preceding norm's weights (attn_in, ffn_in, the head; router, shared expert and its router go along), the rows of v
 * (attn_out; each KV head serves several heads: their scales are one), the rows of up (ffn_down, shared and routed
 * experts: each routed expert has scales of its own). Biases of v and up are divided along; fused matrices by a range
 * of rows.
 *
 * SCALES. s = mean|x|^r, or, duo, mean|x|^r / mean|w|^(1-r) with |w| relative to the largest of its group, r of a grid
 * of 20, normalised by sqrt(max * min); every candidate is judged by the output error tr(D H D^T),
 * D = W^ diag(1/s) - W, of the weighted fit of the type itself, over all matrices of the input together. r = 0 without
 * duo is no change, so that the result is never worse. CLIPPING: weights of a block are cut to a share of their
 * largest, searched likewise (not q, k).
 *
 * NOWHERE TO FOLD (said so): blocks without a norm before them (post-norm architectures), a GLU that clamps its linear
 * half (gpt-oss), a head tied to the embedding.
 */
#ifndef QS_CALIB_AWQ_H
#define QS_CALIB_AWQ_H

#include "core/calib/hessian.h"
#include "core/calib/inputs.h"
#include "core/calib/statistics.h"

/* Rows [first, first + n) of each expert are divided, n the number of different scales; vector: elements, not rows. */
struct qs_awq_place { size_t tensor, first; bool vector; };

struct qs_awq_fold {            /* where the scales of one input go; tensors are indices of the model */
    const struct qs_input *input;
    struct qs_awq_place before[4]; size_t n_before; /* norm; or v, up and their biases: divided by s */
    size_t after[8]; size_t n_after;     /* all that read the input: columns multiplied */
    size_t cols, sets;                   /* scales: sets * cols; EXPERTS_DOWN has a set per expert, others one */
    size_t heads, kv_heads;              /* attn_out: columns of heads on one KV head have the same scales; else 1, 1 */
    const char *refused;                 /* NULL: it can be done; otherwise why not, for people */
};
/* FFN_IN and EXPERTS_IN of a block are the same fold: either names all that reads the norm. */
int qs_awq_fold_of(const struct qs_engine *x, const struct qs_input *input, struct qs_awq_fold *out, struct qs_err *e);
/* What the fold does to one tensor, w all of its weights as floats: columns multiplied where it is one of `after`, rows
 * or elements divided where it is one of `before`, nothing otherwise. scale: sets * cols. */
void qs_awq_fold_apply(const struct qs_awq_fold *f, const struct qs_model *m, size_t tensor, const float *scale,
                       float *w);
/* The same in a running engine: the tensors of the fold become float32 weights made of what is in use there. After a
 * failure some of them are changed: qs_engine_set(x, tensor, NULL) puts the model's own back. */
int qs_awq_fold_engine(struct qs_engine *x, const struct qs_awq_fold *f, const float *scale, struct qs_err *e);

/* expert: whose sums of the statistics are used; 0 for dense inputs. h: of the input, for those without their own. */
struct qs_awq_search { const struct qs_input_stats *stats; size_t expert; const struct qs_hessian *h;
                       int type; bool duo; struct qs_pool *pool; enum qs_prio prio; };
/* h: of the rows that this matrix sees (a routed expert), NULL: the search's. type QS_TYPE_NONE: the search's. */
struct qs_awq_matrix { const float *w; size_t rows; int type; const struct qs_hessian *h; };
struct qs_awq_result { double r; bool duo; double before, after; /* sums of tr(D H D^T) */ unsigned tried; };
/* scale: cols, filled. heads, kv_heads as in the fold. */
int qs_awq_scales(const struct qs_awq_search *a, const struct qs_awq_matrix *m, size_t n, size_t cols, size_t heads,
                  size_t kv_heads, float *scale, struct qs_awq_result *out, struct qs_err *e);
/* Cuts weights of each block of `group` columns (a multiple of the type's block) to the share of their largest, 1 to
 * 0.55 by twentieths, that lowers the block's part of the output error most; in place. A row whose whole error would
 * grow stays as it was. cut (may be NULL): how many weights. */
int qs_awq_clip(const struct qs_awq_search *a, float *w, size_t rows, size_t cols, size_t group, uint64_t *cut,
                struct qs_err *e);
/* H and cross of the scaled input: H_ij / (s_i s_j); its drift: D_ij / s_j. And sums, largest values and sample rows of
 * one expert. */
void qs_awq_rescale_hessian(struct qs_hessian *h, const float *scale);
void qs_awq_rescale_stats(struct qs_input_stats *s, size_t expert, const float *scale);
/* w columns times scale; rows divided by scale, where rows are those of the KV heads and scale has all columns. */
void qs_awq_scale_columns(float *w, size_t rows, size_t cols, const float *scale);
void qs_awq_divide_rows(float *w, size_t rows, size_t cols, const float *scale, size_t heads, size_t kv_heads);

#endif
