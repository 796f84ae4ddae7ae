/* tiles.c - the loops around tiles (tiles.h).
 *
 * Some tokens stay in the first caches while the rows of a job go by. Tiles are called by pointer and leave their results in
 * memory, so that no other arithmetic is done while MXCSR holds what a kind sets in it.
 */
#include "kernels/x86_avx512/tiles.h"

/* Bytes to read ahead where rows come from a near cache. What one token reads from memory, the CPU foresees better. */
enum { NEAR = 256 };

static __m128 sum_kept(const float (*s)[16])
{
    return qs_tile_sum16(_mm512_load_ps(s[0]), _mm512_load_ps(s[1]), _mm512_load_ps(s[2]), _mm512_load_ps(s[3]));
}

/* Rows [r, r + 4) with n tokens from `token` on. Rows that are not there stand for the last one, and are not written. */
static void do_tile(const struct qs_dot *j, const struct qs_tile_kind *kind, size_t r, size_t token, size_t n, struct qs_tile *t)
{
    const size_t rows = j->rows - r < QS_TILE_ROWS ? j->rows - r : QS_TILE_ROWS;
    const unsigned was = kind->csr ? _mm_getcsr() : 0;
    for (size_t i = 0; i < QS_TILE_ROWS; i++)
        t->w[i] = j->w + (r + (i < rows ? i : rows - 1)) * j->w_stride;
    t->ahead = n > 1 ? NEAR : 0;
    if (kind->csr)
        _mm_setcsr(was | kind->csr);
    kind->tile[n - 1](t);
    if (kind->csr)
        _mm_setcsr(was);
    for (size_t i = 0; i < n; i++) {
        const __m128 sums = kind->csr ? sum_kept(t->sums[i]) : _mm_load_ps(t->sums[i][0]);
        _mm_mask_storeu_ps(j->out + (token + i) * j->out_stride + r, (__mmask8)((1u << rows) - 1), sums);
    }
}

void qs_tile_products(const struct qs_dot *j, const struct qs_tile_kind *kind)
{
    struct qs_tile t = { .units = j->cols / kind->unit, .rest = j->cols % kind->unit };
    for (size_t token = 0, n; token < j->tokens; token += n) {
        n = j->tokens - token < kind->tokens ? j->tokens - token : kind->tokens;
        for (size_t i = 0; i < n; i++)
            t.x[i] = j->x + (token + i) * j->x_stride;
        for (size_t r = 0; r < j->rows; r += QS_TILE_ROWS)
            do_tile(j, kind, r, token, n, &t);
    }
}
