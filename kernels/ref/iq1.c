/* iq1.c - IQ1_S and IQ1_M: 8 weights at a time are a point of a ternary codebook.
 *
 * A weight is d * (2*scale + 1) * (v + shift), v in {-1, 0, 1}, shift +1/8 or -1/8, scale 0..7. IQ1_S has a scale and
 * a shift per 32 weights; IQ1_M a scale per 16 and a shift per 8 weights.
 * The encoder sorts the weights that share a scale and finds the best split into three levels by prefix sums, then
 * moves each group of 8 to a point of the codebook. Without importances it weighs with w = x^2 (for IQ1_S the
 * reference has no such search and refuses). Non-finite weights, and importances that are not finite or negative,
 * count as zero.
 */
#include "kernels/ref/iq_search.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/ref/blockwise.h"
#include "kernels/ref/search.h"
#include "kernels/ref/tables_iq.h"

#define SHIFT 0.125f
static const float shifted[2][3] = {{-1 + SHIFT, SHIFT, 1 + SHIFT}, {-1 - SHIFT, -SHIFT, 1 - SHIFT}};

/* ---------------------------------------------------------------------------------------------- best split */

/* Compare as the searches do: is the fit with these sums better than `score`? */
static inline bool improves(float qx, float q2, float score) { return q2 > 0 && qx * qx > score * q2; }

static void split_s_ref(const float sumx[33], const float sumw[33], struct qs_iq1_split *out)
{
    float score = -FLT_MAX, top_x[2][33], top_w[2][33];
    for (int s = 0; s < 2; s++) {
        for (int j = 0; j <= 32; j++) {
            top_x[s][j] = (sumx[32] - sumx[j]) * shifted[s][2];
            top_w[s][j] = (sumw[32] - sumw[j]) * shifted[s][2] * shifted[s][2];
        }
    }
    *out = (struct qs_iq1_split){.i1 = -1};
    for (int i1 = 0; i1 <= 32; i1++) {
        float low_x[2], low_w[2];
        for (int s = 0; s < 2; s++) {
            low_x[s] = sumx[i1] * shifted[s][0];
            low_w[s] = sumw[i1] * shifted[s][0] * shifted[s][0];
        }
        for (int i2 = i1; i2 <= 32; i2++) {
            float x = sumx[i2] - sumx[i1], w = sumw[i2] - sumw[i1];
            for (int s = 0; s < 2; s++) {
                float qx = low_x[s] + x * shifted[s][1] + top_x[s][i2];
                float q2 = low_w[s] + w * shifted[s][1] * shifted[s][1] + top_w[s][i2];
                if (improves(qx, q2, score)) {
                    *out = (struct qs_iq1_split){i1, i2, s, qx / q2};
                    score = out->scale * qx;
                }
            }
        }
    }
}

/* With v[0]-v[1] = v[1]-v[2] = -1 the sums of a split need the prefix sums at i1 and i2 only. */
static void split_m_ref(const float sumx[2][17], const float sumw[2][17], struct qs_iq1_split *out)
{
    float score = -FLT_MAX, all_x[2][2], all_w[2][2], c1[2], c2[2];
    for (int s = 0; s < 2; s++) {
        const float *v = shifted[s];
        c1[s] = v[0] * v[0] - v[1] * v[1];
        c2[s] = v[1] * v[1] - v[2] * v[2];
        for (int h = 0; h < 2; h++) {
            all_x[s][h] = sumx[h][16] * v[2];
            all_w[s][h] = sumw[h][16] * v[2] * v[2];
        }
    }
    *out = (struct qs_iq1_split){.i1 = -1};
    for (int i1 = 0; i1 <= 16; i1++) {
        for (int i2 = i1; i2 <= 16; i2++) {
            float qx[2][2], q2[2][2]; /* by shift, by half */
            for (int h = 0; h < 2; h++) {
                float x = sumx[h][i1] + sumx[h][i2];
                for (int s = 0; s < 2; s++) {
                    qx[s][h] = all_x[s][h] - x;
                    q2[s][h] = all_w[s][h] + sumw[h][i1] * c1[s] + sumw[h][i2] * c2[s];
                }
            }
            for (int k = 0; k < 4; k++) {
                float sx = qx[k >> 1][0] + qx[k & 1][1], s2 = q2[k >> 1][0] + q2[k & 1][1];
                if (improves(sx, s2, score)) {
                    *out = (struct qs_iq1_split){i1, i2, k, sx / s2};
                    score = out->scale * sx;
                }
            }
        }
    }
}

/* Order of the n weights, smallest first, equal ones as they stand (by insertion). */
static void sort_ref(const float *x, int n, uint8_t *order)
{
    float sorted[32];
    for (int i = 0; i < n; i++) {
        int j = i;
        for (; j > 0 && x[i] < sorted[j - 1]; j--) {
            sorted[j] = sorted[j - 1];
            order[j] = order[j - 1];
        }
        sorted[j] = x[i];
        order[j] = (uint8_t)i;
    }
}

const struct qs_iq1_fns qs_iq1_ref = {sort_ref, split_s_ref, split_m_ref, qs_iq_nearest};

/* Levels of the n weights after the split; a negative scale is turned into a positive one by mirroring (`all` is the
 * mirror of shift: 1 for IQ1_S, 3 for IQ1_M). */
static void split_levels(struct qs_iq1_split *s, const uint8_t *place, int n, int all, uint8_t *level)
{
    bool mirror = s->scale < 0;
    for (int j = 0; j < n; j++) {
        int l = j < s->i1 ? 0 : j < s->i2 ? 1 : 2;
        level[place[j]] = (uint8_t)(mirror ? 2 - l : l);
    }
    if (mirror) {
        s->scale = -s->scale;
        s->shift = all - s->shift;
    }
}

/* The codebook's point for 8 weights on this scale; sets *off when the levels were not a point. */
static unsigned group_place(const struct qs_iq1_fns *fn, const struct qs_iq_book *b, const uint8_t *level,
                            const float *x, const float *w, float scale, const float *value, bool *off)
{
    unsigned point = 0;
    for (int i = 0; i < 8; i++)
        point |= (unsigned)level[i] << 2 * i;
    const struct qs_iq_near *near = &b->near[qs_iq_rank(b, point)];
    if (near->index >= 0)
        return (unsigned)near->index;
    *off = true;
    float cost[8][4];
    for (int i = 0; i < 8; i++) {
        for (int l = 0; l < 3; l++) {
            float diff = scale * value[l] - x[i];
            cost[i][l] = w[i] * diff * diff;
        }
        cost[i][3] = cost[i][2]; /* no point has a level 3 */
    }
    return qs_iq_place(b, fn->nearest(b, near, (const float(*)[4])cost));
}

/* Adds w*q*x and w*q*q of 8 weights, q = factor * value of the point's level. */
static void add_sums(unsigned point, const float *value, float factor, const float *x, const float *w, float *qx,
                     float *q2)
{
    for (int i = 0; i < 8; i++, point >>= 2) {
        float q = value[point & 3] * factor;
        *qx += w[i] * q * x[i];
        *q2 += w[i] * q * q;
    }
}

static float largest(const float *x, int n)
{
    float max = fabsf(x[0]);
    for (int i = 1; i < n; i++)
        max = max > fabsf(x[i]) ? max : fabsf(x[i]);
    return max;
}

static void weights_of(const float *x, const float *importance, float sigma2, int n, float *w)
{
    if (importance) {
        qs_iq_weights(x, importance, sigma2, n, w);
        return;
    }
    for (int i = 0; i < n; i++)
        w[i] = x[i] * x[i];
}

/* ---------------------------------------------------------------------------------------------- IQ1_S */

static void decode_iq1_s(const struct qs_block_iq1_s *b, float *y)
{
    for (size_t j = 0; j < 8; j++) {
        unsigned h = b->qh[j];
        float dl = qs_f16_to_f32(b->d) * (float)(2 * (h >> 12 & 7) + 1), value[3];
        for (int l = 0; l < 3; l++)
            value[l] = dl * shifted[h >> 15][l];
        for (unsigned k = 0; k < 4; k++) {
            unsigned point = qs_iq1_points[b->qs[4 * j + k] | (h >> 3 * k & 7) << 8];
            for (int i = 0; i < 8; i++, point >>= 2)
                *y++ = value[point & 3];
        }
    }
}

static bool bad_iq1_s(const struct qs_block_iq1_s *b) { return qs_f16_is_bad(b->d); }

QS_BLOCKWISE_READ(iq1_s, 256)

/* 32 weights: scale (0: they count as zero), shift and the places of 4 points. */
static float fit_sub_s(const struct qs_iq1_fns *fn, const struct qs_iq_book *b, const float *x, const float *w,
                       int *shift, uint16_t *place)
{
    uint8_t order[32], level[32];
    float sumx[33], sumw[33];
    struct qs_iq1_split split;
    if (largest(x, 32) < 1e-12f)
        return 0;
    fn->sort(x, 32, order);
    sumx[0] = sumw[0] = 0;
    for (int j = 0; j < 32; j++) {
        sumx[j + 1] = sumx[j] + w[order[j]] * x[order[j]];
        sumw[j + 1] = sumw[j] + w[order[j]];
    }
    fn->split_s(sumx, sumw, &split);
    if (split.i1 < 0)
        return 0;
    split_levels(&split, order, 32, 1, level);
    const float *value = shifted[split.shift];
    bool off = false;
    for (int k = 0; k < 4; k++)
        place[k] = (uint16_t)group_place(fn, b, level + 8 * k, x + 8 * k, w + 8 * k, split.scale, value, &off);
    if (off) {
        float qx = 0, q2 = 0;
        for (int k = 0; k < 4; k++)
            add_sums(b->points[place[k]], value, 1, x + 8 * k, w + 8 * k, &qx, &q2);
        if (qx > 0 && q2 > 0)
            split.scale = qx / q2;
    }
    *shift = split.shift;
    return split.scale > 0 ? split.scale : 0; /* NaN after an overflow becomes 0 */
}

static void fit_super_s(const struct qs_iq1_fns *fn, const float *x, const float *importance, struct qs_grid_iq1_s *g,
                        uint16_t *code)
{
    const struct qs_iq_book *b = qs_iq_book(QS_BOOK_IQ1);
    float x_room[256], importance_room[256], scale[8], w[32], max = 0;
    int shift[8] = {0};
    x = qs_iq_finite(x, 256, x_room);
    importance = qs_iq_importance(importance, 256, importance_room);
    float sigma2 = qs_iq_sigma2(x, 256, 2);
    memset(code, 0, 32 * sizeof *code);
    *g = (struct qs_grid_iq1_s){0};
    for (int j = 0; j < 8; j++) {
        weights_of(x + 32 * j, importance ? importance + 32 * j : NULL, sigma2, 32, w);
        scale[j] = fit_sub_s(fn, b, x + 32 * j, w, &shift[j], code + 4 * j);
        max = max > scale[j] ? max : scale[j];
    }
    if (!(max > 0))
        return;
    float d = max / 15, inv = 1 / d;
    g->d = qs_f32_to_f16(d * 1.125f); /* the reference stores a little more than the fit says */
    for (int j = 0; j < 8; j++) {
        int l = qs_clamp_int(qs_nearest_int(0.5f * (inv * scale[j] - 1)), 0, 7);
        g->scale[j] = (uint8_t)(l | shift[j] << 3);
    }
}

void qs_iq1_s_fit_with(const struct qs_iq1_fns *fn, const struct qs_rows *in, void *grid, void *codes)
{
    struct qs_grid_iq1_s *g = grid;
    uint16_t *code = codes;
    for (size_t r = 0; r < in->rows; r++)
        for (size_t i = 0; i < in->cols; i += 256, code += 32)
            fit_super_s(fn, in->x + r * in->stride + i, in->weight ? in->weight + i : NULL, g++, code);
}

void qs_ref_iq1_s_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq1_s_fit_with(&qs_iq1_ref, in, grid, codes);
}

/* Nearest point to 8 weights with the given decoded values. */
static struct qs_iq_choice round8(const float *x, const float *w, float dl, int shift)
{
    double cost[8][8];
    for (int i = 0; i < 8; i++) {
        double xi = isfinite(x[i]) ? (double)x[i] : 0, wi = w ? (double)w[i] : 1;
        for (int l = 0; l < 3; l++) {
            double diff = xi - (double)(dl * shifted[shift][l]);
            cost[i][l] = wi * (diff * diff);
        }
    }
    return qs_iq_choose(qs_iq1_points, 2048, 8, (const double(*)[8])cost);
}

void qs_ref_iq1_s_round(const struct qs_rows *in, const void *grid, void *codes)
{
    const struct qs_grid_iq1_s *g = grid;
    uint16_t *code = codes;
    for (size_t r = 0; r < in->rows; r++) {
        for (size_t i = 0; i < in->cols / 8; i++) {
            unsigned scale = g->scale[i / 4 % 8];
            float dl = qs_f16_to_f32(g->d) * (float)(2 * (scale & 7) + 1);
            *code++ = (uint16_t)round8(in->x + r * in->stride + 8 * i, in->weight ? in->weight + 8 * i : NULL, dl,
                                       scale >> 3 & 1).place;
            g += i % 32 == 31;
        }
    }
}

void qs_ref_iq1_s_pack(size_t rows, size_t cols, const void *grid, const void *codes, const struct qs_parts *dst)
{
    const struct qs_grid_iq1_s *g = grid;
    const uint16_t *code = codes;
    struct qs_block_iq1_s *b = (void *)dst->p[0];
    for (size_t n = rows * (cols / 256); n > 0; n--, g++, b++) {
        b->d = g->d;
        for (size_t j = 0; j < 8; j++) {
            unsigned h = (unsigned)g->scale[j] << 12;
            for (unsigned k = 0; k < 4; k++, code++) {
                b->qs[4 * j + k] = (uint8_t)*code;
                h |= (*code >> 8 & 7u) << 3 * k;
            }
            b->qh[j] = (uint16_t)h;
        }
    }
}

/* ---------------------------------------------------------------------------------------------- IQ1_M */

static uint16_t block_d_m(const struct qs_block_iq1_m *b)
{
    uint16_t sc[4];
    memcpy(sc, b->scales, 8);
    return (uint16_t)(sc[0] >> 12 | (sc[1] >> 8 & 0xf0) | (sc[2] >> 4 & 0xf00) | (sc[3] & 0xf000));
}

static void decode_iq1_m(const struct qs_block_iq1_m *b, float *y)
{
    uint16_t sc[4];
    memcpy(sc, b->scales, 8);
    float d = qs_f16_to_f32(block_d_m(b));
    for (size_t j = 0; j < 16; j++) {
        float dl = d * (float)(2 * (sc[j / 4] >> 3 * (j % 4) & 7) + 1);
        for (size_t k = 0; k < 2; k++) {
            unsigned h = b->qh[j] >> 4 * k & 15, point = qs_iq1_points[b->qs[2 * j + k] | (h & 7) << 8];
            const float *v = shifted[h >> 3];
            float value[3] = {dl * v[0], dl * v[1], dl * v[2]};
            for (int i = 0; i < 8; i++, point >>= 2)
                *y++ = value[point & 3];
        }
    }
}

static bool bad_iq1_m(const struct qs_block_iq1_m *b) { return qs_f16_is_bad(block_d_m(b)); }

QS_BLOCKWISE_READ(iq1_m, 256)

/* 16 weights: scale (0: they count as zero), shifts and the places of 2 points. */
static float fit_sub_m(const struct qs_iq1_fns *fn, const struct qs_iq_book *b, const float *x, const float *w,
                       int *shift, uint16_t *place)
{
    uint8_t order[16], level[16];
    float sumx[2][17], sumw[2][17];
    struct qs_iq1_split split;
    if (largest(x, 16) < 1e-7f)
        return 0;
    fn->sort(x, 16, order);
    sumx[0][0] = sumx[1][0] = sumw[0][0] = sumw[1][0] = 0;
    for (int j = 0; j < 16; j++) {
        int i = order[j], h = i / 8;
        sumx[h][j + 1] = sumx[h][j] + w[i] * x[i];
        sumw[h][j + 1] = sumw[h][j] + w[i];
        sumx[1 - h][j + 1] = sumx[1 - h][j];
        sumw[1 - h][j + 1] = sumw[1 - h][j];
    }
    fn->split_m((const float(*)[17])sumx, (const float(*)[17])sumw, &split);
    if (split.i1 < 0)
        return 0;
    split_levels(&split, order, 16, 3, level);
    const float *value[2] = {shifted[split.shift >> 1], shifted[split.shift & 1]};
    bool off = false;
    for (int k = 0; k < 2; k++)
        place[k] = (uint16_t)group_place(fn, b, level + 8 * k, x + 8 * k, w + 8 * k, split.scale, value[k], &off);
    if (off) {
        float qx = 0, q2 = 0;
        for (int k = 0; k < 2; k++)
            add_sums(b->points[place[k]], value[k], 1, x + 8 * k, w + 8 * k, &qx, &q2);
        if (qx > 0 && q2 > 0)
            split.scale = qx / q2;
    }
    *shift = split.shift;
    return split.scale > 0 ? split.scale : 0;
}

static void fit_super_m(const struct qs_iq1_fns *fn, const float *x, const float *importance, struct qs_grid_iq1_m *g,
                        uint16_t *code)
{
    const struct qs_iq_book *b = qs_iq_book(QS_BOOK_IQ1);
    float x_room[256], importance_room[256], scale[16], w[256], max = 0, qx = 0, q2 = 0;
    int shift[16] = {0};
    x = qs_iq_finite(x, 256, x_room);
    importance = qs_iq_importance(importance, 256, importance_room);
    weights_of(x, importance, qs_iq_sigma2(x, 256, 2), 256, w);
    memset(code, 0, 32 * sizeof *code);
    *g = (struct qs_grid_iq1_m){0};
    for (int j = 0; j < 16; j++) {
        scale[j] = fit_sub_m(fn, b, x + 16 * j, w + 16 * j, &shift[j], code + 2 * j);
        max = max > scale[j] ? max : scale[j];
    }
    if (!(max > 0))
        return;
    float d = max / 15, inv = 1 / d;
    for (int j = 0; j < 16; j++) {
        int l = qs_clamp_int(qs_nearest_int(0.5f * (inv * scale[j] - 1)), 0, 7);
        g->scale[j] = (uint8_t)l;
        for (int k = 0; k < 2; k++) {
            int s = shift[j] >> (1 - k) & 1;
            add_sums(b->points[code[2 * j + k]], shifted[s], (float)(2 * l + 1), x + 16 * j + 8 * k, w + 16 * j + 8 * k,
                     &qx, &q2);
            code[2 * j + k] = (uint16_t)(code[2 * j + k] | s << 11);
        }
    }
    if (q2 > 0)
        d = qx / q2;
    g->d = qs_f32_to_f16(d * 1.1125f);
}

void qs_iq1_m_fit_with(const struct qs_iq1_fns *fn, const struct qs_rows *in, void *grid, void *codes)
{
    struct qs_grid_iq1_m *g = grid;
    uint16_t *code = codes;
    for (size_t r = 0; r < in->rows; r++)
        for (size_t i = 0; i < in->cols; i += 256, code += 32)
            fit_super_m(fn, in->x + r * in->stride + i, in->weight ? in->weight + i : NULL, g++, code);
}

void qs_ref_iq1_m_fit(const struct qs_rows *in, void *grid, void *codes)
{
    qs_iq1_m_fit_with(&qs_iq1_ref, in, grid, codes);
}

void qs_ref_iq1_m_round(const struct qs_rows *in, const void *grid, void *codes)
{
    const struct qs_grid_iq1_m *g = grid;
    uint16_t *code = codes;
    for (size_t r = 0; r < in->rows; r++) {
        for (size_t i = 0; i < in->cols / 8; i++) {
            const float *x = in->x + r * in->stride + 8 * i, *w = in->weight ? in->weight + 8 * i : NULL;
            float dl = qs_f16_to_f32(g->d) * (float)(2 * g->scale[i / 2 % 16] + 1);
            struct qs_iq_choice plus = round8(x, w, dl, 0), minus = round8(x, w, dl, 1);
            *code++ = (uint16_t)(minus.cost < plus.cost ? minus.place | 1 << 11 : plus.place);
            g += i % 32 == 31;
        }
    }
}

void qs_ref_iq1_m_pack(size_t rows, size_t cols, const void *grid, const void *codes, const struct qs_parts *dst)
{
    const struct qs_grid_iq1_m *g = grid;
    const uint16_t *code = codes;
    struct qs_block_iq1_m *b = (void *)dst->p[0];
    for (size_t n = rows * (cols / 256); n > 0; n--, g++, b++, code += 32) {
        uint16_t sc[4];
        for (int j = 0; j < 4; j++)
            sc[j] = (uint16_t)((g->d >> 4 * j & 15) << 12);
        for (int j = 0; j < 16; j++) {
            sc[j / 4] = (uint16_t)(sc[j / 4] | g->scale[j] << 3 * (j % 4));
            b->qs[2 * j] = (uint8_t)code[2 * j];
            b->qs[2 * j + 1] = (uint8_t)code[2 * j + 1];
            b->qh[j] = (uint8_t)((code[2 * j] >> 8 & 15) | (code[2 * j + 1] >> 8 & 15) << 4);
        }
        memcpy(b->scales, sc, 8);
    }
}
