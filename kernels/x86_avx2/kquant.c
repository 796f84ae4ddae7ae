/* kquant.c - `fit` of Q2_K .. Q6_K with eight sub-blocks at a time (AVX2).
 *
 * The searches run with one sub-block per lane and the choice of the stored scales with one super-block per lane
 * (lanes.h), in the order of operations of kernels/ref/kquant*.c, so the results are the same bits. A super-block in
 * which a lane left the ground that lanes.h covers (NaN, Inf, overflow, denormal ranges) is done again by the plain
 * code, which stays the only authority on such input.
 *
 * Works through batches of eight super-blocks; a short last batch is filled up with its last member. Owns nothing,
 * allocates nothing (about 20 KiB of stack), thread-safe. Decode, round, pack and scan stay those of kernels/ref.
 */
#include <stdalign.h>
#include "kernels/x86_avx2/kquant.h"
#include "kernels/ref/kquant.h"
#include "kernels/ref/ref.h"
#include "kernels/x86_avx2/lanes.h"

enum { BATCH = LANES, SUBS_MAX = 16 };

struct batch {
    int n;                 /* super-blocks that count; the arrays are always full */
    const float *x[BATCH], *w[BATCH];
    bool weighted;
    void *grid[BATCH];
    uint8_t *codes[BATCH];
    unsigned suspect;      /* result: a bit per super-block */
};
typedef void fit_batch_fn(struct batch *b);

/* What the search found for sub-block j of super-block b, at index b * subs + j. */
struct found {
    alignas(32) float scale[BATCH * SUBS_MAX];
    alignas(32) float min[BATCH * SUBS_MAX];
    alignas(32) float sum[BATCH * SUBS_MAX];
    alignas(32) float inv[BATCH * SUBS_MAX];
    alignas(32) float low[BATCH * SUBS_MAX];
    uint8_t zero[BATCH * SUBS_MAX / LANES]; /* a bit per sub-block: all codes 0 */
};

static bool is_zero(const struct found *f, int at) { return f->zero[at / LANES] >> (at % LANES) & 1; }

/* ---- walking */

static void finish(struct batch *b, fit_batch_fn *fit, qs_fit_fn *plain)
{
    for (int i = b->n; i < BATCH; i++) {
        b->x[i] = b->x[b->n - 1];
        b->w[i] = b->w[b->n - 1];
    }
    b->suspect = 0;
    fit(b);
    for (int i = 0; i < b->n; i++) {
        if (b->suspect >> i & 1) {
            struct qs_rows one = { b->x[i], 1, QS_SUPER, QS_SUPER, b->w[i] };
            plain(&one, b->grid[i], b->codes[i]);
        }
    }
    b->n = 0;
}

static void fit_rows(const struct qs_rows *in, size_t grid_bytes, void *grid, void *codes, fit_batch_fn *fit,
                     qs_fit_fn *plain)
{
    struct batch b = { .n = 0, .weighted = in->weight != NULL };
    uint8_t *g = grid, *c = codes;
    for (size_t row = 0; row < in->rows; row++) {
        for (size_t col = 0; col + QS_SUPER <= in->cols; col += QS_SUPER) {
            b.x[b.n] = in->x + row * in->stride + col;
            b.w[b.n] = in->weight ? in->weight + col : NULL;
            b.grid[b.n] = g;
            b.codes[b.n] = c;
            g += grid_bytes;
            c += QS_SUPER;
            if (++b.n == BATCH)
                finish(&b, fit, plain);
        }
    }
    if (b.n)
        finish(&b, fit, plain);
}

/* Eight sub-blocks of `sub` weights that follow each other, transposed. */
static void load_set(const float *x, int sub, __m256 *out)
{
    const float *row[LANES];
    for (int r = 0; r < LANES; r++)
        row[r] = x + r * sub;
    for (int i = 0; i < sub; i += LANES)
        qs_lanes_transpose(row, (size_t)i, out + i);
}

/* Sum of x^2 of each super-block of the batch, in the order of the weights, times `factor` / 256. */
static void mean_squares(const struct batch *b, float factor, float out[BATCH])
{
    __m256 sum = _mm256_setzero_ps(), x[LANES];
    for (size_t at = 0; at < QS_SUPER; at += LANES) {
        qs_lanes_transpose(b->x, at, x);
        for (int i = 0; i < LANES; i++)
            sum = _mm256_add_ps(sum, _mm256_mul_ps(x[i], x[i]));
    }
    sum = _mm256_mul_ps(_mm256_set1_ps(factor), sum);
    _mm256_storeu_ps(out, _mm256_div_ps(sum, _mm256_set1_ps(QS_SUPER)));
}

/* Importance w becomes w * sqrt(sigma2 + x^2). */
static void weigh(int n, const __m256 *x, float sigma2, __m256 *w)
{
    __m256 s = _mm256_set1_ps(sigma2);
    for (int i = 0; i < n; i++)
        w[i] = _mm256_mul_ps(w[i], _mm256_sqrt_ps(_mm256_add_ps(s, _mm256_mul_ps(x[i], x[i]))));
}

/* A search with a lane per super-block over v, which holds `subs` values of each; out[j] lane b = value j of b. */
static void load_scales(const float *v, int subs, __m256 *out)
{
    const float *row[LANES];
    for (int r = 0; r < LANES; r++)
        row[r] = v + r * subs;
    for (int j = 0; j < subs; j += LANES)
        qs_lanes_transpose(row, (size_t)j, out + j);
}

/* ---- rounding to the stored scales */

/* For the plain code all NaN are alike. */
static __m256 load_weights(const float *x)
{
    __m256 v = _mm256_loadu_ps(x);
    return _mm256_blendv_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000)), _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

static __m256i limit(__m256i v, int lo, int hi)
{
    return _mm256_max_epi32(_mm256_min_epi32(v, _mm256_set1_epi32(hi)), _mm256_set1_epi32(lo));
}

static void store_16(__m256i a, __m256i b, uint8_t *out)
{
    __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    _mm_storeu_si128((__m128i *)out, bytes);
}

static void round_affine(const float *x, int n, int nmax, float scale, float min, uint8_t *codes)
{
    __m256 s = _mm256_set1_ps(scale), m = _mm256_set1_ps(min);
    for (int k = 0; k < n; k += 16) {
        __m256 a = _mm256_div_ps(_mm256_add_ps(load_weights(x + k), m), s);
        __m256 b = _mm256_div_ps(_mm256_add_ps(load_weights(x + k + 8), m), s);
        store_16(limit(qs_lanes_nearest_any(a), 0, nmax), limit(qs_lanes_nearest_any(b), 0, nmax), codes + k);
    }
}

static void round_symmetric(const float *x, int half, float scale, uint8_t *codes)
{
    __m256 s = _mm256_set1_ps(scale);
    __m256i a = qs_lanes_nearest_any(_mm256_div_ps(load_weights(x), s));
    __m256i b = qs_lanes_nearest_any(_mm256_div_ps(load_weights(x + 8), s)), zero = _mm256_set1_epi32(half);
    store_16(_mm256_add_epi32(limit(a, -half, half - 1), zero), _mm256_add_epi32(limit(b, -half, half - 1), zero),
             codes);
}

/* ---- affine formats */

static void store_affine(struct found *f, int set, const struct qs_lanes_affine *r)
{
    int at = set * LANES;
    _mm256_store_ps(f->scale + at, r->scale);
    _mm256_store_ps(f->min + at, r->min);
    _mm256_store_ps(f->sum + at, r->sum_w);
    _mm256_store_ps(f->inv + at, r->inv);
    _mm256_store_ps(f->low + at, r->low);
    f->zero[set] = (uint8_t)r->flat;
}

static void weigh_plain(const struct qs_k_affine *f, const __m256 *x, __m256 *w)
{
    const __m256 sign = _mm256_set1_ps(-0.f);
    __m256 sum = _mm256_setzero_ps();
    for (int i = 0; i < f->sub && !f->plain.absolute; i++)
        sum = _mm256_add_ps(sum, _mm256_mul_ps(x[i], x[i]));
    sum = _mm256_sqrt_ps(_mm256_div_ps(sum, _mm256_set1_ps((float)f->sub)));
    for (int i = 0; i < f->sub; i++)
        w[i] = _mm256_add_ps(sum, _mm256_andnot_ps(sign, x[i]));
}

/* Search all sub-blocks of the batch, two sets of eight at a time. */
static void search_affine(const struct qs_k_affine *f, struct batch *b, struct found *found)
{
    __m256 x[2][LANES_MAX], w[2][LANES_MAX], code[2][LANES_MAX];
    float sigma2[BATCH];
    const int per_block = QS_SUPER / f->sub / LANES; /* sets in a super-block: 1 or 2 */
    if (b->weighted)
        mean_squares(b, f->sigma, sigma2);
    for (int set = 0; set < b->n * per_block; set += 2) {
        struct qs_lanes_affine r[2];
        for (int i = 0; i < 2; i++) {
            int block = (set + i) / per_block, at = (set + i) % per_block * LANES * f->sub;
            load_set(b->x[block] + at, f->sub, x[i]);
            if (b->weighted) {
                load_set(b->w[block] + at, f->sub, w[i]);
                weigh(f->sub, x[i], sigma2[block], w[i]);
            } else {
                weigh_plain(f, x[i], w[i]);
            }
            r[i] = (struct qs_lanes_affine){ .x = x[i], .w = w[i], .code = code[i] };
        }
        qs_lanes_affine(b->weighted ? &f->weighted : &f->plain, f->sub, &r[0], &r[1]);
        for (int i = 0; i < 2; i++) {
            store_affine(found, set + i, &r[i]);
            b->suspect |= (unsigned)(r[i].suspect != 0) << (set + i) / per_block;
        }
    }
}

struct stored_scales {
    float d[BATCH], dmin[BATCH];
    uint8_t scale[BATCH][SUBS_MAX], min[BATCH][SUBS_MAX];
};

static void search_positive(int subs, int top, const float *v, const __m256 *sum, float *d, uint8_t code[][SUBS_MAX])
{
    __m256 x[SUBS_MAX];
    __m256i l[SUBS_MAX];
    alignas(32) int32_t lane[LANES];
    load_scales(v, subs, x);
    _mm256_storeu_ps(d, qs_lanes_positive(subs, top, x, sum, l));
    for (int j = 0; j < subs; j++) {
        _mm256_store_si256((__m256i *)lane, l[j]);
        for (int b = 0; b < BATCH; b++)
            code[b][j] = (uint8_t)lane[b];
    }
}

static void search_stored(const struct qs_k_affine *f, const struct found *found, struct stored_scales *out)
{
    __m256 sum[SUBS_MAX];
    const int subs = QS_SUPER / f->sub;
    load_scales(found->sum, subs, sum);
    search_positive(subs, f->top, found->scale, sum, out->d, out->scale);
    search_positive(subs, f->top, found->min, sum, out->dmin, out->min);
}

/* The codes of one super-block on its stored grid; where the stored scale is zero, those of the search. */
static void codes_affine(const struct qs_k_affine *f, const struct found *found, int block, const float *x, float d,
                         float dmin, const uint8_t *scale, const uint8_t *min, uint8_t *codes)
{
    const int subs = QS_SUPER / f->sub, nmax = f->plain.nmax;
    for (int j = 0; j < subs; j++, x += f->sub, codes += f->sub) {
        float s = d * (float)scale[j], m = dmin * (float)min[j];
        int at = block * subs + j;
        if (s != 0) {
            round_affine(x, f->sub, nmax, s, m, codes);
            continue;
        }
        for (int k = 0; k < f->sub; k++) {
            int l = qs_clamp_int(qs_nearest_int(found->inv[at] * (x[k] - found->low[at])), 0, nmax);
            codes[k] = (uint8_t)(is_zero(found, at) ? 0 : l);
        }
    }
}

static void q2_k_batch(struct batch *b)
{
    struct found found;
    struct stored_scales s;
    search_affine(&qs_k_q2, b, &found);
    if (b->weighted)
        search_stored(&qs_k_q2, &found, &s);
    for (int i = 0; i < b->n; i++) {
        struct qs_grid_q2_k *g = b->grid[i];
        if (b->weighted)
            qs_k_q2_grid_searched(s.d[i], s.dmin[i], s.scale[i], s.min[i], g);
        else
            qs_k_q2_grid_plain(found.scale + i * 16, found.min + i * 16, g);
        codes_affine(&qs_k_q2, &found, i, b->x[i], qs_f16_to_f32(g->d), qs_f16_to_f32(g->dmin), g->scale, g->min,
                     b->codes[i]);
    }
}

typedef void k8_searched_fn(float d, float dmin, const uint8_t *scale, const uint8_t *min, struct qs_grid_k8 *g);

static void k8_batch(const struct qs_k_affine *f, k8_searched_fn *searched, struct batch *b)
{
    struct found found;
    struct stored_scales s;
    search_affine(f, b, &found);
    if (b->weighted)
        search_stored(f, &found, &s);
    for (int i = 0; i < b->n; i++) {
        struct qs_grid_k8 *g = b->grid[i];
        if (b->weighted)
            searched(s.d[i], s.dmin[i], s.scale[i], s.min[i], g);
        else
            qs_k_q45_grid_plain(found.scale + i * 8, found.min + i * 8, g);
        codes_affine(f, &found, i, b->x[i], qs_f16_to_f32(g->d), qs_f16_to_f32(g->dmin), g->scale, g->min,
                     b->codes[i]);
    }
}

static void q4_k_batch(struct batch *b) { k8_batch(&qs_k_q4, qs_k_q4_grid_searched, b); }
static void q5_k_batch(struct batch *b) { k8_batch(&qs_k_q5, qs_k_q5_grid_searched, b); }

/* ---- symmetric formats: sixteen sub-blocks of 16, two sets of eight per super-block */

enum { SUB = 16, SUBS = 16, Q3_HALF = 4, Q6_HALF = 32 };

/* sigma2: NULL, or what `weigh` needs for each super-block (Q6_K takes the importance as it is). */
static void search_symmetric(int half, struct batch *b, const float *sigma2, struct found *found)
{
    __m256 x[SUB], w[SUB];
    for (int set = 0; set < 2 * b->n; set++) {
        int block = set / 2, at = set % 2 * LANES * SUB;
        struct qs_lanes_symmetric r = { .x = x, .w = b->weighted ? w : NULL };
        load_set(b->x[block] + at, SUB, x);
        if (b->weighted)
            load_set(b->w[block] + at, SUB, w);
        if (sigma2) {
            weigh(SUB, x, sigma2[block], w);
            __m256 sum = _mm256_setzero_ps();
            for (int i = 0; i < SUB; i++)
                sum = _mm256_add_ps(sum, w[i]);
            _mm256_store_ps(found->sum + set * LANES, sum);
        }
        qs_lanes_symmetric(SUB, half, &r);
        _mm256_store_ps(found->scale + set * LANES, r.scale);
        _mm256_store_ps(found->inv + set * LANES, r.inv);
        found->zero[set] = (uint8_t)r.zero;
        b->suspect |= (unsigned)(r.suspect != 0) << block;
    }
}

/* As codes_affine; codes must hold the codes of the search where `found` is NULL. */
static void codes_symmetric(int half, const struct found *found, int block, const float *x,
                            const struct qs_grid_k16 *g, uint8_t *codes)
{
    float d = qs_f16_to_f32(g->d);
    for (int j = 0; j < SUBS; j++, x += SUB, codes += SUB) {
        float s = d * (float)g->scale[j];
        int at = block * SUBS + j;
        if (s != 0) {
            round_symmetric(x, half, s, codes);
            continue;
        }
        for (int k = 0; found && k < SUB; k++) {
            int l = half + qs_clamp_int(qs_nearest_int(found->inv[at] * x[k]), -half, half - 1);
            codes[k] = (uint8_t)(is_zero(found, at) ? 0 : l);
        }
    }
}

static void q6_k_batch(struct batch *b)
{
    struct found found;
    search_symmetric(Q6_HALF, b, NULL, &found);
    for (int i = 0; i < b->n; i++) {
        if (qs_k_q6_grid(found.scale + i * SUBS, b->grid[i]))
            codes_symmetric(Q6_HALF, &found, i, b->x[i], b->grid[i], b->codes[i]);
        else
            memset(b->codes[i], 0, QS_SUPER);
    }
}

/* Scales of scales by the symmetric search, a super-block per lane. */
static void search_q3_stored(struct batch *b, const struct found *found, float d[BATCH], uint8_t code[][SUBS])
{
    __m256 x[SUBS], w[SUBS];
    alignas(32) float inv[BATCH];
    struct qs_lanes_symmetric r = { .x = x, .w = w };
    load_scales(found->scale, SUBS, x);
    load_scales(found->sum, SUBS, w);
    qs_lanes_symmetric(SUBS, 32, &r);
    _mm256_storeu_ps(d, r.scale);
    _mm256_store_ps(inv, r.inv);
    b->suspect |= r.suspect;
    for (int i = 0; i < BATCH; i++) {
        for (int j = 0; j < SUBS; j++) {
            int l = 32 + qs_clamp_int(qs_nearest_int(inv[i] * found->scale[i * SUBS + j]), -32, 31);
            code[i][j] = (uint8_t)(r.zero >> i & 1 ? 0 : l);
        }
    }
}

static void q3_k_weighted_batch(struct batch *b)
{
    struct found found;
    float sigma2[BATCH], d[BATCH];
    uint8_t code[BATCH][SUBS];
    mean_squares(b, 2, sigma2);
    search_symmetric(Q3_HALF, b, sigma2, &found);
    search_q3_stored(b, &found, d, code);
    for (int i = 0; i < b->n; i++) {
        qs_k_q3_grid_searched(d[i], code[i], b->grid[i]);
        codes_symmetric(Q3_HALF, &found, i, b->x[i], b->grid[i], b->codes[i]);
    }
}

/* The codes a set of the plain Q3_K search ended with, into the order of the weights. */
static void store_q3_codes(const struct qs_lanes_q3 *r, uint8_t *codes)
{
    alignas(32) float l[SUB][LANES];
    for (int i = 0; i < SUB; i++)
        _mm256_store_ps(l[i], r->code[i]);
    for (int lane = 0; lane < LANES; lane++)
        for (int i = 0; i < SUB; i++)
            codes[lane * SUB + i] = (uint8_t)(r->zero >> lane & 1 ? 0 : (int)l[i][lane] + Q3_HALF);
}

static bool some_unscaled(const struct qs_grid_k16 *g)
{
    float d = qs_f16_to_f32(g->d);
    bool some = false;
    for (int j = 0; j < SUBS; j++)
        some |= d * (float)g->scale[j] == 0;
    return some;
}

static void q3_k_plain_batch(struct batch *b)
{
    __m256 x[SUB];
    struct qs_lanes_q3 r[2];
    alignas(32) float scale[SUBS];
    for (int i = 0; i < b->n; i++) {
        struct qs_grid_k16 *g = b->grid[i];
        for (int half = 0; half < 2; half++) {
            load_set(b->x[i] + half * LANES * SUB, SUB, x);
            r[half].x = x;
            qs_lanes_q3(&r[half]);
            _mm256_store_ps(scale + half * LANES, r[half].scale);
            b->suspect |= (unsigned)(r[half].suspect != 0) << i;
        }
        qs_k_q3_grid_plain(scale, g);
        if (some_unscaled(g)) {
            store_q3_codes(&r[0], b->codes[i]);
            store_q3_codes(&r[1], b->codes[i] + LANES * SUB);
        }
        codes_symmetric(Q3_HALF, NULL, i, b->x[i], g, b->codes[i]);
    }
}

/* ---- the formats */

void qs_avx2_q2_k_fit(const struct qs_rows *in, void *grid, void *codes)
{
    fit_rows(in, sizeof(struct qs_grid_q2_k), grid, codes, q2_k_batch, qs_ref_q2_k_fit);
}

void qs_avx2_q3_k_fit(const struct qs_rows *in, void *grid, void *codes)
{
    fit_rows(in, sizeof(struct qs_grid_q3_k), grid, codes, in->weight ? q3_k_weighted_batch : q3_k_plain_batch,
             qs_ref_q3_k_fit);
}

void qs_avx2_q4_k_fit(const struct qs_rows *in, void *grid, void *codes)
{
    fit_rows(in, sizeof(struct qs_grid_q4_k), grid, codes, q4_k_batch, qs_ref_q4_k_fit);
}

void qs_avx2_q5_k_fit(const struct qs_rows *in, void *grid, void *codes)
{
    fit_rows(in, sizeof(struct qs_grid_q5_k), grid, codes, q5_k_batch, qs_ref_q5_k_fit);
}

void qs_avx2_q6_k_fit(const struct qs_rows *in, void *grid, void *codes)
{
    fit_rows(in, sizeof(struct qs_grid_q6_k), grid, codes, q6_k_batch, qs_ref_q6_k_fit);
}

void qs_avx2_kquant_formats(struct qs_format_ops *ops)
{
    static const struct { int id; qs_fit_fn *fit; } own[] = {
        { QS_Q2_K, qs_avx2_q2_k_fit }, { QS_Q3_K, qs_avx2_q3_k_fit }, { QS_Q4_K, qs_avx2_q4_k_fit },
        { QS_Q5_K, qs_avx2_q5_k_fit }, { QS_Q6_K, qs_avx2_q6_k_fit },
    };
    for (size_t i = 0; i < qs_format_count(); i++)
        for (size_t k = 0; k < sizeof own / sizeof own[0]; k++)
            if (qs_format_at(i)->id == own[k].id)
                ops[i].fit = own[k].fit;
}
