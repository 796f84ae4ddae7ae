/* kquant.h - what the files of the K formats share: walking over blocks, the 6-bit scales of Q4_K and Q5_K, and the
 * step from the real scales of a super-block to the small integers that the file stores.
 *
 * For kernels/ref/kquant*.c and the K encoders of other levels; nobody else includes it. Everything here is defined
 * for any bit pattern.
 */
#ifndef QS_KERNELS_REF_KQUANT_H
#define QS_KERNELS_REF_KQUANT_H

#include "kernels/blocks.h"
#include "kernels/format.h"
#include "kernels/ref/grids.h"
#include "kernels/ref/search.h"

/* One super-block: x has QS_SUPER floats, w as many importance weights or is NULL. */
typedef void qs_k_fit_block_fn(const float *x, const float *w, void *grid, uint8_t *codes);

/* Call fit for every super-block of `in`, in order. The floats handed to it are copies in which every NaN has the same
 * bits, so that no result depends on which of two NaN operands a compiler lets through. */
void qs_k_fit_rows(const struct qs_rows *in, size_t grid_bytes, void *grid, void *codes, qs_k_fit_block_fn *fit);

/* Stored blocks among `count`, `bytes` apart, whose float16 at one of the offsets a, b is NaN or Inf. */
size_t qs_k_scan(const uint8_t *blocks, size_t count, size_t bytes, size_t a, size_t b);

/* The searches of the affine formats, and how many weights a sub-block has. */
struct qs_k_affine {
    int sub;                                  /* weights per sub-block; QS_SUPER / sub sub-blocks */
    int top;                                  /* largest stored scale and minimum */
    float sigma;                              /* importance: w * sqrt(sigma * mean(x^2 of the super-block) + x^2) */
    struct qs_affine_search plain, weighted;
};
extern const struct qs_k_affine qs_k_q2, qs_k_q4, qs_k_q5;

/* Bits of Q4_K and Q5_K: eight 6-bit scales and minima in twelve bytes. Bits above the sixth of an argument spill into
 * the fields of sub-block j - 4 as in the reference encoder; the caller normally has none. */
void qs_k_pack_6bit(const uint8_t scale[8], const uint8_t min[8], uint8_t out[12]);
void qs_k_unpack_6bit(const uint8_t in[12], uint8_t scale[8], uint8_t min[8]);

/* Unweighted choice of the stored scales: the largest of each kind gets the top value. scale, min: the real scales of
 * the QS_SUPER / sub sub-blocks. Fills the grid of the format. */
void qs_k_q2_grid_plain(const float *scale, const float *min, struct qs_grid_q2_k *g);
void qs_k_q45_grid_plain(const float *scale, const float *min, struct qs_grid_k8 *g);

/* Weighted choice: what qs_search_positive ended with (s, codes) for scales and for minima. */
void qs_k_q2_grid_searched(float d, float dmin, const uint8_t *scale, const uint8_t *min, struct qs_grid_q2_k *g);
void qs_k_q4_grid_searched(float d, float dmin, const uint8_t *scale, const uint8_t *min, struct qs_grid_k8 *g);
void qs_k_q5_grid_searched(float d, float dmin, const uint8_t *scale, const uint8_t *min, struct qs_grid_k8 *g);

/* The same for the symmetric formats. q6 returns false when all scales are as good as zero: the block is zero then,
 * codes included. */
void qs_k_q3_grid_plain(const float *scale, struct qs_grid_k16 *g);
void qs_k_q3_grid_searched(float d, const uint8_t *code, struct qs_grid_k16 *g);
bool qs_k_q6_grid(const float *scale, struct qs_grid_k16 *g);

#endif
