/* group_internal.h - numbers of group grids as they are stored. */
#ifndef QS_CALIB_GROUP_INTERNAL_H
#define QS_CALIB_GROUP_INTERNAL_H

#include <math.h>
#include "core/calib/group.h"
#include "kernels/half.h"

static inline float qs_group_top(const struct qs_group_grid *g) { return (float)((1u << g->bits) - 1); }

/* A scale as the file has it: never 0, finite. */
static inline float qs_group_scale(const struct qs_group_grid *g, float v)
{
    if (!g->half_scale)
        return v > 0x1p-120f ? v : 0x1p-120f;
    v = qs_f16_to_f32(qs_f32_to_f16(v < 65504 ? v : 65504));
    return v > 0 ? v : 0x1p-24f;
}

static inline float qs_group_zero(const struct qs_group_grid *g, float v, bool whole)
{
    if (g->symmetric)
        return (float)(1u << (g->bits - 1));
    if (whole || !g->float_zero) {
        v = floorf(v + 0.5f);
        v = v > 0 ? v : 0;
        return v < qs_group_top(g) ? v : qs_group_top(g);
    }
    if (!g->half_scale)
        return v;
    v = v < 65504 ? v > -65504 ? v : -65504 : 65504;
    return qs_f16_to_f32(qs_f32_to_f16(v));
}

static inline float qs_group_code(float w, float scale, float zero, float top)
{
    const float t = floorf(w / scale + zero + 0.5f);
    return t > 0 ? t < top ? t : top : 0; /* NaN: 0 */
}

/* From the smallest and largest weight. whole: zeros are rounded to integers. */
void qs_group_range(const struct qs_group_grid *g, float least, float most, bool whole, float *scale, float *zero);
void qs_group_limits(const float *w, size_t n, float *least, float *most);
/* Nearest codes of one group. */
void qs_group_codes(const struct qs_group_grid *g, const float *w, size_t n, float scale, float zero, uint16_t *code);
/* Whether the grid exists and r is of it; weights are finite. */
int qs_group_check(const struct qs_group_grid *g, const struct qs_group_rows *r, const float *w, struct qs_err *e);

#endif
