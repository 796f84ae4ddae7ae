/* kquant_text.h - `fit` of Q2_K .. Q6_K with LANES sub-blocks at a time: common text, compiled once per level (kquant.c
 * of its folder, after its vec.h).
 *
 * The searches run with one sub-block per lane and the choice of the stored scales with one super-block per lane
 * (search.h), in the order of operations of kernels/ref/kquant*.c, so the results are the same bits. A super-block in
 * which a lane left the ground that search.h covers (NaN, Inf, overflow, denormal ranges) is done again by the plain
 * code, which stays the only authority on such input.
 *
 * Works through batches of LANES super-blocks; a short last batch is filled up with its last member. Owns nothing,
 * allocates nothing (about 40 KiB of stack), thread-safe. Decode, round, pack and scan stay those of kernels/ref.
 */
#include <stdalign.h>
#include "kernels/lanes/search.h"
#include "kernels/ref/kquant.h"
#include "kernels/ref/ref.h"

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
    alignas(64) float scale[BATCH * SUBS_MAX];
    alignas(64) float min[BATCH * SUBS_MAX];
    alignas(64) float sum[BATCH * SUBS_MAX];
    alignas(64) float inv[BATCH * SUBS_MAX];
    alignas(64) float low[BATCH * SUBS_MAX];
    uint16_t zero[BATCH * SUBS_MAX / LANES]; /* a bit per sub-block: all codes 0 */
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

/* Sets: LANES sub-blocks that follow each other, those of super-block 0 first. Lane of a set -> its super-block. */
static int block_of(int set, int lane, int subs) { return (set * LANES + lane) / subs; }

/* The set's part of the super-blocks `from`, transposed. */
static void load_set(const float *const from[BATCH], int set, int sub, vf *out)
{
    const int subs = QS_SUPER / sub;
    const float *row[LANES];
    for (int r = 0; r < LANES; r++)
        row[r] = from[block_of(set, r, subs)] + (set * LANES + r) % subs * sub;
    for (int i = 0; i < sub; i += LANES)
        v_transpose(row, (size_t)i, out + i);
}

static void mark_suspects(struct batch *b, int set, int subs, unsigned lanes)
{
    for (; lanes; lanes &= lanes - 1)
        b->suspect |= 1u << block_of(set, __builtin_ctz(lanes), subs);
}

/* Sum of x^2 of each super-block of the batch, in the order of the weights, times `factor` / 256. */
static void mean_squares(const struct batch *b, float factor, float out[BATCH])
{
    vf sum = v_all(0), x[LANES];
    for (size_t at = 0; at < QS_SUPER; at += LANES) {
        v_transpose(b->x, at, x);
        for (int i = 0; i < LANES; i++)
            sum = v_add(sum, v_mul(x[i], x[i]));
    }
    sum = v_mul(v_all(factor), sum);
    v_store(out, v_div(sum, v_all(QS_SUPER)));
}

/* Importance w becomes w * sqrt(sigma2 + x^2); sigma2: of each super-block. */
static void weigh(int set, int n, const vf *x, const float sigma2[BATCH], vf *w)
{
    float its[LANES];
    for (int r = 0; r < LANES; r++)
        its[r] = sigma2[block_of(set, r, QS_SUPER / n)];
    vf s = v_load(its);
    for (int i = 0; i < n; i++)
        w[i] = v_mul(w[i], v_sqrt(v_add(s, v_mul(x[i], x[i]))));
}

/* A search with a lane per super-block over v, which holds `subs` values of each; out[j] lane b = value j of b. Both
 * have room for SUBS_MAX. */
static void load_scales(const float *v, int subs, vf *out)
{
    const float *row[LANES];
    for (int r = 0; r < LANES; r++)
        row[r] = v + r * subs;
    int j = 0;
    do
        v_transpose(row, (size_t)j, out + j);
    while ((j += LANES) < subs);
}

/* ---- rounding to the stored scales */

/* For the plain code all NaN are alike. */
static vf load_weights(const float *x)
{
    vf v = v_load(x);
    return v_pick(v, v_bits(i_all(0x7fc00000)), v_not_equal(v, v));
}

static vi limit(vi v, int lo, int hi) { return i_max(i_min(v, i_all(hi)), i_all(lo)); }

static void round_affine(const float *x, int n, int nmax, float scale, float min, uint8_t *codes)
{
    vf s = v_all(scale), m = v_all(min);
    for (int k = 0; k < n; k += LANES)
        i_store_bytes(codes + k, limit(v_nearest_any(v_div(v_add(load_weights(x + k), m), s)), 0, nmax));
}

static void round_symmetric(const float *x, int n, int half, float scale, uint8_t *codes)
{
    vf s = v_all(scale);
    for (int k = 0; k < n; k += LANES) {
        vi l = limit(v_nearest_any(v_div(load_weights(x + k), s)), -half, half - 1);
        i_store_bytes(codes + k, i_add(l, i_all(half)));
    }
}

/* ---- affine formats */

static void store_affine(struct found *f, int set, const struct qs_lanes_affine *r)
{
    int at = set * LANES;
    v_store(f->scale + at, r->scale);
    v_store(f->min + at, r->min);
    v_store(f->sum + at, r->sum_w);
    v_store(f->inv + at, r->inv);
    v_store(f->low + at, r->low);
    f->zero[set] = (uint16_t)r->flat;
}

static void weigh_plain(const struct qs_k_affine *f, const vf *x, vf *w)
{
    vf sum = v_all(0);
    for (int i = 0; i < f->sub && !f->plain.absolute; i++)
        sum = v_add(sum, v_mul(x[i], x[i]));
    sum = v_sqrt(v_div(sum, v_all((float)f->sub)));
    for (int i = 0; i < f->sub; i++)
        w[i] = v_add(sum, v_abs(x[i]));
}

/* Search all sub-blocks of the batch, two sets at a time. */
static void search_affine(const struct qs_k_affine *f, struct batch *b, struct found *found)
{
    vf x[2][LANES_MAX], w[2][LANES_MAX], code[2][LANES_MAX];
    float sigma2[BATCH];
    const int subs = QS_SUPER / f->sub;
    if (b->weighted)
        mean_squares(b, f->sigma, sigma2);
    for (int set = 0; set * LANES < b->n * subs; set += 2) {
        struct qs_lanes_affine r[2];
        for (int i = 0; i < 2; i++) {
            load_set(b->x, set + i, f->sub, x[i]);
            if (b->weighted) {
                load_set(b->w, set + i, f->sub, w[i]);
                weigh(set + i, f->sub, x[i], sigma2, w[i]);
            } else {
                weigh_plain(f, x[i], w[i]);
            }
            r[i] = (struct qs_lanes_affine){ .x = x[i], .w = w[i], .code = code[i] };
        }
        QS_LANES(affine)(b->weighted ? &f->weighted : &f->plain, f->sub, &r[0], &r[1]);
        for (int i = 0; i < 2; i++) {
            store_affine(found, set + i, &r[i]);
            mark_suspects(b, set + i, subs, r[i].suspect);
        }
    }
}

struct stored_scales {
    float d[BATCH], dmin[BATCH];
    uint8_t scale[BATCH][SUBS_MAX], min[BATCH][SUBS_MAX];
};

static void search_positive(int subs, int top, const float *v, const vf *sum, float *d, uint8_t code[][SUBS_MAX])
{
    vf x[SUBS_MAX];
    vi l[SUBS_MAX];
    int32_t lane[LANES];
    load_scales(v, subs, x);
    v_store(d, QS_LANES(positive)(subs, top, x, sum, l));
    for (int j = 0; j < subs; j++) {
        i_store(lane, l[j]);
        for (int b = 0; b < BATCH; b++)
            code[b][j] = (uint8_t)lane[b];
    }
}

static void search_stored(const struct qs_k_affine *f, const struct found *found, struct stored_scales *out)
{
    vf sum[SUBS_MAX];
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

/* ---- symmetric formats: sixteen sub-blocks of 16 */

enum { SUB = 16, SUBS = 16, Q3_HALF = 4, Q6_HALF = 32 };

/* sigma2: NULL, or what `weigh` needs for each super-block (Q6_K takes the importance as it is). */
static void search_symmetric(int half, struct batch *b, const float *sigma2, struct found *found)
{
    vf x[SUB], w[SUB];
    for (int set = 0; set * LANES < b->n * SUBS; set++) {
        struct qs_lanes_symmetric r = { .x = x, .w = b->weighted ? w : NULL };
        load_set(b->x, set, SUB, x);
        if (b->weighted)
            load_set(b->w, set, SUB, w);
        if (sigma2) {
            weigh(set, SUB, x, sigma2, w);
            vf sum = v_all(0);
            for (int i = 0; i < SUB; i++)
                sum = v_add(sum, w[i]);
            v_store(found->sum + set * LANES, sum);
        }
        QS_LANES(symmetric)(SUB, half, &r);
        v_store(found->scale + set * LANES, r.scale);
        v_store(found->inv + set * LANES, r.inv);
        found->zero[set] = (uint16_t)r.zero;
        mark_suspects(b, set, SUBS, r.suspect);
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
            round_symmetric(x, SUB, half, s, codes);
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
    vf x[SUBS], w[SUBS];
    float inv[BATCH];
    struct qs_lanes_symmetric r = { .x = x, .w = w };
    load_scales(found->scale, SUBS, x);
    load_scales(found->sum, SUBS, w);
    QS_LANES(symmetric)(SUBS, 32, &r);
    v_store(d, r.scale);
    v_store(inv, r.inv);
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
    float l[SUB][LANES];
    for (int i = 0; i < SUB; i++)
        v_store(l[i], r->code[i]);
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
    enum { SETS = SUBS / LANES };
    vf x[SUB];
    struct qs_lanes_q3 r[SETS];
    float scale[SUBS];
    for (int i = 0; i < b->n; i++) {
        struct qs_grid_k16 *g = b->grid[i];
        for (int at = 0; at < SETS; at++) {
            load_set(b->x, i * SETS + at, SUB, x);
            r[at].x = x;
            QS_LANES(q3)(&r[at]);
            v_store(scale + at * LANES, r[at].scale);
            mark_suspects(b, i * SETS + at, SUBS, r[at].suspect);
        }
        qs_k_q3_grid_plain(scale, g);
        if (some_unscaled(g))
            for (int at = 0; at < SETS; at++)
                store_q3_codes(&r[at], b->codes[i] + at * LANES * SUB);
        codes_symmetric(Q3_HALF, NULL, i, b->x[i], g, b->codes[i]);
    }
}

/* ---- the formats */

void QS_LEVEL(q2_k_fit)(const struct qs_rows *in, void *grid, void *codes)
{
    fit_rows(in, sizeof(struct qs_grid_q2_k), grid, codes, q2_k_batch, qs_ref_q2_k_fit);
}

void QS_LEVEL(q3_k_fit)(const struct qs_rows *in, void *grid, void *codes)
{
    fit_rows(in, sizeof(struct qs_grid_q3_k), grid, codes, in->weight ? q3_k_weighted_batch : q3_k_plain_batch,
             qs_ref_q3_k_fit);
}

void QS_LEVEL(q4_k_fit)(const struct qs_rows *in, void *grid, void *codes)
{
    fit_rows(in, sizeof(struct qs_grid_q4_k), grid, codes, q4_k_batch, qs_ref_q4_k_fit);
}

void QS_LEVEL(q5_k_fit)(const struct qs_rows *in, void *grid, void *codes)
{
    fit_rows(in, sizeof(struct qs_grid_q5_k), grid, codes, q5_k_batch, qs_ref_q5_k_fit);
}

void QS_LEVEL(q6_k_fit)(const struct qs_rows *in, void *grid, void *codes)
{
    fit_rows(in, sizeof(struct qs_grid_q6_k), grid, codes, q6_k_batch, qs_ref_q6_k_fit);
}

void QS_LEVEL(kquant_formats)(struct qs_format_ops *ops)
{
    static const struct { int id; qs_fit_fn *fit; } own[] = {
        { QS_Q2_K, QS_LEVEL(q2_k_fit) }, { QS_Q3_K, QS_LEVEL(q3_k_fit) }, { QS_Q4_K, QS_LEVEL(q4_k_fit) },
        { QS_Q5_K, QS_LEVEL(q5_k_fit) }, { QS_Q6_K, QS_LEVEL(q6_k_fit) },
    };
    for (size_t i = 0; i < qs_format_count(); i++)
        for (size_t k = 0; k < sizeof own / sizeof own[0]; k++)
            if (qs_format_at(i)->id == own[k].id)
                ops[i].fit = own[k].fit;
}
