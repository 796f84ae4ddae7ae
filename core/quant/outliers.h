/* outliers.h - which rows and columns of a tensor stand out by themselves, and not only where they cross others.
 *
 * YARDSTICK. A channel (row or column) stands out when its largest weight is QS_OUTLIER_RATIO times the yardstick of its
 * axis or more: the largest weight of the median channel. Channels of nothing but zeros (tokens that were never trained,
 * pruned rows) say nothing about what is usual and are left out of the median; so it is 0 only where all are zero, and
 * then nothing stands out. Because outliers across an axis make every channel larger, the first yardstick is taken
 * without the largest eighth of the channels of both axes.
 *
 * CROSSINGS. A large weight needs one channel that explains it, its row or its column. Channels with a large weight of
 * their own (one that crosses no candidate of the other axis) have to be named; of the others those are named that
 * explain most of the rest (of a row and a column that explain as many: the column; of equal ones of an axis: the lower
 * index); those that turn out not to be needed are taken back. Then rows are judged again without the outlier columns,
 * columns without the outlier rows, until nothing new stands out (at most QS_OUTLIER_ROUNDS times). Where far more stand
 * out than outliers could be (262,144 of an axis, or 2^27 crossings), it is not asked what explains them: all are named.
 */
#ifndef QS_CORE_OUTLIERS_H
#define QS_CORE_OUTLIERS_H

#include "core/quant/stats_pass.h"

#define QS_OUTLIER_ROUNDS 4
#define QS_OUTLIER_LOOKS (1 + 2 * QS_OUTLIER_ROUNDS) /* that qs_outliers_find takes at most */

/* The median of those of v[0..n) that are above 0; 0 when there are none. sorted: room for n. */
double qs_outlier_yardstick(const float *v, float *sorted, size_t n);
bool qs_outlier_stands_out(double largest, double yardstick);

/* ---- naming -------------------------------------------------------------------------------------------------- */

enum { QS_ROWS, QS_COLS };

struct qs_outlier_grid {     /* candidates (channels that stand out), numbered by themselves, and where they cross */
    size_t n[2];             /* candidates: rows, columns */
    uint64_t *own[2];        /* per candidate: large weights that cross no candidate of the other axis */
    size_t words;            /* of one row of bits: n[QS_COLS] / 64, rounded up */
    uint64_t *bits[2];       /* [row][column]: the weight where they cross is large for its row; for its column */
    bool *named[2];          /* result: is an outlier */
    uint64_t steps;          /* result: words, entries and bits looked at; at most a small multiple of the grid's size */
};

/* Zeroed, for the caller to fill. Freed with qs_outlier_grid_free whether it worked or not. */
int qs_outlier_grid_new(size_t rows, size_t cols, struct qs_outlier_grid *out, struct qs_err *e);
void qs_outlier_grid_free(struct qs_outlier_grid *g);
static inline void qs_outlier_grid_mark(struct qs_outlier_grid *g, int axis, size_t row, size_t col)
{
    g->bits[axis][row * g->words + col / 64] |= UINT64_C(1) << col % 64;
}

/* Fills in `named`. The job may pause and cancel it; it is asked every 2^20 steps, some ms. */
int qs_outliers_name(struct qs_outlier_grid *g, struct qs_job *job, struct qs_err *e);

/* ---- the whole search ---------------------------------------------------------------------------------------- */

struct qs_channels {
    const float *row_all, *col_all; /* given: largest weight of every row and column */
    float *row_rest, *col_rest;     /* result: of every row outside of outlier columns, of every column outside of
                                     * outlier rows. Outliers are those that stand out by the yardstick of these. */
};

/* chunk_max: largest weight of each chunk of the pass. look_worth: weights that each look counts as done. */
int qs_outliers_find(struct qs_pass *p, const float *chunk_max, const struct qs_channels *ch, uint64_t look_worth,
                     struct qs_err *e);

#endif
