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

QS_TILES(tiles_f32, load_f32, 4, load_f32, 4, add_f32, 16, qs_tile_end_sum)
QS_TILES(tiles_f16, load_f16, 2, load_f32, 4, add_f32, 16, qs_tile_end_sum)
QS_TILES(tiles_bf16, load_bf16, 2, load_f32, 4, add_f32, 16, qs_tile_end_sum)
QS_TILES(tiles_flushing, load_f32, 2, load_f32, 2, add_bf16, 32, qs_tile_end_keep)

#define DOT(name, ...)                                                                                                 \
    static void name(const struct qs_dot *j)                                                                           \
    {                                                                                                                  \
        qs_tile_products(j, &(const struct qs_tile_kind){ __VA_ARGS__ });                                              \
    }
DOT(dot_f32, tiles_f32, 6, 16, 0)
DOT(dot_f16, tiles_f16, 6, 16, 0)
DOT(dot_bf16, tiles_bf16, 6, 16, 0)
DOT(dot_bf16_bf16, tiles_flushing, 4, 32, QS_X86_FLUSH) /* the halves of four rows take registers, too */

void qs_avx512_dots(struct qs_dot_ops *ops)
{
    qs_avx2_dot_entry(ops, QS_F32)->f32 = dot_f32;
    qs_avx2_dot_entry(ops, QS_F16)->f32 = dot_f16;
    qs_avx2_dot_entry(ops, QS_BF16)->f32 = dot_bf16;
    qs_avx2_dot_entry(ops, QS_BF16)->quant = dot_bf16_bf16;
}
