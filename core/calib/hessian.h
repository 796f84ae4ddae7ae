/* hessian.h - H = X^T X / tokens of the inputs of a matrix, and, where two models are compared, (X0 - X)^T X / tokens.
 *
 * Single precision, rows added in fixed chunks of QS_HESSIAN_CHUNK in order, each chunk in tiles of fixed size spread over
 * the pool: the same bits for any thread count on one machine. Memory: 4 * cols^2 bytes each.
 *
 * Where the CPU multiplies bfloat16, inputs are rounded to it for H (not for the two others): H is then that of inputs that
 * differ by at most 1 part in 256, to either side, and positive semidefinite as ever. Each element is off by about
 * 0.0023 * sqrt(sum over rows of (x_i x_j)^2), a four-hundredth of what other text of the same kind would change. Elsewhere
 * products are those of the library, to single precision.
 */
#ifndef QS_CALIB_HESSIAN_H
#define QS_CALIB_HESSIAN_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"

#define QS_HESSIAN_CHUNK 512 /* rows */

struct qs_hessian {
    size_t cols;
    uint64_t rows;      /* added */
    float *h;           /* cols * cols: sums until qs_hessian_end, which fills both triangles and divides by rows */
    float *cross;       /* cols * cols, (X0 - X)^T X; NULL: not asked for */
    float *drift;       /* width * cols, (S0 - S)^T X with S the hidden state that the result is added to; NULL: not asked for */
    size_t width;
    uint64_t nonfinite; /* rows that hold a NaN or an infinity: they are left out */
    uint64_t first_bad; /* number of the first such row */
    /* private */
    struct qs_pool *pool;
    enum qs_prio prio;
    float *buffer, *buffer0, *buffer_drift;
    size_t held;
};

uint64_t qs_hessian_need(size_t cols, bool cross);
int qs_hessian_new(size_t cols, bool cross, struct qs_pool *pool, enum qs_prio prio, struct qs_hessian **out, struct qs_err *e);
void qs_hessian_free(struct qs_hessian *h);
/* Before the first row: hidden states of `width` floats come along (4 * (cols + QS_HESSIAN_CHUNK) * width bytes more). */
int qs_hessian_follow(struct qs_hessian *h, size_t width, struct qs_err *e);
/* n rows, stride floats apart; x0: the same rows of the original model (with cross), else NULL. */
int qs_hessian_add(struct qs_hessian *h, const float *x, const float *x0, size_t n, size_t stride, struct qs_err *e);
/* The same with the hidden states of these rows, of the original and of this model, width floats each. */
int qs_hessian_add_states(struct qs_hessian *h, const float *x, const float *x0, const float *state, const float *state0,
                          size_t n, size_t stride, struct qs_err *e);
int qs_hessian_end(struct qs_hessian *h, struct qs_err *e);
/* sum over rows r of (d_r H d_r^T), d rows * cols: output error of a weight error. Products with H in single precision, as H is,
 * their sums in double; fixed order. NaN in, NaN out. */
int qs_hessian_energy(const struct qs_hessian *h, const float *d, size_t rows, double *out, struct qs_err *e);
uint64_t qs_hessian_energy_need(size_t cols, size_t rows, unsigned threads); /* bytes it takes for a moment */

/* What inputs are rounded to before they are multiplied on this machine, at the level in force: "bfloat16" or "float32". Results of
 * a calibration depend on it. */
const char *qs_hessian_inputs(void);

#endif
