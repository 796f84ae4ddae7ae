/* iq_search.c - codebooks with their neighbour lists, and the search for scale and points that IQ2 and IQ3 share.
 *
 * Owns the lists: static memory, filled once under pthread_once and read-only from then on, so every function here is
 * pure for its callers. The lists are kept, rather than an exact search over the whole codebook, because the reference
 * looks at the nearest shells of a *rounded* group only, and its choice depends on that; the order inside a list
 * (distance, then place) decides ties.
 */
#include "kernels/ref/iq_search.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "kernels/half.h"
#include "kernels/ref/search.h"
#include "kernels/ref/tables_iq.h"

/* ---------------------------------------------------------------------------------------------- codebooks */

enum {
    RANKS8 = 6561, RANKS4 = 4096, /* combinations of levels: 3^8 and 8^4 */
    /* what the lists take, found by building them (the test compares with list_used) */
    ROOM_IQ2_XXS = 135360, ROOM_IQ2_XS = 203376, ROOM_IQ2_S = 69064, ROOM_IQ1 = 343304, ROOM_IQ3_XXS = 34304,
    ROOM_IQ3_S = 36456
};

const uint8_t qs_iq_rank4[256] = {
#define R1(n) (n), (n) + 1, (n) + 2, 0
#define R2(n) R1(n), R1((n) + 3), R1((n) + 6), 0, 0, 0, 0
#define R3(n) R2(n), R2((n) + 9), R2((n) + 18), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    R3(0), R3(27), R3(54)
#undef R1
#undef R2
#undef R3
};

static struct qs_iq_near near_iq2_xxs[RANKS8], near_iq2_xs[RANKS8], near_iq2_s[RANKS8], near_iq1[RANKS8];
static struct qs_iq_near near_iq3_xxs[RANKS4], near_iq3_s[RANKS4];
static _Alignas(16) uint16_t list_iq2_xxs[ROOM_IQ2_XXS], list_iq2_xs[ROOM_IQ2_XS], list_iq2_s[ROOM_IQ2_S];
static _Alignas(16) uint16_t list_iq1[ROOM_IQ1], list_iq3_xxs[ROOM_IQ3_XXS], list_iq3_s[ROOM_IQ3_S];

static struct qs_iq_book books[QS_BOOK_COUNT]; /* written under the once below, read after it */

/* What a book is made of. shells: how many different smallest distances make a list. */
static const struct recipe {
    const uint16_t *points;
    unsigned count, dim, shells;
    struct qs_iq_near *near;
    uint16_t *list;
    size_t room;
} recipes[QS_BOOK_COUNT] = {
    [QS_BOOK_IQ2_XXS] = {qs_iq2_xxs_points, 256, 8, 2, near_iq2_xxs, list_iq2_xxs, ROOM_IQ2_XXS},
    [QS_BOOK_IQ2_XS] = {qs_iq2_xs_points, 512, 8, 2, near_iq2_xs, list_iq2_xs, ROOM_IQ2_XS},
    [QS_BOOK_IQ2_S] = {qs_iq2_s_points, 1024, 8, 1, near_iq2_s, list_iq2_s, ROOM_IQ2_S},
    [QS_BOOK_IQ1] = {qs_iq1_points, 2048, 8, 3, near_iq1, list_iq1, ROOM_IQ1},
    [QS_BOOK_IQ3_XXS] = {qs_iq3_xxs_points, 256, 4, 2, near_iq3_xxs, list_iq3_xxs, ROOM_IQ3_XXS},
    [QS_BOOK_IQ3_S] = {qs_iq3_s_points, 512, 4, 3, near_iq3_s, list_iq3_s, ROOM_IQ3_S},
};

/* Combination number `rank` as packed levels. */
static unsigned unpack_rank(unsigned rank, unsigned dim)
{
    if (dim == 4)
        return rank;
    unsigned point = 0;
    for (unsigned i = 0; i < 8; i++, rank /= 3)
        point |= rank % 3 << 2 * i;
    return point;
}

/* Squared distance, in levels, of two halves: bytes of four 2-bit levels, or two 3-bit levels. */
static void fill_distances(unsigned dim, uint8_t table[256][256])
{
    unsigned bits = dim == 8 ? 2 : 3, n = dim / 2, size = dim == 8 ? 256 : 64, mask = (1u << bits) - 1;
    for (unsigned a = 0; a < size; a++) {
        for (unsigned b = 0; b < size; b++) {
            int sum = 0;
            for (unsigned i = 0; i < n; i++) {
                int diff = (int)(a >> bits * i & mask) - (int)(b >> bits * i & mask);
                sum += diff * diff;
            }
            table[a][b] = (uint8_t)sum;
        }
    }
}

static void put(const struct recipe *r, size_t at, uint16_t point)
{
    if (at < r->room) /* always, see the enum above */
        r->list[at] = point;
}

/* Append to the book's list the points of the nearest shells around `point`. */
static void list_neighbours(const struct recipe *r, uint8_t distance[256][256], unsigned point,
                            struct qs_iq_book *book, struct qs_iq_near *out)
{
    enum { FAR = 200 }; /* above 4*49 and 8*9 */
    unsigned half = r->dim == 8 ? 8 : 6, low = (1u << half) - 1;
    uint8_t d[2048];
    uint8_t seen[FAR] = {0};
    const uint8_t *row0 = distance[point & low], *row1 = distance[point >> half];
    for (unsigned j = 0; j < r->count; j++) {
        d[j] = (uint8_t)(row0[r->points[j] & low] + row1[r->points[j] >> half]);
        seen[d[j]] = 1;
    }
    out->first = (uint32_t)book->list_used;
    unsigned n = 0, shells = 0;
    for (unsigned want = 0; want < FAR && shells < r->shells; want++) {
        if (!seen[want])
            continue;
        shells++;
        for (unsigned j = 0; j < r->count; j++)
            if (d[j] == want)
                put(r, out->first + n++, r->points[j]);
    }
    out->count = (uint16_t)n;
    for (; n % 8 != 0; n++)
        put(r, out->first + n, r->list[out->first]);
    book->list_used += n;
}

static void build_book(enum qs_iq_book_id id)
{
    uint8_t distance[256][256];
    const struct recipe *r = &recipes[id];
    struct qs_iq_book *b = &books[id];
    bool wide = r->dim == 8;
    unsigned ranks = wide ? RANKS8 : RANKS4;
    *b = (struct qs_iq_book){.points = r->points, .count = r->count, .dim = r->dim, .bits = wide ? 2 : 3,
                             .levels = wide ? 3 : 8, .near = r->near, .list = r->list, .list_room = r->room};
    fill_distances(r->dim, distance);
    for (unsigned i = 0; i < ranks; i++)
        r->near[i].index = -1;
    for (unsigned j = 0; j < r->count; j++)
        r->near[qs_iq_rank(b, r->points[j])].index = (int16_t)j;
    for (unsigned i = 0; i < ranks; i++)
        if (r->near[i].index < 0)
            list_neighbours(r, distance, unpack_rank(i, r->dim), b, &r->near[i]);
}

#define BUILDER(id) static void build_##id(void) { build_book(id); }
BUILDER(QS_BOOK_IQ2_XXS)
BUILDER(QS_BOOK_IQ2_XS)
BUILDER(QS_BOOK_IQ2_S)
BUILDER(QS_BOOK_IQ1)
BUILDER(QS_BOOK_IQ3_XXS)
BUILDER(QS_BOOK_IQ3_S)

const struct qs_iq_book *qs_iq_book(enum qs_iq_book_id id)
{
    static pthread_once_t once[QS_BOOK_COUNT] = {PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT,
                                                 PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT};
    static void (*const build[QS_BOOK_COUNT])(void) = {
        [QS_BOOK_IQ2_XXS] = build_QS_BOOK_IQ2_XXS, [QS_BOOK_IQ2_XS] = build_QS_BOOK_IQ2_XS,
        [QS_BOOK_IQ2_S] = build_QS_BOOK_IQ2_S,     [QS_BOOK_IQ1] = build_QS_BOOK_IQ1,
        [QS_BOOK_IQ3_XXS] = build_QS_BOOK_IQ3_XXS, [QS_BOOK_IQ3_S] = build_QS_BOOK_IQ3_S,
    };
    pthread_once(&once[id], build[id]);
    return &books[id];
}

/* ---------------------------------------------------------------------------------------------- nearest points */

uint16_t qs_iq_nearest(const struct qs_iq_book *b, const struct qs_iq_near *near, const float cost[8][4])
{
    const uint16_t *list = b->list + near->first;
    uint16_t best = list[0];
    float best_sum = FLT_MAX;
    for (unsigned j = 0; j < near->count; j++) {
        unsigned p = list[j];
        float sum = cost[0][p & 3] + cost[1][p >> 2 & 3] + cost[2][p >> 4 & 3] + cost[3][p >> 6 & 3];
        if (!(sum < best_sum)) /* costs are not negative: adding more cannot help */
            continue;
        sum = sum + cost[4][p >> 8 & 3] + cost[5][p >> 10 & 3] + cost[6][p >> 12 & 3] + cost[7][p >> 14];
        if (sum < best_sum) {
            best_sum = sum;
            best = (uint16_t)p;
        }
    }
    return best;
}

/* The point for 8 weights that round to `point` on this scale. */
static uint16_t nearest8(const struct qs_iq_book *b, const struct qs_iq_near *near, const float *x, const float *w,
                         float scale)
{
    float cost[8][4];
    for (int i = 0; i < 8; i++) {
        for (int l = 0; l < 3; l++) {
            float diff = scale * (float)(2 * l + 1) - x[i];
            cost[i][l] = w[i] * diff * diff;
        }
    }
    return qs_iq_nearest(b, near, (const float(*)[4])cost);
}

/* The same for 4 weights; lists are short here, a table of costs would not pay. */
static uint16_t nearest4(const struct qs_iq_book *b, const struct qs_iq_near *near, const float *x, const float *w,
                         float scale)
{
    const uint16_t *list = b->list + near->first;
    uint16_t best = list[0];
    float best_sum = FLT_MAX;
    for (unsigned j = 0; j < near->count; j++) {
        unsigned p = list[j];
        float sum = 0;
        for (int i = 0; i < 4; i++, p >>= 3) {
            float diff = scale * (float)(2 * (p & 7) + 1) - x[i];
            sum += w[i] * diff * diff;
        }
        if (sum < best_sum) {
            best_sum = sum;
            best = list[j];
        }
    }
    return best;
}

/* ---------------------------------------------------------------------------------------------- one scale */

/* Inlined so that `dim` is a constant in both copies. */
#define INLINE static inline __attribute__((always_inline))

/* Round `dim` weights on 1/scale = inv; a point of the book, and whether rounding alone found it. */
INLINE uint16_t group_point(const struct qs_iq_book *b, const float *x, const float *root_w, float inv,
                                   float scale, bool *on_grid, unsigned dim)
{
    unsigned bits = dim == 8 ? 2 : 3;
    int top = dim == 8 ? 2 : 7;
    unsigned point = 0;
    for (unsigned i = 0; i < dim; i++) {
        int l = qs_nearest_int(0.5f * (inv * x[i] - 1));
        point |= (unsigned)qs_clamp_int(l, 0, top) << bits * i;
    }
    const struct qs_iq_near *near = &b->near[dim == 8 ? qs_iq_rank(b, point) : point];
    *on_grid = near->index >= 0;
    if (near->index >= 0)
        return (uint16_t)point;
    return dim == 8 ? nearest8(b, near, x, root_w, scale) : nearest4(b, near, x, root_w, scale);
}

struct sums {
    float qx, q2; /* of w*x*q and w*q*q */
};

INLINE struct sums point_sums(const uint16_t *points, unsigned sub, const float *x, const float *w,
                                     unsigned dim)
{
    unsigned bits = dim == 8 ? 2 : 3, mask = (1u << bits) - 1;
    struct sums s = {0, 0};
    for (unsigned k = 0; k < sub / dim; k++) {
        unsigned p = points[k];
        for (unsigned i = dim * k; i < dim * (k + 1); i++, p >>= bits) {
            float q = (float)(2 * (p & mask) + 1);
            s.qx += w[i] * x[i] * q;
            s.q2 += w[i] * q * q;
        }
    }
    return s;
}

/* After the row of scales: put groups again on the fitted scale, and fit it once more. */
INLINE float refit(const struct qs_iq_kind *kind, const struct qs_iq_book *b, const float *x, const float *w,
                          const float *root_w, float scale, const bool *on_grid, uint16_t *points, unsigned dim)
{
    unsigned groups = kind->sub / dim, off = 0;
    for (unsigned k = 0; k < groups; k++)
        off += !on_grid[k];
    if ((off == 0 && kind->refit != QS_REFIT_ALWAYS) || !(scale > 0))
        return scale;
    for (unsigned k = 0; k < groups; k++) {
        if (on_grid[k] && kind->refit == QS_REFIT_OFF_GRID)
            continue;
        bool unused;
        points[k] = group_point(b, x + dim * k, root_w + dim * k, 1 / scale, scale, &unused, dim);
    }
    struct sums s = point_sums(points, kind->sub, x, w, dim);
    return s.q2 > 0 ? s.qx / s.q2 : scale;
}

INLINE float scale_search(const struct qs_iq_kind *kind, const struct qs_iq_book *b, const float *x,
                                 const float *w, float max, float start, uint16_t *points, unsigned dim)
{
    unsigned sub = kind->sub, groups = sub / dim;
    float top = dim == 8 ? 5 : 15, scale = start, best = 0, root_w[QS_IQ_SUB_MAX];
    bool on_grid[QS_IQ_GROUPS_MAX];
    for (unsigned i = 0; i < sub; i++)
        root_w[i] = sqrtf(w[i]);
    for (unsigned k = 0; k < groups; k++) {
        points[k] = 0; /* all levels 0: a point of every book, at place 0 */
        on_grid[k] = kind->refit != QS_REFIT_ALL_IF_OFF;
    }
    for (int t = -kind->tries; t <= kind->tries; t++) {
        float inv = (top + (float)t * kind->step) / max, this_scale = 1 / inv;
        uint16_t p[QS_IQ_GROUPS_MAX];
        bool on[QS_IQ_GROUPS_MAX];
        for (unsigned k = 0; k < groups; k++)
            p[k] = group_point(b, x + dim * k, root_w + dim * k, inv, this_scale, &on[k], dim);
        struct sums s = point_sums(p, sub, x, w, dim);
        if (s.q2 > 0 && s.qx * s.qx > best * s.q2) {
            scale = s.qx / s.q2;
            best = scale * s.qx;
            memcpy(points, p, groups * sizeof p[0]);
            memcpy(on_grid, on, groups * sizeof on[0]);
        }
    }
    return refit(kind, b, x, w, root_w, scale, on_grid, points, dim);
}

static float scale_ref(const struct qs_iq_kind *kind, const struct qs_iq_book *b, const float *x, const float *w,
                       float max, float start, uint16_t *points)
{
    return b->dim == 8 ? scale_search(kind, b, x, w, max, start, points, 8)
                       : scale_search(kind, b, x, w, max, start, points, 4);
}

static void starts_ref(const float *x, const float *w, float start[8])
{
    uint8_t code[32];
    for (int j = 0; j < 8; j++)
        start[j] = qs_search_positive(32, 4, x + 32 * j, w + 32 * j, code);
}

/* ---------------------------------------------------------------------------------------------- super-blocks */

/* Magnitudes and sign bits of 8 weights. With even signs the weight that matters least may have to stay negative. */
static uint8_t split_signs(const float *x, const float *w, bool even, float *magnitude)
{
    unsigned signs = 0, flips = 0;
    for (unsigned i = 0; i < 8; i++) {
        bool minus = !(x[i] >= 0);
        magnitude[i] = minus ? -x[i] : x[i];
        signs |= (unsigned)minus << i;
        flips += minus;
    }
    if (!even)
        return (uint8_t)signs;
    if (flips % 2 == 1) {
        unsigned least = 0;
        float min = w[0] * x[0] * x[0];
        for (unsigned i = 1; i < 8; i++) {
            float v = w[i] * x[i] * x[i];
            if (v < min) {
                min = v;
                least = i;
            }
        }
        magnitude[least] = -magnitude[least];
        signs ^= 1u << least;
    }
    return (uint8_t)(signs & 127);
}

static void ready_ref(const struct qs_iq_kind *kind, const float *x, const float *importance, struct qs_iq_ready *out)
{
    float x_room[256], importance_room[256];
    x = qs_iq_finite(x, 256, x_room);
    importance = qs_iq_importance(importance, 256, importance_room);
    const float sigma2 = qs_iq_sigma2(x, 256, kind->sigma_factor);
    if (importance) {
        qs_iq_weights(x, importance, sigma2, 256, out->w);
    } else {
        for (int i = 0; i < 256; i++)
            out->w[i] = kind->flat_factor * sigma2 + x[i] * x[i];
    }
    for (int k = 0; k < 32; k++)
        out->signs[k] = split_signs(x + 8 * k, out->w + 8 * k, kind->even_signs, out->magnitude + 8 * k);
}

const struct qs_iq_fns qs_iq_ref = {scale_ref, starts_ref, ready_ref};

/* Scale and points of sub-block j; 0 when it counts as zero (points and signs stay as they are). */
static float fit_sub(const struct qs_iq_kind *kind, const struct qs_iq_fns *fn, const struct qs_iq_book *b,
                     const struct qs_iq_ready *r, const float *starts, unsigned j, struct qs_iq_super *out)
{
    uint16_t points[QS_IQ_GROUPS_MAX];
    unsigned sub = kind->sub, groups = sub / b->dim;
    const float *m = r->magnitude + sub * j;
    float most[4] = {0};
    for (unsigned i = 0; i < sub; i += 4) /* side by side: no comparison waits for the one before */
        for (unsigned k = 0; k < 4; k++)
            most[k] = most[k] > m[i + k] ? most[k] : m[i + k];
    float max = most[0] > most[1] ? most[0] : most[1], other = most[2] > most[3] ? most[2] : most[3];
    max = max > other ? max : other;
    if (max < kind->eps || !(max > 0))
        return 0;
    float start = max / (float)(2 * b->levels - 1);
    if (kind->start_search) {
        start = starts[j];
        max = start * (float)b->levels;
        if (max <= 0)
            return 0;
    }
    float scale = fn->scale(kind, b, m, r->w + sub * j, max, start, points);
    bool mirrored = scale < 0; /* scales are stored without sign */
    for (unsigned k = 0; k < groups; k++)
        out->place[groups * j + k] = (uint16_t)qs_iq_place(b, points[k]);
    for (unsigned k = sub / 8 * j; k < sub / 8 * (j + 1); k++)
        out->signs[k] = mirrored ? (uint8_t)(~r->signs[k] & (kind->even_signs ? 127 : 255)) : r->signs[k];
    scale = mirrored ? -scale : scale;
    return scale > 0 ? scale : 0; /* NaN after an overflow becomes 0 */
}

void qs_iq_fit_super(const struct qs_iq_kind *kind, const struct qs_iq_fns *fn, const float *x,
                     const float *importance, struct qs_iq_super *out)
{
    const struct qs_iq_book *b = qs_iq_book(kind->book);
    struct qs_iq_ready r;
    float starts[8], scale[16], max = 0;
    unsigned n = 256u / kind->sub;
    fn->ready(kind, x, importance, &r);
    if (kind->start_search)
        fn->starts(r.magnitude, r.w, starts);
    *out = (struct qs_iq_super){0};
    for (unsigned j = 0; j < n; j++) {
        scale[j] = fit_sub(kind, fn, b, &r, starts, j, out);
        max = max > scale[j] ? max : scale[j];
    }
    if (!(max > 0)) {
        if (kind->clear_flat)
            *out = (struct qs_iq_super){0};
        return;
    }
    float d = max / 31, inv = 1 / d;
    out->d = qs_f32_to_f16(d * kind->fudge);
    for (unsigned j = 0; j < n; j++)
        out->scale[j] = (uint8_t)qs_clamp_int(qs_nearest_int(0.5f * (inv * scale[j] - 1)), 0, 15);
}

void qs_iq_fit_rows(const struct qs_iq_kind *kind, const struct qs_iq_fns *fn, const struct qs_rows *in, void *grid,
                    void *codes, qs_iq_store_fn *store)
{
    size_t per_row = in->cols / 256;
    for (size_t r = 0; r < in->rows; r++) {
        for (size_t i = 0; i < per_row; i++) {
            struct qs_iq_super s;
            const float *importance = in->weight ? in->weight + 256 * i : NULL;
            qs_iq_fit_super(kind, fn, in->x + r * in->stride + 256 * i, importance, &s);
            store(&s, r * per_row + i, grid, codes);
        }
    }
}

/* ---------------------------------------------------------------------------------------------- small helpers */

static bool all_finite(const float *x, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++)
        bad |= (qs_f32_bits(x[i]) & 0x7f800000u) == 0x7f800000u;
    return bad == 0;
}

const float *qs_iq_finite(const float *x, size_t n, float *buf)
{
    if (all_finite(x, n))
        return x;
    for (size_t i = 0; i < n; i++)
        buf[i] = isfinite(x[i]) ? x[i] : 0;
    return buf;
}

const float *qs_iq_importance(const float *importance, size_t n, float *buf)
{
    if (!importance)
        return NULL;
    uint32_t bad = 0; /* NaN, infinite, or a sign bit */
    for (size_t i = 0; i < n; i++)
        bad |= qs_f32_bits(importance[i]) >= 0x7f800000u;
    if (!bad)
        return importance;
    for (size_t i = 0; i < n; i++)
        buf[i] = qs_f32_bits(importance[i]) < 0x7f800000u ? importance[i] : 0;
    return buf;
}

float qs_iq_sigma2(const float *x, int n, float factor)
{
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
    return factor * sum / (float)n;
}

void qs_iq_weights(const float *x, const float *importance, float sigma2, int n, float *w)
{
    for (int i = 0; i < n; i++)
        w[i] = importance[i] * sqrtf(sigma2 + x[i] * x[i]);
}

/* ---------------------------------------------------------------------------------------------- rounding */

unsigned qs_iq_sign_costs(const float *x, const float *w, unsigned dim, const float *decoded, unsigned levels,
                          double cost[8][8], double extra[8][8])
{
    unsigned signs = 0;
    bool down = decoded[0] < 0; /* a negative scale */
    for (unsigned i = 0; i < dim; i++) {
        double size = isfinite(x[i]) ? fabs((double)x[i]) : 0, weight = w ? (double)w[i] : 1;
        signs |= (unsigned)(size > 0 && (x[i] < 0) != down) << i;
        for (unsigned l = 0; l < levels; l++) {
            double v = fabs((double)decoded[l]), diff = size - v;
            cost[i][l] = weight * (diff * diff);
            extra[i][l] = weight * (4 * size * v);
        }
    }
    return signs;
}

/* Sums of the costs of one half of a point, for every combination of its levels. */
static void half_sums(unsigned dim, const double (*cost)[8], double *sum)
{
    if (dim == 4) {
        for (unsigned c = 0; c < 64; c++)
            sum[c] = cost[0][c & 7] + cost[1][c >> 3];
        return;
    }
    for (unsigned c = 0; c < 256; c++) /* combinations with a level 3 do not occur in points; their slots are zeros */
        sum[c] = (c & c >> 1 & 0x55) ? 0 : cost[0][c & 3] + cost[1][c >> 2 & 3] + cost[2][c >> 4 & 3] + cost[3][c >> 6];
}

struct qs_iq_choice qs_iq_choose(const uint16_t *points, unsigned count, unsigned dim, const double cost[8][8])
{
    double low[256], high[256];
    unsigned half = dim == 8 ? 8 : 6, mask = (1u << half) - 1;
    half_sums(dim, cost, low);
    half_sums(dim, cost + dim / 2, high);
    struct qs_iq_choice best = {0, low[points[0] & mask] + high[points[0] >> half]};
    for (unsigned j = 1; j < count; j++) {
        double c = low[points[j] & mask] + high[points[j] >> half];
        if (c < best.cost)
            best = (struct qs_iq_choice){j, c};
    }
    return best;
}

struct qs_iq_choice qs_iq_choose_flipped(const uint16_t *points, unsigned count, unsigned dim,
                                         const double cost[8][8], const double extra[8][8], unsigned *which)
{
    double low[256], high[256];
    unsigned bits = dim == 8 ? 2 : 3, half = bits * dim / 2, mask = (1u << half) - 1, level = (1u << bits) - 1;
    half_sums(dim, cost, low);
    half_sums(dim, cost + dim / 2, high);
    struct qs_iq_choice best = {0, 0};
    *which = 0;
    for (unsigned j = 0; j < count; j++) {
        unsigned p = points[j], at = 0;
        double least = extra[0][p & level];
        for (unsigned i = 1; i < dim; i++) {
            double e = extra[i][p >> bits * i & level];
            if (e < least) {
                least = e;
                at = i;
            }
        }
        double c = low[p & mask] + high[p >> half] + least;
        if (j == 0 || c < best.cost) {
            best = (struct qs_iq_choice){j, c};
            *which = at;
        }
    }
    return best;
}
