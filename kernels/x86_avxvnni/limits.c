/* limits.c - the loop of limits.h that AVX-VNNI adds to those of AVX2: vpdpbusd of 256 bits. */
#include <immintrin.h>

#include "kernels/limits.h"

static volatile int kept; /* the work must be done */

static void multiply_bytes(size_t rounds)
{
    __m256i a = _mm256_set1_epi8(1);
    const __m256i b = _mm256_set1_epi8(2);
#define SUM(k) __m256i s##k = _mm256_setzero_si256();
#define STEP(k) __asm__ volatile("" : "+x"(a)); s##k = _mm256_dpbusd_avx_epi32(s##k, a, b);
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

size_t qs_avxvnni_limits(const struct qs_limit_loop **out)
{
    static const struct qs_limit_loop loops[] = {
        { QS_LIMIT_INT8, "vpdpbusd, 256 bits (VEX)", QS_LIMIT_SUMS * 64, multiply_bytes, NULL },
    };
    *out = loops;
    return sizeof loops / sizeof *loops;
}
