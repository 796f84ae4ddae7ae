/* ref.h - the plain C operations of every format, by name. Shapes and meaning: kernels/format.h.
 *
 * QS_REF_FORMATS lists the formats that encode, as X(lower name, UPPER NAME); each has
 *     qs_ref_<lower>_decode  _fit  _round  _pack  _scan
 * QS_REF_READ_ONLY lists those that are only read; each has qs_ref_<lower>_decode and _scan.
 *
 * Encoding gives the bytes of llama.cpp 0c1e57098 (ggml-quants.c as plain x86-64 code, no fused multiply-add): the
 * unweighted search when in->weight is NULL, the weighted one otherwise. Two exceptions, where following would do harm:
 *   - IQ3_S super-blocks in which some groups of 32 weights are all zero and others are not: the reference then writes the
 *     later groups' codes and signs into the places of earlier ones; here they are where a decoder looks for them.
 *   - MXFP4 blocks whose largest magnitude is below 2^-125: see fp4.c.
 * Input that is not finite gives some valid block, never undefined behaviour, and the same one on every compiler and
 * level; which one is said in each file.
 */
#ifndef QS_KERNELS_REF_REF_H
#define QS_KERNELS_REF_REF_H

#include "kernels/format.h"

#define QS_REF_FORMATS(X)                                                                                              \
    X(f32, F32) X(f16, F16) X(bf16, BF16)                                                                              \
    X(q8_0, Q8_0) X(q5_1, Q5_1) X(q5_0, Q5_0) X(q4_1, Q4_1) X(q4_0, Q4_0)                                              \
    X(q6_k, Q6_K) X(q5_k, Q5_K) X(q4_k, Q4_K) X(q3_k, Q3_K) X(q2_k, Q2_K)                                              \
    X(iq4_nl, IQ4_NL) X(iq4_xs, IQ4_XS) X(iq3_s, IQ3_S) X(iq3_xxs, IQ3_XXS)                                            \
    X(iq2_s, IQ2_S) X(iq2_xs, IQ2_XS) X(iq2_xxs, IQ2_XXS) X(iq1_m, IQ1_M) X(iq1_s, IQ1_S)                              \
    X(mxfp4, MXFP4) X(nvfp4, NVFP4) X(tq2_0, TQ2_0) X(tq1_0, TQ1_0) X(q2_0, Q2_0) X(q1_0, Q1_0)

#define QS_REF_READ_ONLY(X)                                                                                            \
    X(f64, F64) X(i8, I8) X(i16, I16) X(i32, I32) X(i64, I64) X(q8_1, Q8_1) X(q8_k, Q8_K)

#define QS_REF_DECLARE_READ(lower, upper)                                                                              \
    qs_decode_fn qs_ref_##lower##_decode;                                                                              \
    qs_scan_fn qs_ref_##lower##_scan;
#define QS_REF_DECLARE(lower, upper)                                                                                   \
    QS_REF_DECLARE_READ(lower, upper)                                                                                  \
    qs_fit_fn qs_ref_##lower##_fit;                                                                                    \
    qs_round_fn qs_ref_##lower##_round;                                                                                \
    qs_pack_fn qs_ref_##lower##_pack;

QS_REF_FORMATS(QS_REF_DECLARE)
QS_REF_READ_ONLY(QS_REF_DECLARE_READ)

#endif
