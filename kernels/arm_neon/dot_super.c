/* dot_super.c - products of types in super-blocks of 256 with Q8K activations by NEON's dot product of bytes.
 *
 * A super-block is unpacked once for up to eight tokens: sixteen vectors of codes, each with an integer scale and minimum. A
 * token's integers are added up in the lanes of one vector, then across them; |code| <= 127, |q| <= 127 and |scale| <= 128
 * leave no lane of 32 bits.
 */
#include <math.h>

#include "kernels/arm_neon/dots.h"
#include "kernels/arm_neon/unpack.h"

/* ---- one row, some tokens */

struct kind {
    size_t bytes;
    bool minima;
    void (*unpack)(const uint8_t *at, struct super *u);
};

enum { TOKENS = 8 /* that share an unpacked super-block */ };

/* The steps of dot.h for super-block i. */
QS_INLINE float add_block(const struct super *u, bool minima, size_t i, const uint8_t *x, size_t cols, float a)
{
    const int8_t *q = (const int8_t *)x + QS_SUPER * i;
    const float dx = qs_q8k_scales(x, cols)[i];
    int32x4_t sum = vdupq_n_s32(0);
    for (int g = 0; g < 16; g++)
        sum = vmlaq_n_s32(sum, vdotq_s32(vdupq_n_s32(0), u->c[g], vld1q_s8(q + 16 * g)), u->scale[g]);
    a = fmaf(u->d * dx, (float)vaddvq_s32(sum), a);
    if (!minima)
        return a;
    const int16_t *sums = qs_q8k_sums(x, cols) + 16 * i;
    sum = vdupq_n_s32(0);
    for (int g = 0; g < 16; g += 4)
        sum = vmlal_s16(sum, vld1_s16(u->min + g), vld1_s16(sums + g));
    return fmaf(-(u->dmin * dx), (float)vaddvq_s32(sum), a);
}

QS_INLINE void products(const struct qs_dot *j, const struct kind kind)
{
    for (size_t r = 0; r < j->rows; r++)
        for (size_t t = 0; t < j->tokens; t += TOKENS) {
            const size_t some = j->tokens - t < TOKENS ? j->tokens - t : TOKENS;
            const uint8_t *w = j->w + r * j->w_stride;
            float a[TOKENS] = { 0 };
            struct super u;
            for (size_t i = 0; i < j->cols / QS_SUPER; i++) {
                kind.unpack(w + i * kind.bytes, &u);
                for (size_t k = 0; k < some; k++)
                    a[k] = add_block(&u, kind.minima, i, j->x + (t + k) * j->x_stride, j->cols, a[k]);
            }
            for (size_t k = 0; k < some; k++)
                j->out[(t + k) * j->out_stride + r] = a[k];
        }
}

#define DOT(name, minima)                                                                                              \
    static void dot_##name(const struct qs_dot *j)                                                                     \
    {                                                                                                                  \
        products(j, (struct kind){ sizeof(struct qs_block_##name), minima, unpack_##name });                           \
    }
DOT(q2_k, true)
DOT(q3_k, false)
DOT(q4_k, true)
DOT(q5_k, true)
DOT(q6_k, false)
DOT(iq4_xs, false)

void qs_neon_dots_of_super_blocks(struct qs_dot_ops *ops)
{
    static const struct {
        int id;
        qs_dot_fn *fn;
    } all[] = {
        { QS_Q2_K, dot_q2_k }, { QS_Q3_K, dot_q3_k }, { QS_Q4_K, dot_q4_k },
        { QS_Q5_K, dot_q5_k }, { QS_Q6_K, dot_q6_k }, { QS_IQ4_XS, dot_iq4_xs },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ops[qs_format_index(all[i].id)].quant = all[i].fn;
}
