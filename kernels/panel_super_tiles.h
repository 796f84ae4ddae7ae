/* panel_super_tiles.h - panels of super-blocks times tokens, by tiles: VECS vectors of rows and up to TOKENS tokens have a sum
 * of a group and a sum of the super-block each in a register; floats, once for a super-block, are added to what lies in the
 * output. Included by a level's panel_super.c after its panel_vec.h.
 *
 * FEW tokens: codes go from the panels through registers straight into the products, and the panels are read once.
 * MANY tokens: PART super-blocks are taken apart into local memory, codes as bytes and scales as int32, and stay in the first
 * cache while up to SUMS tokens go through them. Their sums lie in local memory too: those of the output are so far from
 * each other that caches cannot hold them.
 */
#ifndef QS_KERNELS_PANEL_SUPER_TILES_H
#define QS_KERNELS_PANEL_SUPER_TILES_H

#include <stdbool.h>

#include "kernels/panel_super_kinds.h"

enum {
    TOKENS = 6,                            /* of a tile */
    VECS = QS_PV_LANES == 16 ? 2 : 1,      /* what fits with TOKENS into the registers */
    ROWS = VECS * QS_PV_LANES,
    PART = 2,                              /* super-blocks */
    MANY_FROM = 12,                        /* tokens; for fewer, taking apart does not pay */
    SUMS = 256,                            /* tokens */
    AHEAD = 4096                           /* bytes between what is multiplied and what is fetched from memory */
};

struct prepared { /* a super-block of a tile: all but codes */
    struct scales scales[VECS];
    qs_pf d[VECS], dmin[VECS];
};

struct sums { /* of a super-block: what activations contribute besides themselves */
    int32_t start[TOKENS][16] __attribute__((aligned(QS_PANEL_ALIGN)));
    float dx[TOKENS];
};

struct room { /* local memory */
    qs_pv codes[PART][64][VECS];
    struct prepared block[PART];
    struct sums sums[PART];
    float out[SUMS][ROWS] __attribute__((aligned(QS_PANEL_ALIGN)));
};

static size_t super_local(size_t cols)
{
    (void)cols;
    return sizeof(struct room);
}

struct tile {
    const uint8_t *panel[VECS]; /* of each vector's rows */
    size_t lane;                /* which begin with this one of the panel */
    struct room *room;
    const uint8_t *x;           /* first token */
    size_t x_stride, cols;
    size_t at, count;           /* super-blocks */
    float *out;                 /* of the first row and token: there is room for all rows of the tile */
    size_t out_stride;
};
typedef void tile_fn(const struct tile *at);

/* Compilers keep arrays of vectors in memory: one name for each token. */
#define EACH(M)                                                                                                        \
    M(0) if (T > 1) { M(1) } if (T > 2) { M(2) } if (T > 3) { M(3) } if (T > 4) { M(4) } if (T > 5) { M(5) }
#define NAMES(type, name, value)                                                                                       \
    type name##0 = value, name##1 = value, name##2 = value, name##3 = value, name##4 = value, name##5 = value

/* ---- preparing */

QS_INLINE size_t head_bytes(const struct kind k) { return (size_t)k.halves * ROW4 / 2; }
QS_INLINE size_t body_bytes(const struct kind k) { return (size_t)(k.scale_words + 4 * k.unit) * ROW4; }

/* Super-block b of vector v's rows. */
QS_INLINE const uint8_t *head_of(const struct kind k, const struct tile *j, int v, size_t b)
{
    return j->panel[v] + b * head_bytes(k) + j->lane * 2;
}
QS_INLINE const uint8_t *body_of(const struct kind k, const struct tile *j, int v, size_t b)
{
    return j->panel[v] + j->cols / QS_SUPER * head_bytes(k) + b * body_bytes(k) + j->lane * 4;
}

QS_INLINE void prepare(const struct kind k, const uint8_t *head, const uint8_t *body, struct prepared *o, int v)
{
    k.scales(head, body, &o->scales[v]);
    o->d[v] = qs_pf_halves(head);
    if (k.minima)
        o->dmin[v] = qs_pf_halves(head + ROW4 / 2);
}

QS_INLINE void prepare_sums(const int T, const struct kind k, const uint8_t *x, size_t stride, size_t cols, size_t b,
                            struct sums *o)
{
    QS_UNROLL
    for (int t = 0; t < T; t++, x += stride) {
        k.start(qs_q8k_sums(x, cols) + 16 * b, o->start[t]);
        o->dx[t] = qs_q8k_scales(x, cols)[b];
    }
}

/* ---- a super-block of a tile */

/* out + d * dx * sum, as floats, for token t and vector v, and less by the minima's sum. */
QS_INLINE void add_sums(const struct kind k, const struct prepared *o, const struct sums *s, int t, int v, qs_pv sum, qs_pv min,
                        bool first, float *out)
{
    const qs_pf dx = qs_pf_all(s->dx[t]);
    qs_pf a = first ? qs_pf_zero() : qs_pf_load(out);
    a = qs_pf_fma(qs_pf_mul(o->d[v], dx), qs_pf_from(qs_pv_right32_signed(sum, k.shift)), a);
    if (k.minima)
        a = qs_pf_fma_less(qs_pf_mul(o->dmin[v], dx), qs_pf_from(min), a);
    qs_pf_store(out, a);
}

/* `codes` from local memory; or NULL, and from the vectors' units of the panels, fetching those that come. */
QS_INLINE void block_of_tile(const int T, const struct kind k, const qs_pv *codes, const uint8_t *unit, const uint8_t *unit2,
                             size_t ahead, const struct prepared *o, const struct sums *s, const uint8_t *x, size_t x_stride,
                             bool first, float *out, size_t out_stride)
{
    typedef const uint8_t *bytes;
    const bool direct = !codes;
    NAMES(bytes, x, x);
    NAMES(qs_pv, sa, qs_pv_zero());
    NAMES(qs_pv, sb, qs_pv_zero());
#define NAME(t) x##t += t * x_stride;
    EACH(NAME)
#undef NAME
    const int groups = direct ? 64 / k.group : 1; /* that are written out one after another */
    for (int g = 0; g < QS_SUPER / k.group; unit += k.unit * ROW4, unit2 += k.unit * ROW4) {
        QS_UNROLL
        for (int n = 0; n < groups; n++, g++) {
            NAMES(qs_pv, pa, qs_pv_zero());
            NAMES(qs_pv, pb, qs_pv_zero());
#define BEGIN(t) if (!k.minima) pa##t = pb##t = qs_pv_spread(&s->start[t][g]);
            EACH(BEGIN)
#undef BEGIN
            QS_UNROLL
            for (int i = 0; i < k.group / 4; i++) {
                const qs_pv a = direct ? k.code(unit, n, i) : codes[i * VECS];
                const qs_pv b = direct ? k.code(unit2, n, i) : codes[i * VECS + VECS - 1];
                if (direct && n * k.group / 4 + i < k.unit) {
                    qs_p_far_ahead(unit + ahead + (n * k.group / 4 + i) * ROW4);
                    qs_p_far_ahead(unit2 + ahead + (n * k.group / 4 + i) * ROW4);
                }
#define DOT(t)                                                                                                         \
                pa##t = qs_pv_dot_four(pa##t, a, x##t, i);                                                             \
                if (VECS > 1) pb##t = qs_pv_dot_four(pb##t, b, x##t, i);
                EACH(DOT)
#undef DOT
            }
            codes += direct ? 0 : k.group / 4 * VECS;
#define ADD(t)                                                                                                         \
            x##t += k.group;                                                                                           \
            sa##t = qs_pv_add32(sa##t, qs_pv_mul32(pa##t, o->scales[0].scale[g]));                                     \
            if (VECS > 1) sb##t = qs_pv_add32(sb##t, qs_pv_mul32(pb##t, o->scales[VECS - 1].scale[g]));
            EACH(ADD)
#undef ADD
        }
    }
    NAMES(qs_pv, ma, qs_pv_zero());
    NAMES(qs_pv, mb, qs_pv_zero());
    QS_UNROLL
    for (int m = 0; m < k.minima; m++) {
        const qs_pv a = o->scales[0].min[m], b = o->scales[VECS - 1].min[m];
#define DOT(t)                                                                                                         \
        const qs_pv q##t = qs_pv_spread(&s->start[t][m]);                                                              \
        ma##t = qs_pv_dot2(ma##t, a, q##t);                                                                            \
        if (VECS > 1) mb##t = qs_pv_dot2(mb##t, b, q##t);
        EACH(DOT)
#undef DOT
    }
#define FINISH(t)                                                                                                      \
    add_sums(k, o, s, t, 0, sa##t, ma##t, first, out + t * out_stride);                                                \
    if (VECS > 1) add_sums(k, o, s, t, VECS - 1, sb##t, mb##t, first, out + t * out_stride + QS_PV_LANES);
    EACH(FINISH)
#undef FINISH
}

/* A super-block of one token and one vector, straight from the panel: groups side by side, so that their sums are independent
 * chains and a word that holds codes of several is read once; in the order of addresses, which is what machines fetch ahead. */
#define EACH_GROUP(M) M(0) M(1) if (64 / k.group > 2) { M(2) M(3) }
QS_INLINE void block_of_token(const struct kind k, const uint8_t *unit, const struct prepared *o, const struct sums *s,
                              const uint8_t *x, bool first, float *out)
{
    qs_pv sum = qs_pv_zero(), min = sum;
    for (int g = 0; g < QS_SUPER / k.group; g += 64 / k.group, x += 64, unit += k.unit * ROW4) {
        qs_pv p0 = qs_pv_zero(), p1 = p0, p2 = p0, p3 = p0;
        __builtin_prefetch(x + QS_SUPER); /* long rows do not stay in the first cache beside the panel */
#define BEGIN(n) if (!k.minima) p##n = qs_pv_spread(&s->start[0][g + n]);
        EACH_GROUP(BEGIN)
#undef BEGIN
        QS_UNROLL
        for (int i = 0; i < k.group / 4; i++) {
#define DOT(n) p##n = qs_pv_dot_four(p##n, k.code(unit, n, i), x + n * k.group, i);
            EACH_GROUP(DOT)
#undef DOT
            qs_p_in_order();
        }
#define ADD(n) sum = qs_pv_add32(sum, qs_pv_mul32(p##n, o->scales[0].scale[g + n]));
        EACH_GROUP(ADD)
#undef ADD
    }
    QS_UNROLL
    for (int m = 0; m < k.minima; m++)
        min = qs_pv_dot2(min, o->scales[0].min[m], qs_pv_spread(&s->start[0][m]));
    add_sums(k, o, s, 0, 0, sum, min, first, out);
}

/* ---- tiles */

/* One vector after the other. */
QS_INLINE void one_token(const struct kind k, const struct tile *j)
{
    struct prepared o;
    struct sums s;
    for (int v = 0; v < VECS; v++) {
        for (size_t i = 0; i < j->cols / QS_SUPER * head_bytes(k); i += 64) /* all heads: they lie before the rest */
            (void)*(const volatile uint8_t *)(j->panel[v] + i);
        for (size_t b = 0; b < j->cols / QS_SUPER; b++) {
            const uint8_t *body = body_of(k, j, v, b);
            prepare(k, head_of(k, j, v, b), body, &o, 0);
            prepare_sums(1, k, j->x, 0, j->cols, b, &s);
            block_of_token(k, body + k.scale_words * ROW4, &o, &s, j->x + b * QS_SUPER, b == 0, j->out + v * QS_PV_LANES);
        }
    }
}

QS_INLINE void few_tokens(const int T, const struct kind k, const struct tile *j)
{
    const size_t blocks = j->cols / QS_SUPER, bytes = blocks * (head_bytes(k) + body_bytes(k));
    struct prepared o;
    struct sums s;
    for (size_t b = 0; b < blocks; b++) {
        const uint8_t *body = body_of(k, j, 0, b), *body2 = body_of(k, j, VECS - 1, b);
        /* what comes after two panels that are read at once is behind both */
        const size_t ahead = blocks * head_bytes(k) + b * body_bytes(k) + AHEAD < bytes ? AHEAD : AHEAD + (VECS - 1) * bytes;
        prepare(k, head_of(k, j, 0, b), body, &o, 0);
        if (VECS > 1)
            prepare(k, head_of(k, j, VECS - 1, b), body2, &o, VECS - 1);
        QS_UNROLL
        for (int w = 0; w < k.scale_words; w++) {
            qs_p_far_ahead(body + ahead + w * ROW4);
            qs_p_far_ahead(body2 + ahead + w * ROW4);
        }
        prepare_sums(T, k, j->x, j->x_stride, j->cols, b, &s);
        block_of_tile(T, k, NULL, body + k.scale_words * ROW4, body2 + k.scale_words * ROW4, ahead, &o, &s,
                      j->x + b * QS_SUPER, j->x_stride, b == 0, j->out, j->out_stride);
    }
}

QS_INLINE void many_tokens(const int T, const struct kind k, const struct tile *j)
{
    struct room *o = j->room;
    for (size_t b = 0; b < j->count; b++) {
        prepare_sums(T, k, j->x, j->x_stride, j->cols, j->at + b, &o->sums[b]);
        block_of_tile(T, k, o->codes[b][0], NULL, NULL, 0, &o->block[b], &o->sums[b], j->x + (j->at + b) * QS_SUPER,
                      j->x_stride, j->at + b == 0, j->out, j->out_stride);
    }
}

/* Super-blocks [at, at + count) of the rows of vector v. */
QS_INLINE void expand(const struct kind k, const struct tile *j, int v)
{
    struct room *o = j->room;
    for (size_t b = 0; b < j->count; b++) {
        const uint8_t *body = body_of(k, j, v, j->at + b), *unit = body + k.scale_words * ROW4;
        qs_pv *to = &o->codes[b][0][v];
        prepare(k, head_of(k, j, v, j->at + b), body, &o->block[b], v);
        for (int u = 0; u < 4; u++, unit += k.unit * ROW4) {
            QS_UNROLL
            for (int n = 0; n < 64 / k.group; n++) {
                QS_UNROLL
                for (int i = 0; i < k.group / 4; i++, to += VECS)
                    *to = k.code(unit, n, i);
            }
        }
    }
}

/* ---- all rows and tokens */

/* All tokens, some at a time; a tile of fewer rows goes by way of memory that has room for all. */
static void tokens_of_rows(const struct qs_panel_job *j, tile_fn *const tiles[TOKENS], struct tile at, size_t r, size_t rows)
{
    float some_rows[TOKENS][ROWS];
    for (size_t t = 0, n; t < j->tokens; t += n) {
        const size_t left = j->tokens - t, parts = (left + TOKENS - 1) / TOKENS;
        float *out = j->out + t * j->out_stride + r;
        n = (left + parts - 1) / parts;
        at.x = j->x + t * j->x_stride;
        at.out = out;
        if (rows == ROWS) {
            tiles[n - 1](&at);
            continue;
        }
        at.out = some_rows[0];
        at.out_stride = ROWS;
        tiles[n - 1](&at);
        for (size_t i = 0; i < n; i++)
            memcpy(out + i * j->out_stride, some_rows[i], rows * sizeof *out);
    }
}

/* Tokens [t, t + n) with the rows of a tile. */
QS_INLINE void many_products(const struct qs_panel_job *j, const struct kind k, tile_fn *const many[TOKENS], struct tile at,
                             size_t r, size_t rows, size_t t, size_t n)
{
    struct room *o = j->local;
    struct qs_panel_job some = *j;
    const size_t blocks = j->cols / QS_SUPER;
    some.x = j->x + t * j->x_stride;
    some.tokens = n;
    some.out = o->out[0];
    at.out_stride = some.out_stride = ROWS;
    for (at.at = 0; at.at < blocks; at.at += PART) {
        at.count = blocks - at.at < PART ? blocks - at.at : PART;
        for (int v = 0; v < VECS; v++)
            expand(k, &at, v);
        tokens_of_rows(&some, many, at, 0, ROWS);
    }
    for (size_t i = 0; i < n; i++)
        memcpy(j->out + (t + i) * j->out_stride + r, o->out[i], rows * sizeof(float));
}

/* All rows of a job with some tokens after the other: their activations stay in the second cache. */
QS_INLINE void super_products(const struct qs_panel_job *j, const struct kind k, tile_fn *const few[TOKENS],
                              tile_fn *const many[TOKENS])
{
    const size_t blocks = j->cols / QS_SUPER, bytes = blocks * (head_bytes(k) + body_bytes(k));
    const size_t step = j->tokens < MANY_FROM ? j->tokens : SUMS;
    for (size_t t = 0; t < j->tokens; t += step)
        for (size_t r = 0; r < j->rows; r += ROWS) {
            const size_t rows = j->rows - r < ROWS ? j->rows - r : ROWS;
            struct tile at = { .lane = r % QS_PANEL_ROWS, .room = j->local, .x_stride = j->x_stride, .cols = j->cols,
                               .count = blocks, .out_stride = j->out_stride };
            for (int v = 0; v < VECS; v++) { /* where there are no rows, the first ones again */
                const size_t row = r + ((size_t)v * QS_PV_LANES < rows ? (size_t)v * QS_PV_LANES : 0);
                at.panel[v] = j->panels + row / QS_PANEL_ROWS * bytes;
            }
            if (j->tokens < MANY_FROM)
                tokens_of_rows(j, few, at, r, rows);
            else
                many_products(j, k, many, at, r, rows, t, j->tokens - t < step ? j->tokens - t : step);
        }
}

/* ---- the types */

#define SUPER_TILE(name, t)                                                                                            \
    static void few_##name##_##t(const struct tile *j) { t == 1 ? one_token(kind_##name, j) : few_tokens(t, kind_##name, j); }                              \
    static void many_##name##_##t(const struct tile *j) { many_tokens(t, kind_##name, j); }
#define SUPER_PRODUCT(name)                                                                                            \
    SUPER_TILE(name, 1) SUPER_TILE(name, 2) SUPER_TILE(name, 3) SUPER_TILE(name, 4) SUPER_TILE(name, 5)                \
    SUPER_TILE(name, 6)                                                                                                \
    static void product_##name(const struct qs_panel_job *j)                                                           \
    {                                                                                                                  \
        static tile_fn *const few[TOKENS] = { few_##name##_1, few_##name##_2, few_##name##_3, few_##name##_4,          \
                                              few_##name##_5, few_##name##_6 };                                        \
        static tile_fn *const many[TOKENS] = { many_##name##_1, many_##name##_2, many_##name##_3, many_##name##_4,     \
                                               many_##name##_5, many_##name##_6 };                                     \
        super_products(j, kind_##name, few, many);                                                                     \
    }
SUPER_PRODUCT(q2_k)
SUPER_PRODUCT(q3_k)
SUPER_PRODUCT(q4_k)
SUPER_PRODUCT(q5_k)
SUPER_PRODUCT(q6_k)
SUPER_PRODUCT(iq4_xs)

/* Writes the entries of these types; `ops` is indexed like qs_format_at(). */
static void panel_super_fill(struct qs_panel_ops *ops)
{
    static const struct {
        int id;
        void (*product)(const struct qs_panel_job *j);
    } all[] = {
        { QS_Q2_K, product_q2_k }, { QS_Q3_K, product_q3_k }, { QS_Q4_K, product_q4_k },
        { QS_Q5_K, product_q5_k }, { QS_Q6_K, product_q6_k }, { QS_IQ4_XS, product_iq4_xs },
    };
    qs_panel_super_layouts(ops);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ops[qs_format_index(all[i].id)].local = super_local;
        ops[qs_format_index(all[i].id)].product = all[i].product;
    }
}

#endif
