/* blocks.h - how every block format lies in a file: one struct per format, each size asserted.
 *
 * Layouts are those of ggml-common.h at llama.cpp 0c1e57098. All integers are little-endian, as in the file; the
 * program runs on little-endian machines only. Structs contain 16-bit fields, so rows of blocks must start at an even
 * address (GGUF aligns tensors to a multiple of 8; readers of other files copy when they must). `d` is always a
 * float16 scale, `m` or `dmin` a float16 minimum, as raw bits (see half.h).
 *
 * A weight index inside a block is called k here; "half" means block/2.
 */
#ifndef QS_KERNELS_BLOCKS_H
#define QS_KERNELS_BLOCKS_H

#include <assert.h>
#include <stdint.h>

#define QS_SUPER 256 /* weights of a super-block (K, IQ and ternary formats) */

#define QS_BLOCK_SIZE_IS(name, bytes) static_assert(sizeof(struct qs_block_##name) == (bytes), "block size of " #name)

/* ---- plain blocks: one scale per 32 (legacy), 64 or 128 (bit formats) weights */

struct qs_block_q4_0 {
    uint16_t d;
    uint8_t qs[16]; /* weight k: low nibble of byte k for k < 16, high nibble of byte k-16 else; minus 8 */
};
QS_BLOCK_SIZE_IS(q4_0, 18);

struct qs_block_q4_1 {
    uint16_t d, m;
    uint8_t qs[16];
};
QS_BLOCK_SIZE_IS(q4_1, 20);

struct qs_block_q5_0 {
    uint16_t d;
    uint8_t qh[4]; /* bit k: fifth bit of weight k */
    uint8_t qs[16];
};
QS_BLOCK_SIZE_IS(q5_0, 22);

struct qs_block_q5_1 {
    uint16_t d, m;
    uint8_t qh[4];
    uint8_t qs[16];
};
QS_BLOCK_SIZE_IS(q5_1, 24);

struct qs_block_q8_0 {
    uint16_t d;
    int8_t qs[32];
};
QS_BLOCK_SIZE_IS(q8_0, 34);

struct qs_block_q8_1 {
    uint16_t d, s; /* s: d * sum of qs */
    int8_t qs[32];
};
QS_BLOCK_SIZE_IS(q8_1, 36);

struct qs_block_q1_0 {
    uint16_t d;
    uint8_t qs[16]; /* bit k: 1 is +d, 0 is -d */
};
QS_BLOCK_SIZE_IS(q1_0, 18);

struct qs_block_q2_0 {
    uint16_t d;
    uint8_t qs[16]; /* weight k: bits 2*(k%4) of byte k/4, minus 1 */
};
QS_BLOCK_SIZE_IS(q2_0, 18);

/* ---- 4-bit floats (E2M1 elements) */

struct qs_block_mxfp4 {
    uint8_t e;      /* E8M0 scale of 32 weights */
    uint8_t qs[16]; /* nibbles as in Q4_0 */
};
QS_BLOCK_SIZE_IS(mxfp4, 17);

struct qs_block_nvfp4 {
    uint8_t d[4];   /* UE4M3 scale of each group of 16 */
    uint8_t qs[32]; /* 8 bytes per group; nibbles as in Q4_0 with half = 8 */
};
QS_BLOCK_SIZE_IS(nvfp4, 36);

/* ---- ternary */

struct qs_block_tq1_0 {
    uint8_t qs[48]; /* five trits per byte, as a fraction of 256 */
    uint8_t qh[4];  /* four trits per byte */
    uint16_t d;
};
QS_BLOCK_SIZE_IS(tq1_0, 54);

struct qs_block_tq2_0 {
    uint8_t qs[64];
    uint16_t d;
};
QS_BLOCK_SIZE_IS(tq2_0, 66);

/* ---- K formats: super-blocks of 256 with two levels of scales */

struct qs_block_q2_k {
    uint8_t scales[16]; /* low nibble scale, high nibble minimum, of each 16 weights */
    uint8_t qs[64];
    uint16_t d, dmin;
};
QS_BLOCK_SIZE_IS(q2_k, 84);

struct qs_block_q3_k {
    uint8_t hmask[32]; /* high bits */
    uint8_t qs[64];    /* low two bits */
    uint8_t scales[12];
    uint16_t d;
};
QS_BLOCK_SIZE_IS(q3_k, 110);

struct qs_block_q4_k {
    uint16_t d, dmin;
    uint8_t scales[12]; /* eight 6-bit scales and eight 6-bit minima */
    uint8_t qs[128];
};
QS_BLOCK_SIZE_IS(q4_k, 144);

struct qs_block_q5_k {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
};
QS_BLOCK_SIZE_IS(q5_k, 176);

struct qs_block_q6_k {
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    uint16_t d;
};
QS_BLOCK_SIZE_IS(q6_k, 210);

struct qs_block_q8_k {
    float d;
    int8_t qs[256];
    int16_t bsums[16]; /* sums of 16 quants */
};
QS_BLOCK_SIZE_IS(q8_k, 292);

/* ---- IQ formats: codebooks */

struct qs_block_iq2_xxs {
    uint16_t d;
    uint16_t qs[32];
};
QS_BLOCK_SIZE_IS(iq2_xxs, 66);

struct qs_block_iq2_xs {
    uint16_t d;
    uint16_t qs[32];
    uint8_t scales[8];
};
QS_BLOCK_SIZE_IS(iq2_xs, 74);

struct qs_block_iq2_s {
    uint16_t d;
    uint8_t qs[64]; /* 32 bytes of grid indices, then 32 bytes of signs */
    uint8_t qh[8];
    uint8_t scales[8];
};
QS_BLOCK_SIZE_IS(iq2_s, 82);

struct qs_block_iq3_xxs {
    uint16_t d;
    uint8_t qs[96]; /* 64 bytes of grid indices, then 8 words of scale and signs */
};
QS_BLOCK_SIZE_IS(iq3_xxs, 98);

struct qs_block_iq3_s {
    uint16_t d;
    uint8_t qs[64];
    uint8_t qh[8];
    uint8_t signs[32];
    uint8_t scales[4];
};
QS_BLOCK_SIZE_IS(iq3_s, 110);

struct qs_block_iq1_s {
    uint16_t d;
    uint8_t qs[32];
    uint16_t qh[8];
};
QS_BLOCK_SIZE_IS(iq1_s, 50);

struct qs_block_iq1_m {
    uint8_t qs[32];    /* grid index, low 8 bits */
    uint8_t qh[16];    /* grid index, high 3 bits, and shift bit, for two groups of 8 */
    uint8_t scales[8]; /* 3-bit scales; the top nibble of each 16-bit word is a piece of the float16 scale */
};
QS_BLOCK_SIZE_IS(iq1_m, 56);

struct qs_block_iq4_nl {
    uint16_t d;
    uint8_t qs[16];
};
QS_BLOCK_SIZE_IS(iq4_nl, 18);

struct qs_block_iq4_xs {
    uint16_t d;
    uint16_t scales_h;
    uint8_t scales_l[4];
    uint8_t qs[128];
};
QS_BLOCK_SIZE_IS(iq4_xs, 136);

#endif
