/* group.h - plain group grids (2, 3, 4, 8 bit; groups of 32 to 512 columns or a row; symmetric or not): the grids of checkpoints
 * that are not GGUF; and HQQ (half-quadratic quantization), which fits their zeros without calibration.
 *
 * w^ = (q - zero) * scale, q in [0, 2^bits); symmetric: zero = 2^(bits-1). Scales are float16 or float32 as asked; zeros are
 * integers, or real with `float_zero`. HQQ (github.com/mobiusml/hqq): min over zero of sum |w - w^|^p, p 0.7, by half-quadratic
 * splitting: beta 10, kappa 1.01, 20 iterations, early stop; only the zero is updated.
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
struct qs_group_rows { size_t rows, cols, groups; float *scale, *zero; /* rows * groups */ uint16_t *code; /* rows * cols */ };

int qs_group_rows_new(const struct qs_group_grid *g, size_t rows, size_t cols, struct qs_group_rows **out, struct qs_err *e);
void qs_group_rows_free(struct qs_group_rows *r);
int qs_group_fit(const struct qs_group_grid *g, const float *w, const float *importance /* cols or NULL: min/max with a search of the range */, struct qs_group_rows *r,
                 struct qs_pool *pool, enum qs_prio prio, struct qs_err *e);
void qs_group_decode(const struct qs_group_rows *r, float *out);

struct qs_hqq_args { double p, beta, kappa; unsigned iterations; bool round_zero; };
#define QS_HQQ_ARGS_INIT { 0.7, 10, 1.01, 20, false }
int qs_hqq_fit(const struct qs_group_grid *g, const struct qs_hqq_args *a, const float *w, struct qs_group_rows *r,
               struct qs_pool *pool, enum qs_prio prio, struct qs_err *e);
/* HQQ on GGUF types with a minimum (Q4_1, Q5_1, Q2_K, Q4_K, Q5_K; minimum kept <= 0 where the format stores it so): grid by
 * its fit, offsets by half-quadratic splitting, gathered and packed. QS_EUNSUPPORTED: a type without offsets. */
int qs_hqq_encode(int type, const struct qs_hqq_args *a, const float *w, size_t rows, size_t cols, const float *importance,
                  uint8_t *dst, struct qs_pool *pool, enum qs_prio prio, struct qs_err *e);
/* GPTQ on a group grid: as gptq.h, grids fixed beforehand (desc_act false in files: groups stay in order). */
struct qs_gptq_factor;
int qs_group_gptq(const struct qs_group_grid *g, const struct qs_hessian *h, const struct qs_gptq_factor *f, const float *w,
                  struct qs_group_rows *r, unsigned sweeps, struct qs_pool *pool, enum qs_prio prio, struct qs_err *e);

#endif
