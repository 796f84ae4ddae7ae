/* rows.c - operations on rows, and activations, by AVX2 and FMA.
 *
 * Every lane does the float operations of kernels/ref/rows.c and funcs.h in their order: same bits. Ends of rows that fill
 * no whole vector are done by plain C. What gains little from vectors is left to it.
 */
#include <math.h>

#include "kernels/level.h"
#include "kernels/ref/dots.h"
#include "kernels/ref/funcs.h"
#include "kernels/ref/rows.h"
#include "kernels/x86_avx2/funcs8.h"

/* ---- norms */

static void norm_rms(const float *x, size_t n, const float *weight, float eps, float *y)
{
    __m256d lo = _mm256_setzero_pd(), hi = lo;
    const size_t full = n / 8 * 8;
    for (size_t k = 0; k < full; k += 8) {
        const __m256d a = _mm256_cvtps_pd(_mm_loadu_ps(x + k)), b = _mm256_cvtps_pd(_mm_loadu_ps(x + k + 4));
        lo = _mm256_add_pd(lo, _mm256_mul_pd(a, a));
        hi = _mm256_add_pd(hi, _mm256_mul_pd(b, b));
    }
    double s[8];
    _mm256_storeu_pd(s, lo);
    _mm256_storeu_pd(s + 4, hi);
    for (size_t k = full; k < n; k++)
        s[k % 8] += (double)x[k] * (double)x[k];
    const double sum = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
    const float scale = (float)(1 / sqrt(sum / (double)n + (double)eps));
    for (size_t k = 0; k < full; k += 8) {
        const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + k), set(scale));
        _mm256_storeu_ps(y + k, weight ? _mm256_mul_ps(v, _mm256_loadu_ps(weight + k)) : v);
    }
    for (size_t k = full; k < n; k++)
        y[k] = weight ? x[k] * scale * weight[k] : x[k] * scale;
}

/* ---- gates and sums */

/* out = expression of g and u, eight at a time; the rest by plain C. */
#define GLU(name, expression)                                                                                          \
    static void glu_##name(const float *gate, const float *up, size_t n, float alpha, float limit, float *out)          \
    {                                                                                                                  \
        size_t k = 0;                                                                                                  \
        for (; k + 8 <= n; k += 8) {                                                                                   \
            const __m256 g = _mm256_loadu_ps(gate + k), u = _mm256_loadu_ps(up + k);                                   \
            _mm256_storeu_ps(out + k, (expression));                                                                   \
        }                                                                                                              \
        qs_ref_glu_##name(gate + k, up + k, n - k, alpha, limit, out + k);                                             \
    }

/* g / (1 + exp(-u)) */
QS_INLINE __m256 gated(__m256 g, __m256 u) { return _mm256_div_ps(g, _mm256_add_ps(set(1), exp8(negate(u)))); }

QS_INLINE __m256 gelu_of(__m256 g)
{
    const __m256 square = step(_mm256_mul_ps(set(QS_GELU_B), g), g, 1);
    return gated(g, _mm256_mul_ps(_mm256_mul_ps(set(QS_GELU_A), g), square));
}

QS_INLINE __m256 oai(__m256 g, __m256 u, float alpha, float limit)
{
    g = at_most(g, limit);
    u = at_least(at_most(u, limit), -limit);
    return _mm256_mul_ps(gated(g, _mm256_mul_ps(set(alpha), g)), _mm256_add_ps(u, set(1)));
}

GLU(silu, _mm256_mul_ps(gated(g, g), u))
GLU(gelu, _mm256_mul_ps(gelu_of(g), u))
GLU(oai, oai(g, u, alpha, limit))

static void add(float *x, const float *y, size_t n, float scale)
{
    size_t k = 0;
    for (; k + 8 <= n; k += 8)
        _mm256_storeu_ps(x + k, _mm256_fmadd_ps(set(scale), _mm256_loadu_ps(y + k), _mm256_loadu_ps(x + k)));
    qs_ref_add(x + k, y + k, n - k, scale);
}

static void softcap(float *x, size_t n, float cap, float scale)
{
    size_t k = 0;
    for (; k + 8 <= n; k += 8) {
        const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + k), set(scale));
        _mm256_storeu_ps(x + k, cap != 0 ? _mm256_mul_ps(set(cap), tanh8(_mm256_div_ps(v, set(cap)))) : v);
    }
    qs_ref_softcap(x + k, n - k, cap, scale);
}

static void merge(float *x, float a, const float *y, float b, size_t n)
{
    size_t k = 0;
    for (; k + 8 <= n; k += 8)
        _mm256_storeu_ps(x + k, _mm256_add_ps(_mm256_mul_ps(_mm256_loadu_ps(x + k), set(a)),
                                              _mm256_mul_ps(_mm256_loadu_ps(y + k), set(b))));
    qs_ref_merge(x + k, a, y + k, b, n - k);
}

/* ---- Gram matrix */

/* Columns [j, j + 32) in registers over all rows. */
static void gram(const float *x, size_t stride, size_t rows, size_t i, size_t cols, float *g)
{
    size_t j = i;
    for (; j + 32 <= cols; j += 32) {
        __m256 a = _mm256_loadu_ps(g + j), b = _mm256_loadu_ps(g + j + 8);
        __m256 c = _mm256_loadu_ps(g + j + 16), d = _mm256_loadu_ps(g + j + 24);
        const float *row = x;
        for (size_t t = 0; t < rows; t++, row += stride) {
            const __m256 w = _mm256_broadcast_ss(row + i);
            a = _mm256_fmadd_ps(w, _mm256_loadu_ps(row + j), a);
            b = _mm256_fmadd_ps(w, _mm256_loadu_ps(row + j + 8), b);
            c = _mm256_fmadd_ps(w, _mm256_loadu_ps(row + j + 16), c);
            d = _mm256_fmadd_ps(w, _mm256_loadu_ps(row + j + 24), d);
        }
        _mm256_storeu_ps(g + j, a);
        _mm256_storeu_ps(g + j + 8, b);
        _mm256_storeu_ps(g + j + 16, c);
        _mm256_storeu_ps(g + j + 24, d);
    }
    for (; j < cols; j++)
        for (size_t t = 0; t < rows; t++)
            g[j] = fmaf(x[t * stride + i], x[t * stride + j], g[j]);
}

/* ---- activations */

/* Codes of 32 values as bytes. */
QS_INLINE __m256i codes_of(const float *x, __m256 inv)
{
    const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inv));
    const __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), inv));
    const __m256i c = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 16), inv));
    const __m256i d = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 24), inv));
    const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* The scale of n values (a multiple of 32), and its inverse: 0 for codes that are all zero. */
QS_INLINE float scale_of(const float *x, size_t n, float *inv)
{
    const __m256 sign = set(-0.0f);
    __m256 most = _mm256_setzero_ps(), all = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    for (size_t k = 0; k < n; k += 8) {
        const __m256 a = _mm256_andnot_ps(sign, _mm256_loadu_ps(x + k));
        all = _mm256_and_ps(all, _mm256_cmp_ps(a, set(INFINITY), _CMP_LT_OQ));
        most = _mm256_max_ps(most, a);
    }
    *inv = 0;
    if (_mm256_movemask_ps(all) != 255)
        return NAN;
    __m128 h = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
    h = _mm_max_ps(h, _mm_movehl_ps(h, h));
    const float amax = _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
    if (amax < QS_ACT_TINY)
        return 0;
    const float d = amax / 127;
    *inv = 1 / d;
    return d;
}

/* Where inv is 0, x may hold anything. */
QS_INLINE __m256i store_codes(const float *x, float inv, int8_t *q)
{
    const __m256i v = inv > 0 ? codes_of(x, set(inv)) : _mm256_setzero_si256();
    _mm256_store_si256((void *)q, v);
    return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), v), _mm256_set1_epi16(1)); /* sums of four */
}

static void quantize_q8(const float *x, size_t cols, void *row)
{
    const size_t n = cols / 32, room = qs_act_pad8(n);
    float *d = (float *)qs_q8_scales(row, cols), *s = (float *)qs_q8_sums(row, cols);
    int32_t *minus = (int32_t *)qs_q8_minus(row, cols);
    for (size_t i = 0; i < n; i++) {
        float inv;
        d[i] = scale_of(x + 32 * i, 32, &inv);
        const __m256i fours = store_codes(x + 32 * i, inv, (int8_t *)row + 32 * i);
        __m128i v = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
        v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
        const int sum = _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32(v, 0xb1)));
        s[i] = d[i] * (float)sum;
        minus[i] = -sum;
    }
    for (size_t i = n; i < room; i++) {
        d[i] = s[i] = 0;
        minus[i] = 0;
    }
}

static void quantize_q8k(const float *x, size_t cols, void *row)
{
    const size_t n = cols / 256, room = qs_act_pad8(n);
    float *d = (float *)qs_q8k_scales(row, cols);
    int16_t *s = (int16_t *)qs_q8k_sums(row, cols);
    for (size_t i = 0; i < n; i++) {
        float inv;
        d[i] = scale_of(x + 256 * i, 256, &inv);
        for (size_t k = 256 * i; k < 256 * i + 256; k += 32) {
            __m256i v = store_codes(x + k, inv, (int8_t *)row + k);
            v = _mm256_add_epi32(v, _mm256_shuffle_epi32(v, 0x4e));
            v = _mm256_add_epi32(v, _mm256_shuffle_epi32(v, 0xb1));
            s[k / 16] = (int16_t)_mm256_extract_epi32(v, 0);
            s[k / 16 + 1] = (int16_t)_mm256_extract_epi32(v, 4);
        }
    }
    for (size_t i = n; i < room; i++)
        d[i] = 0;
}

/* ---- moments */

/* Columns [j, j + 16) in registers over all rows; squares are exact in double, so fusing changes no bit. */
static void moments(const float *x, size_t stride, size_t rows, size_t n, double *sum2, double *sum, float *max)
{
    enum { PARTS = 4, LANES = 4 };
    size_t j = 0;
    for (; j + PARTS * LANES <= n; j += PARTS * LANES) {
        __m256d two[PARTS], one[PARTS];
        __m128 most[PARTS];
        for (int i = 0; i < PARTS; i++) {
            two[i] = _mm256_loadu_pd(sum2 + j + i * LANES);
            one[i] = _mm256_loadu_pd(sum + j + i * LANES);
            most[i] = _mm_loadu_ps(max + j + i * LANES);
        }
        const float *row = x + j;
        for (size_t t = 0; t < rows; t++, row += stride)
            for (int i = 0; i < PARTS; i++) {
                const __m128 f = _mm_loadu_ps(row + i * LANES);
                const __m256d v = _mm256_cvtps_pd(f);
                two[i] = _mm256_fmadd_pd(v, v, two[i]);
                one[i] = _mm256_add_pd(one[i], v);
                most[i] = _mm_max_ps(_mm_andnot_ps(_mm_set1_ps(-0.f), f), most[i]); /* NaN is no more */
            }
        for (int i = 0; i < PARTS; i++) {
            _mm256_storeu_pd(sum2 + j + i * LANES, two[i]);
            _mm256_storeu_pd(sum + j + i * LANES, one[i]);
            _mm_storeu_ps(max + j + i * LANES, most[i]);
        }
    }
    qs_ref_moments(x + j, stride, rows, n - j, sum2 + j, sum + j, max + j);
}

void qs_avx2_rows(struct qs_row_ops *ops)
{
    ops->quantize[QS_ACT_Q8] = quantize_q8;
    ops->quantize[QS_ACT_Q8K] = quantize_q8k;
    ops->quantize[QS_ACT_BF16] = qs_avx2_quantize_bf16;
    ops->norm_rms = norm_rms;
    ops->glu[0] = glu_silu;
    ops->glu[1] = glu_gelu;
    ops->glu[3] = glu_oai;
    ops->add = add;
    ops->softcap = softcap;
    ops->merge = merge;
    ops->gram = gram;
    ops->moments = moments;
    qs_avx2_attend(&ops->attend);
    qs_avx2_codes(&ops->codes);
    qs_avx2_measure(&ops->measure);
}
