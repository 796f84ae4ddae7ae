/* attend.h - the pieces attention is made of (cpu_attend.c puts them together), one table per level.
 *
 * Work goes by tiles of QS_ATTEND_TILE keys for several queries at once; a query's numbers for a tile are a row of as many
 * floats. All levels give the same bits: every sum below has one order. NaN in, NaN out.
 */
#ifndef QS_KERNELS_ATTEND_H
#define QS_KERNELS_ATTEND_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/op.h"

/* How a cache's values may be stored. */
enum qs_kv_kind { QS_KV_F32, QS_KV_F16, QS_KV_Q8_0, QS_KV_Q4_0, QS_KV_COUNT };

/* out[i][k] = sum over d, ascending, by fma from 0, of q[i][d] * (value d of key k). */
struct qs_logits {
    const uint8_t *k;       /* key 0 of the tile */
    size_t stride, keys;    /* bytes between keys; 1 to QS_ATTEND_TILE of them: out of the others may become anything */
    const float *q;         /* rows of n */
    size_t queries, n;
    float *out;
    float *room;            /* QS_ATTEND_TILE * n floats at a multiple of 64 bytes */
};

/* For each query, over its logits s[from .. to): N = the larger of max and all; scale = exp(max - N), 1 where they are
 * equal; s = exp(s - N);
 * sum = sum * scale + (sum of s: k % 16 apart, k counted from the start of the tile, then as the sums of F32 in dot.h);
 * max = N. The rest of the row may become anything. */
struct qs_softmax {
    float *s;
    size_t queries, from, to;
    float *max, *sum, *scale; /* one for each query */
};

/* y[i] *= scale[i]; then y[i] = fma(p[i][k], value k, y[i]) for k in [from, to), ascending. */
struct qs_mix {
    const float *p;         /* rows of QS_ATTEND_TILE */
    size_t queries, from, to;
    const uint8_t *v;       /* value 0 of the tile */
    size_t stride, n;       /* bytes between values; n: of quantized ones a multiple of 32 */
    const float *scale;
    float *y;
    size_t y_stride;
};

struct qs_attend_ops {
    void (*logits[QS_KV_F16 + 1])(const struct qs_logits *job); /* those of quantized keys are products of dot.h */
    void (*softmax)(const struct qs_softmax *job);
    void (*mix[QS_KV_COUNT])(const struct qs_mix *job);         /* values are what the type's decode gives */
};

/* Each level's own files define these. */
void qs_ref_attend(struct qs_attend_ops *ops);
void qs_avx2_attend(struct qs_attend_ops *ops);
void qs_avx512_attend(struct qs_attend_ops *ops);

#endif
