/* report_survey_internal.h - what report_survey.c and report_survey_data.c share. */
#ifndef QS_CORE_REPORT_SURVEY_INTERNAL_H
#define QS_CORE_REPORT_SURVEY_INTERNAL_H

#include "core/report/report_survey.h"

/* A copy of the cell at an index of qs_survey.tensor and one of qs_survey.type. */
struct qs_survey_cell qs_survey_cell_at(const struct qs_survey *s, size_t row, size_t type);
/* An error and how it was obtained; nothing where the cell is not known. */
void qs_survey_put_error(struct qs_section *t, size_t column, const struct qs_survey_cell *c, double value);
/* The tables "tensors" and "cells". */
void qs_survey_add_tensors(struct qs_report *r, const struct qs_survey *s, const struct qs_outputs *o);
void qs_survey_add_cells(struct qs_report *r, const struct qs_survey *s, const struct qs_outputs *o);

#endif
