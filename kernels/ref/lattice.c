/* lattice.c - grids of the formats with one code per weight, as numbers and back.
 *
 * Owns the levels of every such format, and how its grid (grids.h) reads as d, dmin and small integers. `spread` and
 * `gather` follow from that in one way for all. Refuses nothing: grids of any bits read as some numbers. No state.
 */
#include "kernels/lattice.h"

#include <math.h>
#include <stddef.h>

#include "kernels/half.h"
#include "kernels/ref/blockwise.h"
#include "kernels/ref/fp4.h"
#include "kernels/ref/grids.h"
#include "kernels/ref/lattice_search.h"
#include "kernels/ref/tables_iq.h"

typedef struct qs_lattice_super super;

/* ---- stored scales */

static float largest_half(float d) { return d > 65504 ? 65504 : d < -65504 ? -65504 : d; }
static uint16_t half_of(float d) { return qs_f16_scale(largest_half(d)); }
static float as_half(float d) { return qs_f16_to_f32(half_of(d)); }

/* The power of two nearest to d as MXFP4 stores it. */
static uint8_t e8m0_of(float d)
{
    int lo = 0, hi = 254;
    while (lo < hi) {
        const int mid = (lo + hi) / 2;
        const double middle = ((double)qs_e8m0_half((uint8_t)mid) + (double)qs_e8m0_half((uint8_t)(mid + 1))) / 2;
        if ((double)d < middle)
            hi = mid;
        else
            lo = mid + 1;
    }
    return (uint8_t)lo;
}

static float as_e8m0(float d) { return qs_e8m0_half(e8m0_of(d)); }

static float ue4m3_value(uint8_t v)
{
    const int exp = v >> 3 & 15, man = v & 7;
    if (v == 0x7f)
        return 0;
    return exp ? ldexpf((float)(8 + man), exp - 11) : (float)man * 0x1p-10f;
}

static uint8_t ue4m3_of(float d)
{
    int best = 0;
    for (int v = 1; v < 0x7f; v++)
        if (fabsf(ue4m3_value((uint8_t)v) - d) < fabsf(ue4m3_value((uint8_t)best) - d))
            best = v;
    return (uint8_t)best;
}

static float as_ue4m3(float d) { return ue4m3_value(ue4m3_of(d)); }

/* ---- reading and writing one super-block */

#define OWN_SCALE(name)                                                                                                \
    static void take_##name(const void *grid, size_t i, super *s)                                                      \
    {                                                                                                                  \
        const struct qs_grid_##name *g = (const struct qs_grid_##name *)grid + i;                                      \
        *s = (super){ .d = qs_f16_to_f32(g->d), .scale = { 1 }, .min = { 1 } };                                        \
    }                                                                                                                  \
    static void put_##name(const super *s, void *grid, size_t i)                                                       \
    {                                                                                                                  \
        ((struct qs_grid_##name *)grid)[i] = (struct qs_grid_##name){ .d = half_of(s->d) };                            \
    }

#define OWN_SCALE_AND_MIN(name)                                                                                        \
    static void take_##name(const void *grid, size_t i, super *s)                                                      \
    {                                                                                                                  \
        const struct qs_grid_##name *g = (const struct qs_grid_##name *)grid + i;                                      \
        *s = (super){ .d = qs_f16_to_f32(g->d), .dmin = -qs_f16_to_f32(g->m), .scale = { 1 }, .min = { 1 } };          \
    }                                                                                                                  \
    static void put_##name(const super *s, void *grid, size_t i)                                                       \
    {                                                                                                                  \
        ((struct qs_grid_##name *)grid)[i] = (struct qs_grid_##name){ .d = half_of(s->d), .m = half_of(-s->dmin) };    \
    }

OWN_SCALE(q4_0)
OWN_SCALE(q5_0)
OWN_SCALE(q8_0)
OWN_SCALE(tq1_0)
OWN_SCALE(tq2_0)
OWN_SCALE(q1_0)
OWN_SCALE(q2_0)
OWN_SCALE(iq4_nl)
OWN_SCALE_AND_MIN(q4_1)
OWN_SCALE_AND_MIN(q5_1)

static void take_mxfp4(const void *grid, size_t i, super *s)
{
    *s = (super){ .d = qs_e8m0_half(((const struct qs_grid_mxfp4 *)grid)[i].e), .scale = { 1 }, .min = { 1 } };
}

static void put_mxfp4(const super *s, void *grid, size_t i)
{
    ((struct qs_grid_mxfp4 *)grid)[i] = (struct qs_grid_mxfp4){ .e = e8m0_of(s->d) };
}

static void take_nvfp4(const void *grid, size_t i, super *s)
{
    const struct qs_grid_nvfp4 *g = grid;
    *s = (super){ .d = ue4m3_value(g[i / 4].d[i % 4]), .scale = { 1 }, .min = { 1 } };
}

static void put_nvfp4(const super *s, void *grid, size_t i)
{
    ((struct qs_grid_nvfp4 *)grid)[i / 4].d[i % 4] = ue4m3_of(s->d);
}

#define AFFINE_SUPER(name, type, n)                                                                                    \
    static void take_##name(const void *grid, size_t i, super *s)                                                      \
    {                                                                                                                  \
        const type *g = (const type *)grid + i;                                                                        \
        *s = (super){ .d = qs_f16_to_f32(g->d), .dmin = qs_f16_to_f32(g->dmin) };                                      \
        for (int j = 0; j < (n); j++) {                                                                                \
            s->scale[j] = g->scale[j];                                                                                 \
            s->min[j] = g->min[j];                                                                                     \
        }                                                                                                              \
    }                                                                                                                  \
    static void put_##name(const super *s, void *grid, size_t i)                                                       \
    {                                                                                                                  \
        type *g = (type *)grid + i;                                                                                    \
        *g = (type){ .d = half_of(s->d), .dmin = half_of(s->dmin) };                                                   \
        for (int j = 0; j < (n); j++) {                                                                                \
            g->scale[j] = (uint8_t)s->scale[j];                                                                        \
            g->min[j] = (uint8_t)s->min[j];                                                                            \
        }                                                                                                              \
    }

AFFINE_SUPER(q2_k, struct qs_grid_q2_k, 16)
AFFINE_SUPER(k8, struct qs_grid_k8, 8)

#define SYMMETRIC_SUPER(name, type, n, cast, bias)                                                                     \
    static void take_##name(const void *grid, size_t i, super *s)                                                      \
    {                                                                                                                  \
        const type *g = (const type *)grid + i;                                                                        \
        *s = (super){ .d = qs_f16_to_f32(g->d) };                                                                      \
        for (int j = 0; j < (n); j++)                                                                                  \
            s->scale[j] = (int16_t)(g->scale[j] - (bias));                                                             \
    }                                                                                                                  \
    static void put_##name(const super *s, void *grid, size_t i)                                                       \
    {                                                                                                                  \
        type *g = (type *)grid + i;                                                                                    \
        *g = (type){ .d = half_of(s->d) };                                                                             \
        for (int j = 0; j < (n); j++)                                                                                  \
            g->scale[j] = (cast)(s->scale[j] + (bias));                                                                \
    }

SYMMETRIC_SUPER(k16, struct qs_grid_k16, 16, int8_t, 0)
SYMMETRIC_SUPER(iq4_xs, struct qs_grid_iq4_xs, 8, uint8_t, 32)

/* ---- the lattices */

#define L4(n) (n), (n) + 1, (n) + 2, (n) + 3
#define L16(n) L4(n), L4((n) + 4), L4((n) + 8), L4((n) + 12)
#define L64(n) L16(n), L16((n) + 16), L16((n) + 32), L16((n) + 48)
static const float bytes[256] = { L64(-128), L64(-64), L64(0), L64(64) }; /* any run of integers is a part of it */
static const float uneven[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
static const float e2m1[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };
static const float sign[2] = { -1, 1 };

static void spread(const struct qs_lattice *l, const void *grid, size_t rows, size_t cols, float *scale, float *offset)
{
    const size_t n = (size_t)l->super / l->sub, supers = rows * (cols / l->super);
    for (size_t i = 0; i < supers; i++) {
        super s;
        l->take(grid, i, &s);
        for (size_t j = 0; j < n; j++) {
            *scale++ = s.d * (float)s.scale[j];
            *offset++ = l->offset ? -(s.dmin * (float)s.min[j]) : -0.0f;
        }
    }
}

static void gather(const struct qs_lattice *l, float (*stored)(float), const float *scale, const float *offset,
                   const float *weight, size_t rows, size_t cols, void *grid)
{
    const size_t n = (size_t)l->super / l->sub, supers = rows * (cols / l->super);
    struct qs_scales_store how = { (int)n, l->scale_lo, l->scale_hi, l->scale_negative, stored };
    struct qs_scales_store minima = { (int)n, l->scale_lo, l->scale_hi, !l->offset_negative, stored };
    float minus[16];
    for (size_t i = 0; i < supers; i++, scale += n, offset += n, weight += weight ? n : 0) {
        super s = { 0 };
        s.d = qs_scales_search(&how, scale, weight, s.scale);
        for (size_t j = 0; l->offset && j < n; j++)
            minus[j] = l->offset_negative && offset[j] > 0 ? 0 : -offset[j];
        if (l->offset)
            s.dmin = qs_scales_search(&minima, minus, weight, s.min);
        l->put(&s, grid, i);
    }
}

#define DECLARE(name, stored)                                                                                          \
    static void spread_##name(const void *grid, size_t rows, size_t cols, float *scale, float *offset);                \
    static void gather_##name(const float *scale, const float *offset, const float *weight, size_t rows, size_t cols,  \
                              void *grid);
#define DEFINE(name, stored)                                                                                           \
    static void spread_##name(const void *grid, size_t rows, size_t cols, float *scale, float *offset)                 \
    {                                                                                                                  \
        spread(&lattice_##name, grid, rows, cols, scale, offset);                                                      \
    }                                                                                                                  \
    static void gather_##name(const float *scale, const float *offset, const float *weight, size_t rows, size_t cols,  \
                              void *grid)                                                                              \
    {                                                                                                                  \
        gather(&lattice_##name, stored, scale, offset, weight, rows, cols, grid);                                      \
    }
#define LATTICE(name, upper, sub_, super_, levels_, level_, kind, lo, hi, ...)                                         \
    static const struct qs_lattice lattice_##name = { .type = QS_##upper, .sub = (sub_), .super = (super_),            \
        .n_levels = (levels_), .level = (level_), .scale_lo = (lo), .scale_hi = (hi), .spread = spread_##name,         \
        .gather = gather_##name, .take = take_##kind, .put = put_##kind, __VA_ARGS__ };
#define ALL(X)                                                                                                         \
    X(q4_0, as_half) X(q4_1, as_half) X(q5_0, as_half) X(q5_1, as_half) X(q8_0, as_half) X(q2_k, as_half)              \
    X(q3_k, as_half) X(q4_k, as_half) X(q5_k, as_half) X(q6_k, as_half) X(iq4_nl, as_half) X(iq4_xs, as_half)          \
    X(tq1_0, as_half) X(tq2_0, as_half) X(mxfp4, as_e8m0) X(nvfp4, as_ue4m3) X(q1_0, as_half) X(q2_0, as_half)

ALL(DECLARE)
LATTICE(q4_0, Q4_0, 32, 32, 16, bytes + 120, q4_0, 1, 1, .scale_negative = true)
LATTICE(q4_1, Q4_1, 32, 32, 16, bytes + 128, q4_1, 1, 1, .offset = true, .scale_negative = true)
LATTICE(q5_0, Q5_0, 32, 32, 32, bytes + 112, q5_0, 1, 1, .scale_negative = true)
LATTICE(q5_1, Q5_1, 32, 32, 32, bytes + 128, q5_1, 1, 1, .offset = true, .scale_negative = true)
LATTICE(q8_0, Q8_0, 32, 32, 256, bytes, q8_0, 1, 1, .scale_negative = true)
LATTICE(q2_k, Q2_K, 16, 256, 4, bytes + 128, q2_k, 0, 15, .offset = true, .offset_negative = true)
LATTICE(q3_k, Q3_K, 16, 256, 8, bytes + 124, k16, -32, 31, .scale_negative = true)
LATTICE(q4_k, Q4_K, 32, 256, 16, bytes + 128, k8, 0, 63, .offset = true, .offset_negative = true)
LATTICE(q5_k, Q5_K, 32, 256, 32, bytes + 128, k8, 0, 63, .offset = true, .offset_negative = true)
LATTICE(q6_k, Q6_K, 16, 256, 64, bytes + 96, k16, -128, 127, .scale_negative = true)
LATTICE(iq4_nl, IQ4_NL, 32, 32, 16, uneven, iq4_nl, 1, 1, .scale_negative = true)
LATTICE(iq4_xs, IQ4_XS, 32, 256, 16, uneven, iq4_xs, -32, 31, .scale_negative = true)
LATTICE(tq1_0, TQ1_0, 256, 256, 3, bytes + 127, tq1_0, 1, 1, .scale_negative = true)
LATTICE(tq2_0, TQ2_0, 256, 256, 3, bytes + 127, tq2_0, 1, 1, .scale_negative = true)
LATTICE(mxfp4, MXFP4, 32, 32, 16, e2m1, mxfp4, 1, 1, .offset = false)
LATTICE(nvfp4, NVFP4, 16, 16, 16, e2m1, nvfp4, 1, 1, .offset = false)
LATTICE(q1_0, Q1_0, 128, 128, 2, sign, q1_0, 1, 1, .scale_negative = true)
LATTICE(q2_0, Q2_0, 64, 64, 4, bytes + 127, q2_0, 1, 1, .scale_negative = true)
ALL(DEFINE)

const struct qs_lattice *qs_lattice_of(int type)
{
#define ROW(name, stored) &lattice_##name,
    static const struct qs_lattice *const all[] = { ALL(ROW) };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->type == type)
            return all[i];
    return NULL;
}
