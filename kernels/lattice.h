/* lattice.h - formats that round every weight by itself, seen as numbers: what GPTQ and its kin work on.
 *
 * A weight of such a format is  offset[s] + scale[s] * level[code]  in single precision, without fused multiply-add,
 * with s the number of its sub-block: bit for bit what decode makes of it. `sub` weights next to each other share a
 * sub-block. Codes are those of `fit`, `round` and `pack` (format.h): one byte per weight, in the order of the weights.
 *
 * Formats: Q2_K Q3_K Q4_K Q5_K Q6_K Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 IQ4_NL IQ4_XS, and others whose codes stand for one weight
 * each (TQ1_0, TQ2_0, MXFP4, NVFP4, Q1_0, Q2_0). Formats whose codes stand for several weights (codebooks) have none.
 */
#ifndef QS_KERNELS_LATTICE_H
#define QS_KERNELS_LATTICE_H

#include "kernels/format.h"

/* What `sub`-blocks that are stored together are made of: the scale of sub-block j is d * scale[j] and its offset
 * -(dmin * min[j]), both products in single precision. Where each sub-block has its own numbers the integers are 1. */
struct qs_lattice_super {
    float d, dmin;
    int16_t scale[16], min[16];
};

struct qs_lattice {
    int type;
    uint16_t sub;            /* weights of a sub-block; divides the format's block */
    uint16_t super;          /* weights that share d and dmin: sub * (1 to 16); divides the format's block */
    uint16_t n_levels;       /* codes are [0, n_levels) */
    const float *level;      /* of each code; need not ascend */
    bool offset;             /* sub-blocks have an offset (a minimum), else it is -0 (which adds nothing) */
    bool offset_negative;    /* it is stored as something to subtract, and cannot be above 0 (Q2_K, Q4_K, Q5_K) */
    bool scale_negative;     /* d may be below 0 */
    int16_t scale_lo, scale_hi; /* stored integers of scales; minima (with an offset) are [0, scale_hi]; 1, 1: none */
    /* The numbers of a grid as `fit` made it: rows * (cols / sub) each. */
    void (*spread)(const void *grid, size_t rows, size_t cols, float *scale, float *offset);
    /* The way back: the grid of the format that is nearest to wished scales and offsets, where a sub-block counts by
     * weight[rows * (cols / sub)] (NULL: all alike): super-block scales are searched, then what they multiply. */
    void (*gather)(const float *scale, const float *offset, const float *weight, size_t rows, size_t cols, void *grid);
    /* One `super` of a grid, numbered from its first row's first: read, and written with d and dmin rounded as the
     * format stores them (to the nearest: read it again to see). */
    void (*take)(const void *grid, size_t i, struct qs_lattice_super *out);
    void (*put)(const struct qs_lattice_super *s, void *grid, size_t i);
};

const struct qs_lattice *qs_lattice_of(int type); /* NULL: there is none */

#endif
