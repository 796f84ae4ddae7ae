/* survey.h - the one table behind every picture and every decision.
 *
 * One row per tensor: the shape of its distribution, and for every type the bytes and the error it would have. A cell
 * knows how it was obtained, and qs_survey_cell_id names all that its number depends on; the cache stores cells under that
 * id, in a file that belongs to one content of the model, so nothing stale is shown as fresh. Relative RMS error =
 * sqrt(sum (w - w^)^2 / sum w^2), sums in double, non-finite values counted apart. Sampled cells: whole rows, chosen by a
 * fixed rule from (tensor, seed), ratio estimate with the standard error of that estimate (finite population correction
 * included).
 */
#ifndef QS_CORE_SURVEY_H
#define QS_CORE_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/pool.h"
#include "core/format/imatrix.h"
#include "core/how.h"
#include "core/job/job.h"
#include "core/model/model.h"
#include "core/quant/encode.h" /* QS_ENCODER_VERSION */

enum qs_gap {               /* why a cell is not known */
    QS_GAP_NONE,            /* it is known */
    QS_GAP_NOT_MEASURED,    /* not asked for */
    QS_GAP_SHAPE,           /* rows are no multiple of the type's block */
    QS_GAP_ONE_DIM,         /* norms and biases are never quantized: only float types are measured */
    QS_GAP_NO_ENCODER,      /* this program cannot write the type */
    QS_GAP_OVERFLOW         /* weights are too large for the type: those measured would become infinite, NaN or lost, by
                             * the rules of bad_weights.h by which writing refuses them */
};
const char *qs_gap_text(enum qs_gap g); /* for people: "rows are no multiple of the block" */

enum qs_method {            /* how weights become codes */
    QS_METHOD_REFERENCE     /* the type's own encoder */
};

/* What a number about one tensor at one type depends on, besides the content of the model's file. */
struct qs_cell_id {
    struct qs_key tensor;      /* its name, type and shape */
    int type;
    enum qs_method method;
    struct qs_key statistics;  /* the importance matrix, where it has the tensor; else 0 */
    uint64_t sample_weights;   /* as asked; 0: whole */
    uint64_t seed;             /* 0 when whole */
    uint32_t encoder;          /* QS_ENCODER_VERSION */
};

struct qs_survey_cell {     /* one tensor at one type */
    bool known;
    enum qs_gap gap;
    enum qs_how how;        /* QS_HOW_SAMPLED or QS_HOW_WHOLE, also of an overflow */
    uint64_t sample;        /* weights measured */
    uint64_t bytes;         /* of the whole tensor at this type; 0: it cannot have this type */
    double error, error_se; /* relative RMS error against this file, and its standard error (0 when whole) */
    double max_error;       /* largest |w - w^| among the weights measured */
    double weighted;        /* same with importance weights; NaN without them */
    double mean_square;     /* of the weights measured; NaN where the type keeps every weight as it is */
};

/* A row or column; ratio: its largest weight over that of the median one that is not all zero. In rows the outlier columns are left out, in
 * columns the outlier rows, so that nothing is named only because it crosses what stands out (stats.h). */
struct qs_worst { uint64_t index; double max_abs, ratio; };

#define QS_WORST 64          /* channels listed for one tensor and axis: the outliers, QS_WORST_LEAST in any case */
#define QS_WORST_LEAST 8
#define QS_OUTLIER_RATIO 4.0 /* channels at or above this ratio are named as outliers (a Gaussian stays below 2) */

#define QS_STATS_VERSION 2   /* grows whenever the same weights get other statistics: stored ones are then measured again */

struct qs_survey_stats {    /* of the weights as decoded from this file; whole tensor */
    bool known;
    double mean, sd /* sqrt(M2 / n) */, min, max, max_abs, kurtosis /* Pearson: 3 for a Gaussian */, max_sigma /* max_abs / sd */;
    double beyond6;         /* share of weights beyond 6 sd of the mean */
    uint64_t zeros, nan, inf, n;
    struct qs_worst row[QS_WORST], col[QS_WORST]; /* worst first, by largest absolute value */
    unsigned n_rows_worst, n_cols_worst;
    uint64_t outlier_rows, outlier_cols; /* how many reach QS_OUTLIER_RATIO, listed or not */
    double row_ratio, col_ratio; /* of the worst row and column */
};

struct qs_survey_row {
    const struct qs_tensor *tensor;
    struct qs_survey_stats stats;
    struct qs_key statistics;    /* of the importance matrix, where it has this tensor; else 0 */
    struct qs_survey_cell *cell; /* per type, index as in qs_survey.type */
    double mean_square;          /* of the tensor's weights, NaN: not measured; error^2 * mean_square * n adds up over */
    enum qs_how square_how;      /* tensors, kept ones included: SAMPLED or WHOLE */
};

struct qs_survey {
    const struct qs_model *model;
    const int *type; size_t n_types; /* the types measured, ascending bpw */
    struct qs_survey_row *row; size_t n_rows; /* only tensors that can be decoded, in the order of the model */
    uint64_t sample_weights, seed;            /* as used; sample_weights 0: whole tensors */
    bool weighted;                            /* an importance matrix was given */
    bool errors;                              /* cells were asked for */
    uint64_t cells_measured, cells_reused;    /* by this run, from the cache */
};

struct qs_survey_args {
    uint64_t sample_weights; /* per tensor and type; 0: 65536 */
    uint64_t seed;
    bool whole;              /* measure whole tensors */
    bool stats;              /* distributions (reads every weight) */
    bool errors;
    const int *types; size_t n_types; /* NULL: all that can be encoded */
    const int *only_type;    /* per model tensor: measure just this type of it (QS_TYPE_NONE: none); NULL: every type */
    const struct qs_imatrix *imatrix;
    const char *match;       /* regular expression on names, NULL: all */
    bool no_cache;
};

/* Job steps add up to the total of the phase: the weights measured, for every cell and distribution anew. What the cache
 * had is skipped, overflows included.
 *
 * Types that need importance weights are measured with them where the matrix has the tensor, and with the encoder's own
 * weighting (w = x^2) otherwise; entries of a wrong size are refused before any work (importance.h). A tensor's own type
 * needs no measuring, for copying it costs nothing: only the mean square of its weights is taken.
 *
 * Measures what is missing; cells in the cache (survey_cache.h) are reused, new ones stored as tensors are finished, so
 * an interrupted survey goes on where it stopped. */
int qs_survey_run(struct qs_model *m, const struct qs_survey_args *args, struct qs_pool *pool, struct qs_job *job,
                  struct qs_survey **out, struct qs_err *e);
void qs_survey_free(struct qs_survey *s);
const struct qs_survey_cell *qs_survey_cell(const struct qs_survey *s, const struct qs_tensor *t, int type);
/* What that cell is of; t has a row in the survey. */
struct qs_cell_id qs_survey_cell_id(const struct qs_survey *s, const struct qs_tensor *t, int type);
const struct qs_survey_row *qs_survey_row_of(const struct qs_survey *s, const struct qs_tensor *t);

#endif
