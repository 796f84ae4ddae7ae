/* lattice_search.h - from wished scales of sub-blocks to the super-block that comes nearest to them.
 *
 * For kernels/ref/lattice.c; nobody else includes it. Pure; defined for any input: what is not finite counts as zero.
 */
#ifndef QS_KERNELS_REF_LATTICE_SEARCH_H
#define QS_KERNELS_REF_LATTICE_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

/* How the numbers of a super-block are stored. */
struct qs_scales_store {
    int n;                      /* sub-blocks, 1 to 16 */
    int lo, hi;                 /* integers */
    bool negative;              /* d may be below 0 */
    float (*stored)(float d);   /* the number of the format that is nearest to d */
};

/* v[j] ~ d * code[j], sub-block j counting w[j] (NULL: all alike) times the square of its miss: tries many d, each
 * improved by least squares, as stored. Returns the best d. With lo == hi (one number of its own): v[0] as stored. */
float qs_scales_search(const struct qs_scales_store *how, const float *v, const float *w, int16_t *code);

#endif
