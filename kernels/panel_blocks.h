/* panel_blocks.h - panels (panel.h) of the types in blocks of 32: where everything lies.
 *
 * A panel is a run of groups of blocks of its sixteen rows: as many as have 64 bytes of heads (two; Q4_1 and Q5_1: one;
 * MXFP4: four). The last group may have fewer. A group:
 *
 *   heads  of each of its blocks: 16 float16 scales, then, where the type has them, 16 float16 minima. MXFP4: 16 E8M0
 *          scales, a byte each.
 *   codes  of each of its blocks, in vectors of 64 bytes; row r has bytes 4r to 4r + 3 of each.
 *     8 bits:  vector v (of 8), byte j of a row: column 4v + j, plus 128.
 *     5 bits:  first a vector of fifth bits: bit v of byte j is that of column 4v + j. Then as 4 bits.
 *     4 bits:  vector v (of 4), byte j of a row: column 4v + j in the low nibble, 16 + 4v + j in the high one.
 *
 * So a panel is read line by line; its vectors are aligned if cols is a multiple of 64 (MXFP4: of 128).
 */
#ifndef QS_KERNELS_PANEL_BLOCKS_H
#define QS_KERNELS_PANEL_BLOCKS_H

#include "kernels/panel.h"

/* Blocks of a group at block `at` of n, for heads of 1, 2 or 4 bytes. */
static inline size_t qs_panel_group(size_t head, size_t n, size_t at) { return n - at < 4 / head ? n - at : 4 / head; }

/* Of one type; NULL where `id` is not in blocks of 32. */
struct qs_panel_blocks_ways {
    int id;
    void (*pack)(const uint8_t *rows, size_t stride, size_t n, size_t cols, uint8_t *panel);
    void (*unpack)(const uint8_t *panel, size_t n, size_t cols, uint8_t *rows, size_t stride);
};
const struct qs_panel_blocks_ways *qs_panel_blocks_ways(int id);

#endif
