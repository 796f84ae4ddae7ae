/* group.h - plain group grids (2, 3, 4, 8 bit; groups of 32, 64, 128, 256, 512 columns or a row; symmetric or not): the
 * grids of checkpoints that are not GGUF; and HQQ (half-quadratic quantization), which fits zeros without calibration.
 *
 * w^ = (q - zero) * scale in single precision, q in [0, 2^bits); symmetric: zero = 2^(bits-1). Scales are float32, or
 * float16 with `half_scale`; zeros are integers in [0, 2^bits), or with `float_zero` real numbers stored as scales are.
 * HQQ (github.com/mobiusml/hqq): min over zero of sum |w - w^|^p, p 0.7, by half-quadratic splitting: beta 10,
 * kappa 1.01, 20 turns; only the zero is updated, group by group; of all turns the zero with the lowest sum is kept.
 * All results have the same bits for any thread count (pool NULL: the caller's thread).
 */
#ifndef QS_CALIB_GROUP_H
#define QS_CALIB_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"
#include "core/calib/hessian.h"

struct qs_group_grid { unsigned bits; size_t group /* 0: a row */; bool symmetric, float_zero, half_scale; };
struct qs_group_rows {
    size_t rows, cols, groups;
    float *scale, *zero; /* rows * groups */
    uint16_t *code;      /* rows * cols */
};

/* QS_EINVAL: no such grid (bits, group, symmetric with real zeros), or groups that do not fill the columns. */
int qs_group_rows_new(const struct qs_group_grid *g, size_t rows, size_t cols, struct qs_group_rows **out,
                      struct qs_err *e);
void qs_group_rows_free(struct qs_group_rows *r);
/* Scales, zeros and nearest codes. importance (cols) NULL: by smallest and largest weight; otherwise the range is
 * searched, scale and zero are fitted anew for the lowest sum of importance * (w - w^)^2. QS_EFORMAT: a weight is not
 * finite. */
int qs_group_fit(const struct qs_group_grid *g, const float *w, const float *importance, struct qs_group_rows *r,
                 struct qs_pool *pool, enum qs_prio prio, struct qs_err *e);
void qs_group_decode(const struct qs_group_rows *r, float *out);

struct qs_hqq_args {
    double p, beta, kappa; unsigned iterations;
    bool round_zero;
    bool absolute;  /* shrinks errors as they are, as published; otherwise in units of the scale, so that beta means the
                     * same for weights of any size */
};
#define QS_HQQ_ARGS_INIT { 0.7, 10, 1.01, 20, false, false }
/* QS_EINVAL: a symmetric grid, whose zero is fixed. */
int qs_hqq_fit(const struct qs_group_grid *g, const struct qs_hqq_args *a, const float *w, struct qs_group_rows *r,
               struct qs_pool *pool, enum qs_prio prio, struct qs_err *e);
/* HQQ on GGUF types with a minimum (Q4_1, Q5_1, Q2_K, Q4_K, Q5_K; minimum kept <= 0 where the format stores it so):
 * grid by its fit, offsets by half-quadratic splitting, gathered and packed; blocks whose sum of |w - w^|^p did not fall
 * stay as the fit made them. QS_EUNSUPPORTED: a type without offsets. */
int qs_hqq_encode(int type, const struct qs_hqq_args *a, const float *w, size_t rows, size_t cols,
                  const float *importance, uint8_t *dst, struct qs_pool *pool, enum qs_prio prio, struct qs_err *e);
/* GPTQ on a group grid: as gptq.h, on the scales and zeros that are in r (act-order moves no column to another group:
 * files say desc_act false), then coordinate descent; rows whose error would not fall keep the codes they had. */
struct qs_gptq_factor;
int qs_group_gptq(const struct qs_group_grid *g, const struct qs_hessian *h, const struct qs_gptq_factor *f,
                  const float *w, struct qs_group_rows *r, unsigned sweeps, struct qs_pool *pool, enum qs_prio prio,
                  struct qs_err *e);

#endif
