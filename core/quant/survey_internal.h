/* survey_internal.h - the inside of the table, for survey.c (which owns it) and survey_run.c (which fills it).
 *
 * LOCK. Whoever measures is the only one that writes, always with the lock held; so it may read without. Everyone else
 * reads through the functions of survey.h, which copy under the lock.
 */
#ifndef QS_CORE_SURVEY_INTERNAL_H
#define QS_CORE_SURVEY_INTERNAL_H

#include <pthread.h>
#include "core/quant/survey.h"

#define QS_SURVEY_NOWHERE SIZE_MAX

struct qs_survey_square { double value /* NaN: unknown */; enum qs_how how; };

struct qs_survey_row {
    const struct qs_imatrix_entry *importance; /* these two stay; NULL and 0: none */
    struct qs_key statistics;
    struct qs_survey_cell *cell;    /* per type, index as in qs_survey.type */
    struct qs_survey_stats stats;
    struct qs_survey_square alone;  /* measured by itself, where nothing else gives it */
    struct qs_survey_square square; /* the best there is: distribution, first known type, alone */
};

struct qs_survey_table {
    pthread_mutex_t lock;           /* of all that follows, but for what stays */
    struct qs_survey_row *row;
    struct qs_survey_counts counts;
    bool measuring;
    _Atomic uint64_t version;       /* changed with the lock held, read without */
    const struct qs_imatrix *imatrix; /* these two stay */
    bool no_cache;
};

/* The one that measures: false while there is another. */
bool qs_survey_begin(struct qs_survey *s);
void qs_survey_end(struct qs_survey *s);

/* Index of a tensor's row, of a type's column; QS_SURVEY_NOWHERE: none. */
size_t qs_survey_row_index(const struct qs_survey *s, const struct qs_tensor *t);
size_t qs_survey_type_index(const struct qs_survey *s, int type);
/* There is something to measure: it is not kept, and nothing but its weights can forbid it. */
bool qs_survey_can_measure(const struct qs_tensor *t, int type);
/* What the cell holds is all that measuring would tell, of the sample or (whole) of all weights. */
bool qs_survey_is_settled(const struct qs_survey_cell *c, bool whole);
/* What a number about a tensor depends on, besides the file's content. */
struct qs_key qs_survey_tensor_key(const struct qs_tensor *t);
/* Of the mean square alone, which has no statistics: a cell of the tensor's own type, for that is never measured. */
struct qs_cell_id qs_survey_square_id(const struct qs_survey *s, const struct qs_tensor *t, bool whole);

/* Put in what was measured or found where the table was not settled; each is a change that readers see. */
void qs_survey_put_cell(struct qs_survey *s, size_t row, size_t type, const struct qs_survey_cell *c);
void qs_survey_put_stats(struct qs_survey *s, size_t row, const struct qs_survey_stats *x);
void qs_survey_put_square(struct qs_survey *s, size_t row, double mean_square, enum qs_how how);
void qs_survey_count(struct qs_survey *s, uint64_t measured, uint64_t reused);

#endif
