/* legacy.c - `fit` of Q4_0, Q4_1, Q5_0, Q5_1 at AVX2: kernels/lanes/legacy_text.h with the vectors of this folder; and
 * of Q8_0. Q8_0 blocks that are not finite or nearly zero are done by the plain code.
 */
#include <math.h>
#include <stdalign.h>

#include "kernels/x86_avx2/vec.h"

#include "kernels/x86_avx2/legacy.h"
#include "kernels/lanes/legacy_text.h"

/* ---- Q8_0 */

/* roundf: half away from zero. The fraction is exact. */
static __m256i round_away(__m256 v)
{
    const __m256 sign = _mm256_set1_ps(-0.f), whole = _mm256_round_ps(v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    const __m256 fraction = _mm256_andnot_ps(sign, _mm256_sub_ps(v, whole));
    const __m256 up = _mm256_and_ps(_mm256_cmp_ps(fraction, _mm256_set1_ps(0.5f), _CMP_GE_OQ), _mm256_set1_ps(1));
    return _mm256_cvttps_epi32(_mm256_add_ps(whole, _mm256_or_ps(up, _mm256_and_ps(v, sign))));
}

static void fit_q8_0(const float *x, struct qs_grid_q8_0 *grid, uint8_t *code)
{
    const __m256 sign = _mm256_set1_ps(-0.f);
    __m256 v[4], most = _mm256_setzero_ps();
    alignas(32) float lane[8];
    bool ordered = true;
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_loadu_ps(x + 8 * i);
        ordered = ordered && !_mm256_movemask_ps(_mm256_cmp_ps(v[i], v[i], _CMP_UNORD_Q));
        most = _mm256_max_ps(most, _mm256_andnot_ps(sign, v[i]));
    }
    _mm256_store_ps(lane, most);
    float amax = lane[0];
    for (int i = 1; i < 8; i++)
        amax = amax > lane[i] ? amax : lane[i];
    if (!ordered || !(amax > 1e-30f && amax < 3e38f)) { /* rare, or with an inverse that may overflow */
        const struct qs_rows one = {x, 1, 32, 32, NULL};
        qs_ref_q8_0_fit(&one, grid, code);
        return;
    }
    const float d = amax / 127;
    const __m256 id = _mm256_set1_ps(1.0f / d);
    __m256i q[4];
    for (int i = 0; i < 4; i++)
        q[i] = round_away(_mm256_mul_ps(v[i], id));
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)code, _mm256_xor_si256(bytes, _mm256_set1_epi8(-128)));
    *grid = (struct qs_grid_q8_0){.d = qs_f16_scale(d)};
}

void qs_avx2_q8_0_fit(const struct qs_rows *in, void *grid, void *codes)
{
    struct qs_grid_q8_0 *g = grid;
    uint8_t *code = codes;
    for (size_t row = 0; row < in->rows; row++)
        for (size_t col = 0; col + 32 <= in->cols; col += 32, code += 32)
            fit_q8_0(in->x + row * in->stride + col, g++, code);
}
