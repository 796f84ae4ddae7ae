/* iq3.c - IQ3_XXS and IQ3_S: 4 weights at a time are a point of a codebook of magnitudes, and their signs.
 *
 * IQ3_XXS: d * (scale + 1/2) / 2 * value * sign, value 4..62, 7 signs stored of 8 (their number is even).
 * IQ3_S: d * (2*scale + 1) * value * sign, value 1, 3, .. 15. Scales are 0..15, one per 32 weights.
 *
 * Not the reference's bytes in one case: where 32 weights of an IQ3_S super-block are all zero and later ones are not,
 * the reference forgets to step over them and stores the codes of the later ones in the wrong place. Ours stay in
 * theirs; everything else of such a block is the same.
 */
#include "kernels/ref/iq_search.h"

#include <string.h>

#include "kernels/ref/blockwise.h"
#include "kernels/ref/tables_iq.h"

const struct qs_iq_kind qs_iq3_xxs_kind = {
    .book = QS_BOOK_IQ3_XXS, .sub = 32, .tries = 15, .step = 0.2f, .eps = 1e-8f, .sigma_factor = 2, .flat_factor = 0,
    .fudge = 1.0125f, .refit = QS_REFIT_OFF_GRID, .even_signs = true, .start_search = false, .clear_flat = true,
};
const struct qs_iq_kind qs_iq3_s_kind = {
    .book = QS_BOOK_IQ3_S, .sub = 32, .tries = 9, .step = 0.2f, .eps = 0, .sigma_factor = 2, .flat_factor = 0,
    .fudge = 1.033f, .refit = QS_REFIT_ALL_IF_OFF, .even_signs = false, .start_search = false, .clear_flat = false,
};

static void magnitudes(float scale, const uint8_t *values, float *out)
{
    for (int l = 0; l < 8; l++)
        out[l] = scale * (float)values[l];
}

static float scale_xxs(uint16_t d, unsigned scale) { return qs_f16_to_f32(d) * (0.5f + (float)scale) * 0.5f; }
static float scale_s(uint16_t d, unsigned scale) { return qs_f16_to_f32(d) * (float)(1 + 2 * scale); }

static inline void decode4(const float *magnitude, unsigned point, unsigned signs, float *y)
{
    for (int i = 0; i < 4; i++, point >>= 3, signs >>= 1)
        y[i] = qs_bits_f32(qs_f32_bits(magnitude[point & 7]) ^ (uint32_t)(signs & 1) << 31);
}

static inline unsigned odd_bits(unsigned signs)
{
    signs ^= signs >> 4;
    signs ^= signs >> 2;
    return (signs ^ signs >> 1) & 1;
}

/* ---- IQ3_XXS: 64 places, then per 32 weights a word of four times 7 signs and the scale */

static void decode_iq3_xxs(const struct qs_block_iq3_xxs *b, float *y)
{
    for (size_t j = 0; j < 8; j++) {
        uint32_t word;
        float m[8];
        memcpy(&word, b->qs + 64 + 4 * j, 4);
        magnitudes(scale_xxs(b->d, word >> 28), qs_iq3_xxs_values, m);
        for (unsigned k = 0; k < 4; k++, y += 8) {
            unsigned signs = word >> 7 * k & 127;
            signs |= odd_bits(signs) << 7;
            decode4(m, qs_iq3_xxs_points[b->qs[8 * j + 2 * k]], signs, y);
            decode4(m, qs_iq3_xxs_points[b->qs[8 * j + 2 * k + 1]], signs >> 4, y + 4);
        }
    }
}

static bool bad_iq3_xxs(const struct qs_block_iq3_xxs *b) { return qs_f16_is_bad(b->d); }

QS_BLOCKWISE_READ(iq3_xxs, 256)

static void store_xxs(const struct qs_iq_super *s, size_t block, void *grid, void *codes)
{
    struct qs_grid_iq3_xxs *g = (struct qs_grid_iq3_xxs *)grid + block;
    uint32_t *code = (uint32_t *)codes + 32 * block;
    *g = (struct qs_grid_iq3_xxs){.d = s->d};
    memcpy(g->scale, s->scale, sizeof g->scale);
    for (int k = 0; k < 32; k++)
        code[k] = s->place[2 * k] | (uint32_t)s->place[2 * k + 1] << 8 | (uint32_t)s->signs[k] << 16;
}

void qs_iq3_xxs_fit_with(const struct qs_iq_fns *fn, const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq_fit_rows(&qs_iq3_xxs_kind, fn, in, grid, codes, store_xxs);
}

void qs_ref_iq3_xxs_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq3_xxs_fit_with(&qs_iq_ref, in, grid, codes);
}

/* Both halves are free but for the number of minus signs; if it is odd, the half where a wrong sign costs least
 * (the first of equals) takes one. */
static uint32_t round_xxs(const float *magnitude, const float *x, const float *w)
{
    double cost[2][8][8], extra[2][8][8];
    struct qs_iq_choice best[2];
    unsigned signs[2];
    for (int h = 0; h < 2; h++) {
        signs[h] = qs_iq_sign_costs(x + 4 * h, w ? w + 4 * h : NULL, 4, magnitude, 8, cost[h], extra[h]);
        best[h] = qs_iq_choose(qs_iq3_xxs_points, 256, 4, (const double(*)[8])cost[h]);
    }
    if (odd_bits(signs[0] | signs[1] << 4)) {
        struct qs_iq_choice flipped[2];
        unsigned which[2];
        for (int h = 0; h < 2; h++)
            flipped[h] = qs_iq_choose_flipped(qs_iq3_xxs_points, 256, 4, (const double(*)[8])cost[h],
                                              (const double(*)[8])extra[h], &which[h]);
        int h = flipped[1].cost + best[0].cost < flipped[0].cost + best[1].cost;
        best[h] = flipped[h];
        signs[h] ^= 1u << which[h];
    }
    return best[0].place | best[1].place << 8 | ((signs[0] | signs[1] << 4) & 127) << 16;
}

void qs_ref_iq3_xxs_round(const struct qs_rows *in, const void *grid, void *codes)
{
    const struct qs_grid_iq3_xxs *g = grid;
    uint32_t *code = codes;
    for (size_t r = 0; r < in->rows; r++) {
        for (size_t i = 0; i < in->cols / 8; i++) {
            float m[8];
            magnitudes(scale_xxs(g->d, g->scale[i / 4 % 8]), qs_iq3_xxs_values, m);
            *code++ = round_xxs(m, in->x + r * in->stride + 8 * i, in->weight ? in->weight + 8 * i : NULL);
            g += i % 32 == 31;
        }
    }
}

void qs_ref_iq3_xxs_pack(size_t rows, size_t cols, const void *grid, const void *codes, const struct qs_parts *dst)
{
    const struct qs_grid_iq3_xxs *g = grid;
    const uint32_t *code = codes;
    struct qs_block_iq3_xxs *b = (void *)dst->p[0];
    for (size_t n = rows * (cols / 256); n > 0; n--, g++, b++) {
        b->d = g->d;
        for (size_t j = 0; j < 8; j++) {
            uint32_t word = (uint32_t)g->scale[j] << 28;
            for (unsigned k = 0; k < 4; k++, code++) {
                b->qs[8 * j + 2 * k] = (uint8_t)*code;
                b->qs[8 * j + 2 * k + 1] = (uint8_t)(*code >> 8);
                word |= (*code >> 16 & 127) << 7 * k;
            }
            memcpy(b->qs + 64 + 4 * j, &word, 4);
        }
    }
}

/* ---- IQ3_S: places in 8 bits with one more in qh, all signs, two 4-bit scales per byte */

static void decode_iq3_s(const struct qs_block_iq3_s *b, float *y)
{
    for (size_t k = 0; k < 64; k++, y += 4) {
        float m[8];
        magnitudes(scale_s(b->d, b->scales[k / 16] >> 4 * (k / 8 % 2) & 15), qs_iq3_s_values, m);
        unsigned place = b->qs[k] | (b->qh[k / 8] >> k % 8 & 1u) << 8;
        decode4(m, qs_iq3_s_points[place], b->signs[k / 2] >> 4 * (k % 2), y);
    }
}

static bool bad_iq3_s(const struct qs_block_iq3_s *b) { return qs_f16_is_bad(b->d); }

QS_BLOCKWISE_READ(iq3_s, 256)

static void store_s(const struct qs_iq_super *s, size_t block, void *grid, void *codes)
{
    struct qs_grid_iq3_s *g = (struct qs_grid_iq3_s *)grid + block;
    uint16_t *code = (uint16_t *)codes + 64 * block;
    *g = (struct qs_grid_iq3_s){.d = s->d};
    memcpy(g->scale, s->scale, sizeof g->scale);
    for (int k = 0; k < 64; k++)
        code[k] = (uint16_t)(s->place[k] | (s->signs[k / 2] >> 4 * (k % 2) & 15) << 9);
}

void qs_iq3_s_fit_with(const struct qs_iq_fns *fn, const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq_fit_rows(&qs_iq3_s_kind, fn, in, grid, codes, store_s);
}

void qs_ref_iq3_s_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq3_s_fit_with(&qs_iq_ref, in, grid, codes);
}

void qs_ref_iq3_s_round(const struct qs_rows *in, const void *grid, void *codes)
{
    const struct qs_grid_iq3_s *g = grid;
    uint16_t *code = codes;
    for (size_t r = 0; r < in->rows; r++) {
        for (size_t i = 0; i < in->cols / 4; i++) {
            float m[8];
            double cost[8][8], extra[8][8];
            magnitudes(scale_s(g->d, g->scale[i / 8 % 8]), qs_iq3_s_values, m);
            unsigned signs = qs_iq_sign_costs(in->x + r * in->stride + 4 * i, in->weight ? in->weight + 4 * i : NULL, 4,
                                              m, 8, cost, extra);
            unsigned place = qs_iq_choose(qs_iq3_s_points, 512, 4, (const double(*)[8])cost).place;
            *code++ = (uint16_t)(place | signs << 9);
            g += i % 64 == 63;
        }
    }
}

void qs_ref_iq3_s_pack(size_t rows, size_t cols, const void *grid, const void *codes, const struct qs_parts *dst)
{
    const struct qs_grid_iq3_s *g = grid;
    const uint16_t *code = codes;
    struct qs_block_iq3_s *b = (void *)dst->p[0];
    for (size_t n = rows * (cols / 256); n > 0; n--, g++, b++, code += 64) {
        *b = (struct qs_block_iq3_s){.d = g->d};
        for (int k = 0; k < 64; k++) {
            b->qs[k] = (uint8_t)code[k];
            b->qh[k / 8] = (uint8_t)(b->qh[k / 8] | (code[k] >> 8 & 1) << k % 8);
            b->signs[k / 2] = (uint8_t)(b->signs[k / 2] | (code[k] >> 9 & 15) << 4 * (k % 2));
        }
        for (int j = 0; j < 4; j++)
            b->scales[j] = (uint8_t)(g->scale[2 * j] | g->scale[2 * j + 1] << 4);
    }
}
