/* limits.c - the loops of limits.h in 256 bits: reading, maddubs with its two companions, multiply-add of floats.
 *
 * The empty assembler statements keep the compiler from noticing that the factors never change. */
#include <immintrin.h>

#include "kernels/limits.h"

/* `ahead` bytes before they are wanted, lines are asked for (0: not). */
static inline __attribute__((always_inline)) uint64_t read_any(const uint8_t *p, size_t bytes, size_t ahead)
{
    __m256i sum[4] = { _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256() };
    for (const uint8_t *end = p + bytes; p < end; p += 128) {
        for (size_t k = 0; ahead && k < 128; k += 64)
            _mm_prefetch((const char *)p + ahead + k, _MM_HINT_T0);
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; k++)
            sum[k] = _mm256_add_epi64(sum[k], _mm256_load_si256((const __m256i *)(const void *)(p + 32 * k)));
    }
    sum[0] = _mm256_add_epi64(_mm256_add_epi64(sum[0], sum[1]), _mm256_add_epi64(sum[2], sum[3]));
    return (uint64_t)_mm256_extract_epi64(sum[0], 0) + (uint64_t)_mm256_extract_epi64(sum[0], 1)
           + (uint64_t)_mm256_extract_epi64(sum[0], 2) + (uint64_t)_mm256_extract_epi64(sum[0], 3);
}

static uint64_t read_plain(const uint8_t *p, size_t bytes) { return read_any(p, bytes, 0); }
static uint64_t read_ahead(const uint8_t *p, size_t bytes) { return read_any(p, bytes, 2048); }

static volatile int kept; /* the work must be done */

static void multiply_bytes(size_t rounds)
{
    __m256i a = _mm256_set1_epi8(1);
    const __m256i b = _mm256_set1_epi8(2), one = _mm256_set1_epi16(1);
#define SUM(k) __m256i s##k = _mm256_setzero_si256();
#define DOT _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), one)
#define STEP(k) __asm__ volatile("" : "+x"(a)); s##k = _mm256_add_epi32(s##k, DOT);
#define ADD(k) all = _mm256_add_epi32(all, s##k);
    QS_LIMIT_EACH(SUM)
    for (size_t r = 0; r < rounds; r++) {
        QS_LIMIT_EACH(STEP)
    }
    __m256i all = _mm256_setzero_si256();
    QS_LIMIT_EACH(ADD)
    kept = _mm256_extract_epi32(all, 0);
#undef DOT
#undef SUM
#undef STEP
#undef ADD
}

static void multiply_floats(size_t rounds)
{
    __m256 a = _mm256_set1_ps(0.5f);
    const __m256 b = _mm256_set1_ps(0x1p-20f);
#define SUM(k) __m256 s##k = _mm256_setzero_ps();
#define STEP(k) __asm__ volatile("" : "+x"(a)); s##k = _mm256_fmadd_ps(a, b, s##k);
#define ADD(k) all = _mm256_add_ps(all, s##k);
    QS_LIMIT_EACH(SUM)
    for (size_t r = 0; r < rounds; r++) {
        QS_LIMIT_EACH(STEP)
    }
    __m256 all = _mm256_setzero_ps();
    QS_LIMIT_EACH(ADD)
    kept = (int)_mm256_cvtss_f32(all);
#undef SUM
#undef STEP
#undef ADD
}

static const struct qs_limit_loop loops[] = {
    { QS_LIMIT_READ, "256-bit loads", 0, NULL, read_plain },
    { QS_LIMIT_READ, "256-bit loads, prefetched", 0, NULL, read_ahead },
    { QS_LIMIT_INT8, "vpmaddubsw, 256 bits", 64 * QS_LIMIT_SUMS, multiply_bytes, NULL },
    { QS_LIMIT_F32, "vfmadd231ps, 256 bits", 16 * QS_LIMIT_SUMS, multiply_floats, NULL },
};

size_t qs_avx2_limits(const struct qs_limit_loop **out)
{
    *out = loops;
    return sizeof loops / sizeof *loops;
}
