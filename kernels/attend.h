/* attend.h - the pieces attention is made of (cpu_attend.c puts them together), one table per level.
 *
 * Work goes by tiles of QS_ATTEND_TILE keys for several queries at once; a query's numbers for a tile are a row of
 * as many floats. All levels give the same bits: every sum below has one order. NaN in, NaN out.
 */
#ifndef QS_KERNELS_ATTEND_H
#define QS_KERNELS_ATTEND_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/op.h"

/* Memory that is read soon: so many rows of bytes; rows 0: none. */
struct qs_ahead {
    const uint8_t *at;
    size_t rows, stride, bytes;
};

/* How a cache's values may be stored. */
enum qs_kv_kind { QS_KV_F32, QS_KV_F16, QS_KV_Q8_0, QS_KV_Q4_0, QS_KV_COUNT };

/* QUERIES for quantized keys: blocks of 32: integers q = nearest(x * (1 / d)), ties to even, d = largest magnitude /
 * 32512, each as two bytes with signs, q = 256 * high + low. A row: n high bytes, n low ones, a float d per block,
 * an int32 -(sum of q) per block; zero and not finite blocks as in dot.h. So they add next to no error to that of the keys. */
static inline size_t qs_query_bytes(size_t n) { return (2 * n + n / 32 * 8 + 31) / 32 * 32; }
static inline float *qs_query_scales(const void *row, size_t n)
{
    return (float *)(void *)((char *)(uintptr_t)row + 2 * n);
}
static inline int32_t *qs_query_minus(const void *row, size_t n)
{
    return (int32_t *)(void *)(qs_query_scales(row, n) + n / 32);
}

/* out[i][k] = q[i] times key k. F32, F16: sum over d, ascending, by fma from 0, of q[i][d] * (value d of the key).
 * Quantized: one sum a, from 0; for each block in order a = fma(d of the key * d of the query, float(sum of c * q),
 * a), c the key's codes. */
struct qs_logits {
    const uint8_t *k;       /* key 0 of the tile */
    size_t stride, keys;    /* bytes between keys; 1 to QS_ATTEND_TILE of them: out of the others may become anything */
    const uint8_t *q;       /* queries: n floats, or as above, at multiples of 32 bytes */
    size_t q_stride;        /* bytes between them; those of floats lie close together */
    size_t queries, n;
    float *out;
    struct qs_ahead ahead;
    float *room;            /* (QS_ATTEND_TILE + queries) * n floats at a multiple of 64 bytes */
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
    struct qs_ahead ahead;
};

struct qs_attend_ops {
    void (*query)(const float *x, size_t n, void *row);
    void (*logits[QS_KV_COUNT])(const struct qs_logits *job);
    void (*softmax)(const struct qs_softmax *job);
    void (*mix[QS_KV_COUNT])(const struct qs_mix *job); /* values are what the type's decode gives */
};

/* Each level's own files define these. */
void qs_ref_attend(struct qs_attend_ops *ops);
void qs_avx2_attend(struct qs_attend_ops *ops);
void qs_avx512_attend(struct qs_attend_ops *ops);
void qs_neon_attend(struct qs_attend_ops *ops);

#endif
