/* golden_input.h - the inputs of the format goldens, made the same by the tests and by the program that makes goldens.
 *
 * Everything comes from splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014) and exact
 * or singly rounded float operations without libm, so every compiler gives the same bits under -ffp-contract=off.
 */
#ifndef QS_TESTS_KERNELS_GOLDEN_INPUT_H
#define QS_TESTS_KERNELS_GOLDEN_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { GOLDEN_COLS = 512, GOLDEN_KINDS = 12, GOLDEN_SETS = 2, GOLDEN_ROWS = GOLDEN_KINDS * GOLDEN_SETS };

static inline uint64_t golden_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Uniform in [0, 1), a multiple of 2^-24. */
static inline float golden_uniform(uint64_t *state) { return (float)(golden_next(state) >> 40) * 0x1p-24f; }

/* Mean 0, variance 1, bell-shaped, |x| <= 6: twelve uniforms added as integers. */
static inline float golden_bell(uint64_t *state)
{
    int64_t sum = 0;
    for (int i = 0; i < 12; i++)
        sum += (int64_t)(golden_next(state) >> 44);
    return (float)(sum - 6 * (1 << 20)) * 0x1p-20f;
}

/* One weight of a row of the given kind at column c. */
static inline float golden_weight(int kind, size_t c, uint64_t *s)
{
    float g = golden_bell(s), u = golden_uniform(s);
    switch (kind) {
    case 0: return g * 0.02f;
    case 1: return g * g * g * 0.01f;                                  /* heavy tails */
    case 2: return c % 61 == 7 ? g * 1.5f : g * 0.02f;                 /* outliers */
    case 3: return c < 256 + 96 && c >= 64 ? 0.0f : u < 0.6f ? 0.0f : g * 0.1f; /* zeros, whole blocks of them */
    case 4: return (float)((int)(c / 64) - 4) * 0.25f + (c % 128 == 5 ? 0.125f : 0.0f); /* constant groups */
    case 5: return 0.5f + u;                                           /* all positive */
    case 6: return -0.3f - 0.01f * u;                                  /* all negative, narrow */
    case 7: return c < 256 ? g * 1e-7f : g * 1e-20f;                   /* tiny */
    case 8: return (float)((int)(golden_next(s) % 33) - 16) * 0.125f;  /* many equal values and ties */
    case 9: return g * 1000.0f;                                        /* large */
    case 10: return (float)((int)(golden_next(s) % 3) - 1) * 0.75f;    /* ternary */
    default: return (c % 2 ? -u : u) * (c % 256 < 16 ? 8.0f : 0.03125f); /* groups of very different size */
    }
}

static inline void golden_row(int row, float *x)
{
    uint64_t s = 1000 + (uint64_t)row;
    for (size_t c = 0; c < GOLDEN_COLS; c++)
        x[c] = golden_weight(row % GOLDEN_KINDS, c, &s);
}

/* Importance of the columns for a row: positive, of wide range; now and then zero, and a block of zeros in some rows. */
static inline void golden_importance(int row, float *w)
{
    uint64_t s = 77000 + (uint64_t)row;
    for (size_t c = 0; c < GOLDEN_COLS; c++) {
        float g = golden_bell(&s), u = golden_uniform(&s);
        w[c] = row % 3 == 2 && (c / 32 == 3 || u < 0.1f) ? 0.0f : (g * g + 0.01f) * (c % 37 == 0 ? 30.0f : 1.0f);
    }
}

static inline void golden_random_bytes(uint64_t seed, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(golden_next(&seed) >> 56);
}

/* FNV-1a, 64 bits. */
static inline uint64_t golden_hash(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* The same over floats, all NaN taken as one (their sign and payload are nobody's promise). */
static inline uint64_t golden_hash_floats(const float *x, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &x[i], 4);
        if ((u & 0x7fffffff) > 0x7f800000)
            u = 0x7fc00000;
        for (int k = 0; k < 32; k += 8)
            h = (h ^ (u >> k & 255)) * 0x100000001b3u;
    }
    return h;
}

/* The file: 8 bytes "QSGOLD1\n", then records, little-endian, until the end:
 *     u16 type; u8 row; u8 what (0 unweighted, 1 weighted, 2 decoding of GOLDEN_RANDOM_BLOCKS random blocks);
 *     u32 bytes that follow the record (0: only hashes); u64 hash of the encoded row; u64 hash of the decoded row. */
#define GOLDEN_MAGIC "QSGOLD1\n"
enum { GOLDEN_RANDOM_BLOCKS = 64 };
struct golden_record {
    uint16_t type;
    uint8_t row, what;
    uint32_t bytes;
    uint64_t encoded, decoded;
};

#endif
