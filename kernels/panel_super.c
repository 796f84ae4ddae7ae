/* panel_super.c - super-blocks into panels and back, by tables of where the bits of codes lie. Plain C for every level. */
#include "kernels/panel_super.h"

#include <string.h>

/* ---- where codes lie: in blocks.h (words of four bytes), and in a unit of a panel */

const struct qs_panel_super qs_panel_q2_k = {
    sizeof(struct qs_block_q2_k), offsetof(struct qs_block_q2_k, d), offsetof(struct qs_block_q2_k, scales),
    offsetof(struct qs_block_q2_k, qs), 2, 4, 4,
    { { 0, 64, 0, 8, 4, 2, 0, 2, 0 } },
    { { 0, 16, 0, 4, 4, 2, 0, 2, 0 } },
};
const struct qs_panel_super qs_panel_q3_k = { /* hmask, then qs */
    sizeof(struct qs_block_q3_k), offsetof(struct qs_block_q3_k, d), offsetof(struct qs_block_q3_k, scales),
    offsetof(struct qs_block_q3_k, hmask), 1, 3, 6,
    { { 0, 64, 8, 8, 4, 2, 0, 2, 0 }, { 0, 64, 0, 8, 8, 1, 0, 1, 2 } },
    { { 0, 4, 0, 4, 1, 0, 0, 3, 0 }, { 4, 4, 0, 4, 1, 0, 3, 3, 0 }, { 8, 4, 0, 4, 1, 0, 6, 2, 1 },
      { 8, 4, 4, 2, 2, 4, 3, 1, 0 }, { 12, 4, 4, 2, 2, 4, 0, 3, 0 } },
};
const struct qs_panel_super qs_panel_q4_k = {
    sizeof(struct qs_block_q4_k), offsetof(struct qs_block_q4_k, d), offsetof(struct qs_block_q4_k, scales),
    offsetof(struct qs_block_q4_k, qs), 2, 3, 8,
    { { 0, 64, 0, 8, 2, 4, 0, 4, 0 } },
    { { 0, 16, 0, 8, 2, 4, 0, 4, 0 } },
};
const struct qs_panel_super qs_panel_q5_k = { /* qh, then qs */
    sizeof(struct qs_block_q5_k), offsetof(struct qs_block_q5_k, d), offsetof(struct qs_block_q5_k, scales),
    offsetof(struct qs_block_q5_k, qh), 2, 3, 10,
    { { 0, 64, 8, 8, 2, 4, 0, 4, 0 }, { 0, 64, 0, 8, 8, 1, 0, 1, 4 } },
    { { 0, 8, 0, 8, 1, 0, 0, 5, 0 }, { 8, 8, 0, 8, 1, 0, 5, 3, 2 }, { 8, 8, 8, 2, 4, 2, 0, 2, 0 } },
};
const struct qs_panel_super qs_panel_q6_k = { /* ql, then qh */
    sizeof(struct qs_block_q6_k), offsetof(struct qs_block_q6_k, d), offsetof(struct qs_block_q6_k, scales),
    offsetof(struct qs_block_q6_k, ql), 1, 4, 12,
    { { 0, 64, 0, 16, 2, 4, 0, 4, 0 }, { 0, 64, 32, 8, 4, 2, 0, 2, 4 } },
    { { 0, 12, 0, 12, 1, 0, 0, 6, 0 }, { 12, 4, 0, 4, 1, 0, 6, 2, 0 }, { 12, 4, 4, 4, 1, 0, 6, 2, 2 },
      { 12, 4, 8, 4, 1, 0, 6, 2, 4 } },
};
const struct qs_panel_super qs_panel_iq4_xs = {
    sizeof(struct qs_block_iq4_xs), offsetof(struct qs_block_iq4_xs, d), offsetof(struct qs_block_iq4_xs, scales_l),
    offsetof(struct qs_block_iq4_xs, qs), 2, 1, 8,
    { { 0, 64, 0, 4, 2, 4, 0, 4, 0 } },
    { { 0, 16, 0, 4, 2, 4, 0, 4, 0 } },
};

/* ---- words <-> codes; a word of a block follows the one before, in a panel those of the other rows lie between */

#define EVERY_BYTE(bits) (((1u << (bits)) - 1) * 0x01010101u)
enum { CODES = QS_SUPER / 4, UNIT_CODES = 16, PITCH = QS_PANEL_ROWS * sizeof(uint32_t) };

static void read_codes(const uint8_t *at, size_t pitch, const struct qs_panel_run *run, uint32_t *codes)
{
    for (size_t i = 0; i < QS_PANEL_RUNS && run[i].count; i++) {
        const struct qs_panel_run r = run[i];
        uint32_t *c = codes + r.first;
        for (unsigned k = 0; k < r.count; k += r.span) {
            const uint8_t *from = at + (r.word + k / (r.span * r.fields) * r.span) * pitch;
            const unsigned shift = r.shift + k / r.span % r.fields * r.step;
            for (unsigned n = 0; n < r.span; n++, from += pitch) {
                uint32_t w;
                memcpy(&w, from, sizeof w);
                *c++ |= (w >> shift & EVERY_BYTE(r.bits)) << r.code;
            }
        }
    }
}

static void write_codes(uint8_t *at, size_t pitch, const struct qs_panel_run *run, const uint32_t *codes)
{
    for (size_t i = 0; i < QS_PANEL_RUNS && run[i].count; i++) {
        const struct qs_panel_run r = run[i];
        const uint32_t *c = codes + r.first;
        for (unsigned k = 0; k < r.count; k += r.span) {
            uint8_t *to = at + (r.word + k / (r.span * r.fields) * r.span) * pitch;
            const unsigned shift = r.shift + k / r.span % r.fields * r.step;
            for (unsigned n = 0; n < r.span; n++, to += pitch) {
                uint32_t w;
                memcpy(&w, to, sizeof w);
                w |= (*c++ >> r.code & EVERY_BYTE(r.bits)) << shift;
                memcpy(to, &w, sizeof w);
            }
        }
    }
}

/* ---- a super-block of one row; head and body at that row's first bytes */

static void pack_block(const struct qs_panel_super *s, const uint8_t *block, uint8_t *head, uint8_t *body)
{
    uint32_t codes[CODES] = { 0 };
    for (size_t i = 0; i < s->halves; i++)
        memcpy(head + i * PITCH / 2, block + s->d + 2 * i, 2);
    for (size_t i = 0; i < s->scale_words; i++, body += PITCH)
        memcpy(body, block + s->scales + 4 * i, 4);
    read_codes(block + s->codes, 4, s->block_run, codes);
    for (size_t u = 0; u < 4; u++, body += s->unit * PITCH)
        write_codes(body, PITCH, s->unit_run, codes + u * UNIT_CODES);
}

static void unpack_block(const struct qs_panel_super *s, const uint8_t *head, const uint8_t *body, uint8_t *block)
{
    uint32_t codes[CODES] = { 0 };
    memset(block, 0, s->block);
    for (size_t i = 0; i < s->halves; i++)
        memcpy(block + s->d + 2 * i, head + i * PITCH / 2, 2);
    for (size_t i = 0; i < s->scale_words; i++, body += PITCH)
        memcpy(block + s->scales + 4 * i, body, 4);
    for (size_t u = 0; u < 4; u++, body += s->unit * PITCH)
        read_codes(body, PITCH, s->unit_run, codes + u * UNIT_CODES);
    write_codes(block + s->codes, 4, s->block_run, codes);
}

/* ---- panels */

static void pack(const struct qs_panel_super *s, const uint8_t *rows, size_t stride, size_t n, size_t cols, uint8_t *panel)
{
    const size_t blocks = cols / QS_SUPER, head = qs_panel_super_head(s), body = qs_panel_super_body(s);
    memset(panel, 0, blocks * (head + body));
    for (size_t i = 0; i < blocks; i++)
        for (size_t r = 0; r < n; r++)
            pack_block(s, rows + r * stride + i * s->block, panel + i * head + 2 * r, panel + blocks * head + i * body + 4 * r);
}

static void unpack(const struct qs_panel_super *s, const uint8_t *panel, size_t n, size_t cols, uint8_t *rows, size_t stride)
{
    const size_t blocks = cols / QS_SUPER, head = qs_panel_super_head(s), body = qs_panel_super_body(s);
    for (size_t i = 0; i < blocks; i++)
        for (size_t r = 0; r < n; r++)
            unpack_block(s, panel + i * head + 2 * r, panel + blocks * head + i * body + 4 * r,
                         rows + r * stride + i * s->block);
}

#define LAYOUT(name)                                                                                                   \
    static void pack_##name(const uint8_t *rows, size_t stride, size_t n, size_t cols, uint8_t *panel)                 \
    {                                                                                                                  \
        pack(&qs_panel_##name, rows, stride, n, cols, panel);                                                          \
    }                                                                                                                  \
    static void unpack_##name(const uint8_t *panel, size_t n, size_t cols, uint8_t *rows, size_t stride)               \
    {                                                                                                                  \
        unpack(&qs_panel_##name, panel, n, cols, rows, stride);                                                        \
    }
LAYOUT(q2_k)
LAYOUT(q3_k)
LAYOUT(q4_k)
LAYOUT(q5_k)
LAYOUT(q6_k)
LAYOUT(iq4_xs)

void qs_panel_super_layouts(struct qs_panel_ops *ops)
{
#define ENTRY(id, name)                                                                                                \
    ops[qs_format_index(id)].pack = pack_##name;                                                                       \
    ops[qs_format_index(id)].unpack = unpack_##name;
    ENTRY(QS_Q2_K, q2_k)
    ENTRY(QS_Q3_K, q3_k)
    ENTRY(QS_Q4_K, q4_k)
    ENTRY(QS_Q5_K, q5_k)
    ENTRY(QS_Q6_K, q6_k)
    ENTRY(QS_IQ4_XS, iq4_xs)
}
