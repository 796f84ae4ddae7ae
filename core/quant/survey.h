/* survey.h - the one table behind every picture and every decision.
 *
 * One row per tensor: the shape of its distribution, and for every type the bytes and the error it would have. A cell
 * knows how it was obtained, and qs_survey_cell_id names all that its number depends on; the cache stores cells under
 * that id, in a file that belongs to one content of the model, so nothing stale is shown as fresh. Relative RMS error =
 * sqrt(sum (w - w^)^2 / sum w^2), sums in double, non-finite values counted apart. Sampled cells: whole rows, chosen by
 * a fixed rule from (tensor, seed), ratio estimate with the standard error of that estimate (finite population
 * correction included).
 *
 * LIVE. The table is made empty (qs_survey_new) and filled by qs_survey_measure, by one thread at a time; meanwhile any
 * thread reads it. Readers get copies, made under a lock held no longer than the copy; what is never changed after
 * qs_survey_new (struct qs_survey) is read directly. qs_survey_run does both at once for those who wait for the whole.
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

/* A row or column; ratio: its largest weight over that of the median one that is not all zero. In rows the outlier
 * columns are left out, in columns the outlier rows, so that nothing is named only because it crosses what stands out
 * (stats.h). */
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

struct qs_survey_table; /* what is filled */

struct qs_survey {          /* what stays as it was made */
    const struct qs_model *model;
    const int *type; size_t n_types;     /* ascending bpw */
    const struct qs_tensor *const *tensor; size_t n_tensors; /* those that can be decoded, in the order of the model */
    uint64_t sample_weights, seed;       /* as used; sample_weights 0: whole tensors */
    bool weighted;                       /* an importance matrix was given */
    bool errors;                         /* cells were asked for */
    struct qs_survey_table *table;
};

struct qs_survey_args {
    uint64_t sample_weights; /* per tensor and type; 0: 65536 */
    uint64_t seed;
    bool whole;              /* measure whole tensors */
    const int *types; size_t n_types; /* NULL: all that can be encoded */
    const struct qs_imatrix *imatrix;
    const char *match;       /* regular expression on names, NULL: all */
    bool no_cache;
    bool errors;             /* the errors of types are of interest: qs_survey_run measures them, reports show them */
    /* What qs_survey_run measures; qs_survey_new looks at neither. */
    bool stats;              /* distributions (reads every weight) */
    const int *only_type;    /* per model tensor: measure just this type of it (QS_TYPE_NONE: none); NULL: every type */
};

/* The table with nothing measured: a row for every tensor that can be decoded, a cell for every type. A tensor's own
 * type and types that hold its weights without loss are known at once; cells that can never be known say their gap.
 * Reads no weights. The survey refers to the model and the importance matrix, which both have to outlive it; the rest
 * of args is copied. Types that need importance weights are measured with them where the matrix has the tensor, and
 * with the encoder's own weighting (w = x^2) otherwise; an entry of a wrong size is refused here (QS_EINVAL,
 * importance.h), as are an unknown type and a regular expression that is bad or matches nothing. */
int qs_survey_new(const struct qs_model *m, const struct qs_survey_args *args, struct qs_survey **out,
                  struct qs_err *e);
void qs_survey_free(struct qs_survey *s); /* NULL allowed; while nobody reads or measures */

/* Puts in what another survey of the same model knows and this one would find as well: distributions and mean squares,
 * and the cells of tensors whose importance weights are the same (or none in both). Nothing where sample or types are
 * not the same. For a new table, before others see it; the other one may be measured meanwhile. */
void qs_survey_take_over(struct qs_survey *s, const struct qs_survey *from);

struct qs_survey_want {
    const struct qs_tensor *tensor;
    int type;                /* QS_TYPE_NONE: its distribution */
    bool whole;              /* all its weights, not the sample */
};
/* Asked on the measuring thread between two cells: true with a cell that goes before what is left of the list, and then
 * asked again. */
typedef bool qs_survey_urgent_fn(void *ctx, struct qs_survey_want *out);

/* Measures the list in its order (cells of one tensor side by side cost one look at the file); what is known already is
 * skipped, and so is what has no row, no column or a gap that no measuring fills. Before that the table gets all that
 * the cache has of it, listed or not, so that a fresh process shows everything at once; what is measured goes into the
 * cache cell by cell, so that what was cancelled goes on where it stopped. A cell measured whole replaces a sampled
 * one, never the other way round; an overflow found in a sample is one of the whole. A matrix whose listed types all
 * keep its weights has its mean square measured, which totals need. The numbers depend on the weights, the seed and
 * what is asked, never on threads, order or interruption.
 *
 * Job steps add up to the total of the phase: the weights of every listed cell and distribution, as if measured anew;
 * what is known is skipped. urgent (may be NULL) makes the total grow by what it hands in, where that is not known yet.
 *
 * One thread measures at a time: QS_EBUSY, with nothing done, while another does. On failure and cancellation the table
 * keeps what it has. */
int qs_survey_measure(struct qs_survey *s, const struct qs_survey_want *want, size_t n, qs_survey_urgent_fn *urgent,
                      void *ctx, struct qs_pool *pool, struct qs_job *job, struct qs_err *e);

/* A new table with all of args measured (for each tensor its distribution, then its types), and nothing else in it: the
 * cache is asked for these cells alone. *out only when all went well. */
int qs_survey_run(const struct qs_model *m, const struct qs_survey_args *args, struct qs_pool *pool, struct qs_job *job,
                  struct qs_survey **out, struct qs_err *e);

/* ---- reading: any thread, at any time ---- */

/* False: not known, out->gap says why (QS_GAP_NOT_MEASURED also where the table has no such row or column). */
bool qs_survey_cell(const struct qs_survey *s, const struct qs_tensor *t, int type, struct qs_survey_cell *out);
/* False: not known, *out is zero. */
bool qs_survey_stats(const struct qs_survey *s, const struct qs_tensor *t, struct qs_survey_stats *out);
/* Mean square of the tensor's weights, NaN: not measured; error^2 * mean square * n adds up over tensors, kept ones
 * included. *how: QS_HOW_SAMPLED or QS_HOW_WHOLE. */
double qs_survey_mean_square(const struct qs_survey *s, const struct qs_tensor *t, enum qs_how *how);
/* Grows with every change of the table: whoever sees another number than last time reads again. Takes no lock. */
uint64_t qs_survey_version(const struct qs_survey *s);

struct qs_survey_counts { uint64_t measured, reused /* from the cache */; }; /* cells, distributions, mean squares */
struct qs_survey_counts qs_survey_counts(const struct qs_survey *s);

/* What that cell is of when it is measured on the survey's sample, or on all weights (whole). */
struct qs_cell_id qs_survey_cell_id(const struct qs_survey *s, const struct qs_tensor *t, int type, bool whole);

#endif
