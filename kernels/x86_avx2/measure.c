/* measure.c - measure.h by AVX2: the four sums of a row are the lanes of a vector.
 *
 * A difference that is no number makes the sum of squares none either; nothing else does, floats being far from what
 * double holds. Such rows are measured again by plain C.
 */
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>

#include "kernels/half.h"
#include "kernels/measure.h"

#define INLINE static inline __attribute__((always_inline))

struct sums {
    __m256d err, ref, werr, wref, most;
};

INLINE __m128i first(size_t n) { return _mm_cmpgt_epi32(_mm_set1_epi32((int)n), _mm_setr_epi32(0, 1, 2, 3)); }

/* The first `n` of four places; what lies behind them counts as zero. A square of a float is exact: it may be fused. */
INLINE void add_four(struct sums *s, const float *x, const float *y, const float *weight, size_t n, bool weighted)
{
    const __m128i m = first(n);
    const __m256d v = _mm256_cvtps_pd(n < 4 ? _mm_maskload_ps(x, m) : _mm_loadu_ps(x));
    const __m256d d = _mm256_sub_pd(v, _mm256_cvtps_pd(n < 4 ? _mm_maskload_ps(y, m) : _mm_loadu_ps(y)));
    const __m256d d2 = _mm256_mul_pd(d, d);
    s->err = _mm256_add_pd(s->err, d2);
    s->ref = _mm256_fmadd_pd(v, v, s->ref);
    s->most = _mm256_max_pd(s->most, _mm256_andnot_pd(_mm256_set1_pd(-0.0), d));
    if (weighted) {
        const __m256d w = _mm256_cvtps_pd(n < 4 ? _mm_maskload_ps(weight, m) : _mm_loadu_ps(weight));
        s->werr = _mm256_add_pd(s->werr, _mm256_mul_pd(w, d2));
        s->wref = _mm256_add_pd(s->wref, _mm256_mul_pd(w, _mm256_mul_pd(v, v)));
    }
}

INLINE double in_order(__m256d v)
{
    double part[4];
    _mm256_storeu_pd(part, v);
    return part[0] + part[1] + part[2] + part[3];
}

INLINE void measure(const float *x, const float *y, const float *weight, size_t n, struct qs_row_distance *out, bool weighted)
{
    const __m256d zero = _mm256_setzero_pd();
    struct sums s = { zero, zero, zero, zero, zero };
    size_t k = 0;
    for (; k + 4 <= n; k += 4)
        add_four(&s, x + k, y + k, weight + k, 4, weighted);
    if (k < n)
        add_four(&s, x + k, y + k, weight + k, n - k, weighted);
    double most[4];
    _mm256_storeu_pd(most, s.most);
    *out = (struct qs_row_distance){ in_order(s.err), in_order(s.ref), in_order(s.werr), in_order(s.wref),
                                     fmax(fmax(most[0], most[1]), fmax(most[2], most[3])), 0 };
}

static void distance(const float *x, const float *y, const float *weight, size_t n, struct qs_row_distance *out)
{
    if (weight)
        measure(x, y, weight, n, out, true);
    else
        measure(x, y, x, n, out, false);
    if (!isfinite(out->err2))
        qs_ref_distance(x, y, weight, n, out);
}

static float largest(const float *x, size_t n)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i m[4] = { _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256() };
    size_t k = 0;
    for (; k + 32 <= n; k += 32)
        for (size_t i = 0; i < 4; i++)
            m[i] = _mm256_max_epi32(m[i], _mm256_and_si256(magnitude, _mm256_loadu_si256((const void *)(x + k + 8 * i))));
    uint32_t part[8], most = 0;
    _mm256_storeu_si256((void *)part, _mm256_max_epi32(_mm256_max_epi32(m[0], m[1]), _mm256_max_epi32(m[2], m[3])));
    for (size_t i = 0; i < 8; i++)
        most = part[i] > most ? part[i] : most;
    for (; k < n; k++) {
        const uint32_t bits = qs_f32_bits(x[k]) & 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    return most < 0x7f800000u ? qs_bits_f32(most) : NAN;
}

void qs_avx2_measure(struct qs_measure_ops *ops) { *ops = (struct qs_measure_ops){ distance, largest }; }
