/* tiles.h - products of float rows in tiles of vector registers, for the levels of AVX-512.
 *
 * The sixteen partial sums of a product (dot.h) are one vector. A tile is 4 rows x 1 to 6 tokens with all their columns. What
 * comes behind the last whole vector of a row is read by a mask: nothing outside the rows is.
 *
 * QS_TILES makes the functions of a kind of weights and activations from three small ones; tiles.c has the loops around them.
 */
#ifndef QS_KERNELS_X86_AVX512_TILES_H
#define QS_KERNELS_X86_AVX512_TILES_H

#include <immintrin.h>

#include "kernels/x86_avx2/dots.h"

enum { QS_TILE_ROWS = 4, QS_TILE_TOKENS = 6 };

struct qs_tile {
    const uint8_t *w[QS_TILE_ROWS], *x[QS_TILE_TOKENS];
    size_t units, rest;  /* whole vectors of a row, and columns behind them */
    size_t ahead;        /* bytes behind a vector of weights to ask for */
    _Alignas(64) float sums[QS_TILE_TOKENS][QS_TILE_ROWS][16]; /* of a token: sums[0][row], or partial sums of each row */
};
typedef void qs_tile_fn(struct qs_tile *t);

struct qs_tile_kind {
    qs_tile_fn *const *tile; /* of 1 to `tokens` tokens */
    size_t tokens, unit;     /* columns of a vector */
    unsigned csr;            /* set in MXCSR while tiles are made; these end by qs_tile_end_keep, others by qs_tile_end_sum */
};

/* All of a job. */
void qs_tile_products(const struct qs_dot *j, const struct qs_tile_kind *kind);

typedef __m512 qs_tile_load(const uint8_t *at);
typedef __m512 qs_tile_add(__m512 sum, __m512 w, __m512 x);

/* A vector of which `bytes` bytes are there; the others are zero. */
QS_INLINE __m512 qs_tile_some(qs_tile_load *load, const uint8_t *at, size_t bytes)
{
    _Alignas(64) uint8_t copy[64];
    _mm512_store_si512(copy, _mm512_maskz_loadu_epi8(bytes < 64 ? ((__mmask64)1 << bytes) - 1 : ~(__mmask64)0, at));
    return load(copy);
}

/* The sums of sixteen of dot.h, of four rows. */
QS_INLINE __m128 qs_tile_sum16(__m512 a, __m512 b, __m512 c, __m512 d)
{
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    const __m512 u = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    const __m512 v = _mm512_add_ps(u, _mm512_permute_ps(u, 0x4e));
    const __m512 z = _mm512_add_ps(v, _mm512_permute_ps(v, 0xb1)); /* each quarter holds the sum of one row, four times */
    return _mm512_castps512_ps128(_mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), z));
}

/* Two ways to end a tile, for one token: added up, or as they are, for kinds that set MXCSR. */
typedef void qs_tile_end(float sums[QS_TILE_ROWS][16], __m512 a, __m512 b, __m512 c, __m512 d);
QS_INLINE void qs_tile_end_sum(float sums[QS_TILE_ROWS][16], __m512 a, __m512 b, __m512 c, __m512 d)
{
    _mm_store_ps(sums[0], qs_tile_sum16(a, b, c, d));
}
QS_INLINE void qs_tile_end_keep(float sums[QS_TILE_ROWS][16], __m512 a, __m512 b, __m512 c, __m512 d)
{
    _mm512_store_ps(sums[0], a);
    _mm512_store_ps(sums[1], b);
    _mm512_store_ps(sums[2], c);
    _mm512_store_ps(sums[3], d);
}

#define QS_EACH_1(M) M(0)
#define QS_EACH_2(M) QS_EACH_1(M) M(1)
#define QS_EACH_3(M) QS_EACH_2(M) M(2)
#define QS_EACH_4(M) QS_EACH_3(M) M(3)
#define QS_EACH_5(M) QS_EACH_4(M) M(4)
#define QS_EACH_6(M) QS_EACH_5(M) M(5)

#define QS_TILE_BEGIN(n)                                                                                               \
    const uint8_t *const x##n = t->x[n];                                                                               \
    __m512 a##n = _mm512_setzero_ps(), b##n = a##n, c##n = a##n, d##n = a##n;
#define QS_TILE_ADD(n, v)                                                                                              \
    {                                                                                                                  \
        const __m512 vx = v;                                                                                           \
        a##n = add(a##n, va, vx);                                                                                      \
        b##n = add(b##n, vb, vx);                                                                                      \
        c##n = add(c##n, vc, vx);                                                                                      \
        d##n = add(d##n, vd, vx);                                                                                      \
    }
#define QS_TILE_STEP(n) QS_TILE_ADD(n, load_x(x##n + i * x_bytes))
#define QS_TILE_REST(n) QS_TILE_ADD(n, qs_tile_some(load_x, x##n + i * x_bytes, t->rest * x_size))
#define QS_TILE_END(n) end(t->sums[n], a##n, b##n, c##n, d##n);
#define QS_TILE_AHEAD(w) _mm_prefetch((const char *)(w) + i * w_bytes + ahead, _MM_HINT_T0);

/* One token waits for memory, which is read fastest in the order of addresses: one row after the other. */
QS_INLINE void qs_tile_1(struct qs_tile *t, qs_tile_load *load_w, size_t w_size, qs_tile_load *load_x, size_t x_size,
                         qs_tile_add *add, size_t unit, qs_tile_end *end)
{
    const size_t w_bytes = unit * w_size, x_bytes = unit * x_size, units = t->units;
    const uint8_t *const x = t->x[0];
    __m512 sum[QS_TILE_ROWS];
    for (int r = 0; r < QS_TILE_ROWS; r++) {
        const uint8_t *const w = t->w[r];
        __m512 a = _mm512_setzero_ps();
        size_t i = 0;
        for (; i < units; i++)
            a = add(a, load_w(w + i * w_bytes), load_x(x + i * x_bytes));
        if (t->rest > 0)
            a = add(a, qs_tile_some(load_w, w + i * w_bytes, t->rest * w_size),
                    qs_tile_some(load_x, x + i * x_bytes, t->rest * x_size));
        sum[r] = a;
    }
    end(t->sums[0], sum[0], sum[1], sum[2], sum[3]);
}

/* Vectors of `unit` columns of w_size and x_size bytes. */
#define QS_TILE(n)                                                                                                     \
    QS_INLINE void qs_tile_##n(struct qs_tile *t, qs_tile_load *load_w, size_t w_size, qs_tile_load *load_x,           \
                               size_t x_size, qs_tile_add *add, size_t unit, qs_tile_end *end)                         \
    {                                                                                                                  \
        const size_t w_bytes = unit * w_size, x_bytes = unit * x_size, units = t->units, ahead = t->ahead;             \
        const uint8_t *const wa = t->w[0], *const wb = t->w[1], *const wc = t->w[2], *const wd = t->w[3];              \
        size_t i = 0;                                                                                                  \
        QS_EACH_##n(QS_TILE_BEGIN)                                                                                     \
        for (; i < units; i++) {                                                                                       \
            const __m512 va = load_w(wa + i * w_bytes), vb = load_w(wb + i * w_bytes);                                 \
            const __m512 vc = load_w(wc + i * w_bytes), vd = load_w(wd + i * w_bytes);                                 \
            QS_TILE_AHEAD(wa)                                                                                          \
            QS_TILE_AHEAD(wb)                                                                                          \
            QS_TILE_AHEAD(wc)                                                                                          \
            QS_TILE_AHEAD(wd)                                                                                          \
            QS_EACH_##n(QS_TILE_STEP)                                                                                  \
        }                                                                                                              \
        if (t->rest > 0) {                                                                                             \
            const size_t left = t->rest * w_size;                                                                      \
            const __m512 va = qs_tile_some(load_w, wa + i * w_bytes, left);                                            \
            const __m512 vb = qs_tile_some(load_w, wb + i * w_bytes, left);                                            \
            const __m512 vc = qs_tile_some(load_w, wc + i * w_bytes, left);                                            \
            const __m512 vd = qs_tile_some(load_w, wd + i * w_bytes, left);                                            \
            QS_EACH_##n(QS_TILE_REST)                                                                                  \
        }                                                                                                              \
        QS_EACH_##n(QS_TILE_END)                                                                                       \
    }
QS_TILE(2)
QS_TILE(3)
QS_TILE(4)
QS_TILE(5)
QS_TILE(6)

#define QS_TILE_OF(name, n, ...) static void name##_##n(struct qs_tile *t) { qs_tile_##n(t, __VA_ARGS__); }

/* name: the table of the six functions of a kind. The other arguments: how a vector of weights is loaded and the bytes of one of
 * them, the same of activations, how their products are added, columns of a vector, how a tile ends. */
#define QS_TILES(name, ...)                                                                                            \
    QS_TILE_OF(name, 1, __VA_ARGS__)                                                                                   \
    QS_TILE_OF(name, 2, __VA_ARGS__)                                                                                   \
    QS_TILE_OF(name, 3, __VA_ARGS__)                                                                                   \
    QS_TILE_OF(name, 4, __VA_ARGS__)                                                                                   \
    QS_TILE_OF(name, 5, __VA_ARGS__)                                                                                   \
    QS_TILE_OF(name, 6, __VA_ARGS__)                                                                                   \
    static qs_tile_fn *const name[QS_TILE_TOKENS] = { name##_1, name##_2, name##_3, name##_4, name##_5, name##_6 };

#endif
