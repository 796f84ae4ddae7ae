/* panel_blocks_text.h - products of panels of blocks of 32 (panel_blocks.h), written once for the vectors of a level: the file
 * that includes this one has included its panel_vec.h.
 *
 * Panels are taken apart in registers, by up to PANEL_FEW tokens at a time; with more tokens the panel stays in a cache.
 * (Taking it apart into memory, for tiles of 32 rows by 6 tokens, was slower for any number of tokens: 72 % of the peak of
 * vpdpbusd against 76 on Zen 4. The float step of each block alone takes 20.)
 *
 * With one or two tokens a panel is one stream, which the CPU foresees by itself if lines are touched in order (on Zen 4 97 %
 * of the speed of reading; 75 where the compiler took one line early, and 65 to 90 where lines were asked for ahead). Asking
 * helps where each line takes long.
 *
 * Codes are unsigned; what was added to them is taken from the integer sum's start, (added) * -(sum of q). Where dot products
 * want signs (QS_PV_SIGNED), codes that need the eighth bit get theirs back.
 */
#include <string.h>

#include "kernels/panel_blocks.h"

enum {
    PANEL_VECS = QS_PANEL_ROWS / QS_PV_LANES, /* vectors that hold a number of each row of a panel */
    PANEL_VEC_BYTES = 4 * QS_PV_LANES,
    PANEL_FEW = 8,     /* tokens that share what is taken apart, at most */
    PANEL_AHEAD = 4096 /* bytes from what is used to what is asked for */
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

/* log2 of what codes hold too much when they are multiplied; 0: nothing. */
QS_INLINE unsigned panel_added(const struct panel_kind k) { return QS_PV_SIGNED && (k.whole || k.table) ? 0 : k.added; }

QS_INLINE qs_pv panel_table(const struct panel_kind k)
{
    return k.table ? qs_pv_add8(qs_pv_table(k.table), qs_pv_all8(panel_added(k) ? 1 << k.added : 0)) : qs_pv_zero();
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
        for (int i = 0; QS_PV_SIGNED && i < 2; i++)
            two[i] = qs_pv_add8(two[i], qs_pv_all8(128));
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

/* ---- up to PANEL_FEW tokens */

struct panel_few { /* what a panel is multiplied with, and the sums */
    const uint8_t *x; /* first token */
    size_t stride, cols;
    qs_pf a[PANEL_FEW][PANEL_VECS];
};

QS_INLINE const uint8_t *panel_token(const struct panel_few *f, int t) { return f->x + (size_t)t * f->stride; }

QS_INLINE qs_pv panel_start(const struct panel_kind k, const uint8_t *x, size_t cols, size_t b)
{
    return panel_added(k) ? qs_pv_left32(qs_pv_all32(qs_q8_minus(x, cols)[b]), k.added) : qs_pv_zero();
}

/* The steps of dot.h for block b of the rows of vector g, from their integer sums. */
QS_INLINE void panel_floats(const struct panel_kind k, int few, struct panel_few *f, size_t b, const uint8_t *head, int g,
                            const qs_pv *s)
{
    const qs_pf d = panel_scales(k, head, g);
    QS_UNROLL for (int t = 0; t < few; t++) {
        const uint8_t *x = panel_token(f, t);
        f->a[t][g] = qs_pf_fma(qs_pf_mul(d, qs_pf_all(qs_q8_scales(x, f->cols)[b])), qs_pf_from(s[t]), f->a[t][g]);
        if (k.minima)
            f->a[t][g] = qs_pf_fma(panel_minima(head, g), qs_pf_all(qs_q8_sums(x, f->cols)[b]), f->a[t][g]);
    }
}

/* Asks for what step v will read, PANEL_AHEAD bytes later. */
QS_INLINE void panel_ask(const struct panel_kind k, const uint8_t *codes, int v)
{
    const uint8_t *at = codes + PANEL_AHEAD + (k.whole ? 128 * (size_t)v : 16 * k.high + 64 * (size_t)v);
    qs_p_ahead(at);
    if (k.whole)
        qs_p_ahead(at + 64);
}

/* Block b, the rows of vector g. */
QS_INLINE void panel_block(const struct panel_kind k, int few, struct panel_few *f, size_t b, const uint8_t *head,
                           const uint8_t *codes, qs_pv table, int g)
{
    qs_pv s[PANEL_FEW];
    QS_UNROLL for (int t = 0; t < few; t++)
        s[t] = panel_start(k, panel_token(f, t), f->cols, b);
    QS_UNROLL for (int v = 0; v < 4; v++) {
        qs_pv two[2];
        qs_p_in_order();
        if (g == 0 && (k.whole ? few > 6 : few > 2))
            panel_ask(k, codes, v);
        panel_codes(k, codes, table, v, g, two);
        QS_UNROLL for (int t = 0; t < few; t++) {
            const uint8_t *q = panel_token(f, t) + 32 * b;
            s[t] = qs_pv_dot_four(s[t], two[0], q, panel_column(k, v, 0));
            s[t] = qs_pv_dot_four(s[t], two[1], q, panel_column(k, v, 1));
        }
    }
    panel_floats(k, few, f, b, head, g, s);
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
        const size_t end = b + qs_panel_group(k.head, n, b);
        const uint8_t *codes = head + (end - b) * 16 * k.head;
        for (; b < end; b++, head += 16 * k.head, codes += code)
            QS_UNROLL for (int g = 0; g < PANEL_VECS; g++)
                panel_block(k, few, &f, b, head, codes, table, g);
        head = codes;
    }
    QS_UNROLL for (int t = 0; t < few; t++)
        QS_UNROLL for (int g = 0; g < PANEL_VECS; g++)
            qs_pf_store(out + (size_t)t * out_stride + QS_PV_LANES * g, f.a[t][g]);
}

/* `few` is 1 to PANEL_FEW. */
QS_INLINE void panel_few_any(const struct panel_kind k, size_t few, const struct panel_few *f, const uint8_t *panel, float *out,
                             size_t out_stride)
{
    switch (few) {
    case 1: panel_few(k, 1, f, panel, out, out_stride); break;
    case 2: panel_few(k, 2, f, panel, out, out_stride); break;
    case 3: panel_few(k, 3, f, panel, out, out_stride); break;
    case 4: panel_few(k, 4, f, panel, out, out_stride); break;
    case 5: panel_few(k, 5, f, panel, out, out_stride); break;
    case 6: panel_few(k, 6, f, panel, out, out_stride); break;
    case 7: panel_few(k, 7, f, panel, out, out_stride); break;
    default: panel_few(k, PANEL_FEW, f, panel, out, out_stride);
    }
}

/* Each panel with all tokens, up to PANEL_FEW at a time. */
QS_INLINE void panel_job(const struct panel_kind k, const struct qs_panel_job *j)
{
    const size_t bytes = j->cols / 32 * (16 * k.head + panel_code_bytes(k));
    for (size_t r = 0; r < j->rows; r += QS_PANEL_ROWS) {
        const uint8_t *panel = j->panels + r / QS_PANEL_ROWS * bytes;
        for (size_t t = 0, few; t < j->tokens; t += few) {
            const size_t left = j->tokens - t, times = (left + PANEL_FEW - 1) / PANEL_FEW;
            const struct panel_few f = { .x = j->x + t * j->x_stride, .stride = j->x_stride, .cols = j->cols };
            float *to = j->out + t * j->out_stride + r, out[PANEL_FEW][QS_PANEL_ROWS];
            const bool all = j->rows - r >= QS_PANEL_ROWS;
            few = (left + times - 1) / times;
            panel_few_any(k, few, &f, panel, all ? to : out[0], all ? j->out_stride : QS_PANEL_ROWS);
            for (size_t i = 0; i < few && !all; i++)
                memcpy(to + i * j->out_stride, out[i], (j->rows - r) * sizeof(float));
        }
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
        ops[qs_format_index(all[i].id)] =
            (struct qs_panel_ops){ ways->pack, ways->unpack, NULL, all[i].product };
    }
}
