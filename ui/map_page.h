/* map_page.h - what the map page needs measured, and its text. */
#ifndef QS_UI_MAP_PAGE_H
#define QS_UI_MAP_PAGE_H

#include "base/pool.h"
#include "base/str.h"
#include "core/job/job.h"
#include "core/model/model.h"
#include "core/quant/survey_types.h"

struct qs_map_page {
    const struct qs_model *model;
    struct qs_survey_types types; /* what the default preset would write; none: the file is quantized, its bits are shown */
    struct qs_survey *survey;
};

/* Measures what the map shows (nothing where the file is quantized already). Runs inside a job. */
int qs_map_page_measure(struct qs_map_page *p, struct qs_model *m, struct qs_pool *pool, struct qs_job *job, struct qs_err *e);
/* Coloured as the terminal can do it (SGR sequences, for the pager). ascii: no other characters. */
int qs_map_page_text(const struct qs_map_page *p, unsigned width, bool ascii, struct qs_str *out, struct qs_err *e);
void qs_map_page_free(struct qs_map_page *p);

#endif
