/* funcs8.h - exp and tanh of eight floats: lane by lane the operations of ref/funcs.h. */
#ifndef QS_KERNELS_ARM_NEON_FUNCS8_H
#define QS_KERNELS_ARM_NEON_FUNCS8_H

#include "kernels/arm_neon/vec.h"
#include "kernels/ref/funcs.h"

/* Where x is NaN, min and max hand out their second operand. */
QS_INLINE vf at_most(vf x, float top) { return v_min(v_all(top), x); }
QS_INLINE vf at_least(vf x, float bottom) { return v_max(v_all(bottom), x); }

QS_INLINE vf step(vf p, vf r, float c) { return v_add(v_mul(p, r), v_all(c)); }

QS_INLINE vf exp8(vf x)
{
    x = at_least(at_most(x, QS_EXP_TOP), QS_EXP_BOTTOM);
    const vf z = step(x, v_all(QS_LOG2E), QS_ROUNDER), n = v_sub(z, v_all(QS_ROUNDER));
    vf r = v_sub(x, v_mul(n, v_all(QS_LN2_HIGH)));
    r = v_sub(r, v_mul(n, v_all(QS_LN2_LOW)));
    vf p = step(v_all(QS_EXP_P0), r, QS_EXP_P1);
    p = step(p, r, QS_EXP_P2);
    p = step(p, r, QS_EXP_P3);
    p = step(p, r, QS_EXP_P4);
    p = step(p, r, QS_EXP_P5);
    p = v_add(v_add(v_mul(p, v_mul(r, r)), r), v_all(1));
    const vi m = i_add(i_sub(i_bits(z), i_bits(v_all(QS_ROUNDER))), i_all(256));
    const vi a = i_shift_right(m, 1), b = i_sub(m, a), one = i_all(1);
    p = v_mul(p, v_bits(i_shift_left(i_sub(a, one), 23)));
    return v_mul(p, v_bits(i_shift_left(i_sub(b, one), 23)));
}

QS_INLINE vf tanh8(vf x)
{
    const vi sign = i_all(INT32_MIN);
    const vf a = v_abs(x), z = v_mul(x, x);
    vf p = step(v_all(QS_TANH_P0), z, QS_TANH_P1);
    p = step(p, z, QS_TANH_P2);
    p = step(p, z, QS_TANH_P3);
    p = step(p, z, QS_TANH_P4);
    p = v_add(v_mul(v_mul(p, z), x), x);
    const vf e = v_add(exp8(v_add(a, a)), v_all(1)), far = v_sub(v_all(1), v_div(v_all(2), e));
    const vf signed_far = v_bits(i_or(i_bits(v_abs(far)), i_and(sign, i_bits(x))));
    return v_pick(signed_far, p, v_less(a, v_all(QS_TANH_NEAR)));
}

#endif
