/* panel_super_few.h - a panel of super-blocks times one to eight tokens: codes go from the panel through registers straight
 * into the products. Included by a level's panel_super.c after panel_super_kinds.h.
 */
#ifndef QS_KERNELS_PANEL_SUPER_FEW_H
#define QS_KERNELS_PANEL_SUPER_FEW_H

#include "kernels/panel_super_kinds.h"

enum { FEW = 8, AHEAD = 4096 /* bytes between what is multiplied and what is fetched from memory */ };

/* Compilers keep arrays of vectors in memory: one name for each token. */
#define FEW_TOKENS(M)                                                                                                  \
    M(0) if (T > 1) { M(1) } if (T > 2) { M(2) } if (T > 3) { M(3) } if (T > 4) { M(4) } if (T > 5) { M(5) }           \
    if (T > 6) { M(6) } if (T > 7) { M(7) }
#define FEW_NAMES(type, name, value)                                                                                   \
    type name##0 = value, name##1 = name##0, name##2 = name##0, name##3 = name##0, name##4 = name##0,                  \
         name##5 = name##0, name##6 = name##0, name##7 = name##0

/* Out: LANES rows from the panel's bytes at `lane` on, of T tokens; x[T] and so on repeat the last one. */
QS_INLINE void few_tokens(const int T, const struct kind k, const uint8_t *panel, size_t lane, size_t cols,
                          const uint8_t *const x[FEW], float (*out)[QS_PV_LANES])
{
    const size_t blocks = cols / QS_SUPER;
    const uint8_t *head = panel + lane * 2, *body = panel + blocks * (size_t)k.halves * ROW4 / 2 + lane * 4;
    FEW_NAMES(qs_pf, a, qs_pf_zero());
#define NAME(t) const uint8_t *x##t = x[t];
    NAME(0) NAME(1) NAME(2) NAME(3) NAME(4) NAME(5) NAME(6) NAME(7)
#undef NAME
    for (size_t b = 0; b < blocks; b++) {
        struct scales s;
        int32_t start[FEW][16] __attribute__((aligned(64)));
#define START(t) k.start(qs_q8k_sums(x[t], cols) + 16 * b, start[t]);
        FEW_TOKENS(START)
        k.scales(head, body, &s);
        const uint8_t *unit = body + k.scale_words * ROW4;
        const qs_pv *scale = s.scale;
        FEW_NAMES(qs_pv, sum, qs_pv_zero());
        for (int u = 0, g = 0; u < 4; u++, unit += k.unit * ROW4) {
            for (int w = 0; w <= k.unit; w++)
                qs_p_ahead(unit + AHEAD + w * ROW4);
            QS_UNROLL
            for (int n = 0; n < 64 / k.group; n++, g++, scale++) {
                FEW_NAMES(qs_pv, p, qs_pv_zero());
#define BEGIN(t) p##t = k.minima ? qs_pv_zero() : qs_pv_spread(&start[t][g]);
                FEW_TOKENS(BEGIN)
                QS_UNROLL
                for (int i = 0; i < k.group / 4; i++) {
                    const qs_pv c = k.code(unit, n, i);
#define DOT4(t) p##t = qs_pv_dot(p##t, c, qs_pv_spread(x##t)); x##t += 4;
                    FEW_TOKENS(DOT4)
                }
#define ADD(t) sum##t = qs_pv_add32(sum##t, qs_pv_mul32(p##t, *scale));
                FEW_TOKENS(ADD)
            }
        }
        const qs_pf d = qs_pf_halves(head);
#define FINISH(t)                                                                                                      \
        a##t = qs_pf_fma(qs_pf_mul(d, qs_pf_all(qs_q8k_scales(x[t], cols)[b])), qs_pf_from(qs_pv_right32_signed(sum##t, k.shift)), a##t);
        FEW_TOKENS(FINISH)
        if (k.minima) {
            const qs_pf dmin = qs_pf_halves(head + ROW4 / 2);
#define MINIMA(t)                                                                                                      \
            sum##t = qs_pv_zero();                                                                                         \
            QS_UNROLL                                                                                                  \
            for (int m = 0; m < k.minima; m++)                                                                         \
                sum##t = qs_pv_dot2(sum##t, s.min[m], qs_pv_spread(&start[t][m]));                                             \
            a##t = qs_pf_fma_less(qs_pf_mul(dmin, qs_pf_all(qs_q8k_scales(x[t], cols)[b])), qs_pf_from(sum##t), a##t);
            FEW_TOKENS(MINIMA)
        }
        head += k.halves * ROW4 / 2;
        body += (k.scale_words + 4 * k.unit) * ROW4;
    }
#define KEEP(t) qs_pf_store(out[t], a##t);
    FEW_TOKENS(KEEP)
}

#endif
