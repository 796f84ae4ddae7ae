/* limits.c - the loops of limits.h with AVX-512: reading by 512 bits, vpdpbusd and multiply-add of floats. vpdpbusd
 * at both widths: where 512 bits pass in two halves the narrow one may win. Made like kernels/x86_avx2/limits.c.
 */
#include <immintrin.h>

#include "kernels/limits.h"

/* Unsigned: the headers' own sums of lanes overflow. */
static uint64_t sum_of(__m512i v)
{
    uint64_t lane[8], sum = 0;
    _mm512_storeu_si512(lane, v);
    for (int i = 0; i < 8; i++)
        sum += lane[i];
    return sum;
}

static inline __attribute__((always_inline)) uint64_t read_any(const uint8_t *p, size_t bytes, size_t ahead)
{
    __m512i sum[4] = { _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512() };
    for (const uint8_t *end = p + bytes; p < end; p += 256)
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; k++) {
            if (ahead)
                _mm_prefetch((const char *)p + ahead + 64 * k, _MM_HINT_T0);
            sum[k] = _mm512_add_epi64(sum[k], _mm512_load_si512(p + 64 * k));
        }
    return sum_of(
        _mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3])));
}

static uint64_t read_plain(const uint8_t *p, size_t bytes) { return read_any(p, bytes, 0); }
static uint64_t read_ahead(const uint8_t *p, size_t bytes) { return read_any(p, bytes, 2048); }
static uint64_t read_far_ahead(const uint8_t *p, size_t bytes) { return read_any(p, bytes, 8192); }

static volatile int kept; /* the work must be done */

static void multiply_bytes_512(size_t rounds)
{
    __m512i a = _mm512_set1_epi8(1);
    const __m512i b = _mm512_set1_epi8(2);
#define SUM(k) __m512i s##k = _mm512_setzero_si512();
#define STEP(k) __asm__ volatile("" : "+v"(a)); s##k = _mm512_dpbusd_epi32(s##k, a, b);
#define ADD(k) all = _mm512_add_epi32(all, s##k);
    QS_LIMIT_EACH(SUM)
    for (size_t r = 0; r < rounds; r++) {
        QS_LIMIT_EACH(STEP)
    }
    __m512i all = _mm512_setzero_si512();
    QS_LIMIT_EACH(ADD)
    kept = (int)sum_of(all);
#undef SUM
#undef STEP
#undef ADD
}

static void multiply_bytes_256(size_t rounds)
{
    __m256i a = _mm256_set1_epi8(1);
    const __m256i b = _mm256_set1_epi8(2);
#define SUM(k) __m256i s##k = _mm256_setzero_si256();
#define STEP(k) __asm__ volatile("" : "+v"(a)); s##k = _mm256_dpbusd_epi32(s##k, a, b);
#define ADD(k) all = _mm256_add_epi32(all, s##k);
    QS_LIMIT_EACH(SUM)
    for (size_t r = 0; r < rounds; r++) {
        QS_LIMIT_EACH(STEP)
    }
    __m256i all = _mm256_setzero_si256();
    QS_LIMIT_EACH(ADD)
    kept = _mm256_extract_epi32(all, 0);
#undef SUM
#undef STEP
#undef ADD
}

static void multiply_floats(size_t rounds)
{
    __m512 a = _mm512_set1_ps(0.5f);
    const __m512 b = _mm512_set1_ps(0x1p-20f);
#define SUM(k) __m512 s##k = _mm512_setzero_ps();
#define STEP(k) __asm__ volatile("" : "+v"(a)); s##k = _mm512_fmadd_ps(a, b, s##k);
#define ADD(k) all = _mm512_add_ps(all, s##k);
    QS_LIMIT_EACH(SUM)
    for (size_t r = 0; r < rounds; r++) {
        QS_LIMIT_EACH(STEP)
    }
    __m512 all = _mm512_setzero_ps();
    QS_LIMIT_EACH(ADD)
    kept = (int)_mm512_cvtss_f32(all);
#undef SUM
#undef STEP
#undef ADD
}

static const struct qs_limit_loop loops[] = {
    { QS_LIMIT_READ, "512-bit loads", 0, NULL, read_plain },
    { QS_LIMIT_READ, "512-bit loads, prefetched", 0, NULL, read_ahead },
    { QS_LIMIT_READ, "512-bit loads, prefetched from afar", 0, NULL, read_far_ahead },
    { QS_LIMIT_INT8, "vpdpbusd, 256 bits", 64 * QS_LIMIT_SUMS, multiply_bytes_256, NULL },
    { QS_LIMIT_INT8, "vpdpbusd, 512 bits", 128 * QS_LIMIT_SUMS, multiply_bytes_512, NULL },
    { QS_LIMIT_F32, "vfmadd231ps, 512 bits", 32 * QS_LIMIT_SUMS, multiply_floats, NULL },
};

size_t qs_avx512_limits(const struct qs_limit_loop **out)
{
    *out = loops;
    return sizeof loops / sizeof *loops;
}
