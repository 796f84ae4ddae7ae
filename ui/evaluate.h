/* evaluate.h - the inside of the Evaluate screen: what it keeps, shared by its files; nobody else includes it.
 *
 * screen_evaluate.c has the table of what can be done and takes the events; screen_evaluate_setup.c what is to be
 * evaluated, screen_evaluate_draw.c what is seen of a run and its result, screen_evaluate_history.c earlier runs and
 * what is kept in files. Runs and results are the workbench's (core/workbench_eval.h).
 */
#ifndef QS_UI_EVALUATE_H
#define QS_UI_EVALUATE_H

#include "core/report/report_eval.h"
#include "core/workbench_eval.h"
#include "ui/app.h"
#include "ui/facts_view.h"
#include "ui/layout.h"
#include "ui/table_view.h"

enum evaluate_view { EVALUATE_SETUP, EVALUATE_PROGRESS, EVALUATE_RESULT, EVALUATE_LAYERS, EVALUATE_HISTORY,
                     EVALUATE_VIEWS };

enum evaluate_field { EVALUATE_WHAT, EVALUATE_FILE, EVALUATE_TEXT, EVALUATE_CTX, EVALUATE_CHUNKS, EVALUATE_PRECISION,
                      EVALUATE_CACHE, EVALUATE_ROTATE, EVALUATE_HELD_OUT, EVALUATE_CALIBRATION, EVALUATE_NOISE,
                      EVALUATE_FIELDS };

#define EVALUATE_RECENT 12

struct evaluate {
    enum evaluate_view view;
    enum evaluate_view beside;        /* the last of result, layers, history: beside the others in wide windows */
    struct qs_list fields;
    struct qs_eval_request q;         /* its strings are those below */
    char *file, *text, *held_out, *calibration;
    char *recent[EVALUATE_RECENT]; size_t n_recent; /* texts, the last one first; in memory */
    /* as of these versions */
    struct { uint64_t doc, candidate; unsigned number; struct qs_candidate_need need; int rc; } candidate;

    unsigned told;                    /* the newest evaluation whose end was told */
    unsigned number;                  /* of the result that these were made of */
    struct qs_report *report;
    struct qs_facts_view facts;
    struct qs_table_view layers;
    double *error; size_t n_error;    /* of the hidden state, by layer */

    bool loaded;                      /* the history was read since it last changed */
    struct qs_eval_history *history;
    struct qs_err history_err;
    struct qs_report *runs;
    struct qs_table_view table;
    char first[9];                    /* id of the run chosen to be compared with; "": none */
    struct qs_report *compared;       /* shown in place of the list; NULL: not */
    struct qs_facts_view compare;
};

struct evaluate *evaluate_of(struct qs_app *a);

/* ---- what is to be done (screen_evaluate_setup.c) ---- */

const char *evaluate_field_name(enum evaluate_field f);     /* "text": after :eval-set */
void evaluate_change(struct qs_app *a, enum evaluate_field f); /* asks, or takes the next value where there are few */
void evaluate_set(struct qs_app *a, enum evaluate_field f, const char *value);
void evaluate_set_named(struct qs_app *a, const char *arg); /* "NAME VALUE" */
void evaluate_start(struct qs_app *a);
void evaluate_setup_draw(struct qs_app *a, const struct qs_canvas *c, bool focus);
int evaluate_setup_rows(void);                              /* that it would take */
void evaluate_document(struct qs_app *a);

/* ---- a run and its result (screen_evaluate_draw.c) ---- */

void evaluate_draw(struct qs_app *a, const struct qs_canvas *c);
void evaluate_refresh(struct qs_app *a);                    /* what is made of the result, where there is another one */
const struct qs_section *evaluate_section(const struct qs_report *r, const char *first_column);

/* ---- earlier runs, files (screen_evaluate_history.c) ---- */

void evaluate_history_refresh(struct qs_app *a);            /* read anew where it may have changed */
void evaluate_history_draw(struct qs_app *a, const struct qs_canvas *c, bool focus);
void evaluate_compare(struct qs_app *a);
void evaluate_compare_end(struct evaluate *v);
void evaluate_save(struct qs_app *a, const char *path, bool overwrite);

#endif
