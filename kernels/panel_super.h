/* panel_super.h - how super-blocks of 256 lie in panels (panel.h): Q2_K to Q6_K and IQ4_XS.
 *
 * A panel of `cols` columns is, for all its sixteen rows:
 *
 *   head   for each super-block in order, 16 x uint16 d; and where the type has a second one (dmin, or the high bits of the
 *          scales of IQ4_XS) 16 x uint16 of that
 *   bodies for each super-block in order
 *            words of scales: four bytes of each row in turn, the bytes as they lie in the block (blocks.h)
 *            four units of 64 columns, each some words of codes
 *
 * A word of codes is 64 bytes: of each row in turn four bytes, which are four consecutive columns. A byte holds bits of
 * several codes. The codes of a unit are sixteen words c[0..15], c[i] columns 4i to 4i+3 of the unit, and words w hold:
 *
 *   Q4_K    8 words  w[i]: 4 bits of c[i], then 4 bits of c[8+i]
 *   IQ4_XS  8 words  w[4k+i]: 4 bits of c[8k+i], then 4 bits of c[8k+4+i] (i < 4)
 *   Q5_K   10 words  w[i]: 5 bits of c[i], then the upper 3 bits of c[8+i];
 *                    w[8+i%2] at bit i/2*2: the lower 2 bits of c[8+i]
 *   Q6_K   12 words  w[i]: 6 bits of c[i], and for i = 4k+j a third of c[12+j], bits 2k and 2k+1
 *   Q2_K    4 words  w[i]: 2 bits each of c[i], c[4+i], c[8+i], c[12+i]
 *   Q3_K    6 words  w[i] (i < 4): 3 bits of c[i], 3 bits of c[4+i], the upper 2 bits of c[8+i];
 *                    w[4+i%2] at bit i/2*4: 3 bits of c[12+i], then the lowest bit of c[8+i]
 *
 * so that a kernel gets most codes by one mask, times a power of two that the scales make good. Codes are those of the file
 * before anything is subtracted; Q3_K's third bit is that of hmask.
 */
#ifndef QS_KERNELS_PANEL_SUPER_H
#define QS_KERNELS_PANEL_SUPER_H

#include "kernels/blocks.h"
#include "kernels/panel.h"

/* Where bits of codes lie: c[first + k], k < count, has `bits` of them from its bit `code` on in word
 * word + k / (span * fields) * span + k % span, at bit shift + k / span % fields * step of each byte. */
struct qs_panel_run {
    uint8_t first, count, word, span, fields, step, shift, bits, code;
};

enum { QS_PANEL_RUNS = 5 /* at most, and one that ends the list */ };

struct qs_panel_super {
    uint16_t block;              /* bytes of a super-block */
    uint16_t d, scales, codes;   /* where they begin in it */
    uint8_t halves;              /* uint16 from d on: 1 or 2 */
    uint8_t scale_words;         /* four bytes each, from `scales` on */
    uint8_t unit;                /* words of a unit */
    struct qs_panel_run block_run[QS_PANEL_RUNS], unit_run[QS_PANEL_RUNS]; /* words from `codes` on; of a unit */
};

/* Bytes: of the head of a panel per super-block, of a body. */
static inline size_t qs_panel_super_head(const struct qs_panel_super *s) { return s->halves * sizeof(uint16_t) * QS_PANEL_ROWS; }
static inline size_t qs_panel_super_body(const struct qs_panel_super *s)
{
    return (s->scale_words + 4u * s->unit) * sizeof(uint32_t) * QS_PANEL_ROWS;
}

extern const struct qs_panel_super qs_panel_q2_k, qs_panel_q3_k, qs_panel_q4_k, qs_panel_q5_k, qs_panel_q6_k;
extern const struct qs_panel_super qs_panel_iq4_xs;

/* pack and unpack of these types, in entries that are indexed like qs_format_at(). */
void qs_panel_super_layouts(struct qs_panel_ops *ops);

#endif
