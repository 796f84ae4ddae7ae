/* codes.h - rounding weights to the levels of a lattice (lattice.h) so that rows of errors cost least: the inner loops of GPTQ.
 *
 * One table per level of instructions, a part of rows.h. All give the same bits where the products are finite: sums are in the
 * order that is said, nothing is fused. n and sub are multiples of 16. Nothing allocates.
 */
#ifndef QS_KERNELS_CODES_H
#define QS_KERNELS_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rounding to the levels of a format. */
struct qs_rounder {
    const float *level;
    int n;
    bool line;        /* levels are level[0] + code */
    float cut[16];    /* otherwise (at most 16 levels) the middles between neighbours, ascending */
    uint8_t place[16];
    float sorted[16]; /* level[place[i]] */
    int cuts;
};

/* The code nearest to t, which is (x - offset) / scale. NaN gives the lowest. */
static inline uint8_t qs_rounder_code(const struct qs_rounder *r, float t)
{
    if (r->line) {
        t -= r->level[0];
        t = t > 0 ? t : 0;
        t = t < (float)(r->n - 1) ? t : (float)(r->n - 1);
        return (uint8_t)(int)(t + 0.5f);
    }
    int i = 0;
    for (int k = 0; k < r->cuts; k++)
        i += t > r->cut[k];
    return r->place[i];
}

/* Weights of a row: offset[k / sub] + scale[k / sub] * level[k] each. */
struct qs_code_row {
    const struct qs_rounder *round;
    size_t n, sub;
    const float *scale, *offset;
    const float *level;      /* of the code as it is */
    const float *push, *h;   /* the slope of the error by each weight, halved, and its curvature */
};

/* Grids tried on the n (at most QS_TRIAL_SUB) weights of a sub-block. */
enum { QS_TRIALS = 32, QS_TRIAL_SUB = 64 };
struct qs_code_trials {
    const struct qs_rounder *round;
    size_t n, count;                  /* of trials; scale and offset have room for a multiple of 16, all finite */
    const float *h; size_t stride;    /* n rows of H */
    const float *value, *push;        /* of the weights as they stand */
    float scale[QS_TRIALS], offset[QS_TRIALS];
    float level[QS_TRIAL_SUB][QS_TRIALS], step[QS_TRIAL_SUB][QS_TRIALS]; /* results: new levels, changes of the values */
    double gain[QS_TRIALS];           /* result: how the error changes */
};

struct qs_code_ops {
    /* y += a[k] * x[k * stride + ...] for k < m in turn, n floats each; those with a[k] = 0 are left out. */
    void (*combine)(float *y, const float *x, size_t stride, const float *a, size_t m, size_t n);
    /* to[k][i] += error[i] * ratio[k] for k < m. */
    void (*feed)(float (*to)[16], const float *error, const float *ratio, size_t m);
    /* The first weight at or behind `from` whose level a step to the least of its parabola would change; n: none. Those with
     * scale 0, and h not above 0, stay. */
    size_t (*mover)(const struct qs_code_row *r, size_t from);
    /* On each grid the weights settle in two passes, each making up for those before it; gain is the sum of
     * step * (push before + push after) in double, in order. */
    void (*settle)(struct qs_code_trials *t);
};

/* Fill the tables of the levels. */
void qs_ref_codes(struct qs_code_ops *ops);
void qs_avx2_codes(struct qs_code_ops *ops);
void qs_avx512_codes(struct qs_code_ops *ops);
void qs_neon_codes(struct qs_code_ops *ops);

#endif
