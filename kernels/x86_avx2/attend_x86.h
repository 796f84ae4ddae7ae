/* attend_x86.h - the pieces of attention (attend.h) for vectors of any width: a template of the x86 levels.
 *
 * The file that includes this defines vec, W (floats of a vector), NV (vectors of a block of columns), v_zero, v_set1,
 * v_load, v_store, v_fma(a, b, c) = a * b + c, v_add, v_sub, v_mul, v_max, v_exp, v_most and v_sum16; loaders of W values of a
 * row, load_f32 .. load_q4_0; and put16(float *, __m256i), which stores 16 float16 as floats.
 *
 * Logits and mixes are the same sums: rows of numbers, each times a row of floats. A block of NV vectors of columns of six
 * rows stays in registers over the whole sum. For logits a tile of keys is turned first, so that keys are columns.
 */
#include "kernels/ref/attend.h"
#include "kernels/x86_avx2/dots.h"

enum { TILE = QS_ATTEND_TILE };

typedef vec load_fn(const uint8_t *row, size_t i); /* values i .. i + W - 1 */

/* y[i] = (scale ? y[i] * scale[i] : 0), then fma(c[i][r], row r of m, y[i]) for r ascending. */
struct sums {
    const float *c;
    size_t c_stride, rows;
    const uint8_t *m;
    size_t m_stride;     /* bytes */
    const float *scale;
    float *y;
    size_t y_stride;
};

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5)

#define START(i)                                                                                                       \
    vec a##i = v_zero(), b##i = a##i, c##i = a##i, d##i = a##i;                                                        \
    if (nq > i && scaled) {                                                                                            \
        const vec f = v_set1(j->scale[q + i]);                                                                         \
        a##i = v_mul(v_load(y + i * j->y_stride), f);                                                                  \
        b##i = nv > 1 ? v_mul(v_load(y + i * j->y_stride + W), f) : b##i;                                              \
        c##i = nv > 2 ? v_mul(v_load(y + i * j->y_stride + 2 * W), f) : c##i;                                          \
        d##i = nv > 2 ? v_mul(v_load(y + i * j->y_stride + 3 * W), f) : d##i;                                          \
    }

#define STEP(i)                                                                                                        \
    if (nq > i) {                                                                                                      \
        const vec w = v_set1(p[i * stride]);                                                                           \
        a##i = v_fma(w, m0, a##i);                                                                                     \
        b##i = nv > 1 ? v_fma(w, m1, b##i) : b##i;                                                                     \
        c##i = nv > 2 ? v_fma(w, m2, c##i) : c##i;                                                                     \
        d##i = nv > 2 ? v_fma(w, m3, d##i) : d##i;                                                                     \
    }

#define STOP(i)                                                                                                        \
    if (nq > i) {                                                                                                      \
        v_store(y + i * j->y_stride, a##i);                                                                            \
        if (nv > 1)                                                                                                    \
            v_store(y + i * j->y_stride + W, b##i);                                                                    \
        if (nv > 2) {                                                                                                  \
            v_store(y + i * j->y_stride + 2 * W, c##i);                                                                \
            v_store(y + i * j->y_stride + 3 * W, d##i);                                                                \
        }                                                                                                              \
    }

/* nq rows from q on, nv vectors of columns from `col` on. */
QS_INLINE void block(const int nq, const int nv, const bool scaled, load_fn *load, const struct sums *j, size_t q, size_t col)
{
    const size_t stride = j->c_stride;
    const float *p = j->c + q * stride, *const end = p + j->rows;
    const uint8_t *m = j->m;
    float *y = j->y + q * j->y_stride + col;
    EACH(START)
    for (; p < end; p++, m += j->m_stride) {
        const vec m0 = load(m, col), m1 = nv > 1 ? load(m, col + W) : m0;
        const vec m2 = nv > 2 ? load(m, col + 2 * W) : m0, m3 = nv > 2 ? load(m, col + 3 * W) : m0;
        EACH(STEP)
    }
    EACH(STOP)
}

/* nq rows, columns up to `cols`, a multiple of W. */
QS_INLINE void strip(const int nq, const bool scaled, load_fn *load, const struct sums *j, size_t q, size_t cols)
{
    size_t c = 0;
    for (; c + NV * W <= cols; c += NV * W)
        block(nq, NV, scaled, load, j, q, c);
    for (; c < cols; c += W)
        block(nq, 1, scaled, load, j, q, c);
}

QS_INLINE void sum_rows(const bool scaled, load_fn *load, const struct sums *j, size_t n, size_t cols)
{
    size_t q = 0;
    for (; q + 6 <= n; q += 6)
        strip(6, scaled, load, j, q, cols);
    if (n - q >= 4) {
        strip(4, scaled, load, j, q, cols);
        q += 4;
    }
    if (n - q >= 2) {
        strip(2, scaled, load, j, q, cols);
        q += 2;
    }
    if (n - q >= 1)
        strip(1, scaled, load, j, q, cols);
}

/* ---- logits: value d of key k to room[d * TILE + k] */

QS_INLINE __m256i two_16(const uint8_t *low, const uint8_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)low)),
                                   _mm_loadu_si128((const void *)high), 1);
}

/* Eight float16 of each of sixteen rows, from byte `at` on. */
QS_INLINE void turn_f16(const uint8_t *const *row, size_t at, float *to)
{
    const __m256i r0 = two_16(row[0] + at, row[8] + at), r1 = two_16(row[1] + at, row[9] + at);
    const __m256i r2 = two_16(row[2] + at, row[10] + at), r3 = two_16(row[3] + at, row[11] + at);
    const __m256i r4 = two_16(row[4] + at, row[12] + at), r5 = two_16(row[5] + at, row[13] + at);
    const __m256i r6 = two_16(row[6] + at, row[14] + at), r7 = two_16(row[7] + at, row[15] + at);
    const __m256i a0 = _mm256_unpacklo_epi16(r0, r1), a1 = _mm256_unpackhi_epi16(r0, r1);
    const __m256i a2 = _mm256_unpacklo_epi16(r2, r3), a3 = _mm256_unpackhi_epi16(r2, r3);
    const __m256i a4 = _mm256_unpacklo_epi16(r4, r5), a5 = _mm256_unpackhi_epi16(r4, r5);
    const __m256i a6 = _mm256_unpacklo_epi16(r6, r7), a7 = _mm256_unpackhi_epi16(r6, r7);
    const __m256i b0 = _mm256_unpacklo_epi32(a0, a2), b1 = _mm256_unpackhi_epi32(a0, a2);
    const __m256i b2 = _mm256_unpacklo_epi32(a1, a3), b3 = _mm256_unpackhi_epi32(a1, a3);
    const __m256i b4 = _mm256_unpacklo_epi32(a4, a6), b5 = _mm256_unpackhi_epi32(a4, a6);
    const __m256i b6 = _mm256_unpacklo_epi32(a5, a7), b7 = _mm256_unpackhi_epi32(a5, a7);
    put16(to, _mm256_unpacklo_epi64(b0, b4));
    put16(to + TILE, _mm256_unpackhi_epi64(b0, b4));
    put16(to + 2 * TILE, _mm256_unpacklo_epi64(b1, b5));
    put16(to + 3 * TILE, _mm256_unpackhi_epi64(b1, b5));
    put16(to + 4 * TILE, _mm256_unpacklo_epi64(b2, b6));
    put16(to + 5 * TILE, _mm256_unpackhi_epi64(b2, b6));
    put16(to + 6 * TILE, _mm256_unpacklo_epi64(b3, b7));
    put16(to + 7 * TILE, _mm256_unpackhi_epi64(b3, b7));
}

/* Four floats of each of eight rows. */
QS_INLINE void turn_f32(const uint8_t *const *row, size_t at, float *to)
{
    const __m256 r0 = _mm256_castsi256_ps(two_16(row[0] + at, row[4] + at));
    const __m256 r1 = _mm256_castsi256_ps(two_16(row[1] + at, row[5] + at));
    const __m256 r2 = _mm256_castsi256_ps(two_16(row[2] + at, row[6] + at));
    const __m256 r3 = _mm256_castsi256_ps(two_16(row[3] + at, row[7] + at));
    const __m256d a0 = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1)), a1 = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1));
    const __m256d a2 = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3)), a3 = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
    _mm256_storeu_ps(to, _mm256_castpd_ps(_mm256_unpacklo_pd(a0, a2)));
    _mm256_storeu_ps(to + TILE, _mm256_castpd_ps(_mm256_unpackhi_pd(a0, a2)));
    _mm256_storeu_ps(to + 2 * TILE, _mm256_castpd_ps(_mm256_unpacklo_pd(a1, a3)));
    _mm256_storeu_ps(to + 3 * TILE, _mm256_castpd_ps(_mm256_unpackhi_pd(a1, a3)));
}

typedef void turn_fn(const uint8_t *const *row, size_t at, float *to);

/* Turns `width` values of `high` keys at a time; of keys that are not there the last one stands in. */
QS_INLINE void turn(const struct qs_logits *j, turn_fn *some, size_t width, size_t high, size_t size, qs_ref_kv_fn *value)
{
    const uint8_t *row[TILE];
    const size_t keys = (j->keys + 15) / 16 * 16, full = j->n / width * width;
    for (size_t k = 0; k < keys; k++)
        row[k] = j->k + (k < j->keys ? k : j->keys - 1) * j->stride;
    for (size_t k = 0; k < keys; k += high)
        for (size_t d = 0; d < full; d += width)
            some(row + k, d * size, j->room + d * TILE + k);
    for (size_t d = full; d < j->n; d++)
        for (size_t k = 0; k < keys; k++)
            j->room[d * TILE + k] = value(row[k], d);
}

QS_INLINE void logits(const struct qs_logits *j)
{
    const struct sums s = { j->q, j->n, j->n, (const uint8_t *)j->room, TILE * sizeof(float), NULL, j->out, TILE };
    sum_rows(false, load_f32, &s, j->queries, (j->keys + 15) / 16 * 16);
}

static void logits_f32(const struct qs_logits *j)
{
    turn(j, turn_f32, 4, 8, 4, qs_ref_kv_f32);
    logits(j);
}

static void logits_f16(const struct qs_logits *j)
{
    turn(j, turn_f16, 8, 16, 2, qs_ref_kv_f16);
    logits(j);
}

/* ---- softmax */

/* s[from .. to), with at most 15 on both sides that are -infinity, so that whole groups of 16 can be worked on. */
QS_INLINE float softmax_row(float *s, size_t from, size_t to, float *max)
{
    const size_t first = from / 16 * 16, last = (to + 15) / 16 * 16;
    for (size_t k = first; k < from; k++)
        s[k] = -INFINITY;
    for (size_t k = to; k < last; k++)
        s[k] = -INFINITY;
    vec most = v_set1(*max); /* v_max hands out its second operand where the first is NaN */
    for (size_t k = first; k < last; k += W)
        most = v_max(v_load(s + k), most);
    *max = v_most(most) + 0.0f;
    const vec n = v_set1(*max);
    vec low = v_zero(), high = low; /* sums 0..15, or 0..7 and 8..15 */
    for (size_t k = first; k < last; k += 16) {
        const vec p = v_exp(v_sub(v_load(s + k), n));
        v_store(s + k, p);
        low = v_add(low, p);
        if (W == 8) {
            const vec r = v_exp(v_sub(v_load(s + k + 8), n));
            v_store(s + k + 8, r);
            high = v_add(high, r);
        }
    }
    return v_sum16(low, high);
}

static void softmax(const struct qs_softmax *j)
{
    for (size_t i = 0; i < j->queries; i++) {
        const float before = j->max[i], sum = softmax_row(j->s + i * TILE, j->from, j->to, &j->max[i]);
        j->scale[i] = before == j->max[i] ? 1 : qs_exp(before - j->max[i]); /* exp(0) is 1, and most often it is that */
        j->sum[i] = j->sum[i] * j->scale[i] + sum;
    }
}

/* ---- mix */

QS_INLINE void mix(const struct qs_mix *j, load_fn *load, qs_ref_kv_fn *value)
{
    const size_t cols = j->n / W * W;
    const struct sums s = { j->p + j->from, TILE, j->to - j->from, j->v + j->from * j->stride, j->stride, j->scale, j->y,
                            j->y_stride };
    sum_rows(true, load, &s, j->queries, cols);
    if (cols < j->n)
        qs_ref_mix_rest(j, cols, value);
}

static void mix_f32(const struct qs_mix *j) { mix(j, load_f32, qs_ref_kv_f32); }
static void mix_f16(const struct qs_mix *j) { mix(j, load_f16, qs_ref_kv_f16); }
static void mix_q8_0(const struct qs_mix *j) { mix(j, load_q8_0, NULL); }
static void mix_q4_0(const struct qs_mix *j) { mix(j, load_q4_0, NULL); }

static const struct qs_attend_ops table = {
    .logits = { logits_f32, logits_f16 },
    .softmax = softmax,
    .mix = { mix_f32, mix_f16, mix_q8_0, mix_q4_0 },
};
