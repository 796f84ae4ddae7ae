/* tiles.h - products of float rows in tiles of vector registers, for the levels of AVX-512. An inline template: a kind of weights
 * and activations says how a vector of each is read and how the product is added, the rest is here.
 *
 * The sixteen partial sums of a product (dot.h) are one vector. A tile is 4 rows x 1 to 6 tokens; its sums wait in memory between
 * blocks of columns, so that the tokens of a block stay in the first cache while a band of rows goes by. The last columns of a
 * row that do not fill a vector are copied out and filled with zeros: nothing outside the rows is read.
 */
#ifndef QS_KERNELS_X86_AVX512_TILES_H
#define QS_KERNELS_X86_AVX512_TILES_H

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/x86_avx2/dots.h"

#define QS_NOINLINE __attribute__((noinline))

enum { QS_TILE_ROWS = 4, QS_TILE_TOKENS = 6, QS_TILE_BAND = 32 /* rows */, QS_TILE_BYTES = 2048 /* of a token, in a block */ };

/* What is multiplied: `unit` columns make a vector; bytes of a unit of weights and of activations. */
struct qs_tile_kind {
    __m512 (*w)(const uint8_t *at), (*x)(const uint8_t *at), (*step)(__m512 sum, __m512 w, __m512 x);
    size_t unit, w_bytes, x_bytes;
};

/* Sums of a band: [token][row][partial]. */
typedef float qs_tile_sums[QS_TILE_TOKENS][QS_TILE_BAND][16];

#define QS_EACH_1(M) M(0)
#define QS_EACH_2(M) QS_EACH_1(M) M(1)
#define QS_EACH_3(M) QS_EACH_2(M) M(2)
#define QS_EACH_4(M) QS_EACH_3(M) M(3)
#define QS_EACH_5(M) QS_EACH_4(M) M(4)
#define QS_EACH_6(M) QS_EACH_5(M) M(5)

#define QS_TILE_LOAD(t)                                                                                                \
    const uint8_t *const x##t = x[t];                                                                                  \
    __m512 a##t = _mm512_loadu_ps(sums[t][row]), b##t = _mm512_loadu_ps(sums[t][row + 1]);                             \
    __m512 c##t = _mm512_loadu_ps(sums[t][row + 2]), d##t = _mm512_loadu_ps(sums[t][row + 3]);
#define QS_TILE_STEP(t)                                                                                                \
    {                                                                                                                  \
        const __m512 v = kind.x(x##t + i * kind.x_bytes);                                                              \
        a##t = kind.step(a##t, va, v);                                                                                 \
        b##t = kind.step(b##t, vb, v);                                                                                 \
        c##t = kind.step(c##t, vc, v);                                                                                 \
        d##t = kind.step(d##t, vd, v);                                                                                 \
    }
#define QS_TILE_STORE(t)                                                                                               \
    _mm512_storeu_ps(sums[t][row], a##t);                                                                              \
    _mm512_storeu_ps(sums[t][row + 1], b##t);                                                                          \
    _mm512_storeu_ps(sums[t][row + 2], c##t);                                                                          \
    _mm512_storeu_ps(sums[t][row + 3], d##t);

/* Units [from, to) of four rows and n tokens, added to the sums of rows [row, row + 4). */
#define QS_TILE(n)                                                                                                     \
    QS_INLINE void qs_tile_##n(const struct qs_tile_kind kind, const uint8_t *const w[4], const uint8_t *const x[6],   \
                               size_t from, size_t to, size_t row, qs_tile_sums sums)                                  \
    {                                                                                                                  \
        const uint8_t *const wa = w[0], *const wb = w[1], *const wc = w[2], *const wd = w[3];                          \
        QS_EACH_##n(QS_TILE_LOAD)                                                                                      \
        for (size_t i = from; i < to; i++) {                                                                           \
            const __m512 va = kind.w(wa + i * kind.w_bytes), vb = kind.w(wb + i * kind.w_bytes);                       \
            const __m512 vc = kind.w(wc + i * kind.w_bytes), vd = kind.w(wd + i * kind.w_bytes);                       \
            QS_EACH_##n(QS_TILE_STEP)                                                                                  \
        }                                                                                                              \
        QS_EACH_##n(QS_TILE_STORE)                                                                                     \
    }
QS_TILE(1)
QS_TILE(2)
QS_TILE(3)
QS_TILE(4)
QS_TILE(5)
QS_TILE(6)

QS_INLINE void qs_tile_any(const struct qs_tile_kind kind, size_t n, const uint8_t *const w[4], const uint8_t *const x[6],
                           size_t from, size_t to, size_t row, qs_tile_sums sums)
{
    switch (n) {
    case 1: qs_tile_1(kind, w, x, from, to, row, sums); break;
    case 2: qs_tile_2(kind, w, x, from, to, row, sums); break;
    case 3: qs_tile_3(kind, w, x, from, to, row, sums); break;
    case 4: qs_tile_4(kind, w, x, from, to, row, sums); break;
    case 5: qs_tile_5(kind, w, x, from, to, row, sums); break;
    default: qs_tile_6(kind, w, x, from, to, row, sums); break;
    }
}

/* Rows that are not there stand for the last one: their sums are dropped. */
QS_INLINE void qs_tile_rows(const struct qs_dot *j, size_t row, const uint8_t *w[4])
{
    for (size_t i = 0; i < 4; i++)
        w[i] = j->w + (row + i < j->rows ? row + i : j->rows - 1) * j->w_stride;
}

/* The sums of rows [row, row + QS_TILE_BAND) with n tokens from t on. */
QS_INLINE void qs_tile_band(const struct qs_tile_kind kind, const struct qs_dot *j, size_t row, size_t t, size_t n,
                            qs_tile_sums sums)
{
    const size_t units = j->cols / kind.unit, rest = j->cols % kind.unit, block = QS_TILE_BYTES / kind.x_bytes;
    const size_t rows = j->rows - row < QS_TILE_BAND ? j->rows - row : QS_TILE_BAND;
    const uint8_t *w[4], *x[QS_TILE_TOKENS];
    for (size_t i = 0; i < QS_TILE_TOKENS; i++)
        x[i] = j->x + (t + (i < n ? i : 0)) * j->x_stride;
    for (size_t from = 0; from < units; from += block)
        for (size_t r = 0; r < rows; r += 4) {
            qs_tile_rows(j, row + r, w);
            qs_tile_any(kind, n, w, x, from, units - from < block ? units : from + block, r, sums);
        }
    if (rest == 0)
        return;
    uint8_t tail[QS_TILE_TOKENS + 4][64] = { { 0 } };
    const uint8_t *w_tail[4], *x_tail[QS_TILE_TOKENS];
    for (size_t i = 0; i < QS_TILE_TOKENS; i++)
        x_tail[i] = memcpy(tail[4 + i], x[i] + units * kind.x_bytes, rest * (kind.x_bytes / kind.unit));
    for (size_t r = 0; r < rows; r += 4) {
        qs_tile_rows(j, row + r, w);
        for (size_t i = 0; i < 4; i++)
            w_tail[i] = memcpy(tail[i], w[i] + units * kind.w_bytes, rest * (kind.w_bytes / kind.unit));
        qs_tile_any(kind, n, w_tail, x_tail, 0, 1, r, sums);
    }
}

/* The sums of sixteen of dot.h, for four rows. */
QS_INLINE __m128 qs_tile_sum16(const float (*s)[16])
{
    const __m512 a = _mm512_loadu_ps(s[0]), b = _mm512_loadu_ps(s[1]), c = _mm512_loadu_ps(s[2]), d = _mm512_loadu_ps(s[3]);
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    const __m512 u = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    const __m512 v = _mm512_add_ps(u, _mm512_permute_ps(u, 0x4e));
    const __m512 z = _mm512_add_ps(v, _mm512_permute_ps(v, 0xb1)); /* each quarter holds the sum of one row, four times */
    return _mm512_castps512_ps128(_mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), z));
}

typedef void qs_tile_band_fn(const struct qs_dot *j, size_t row, size_t t, size_t n, qs_tile_sums sums);

/* All of a job. `band` is a function of its own, so that what it does to the rounding of its sums ends with it. */
static inline void qs_tile_products(const struct qs_dot *j, qs_tile_band_fn *band, size_t most_tokens)
{
    _Alignas(64) qs_tile_sums sums;
    for (size_t t = 0, n; t < j->tokens; t += n) {
        n = j->tokens - t < most_tokens ? j->tokens - t : most_tokens;
        for (size_t row = 0; row < j->rows; row += QS_TILE_BAND) {
            const size_t rows = j->rows - row < QS_TILE_BAND ? j->rows - row : QS_TILE_BAND;
            for (size_t i = 0; i < n; i++)
                memset(sums[i], 0, (rows + 3) / 4 * 4 * sizeof sums[i][0]);
            band(j, row, t, n, sums);
            for (size_t i = 0; i < n; i++)
                for (size_t r = 0; r < rows; r += 4) {
                    const __m128 v = qs_tile_sum16(&sums[i][r]);
                    float *out = j->out + (t + i) * j->out_stride + row + r;
                    _mm_mask_storeu_ps(out, (__mmask8)(rows - r < 4 ? (1u << (rows - r)) - 1 : 15), v);
                }
        }
    }
}

#endif
