/* limits.c - the loop of limits.h with vdpbf16ps. Made like kernels/x86_avx2/limits.c. */
#include <immintrin.h>

#include "kernels/limits.h"

static volatile int kept; /* the work must be done */

static void multiply_512(size_t rounds)
{
    __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.5f));
    const __m512bh b = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0x1p-20f), _mm512_set1_ps(0x1p-20f));
#define SUM(k) __m512 s##k = _mm512_setzero_ps();
#define STEP(k) __asm__ volatile("" : "+v"(a)); s##k = _mm512_dpbf16_ps(s##k, a, b);
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

static void multiply_256(size_t rounds)
{
    __m256bh a = _mm256_cvtne2ps_pbh(_mm256_set1_ps(0.5f), _mm256_set1_ps(0.5f));
    const __m256bh b = _mm256_cvtne2ps_pbh(_mm256_set1_ps(0x1p-20f), _mm256_set1_ps(0x1p-20f));
#define SUM(k) __m256 s##k = _mm256_setzero_ps();
#define STEP(k) __asm__ volatile("" : "+v"(a)); s##k = _mm256_dpbf16_ps(s##k, a, b);
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
    { QS_LIMIT_BF16, "vdpbf16ps, 256 bits", 32 * QS_LIMIT_SUMS, multiply_256, NULL },
    { QS_LIMIT_BF16, "vdpbf16ps, 512 bits", 64 * QS_LIMIT_SUMS, multiply_512, NULL },
};

size_t qs_avx512bf16_limits(const struct qs_limit_loop **out)
{
    *out = loops;
    return sizeof loops / sizeof *loops;
}
