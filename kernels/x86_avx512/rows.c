/* rows.c - operations on rows (rows.h), and activations, by AVX-512.
 *
 * Every lane does the float operations of kernels/ref/rows.c and funcs.h in their order, or others with the same
 * results: same bits. Ends of rows that fill no whole vector are done by masks where that is simple, else by plain
 * C.
 */
#include <math.h>

#include "kernels/level.h"
#include "kernels/ref/dots.h"
#include "kernels/ref/rows.h"
#include "kernels/x86_avx512/funcs16.h"

QS_INLINE __m512 set(float x) { return _mm512_set1_ps(x); }

/* The first n % 16 lanes, or all. */
QS_INLINE __mmask16 lanes(size_t n) { return (__mmask16)(n >= 16 ? 0xffffu : (1u << n) - 1); }

/* ---- norms */

static void norm_rms(const float *x, size_t n, const float *weight, float eps, float *y)
{
    __m512d s = _mm512_setzero_pd();
    const size_t full = n / 8 * 8;
    for (size_t k = 0; k < full; k += 8) {
        const __m512d v = _mm512_cvtps_pd(_mm256_loadu_ps(x + k));
        s = _mm512_add_pd(s, _mm512_mul_pd(v, v));
    }
    const __m512d v = _mm512_cvtps_pd(_mm256_maskz_loadu_ps((__mmask8)((1u << (n - full)) - 1), x + full));
    s = _mm512_add_pd(s, _mm512_mul_pd(v, v));
    double part[8];
    _mm512_storeu_pd(part, s);
    const double sum = ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
    const __m512 scale = set((float)(1 / sqrt(sum / (double)n + (double)eps)));
    for (size_t k = 0; k < n; k += 16) {
        const __mmask16 m = lanes(n - k);
        const __m512 f = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + k), scale);
        _mm512_mask_storeu_ps(y + k, m, weight ? _mm512_mul_ps(f, _mm512_maskz_loadu_ps(m, weight + k)) : f);
    }
}

/* ---- rotations */

/* Pairs side by side: x = x * (cos, cos) + swapped x * (-sin, sin). */
static void rope_norm(float *x, const float *angle, size_t n_rot)
{
    for (size_t i = 0; i < n_rot; i += 16) {
        const __mmask16 m = lanes(n_rot - i);
        const __m512 v = _mm512_maskz_loadu_ps(m, x + i), a = _mm512_maskz_loadu_ps(m, angle + i);
        const __m512 straight = _mm512_mul_ps(v, _mm512_moveldup_ps(a));
        const __m512 crossed = _mm512_mul_ps(_mm512_permute_ps(v, 0xb1), _mm512_movehdup_ps(a));
        const __m512 sum = _mm512_mask_sub_ps(_mm512_add_ps(crossed, straight), 0x5555, straight, crossed);
        _mm512_mask_storeu_ps(x + i, m, sum);
    }
}

static void rope_neox(float *x, const float *angle, size_t n_rot)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    const size_t half = n_rot / 2;
    for (size_t i = 0; i < half; i += 16) {
        const size_t n = half - i < 16 ? half - i : 16;
        const __mmask16 m = lanes(n);
        const __m512 low = _mm512_maskz_loadu_ps(lanes(2 * n), angle + 2 * i);
        const __m512 high = n > 8 ? _mm512_maskz_loadu_ps(lanes(2 * n - 16), angle + 2 * i + 16) : low;
        const __m512 c = _mm512_permutex2var_ps(low, even, high), s = _mm512_permutex2var_ps(low, odd, high);
        const __m512 a = _mm512_maskz_loadu_ps(m, x + i), b = _mm512_maskz_loadu_ps(m, x + i + half);
        _mm512_mask_storeu_ps(x + i, m, _mm512_sub_ps(_mm512_mul_ps(a, c), _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + i + half, m, _mm512_add_ps(_mm512_mul_ps(a, s), _mm512_mul_ps(b, c)));
    }
}

/* a + b where the lane's partner is above, partner - a where it is below. */
QS_INLINE __m512 butterfly(__m512 v, __m512 partner, __mmask16 upper)
{
    return _mm512_mask_sub_ps(_mm512_add_ps(v, partner), upper, partner, v);
}

/* Distances 1, 2, 4, 8 within a vector, then those between vectors. */
static void hadamard(float *x, size_t n)
{
    if (n < 16) {
        qs_ref_hadamard(x, n);
        return;
    }
    for (size_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        v = butterfly(v, _mm512_permute_ps(v, 0xb1), 0xaaaa);
        v = butterfly(v, _mm512_permute_ps(v, 0x4e), 0xcccc);
        v = butterfly(v, _mm512_shuffle_f32x4(v, v, 0xb1), 0xf0f0);
        v = butterfly(v, _mm512_shuffle_f32x4(v, v, 0x4e), 0xff00);
        _mm512_storeu_ps(x + i, v);
    }
    for (size_t h = 16; h < n; h *= 2)
        for (size_t i = 0; i < n; i += 2 * h)
            for (size_t k = i; k < i + h; k += 16) {
                const __m512 a = _mm512_loadu_ps(x + k), b = _mm512_loadu_ps(x + k + h);
                _mm512_storeu_ps(x + k, _mm512_add_ps(a, b));
                _mm512_storeu_ps(x + k + h, _mm512_sub_ps(a, b));
            }
    const __m512 scale = set(1 / sqrtf((float)n));
    for (size_t k = 0; k < n; k += 16)
        _mm512_storeu_ps(x + k, _mm512_mul_ps(_mm512_loadu_ps(x + k), scale));
}

/* ---- gates and sums */

#define GLU(name, expression)                                                                                          \
    static void glu_##name(const float *gate, const float *up, size_t n, float alpha, float limit, float *out)          \
    {                                                                                                                  \
        (void)alpha, (void)limit;                                                                                      \
        for (size_t k = 0; k < n; k += 16) {                                                                           \
            const __mmask16 m = lanes(n - k);                                                                          \
            const __m512 g = _mm512_maskz_loadu_ps(m, gate + k), u = _mm512_maskz_loadu_ps(m, up + k);                 \
            _mm512_mask_storeu_ps(out + k, m, (expression));                                                           \
        }                                                                                                              \
    }

/* g / (1 + exp(-u)) */
QS_INLINE __m512 gated(__m512 g, __m512 u)
{
    return _mm512_div_ps(g, _mm512_add_ps(set(1), qs_exp16(_mm512_xor_ps(u, set(-0.0f)))));
}

QS_INLINE __m512 gelu_of(__m512 g)
{
    const __m512 square = qs_step16(_mm512_mul_ps(set(QS_GELU_B), g), g, 1);
    return gated(g, _mm512_mul_ps(_mm512_mul_ps(set(QS_GELU_A), g), square));
}

/* Where a number is NaN, min and max hand out their second operand. */
QS_INLINE __m512 oai(__m512 g, __m512 u, float alpha, float limit)
{
    g = _mm512_min_ps(set(limit), g);
    u = _mm512_max_ps(set(-limit), _mm512_min_ps(set(limit), u));
    return _mm512_mul_ps(gated(g, _mm512_mul_ps(set(alpha), g)), _mm512_add_ps(u, set(1)));
}

GLU(silu, _mm512_mul_ps(gated(g, g), u))
GLU(gelu, _mm512_mul_ps(gelu_of(g), u))
GLU(oai, oai(g, u, alpha, limit))

static void add(float *x, const float *y, size_t n, float scale)
{
    for (size_t k = 0; k < n; k += 16) {
        const __mmask16 m = lanes(n - k);
        _mm512_mask_storeu_ps(x + k, m, _mm512_fmadd_ps(set(scale), _mm512_maskz_loadu_ps(m, y + k),
                                                       _mm512_maskz_loadu_ps(m, x + k)));
    }
}

static void softcap(float *x, size_t n, float cap, float scale)
{
    for (size_t k = 0; k < n; k += 16) {
        const __mmask16 m = lanes(n - k);
        const __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + k), set(scale));
        _mm512_mask_storeu_ps(x + k, m, cap != 0 ? _mm512_mul_ps(set(cap), qs_tanh16(_mm512_div_ps(v, set(cap)))) : v);
    }
}

static void merge(float *x, float a, const float *y, float b, size_t n)
{
    for (size_t k = 0; k < n; k += 16) {
        const __mmask16 m = lanes(n - k);
        const __m512 f = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, y + k), set(b));
        _mm512_mask_storeu_ps(x + k, m, _mm512_add_ps(_mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + k), set(a)), f));
    }
}

/* ---- activations */

/* The scale of the magnitudes whose largest is `most`, and its inverse: 0 for codes that are all zero. */
QS_INLINE float scale_of(float most, bool finite, float *inv)
{
    *inv = 0;
    if (!finite)
        return NAN;
    if (most < QS_ACT_TINY)
        return 0;
    const float d = most / 127;
    *inv = 1 / d;
    return d;
}

QS_INLINE __m512 magnitude(__m512 v) { return _mm512_andnot_ps(set(-0.0f), v); }
QS_INLINE __mmask16 bounded(__m512 a) { return _mm512_cmp_ps_mask(a, set(INFINITY), _CMP_LT_OQ); }
QS_INLINE __m128i codes(__m512 v, __m512 inv) { return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(v, inv))); }

static void quantize_q8(const float *x, size_t cols, void *row)
{
    const size_t n = cols / 32, room = qs_act_pad8(n);
    float *d = (float *)qs_q8_scales(row, cols), *s = (float *)qs_q8_sums(row, cols);
    int32_t *minus = (int32_t *)qs_q8_minus(row, cols);
    for (size_t i = 0; i < n; i++) {
        const __m512 a = _mm512_loadu_ps(x + 32 * i), b = _mm512_loadu_ps(x + 32 * i + 16);
        const __m512 ma = magnitude(a), mb = magnitude(b);
        float inv;
        d[i] = scale_of(_mm512_reduce_max_ps(_mm512_max_ps(ma, mb)), (bounded(ma) & bounded(mb)) == 0xffff, &inv);
        __m256i q = _mm256_setzero_si256();
        if (inv > 0)
            q = _mm256_set_m128i(codes(b, set(inv)), codes(a, set(inv)));
        _mm256_store_si256((void *)((int8_t *)row + 32 * i), q);
        const __m256i fours = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), q);
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
    const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0);
    float *d = (float *)qs_q8k_scales(row, cols);
    int16_t *s = (int16_t *)qs_q8k_sums(row, cols);
    for (size_t i = 0; i < n; i++) {
        __m512 most = _mm512_setzero_ps();
        __mmask16 all = 0xffff;
        for (size_t k = 256 * i; k < 256 * i + 256; k += 16) {
            const __m512 a = magnitude(_mm512_loadu_ps(x + k));
            all &= bounded(a);
            most = _mm512_max_ps(most, a);
        }
        float inv;
        d[i] = scale_of(_mm512_reduce_max_ps(most), all == 0xffff, &inv);
        for (size_t k = 256 * i; k < 256 * i + 256; k += 64) {
            __m512i q = _mm512_setzero_si512();
            if (inv > 0) {
                const __m512 f = set(inv);
                const __m256i low = _mm256_set_m128i(codes(_mm512_loadu_ps(x + k + 16), f), codes(_mm512_loadu_ps(x + k), f));
                const __m256i high = _mm256_set_m128i(codes(_mm512_loadu_ps(x + k + 48), f),
                                                      codes(_mm512_loadu_ps(x + k + 32), f));
                q = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
            }
            _mm512_storeu_si512((int8_t *)row + k, q);
            __m512i v = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), q);
            v = _mm512_add_epi32(v, _mm512_shuffle_epi32(v, 0x4e));
            v = _mm512_add_epi32(v, _mm512_shuffle_epi32(v, 0xb1));
            const __m128i sums = _mm512_castsi512_si128(_mm512_permutexvar_epi32(first, v));
            _mm_storel_epi64((void *)(s + k / 16), _mm_packs_epi32(sums, sums));
        }
    }
    for (size_t i = n; i < room; i++)
        d[i] = 0;
}

/* ---- moments */

/* Columns [j, j + 32) in registers over all rows; squares are exact in double, so fusing changes no bit. */
static void moments(const float *x, size_t stride, size_t rows, size_t n, double *sum2, double *sum, float *max)
{
    enum { PARTS = 4, LANES = 8 };
    size_t j = 0;
    for (; j + PARTS * LANES <= n; j += PARTS * LANES) {
        __m512d two[PARTS], one[PARTS];
        __m256 most[PARTS];
        for (int i = 0; i < PARTS; i++) {
            two[i] = _mm512_loadu_pd(sum2 + j + i * LANES);
            one[i] = _mm512_loadu_pd(sum + j + i * LANES);
            most[i] = _mm256_loadu_ps(max + j + i * LANES);
        }
        const float *row = x + j;
        for (size_t t = 0; t < rows; t++, row += stride)
            for (int i = 0; i < PARTS; i++) {
                const __m256 f = _mm256_loadu_ps(row + i * LANES);
                const __m512d v = _mm512_cvtps_pd(f);
                two[i] = _mm512_fmadd_pd(v, v, two[i]);
                one[i] = _mm512_add_pd(one[i], v);
                most[i] = _mm256_max_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.f), f), most[i]); /* NaN is no more */
            }
        for (int i = 0; i < PARTS; i++) {
            _mm512_storeu_pd(sum2 + j + i * LANES, two[i]);
            _mm512_storeu_pd(sum + j + i * LANES, one[i]);
            _mm256_storeu_ps(max + j + i * LANES, most[i]);
        }
    }
    qs_ref_moments(x + j, stride, rows, n - j, sum2 + j, sum + j, max + j);
}

void qs_avx512_rows(struct qs_row_ops *ops)
{
    ops->quantize[QS_ACT_Q8] = quantize_q8;
    ops->quantize[QS_ACT_Q8K] = quantize_q8k;
    ops->norm_rms = norm_rms;
    ops->rope_norm = rope_norm;
    ops->rope_neox = rope_neox;
    ops->hadamard = hadamard;
    ops->glu[0] = glu_silu;
    ops->glu[1] = glu_gelu;
    ops->glu[3] = glu_oai;
    ops->add = add;
    ops->softcap = softcap;
    ops->merge = merge;
    ops->moments = moments;
    qs_avx512_attend(&ops->attend);
    qs_avx512_codes(&ops->codes);
}
