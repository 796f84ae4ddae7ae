/* limits.c - the loops of limits.h in plain C: what a compiler makes of them without being told of an instruction
 * set.
 */
#include "kernels/limits.h"

enum { WIDE = 64 };

static uint64_t read_words(const uint8_t *p, size_t bytes)
{
    const uint64_t *x = (const uint64_t *)(const void *)p;
    uint64_t sum[8] = { 0 };
    for (size_t i = 0; i < bytes / 8; i += 8)
        for (size_t k = 0; k < 8; k++)
            sum[k] += x[i + k];
    return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

static volatile float kept_float; /* the work must be done */
static volatile int32_t kept_int;

static void multiply_floats(size_t rounds)
{
    float sum[WIDE] = { 0 }, x[WIDE];
    for (size_t i = 0; i < WIDE; i++)
        x[i] = (float)i / WIDE;
    for (size_t r = 0; r < rounds; r++)
        for (size_t i = 0; i < WIDE; i++)
            sum[i] = sum[i] * 0.5f + x[i];
    kept_float = sum[rounds % WIDE];
}

static void multiply_bytes(size_t rounds)
{
    int8_t a[WIDE], b[WIDE];
    int32_t sum = 0;
    for (size_t i = 0; i < WIDE; i++) {
        a[i] = (int8_t)(i * 3);
        b[i] = (int8_t)(7 - i);
    }
    for (size_t r = 0; r < rounds; r++) {
        a[r % WIDE] ^= 1;
        for (size_t i = 0; i < WIDE; i++)
            sum += a[i] * b[i];
        sum &= 0xffff;
    }
    kept_int = sum;
}

static const struct qs_limit_loop loops[] = {
    { QS_LIMIT_READ, "64-bit loads", 0, NULL, read_words },
    { QS_LIMIT_INT8, "plain C", 2 * WIDE, multiply_bytes, NULL },
    { QS_LIMIT_F32, "plain C", 2 * WIDE, multiply_floats, NULL },
};

size_t qs_ref_limits(const struct qs_limit_loop **out)
{
    *out = loops;
    return sizeof loops / sizeof *loops;
}
