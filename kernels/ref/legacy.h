/* legacy.h - the weighted search of one block of Q4_0, Q4_1, Q5_0, Q5_1, for legacy.c and for other levels, which take it
 * for the blocks that their own search does not cover.
 *
 * x and importance: 32 floats; mean_square: of the whole row. Codes as in grids.h. Returned: the scale, not yet rounded
 * to float16 (qs_f16_scale).
 */
#ifndef QS_KERNELS_REF_LEGACY_H
#define QS_KERNELS_REF_LEGACY_H

#include "kernels/ref/search.h"

/* The candidates of the affine search with codes 0..top. */
#define QS_LEGACY_SEARCH(top) {.nmax = (top), .first = -0.9f, .step = 0.05f, .steps = 36}

float qs_legacy_symmetric(const float *x, const float *importance, float mean_square, int half, uint8_t *code);
float qs_legacy_affine(const float *x, const float *importance, float mean_square, int top, uint8_t *code, float *min);

#endif
