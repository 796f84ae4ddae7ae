/* statistics_internal.h - what the files of statistics share. */
#ifndef QS_CALIB_STATISTICS_INTERNAL_H
#define QS_CALIB_STATISTICS_INTERNAL_H

#include "core/calib/statistics.h"

/* Arrays of one input whose layer, point, cols and experts are set. */
int qs_input_stats_alloc(struct qs_input_stats *s, bool sum, bool max, size_t rows, struct qs_err *e);
void qs_input_stats_free(struct qs_input_stats *s);
/* Appends a name. */
int qs_input_stats_name(struct qs_input_stats *s, const char *name, struct qs_err *e);
bool qs_input_stats_reads(const struct qs_input_stats *s, const char *tensor); /* the tensor reads it */
uint64_t qs_input_stats_rows(const struct qs_input_stats *s); /* counted, of all experts */

void qs_statistics_drop_tables(struct qs_statistics *s);
int qs_statistics_make_key(struct qs_statistics *s, struct qs_err *e); /* of imatrix and samples */

/* A row as the file has it: n halves, and the power of two they were multiplied by. */
void qs_row_pack(const float *row, size_t n, uint16_t *half, float *scale);
void qs_row_unpack(const uint16_t *half, size_t n, float scale, float *row);
bool qs_row_finite(const float *row, size_t n);

/* The JSON texts of a file. */
#define QS_STATISTICS_FACTS "quantscape.statistics"
#define QS_STATISTICS_ERRORS "quantscape.errors"
#define QS_STATISTICS_SWAPS "quantscape.swaps"
int qs_statistics_facts_text(const struct qs_statistics *s, struct qs_str *out, struct qs_err *e);
int qs_statistics_errors_text(const struct qs_statistics *s, struct qs_str *out, struct qs_err *e);
int qs_statistics_swaps_text(const struct qs_statistics *s, struct qs_str *out, struct qs_err *e);
/* Makes the inputs, with names and what the text tells of them, but no arrays. */
int qs_statistics_read_facts(const char *text, size_t n, struct qs_statistics *s, struct qs_err *e);
int qs_statistics_read_errors(const char *text, size_t n, struct qs_statistics *s, struct qs_err *e);
int qs_statistics_read_swaps(const char *text, size_t n, struct qs_statistics *s, struct qs_err *e);

#endif
