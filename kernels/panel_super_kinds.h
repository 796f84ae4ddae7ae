/* panel_super_kinds.h - what the kernels of one level need of each type in panels of super-blocks (panel_super.h): how codes
 * and scales come out of a panel. Included by a level's panel_super.c after its vectors (panel_vec.h).
 *
 * A unit of 64 columns has groups of 16 or 32 columns that share a scale. Codes come out times a power of two that belongs to
 * the group's place in the unit, scales times the one that brings all groups to the same, 2^shift: sums of integers are exact,
 * and are shifted back once for a super-block. Types without minima have codes from `offset` on: sums of a group then begin
 * with minus that many times the sum of the activations. 2^shift * |sum| < 2^31 for any bytes.
 *
 * Where dot products want codes with signs (QS_PV_SIGNED), those of a group that need all eight bits come out halved, and their
 * scales doubled.
 */
#ifndef QS_KERNELS_PANEL_SUPER_KINDS_H
#define QS_KERNELS_PANEL_SUPER_KINDS_H

#include "kernels/panel_super.h"

enum { ROW4 = QS_PANEL_ROWS * 4 }; /* bytes of a word, and between words */
enum { TOP = QS_PV_SIGNED };       /* by how many bits the highest codes are lowered */

/* Scales of a super-block, of the lanes' rows. */
struct scales {
    qs_pv scale[16]; /* of each group */
    qs_pv min[8];    /* pairs of int16 in the order of the crossed sums */
};

typedef void scales_fn(const uint8_t *head, const uint8_t *body, struct scales *s);
typedef qs_pv code_fn(const uint8_t *unit, int group, int i);      /* columns 4i.. of a group; constants after unrolling */
typedef void start_fn(const int16_t *sums, int32_t out[16]);     /* what activations' sums are needed as */

struct kind {
    int halves, scale_words, unit; /* as in struct qs_panel_super */
    int group;                     /* columns that share a scale: 16 or 32 */
    int shift;
    int minima;                    /* pairs of them; 0: codes have an offset */
    scales_fn *scales;
    code_fn *code;
    start_fn *start;               /* minima: the crossed sums; else what the sum of each group begins with */
};

/* ---- bytes of words to integers */

/* Byte k as an unsigned number below 2^bits, times 2^times. */
QS_INLINE qs_pv byte_of(qs_pv w, int k, int bits, int times)
{
    return qs_pv_and(qs_pv_shift32(w, times - 8 * k), qs_pv_all32(((1 << bits) - 1) << times));
}

/* Byte k with its sign, times 2^times. */
QS_INLINE qs_pv signed_byte_of(qs_pv w, int k, int times)
{
    const qs_pv v = qs_pv_right32_signed(qs_pv_left32(w, 24 - 8 * k), 24 - times);
    return k > 0 && times > 0 ? qs_pv_and(v, qs_pv_all32(-(1 << times))) : v;
}

QS_INLINE qs_pv word(const uint8_t *at, int i) { return qs_pv_load(at + i * ROW4); }
QS_INLINE qs_pv word_bits(const uint8_t *at, int i, int mask) { return qs_pv_and(word(at, i), qs_pv_all8(mask)); }
QS_INLINE qs_pv lowered(qs_pv even) { return TOP ? qs_pv_right16(even, TOP) : even; } /* bytes whose lowest bit is clear */

/* ---- Q4_K, Q5_K: 6-bit scales and minima of 32 columns in twelve bytes */

QS_INLINE void minima_pairs(qs_pv m, qs_pv *out) /* bytes 0 to 3 -> pairs (0, 2) and (1, 3) */
{
    const qs_pv even = qs_pv_all32(0x00ff00ff);
    out[0] = qs_pv_and(m, even);
    out[1] = qs_pv_and(qs_pv_right32(m, 8), even);
}

QS_INLINE void scales_6bit(const uint8_t *body, int times, struct scales *s)
{
    const qs_pv a = word(body, 0), b = word(body, 1), c = word(body, 2), low = qs_pv_all8(15), two = qs_pv_all8(0x30);
    const qs_pv high = qs_pv_or_and(qs_pv_and(c, low), qs_pv_right32(a, 2), two);
    QS_UNROLL
    for (int k = 0; k < 4; k++) {
        s->scale[k] = byte_of(a, k, 6, k % 2 ? TOP : times);
        s->scale[4 + k] = byte_of(high, k, 6, k % 2 ? TOP : times);
    }
    minima_pairs(qs_pv_and(b, qs_pv_all8(63)), s->min);
    minima_pairs(qs_pv_or_and(qs_pv_and(qs_pv_right32(c, 4), low), qs_pv_right32(b, 2), two), s->min + 2);
}

QS_INLINE void scales_q4_k(const uint8_t *head, const uint8_t *body, struct scales *s)
{
    (void)head;
    scales_6bit(body, 4, s);
}
QS_INLINE qs_pv code_q4_k(const uint8_t *unit, int group, int i) 
{
    return group ? lowered(word_bits(unit, i, 0xf0)) : word_bits(unit, i, 0x0f);
}

QS_INLINE void scales_q5_k(const uint8_t *head, const uint8_t *body, struct scales *s)
{
    (void)head;
    scales_6bit(body, 3, s);
}
QS_INLINE qs_pv code_q5_k(const uint8_t *unit, int group, int i)
{
    if (group == 0)
        return word_bits(unit, i, 0x1f);
    const qs_pv two = qs_pv_shift32(word(unit, 8 + i % 2), 3 - i / 2 * 2);
    return lowered(qs_pv_or_and(word_bits(unit, i, 0xe0), two, qs_pv_all8(0x18)));
}

/* ---- Q6_K: signed 8-bit scales of 16 columns */

QS_INLINE void scales_q6_k(const uint8_t *head, const uint8_t *body, struct scales *s)
{
    (void)head;
    QS_UNROLL
    for (int k = 0; k < 16; k++)
        s->scale[k] = signed_byte_of(word(body, k / 4), k % 4, k % 4 < 3 ? 2 : TOP);
}
QS_INLINE qs_pv code_q6_k(const uint8_t *unit, int group, int i)
{
    if (group < 3)
        return word_bits(unit, 4 * group + i, 0x3f);
    const qs_pv two = qs_pv_or_and(word_bits(unit, 8 + i, 0xc0), qs_pv_right32(word(unit, 4 + i), 2), qs_pv_all8(0x30));
    return lowered(qs_pv_or_and(two, qs_pv_right32(word(unit, i), 4), qs_pv_all8(0x0c)));
}
QS_INLINE void start_q6_k(const int16_t *sums, int32_t out[16])
{
    enum { LAST = -128 / (1 << TOP) };
    static const int32_t by[16] = { -32, -32, -32, LAST, -32, -32, -32, LAST, -32, -32, -32, LAST, -32, -32, -32, LAST };
    qs_p_sums_times(sums, by, out);
}

/* ---- IQ4_XS: 6-bit scales of 32 columns less 32; codes are places in a table */

QS_INLINE void scales_iq4_xs(const uint8_t *head, const uint8_t *body, struct scales *s)
{
    const qs_pv l = word(body, 0), low = qs_pv_all8(15), two = qs_pv_all8(0x30), less = qs_pv_all8(32);
    qs_pv h = qs_pv_words32(head + ROW4 / 2); /* two bits of each scale; first four to a byte */
    h = qs_pv_and(qs_pv_or(h, qs_pv_left32(h, 8)), qs_pv_all32(0x00ff00ff));
    h = qs_pv_and(qs_pv_or(h, qs_pv_left32(h, 4)), low);
    const qs_pv even = qs_pv_sub8(qs_pv_or_and(qs_pv_and(l, low), qs_pv_left32(h, 4), two), less);
    const qs_pv odd = qs_pv_sub8(qs_pv_or_and(qs_pv_and(qs_pv_right32(l, 4), low), qs_pv_left32(h, 2), two), less);
    QS_UNROLL
    for (int k = 0; k < 4; k++) {
        s->scale[2 * k] = signed_byte_of(even, k, 0);
        s->scale[2 * k + 1] = signed_byte_of(odd, k, 0);
    }
}
QS_INLINE qs_pv code_iq4_xs(const uint8_t *unit, int group, int i)
{
    static const uint8_t table[16] = { 1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241 }; /* + 128 */
    const qs_pv w = word(unit, 4 * group + i % 4), values = qs_pv_add8(qs_pv_table(table), qs_pv_all8(QS_PV_SIGNED ? 128 : 0));
    return qs_pv_pick(values, qs_pv_and(i < 4 ? w : qs_pv_right32(w, 4), qs_pv_all8(15)));
}
QS_INLINE void start_iq4_xs(const int16_t *sums, int32_t out[16]) 
{
    qs_p_pair_sums_times(sums, QS_PV_SIGNED ? 0 : -128, out);
}

/* ---- Q2_K: 4-bit scales and minima of 16 columns in a byte */

QS_INLINE void scales_q2_k(const uint8_t *head, const uint8_t *body, struct scales *s)
{
    (void)head;
    QS_UNROLL
    for (int q = 0; q < 4; q++) {
        const qs_pv w = word(body, q);
        QS_UNROLL
        for (int k = 0; k < 4; k++)
            s->scale[4 * q + k] = byte_of(w, k, 4, k < 3 ? 6 - 2 * k : TOP);
        minima_pairs(qs_pv_and(qs_pv_right32(w, 4), qs_pv_all8(15)), s->min + 2 * q);
    }
}
QS_INLINE qs_pv code_q2_k(const uint8_t *unit, int group, int i) 
{
    const qs_pv w = word_bits(unit, i, 3 << 2 * group);
    return group == 3 ? lowered(w) : w;
}

/* ---- Q3_K: 6-bit scales of 16 columns less 32 */

QS_INLINE void scales_q3_k(const uint8_t *head, const uint8_t *body, struct scales *s)
{
    static const int times[4] = { 5, 2, TOP, 1 };
    (void)head;
    QS_UNROLL
    for (int q = 0; q < 4; q++) {
        const qs_pv low = qs_pv_and(qs_pv_right32(word(body, q % 2), q < 2 ? 0 : 4), qs_pv_all8(15));
        const qs_pv w = qs_pv_or_and(low, qs_pv_shift32(word(body, 2), 4 - 2 * q), qs_pv_all8(0x30));
        QS_UNROLL
        for (int k = 0; k < 4; k++)
            s->scale[4 * q + k] = signed_byte_of(qs_pv_sub8(w, qs_pv_all8(32)), k, times[k]);
    }
}
QS_INLINE qs_pv code_q3_k(const uint8_t *unit, int group, int i)
{
    if (group < 2)
        return word_bits(unit, i, group ? 0x38 : 0x07);
    const qs_pv rest = word(unit, 4 + i % 2);
    if (group == 3)
        return qs_pv_and(qs_pv_shift32(rest, i < 2 ? 4 : 0), qs_pv_all8(0x70));
    return lowered(qs_pv_or_and(word_bits(unit, i, 0xc0), qs_pv_shift32(rest, i < 2 ? 2 : -2), qs_pv_all8(0x20)));
}
QS_INLINE void start_q3_k(const int16_t *sums, int32_t out[16])
{
    enum { THIRD = -128 / (1 << TOP) };
    static const int32_t by[16] = { -4, -32, THIRD, -64, -4, -32, THIRD, -64, -4, -32, THIRD, -64, -4, -32, THIRD, -64 };
    qs_p_sums_times(sums, by, out);
}

/* ---- all */

static const struct kind kind_q2_k = { 2, 4, 4, 16, 6, 8, scales_q2_k, code_q2_k, qs_p_crossed };
static const struct kind kind_q3_k = { 1, 3, 6, 16, 5, 0, scales_q3_k, code_q3_k, start_q3_k };
static const struct kind kind_iq4_xs = { 2, 1, 8, 32, 0, 0, scales_iq4_xs, code_iq4_xs, start_iq4_xs };
static const struct kind kind_q4_k = { 2, 3, 8, 32, 4, 4, scales_q4_k, code_q4_k, qs_p_crossed_pairs };
static const struct kind kind_q5_k = { 2, 3, 10, 32, 3, 4, scales_q5_k, code_q5_k, qs_p_crossed_pairs };
static const struct kind kind_q6_k = { 1, 4, 12, 16, 2, 0, scales_q6_k, code_q6_k, start_q6_k };

#endif
