/* outer.c - sums of outer products of rows (rows.h: pair, outer) by the instruction for bfloat16.
 *
 * A tile is 8 rows of the result x 48 columns: 24 vectors of sums, to which each pair of rows adds three vectors times eight
 * values that are broadcast. The second operand comes panel by panel, so that its vectors lie behind each other.
 */
#include "kernels/level.h"
#include "kernels/x86_avx2/dots.h"

enum { PANEL = QS_PAIR_COLS, ROWS = 8, WIDE = 3 /* panels */ };

/* Sixteen columns of two rows: the first row's bits in the low halves. */
QS_INLINE __m512i pair_of(__m512 first, __m512 second)
{
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second, first); /* sixteen of the first, then of the second */
    static const uint16_t order[32] = { 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
                                        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31 };
    return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), both);
}

static void pair(const float *a, const float *b, size_t n, uint32_t *to, size_t stride)
{
    for (size_t k = 0; k < n; k += PANEL, to += stride * PANEL) {
        const __mmask16 in = (__mmask16)(n - k < PANEL ? (1u << (n - k)) - 1 : 0xffff);
        _mm512_storeu_si512(to, pair_of(_mm512_maskz_loadu_ps(in, a + k),
                                        b ? _mm512_maskz_loadu_ps(in, b + k) : _mm512_setzero_ps()));
    }
}

/* One row of a tile: broadcast, then added to the sums s##0 .. s##2. */
#define ADD(s, r)                                                                                                      \
    {                                                                                                                  \
        const __m512bh v = (__m512bh)_mm512_set1_epi32((int)a[r]);                                                     \
        s##0 = _mm512_dpbf16_ps(s##0, x0, v);                                                                          \
        s##1 = _mm512_dpbf16_ps(s##1, x1, v);                                                                          \
        s##2 = _mm512_dpbf16_ps(s##2, x2, v);                                                                          \
    }
#define ZERO(s, r)                                                                                                     \
    __m512 s##0 = _mm512_setzero_ps(), s##1 = s##0, s##2 = s##0;                                                       \
    if ((r) < rows) {                                                                                                  \
        _mm_prefetch((const char *)(to + (r) * ldc), _MM_HINT_T0);                                                     \
        _mm_prefetch((const char *)(to + (r) * ldc + 16), _MM_HINT_T0);                                                \
        _mm_prefetch((const char *)(to + (r) * ldc + 32), _MM_HINT_T0);                                                \
    }
#define PUT(s, r)                                                                                                      \
    if ((r) < rows) {                                                                                                  \
        put(to + (r) * ldc, (__mmask16)in, s##0);                                                                      \
        put(to + (r) * ldc + 16, (__mmask16)(in >> 16), s##1);                                                         \
        put(to + (r) * ldc + 32, (__mmask16)(in >> 32), s##2);                                                         \
    }
#define EACH(M) M(a, 0) M(b, 1) M(c, 2) M(d, 3) M(e, 4) M(f, 5) M(g, 6) M(h, 7)

QS_INLINE __m512bh load(const uint32_t *p) { return (__m512bh)_mm512_loadu_si512(p); }

QS_INLINE void put(float *c, __mmask16 in, __m512 sum)
{
    _mm512_mask_storeu_ps(c, in, _mm512_add_ps(_mm512_maskz_loadu_ps(in, c), sum));
}

/* a: eight columns of a panel; x: three panels (some may be the same). The result: `rows` rows, columns as `in` says. */
static void tile(const uint32_t *a, const uint32_t *const x[WIDE], size_t pairs, float *to, size_t ldc, size_t rows, uint64_t in)
{
    EACH(ZERO)
    for (size_t p = 0; p < pairs; p++, a += PANEL) {
        const __m512bh x0 = load(x[0] + p * PANEL), x1 = load(x[1] + p * PANEL), x2 = load(x[2] + p * PANEL);
        EACH(ADD)
    }
    EACH(PUT)
}

static void outer(const uint32_t *a, const uint32_t *b, size_t pairs, size_t stride, size_t m, size_t n, float *c, size_t ldc)
{
    for (size_t j = 0; j < n; j += WIDE * PANEL) {
        const size_t width = n - j < WIDE * PANEL ? n - j : WIDE * PANEL;
        const uint32_t *x[WIDE];
        for (size_t k = 0; k < WIDE; k++) /* what is not there is done again, and dropped */
            x[k] = b + (j / PANEL + (k * PANEL < width ? k : 0)) * stride * PANEL;
        for (size_t i = 0; i < m; i += ROWS)
            tile(a + i / PANEL * stride * PANEL + i % PANEL, x, pairs, c + i * ldc + j, ldc, m - i < ROWS ? m - i : ROWS,
                 (UINT64_C(1) << width) - 1);
    }
}

void qs_avx512bf16_rows(struct qs_row_ops *ops)
{
    ops->pair = pair;
    ops->outer = outer;
}
