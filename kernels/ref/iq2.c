/* iq2.c - IQ2_XXS, IQ2_XS, IQ2_S: 8 weights at a time are a point of a codebook of magnitudes, and their signs.
 *
 * A weight is d * (scale + 1/2) / 4 * value * sign; value is 8, 25 or 43, scale 0..15. XXS and XS store 7 of 8 signs:
 * the number of minus signs is even. Without importances XXS and XS search with w = x^2; the reference has no such
 * search and refuses.
 */
#include "kernels/ref/iq_search.h"

#include <string.h>

#include "kernels/ref/blockwise.h"
#include "kernels/ref/tables_iq.h"

const struct qs_iq_kind qs_iq2_xxs_kind = {
    .book = QS_BOOK_IQ2_XXS, .sub = 32, .tries = 6, .step = 0.1f, .eps = 1e-15f, .sigma_factor = 1, .flat_factor = 0,
    .fudge = 1, .refit = QS_REFIT_ALWAYS, .even_signs = true, .start_search = true, .clear_flat = true,
};
const struct qs_iq_kind qs_iq2_xs_kind = {
    .book = QS_BOOK_IQ2_XS, .sub = 16, .tries = 9, .step = 0.1f, .eps = 1e-15f, .sigma_factor = 1, .flat_factor = 0,
    .fudge = 1, .refit = QS_REFIT_OFF_GRID, .even_signs = true, .start_search = false, .clear_flat = true,
};
const struct qs_iq_kind qs_iq2_s_kind = {
    .book = QS_BOOK_IQ2_S, .sub = 16, .tries = 9, .step = 0.1f, .eps = 1e-8f, .sigma_factor = 2, .flat_factor = 0.25f,
    .fudge = 0.9875f, .refit = QS_REFIT_OFF_GRID, .even_signs = false, .start_search = false, .clear_flat = false,
};

static inline unsigned with_parity(unsigned signs7)
{
    unsigned p = signs7 ^ signs7 >> 4;
    p ^= p >> 2;
    p ^= p >> 1;
    return signs7 | (p & 1) << 7;
}

static void magnitudes(uint16_t d, unsigned scale, float *out)
{
    float db = qs_f16_to_f32(d) * (0.5f + (float)scale) * 0.25f;
    for (int l = 0; l < 3; l++)
        out[l] = db * (float)qs_iq2_values[l];
}

static inline void decode8(const float *magnitude, unsigned point, unsigned signs, float *y)
{
    for (int i = 0; i < 8; i++, point >>= 2, signs >>= 1)
        y[i] = qs_bits_f32(qs_f32_bits(magnitude[point & 3]) ^ (uint32_t)(signs & 1) << 31);
}

/* Nearest code of 8 weights: place and signs. */
static unsigned round8(const uint16_t *points, unsigned count, const float *magnitude, const float *x, const float *w,
                       bool even, unsigned *signs)
{
    double cost[8][8], extra[8][8];
    *signs = qs_iq_sign_costs(x, w, 8, magnitude, 3, cost, extra);
    if (!even)
        return qs_iq_choose(points, count, 8, (const double(*)[8])cost).place;
    bool odd = with_parity(*signs & 127) != *signs;
    unsigned which = 0, place;
    if (odd) {
        place = qs_iq_choose_flipped(points, count, 8, (const double(*)[8])cost, (const double(*)[8])extra,
                                     &which).place;
        *signs ^= 1u << which;
    } else {
        place = qs_iq_choose(points, count, 8, (const double(*)[8])cost).place;
    }
    *signs &= 127;
    return place;
}

/* ---- IQ2_XXS: per 32 weights a word of four places, and a word of four times 7 signs and the scale */

static void decode_iq2_xxs(const struct qs_block_iq2_xxs *b, float *y)
{
    for (size_t j = 0; j < 8; j++, y += 32) {
        uint32_t word[2];
        float m[3];
        memcpy(word, b->qs + 4 * j, 8);
        magnitudes(b->d, word[1] >> 28, m);
        for (unsigned k = 0; k < 4; k++)
            decode8(m, qs_iq2_xxs_points[word[0] >> 8 * k & 255], with_parity(word[1] >> 7 * k & 127), y + 8 * k);
    }
}

static bool bad_iq2_xxs(const struct qs_block_iq2_xxs *b) { return qs_f16_is_bad(b->d); }

QS_BLOCKWISE_READ(iq2_xxs, 256)

static void store_xxs(const struct qs_iq_super *s, size_t block, void *grid, void *codes)
{
    struct qs_grid_iq2_xxs *g = (struct qs_grid_iq2_xxs *)grid + block;
    uint16_t *code = (uint16_t *)codes + 32 * block;
    *g = (struct qs_grid_iq2_xxs){.d = s->d};
    memcpy(g->scale, s->scale, sizeof g->scale);
    for (int k = 0; k < 32; k++)
        code[k] = (uint16_t)(s->place[k] | s->signs[k] << 8);
}

void qs_iq2_xxs_fit_with(const struct qs_iq_fns *fn, const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq_fit_rows(&qs_iq2_xxs_kind, fn, in, grid, codes, store_xxs);
}

void qs_ref_iq2_xxs_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq2_xxs_fit_with(&qs_iq_ref, in, grid, codes);
}

void qs_ref_iq2_xxs_round(const struct qs_rows *in, const void *grid, void *codes)
{
    const struct qs_grid_iq2_xxs *g = grid;
    uint16_t *code = codes;
    for (size_t r = 0; r < in->rows; r++) {
        for (size_t i = 0; i < in->cols / 8; i++) {
            float m[3];
            unsigned signs;
            magnitudes(g->d, g->scale[i / 4 % 8], m);
            unsigned place = round8(qs_iq2_xxs_points, 256, m, in->x + r * in->stride + 8 * i,
                                    in->weight ? in->weight + 8 * i : NULL, true, &signs);
            *code++ = (uint16_t)(place | signs << 8);
            g += i % 32 == 31;
        }
    }
}

void qs_ref_iq2_xxs_pack(size_t rows, size_t cols, const void *grid, const void *codes, const struct qs_parts *dst)
{
    const struct qs_grid_iq2_xxs *g = grid;
    const uint16_t *code = codes;
    struct qs_block_iq2_xxs *b = (void *)dst->p[0];
    for (size_t n = rows * (cols / 256); n > 0; n--, g++, b++) {
        b->d = g->d;
        for (size_t j = 0; j < 8; j++) {
            uint32_t word[2] = {0, (uint32_t)g->scale[j] << 28};
            for (unsigned k = 0; k < 4; k++, code++) {
                word[0] |= (uint32_t)(*code & 255) << 8 * k;
                word[1] |= (uint32_t)(*code >> 8 & 127) << 7 * k;
            }
            memcpy(b->qs + 4 * j, word, 8);
        }
    }
}

/* ---- IQ2_XS: a 16-bit word per 8 weights; two 4-bit scales per byte, the lower for the first 16 weights */

static void decode_iq2_xs(const struct qs_block_iq2_xs *b, float *y)
{
    for (size_t j = 0; j < 16; j++, y += 16) {
        float m[3];
        magnitudes(b->d, b->scales[j / 2] >> 4 * (j % 2) & 15, m);
        for (size_t k = 0; k < 2; k++) {
            unsigned q = b->qs[2 * j + k];
            decode8(m, qs_iq2_xs_points[q & 511], with_parity(q >> 9), y + 8 * k);
        }
    }
}

static bool bad_iq2_xs(const struct qs_block_iq2_xs *b) { return qs_f16_is_bad(b->d); }

QS_BLOCKWISE_READ(iq2_xs, 256)

static void store_xs(const struct qs_iq_super *s, size_t block, void *grid, void *codes)
{
    struct qs_grid_iq2_xs *g = (struct qs_grid_iq2_xs *)grid + block;
    uint16_t *code = (uint16_t *)codes + 32 * block;
    *g = (struct qs_grid_iq2_xs){.d = s->d};
    memcpy(g->scale, s->scale, sizeof g->scale);
    for (int k = 0; k < 32; k++)
        code[k] = (uint16_t)(s->place[k] | s->signs[k] << 9);
}

void qs_iq2_xs_fit_with(const struct qs_iq_fns *fn, const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq_fit_rows(&qs_iq2_xs_kind, fn, in, grid, codes, store_xs);
}

void qs_ref_iq2_xs_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq2_xs_fit_with(&qs_iq_ref, in, grid, codes);
}

void qs_ref_iq2_xs_round(const struct qs_rows *in, const void *grid, void *codes)
{
    const struct qs_grid_iq2_xs *g = grid;
    uint16_t *code = codes;
    for (size_t r = 0; r < in->rows; r++) {
        for (size_t i = 0; i < in->cols / 8; i++) {
            float m[3];
            unsigned signs;
            magnitudes(g->d, g->scale[i / 2 % 16], m);
            unsigned place = round8(qs_iq2_xs_points, 512, m, in->x + r * in->stride + 8 * i,
                                    in->weight ? in->weight + 8 * i : NULL, true, &signs);
            *code++ = (uint16_t)(place | signs << 9);
            g += i % 32 == 31;
        }
    }
}

void qs_ref_iq2_xs_pack(size_t rows, size_t cols, const void *grid, const void *codes, const struct qs_parts *dst)
{
    const struct qs_grid_iq2_xs *g = grid;
    const uint16_t *code = codes;
    struct qs_block_iq2_xs *b = (void *)dst->p[0];
    for (size_t n = rows * (cols / 256); n > 0; n--, g++, b++, code += 32) {
        b->d = g->d;
        memcpy(b->qs, code, sizeof b->qs);
        for (int j = 0; j < 8; j++)
            b->scales[j] = (uint8_t)(g->scale[2 * j] | g->scale[2 * j + 1] << 4);
    }
}

/* ---- IQ2_S: places in 8 bits with two more in qh, all 8 signs, scales as in IQ2_XS */

static void decode_iq2_s(const struct qs_block_iq2_s *b, float *y)
{
    for (size_t k = 0; k < 32; k++, y += 8) {
        float m[3];
        magnitudes(b->d, b->scales[k / 4] >> 4 * (k / 2 % 2) & 15, m);
        unsigned place = b->qs[k] | (b->qh[k / 4] >> 2 * (k % 4) & 3u) << 8;
        decode8(m, qs_iq2_s_points[place], b->qs[32 + k], y);
    }
}

static bool bad_iq2_s(const struct qs_block_iq2_s *b) { return qs_f16_is_bad(b->d); }

QS_BLOCKWISE_READ(iq2_s, 256)

static void store_s(const struct qs_iq_super *s, size_t block, void *grid, void *codes)
{
    struct qs_grid_iq2_s *g = (struct qs_grid_iq2_s *)grid + block;
    uint32_t *code = (uint32_t *)codes + 32 * block;
    *g = (struct qs_grid_iq2_s){.d = s->d};
    memcpy(g->scale, s->scale, sizeof g->scale);
    for (int k = 0; k < 32; k++)
        code[k] = s->place[k] | (uint32_t)s->signs[k] << 10;
}

void qs_iq2_s_fit_with(const struct qs_iq_fns *fn, const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq_fit_rows(&qs_iq2_s_kind, fn, in, grid, codes, store_s);
}

void qs_ref_iq2_s_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq2_s_fit_with(&qs_iq_ref, in, grid, codes);
}

void qs_ref_iq2_s_round(const struct qs_rows *in, const void *grid, void *codes)
{
    const struct qs_grid_iq2_s *g = grid;
    uint32_t *code = codes;
    for (size_t r = 0; r < in->rows; r++) {
        for (size_t i = 0; i < in->cols / 8; i++) {
            float m[3];
            unsigned signs;
            magnitudes(g->d, g->scale[i / 2 % 16], m);
            unsigned place = round8(qs_iq2_s_points, 1024, m, in->x + r * in->stride + 8 * i,
                                    in->weight ? in->weight + 8 * i : NULL, false, &signs);
            *code++ = place | (uint32_t)signs << 10;
            g += i % 32 == 31;
        }
    }
}

void qs_ref_iq2_s_pack(size_t rows, size_t cols, const void *grid, const void *codes, const struct qs_parts *dst)
{
    const struct qs_grid_iq2_s *g = grid;
    const uint32_t *code = codes;
    struct qs_block_iq2_s *b = (void *)dst->p[0];
    for (size_t n = rows * (cols / 256); n > 0; n--, g++, b++, code += 32) {
        b->d = g->d;
        memset(b->qh, 0, sizeof b->qh);
        for (int k = 0; k < 32; k++) {
            b->qs[k] = (uint8_t)code[k];
            b->qh[k / 4] = (uint8_t)(b->qh[k / 4] | (code[k] >> 8 & 3) << 2 * (k % 4));
            b->qs[32 + k] = (uint8_t)(code[k] >> 10);
        }
        for (int j = 0; j < 8; j++)
            b->scales[j] = (uint8_t)(g->scale[2 * j] | g->scale[2 * j + 1] << 4);
    }
}
