/* zoom.h - one tensor looked at closely: where its error lies, channel by channel, and how its weights are distributed.
 *
 * All of it is measured on all weights (QS_HOW_WHOLE), in double, and has the same bits for any thread count. The matrix is
 * cut into tiles: whole rows by whole 32-weight columns where rows are made of such. A tile's error is
 * sqrt(sum (w - w^)^2 / sum w^2) over its weights. Rows are taken every eighth tile row first, so that a picture of it
 * appears evenly; what is published always belongs to whole tile rows, all parts of it to the same ones.
 *
 * `rows` are output channels (those of all experts are numbered through, unless one is chosen), `columns` input channels.
 * Errors of channels are relative RMS errors too; their ratio is against the median channel that has an error, the same
 * yardstick as that of the largest weights (outliers.h), whose worst channels and ratios are those of the survey.
 */
#ifndef QS_CORE_ZOOM_H
#define QS_CORE_ZOOM_H

#include "core/quant/outliers.h" /* QS_ROWS, QS_COLS */
#include "core/quant/survey.h"

#define QS_ZOOM_ALL UINT64_MAX /* every expert */
#define QS_ZOOM_TILES 512      /* most tiles along an axis */
#define QS_ZOOM_BINS_MAX 4096  /* most bins of a profile */
#define QS_ZOOM_BINS 189       /* of a histogram: 63 x 3, 27 x 7, 21 x 9; odd, so that 0 lies in the middle of one */
#define QS_ZOOM_SIGMAS 8.0     /* standard deviations to each side in the histogram that counts in them */
#define QS_ZOOM_WORST 16       /* channels named by their error, per axis */

struct qs_zoom_args {
    const struct qs_tensor *tensor;
    int type;                   /* QS_TYPE_NONE or the tensor's own: as stored, every error 0 */
    const struct qs_imatrix_entry *importance; /* of this tensor (importance.h), NULL: none; outlives the run */
    uint64_t expert;            /* or QS_ZOOM_ALL */
    unsigned tile_rows, tile_cols; /* at most so many, 1 to QS_ZOOM_TILES */
    unsigned bins;              /* of each profile, at most, 1 to QS_ZOOM_BINS_MAX */
    const struct qs_survey_stats *stats; /* of exactly these weights where they are known already, which saves a look at
                                          * all of them; NULL: measured. Copied. */
};

enum qs_zoom_measure { QS_ZOOM_MAX_ABS, QS_ZOOM_RMS, QS_ZOOM_ERROR, QS_ZOOM_MEASURES }; /* of a channel; weights' unit,
                             * weights' unit, share. Over finite weights; NaN: not done yet, or there are none. */
struct qs_zoom_bin { float max[QS_ZOOM_MEASURES], mean[QS_ZOOM_MEASURES]; }; /* of the bin's channels done so far; else NaN */
struct qs_zoom_tile { float error, mean_abs; }; /* share; weights' unit. NaN: not done yet, or nothing finite in it */
struct qs_zoom_worst { uint64_t index; double error, ratio; };

struct qs_zoom_axis {
    uint64_t n;                 /* channels */
    unsigned n_tiles, n_bins;
    uint64_t *tile_from;        /* n_tiles + 1: tile i has channels [tile_from[i], tile_from[i + 1]) */
    struct qs_zoom_bin *bin;    /* bin i of n_bins has channels [n i / n_bins, n (i + 1) / n_bins) */
    double median_error;        /* of the channels with an error; 0: none has */
    unsigned n_worst;
    struct qs_zoom_worst worst[QS_ZOOM_WORST]; /* largest error first, the lower index first among equals */
};

/* Bin i of [-max_abs, max_abs] (QS_ZOOM_BY_VALUE) or of [mean - 8 sd, mean + 8 sd] (QS_ZOOM_BY_SIGMA); the upper end
 * belongs to the last bin. Where the range is 0 wide (all weights equal) nothing is counted by sigma, and by value all lies
 * in the middle bin, or beyond it. */
enum { QS_ZOOM_BY_VALUE, QS_ZOOM_BY_SIGMA, QS_ZOOM_SCALES };
struct qs_zoom_histogram { uint64_t below, above, nonfinite, count[QS_ZOOM_BINS]; };

enum qs_zoom_stage { QS_ZOOM_NEW, QS_ZOOM_RUNNING, QS_ZOOM_DONE, QS_ZOOM_STOPPED };

/* A consistent picture of a zoom. */
struct qs_zoom_view {
    const struct qs_tensor *tensor;
    int type;                   /* the tensor's own where none was asked for */
    bool as_stored, weighted;
    uint64_t expert;
    enum qs_zoom_stage stage;
    uint64_t rows_done;         /* of axis[QS_ROWS].n; all below is of these rows, but for stats */
    struct qs_zoom_axis axis[2];/* QS_ROWS, QS_COLS */
    struct qs_zoom_tile *tile;  /* [row * axis[QS_COLS].n_tiles + column] */
    struct qs_survey_stats stats; /* of all rows, as soon as `known`; worst channels by largest weight with their ratios */
    struct qs_zoom_histogram weights[QS_ZOOM_SCALES], decoded[QS_ZOOM_SCALES]; /* as they are; as the type gives them back */
    uint64_t zeros, decoded_zeros;
    struct qs_error_sums total;
    double error;               /* qs_error_rms of the total; NaN before the first row */
    bool overflow;              /* finite weights that the type makes infinite, NaN or lost: the error means nothing */
    uint64_t bytes;             /* of the rows looked at (all, or those of one expert) in the type */
    double bpw;
    uint64_t version;           /* grows with every change */
    void *block;                /* private: what the pointers above point into */
    size_t block_bytes;
};

struct qs_zoom;

/* An empty result; sizes are known. QS_EUNSUPPORTED: unknown types, types that cannot be written, another type for
 * integers. QS_EINVAL: rows are no multiple of the type's block, a block type for a one-dimensional tensor, no such expert,
 * sizes of 0, stats of other weights. The tensor has to outlive it. */
int qs_zoom_new(const struct qs_zoom_args *args, struct qs_zoom **out, struct qs_err *e);
void qs_zoom_free(struct qs_zoom *z); /* when nobody runs or reads it; NULL allowed */
/* Private memory that it and its run take together with the encoder's scratch, apart from qs_stats_run, which is over
 * before the encoder is made. */
uint64_t qs_zoom_memory(const struct qs_zoom *z, unsigned threads);

/* Measures; once per zoom. Job phases "distribution" (unless stats were given) and "errors", each of as many weights as are
 * looked at; steps of some ms. Whatever the end, what was published stays. m: the tensor's. */
int qs_zoom_run(struct qs_zoom *z, const struct qs_model *m, struct qs_pool *pool, struct qs_job *job, struct qs_err *e);

/* Any thread, also while it runs. */
uint64_t qs_zoom_version(struct qs_zoom *z);
/* A view of z's sizes, empty until the first copy. Frees with qs_zoom_view_free. */
int qs_zoom_view_new(const struct qs_zoom *z, struct qs_zoom_view **out, struct qs_err *e);
void qs_zoom_copy(struct qs_zoom *z, struct qs_zoom_view *to); /* the latest; `to` was made for this z */
void qs_zoom_view_free(struct qs_zoom_view *v);

/* One measure of every channel of an axis, in full; only after a run that ended well. */
const float *qs_zoom_channels(const struct qs_zoom *z, int axis, enum qs_zoom_measure measure);

/* Lower end of bin i (upper end of bin i - 1), in the weights' unit, or in standard deviations from the mean. */
double qs_zoom_bin_from(const struct qs_zoom_view *v, int scale, unsigned i);

#endif
