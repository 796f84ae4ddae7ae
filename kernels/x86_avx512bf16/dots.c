/* dots.c - products of BF16 rows with BF16 activations by the instruction for it. */
#include "kernels/level.h"
#include "kernels/x86_avx512/tiles.h"

QS_INLINE __m512 load(const uint8_t *at) { return _mm512_loadu_ps(at); }

QS_INLINE __m512 add(__m512 sum, __m512 w, __m512 x)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_castps_si512(w), (__m512bh)_mm512_castps_si512(x));
}

QS_TILES(tiles, load, 2, load, 2, add, 32, qs_tile_end_sum)

static void dot_bf16_bf16(const struct qs_dot *j)
{
    qs_tile_products(j, &(const struct qs_tile_kind){ tiles, QS_TILE_TOKENS, 32, 0 });
}

void qs_avx512bf16_dots(struct qs_dot_ops *ops) { qs_avx2_dot_entry(ops, QS_BF16)->quant = dot_bf16_bf16; }
