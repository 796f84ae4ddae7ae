/* dots.c - products of float rows at AVX-512: F32, F16 and BF16 with float32 activations, BF16 with BF16 ones.
 *
 * The tiles are those of tiles.h. Without an instruction for it, a product of bfloat16 is two fused multiply-adds on a CPU that
 * is told to flush subnormals, which is what dot.h wants; the control register is put back before sums are added up.
 */
#include "kernels/level.h"
#include "kernels/x86_avx512/tiles.h"

QS_INLINE __m512 load_f32(const uint8_t *at) { return _mm512_loadu_ps(at); }
QS_INLINE __m512 load_f16(const uint8_t *at) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)at)); }

QS_INLINE __m512 load_bf16(const uint8_t *at)
{
    const __m512i v = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)at));
    return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
}

QS_INLINE __m512 add_f32(__m512 sum, __m512 w, __m512 x) { return _mm512_fmadd_ps(w, x, sum); }

/* Thirty-two bfloat16 on each side. */
QS_INLINE __m512 odd(__m512 v) { return _mm512_and_ps(v, _mm512_castsi512_ps(_mm512_set1_epi32(-65536))); }
QS_INLINE __m512 even(__m512 v) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(v), 16)); }
QS_INLINE __m512 add_bf16(__m512 sum, __m512 w, __m512 x)
{
    return _mm512_fmadd_ps(even(w), even(x), _mm512_fmadd_ps(odd(w), odd(x), sum));
}

#define BAND(name, ...)                                                                                                \
    static QS_NOINLINE void name(const struct qs_dot *j, size_t row, size_t t, size_t n, qs_tile_sums sums)            \
    {                                                                                                                  \
        qs_tile_band((struct qs_tile_kind){ __VA_ARGS__ }, j, row, t, n, sums);                                        \
    }
BAND(band_f32, load_f32, load_f32, add_f32, 16, 64, 64)
BAND(band_f16, load_f16, load_f32, add_f32, 16, 32, 64)
BAND(band_bf16, load_bf16, load_f32, add_f32, 16, 32, 64)
BAND(band_flushing, load_f32, load_f32, add_bf16, 32, 64, 64)

static void band_bf16_bf16(const struct qs_dot *j, size_t row, size_t t, size_t n, qs_tile_sums sums)
{
    const unsigned was = _mm_getcsr();
    _mm_setcsr(was | QS_X86_FLUSH);
    band_flushing(j, row, t, n, sums);
    _mm_setcsr(was);
}

static void dot_f32(const struct qs_dot *j) { qs_tile_products(j, band_f32, QS_TILE_TOKENS); }
static void dot_f16(const struct qs_dot *j) { qs_tile_products(j, band_f16, QS_TILE_TOKENS); }
static void dot_bf16(const struct qs_dot *j) { qs_tile_products(j, band_bf16, QS_TILE_TOKENS); }
static void dot_bf16_bf16(const struct qs_dot *j) { qs_tile_products(j, band_bf16_bf16, 4); }

void qs_avx512_dots(struct qs_dot_ops *ops)
{
    qs_avx2_dot_entry(ops, QS_F32)->f32 = dot_f32;
    qs_avx2_dot_entry(ops, QS_F16)->f32 = dot_f16;
    qs_avx2_dot_entry(ops, QS_BF16)->f32 = dot_bf16;
    qs_avx2_dot_entry(ops, QS_BF16)->quant = dot_bf16_bf16;
}
