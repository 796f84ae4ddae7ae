/* dot_blocks.c - products of types in blocks of 32 with Q8 activations by NEON's dot product of bytes.
 *
 * Four blocks are unpacked at a time for up to eight tokens; their integers are added up together.
 */
#include <math.h>

#include "kernels/arm_neon/dots.h"
#include "kernels/arm_neon/unpack.h"

/* One type: how a block is taken apart. */
struct kind {
    size_t bytes;
    bool minima;
    codes32 (*unpack)(const uint8_t *block);
    float (*scale)(const uint8_t *block);
};

/* ---- one row, some tokens */

enum { GROUP = 4 /* blocks that are unpacked and added up together */, TOKENS = 8 /* that share them */ };

struct group {
    codes32 c[GROUP];
    float d[GROUP], m[GROUP];
    size_t at, count;
};

QS_INLINE void unpack(const struct kind kind, const uint8_t *w, size_t at, size_t count, struct group *g)
{
    *g = (struct group){ .at = at, .count = count };
    for (size_t i = 0; i < count; i++) {
        const uint8_t *b = w + (at + i) * kind.bytes;
        g->c[i] = kind.unpack(b);
        g->d[i] = kind.scale(b);
        g->m[i] = kind.minima ? half_at(b + 2) : 0;
    }
}

/* Sums of four products each. */
QS_INLINE int32x4_t multiply(const struct group *g, size_t i, const uint8_t *x)
{
    const int8_t *q = (const int8_t *)x + 32 * (g->at + (i < g->count ? i : 0));
    return vdotq_s32(vdotq_s32(vdupq_n_s32(0), g->c[i].low, vld1q_s8(q)), g->c[i].high, vld1q_s8(q + 16));
}

/* The steps of dot.h for the blocks of a group. */
QS_INLINE float add_group(const struct kind kind, const struct group *g, const uint8_t *x, size_t cols, float a)
{
    const float *dx = qs_q8_scales(x, cols) + g->at, *sx = qs_q8_sums(x, cols) + g->at;
    const int32x4_t low = vpaddq_s32(multiply(g, 0, x), multiply(g, 1, x));
    const int32x4_t high = vpaddq_s32(multiply(g, 2, x), multiply(g, 3, x));
    float sums[GROUP];
    vst1q_f32(sums, vcvtq_f32_s32(vpaddq_s32(low, high)));
    for (size_t i = 0; i < g->count; i++) {
        a = fmaf(g->d[i] * dx[i], sums[i], a);
        a = kind.minima ? fmaf(g->m[i], sx[i], a) : a;
    }
    return a;
}

QS_INLINE void products(const struct qs_dot *j, const struct kind kind)
{
    const size_t n = j->cols / 32;
    for (size_t r = 0; r < j->rows; r++)
        for (size_t t = 0; t < j->tokens; t += TOKENS) {
            const size_t some = j->tokens - t < TOKENS ? j->tokens - t : TOKENS;
            float a[TOKENS] = { 0 };
            struct group g;
            for (size_t at = 0; at < n; at += GROUP) {
                unpack(kind, j->w + r * j->w_stride, at, n - at < GROUP ? n - at : GROUP, &g);
                for (size_t i = 0; i < some; i++)
                    a[i] = add_group(kind, &g, j->x + (t + i) * j->x_stride, j->cols, a[i]);
            }
            for (size_t i = 0; i < some; i++)
                j->out[(t + i) * j->out_stride + r] = a[i];
        }
}

#define DOT(name, minima, scale)                                                                                       \
    static void dot_##name(const struct qs_dot *j)                                                                     \
    {                                                                                                                  \
        products(j, (struct kind){ sizeof(struct qs_block_##name), minima, codes_##name, scale });                     \
    }
DOT(q4_0, false, half_at)
DOT(q4_1, true, half_at)
DOT(q5_0, false, half_at)
DOT(q5_1, true, half_at)
DOT(q8_0, false, half_at)
DOT(iq4_nl, false, half_at)
DOT(mxfp4, false, scale_mxfp4)

void qs_neon_dots_of_blocks(struct qs_dot_ops *ops)
{
    static const struct {
        int id;
        qs_dot_fn *fn;
    } all[] = {
        { QS_Q4_0, dot_q4_0 }, { QS_Q4_1, dot_q4_1 },     { QS_Q5_0, dot_q5_0 },   { QS_Q5_1, dot_q5_1 },
        { QS_Q8_0, dot_q8_0 }, { QS_IQ4_NL, dot_iq4_nl }, { QS_MXFP4, dot_mxfp4 },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ops[qs_format_index(all[i].id)].quant = all[i].fn;
}
