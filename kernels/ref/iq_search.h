/* iq_search.h - what the IQ encoders share: codebooks with their neighbour lists, and the search for scale and points.
 *
 * The IQ2 and IQ3 encoders are one search with different numbers (struct qs_iq_kind): split off the signs, try a row
 * of scales, round every weight on each, move each group of weights to a point of the codebook, keep the scale whose
 * least-squares fit explains most. The float operations and their order are those of ggml-quants.c (llama.cpp
 * 0c1e57098), so the results have the same bits; kernels of other instruction sets replace the innermost functions
 * (struct qs_iq_fns) and nothing else.
 *
 * Non-finite weights count as zero, and so do importances that are not finite or negative. Finite ones so large that
 * their squares overflow give some valid block, the same on every machine.
 */
#ifndef QS_KERNELS_REF_IQ_SEARCH_H
#define QS_KERNELS_REF_IQ_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernels/format.h"

/* ---- codebooks */

enum qs_iq_book_id { QS_BOOK_IQ2_XXS, QS_BOOK_IQ2_XS, QS_BOOK_IQ2_S, QS_BOOK_IQ1, QS_BOOK_IQ3_XXS, QS_BOOK_IQ3_S,
                     QS_BOOK_COUNT };

/* One combination of levels (of 3^8 or 8^4): its place in the codebook, or the points to choose from instead. */
struct qs_iq_near {
    uint32_t first; /* into list[], a multiple of 8 */
    uint16_t count; /* 0: the combination is itself a point */
    int16_t index;  /* place in points[]; -1: not a point */
};

struct qs_iq_book {
    const uint16_t *points;         /* see tables_iq.h */
    unsigned count;                 /* points */
    unsigned dim, bits, levels;     /* weights per point, bits per level, levels */
    const struct qs_iq_near *near;  /* by qs_iq_rank() */
    const uint16_t *list;           /* points (not their places), nearest first, then by place; after the last point
                                       of a combination its first one is repeated up to a multiple of 8 */
    size_t list_used, list_room;    /* equal when the tables are right (tests look) */
};

/* The codebook, built at first use: 1 to 60 ms, thread-safe, cannot fail (static storage), constant from then on.
 * The lists hold, as the reference's do, all points within the 1, 2 or 3 smallest distances that occur. */
const struct qs_iq_book *qs_iq_book(enum qs_iq_book_id id);

extern const uint8_t qs_iq_rank4[256]; /* four 2-bit levels (each 0..2) as a number in base 3 */

/* Place of a combination in near[]. */
static inline unsigned qs_iq_rank(const struct qs_iq_book *b, unsigned point)
{
    return b->dim == 4 ? point : qs_iq_rank4[point & 255] + 81u * qs_iq_rank4[point >> 8];
}

static inline unsigned qs_iq_place(const struct qs_iq_book *b, unsigned point)
{
    return (unsigned)b->near[qs_iq_rank(b, point)].index;
}

/* For books of 8 weights: of near's points the one with the smallest cost[0][l0] + cost[1][l1] + ..., summed in this
 * order in float; the first of equals wins, and the first point when no sum is an ordinary number. Costs are >= 0. */
uint16_t qs_iq_nearest(const struct qs_iq_book *b, const struct qs_iq_near *near, const float cost[8][4]);

/* ---- the search of IQ2 and IQ3 */

#define QS_IQ_SUB_MAX 32    /* weights that share a scale */
#define QS_IQ_GROUPS_MAX 8  /* points among them */

enum qs_iq_refit {
    QS_REFIT_ALWAYS,    /* every group again on the fitted scale */
    QS_REFIT_OFF_GRID,  /* only groups that did not fall on a point by themselves */
    QS_REFIT_ALL_IF_OFF /* every group if there is one such */
};

struct qs_iq_kind {
    enum qs_iq_book_id book;
    uint8_t sub;            /* weights per scale: 16 or 32 */
    int8_t tries;           /* scales tried: -tries..tries */
    float step;             /* between them, in levels */
    float eps;              /* a largest weight below this counts as zero */
    float sigma_factor;     /* times mean(x^2), in the weights */
    float flat_factor;      /* without importance: w = flat_factor * sigma2 + x^2 */
    float fudge;            /* times the block scale, when stored */
    enum qs_iq_refit refit;
    bool even_signs;        /* the number of minus signs of 8 weights is even */
    bool start_search;      /* starts from qs_search_positive(), not from the largest weight */
    bool clear_flat;        /* a block whose scales are all zero gets codes zero */
};

/* One super-block of 256 weights. */
struct qs_iq_super {
    uint16_t d;           /* float16 */
    uint8_t scale[16];    /* 0..15, one per `sub` weights */
    uint16_t place[64];   /* of each group's point in the codebook */
    uint8_t signs[32];    /* of 8 weights each; with even_signs only the lower 7 bits are given */
};

/* Fit `sub` magnitudes x (at most one per 8 is negative) with weights w >= 0: returns the common scale of q = 2*level+1
 * and the point of each group. Scales near max / (2*levels-1) are tried; `start` is returned when none is any good.
 * This is where the time goes. */
typedef float qs_iq_scale_fn(const struct qs_iq_kind *kind, const struct qs_iq_book *book, const float *x,
                             const float *w, float max, float start, uint16_t *points);
/* For start_search: qs_search_positive() of each 32 of 256 magnitudes, with 4 levels. */
typedef void qs_iq_starts_fn(const float *x, const float *w, float start[8]);

/* A super-block made ready for the searches: their weights, and x without its signs. With even_signs the number of minus
 * signs of 8 weights is made even: the weight that matters least may have to stay negative, the first of equals. */
struct qs_iq_ready {
    float w[256], magnitude[256];
    uint8_t signs[32]; /* of 8 weights each; with even_signs the lower 7 bits */
};
typedef void qs_iq_ready_fn(const struct qs_iq_kind *kind, const float *x, const float *importance,
                            struct qs_iq_ready *out);

struct qs_iq_fns {
    qs_iq_scale_fn *scale;
    qs_iq_starts_fn *starts;
    qs_iq_ready_fn *ready;
};
extern const struct qs_iq_fns qs_iq_ref;

extern const struct qs_iq_kind qs_iq2_xxs_kind, qs_iq2_xs_kind, qs_iq2_s_kind, qs_iq3_xxs_kind, qs_iq3_s_kind;

/* x: 256 weights; importance: 256, or NULL. */
void qs_iq_fit_super(const struct qs_iq_kind *kind, const struct qs_iq_fns *fn, const float *x,
                     const float *importance, struct qs_iq_super *out);

/* ---- ternary split of IQ1: values -1, 0, 1 plus a shift of +-1/8, one shift per half of the weights or one for all */

struct qs_iq1_split {
    int i1, i2;   /* of the sorted weights, [0,i1) get level 0, [i1,i2) level 1, the rest level 2; i1 < 0: none found */
    int shift;    /* IQ1_S: 0 plus, 1 minus; IQ1_M: bit 1 first half minus, bit 0 second half minus */
    float scale;
};

/* Best split by prefix sums over the sorted weights. IQ1_S: 32 weights; sumx[j], sumw[j] = sums over the first j. */
typedef void qs_iq1_s_split_fn(const float sumx[33], const float sumw[33], struct qs_iq1_split *out);
/* IQ1_M: 16 weights; [h][j]: sums over those of the first j that belong to half h. */
typedef void qs_iq1_m_split_fn(const float sumx[2][17], const float sumw[2][17], struct qs_iq1_split *out);
/* Order of n (16 or 32) weights, smallest first, equal ones as they stand. */
typedef void qs_iq1_sort_fn(const float *x, int n, uint8_t *order);
typedef uint16_t qs_iq_nearest_fn(const struct qs_iq_book *b, const struct qs_iq_near *near, const float cost[8][4]);

struct qs_iq1_fns {
    qs_iq1_sort_fn *sort;
    qs_iq1_s_split_fn *split_s;
    qs_iq1_m_split_fn *split_m;
    qs_iq_nearest_fn *nearest;
};
extern const struct qs_iq1_fns qs_iq1_ref;

/* ---- IQ4: scales of n <= 8 groups of 32 weights (0 for a zero group); importance-weighted as given in w */
typedef void qs_iq4_scales_fn(const float *x, const float *w, int n, float *scale);
/* Places in qs_iq4_values of inv*x[i], for 32 of them. */
typedef void qs_iq4_index_fn(const float *x, float inv, uint8_t *code);
/* The weights w of n weights x (a multiple of 32): qs_iq_weights(), or x^2 without importance. */
typedef void qs_iq4_weigh_fn(const float *x, const float *importance, float sigma2, int n, float *w);
struct qs_iq4_fns {
    qs_iq4_scales_fn *scales;
    qs_iq4_index_fn *index;
    qs_iq4_weigh_fn *weigh;
};
extern const struct qs_iq4_fns qs_iq4_ref;
/* An inv*x below qs_iq4_middle[i] belongs to values 0..i (exactly the reference's comparison of distances). */
extern const float qs_iq4_middle[15];

/* ---- the `fit` of each format with its inner functions given (ref.h's call these with the plain ones) */
void qs_iq1_s_fit_with(const struct qs_iq1_fns *fn, const struct qs_rows *in, void *grid, void *codes);
void qs_iq1_m_fit_with(const struct qs_iq1_fns *fn, const struct qs_rows *in, void *grid, void *codes);
void qs_iq2_xxs_fit_with(const struct qs_iq_fns *fn, const struct qs_rows *in, void *grid, void *codes);
void qs_iq2_xs_fit_with(const struct qs_iq_fns *fn, const struct qs_rows *in, void *grid, void *codes);
void qs_iq2_s_fit_with(const struct qs_iq_fns *fn, const struct qs_rows *in, void *grid, void *codes);
void qs_iq3_xxs_fit_with(const struct qs_iq_fns *fn, const struct qs_rows *in, void *grid, void *codes);
void qs_iq3_s_fit_with(const struct qs_iq_fns *fn, const struct qs_rows *in, void *grid, void *codes);
void qs_iq4_nl_fit_with(const struct qs_iq4_fns *fn, const struct qs_rows *in, void *grid, void *codes);
void qs_iq4_xs_fit_with(const struct qs_iq4_fns *fn, const struct qs_rows *in, void *grid, void *codes);

/* ---- small helpers */

/* x itself, or a copy in buf with zeros for non-finite values. */
const float *qs_iq_finite(const float *x, size_t n, float *buf);
/* The same for importances, where negative ones become zeros too; NULL stays NULL. */
const float *qs_iq_importance(const float *importance, size_t n, float *buf);
/* factor * (x[0]^2 + x[1]^2 + ...) / n */
float qs_iq_sigma2(const float *x, int n, float factor);
/* w[i] = importance[i] * sqrt(sigma2 + x[i]^2). */
void qs_iq_weights(const float *x, const float *importance, float sigma2, int n, float *w);

/* `fit` over rows: store(s, block, grid, codes) writes each super-block's result as grid and codes number `block`. */
typedef void qs_iq_store_fn(const struct qs_iq_super *s, size_t block, void *grid, void *codes);
void qs_iq_fit_rows(const struct qs_iq_kind *kind, const struct qs_iq_fns *fn, const struct qs_rows *in, void *grid,
                    void *codes, qs_iq_store_fn *store);

/* For `round`: the cost w*(|x| - decoded[l])^2 of `dim` weights at every level with their better signs, and what the
 * wrong sign would add. decoded: of level l without sign. w may be NULL (ones). Returns the better sign bits; where x
 * or the scale is zero: plus. */
unsigned qs_iq_sign_costs(const float *x, const float *w, unsigned dim, const float *decoded, unsigned levels,
                          double cost[8][8], double extra[8][8]);

/* Nearest point for `round`: cost[i][l] of weight i at level l, in double. Points are compared by (sum over the first
 * half) + (sum over the second half); the lowest place among equals wins. */
struct qs_iq_choice {
    unsigned place;
    double cost;
};
struct qs_iq_choice qs_iq_choose(const uint16_t *points, unsigned count, unsigned dim, const double cost[8][8]);
/* The same when exactly one weight must take the wrong sign, which adds extra[i][l]; *which: that weight, the first
 * of equals. */
struct qs_iq_choice qs_iq_choose_flipped(const uint16_t *points, unsigned count, unsigned dim,
                                         const double cost[8][8], const double extra[8][8], unsigned *which);

#endif
