/* iq.c - the inner searches of the IQ encoders by AVX2. The rest of each encoder is in kernels/ref.
 *
 * Same bits as the plain functions they stand for: every sum runs over the weights in the same order, one sum per
 * lane. A lane is a scale to try, a point of a neighbour list, or a split; where the plain loop takes the first of
 * several, the lanes are looked at in that order. Nothing is fused. No state, no allocation. IQ2
 * and IQ3 are in kernels/lanes/iq_text.h, compiled here.
 */
#include "kernels/x86_avx2/vec.h"

#include "kernels/x86_avx2/iq.h"

#include <float.h>
#include <math.h>

#include "kernels/lanes/iq_text.h"
#include "kernels/ref/iq_search.h"
#include "kernels/ref/search.h"
#include "kernels/ref/tables_iq.h"

static inline __m256i lane_numbers(void) { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }

/* ---------------------------------------------------------------------------------------------- neighbour lists */

/* The smallest of eight, everywhere. */
INLINE __m256 least_of(__m256 v)
{
    __m256 m = _mm256_min_ps(v, _mm256_permute2f128_ps(v, v, 1));
    m = _mm256_min_ps(m, _mm256_permute_ps(m, 0x4e));
    return _mm256_min_ps(m, _mm256_permute_ps(m, 0xb1));
}

/* The first point with the smallest sum in a list; sums that are no ordinary numbers do not count. Each lane keeps its
 * smallest sum and where it was. */
INLINE uint16_t nearest_of_many(const uint16_t *list, unsigned count, const __m256 *cost)
{
    __m256i place = lane_numbers(), at = place;
    __m256 best = _mm256_set1_ps(FLT_MAX);
    for (unsigned j = 0; j < count; j += 8, at = _mm256_add_epi32(at, _mm256_set1_epi32(8))) {
        __m256 s = list_sums(list, count, j, cost, 8), less = _mm256_cmp_ps(s, best, _CMP_LT_OQ);
        best = _mm256_blendv_ps(best, s, less);
        place = _mm256_blendv_epi8(place, at, _mm256_castps_si256(less));
    }
    __m256i others = _mm256_castps_si256(_mm256_cmp_ps(best, least_of(best), _CMP_NEQ_UQ));
    place = _mm256_or_si256(place, _mm256_srli_epi32(others, 16)); /* 65535: not among the smallest */
    __m128i places = _mm_packus_epi32(_mm256_castsi256_si128(place), _mm256_extracti128_si256(place, 1));
    return list[(unsigned)_mm_extract_epi16(_mm_minpos_epu16(places), 0)];
}

static uint16_t nearest_table(const struct qs_iq_book *b, const struct qs_iq_near *near, const float cost[8][4])
{
    __m256 c[8];
    for (int i = 0; i < 8; i++)
        c[i] = _mm256_broadcast_ps((const __m128 *)(const void *)cost[i]);
    return nearest_of_many(b->list + near->first, near->count, c);
}

/* ---------------------------------------------------------------------------------------------- IQ1: best split
 *
 * The plain loop goes through hundreds of splits, takes each one whose fit is better than the last one taken, and ends
 * with the last. Each comparison waits for the one before; but only splits near the best can decide. So: first the
 * score r = qx^2/q2 of all splits, eight at a time, and the best of them; then the plain comparison over the few with
 * r >= (1-d) * best, d = 64u, u = 2^-24. Nothing changes if none lies in [1-2d, 1-d) * best and they are at most 8:
 *  - r is computed within 3u, the comparison's sides and the score it keeps within 2u each, when nothing underflows;
 *  - so the first of the few is taken in the plain loop too, all before it being at least 58u worse;
 *  - taking a split may lower the kept score by 5u through rounding, 40u for 8 of them: after the first, what is
 *    outside stays below.
 * Where that does not hold, the plain loop runs.
 */

#define SHIFT 0.125f
static const float shifted[2][3] = {{-1 + SHIFT, SHIFT, 1 + SHIFT}, {-1 - SHIFT, -SHIFT, 1 - SHIFT}};

enum { FEW = 8, BOARD_MAX = 170 };

/* Scores of all splits, and which those near the best are. */
struct board {
    __m256 r[BOARD_MAX]; /* `kinds` vectors for every i1 and i2 = i1, i1+8, .. <= n; NaN beyond n */
    __m256 max;
    int few;
    struct { int i1, i2, kind; } near[FEW];
};

static float best_score(const struct board *b)
{
    _Alignas(32) float r[8];
    _mm256_store_ps(r, b->max);
    for (int i = 1; i < 8; i++)
        r[0] = r[i] > r[0] ? r[i] : r[0];
    return r[0];
}

/* Find the few, in the order of the plain loop; false if it has to run instead. weight: sum of the weights. */
static inline bool find_few(struct board *b, int n, int kinds, float weight)
{
    const float d = 64 * 0x1p-24f, best = best_score(b);
    if (!(best > 1e-25f && best < 1e25f && weight > 1e-25f && weight < 1e25f))
        return false;
    if (!(best * weight > 1e-20f && best * weight < 1e25f))
        return false;
    const __m256 *r = b->r;
    const __m256 least = _mm256_set1_ps(best * (1 - 2 * d));
    const float inside = best * (1 - d);
    b->few = 0;
    for (int i1 = 0; i1 <= n; i1++) {
        for (int i2 = i1; i2 <= n; i2 += 8, r += kinds) {
            __m256 top = r[0];
            for (int k = 1; k < kinds; k++)
                top = _mm256_max_ps(top, r[k]); /* NaN beyond n in all kinds alike */
            unsigned lanes = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(top, least, _CMP_GE_OQ));
            for (; lanes; lanes &= lanes - 1) {
                int lane = __builtin_ctz(lanes);
                for (int k = 0; k < kinds; k++) {
                    float score = ((const float *)&r[k])[lane];
                    if (!(score >= best * (1 - 2 * d)))
                        continue;
                    if (score < inside || b->few == FEW)
                        return false;
                    b->near[b->few].i1 = i1;
                    b->near[b->few].i2 = i2 + lane;
                    b->near[b->few++].kind = k;
                }
            }
        }
    }
    return b->few > 0;
}

/* The plain loop's step for one of the few. */
static inline void consider(float qx, float q2, int i1, int i2, int kind, float *score, struct qs_iq1_split *out)
{
    if (q2 > 0 && qx * qx > *score * q2) {
        *out = (struct qs_iq1_split){i1, i2, kind, qx / q2};
        *score = out->scale * qx;
    }
}

static inline void note(struct board *b, __m256 *r, __m256 qx, __m256 q2)
{
    *r = _mm256_div_ps(_mm256_mul_ps(qx, qx), q2);
    b->max = _mm256_max_ps(*r, b->max); /* the second when one is NaN */
}

static void split_s(const float sumx[33], const float sumw[33], struct qs_iq1_split *out)
{
    _Alignas(32) float x[40], w[40], top_x[2][40], top_w[2][40]; /* NaN from 33 on */
    struct board b = {.max = _mm256_setzero_ps()};
    for (int j = 0; j < 40; j++) {
        x[j] = j <= 32 ? sumx[j] : NAN;
        w[j] = j <= 32 ? sumw[j] : NAN;
    }
    for (int s = 0; s < 2; s++) {
        __m256 v = _mm256_set1_ps(shifted[s][2]);
        for (int j = 0; j < 40; j += 8) {
            __m256 rest_x = _mm256_sub_ps(_mm256_set1_ps(x[32]), _mm256_load_ps(x + j));
            __m256 rest_w = _mm256_sub_ps(_mm256_set1_ps(w[32]), _mm256_load_ps(w + j));
            _mm256_store_ps(top_x[s] + j, _mm256_mul_ps(rest_x, v));
            _mm256_store_ps(top_w[s] + j, _mm256_mul_ps(_mm256_mul_ps(rest_w, v), v));
        }
    }
    const __m256 v = _mm256_set1_ps(SHIFT); /* minus it: the same products but for the sign */
    __m256 *r = b.r;
    for (int i1 = 0; i1 <= 32; i1++) {
        __m256 x1 = _mm256_set1_ps(x[i1]), w1 = _mm256_set1_ps(w[i1]), low_x[2], low_w[2];
        for (int s = 0; s < 2; s++) {
            low_x[s] = _mm256_set1_ps(x[i1] * shifted[s][0]);
            low_w[s] = _mm256_set1_ps(w[i1] * shifted[s][0] * shifted[s][0]);
        }
        for (int i2 = i1; i2 <= 32; i2 += 8, r += 2) {
            __m256 mid_x = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i2), x1), v);
            __m256 mid_w = _mm256_mul_ps(_mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(w + i2), w1), v), v);
            note(&b, &r[0], _mm256_add_ps(_mm256_add_ps(low_x[0], mid_x), _mm256_loadu_ps(top_x[0] + i2)),
                 _mm256_add_ps(_mm256_add_ps(low_w[0], mid_w), _mm256_loadu_ps(top_w[0] + i2)));
            note(&b, &r[1], _mm256_add_ps(_mm256_sub_ps(low_x[1], mid_x), _mm256_loadu_ps(top_x[1] + i2)),
                 _mm256_add_ps(_mm256_add_ps(low_w[1], mid_w), _mm256_loadu_ps(top_w[1] + i2)));
        }
    }
    if (!find_few(&b, 32, 2, w[32])) {
        qs_iq1_ref.split_s(sumx, sumw, out);
        return;
    }
    float score = -FLT_MAX;
    for (int i = 0; i < b.few; i++) {
        int i1 = b.near[i].i1, i2 = b.near[i].i2, s = b.near[i].kind;
        const float *u = shifted[s];
        float qx = x[i1] * u[0] + (x[i2] - x[i1]) * u[1] + top_x[s][i2];
        float q2 = w[i1] * u[0] * u[0] + (w[i2] - w[i1]) * u[1] * u[1] + top_w[s][i2];
        consider(qx, q2, i1, i2, s, &score, out);
    }
}

static void split_m(const float sumx[2][17], const float sumw[2][17], struct qs_iq1_split *out)
{
    float x[2][24], w[2][24], all_x[2][2], all_w[2][2], c1[2], c2[2]; /* NaN from 17 on */
    struct board b = {.max = _mm256_setzero_ps()};
    for (int h = 0; h < 2; h++) {
        for (int j = 0; j < 24; j++) {
            x[h][j] = j <= 16 ? sumx[h][j] : NAN;
            w[h][j] = j <= 16 ? sumw[h][j] : NAN;
        }
    }
    for (int s = 0; s < 2; s++) {
        const float *v = shifted[s];
        c1[s] = v[0] * v[0] - v[1] * v[1];
        c2[s] = v[1] * v[1] - v[2] * v[2];
        for (int h = 0; h < 2; h++) {
            all_x[s][h] = sumx[h][16] * v[2];
            all_w[s][h] = sumw[h][16] * v[2] * v[2];
        }
    }
    __m256 *r = b.r;
    for (int i1 = 0; i1 <= 16; i1++) {
        for (int i2 = i1; i2 <= 16; i2 += 8, r += 4) {
            __m256 half_x[2][2], half_w[2][2]; /* by shift, by half */
            for (int h = 0; h < 2; h++) {
                __m256 both = _mm256_add_ps(_mm256_set1_ps(x[h][i1]), _mm256_loadu_ps(x[h] + i2));
                __m256 w2 = _mm256_loadu_ps(w[h] + i2);
                for (int s = 0; s < 2; s++) {
                    half_x[s][h] = _mm256_sub_ps(_mm256_set1_ps(all_x[s][h]), both);
                    half_w[s][h] = _mm256_add_ps(_mm256_set1_ps(all_w[s][h] + w[h][i1] * c1[s]),
                                                 _mm256_mul_ps(w2, _mm256_set1_ps(c2[s])));
                }
            }
            for (int k = 0; k < 4; k++)
                note(&b, &r[k], _mm256_add_ps(half_x[k >> 1][0], half_x[k & 1][1]),
                     _mm256_add_ps(half_w[k >> 1][0], half_w[k & 1][1]));
        }
    }
    if (!find_few(&b, 16, 4, sumw[0][16] + sumw[1][16])) {
        qs_iq1_ref.split_m(sumx, sumw, out);
        return;
    }
    float score = -FLT_MAX;
    for (int i = 0; i < b.few; i++) {
        int i1 = b.near[i].i1, i2 = b.near[i].i2, k = b.near[i].kind;
        float qx[2], q2[2];
        for (int h = 0; h < 2; h++) {
            int s = h == 0 ? k >> 1 : k & 1;
            qx[h] = all_x[s][h] - (x[h][i1] + x[h][i2]);
            q2[h] = all_w[s][h] + w[h][i1] * c1[s] + w[h][i2] * c2[s];
        }
        consider(qx[0] + qx[1], q2[0] + q2[1], i1, i2, k, &score, out);
    }
}

/* Each weight counts the smaller ones, and the equal ones before it. */
static void sort_places(const float *x, int n, uint8_t *order)
{
    __m256i rank[4];
    _Alignas(32) int32_t place[32];
    int vectors = n / 8;
    for (int v = 0; v < vectors; v++)
        rank[v] = _mm256_setzero_si256();
    for (int j = 0; j < n; j++) {
        __m256 xj = _mm256_broadcast_ss(x + j);
        __m256i later = _mm256_cmpgt_epi32(lane_numbers(), _mm256_set1_epi32(j % 8));
        for (int v = 0; v < vectors; v++) {
            __m256 xv = _mm256_loadu_ps(x + 8 * v), less = _mm256_cmp_ps(xj, xv, _CMP_LT_OQ);
            __m256 equal = _mm256_cmp_ps(xj, xv, _CMP_EQ_OQ);
            if (v == j / 8)
                equal = _mm256_and_ps(equal, _mm256_castsi256_ps(later));
            __m256 below = v < j / 8 ? less : _mm256_or_ps(less, equal);
            rank[v] = _mm256_sub_epi32(rank[v], _mm256_castps_si256(below));
        }
    }
    for (int v = 0; v < vectors; v++)
        _mm256_store_si256((void *)(place + 8 * v), rank[v]);
    for (int i = 0; i < n; i++)
        order[place[i]] = (uint8_t)i;
}

/* ---------------------------------------------------------------------------------------------- IQ4 */

/* Places of eight numbers among the 16 values, by halving; `upper` gets the lanes where the place is 8 or more. */
static inline __m256i places_of(__m256 x, __m256 *upper)
{
    const float *m = qs_iq4_middle;
    const __m256 third = _mm256_setr_ps(m[1], m[5], m[9], m[13], m[1], m[5], m[9], m[13]);
    const __m256 last = _mm256_setr_ps(m[0], m[2], m[4], m[6], m[8], m[10], m[12], m[14]);
    __m256 b3 = _mm256_cmp_ps(x, _mm256_set1_ps(m[7]), _CMP_NLT_UQ);
    __m256 second = _mm256_blendv_ps(_mm256_set1_ps(m[3]), _mm256_set1_ps(m[11]), b3);
    __m256 b2 = _mm256_cmp_ps(x, second, _CMP_NLT_UQ);
    __m256i n = _mm256_add_epi32(_mm256_castps_si256(b3), _mm256_castps_si256(b3)); /* minus the place so far */
    n = _mm256_add_epi32(n, _mm256_castps_si256(b2));
    n = _mm256_sub_epi32(_mm256_setzero_si256(), n); /* 0..3 */
    __m256 b1 = _mm256_cmp_ps(x, _mm256_permutevar_ps(third, n), _CMP_NLT_UQ);
    n = _mm256_sub_epi32(_mm256_add_epi32(n, n), _mm256_castps_si256(b1)); /* 0..7 */
    __m256 b0 = _mm256_cmp_ps(x, _mm256_permutevar8x32_ps(last, n), _CMP_NLT_UQ);
    *upper = b3;
    return _mm256_sub_epi32(_mm256_add_epi32(n, n), _mm256_castps_si256(b0));
}

static float scale4(const float *x, const float *w)
{
    float size = 0, max = 0;
    for (int i = 0; i < 32; i++) {
        if (fabsf(x[i]) > size) {
            size = fabsf(x[i]);
            max = x[i];
        }
    }
    if (size < QS_SEARCH_EPS)
        return 0;
    /* lane 0 of the first: the scale that maps the largest weight onto -127; then the steps -7..7 around it */
    _Alignas(32) float inv[16], sx[16], s2[16];
    inv[0] = 1 / (-max / -127);
    for (int t = -7; t <= 7; t++)
        inv[t + 8] = (float)(t - 127) / max;
    __m256 value[2], inv_v[2] = {_mm256_load_ps(inv), _mm256_load_ps(inv + 8)};
    for (int h = 0; h < 2; h++)
        value[h] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)(qs_iq4_values + 8 * h))));
    __m256 qx[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, q2[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int i = 0; i < 32; i++) {
        __m256 xi = _mm256_broadcast_ss(x + i), wi = _mm256_broadcast_ss(w + i);
        for (int v = 0; v < 2; v++) {
            __m256 upper;
            __m256i l = places_of(_mm256_mul_ps(inv_v[v], xi), &upper);
            __m256 low = _mm256_permutevar8x32_ps(value[0], l), high = _mm256_permutevar8x32_ps(value[1], l);
            __m256 q = _mm256_blendv_ps(low, high, upper);
            __m256 wq = _mm256_mul_ps(wi, q);
            qx[v] = _mm256_add_ps(qx[v], _mm256_mul_ps(wq, xi));
            q2[v] = _mm256_add_ps(q2[v], _mm256_mul_ps(wq, q));
        }
    }
    for (int v = 0; v < 2; v++) {
        _mm256_store_ps(sx + 8 * v, qx[v]);
        _mm256_store_ps(s2 + 8 * v, q2[v]);
    }
    float d = s2[0] > 0 ? sx[0] / s2[0] : 0, best = d * sx[0];
    for (int t = 1; t < 16; t++) {
        if (s2[t] > 0 && sx[t] * sx[t] > best * s2[t]) {
            d = sx[t] / s2[t];
            best = d * sx[t];
        }
    }
    return d;
}

static void scales4(const float *x, const float *w, int n, float *scale)
{
    for (int g = 0; g < n; g++)
        scale[g] = scale4(x + 32 * g, w + 32 * g);
}

static void weigh4(const float *x, const float *importance, float sigma2, int n, float *w)
{
    const __m256 s = _mm256_set1_ps(sigma2);
    for (int i = 0; i < n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i), square = _mm256_mul_ps(v, v);
        if (importance)
            square = _mm256_mul_ps(_mm256_loadu_ps(importance + i), _mm256_sqrt_ps(_mm256_add_ps(s, square)));
        _mm256_storeu_ps(w + i, square);
    }
}

static void index4(const float *x, float inv, uint8_t *code)
{
    __m256i l[4];
    for (int v = 0; v < 4; v++) {
        __m256 upper;
        l[v] = places_of(_mm256_mul_ps(_mm256_set1_ps(inv), _mm256_loadu_ps(x + 8 * v)), &upper);
    }
    __m256i a = _mm256_packus_epi32(l[0], l[1]), b = _mm256_packus_epi32(l[2], l[3]);
    __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((void *)code, bytes);
}

/* ---------------------------------------------------------------------------------------------- the table */

static const struct qs_iq1_fns iq1_fns = {sort_places, split_s, split_m, nearest_table};
static const struct qs_iq4_fns iq4_fns = {scales4, index4, weigh4};

#define FIT(name, fns)                                                                                                 \
    void qs_avx2_##name##_fit(const struct qs_rows *in, void *grid, void *codes)                                       \
    {                                                                                                                  \
        qs_##name##_fit_with(&(fns), in, grid, codes);                                                                 \
    }
FIT(iq1_s, iq1_fns)
FIT(iq1_m, iq1_fns)
FIT(iq2_xxs, iq_fns)
FIT(iq2_xs, iq_fns)
FIT(iq2_s, iq_fns)
FIT(iq3_xxs, iq_fns)
FIT(iq3_s, iq_fns)
FIT(iq4_nl, iq4_fns)
FIT(iq4_xs, iq4_fns)

void qs_avx2_iq_formats(struct qs_format_ops *ops)
{
    static const struct { int id; qs_fit_fn *fit; } encoders[] = {
        {QS_IQ1_S, qs_avx2_iq1_s_fit},     {QS_IQ1_M, qs_avx2_iq1_m_fit},     {QS_IQ2_XXS, qs_avx2_iq2_xxs_fit},
        {QS_IQ2_XS, qs_avx2_iq2_xs_fit},   {QS_IQ2_S, qs_avx2_iq2_s_fit},     {QS_IQ3_XXS, qs_avx2_iq3_xxs_fit},
        {QS_IQ3_S, qs_avx2_iq3_s_fit},     {QS_IQ4_NL, qs_avx2_iq4_nl_fit},   {QS_IQ4_XS, qs_avx2_iq4_xs_fit},
    };
    for (size_t i = 0; i < sizeof encoders / sizeof *encoders; i++)
        for (size_t row = 0; row < qs_format_count(); row++)
            if (qs_format_at(row)->id == encoders[i].id)
                ops[row].fit = encoders[i].fit;
}
