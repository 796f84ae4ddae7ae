/* panel_blocks_x86.h - products of panels of blocks of 32 (panel_blocks.h), written once for the vectors of a level: the file
 * that includes this one has included its panel_vec.h, and defines QS_PANEL_TOKENS, the tokens of a tile.
 *
 * FEW tokens: a panel is taken apart in registers and read once, by all tokens. It is one stream, which the CPU foresees by
 * itself: asking for lines ahead made one token slower (Zen 4: 65 to 90 % of the speed of reading, from 97), and only helps
 * where a line takes long.
 * MANY tokens: pairs of panels are taken apart into local memory, PART blocks at a time, as vectors of 8-bit codes and float
 * scales, which tiles of QS_PANEL_TOKENS tokens then go through; sums between parts lie in the output.
 *
 * Codes are unsigned; what was added to them is taken from the integer sum's start, (added) * -(sum of q).
 */
#include <string.h>

#include "kernels/panel_blocks.h"

enum {
    PANEL_VECS = QS_PANEL_ROWS / QS_PV_LANES, /* vectors that hold a number of each row of a panel */
    PANEL_VEC_BYTES = 4 * QS_PV_LANES,
    PANEL_FEW = 8,                            /* tokens at most */
    PANEL_PAIR = 2,
    PANEL_PART = 64,                          /* blocks: a pair of panels takes half of a first cache */
    PANEL_AHEAD = 4096                        /* bytes from what is used to what is asked for */
};

struct panel_kind { /* of a type; always a constant */
    size_t head, high;   /* bytes of a row's block, of scale and minimum, and of fifth bits */
    bool whole;          /* 8-bit codes */
    bool minima;
    unsigned added;      /* log2 of what was added to codes; 0: nothing */
    const int8_t *table; /* codes are places in it, and less by what is added */
};

QS_INLINE size_t panel_code_bytes(const struct panel_kind k) { return 16 * (k.high + (k.whole ? 32 : 16)); }

/* ---- taking apart */

QS_INLINE qs_pv panel_table(const struct panel_kind k)
{
    return k.table ? qs_pv_add8(qs_pv_table(k.table), qs_pv_all8(1 << k.added)) : qs_pv_zero();
}

/* Fifth bits of vector v, where 4-bit codes want them. */
QS_INLINE qs_pv panel_fifth(qs_pv high, int v)
{
    const qs_pv at = v < 4 ? qs_pv_left16(high, (unsigned)(4 - v)) : qs_pv_right16(high, (unsigned)(v - 4));
    return qs_pv_and(at, qs_pv_all8(16));
}

/* Step v (of 4) takes two vectors of codes apart: their columns, divided by 4. */
QS_INLINE int panel_column(const struct panel_kind k, int v, int i) { return k.whole ? 2 * v + i : v + 4 * i; }

/* The two vectors of step v, of the rows of vector g; memory is read in order. */
QS_INLINE void panel_codes(const struct panel_kind k, const uint8_t *codes, qs_pv table, int v, int g, qs_pv two[2])
{
    if (k.whole) {
        two[0] = qs_pv_load(codes + 128 * v + PANEL_VEC_BYTES * g);
        two[1] = qs_pv_load(codes + 128 * v + 64 + PANEL_VEC_BYTES * g);
        return;
    }
    two[0] = qs_pv_load(codes + 16 * k.high + 64 * v + PANEL_VEC_BYTES * g);
    two[1] = qs_pv_and(qs_pv_right16(two[0], 4), qs_pv_all8(15));
    two[0] = qs_pv_and(two[0], qs_pv_all8(15));
    if (k.high) {
        const qs_pv high = qs_pv_load(codes + PANEL_VEC_BYTES * g);
        two[0] = qs_pv_or(two[0], panel_fifth(high, v));
        two[1] = qs_pv_or(two[1], panel_fifth(high, v + 4));
    }
    if (k.table) {
        two[0] = qs_pv_pick(table, two[0]);
        two[1] = qs_pv_pick(table, two[1]);
    }
}

/* Halves of powers of two, from a byte e each: the bits (e - 1) << 23, or 0x200000 << e where that is less. */
QS_INLINE qs_pf panel_powers(const uint8_t *p)
{
    const qs_pv e = qs_pv_bytes32(p), one = qs_pv_all32(1);
    const qs_pv least = qs_pv_left32(qs_pv_add32(qs_pv_min32(e, one), one), 21);
    return qs_pf_bits(qs_pv_max32(qs_pv_left32(qs_pv_add32(e, qs_pv_all32(-1)), 23), least));
}

QS_INLINE qs_pf panel_scales(const struct panel_kind k, const uint8_t *head, int g)
{
    return k.head == 1 ? panel_powers(head + QS_PV_LANES * g) : qs_pf_halves(head + 2 * QS_PV_LANES * g);
}
QS_INLINE qs_pf panel_minima(const uint8_t *head, int g) { return qs_pf_halves(head + 32 + 2 * QS_PV_LANES * g); }

/* ---- few tokens */

struct panel_few { /* what a panel is multiplied with, and the sums */
    const uint8_t *x; /* first token */
    size_t stride, cols;
    qs_pf a[PANEL_FEW][PANEL_VECS];
};

QS_INLINE const uint8_t *panel_token(const struct panel_few *f, int t) { return f->x + (size_t)t * f->stride; }

QS_INLINE qs_pv panel_start(const struct panel_kind k, const uint8_t *x, size_t cols, size_t b)
{
    return k.added ? qs_pv_left32(qs_pv_all32(qs_q8_minus(x, cols)[b]), k.added) : qs_pv_zero();
}

/* Block b: `few` tokens. */
QS_INLINE void panel_few_block(const struct panel_kind k, int few, struct panel_few *f, size_t b, const uint8_t *head,
                               const uint8_t *codes, qs_pv table)
{
    qs_pv s[PANEL_FEW][PANEL_VECS], w[PANEL_VECS][2];
    QS_UNROLL for (int t = 0; t < few; t++) {
        s[t][0] = panel_start(k, panel_token(f, t), f->cols, b);
        s[t][PANEL_VECS - 1] = s[t][0];
    }
    QS_UNROLL for (int v = 0; v < 4; v++) {
        if (few > 2 && !k.whole)
            qs_p_ahead(codes + 16 * k.high + 64 * v + PANEL_AHEAD);
        QS_UNROLL for (int g = 0; g < PANEL_VECS; g++)
            panel_codes(k, codes, table, v, g, w[g]);
        QS_UNROLL for (int t = 0; t < few; t++) {
            const uint8_t *q = panel_token(f, t) + 32 * b;
            const qs_pv x0 = qs_pv_spread(q + 4 * panel_column(k, v, 0)), x1 = qs_pv_spread(q + 4 * panel_column(k, v, 1));
            QS_UNROLL for (int g = 0; g < PANEL_VECS; g++)
                s[t][g] = qs_pv_dot(qs_pv_dot(s[t][g], w[g][0], x0), w[g][1], x1);
        }
    }
    QS_UNROLL for (int g = 0; g < PANEL_VECS; g++) {
        const qs_pf d = panel_scales(k, head, g);
        QS_UNROLL for (int t = 0; t < few; t++) {
            const uint8_t *x = panel_token(f, t);
            const qs_pf scale = qs_pf_mul(d, qs_pf_all(qs_q8_scales(x, f->cols)[b]));
            f->a[t][g] = qs_pf_fma(scale, qs_pf_from(s[t][g]), f->a[t][g]);
            if (k.minima)
                f->a[t][g] = qs_pf_fma(panel_minima(head, g), qs_pf_all(qs_q8_sums(x, f->cols)[b]), f->a[t][g]);
        }
    }
}

/* One panel. `out` has room for its sixteen rows. */
QS_INLINE void panel_few(const struct panel_kind k, int few, const struct panel_few *of, const uint8_t *panel, float *out,
                         size_t out_stride)
{
    struct panel_few f = *of;
    const size_t n = f.cols / 32, code = panel_code_bytes(k);
    const qs_pv table = panel_table(k);
    QS_UNROLL for (int t = 0; t < few; t++)
        QS_UNROLL for (int g = 0; g < PANEL_VECS; g++)
            f.a[t][g] = qs_pf_zero();
    const uint8_t *head = panel;
    for (size_t b = 0; b < n;) {
        const size_t end = n - b < QS_PANEL_GROUP ? n : b + QS_PANEL_GROUP;
        const uint8_t *codes = head + (end - b) * 16 * k.head;
        for (; b < end; b++, head += 16 * k.head, codes += code)
            panel_few_block(k, few, &f, b, head, codes, table);
        head = codes;
    }
    QS_UNROLL for (int t = 0; t < few; t++)
        QS_UNROLL for (int g = 0; g < PANEL_VECS; g++)
            qs_pf_store(out + (size_t)t * out_stride + QS_PV_LANES * g, f.a[t][g]);
}

/* All panels with 1 to PANEL_FEW tokens. */
QS_INLINE void panel_few_job(const struct panel_kind k, int few, const struct qs_panel_job *j)
{
    const size_t bytes = j->cols / 32 * (16 * k.head + panel_code_bytes(k));
    const struct panel_few f = { .x = j->x, .stride = j->x_stride, .cols = j->cols };
    for (size_t r = 0; r < j->rows; r += QS_PANEL_ROWS) {
        const uint8_t *panel = j->panels + r / QS_PANEL_ROWS * bytes;
        if (j->rows - r >= QS_PANEL_ROWS) {
            panel_few(k, few, &f, panel, j->out + r, j->out_stride);
            continue;
        }
        float out[PANEL_FEW][QS_PANEL_ROWS];
        panel_few(k, few, &f, panel, out[0], QS_PANEL_ROWS);
        for (int t = 0; t < few; t++)
            memcpy(j->out + (size_t)t * j->out_stride + r, out[t], (j->rows - r) * sizeof(float));
    }
}

/* ---- many tokens */

struct panel_room { /* local memory */
    uint8_t codes[PANEL_PAIR][PANEL_PART][8][64]; /* as in a panel of 8 bits */
    float d[PANEL_PAIR][PANEL_PART][QS_PANEL_ROWS], m[PANEL_PAIR][PANEL_PART][QS_PANEL_ROWS];
    /* of the tokens of a tile */
    float dx[QS_PANEL_TOKENS][PANEL_PART], sx[QS_PANEL_TOKENS][PANEL_PART];
    int32_t start[QS_PANEL_TOKENS][PANEL_PART];
};

static size_t panel_local(size_t cols)
{
    (void)cols;
    return sizeof(struct panel_room);
}

/* Blocks [at, at + count) of a panel; at is a multiple of QS_PANEL_GROUP. */
QS_INLINE void panel_expand(const struct panel_kind k, const uint8_t *panel, size_t n, size_t at, size_t count, struct panel_room *o,
                            size_t p)
{
    const size_t code = panel_code_bytes(k);
    const qs_pv table = panel_table(k);
    const uint8_t *head = panel + at * (16 * k.head + code), *codes = head;
    for (size_t i = 0; i < count; i++, head += 16 * k.head, codes += code) {
        if (i % QS_PANEL_GROUP == 0) {
            const size_t left = n - at - i;
            head = codes;
            codes = head + (left < QS_PANEL_GROUP ? left : QS_PANEL_GROUP) * 16 * k.head;
        }
        QS_UNROLL for (int g = 0; g < PANEL_VECS; g++) {
            qs_pf_store(o->d[p][i] + QS_PV_LANES * g, panel_scales(k, head, g));
            if (k.minima)
                qs_pf_store(o->m[p][i] + QS_PV_LANES * g, panel_minima(head, g));
            QS_UNROLL for (int v = 0; v < 4; v++) {
                qs_pv two[2];
                panel_codes(k, codes, table, v, g, two);
                qs_pv_store(o->codes[p][i][panel_column(k, v, 0)] + PANEL_VEC_BYTES * g, two[0]);
                qs_pv_store(o->codes[p][i][panel_column(k, v, 1)] + PANEL_VEC_BYTES * g, two[1]);
            }
        }
    }
}

/* The numbers of tokens that go with blocks, brought together. The arrays of a token are padded to a multiple of 8. */
QS_INLINE void panel_tokens(const struct qs_panel_job *j, const uint8_t *x, int tokens, size_t at, size_t count, unsigned added,
                            struct panel_room *o)
{
    for (int t = 0; t < tokens; t++, x += j->x_stride)
        for (size_t i = 0; i < count; i += 8) {
            const __m256i minus = _mm256_loadu_si256((const __m256i *)(const void *)(qs_q8_minus(x, j->cols) + at + i));
            _mm256_storeu_ps(o->dx[t] + i, _mm256_loadu_ps(qs_q8_scales(x, j->cols) + at + i));
            _mm256_storeu_ps(o->sx[t] + i, _mm256_loadu_ps(qs_q8_sums(x, j->cols) + at + i));
            _mm256_storeu_si256((__m256i *)(void *)(o->start[t] + i),
                                added ? _mm256_sll_epi32(minus, _mm_cvtsi32_si128((int)added)) : _mm256_setzero_si256());
        }
}

struct panel_tile { /* where a tile is */
    const uint8_t *x; /* first token, first column of the part */
    size_t x_stride;
    size_t blocks;
    float *out;
    size_t out_stride;
    bool first; /* part: no sums yet */
};

enum { PANEL_ACROSS = PANEL_PAIR * PANEL_VECS };

/* The steps of dot.h of one block, for the integer sums s. */
QS_INLINE void panel_tile_floats(bool minima, int vecs, int tokens, const struct panel_room *o, size_t b,
                                 qs_pv s[][PANEL_ACROSS], qs_pf a[][PANEL_ACROSS])
{
    QS_UNROLL for (int g = 0; g < vecs; g++) {
        const int p = g / PANEL_VECS, at = g % PANEL_VECS * QS_PV_LANES;
        const qs_pf d = qs_pf_load(o->d[p][b] + at);
        QS_UNROLL for (int t = 0; t < tokens; t++) {
            a[t][g] = qs_pf_fma(qs_pf_mul(d, qs_pf_all(o->dx[t][b])), qs_pf_from(s[t][g]), a[t][g]);
            if (minima)
                a[t][g] = qs_pf_fma(qs_pf_load(o->m[p][b] + at), qs_pf_all(o->sx[t][b]), a[t][g]);
        }
    }
}

/* `tokens` of them with `vecs` vectors of rows through a part. */
QS_INLINE void panel_tile(bool minima, int vecs, int tokens, const struct panel_room *o, const struct panel_tile *at)
{
    qs_pf a[QS_PANEL_TOKENS][PANEL_ACROSS];
    QS_UNROLL for (int t = 0; t < tokens; t++)
        QS_UNROLL for (int g = 0; g < vecs; g++)
            a[t][g] = at->first ? qs_pf_zero() : qs_pf_load(at->out + (size_t)t * at->out_stride + QS_PV_LANES * g);
    for (size_t b = 0; b < at->blocks; b++) {
        qs_pv s[QS_PANEL_TOKENS][PANEL_ACROSS], w[PANEL_ACROSS];
        QS_UNROLL for (int t = 0; t < tokens; t++)
            QS_UNROLL for (int g = 0; g < vecs; g++)
                s[t][g] = qs_pv_all32(o->start[t][b]);
        QS_UNROLL for (int v = 0; v < 8; v++) {
            QS_UNROLL for (int g = 0; g < vecs; g++)
                w[g] = qs_pv_load(o->codes[g / PANEL_VECS][b][v] + g % PANEL_VECS * PANEL_VEC_BYTES);
            QS_UNROLL for (int t = 0; t < tokens; t++) {
                const qs_pv q = qs_pv_spread(at->x + (size_t)t * at->x_stride + 32 * b + 4 * v);
                QS_UNROLL for (int g = 0; g < vecs; g++)
                    s[t][g] = qs_pv_dot(s[t][g], w[g], q);
            }
        }
        panel_tile_floats(minima, vecs, tokens, o, b, s, a);
    }
    QS_UNROLL for (int t = 0; t < tokens; t++)
        QS_UNROLL for (int g = 0; g < vecs; g++)
            qs_pf_store(at->out + (size_t)t * at->out_stride + QS_PV_LANES * g, a[t][g]);
}

typedef void panel_tile_fn(const struct panel_room *o, const struct panel_tile *at);

#define PANEL_TILE(panels, tokens)                                                                                     \
    static void panel_tile_##panels##_##tokens(const struct panel_room *o, const struct panel_tile *at)                \
    {                                                                                                                  \
        panel_tile(false, (panels) * PANEL_VECS, tokens, o, at);                                                       \
    }                                                                                                                  \
    static void panel_tile_##panels##_##tokens##m(const struct panel_room *o, const struct panel_tile *at)             \
    {                                                                                                                  \
        panel_tile(true, (panels) * PANEL_VECS, tokens, o, at);                                                        \
    }
#define PANEL_TILES(tokens) PANEL_TILE(1, tokens) PANEL_TILE(2, tokens)
#define PANEL_TILE_ROW(tokens)                                                                                         \
    {                                                                                                                  \
        { panel_tile_1_##tokens, panel_tile_1_##tokens##m }, { panel_tile_2_##tokens, panel_tile_2_##tokens##m }       \
    }
PANEL_TILES(1)
PANEL_TILES(2)
PANEL_TILES(3)
PANEL_TILES(4)
PANEL_TILES(5)
PANEL_TILES(6)
static panel_tile_fn *const panel_tiles[QS_PANEL_TOKENS][PANEL_PAIR][2] = {
    PANEL_TILE_ROW(1), PANEL_TILE_ROW(2), PANEL_TILE_ROW(3), PANEL_TILE_ROW(4), PANEL_TILE_ROW(5), PANEL_TILE_ROW(6),
};

/* A tile whose panels are not full of rows: by way of memory that has room for all. */
static void panel_tile_some(panel_tile_fn *fn, const struct panel_room *o, struct panel_tile at, int tokens, size_t rows)
{
    float out[QS_PANEL_TOKENS][PANEL_PAIR * QS_PANEL_ROWS] = { { 0 } }, *to = at.out;
    const size_t stride = at.out_stride;
    for (int t = 0; t < tokens && !at.first; t++)
        memcpy(out[t], to + (size_t)t * stride, rows * sizeof(float));
    at.out = out[0];
    at.out_stride = PANEL_PAIR * QS_PANEL_ROWS;
    fn(o, &at);
    for (int t = 0; t < tokens; t++)
        memcpy(to + (size_t)t * stride, out[t], rows * sizeof(float));
}

/* Rows [r, r + rows) with all tokens, blocks [at, at + count), which lie in `o`. */
static void panel_part(const struct qs_panel_job *j, bool minima, unsigned added, size_t r, size_t rows, size_t at, size_t count,
                       struct panel_room *o)
{
    const size_t panels = qs_panel_count(rows);
    for (size_t t = 0; t < j->tokens; t += QS_PANEL_TOKENS) {
        const int some = (int)(j->tokens - t < QS_PANEL_TOKENS ? j->tokens - t : QS_PANEL_TOKENS);
        const uint8_t *x = j->x + t * j->x_stride;
        panel_tile_fn *fn = panel_tiles[some - 1][panels - 1][minima];
        const struct panel_tile tile = {
            x + 32 * at, j->x_stride, count, j->out + t * j->out_stride + r, j->out_stride, at == 0,
        };
        panel_tokens(j, x, some, at, count, added, o);
        if (rows % QS_PANEL_ROWS == 0)
            fn(o, &tile);
        else
            panel_tile_some(fn, o, tile, some, rows);
    }
}

QS_INLINE void panel_many_job(const struct panel_kind k, const struct qs_panel_job *j)
{
    const size_t n = j->cols / 32, bytes = n * (16 * k.head + panel_code_bytes(k)), pair = PANEL_PAIR * QS_PANEL_ROWS;
    struct panel_room *o = j->local;
    for (size_t r = 0; r < j->rows; r += pair) {
        const size_t rows = j->rows - r < pair ? j->rows - r : pair;
        for (size_t at = 0; at < n; at += PANEL_PART) {
            const size_t count = n - at < PANEL_PART ? n - at : PANEL_PART;
            for (size_t p = 0; p < qs_panel_count(rows); p++)
                panel_expand(k, j->panels + (r / QS_PANEL_ROWS + p) * bytes, n, at, count, o, p);
            panel_part(j, k.minima, k.added, r, rows, at, count, o);
        }
    }
}

QS_INLINE void panel_job(const struct panel_kind k, const struct qs_panel_job *j)
{
    switch (j->tokens) {
    case 0: break;
    case 1: panel_few_job(k, 1, j); break;
    case 2: panel_few_job(k, 2, j); break;
    case 3: panel_few_job(k, 3, j); break;
    case 4: panel_few_job(k, 4, j); break;
    case 5: panel_few_job(k, 5, j); break;
    case 6: panel_few_job(k, 6, j); break;
    case 7: panel_few_job(k, 7, j); break;
    case 8: panel_few_job(k, 8, j); break;
    default: panel_many_job(k, j);
    }
}

/* ---- the types */

#define PANEL_PRODUCT(name, ...)                                                                                       \
    static void panel_product_##name(const struct qs_panel_job *j) { panel_job((struct panel_kind){ __VA_ARGS__ }, j); }

PANEL_PRODUCT(q8_0, .head = 2, .whole = true, .added = 7)
PANEL_PRODUCT(q4_0, .head = 2, .added = 3)
PANEL_PRODUCT(q4_1, .head = 4, .minima = true)
PANEL_PRODUCT(q5_0, .head = 2, .high = 4, .added = 4)
PANEL_PRODUCT(q5_1, .head = 4, .high = 4, .minima = true)
PANEL_PRODUCT(iq4_nl, .head = 2, .added = 7, .table = qs_iq4_values)
PANEL_PRODUCT(mxfp4, .head = 1, .added = 4, .table = qs_e2m1)

/* Writes the entries of these types; `ops` is indexed like qs_format_at(). */
static void panel_blocks_fill(struct qs_panel_ops *ops)
{
    static const struct {
        int id;
        void (*product)(const struct qs_panel_job *j);
    } all[] = {
        { QS_Q8_0, panel_product_q8_0 },     { QS_Q4_0, panel_product_q4_0 },   { QS_Q4_1, panel_product_q4_1 },
        { QS_Q5_0, panel_product_q5_0 },     { QS_Q5_1, panel_product_q5_1 },   { QS_IQ4_NL, panel_product_iq4_nl },
        { QS_MXFP4, panel_product_mxfp4 },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const struct qs_panel_blocks_ways *ways = qs_panel_blocks_ways(all[i].id);
        ops[qs_format_by_id(all[i].id) - qs_format_at(0)] =
            (struct qs_panel_ops){ ways->pack, ways->unpack, panel_local, all[i].product };
    }
}
