/* panel_blocks.c - rows of the types in blocks of 32 to panels (panel_blocks.h) and back: plain C, the same on every level.
 *
 * A block is a head of 1, 2 or 4 bytes, four bytes of fifth bits or none, and four or eight words of codes; only the
 * fifth bits and the sign of 8-bit codes change on the way. No state, no allocation; any bits are accepted.
 */
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/panel_blocks.h"

#define ALWAYS static inline __attribute__((always_inline))

enum { R = QS_PANEL_ROWS };

/* What a block consists of, in this order, in bytes. */
struct shape {
    size_t head, high, codes;
    uint32_t flip; /* of each word of codes */
};

static const struct shape shape_8 = { 2, 0, 32, 0x80808080 }, shape_4 = { 2, 0, 16, 0 }, shape_4m = { 4, 0, 16, 0 };
static const struct shape shape_5 = { 2, 4, 16, 0 }, shape_5m = { 4, 4, 16, 0 }, shape_e = { 1, 0, 16, 0 };

static_assert(sizeof(struct qs_block_q8_0) == 34 && sizeof(struct qs_block_q4_0) == 18, "shapes");
static_assert(sizeof(struct qs_block_q4_1) == 20 && sizeof(struct qs_block_q5_0) == 22, "shapes");
static_assert(sizeof(struct qs_block_q5_1) == 24 && sizeof(struct qs_block_mxfp4) == 17, "shapes");
static_assert(sizeof(struct qs_block_iq4_nl) == 18, "shapes");

ALWAYS size_t block_bytes(const struct shape s) { return s.head + s.high + s.codes; }

/* Exchanges the bits of `mask` with those `by` above. */
ALWAYS uint32_t exchange(uint32_t x, uint32_t mask, int by)
{
    const uint32_t t = (x >> by ^ x) & mask;
    return x ^ t ^ t << by;
}

/* Bit 4v + j to bit 8j + v, and back: numbers of bits v2 v1 v0 j1 j0 become j1 j0 v2 v1 v0 by exchanges of two digits. */
ALWAYS uint32_t spread(uint32_t x)
{
    x = exchange(x, 0x00aa00aa, 7);  /* digits 3, 0:  v2 j0 v0 j1 v1 */
    x = exchange(x, 0x0000cccc, 14); /* digits 4, 1:  j1 j0 v0 v2 v1 */
    x = exchange(x, 0x0a0a0a0a, 3);  /* digits 2, 0:  j1 j0 v1 v2 v0 */
    return exchange(x, 0x0c0c0c0c, 2); /* digits 2, 1:  j1 j0 v2 v1 v0 */
}
ALWAYS uint32_t gather(uint32_t x)
{
    x = exchange(x, 0x0c0c0c0c, 2);
    x = exchange(x, 0x0a0a0a0a, 3);
    x = exchange(x, 0x0000cccc, 14);
    return exchange(x, 0x00aa00aa, 7);
}

/* One block of one row, from b to the places of row r: in `head` (planes of 16 items) and `codes` (vectors). */
ALWAYS void pack_block(const struct shape s, const uint8_t *b, size_t r, uint8_t *head, uint8_t *codes)
{
    const size_t item = s.head == 1 ? 1 : 2;
    uint32_t w;
    for (size_t i = 0; i < s.head / item; i++)
        memcpy(head + (i * R + r) * item, b + i * item, item);
    if (s.high) {
        memcpy(&w, b + s.head, 4);
        w = spread(w);
        memcpy(codes + 4 * r, &w, 4);
    }
    for (size_t v = 0; v < s.codes / 4; v++) {
        memcpy(&w, b + s.head + s.high + 4 * v, 4);
        w ^= s.flip;
        memcpy(codes + R * s.high + v * 4 * R + 4 * r, &w, 4);
    }
}

ALWAYS void unpack_block(const struct shape s, const uint8_t *head, const uint8_t *codes, size_t r, uint8_t *b)
{
    const size_t item = s.head == 1 ? 1 : 2;
    uint32_t w;
    for (size_t i = 0; i < s.head / item; i++)
        memcpy(b + i * item, head + (i * R + r) * item, item);
    if (s.high) {
        memcpy(&w, codes + 4 * r, 4);
        w = gather(w);
        memcpy(b + s.head, &w, 4);
    }
    for (size_t v = 0; v < s.codes / 4; v++) {
        memcpy(&w, codes + R * s.high + v * 4 * R + 4 * r, 4);
        w ^= s.flip;
        memcpy(b + s.head + s.high + 4 * v, &w, 4);
    }
}

ALWAYS void pack(const struct shape s, const uint8_t *rows, size_t stride, size_t count, size_t cols, uint8_t *panel)
{
    static const uint8_t zeros[36];
    const size_t n = cols / 32, bytes = block_bytes(s);
    for (size_t at = 0, some; at < n; at += some) {
        some = qs_panel_group(s.head, n, at);
        uint8_t *head = panel + at * R * bytes, *codes = head + some * R * s.head;
        for (size_t i = 0; i < some; i++)
            for (size_t r = 0; r < R; r++)
                pack_block(s, r < count ? rows + r * stride + (at + i) * bytes : zeros, r, head + i * R * s.head,
                           codes + i * R * (s.high + s.codes));
    }
}

ALWAYS void unpack(const struct shape s, const uint8_t *panel, size_t count, size_t cols, uint8_t *rows, size_t stride)
{
    const size_t n = cols / 32, bytes = block_bytes(s);
    for (size_t at = 0, some; at < n; at += some) {
        some = qs_panel_group(s.head, n, at);
        const uint8_t *head = panel + at * R * bytes, *codes = head + some * R * s.head;
        for (size_t i = 0; i < some; i++)
            for (size_t r = 0; r < count; r++)
                unpack_block(s, head + i * R * s.head, codes + i * R * (s.high + s.codes), r,
                             rows + r * stride + (at + i) * bytes);
    }
}

#define WAYS(shape)                                                                                                    \
    static void pack_##shape(const uint8_t *rows, size_t stride, size_t n, size_t cols, uint8_t *panel)                \
    {                                                                                                                  \
        pack(shape_##shape, rows, stride, n, cols, panel);                                                             \
    }                                                                                                                  \
    static void unpack_##shape(const uint8_t *panel, size_t n, size_t cols, uint8_t *rows, size_t stride)              \
    {                                                                                                                  \
        unpack(shape_##shape, panel, n, cols, rows, stride);                                                           \
    }
WAYS(8)
WAYS(4)
WAYS(4m)
WAYS(5)
WAYS(5m)
WAYS(e)

const struct qs_panel_blocks_ways *qs_panel_blocks_ways(int id)
{
    static const struct qs_panel_blocks_ways all[] = {
        { QS_Q8_0, pack_8, unpack_8 },    { QS_Q4_0, pack_4, unpack_4 },   { QS_Q4_1, pack_4m, unpack_4m },
        { QS_Q5_0, pack_5, unpack_5 },    { QS_Q5_1, pack_5m, unpack_5m }, { QS_IQ4_NL, pack_4, unpack_4 },
        { QS_MXFP4, pack_e, unpack_e },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].id == id)
            return &all[i];
    return NULL;
}
